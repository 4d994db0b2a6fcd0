"""What fills a GPU's memory while it trains? Each part by formula, and measured (notebook 05).

A step needs the weights, a gradient for each, the optimizer's states (AdamW: two numbers for each weight), and the
activations: what the forward pass keeps for the backward pass. Only the last grow with batch and length.

The formulas are of this course's BERT and GPT as torch runs them. What a step needs beside that for a moment (the
logits before their softmax, the backward pass's own results) and what the driver takes for itself come on top.
"""

import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from course_lib.models.bert import BERTConfig
from course_lib.models.gpt import GPTConfig

GIBIBYTE = 2**30
TOKEN_BYTES = 8  # torch's whole numbers
BERT_BASE = BERTConfig()
BERT_LARGE = BERTConfig(blocks=24, heads=16, embedding_size=1_024, inner_size=4_096)
# The largest batches that fit a Titan X of 12 GB, by tokens: google-research/bert, README.md at eedf571.
PUBLISHED_LARGEST_BATCHES = {
    "base": {64: 64, 128: 32, 256: 16, 320: 14, 384: 12, 512: 6},
    "large": {64: 12, 128: 6, 256: 2, 320: 1, 384: 0, 512: 0},
}
# What that code's optimizer makes beside m and v (optimization.py): all clipped gradients, all next m, all next v, and
# all updates, each as large as the weights; a later torch updates in place.
PUBLISHED_STATES_PER_PARAMETER = 6


@dataclass(frozen=True)
class MemoryBudget:
    """The bytes of one training step, by what they are for."""

    weights: int
    gradients: int
    optimizer_states: int
    activations: int

    @property
    def fixed(self) -> int:
        """What is needed whatever the batch."""
        return self.weights + self.gradients + self.optimizer_states

    @property
    def total(self) -> int:
        return self.fixed + self.activations


@dataclass(frozen=True)
class Storage:
    """How the numbers of a step are kept.

    fused_attention: by torch's kernel that never stores the n^2 weights; without it they are kept, as they are
    whenever they are looked at (`want_weights`). mask_bytes: what dropout's mask takes for each number.
    """

    number_bytes: int = 4
    fused_attention: bool = True
    mask_bytes: int = 1

    @classmethod
    def usual(cls, device_type: str, dropout: float = 0.0, number_bytes: int = 4) -> "Storage":
        """What torch does on "cpu" or "cuda".

        A CPU has no fused attention with dropout, and its dropout masks are as wide as the numbers.
        """
        on_cpu = device_type == "cpu"
        return cls(number_bytes, not (on_cpu and dropout), number_bytes if on_cpu else 1)


def block_parameters(embedding_size: int, inner_size: int) -> int:
    """Of one block, BERT's or GPT's: four projections, the feed-forward network, two norms."""
    attention = 4 * (embedding_size**2 + embedding_size)
    feed_forward = 2 * embedding_size * inner_size + inner_size + embedding_size
    return attention + feed_forward + 4 * embedding_size


def encoder_parameters(config: BERTConfig) -> int:
    """Of BERT without a head: the three tables of embeddings, their norm, the blocks."""
    size = config.embedding_size
    tables = (config.vocabulary_size + config.context_size + config.segments) * size
    return tables + 2 * size + config.blocks * block_parameters(size, config.inner_size)


def masked_language_parameters(config: BERTConfig) -> int:
    """Of `MaskedLanguageModel`: the encoder, a dense layer, a norm, a bias (the output matrix is the embedding's)."""
    size = config.embedding_size
    return encoder_parameters(config) + size**2 + 3 * size + config.vocabulary_size


def classifier_parameters(config: BERTConfig, labels: int) -> int:
    """Of `Classifier`: the encoder, the pooler, the layer of the labels."""
    size = config.embedding_size
    return encoder_parameters(config) + size**2 + size + (size + 1) * labels


def gpt_parameters(config: GPTConfig) -> int:
    """Of `GPT`: two tables, the blocks, the last norm (the output matrix is the embedding's)."""
    size = config.embedding_size
    tables = (config.vocabulary_size + config.context_size) * size
    return tables + config.blocks * block_parameters(size, config.width) + 2 * size


