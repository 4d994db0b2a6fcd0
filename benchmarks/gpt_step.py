"""How long does one training step of notebook 04's GPT take, beside the same network from other hands?

At nanoGPT's setting for a CPU (4 blocks, 4 heads, 128 wide, 64 tokens, batch 12, the 65 letters of Shakespeare) it
measures a step of ours against one of `nn.TransformerEncoderLayer` with a causal mask and one of transformers' GPT-2,
in turns, and writes medians and ratios to `results/gpt_step.json`:

    python -m benchmarks.gpt_step

All three have the same parameters, clip the gradient and use AdamW. Each in float32, as a laptop's first attempt would
be; ours also as `training.loop.train` runs it with mixed_precision="bf16". --bf16 all gives bfloat16 to the rivals too.
"""

import argparse
import contextlib
import statistics
from collections.abc import Callable
from functools import partial

import torch
import transformers
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.timing import seconds_of
from benchmarks.writing import write_result
from course_lib.models.gpt import GPT, GPTConfig

WARM_UP = 3


class PlainGPT(nn.Module):
    """The same network from torch's own layer: what one writes without a library."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        size = config.embedding_size
        self.embedding = nn.Embedding(config.vocabulary_size, size)
        self.positions = nn.Embedding(config.context_size, size)
        layer = nn.TransformerEncoderLayer(
            size, config.heads, 4 * size, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, config.blocks, nn.LayerNorm(size), enable_nested_tensor=False)
        self.output = nn.Linear(size, config.vocabulary_size, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        length = tokens.shape[1]
        states = self.embedding(tokens) + self.positions(torch.arange(length, device=tokens.device))
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=tokens.device)
        return self.output(self.blocks(states, mask=mask, is_causal=True))


def transformers_gpt(config: GPTConfig) -> nn.Module:
    """transformers' GPT-2 of the same sizes."""
    sizes = transformers.GPT2Config(
        vocab_size=config.vocabulary_size,
        n_positions=config.context_size,
        n_layer=config.blocks,
        n_head=config.heads,
        n_embd=config.embedding_size,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    return transformers.GPT2LMHeadModel(sizes)


def training_step(
    model: nn.Module, logits_of: Callable[[nn.Module, Tensor], Tensor], device: str, bf16: bool, fused: bool
) -> Callable[[Tensor], None]:
    """A function that makes one step on a batch of windows: loss, gradient, clipping, update."""
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, fused=fused)

    def step(windows: Tensor) -> None:
        with torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext():
            logits = logits_of(model, windows[:, :-1])
            loss = cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=65)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--bf16", choices=["ours", "all"], default="ours", help="who else gets bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = GPTConfig(
        arguments.vocabulary, arguments.context, arguments.blocks, arguments.heads, arguments.width, dropout=0.0
    )

    def ours_logits(model: nn.Module, tokens: Tensor) -> Tensor:
        return model(tokens).logits

    def plain_logits(model: nn.Module, tokens: Tensor) -> Tensor:
        return model(tokens)

    all_bf16 = arguments.bf16 == "all"
    models = {
        "ours_float32": (GPT(config), ours_logits, False, True),
        "ours_bf16": (GPT(config), ours_logits, True, True),
        "torch_layers": (PlainGPT(config), plain_logits, all_bf16, all_bf16),
        "transformers": (transformers_gpt(config), ours_logits, all_bf16, all_bf16),
    }
    counts = {name: sum(p.numel() for p in model.parameters()) for name, (model, *_) in models.items()}
    if len(set(counts.values())) != 1:
        raise SystemExit(f"the networks differ in size, so their times say nothing: {counts}")
    steps = {
        name: training_step(model, logits_of, arguments.device, bf16, fused)
        for name, (model, logits_of, bf16, fused) in models.items()
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for repeat in range(arguments.repeats + WARM_UP):  # in turns, so that a busy machine slows all alike
        windows = torch.randint(0, arguments.vocabulary, (arguments.batch, arguments.context + 1))
        for name, step in steps.items():
            there = windows.to(arguments.device)
            spent = seconds_of(partial(step, there), arguments.device)
            if repeat >= WARM_UP:
                times[name].append(spent)
    medians = {name: statistics.median(values) for name, values in times.items()}
    tokens = arguments.batch * arguments.context
    write_result(
        "gpt_step" if arguments.device == "cpu" else f"gpt_step_{arguments.device}",
        command="python -m benchmarks.gpt_step",
        settings=vars(arguments),
        measured={
            **{f"{name}_ms": round(1000 * value, 2) for name, value in medians.items()},
            **{f"{name}_tokens_per_second": round(tokens / value) for name, value in medians.items()},
            "ours_bf16_to_torch_layers": round(medians["ours_bf16"] / medians["torch_layers"], 3),
            "ours_bf16_to_transformers": round(medians["ours_bf16"] / medians["transformers"], 3),
            "ours_float32_to_torch_layers": round(medians["ours_float32"] / medians["torch_layers"], 3),
            "ours_float32_to_transformers": round(medians["ours_float32"] / medians["transformers"], 3),
            "parameters": counts["ours_bf16"],
        },
    )


if __name__ == "__main__":
    main()
