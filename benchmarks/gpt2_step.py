"""How fast does notebook 04's GPT train at GPT-2's smallest size, and what share of the GPU's arithmetic is that?

The 124M parameters of GPT-2, windows of 1,024 tokens, a whole step (loss, gradient, clipping, fused AdamW) in
bfloat16, each variant for itself: as the course's training loop runs it, compiled, with a vocabulary padded to a
multiple of 128 (rows that no token uses, so that the matrix units' tiles are full), with weights in bfloat16 too.
Writes tokens a second and MFU (model FLOP utilisation; Chowdhery et al. 2022, appendix B) to
`results/gpt2_step_DEVICE.json`:

    python -m benchmarks.gpt2_step
    python -m benchmarks.gpt2_step --device cpu --blocks 2 --width 64 --heads 2 --context 64 --vocabulary 512 --batch 2
"""

import argparse
import contextlib
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from benchmarks.timing import peak_of, seconds_of
from benchmarks.writing import write_result
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.zoo.pydoc_gpt import next_token_loss

WARM_UP = 5


@dataclass(frozen=True)
class Variant:
    """One way to run the same step."""

    compiled: bool
    padded: bool  # the vocabulary, to a multiple of 128
    weights: torch.dtype  # float32: with autocast
    attention: SDPBackend | None = None  # torch's choice


VARIANTS = {
    "as the course's loop": Variant(False, False, torch.float32),
    "compiled": Variant(True, False, torch.float32),
    "compiled, padded": Variant(True, True, torch.float32),
    "compiled, padded, cuDNN attention": Variant(True, True, torch.float32, SDPBackend.CUDNN_ATTENTION),
    "compiled, padded, weights in bfloat16": Variant(True, True, torch.bfloat16),
}


def flops_per_token(config: GPTConfig) -> float:
    """6 N + 12 blocks x embedding x context: forward and backward, the attention's products counted in full.

    N leaves out the position table, which multiplies nothing; the token table does, as the output matrix.
    """
    size = config.embedding_size
    block = 4 * size**2 + 2 * size * config.width
    parameters = config.vocabulary_size * size + config.blocks * block
    return 6 * parameters + 12 * config.blocks * size * config.context_size


@contextlib.contextmanager
def kernels(variant: Variant) -> Iterator[None]:
    """TF32 for what stays in float32, and the attention kernel that the variant asks for."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with sdpa_kernel(variant.attention) if variant.attention is not None else contextlib.nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def measure(variant: Variant, config: GPTConfig, batch: int, device: torch.device, repeats: int) -> dict[str, float]:
    """Median seconds of a step, tokens a second, MFU where the peak is known, and the peak of memory."""
    torch.manual_seed(0)
    words = config.vocabulary_size
    if variant.padded:
        config = GPTConfig(
            -(-words // 128) * 128, config.context_size, config.blocks, config.heads, config.embedding_size
        )
    with device:
        model = GPT(config).to(variant.weights)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    step_loss = torch.compile(next_token_loss) if variant.compiled else next_token_loss
    mixed = variant.weights == torch.float32

    def step(windows: Tensor) -> None:
        with torch.autocast(device.type, torch.bfloat16) if mixed else contextlib.nullcontext():
            loss = step_loss(model, windows)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    data = torch.randint(0, words, (repeats + WARM_UP, batch, config.context_size + 1), device=device)
    times = []
    with kernels(variant):
        for number, windows in enumerate(data):
            spent = seconds_of(partial(step, windows), device)
            if number >= WARM_UP:
                times.append(spent)
    seconds = statistics.median(times)
    tokens = batch * config.context_size / seconds
    measured = {"ms": round(1000 * seconds, 2), "tokens_per_second": round(tokens)}
    peak = peak_of(device)
    if peak:
        measured["mfu"] = round(tokens * flops_per_token(config) / peak, 4)
    if on_gpu:
        measured["peak_gibibytes"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--context", type=int, default=1_024)
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="VARIANT")
    arguments = parser.parse_args()

    device = torch.device(arguments.device)
    config = GPTConfig(
        arguments.vocabulary, arguments.context, arguments.blocks, arguments.heads, arguments.width, dropout=0.0
    )
    measured: dict[str, object] = {"parameters": sum(p.numel() for p in GPT(config).parameters())}
    for name in tqdm(arguments.variants, desc="variants"):
        try:
            measured[name] = measure(VARIANTS[name], config, arguments.batch, device, arguments.repeats)
        except RuntimeError as error:  # a kernel that is not there, or memory: the others still count
            measured[name] = {"failed": str(error).splitlines()[0][:200]}
        torch.compiler.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()
    write_result(
        f"gpt2_step_{device.type}",
        command="python -m benchmarks.gpt2_step",
        settings=vars(arguments),
        measured=measured,
    )


if __name__ == "__main__":
    main()
