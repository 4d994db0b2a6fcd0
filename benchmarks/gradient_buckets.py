"""What does it bring to send gradients in buckets, instead of one message for each parameter?

With 2 and 4 processes on this machine, and the gradients of a GPT of 12 blocks, it times `average_gradients` with a
message for each parameter and with buckets of 1 and 25 MiB, in turns, by our ring and by torch's all_reduce. A call
takes as long as its slowest rank; medians and ratios go to `results/gradient_buckets.json`:

    python -m benchmarks.gradient_buckets
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, distributed

from benchmarks.writing import write_result
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.parallel.data_parallel import MEGABYTE, average_gradients
from course_lib.parallel.launching import launch
from course_lib.parallel.ring import ring_allreduce

BUCKETS = {"each_parameter": 1, "1_MiB": MEGABYTE, "25_MiB": 25 * MEGABYTE}  # 1 byte: no two parameters fit


def torchs(tensor: Tensor) -> Tensor:
    """torch's all_reduce, in a form that `average_gradients` takes."""
    distributed.all_reduce(tensor)
    return tensor


ALLREDUCES: dict[str, Callable[[Tensor], Tensor]] = {"ring": ring_allreduce, "torch": torchs}


def gpt_of_twelve_blocks(width: int) -> GPT:
    """With 1,024 words and 64 tokens, so that most weights lie in the blocks."""
    return GPT(GPTConfig(1_024, 64, 12, 4, width, dropout=0.0))


def seconds_of_calls(width: int, repeats: int) -> dict[str, list[float]]:
    """What each way takes on this rank, call by call; the first call is not kept."""
    model = gpt_of_twelve_blocks(width)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    times: dict[str, list[float]] = {f"{way}_{size}": [] for way in ALLREDUCES for size in BUCKETS}
    for repeat in range(repeats + 1):
        for way, allreduce in ALLREDUCES.items():
            for size, bucket_bytes in BUCKETS.items():
                distributed.barrier()
                start = time.perf_counter()
                average_gradients(model.parameters(), bucket_bytes=bucket_bytes, allreduce=allreduce)
                if repeat:
                    times[f"{way}_{size}"].append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--processes", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()

    measured: dict[str, dict[str, float]] = {"machine": {"load_before": round(os.getloadavg()[0], 2)}}
    for width in arguments.widths:
        parameters = [parameter.numel() for parameter in gpt_of_twelve_blocks(width).parameters()]
        for processes in arguments.processes:
            ranks = launch(seconds_of_calls, width, arguments.repeats, processes=processes, timeout=600)
            slowest = {
                name: statistics.median(map(max, zip(*(rank[name] for rank in ranks), strict=True)))
                for name in ranks[0]
            }
            measured[f"{processes} processes, width {width}"] = {
                "parameters": len(parameters),
                "MiB": round(4 * sum(parameters) / MEGABYTE, 1),
                **{f"{name}_ms": round(1_000 * seconds, 1) for name, seconds in slowest.items()},
                **{
                    f"{way}_times_faster_in_buckets": round(
                        slowest[f"{way}_each_parameter"] / slowest[f"{way}_25_MiB"], 2
                    )
                    for way in ALLREDUCES
                },
            }
    write_result(
        "gradient_buckets",
        command="python -m benchmarks.gradient_buckets",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
