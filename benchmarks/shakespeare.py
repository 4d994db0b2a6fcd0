"""How good does a GPT of nanoGPT's sizes get in the time that nanoGPT takes for it?

--size cpu: 4 blocks, 4 heads, 128 wide, on windows of 64 letters of Shakespeare, 12 at a time (needs the mirror folder,
COURSE_DATA_DIR). *published* is nanoGPT's recipe: 2,000 steps in float32, cosine from 1e-3 to 1e-4; published
validation loss 1.88 in about 3 minutes. *ours* may take the same wall time, and spends it differently:

- a peak four times as high, falling in a straight line to 0;
- the fused AdamW, so that as many steps take less time. (bfloat16 pays on some processors only: see `gpt_step`.)

--size gpu: 6 blocks, 6 heads, 384 wide, windows of 256 letters, 64 at a time, dropout .2, in bfloat16. *published* runs
5,000 steps and takes the best of its evaluations, one every 250 steps: 1.4697 in about 3 minutes on one A100. *ours*
drops more, and stops where it has learned most.

Both run in the course's network and loop, so that the recipes alone differ; nanoGPT's own takes longer for its steps.

The validation loss is over all windows of the last tenth, one behind the other. Writes `results/shakespeare.json` or
`results/shakespeare_gpu.json`:

    COURSE_DATA_DIR=... python -m benchmarks.shakespeare
    COURSE_DATA_DIR=... python -m benchmarks.shakespeare --size gpu
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace

import torch
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader
from transformers.optimization import get_cosine_with_min_lr_schedule_with_warmup

from benchmarks.writing import write_result
from course_lib.data.shakespeare import Letters, load_shakespeare
from course_lib.data.token_windows import TokenWindows, stack_windows
from course_lib.generation.continuing import continue_text
from course_lib.generation.sampling import Sampling
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.training.loop import train
from course_lib.training.schedule import warmup_then_linear
from course_lib.zoo.pydoc_gpt import next_token_loss


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    steps: int
    learning_rate: float
    falls: str  # as a cosine to a tenth, or in a straight line to 0
    fused: bool
    dropout: float = 0.0
    batch: int = 12
    warmup_steps: int = 100
    beta2: float = 0.99
    weight_decay: float = 0.1


@dataclass(frozen=True)
class Size:
    """A network, how its numbers are kept while it trains, and the recipes to compare."""

    config: GPTConfig
    precision: str
    evaluate_every: int | None  # None: after the last step alone
    recipes: dict[str, Recipe]
    result: str


SIZES = {
    "cpu": Size(
        GPTConfig(65, 64, blocks=4, heads=4, embedding_size=128),
        "no",
        None,
        {
            "published": Recipe(2_000, 1e-3, "cosine to a tenth", fused=False),
            "ours": Recipe(2_000, 4e-3, "line to 0", fused=True),
        },
        "shakespeare",
    ),
    "gpu": Size(
        GPTConfig(65, 256, blocks=6, heads=6, embedding_size=384),
        "bf16",
        250,
        {
            "published": Recipe(5_000, 1e-3, "cosine to a tenth", fused=True, dropout=0.2, batch=64),
            "ours": Recipe(2_500, 1e-3, "line to 0", fused=True, dropout=0.4, batch=64),
        },
        "shakespeare_gpu",
    ),
}


def validation_loss(model: GPT, letters: Letters) -> float:
    """The mean loss over all whole windows of the validation letters, side by side."""
    stream, context = letters.validation, model.config.context_size
    starts = torch.arange(0, len(stream) - context, context)
    windows = stream[starts.unsqueeze(1) + torch.arange(context + 1)].to(model.embedding.weight.device)
    with torch.no_grad():
        parts = [float(next_token_loss(model, part)) * len(part) for part in windows.split(256)]
    return sum(parts) / len(windows)


def fit(letters: Letters, size: Size, recipe: Recipe, name: str, seed: int) -> tuple[GPT, dict[str, float]]:
    """Train one network; the network and how it went."""
    torch.manual_seed(seed)
    model = GPT(replace(size.config, vocabulary_size=len(letters.alphabet), dropout=recipe.dropout))
    matrices = [parameter for parameter in model.parameters() if parameter.dim() == 2]
    others = [parameter for parameter in model.parameters() if parameter.dim() != 2]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=recipe.fused)
    windows = TokenWindows(letters.train, size.config.context_size + 1)
    result = train(
        model,
        DataLoader(windows, batch_size=recipe.batch, shuffle=True, drop_last=True, collate_fn=stack_windows),
        next_token_loss,
        steps=recipe.steps,
        optimizer=optimizer,
        schedule=schedule(optimizer, recipe),
        mixed_precision=size.precision,
        evaluate=lambda learner: {"validation_loss": validation_loss(learner, letters)},
        evaluate_every=size.evaluate_every,
        seed=seed,
        description=name,
    )
    last = result.losses[-100:]
    best = min(result.evaluations, key=lambda each: each["validation_loss"])
    return model, {
        "validation_loss": round(result.evaluations[-1]["validation_loss"], 4),
        "best_validation_loss": round(best["validation_loss"], 4),
        "best_step": int(best["step"]),
        "training_loss": round(sum(last) / len(last), 4),
        "seconds": round(result.seconds, 1),
        "ms_per_step": round(1000 * result.seconds / recipe.steps, 1),
    }


def schedule(optimizer: torch.optim.Optimizer, recipe: Recipe) -> LRScheduler:
    """The learning rate over the steps."""
    warmup_steps = min(recipe.warmup_steps, recipe.steps // 2)
    if recipe.falls == "line to 0":
        return warmup_then_linear(optimizer, warmup_steps=warmup_steps, steps=recipe.steps)
    return get_cosine_with_min_lr_schedule_with_warmup(optimizer, warmup_steps, recipe.steps, min_lr_rate=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=list(SIZES), default="cpu")
    parser.add_argument("--recipe", choices=["published", "ours", "both"], default="both")
    parser.add_argument("--steps", type=int, help="fewer, for a trial; nothing is written then")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--note", help="kept with the result, such as what else the machine did meanwhile")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    letters = load_shakespeare()
    size = SIZES[arguments.size]
    names = list(size.recipes) if arguments.recipe == "both" else [arguments.recipe]
    measured: dict[str, object] = {}
    recipes = {}
    for name in names:
        recipe = size.recipes[name]
        recipes[name] = replace(recipe, steps=arguments.steps) if arguments.steps else recipe
        model, went = fit(letters, size, recipes[name], name, arguments.seed)
        measured |= {f"{name}_{measure}": value for measure, value in went.items()}
    draw = torch.Generator().manual_seed(arguments.seed)
    start = letters.encode("\n").tolist()
    model.cpu()
    longest = size.config.context_size - 1
    (text,) = continue_text(model, [start], max_new_tokens=longest, sampling=Sampling(0.8), generator=draw)
    measured["written"] = letters.decode(text.tokens).strip()
    if arguments.steps or arguments.recipe != "both":
        print(json.dumps(measured, indent=1))
        return
    write_result(
        size.result,
        command=f"python -m benchmarks.shakespeare --size {arguments.size}",
        settings=vars(arguments) | {name: asdict(recipe) for name, recipe in recipes.items()},
        measured=measured,
    )


if __name__ == "__main__":
    main()