def block_activations(
    batch: int, length: int, config: BERTConfig | GPTConfig, storage: Storage, *, dropped_inside: bool
) -> int:
    """Bytes that one block keeps; where the norms stand makes no difference.

    For each place: the input of the projections (one tensor for query, key and value), query, key, value, the joined
    contexts, the input of the feed-forward network and of two norms (8 x embedding); the activation function's input
    and output (2 x inner); mean and deviation of two norms. Attention adds one number for each place and head, or
    without the fused kernel its weights: length^2 for each head. Dropout adds its masks, and for the weights what is
    left of them. dropped_inside: dropout within the feed-forward network too, as in this course's BERT.
    """
    if batch < 1 or length < 1:
        raise ValueError(f"batch and length must be at least 1, got {batch} and {length}")
    inner = config.inner_size if isinstance(config, BERTConfig) else config.width
    assert inner is not None
    places, pairs = batch * length, batch * config.heads * length**2
    numbers = places * (8 * config.embedding_size + 2 * inner + 4)
    numbers += places * config.heads if storage.fused_attention else pairs
    masks = 0
    if config.dropout:
        masks += places * (2 * config.embedding_size + (inner if dropped_inside else 0))
        if not storage.fused_attention:
            numbers += pairs
            masks += pairs
    return numbers * storage.number_bytes + masks * storage.mask_bytes


def encoder_activations(batch: int, length: int, config: BERTConfig, storage: Storage) -> int:
    """Of BERT without a head. Its last states are counted with the head, which may keep them or not."""
    places, size = batch * length, config.embedding_size
    embedded = places * (TOKEN_BYTES + (size + 2) * storage.number_bytes)  # the token, and the norm's input
    embedded += places * size * storage.mask_bytes if config.dropout else 0
    return embedded + config.blocks * block_activations(batch, length, config, storage, dropped_inside=True)


def masked_language_activations(
    batch: int, length: int, config: BERTConfig, storage: Storage, *, guessed: int | None = None
) -> int:
    """Of a step of `masked_language_loss`. guessed: the masked places in the batch; None: as if all were guessed.

    Each guessed place keeps four states, the log-probabilities of the whole vocabulary, and its label.
    """
    places = batch * length
    guessed = places if guessed is None else guessed
    if not 1 <= guessed <= places:
        raise ValueError(f"guessed must be between 1 and batch x length = {places}, got {guessed}")
    head = guessed * (4 * config.embedding_size + 2 + config.vocabulary_size) * storage.number_bytes
    labels = guessed * TOKEN_BYTES
    return encoder_activations(batch, length, config, storage) + head + labels + places  # which places: a byte each


def classifier_activations(batch: int, length: int, config: BERTConfig, storage: Storage, *, labels: int) -> int:
    """Of a step of `Classifier` and cross-entropy.

    Only the state of [CLS] is read, but it is a slice, and a slice keeps the whole tensor of all states alive.
    """
    size = config.embedding_size
    head = batch * (length * size + 2 * size + labels) * storage.number_bytes + batch * TOKEN_BYTES
    head += batch * size * (storage.mask_bytes + storage.number_bytes) if config.dropout else 0
    return encoder_activations(batch, length, config, storage) + head


def gpt_activations(batch: int, length: int, config: GPTConfig, storage: Storage) -> int:
    """Of a step of `GPT` and `next_token_loss`, which guesses every place but the last."""
    places, size, guessed = batch * length, config.embedding_size, batch * (length - 1)
    embedded = places * TOKEN_BYTES + (places * size * storage.mask_bytes if config.dropout else 0)
    last = places * (2 * size + 2) * storage.number_bytes  # the last norm's input and the last states
    scores = guessed * (config.vocabulary_size * storage.number_bytes + TOKEN_BYTES)
    blocks = config.blocks * block_activations(batch, length, config, storage, dropped_inside=False)
    if not storage.fused_attention:
        blocks += config.blocks * 2 * length**2  # who may look at whom, and who may not: a byte for each pair
    return embedded + blocks + last + scores


