"""How can a model be tuned by training a hundredth of its numbers? Low-rank adaptation, LoRA (notebook 12).

The trained matrices stay as they are; beside each runs a detour of two thin ones, y = W x + (alpha / r) B A x. B begins
at zero, so that tuning begins at the model as it was; afterwards B A is added to W, and the detour is gone.
Source: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1, equation 3.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

ADAPTER_FILE, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"  # PEFT's names and format
PREFIX = "base_model.model."


class UnusableAdapter(ValueError):  # noqa: N818 - it reads as what is wrong
    """An adapter that is empty, or not for this model; the message says what to do."""


class LoRALinear(nn.Module):
    """A linear layer that stays as it is, and the thin detour beside it that learns.

    rank: r; alpha: the detour counts alpha / r. The layer's own weight and bias are frozen.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        # The detour learns in float32 at least: in bfloat16 small steps would be rounded away.
        kind = torch.promote_types(base.weight.dtype, torch.float32)
        place = base.weight.device
        self.down = nn.Parameter(torch.empty(rank, base.in_features, dtype=kind, device=place))  # A
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, dtype=kind, device=place))  # B
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Float[Tensor, "*batch in_size"]) -> Float[Tensor, "*batch out_size"]:
        """W x + b + (alpha / r) B A x."""
        down, up = self.down.to(states.dtype), (self.scale * self.up).to(states.dtype)
        return self.base(states) + F.linear(F.linear(self.dropout(states), down), up)

    def change(self) -> Float[Tensor, "out_size in_size"]:
        """What the detour adds to the weight: (alpha / r) B A."""
        return self.scale * (self.up @ self.down)


def add_lora(
    model: nn.Module, targets: Sequence[str], *, rank: int = 8, alpha: float = 16, dropout: float = 0.0
) -> list[str]:
    """Freeze a model and set a detour beside each linear layer whose name ends in one of `targets`; their names.

        add_lora(model, ("query_key_value", "expand"), rank=8)

    Alpaca-LoRA's settings: rank 8, alpha 16, dropout .05, on queries and values. Make the optimizer afterwards, from
    `lora_parameters(model)`. Raises ValueError for settings that cannot be, and for targets that fit no layer.
    """
    if rank < 1 or not alpha > 0 or not 0 <= dropout < 1:
        raise ValueError(
            f"expected rank >= 1, alpha > 0 and 0 <= dropout < 1, got {rank}, {alpha} and {dropout}; usual are 8, 16, 0"
        )
    if any(isinstance(part, LoRALinear) for part in model.modules()):
        raise ValueError("the model has LoRA layers already; merge them first with merge_lora(model)")
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    chosen = [name for name in linear if name.endswith(tuple(f".{target}" for target in targets)) or name in targets]
    unused = [target for target in targets if not any(name.endswith(target) for name in chosen)]
    if unused or not chosen:
        known = sorted({name.rpartition(".")[2] for name in linear})
        raise ValueError(f"no linear layer is called {unused or list(targets)}; this model has {known}")
    model.requires_grad_(False)
    for name in chosen:
        _replace(model, name, LoRALinear(linear[name], rank, alpha, dropout))
    return chosen


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoRALinear]]:
    """The layers with a detour, and their names."""
    for name, part in model.named_modules():
        if isinstance(part, LoRALinear):
            yield name, part


def lora_parameters(model: nn.Module) -> list[nn.Parameter]:
    """What is trained: A and B of each layer."""
    return [parameter for _, layer in lora_layers(model) for parameter in (layer.down, layer.up)]


def trained_share(model: nn.Module) -> float:
    """The share of the model's numbers that learn, detours counted on both sides."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, learns in sizes if learns) / sum(size for size, _ in sizes)


@torch.no_grad()
def merge_lora(model: nn.Module) -> int:
    """Add each detour to its weight and take it out: the same answers, at the old speed. Gives how many there were.

    All parameters learn again afterwards. Raises UnusableAdapter if there is no detour.
    """
    layers = list(lora_layers(model))
    if not layers:
        raise UnusableAdapter("the model has no LoRA layer to merge; add_lora(model, ...) comes first")
    for name, layer in layers:
        layer.base.weight += layer.change().to(layer.base.weight.dtype)
        _replace(model, name, layer.base)
    model.requires_grad_(True)
    return len(layers)


def save_adapter(model: nn.Module, folder: Path | str) -> Path:
    """Write the detours alone, as PEFT does, and return the folder. PEFT reads them for the same model.

    Raises UnusableAdapter if there is none, or if all are still zero: such a file would load, and do nothing.
    """
    layers = list(lora_layers(model))
    if not layers:
        raise UnusableAdapter("the model has no LoRA layer, so its adapter would be empty; save before merge_lora")
    if not any(bool(layer.up.any()) for _, layer in layers):
        raise UnusableAdapter("every B is still zero: nothing was learned; did the optimizer get lora_parameters?")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    first = layers[0][1]
    rank = first.down.shape[0]
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": round(first.scale * rank, 6),
        "lora_dropout": first.dropout.p,
        "target_modules": [name for name, _ in layers],
        "bias": "none",
        "inference_mode": True,
    }
    tensors = {}
    for name, layer in layers:
        tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.down.detach().cpu().contiguous()
        tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.up.detach().cpu().contiguous()
    (folder / ADAPTER_CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})
    return folder


@torch.no_grad()
def load_adapter(model: nn.Module, folder: Path | str) -> list[str]:
    """Set the detours in a folder beside the model's layers; gives their names. Reads what PEFT wrote, too.

    Raises UnusableAdapter for files that are missing, damaged, empty, or of another model.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / ADAPTER_FILE)
        rank, alpha, dropout = int(config["r"]), float(config["lora_alpha"]), float(config.get("lora_dropout", 0.0))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UnusableAdapter(
            f"{folder} holds no whole adapter ({type(error).__name__}: {error}); expected {ADAPTER_CONFIG} and "
            f"{ADAPTER_FILE}, as save_adapter writes them"
        ) from None
    names = sorted({name.removeprefix(PREFIX).rpartition(".lora_")[0] for name in tensors})
    if not tensors:
        raise UnusableAdapter(f"{folder / ADAPTER_FILE} has no tensor: it was saved empty, and would change nothing")
    linear = {name: part for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    for name in names:
        down, up = (tensors.get(f"{PREFIX}{name}.lora_{part}.weight") for part in "AB")
        layer = linear.get(name)
        if layer is None or down is None or up is None:
            raise UnusableAdapter(f"the adapter in {folder} is of another model: it has {name}, this model has not")
        if down.shape != (rank, layer.in_features) or up.shape != (layer.out_features, rank):
            raise UnusableAdapter(
                f"the adapter in {folder} is of another model: its {name} is {up.shape[0]} x {down.shape[1]}, this "
                f"model's {layer.out_features} x {layer.in_features}"
            )
    add_lora(model, names, rank=rank, alpha=alpha, dropout=dropout)
    for name, detour in lora_layers(model):
        detour.down.copy_(tensors[f"{PREFIX}{name}.lora_A.weight"])
        detour.up.copy_(tensors[f"{PREFIX}{name}.lora_B.weight"])
    return names


def _replace(model: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, part)
