"""How long does our ring take, beside a tree, recursive halving and gloo's own all_reduce?

With 2, 4 and 8 processes on this machine, and tensors of 1 KiB to 64 MiB (float32), all in turns, so that a busy
machine slows all alike. A call takes as long as its slowest rank; the median of several goes to
`results/ring_allreduce.json`:

    python -m benchmarks.ring_allreduce

The ring adds in place, as gloo's does; our others return a new tensor, and "ring_new" is the ring that does so. Beside
them "model": α and β of a step are fitted to the ring of the fewest processes, and the others' times follow.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, distributed

from benchmarks.writing import write_result
from course_lib.parallel.cost_model import fit_link, shared_ring_time
from course_lib.parallel.launching import launch
from course_lib.parallel.ring import ring_allreduce, ring_allreduce_
from course_lib.parallel.tree import halving_allreduce, tree_allreduce

KIBIBYTE = 1 << 10
SIZES = {f"{size} KiB": size * KIBIBYTE for size in (1, 16, 256)}
SIZES |= {f"{size} MiB": size * KIBIBYTE**2 for size in (1, 4, 16, 64)}
WAYS: dict[str, Callable[[Tensor], object]] = {
    "ring": ring_allreduce_,
    "ring_new": ring_allreduce,
    "tree": tree_allreduce,
    "halving": halving_allreduce,
    "gloo": distributed.all_reduce,
}


def seconds_of_calls(size: int, repeats: int) -> dict[str, list[float]]:
    """What each way takes on this rank, call by call; the first call, which makes connections, is not kept."""
    tensor = torch.zeros(size // 4)
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(repeats + 1):
        for name, allreduce in WAYS.items():
            distributed.barrier()
            start = time.perf_counter()
            allreduce(tensor)
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def slowest_ranks(ranks: list[dict[str, list[float]]]) -> dict[str, float]:
    """The median over the calls of what the slowest rank took."""
    return {name: statistics.median(map(max, zip(*(rank[name] for rank in ranks), strict=True))) for name in WAYS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--repeats", type=int, default=40, help="of the small tensors; a quarter of it for the large")
    arguments = parser.parse_args()

    measured: dict[str, dict[str, float]] = {"machine": {"load_before": round(os.getloadavg()[0], 2)}}
    times = {}
    for processes in sorted(arguments.processes):
        for size in SIZES.values():
            repeats = arguments.repeats // (4 if size > 4 * KIBIBYTE**2 else 1)
            ranks = launch(seconds_of_calls, size, repeats, processes=processes, timeout=600)
            times[processes, size] = slowest_ranks(ranks)
    fewest = min(arguments.processes)
    link = fit_link(list(SIZES.values()), [times[fewest, size]["ring"] / (2 * fewest - 2) for size in SIZES.values()])
    measured["link"] = {"alpha_ms": round(1_000 * link.alpha, 4), "beta_ns_per_byte": round(1e9 * link.beta, 4)}
    for processes in sorted(arguments.processes):
        for name, size in SIZES.items():
            taken = times[processes, size]
            measured[f"{processes} processes, {name}"] = {
                **{f"{way}_ms": round(1_000 * seconds, 2) for way, seconds in taken.items()},
                "ring_to_gloo": round(taken["ring"] / taken["gloo"], 3),
                "model_ms": round(1_000 * shared_ring_time(processes, size, link), 2),
            }
    write_result(
        "ring_allreduce",
        command="python -m benchmarks.ring_allreduce",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
