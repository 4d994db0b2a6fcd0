"""What does a model's card say in words? Short, with what the model cannot do, and what its numbers stand beside."""

from typing import Any

from course_lib.zoo.cards import LOADED_FILES, Card

MEASURED_NAMES = {
    "bits_per_byte": "this model",
    "masked_bits_per_byte": "this model, at the hidden words only: it sees both sides of them",
    "byte_5_gram_bits_per_byte": "5-gram model of bytes (Kneser-Ney) of the training texts",
    "xz_bits_per_byte": "xz -9e of the split alone",
    "gzip_bits_per_byte": "gzip -9 of the split alone",
    "primed_xz_bits_per_byte": "xz -9e with all training texts before it, which it repeats by heart",
}


def card_text(card: Card) -> str:
    """The card as Markdown."""
    parts = [
        f"# {card.name}\n\n{card.summary}",
        f'```python\nfrom course_lib import zoo\n\nmodel, tokenizer = zoo.load("{card.name}")\n```',
        "## What it cannot do\n\n" + "\n".join(f"- {limit}" for limit in card.cannot),
        f"## How good it is\n\n{_measured(card.measured)}",
        f"## What it is\n\n{_listed(card.sizes)}",
        f"## What it learned from\n\n{_listed(card.data)}",
        f"## How it was trained\n\n{_training(card.training)}\n\nAnew, by anyone: `course zoo train {card.name}`",
        "## Files\n\n" + _table(("file", "bytes", "SHA-256"), _files(card)),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(measured: dict[str, Any]) -> str:
    rows = [(MEASURED_NAMES[key], f"{measured[key]:.3f}") for key in MEASURED_NAMES if key in measured]
    rest = {key: value for key, value in measured.items() if key not in MEASURED_NAMES and key != "split"}
    where = f"on the {measured['split']} split, never trained on"
    if not rows:
        return f"{where[0].upper()}{where[1:]}:\n\n{_listed(rest)}"
    table = _table((where, "bits per byte"), rows)
    return f"{table}\n\n{_listed(rest)}" if rest else table


def _training(training: dict[str, Any]) -> str:
    plain = {key: value for key, value in training.items() if key != "evaluations"}
    text = _listed(plain)
    if training.get("evaluations"):
        heads = list(training["evaluations"][0])
        rows = [[_shown(each[head]) for head in heads] for each in training["evaluations"]]
        text += "\n\nOn a part of the validation split, while it learned:\n\n"
        text += _table([head.replace("_", " ") for head in heads], rows)
    return text


def _files(card: Card) -> list[tuple[str, str, str]]:
    order = sorted(card.files, key=lambda name: (name not in LOADED_FILES, name))
    return [(name, f"{card.files[name]['bytes']:,}", f"`{card.files[name]['sha256']}`") for name in order]


def _listed(facts: dict[str, Any]) -> str:
    return "\n".join(f"- {name.replace('_', ' ')}: {_shown(value)}" for name, value in facts.items())


def _table(heads: Any, rows: Any) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not recorded"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}" if value >= 10_000 else str(value)
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return str(value)