def predicted_budget(
    parameters: int, activations: int, *, number_bytes: int = 4, states_per_parameter: int = 2
) -> MemoryBudget:
    """The budget of a step. states_per_parameter: AdamW 2, SGD with momentum 1, plain SGD 0."""
    each = parameters * number_bytes
    return MemoryBudget(each, each, states_per_parameter * each, activations)


def largest_batch(budget_of_one: MemoryBudget, memory_bytes: int) -> int:
    """How many rows fit, given the budget of a batch of one: activations grow with the batch, the rest does not."""
    return max(0, (memory_bytes - budget_of_one.fixed) // budget_of_one.activations)


def largest_batches(
    config: BERTConfig, lengths: Iterable[int], memory_bytes: int, storage: Storage, *, states_per_parameter: int = 2
) -> dict[int, int]:
    """By length, the largest batch with which a classifier of two labels can be fine-tuned in this memory."""
    found = {}
    for length in lengths:
        of_one = classifier_activations(1, length, config, storage, labels=2)
        parameters = classifier_parameters(config, labels=2)
        budget = predicted_budget(
            parameters, of_one, number_bytes=storage.number_bytes, states_per_parameter=states_per_parameter
        )
        found[length] = largest_batch(budget, memory_bytes)
    return found


@dataclass(frozen=True, eq=False)
class _Kept:
    tensor: Tensor


def kept_bytes(model: nn.Module, loss: Callable[[], Float[Tensor, ""]]) -> int:
    """The bytes that the forward pass of `loss()` keeps for the backward pass: its activations.

    torch tells of every tensor that it keeps (`saved_tensors_hooks`); each storage is counted once, however many
    tensors share it, and the model's own parameters are left out. Works on any device.
    """
    kept: weakref.WeakSet[_Kept] = weakref.WeakSet()  # what is dropped on the way is not counted

    def pack(tensor: Tensor) -> _Kept:
        packed = _Kept(tensor.detach())
        kept.add(packed)
        return packed

    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda packed: packed.tensor):
        value = loss()
    storages = {packed.tensor.untyped_storage() for packed in list(kept)}
    sizes = {storage.data_ptr(): storage.nbytes() for storage in storages}
    del value  # it held the graph, and so all that was kept, until here
    return sum(size for pointer, size in sizes.items() if pointer not in own)


def allocated_bytes(loss: Callable[[], Float[Tensor, ""]], device: torch.device) -> int:
    """What the forward pass of `loss()` leaves allocated on a GPU, by torch's own allocator: its activations.

    Raises ValueError for another device: only a GPU's allocator keeps count.
    """
    if device.type != "cuda":
        raise ValueError(f"only a GPU's allocator counts, got device {device}; use kept_bytes on a CPU")
    loss()  # the first call also loads kernels and their workspace, which stay
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    value = loss()
    torch.cuda.synchronize(device)
    after = torch.cuda.memory_allocated(device)
    del value
    return after - before


def measured_budget(model: nn.Module, optimizer: Optimizer, loss: Callable[[], Float[Tensor, ""]]) -> MemoryBudget:
    """Make one step, which changes the weights, and count the bytes of everything that it needs.

    `loss` computes the loss of one batch. Activations are counted as the model is: in train mode with dropout, if it
    is in train mode. On a GPU they are read from its allocator, elsewhere from torch's saved tensors.
    """
    device = next(model.parameters()).device
    activations = allocated_bytes(loss, device) if device.type == "cuda" else kept_bytes(model, loss)
    optimizer.zero_grad(set_to_none=True)
    loss().backward()
    optimizer.step()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    states = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return MemoryBudget(_bytes(model.parameters()), _bytes(gradients), _bytes(states), activations)


def peak_bytes(step: Callable[[], Any], device: torch.device) -> int:
    """The most that was allocated on a GPU while `step()` ran. Raises ValueError for another device."""
    if device.type != "cuda":
        raise ValueError(f"only a GPU's allocator keeps its peak, got device {device}")
    torch.cuda.reset_peak_memory_stats(device)
    step()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)
