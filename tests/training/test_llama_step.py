"""The benchmark's own arithmetic, on a model that fits anywhere."""

import pytest
import torch

from benchmarks import llama_step
from course_lib.data.masking import NOT_ASKED


@pytest.fixture(scope="module")
def rows():
    return llama_step.drawn_batches(1, 320)[0]


@pytest.mark.parametrize("way", list(llama_step.WAYS))
def test_every_way_gives_all_128_rows_within_the_tokens_allowed(way, rows):
    batches = llama_step.WAYS[way](rows, 4_096)
    assert all(batch.tokens.numel() <= 4_096 for batch in batches)
    asked = sum(int((batch.labels != NOT_ASKED).sum()) for batch in batches)
    assert asked == sum(int((labels != NOT_ASKED).sum()) for _, labels in rows)


def test_packing_pads_least_and_random_order_most(rows):
    tokens = {way: sum(b.tokens.numel() for b in make(rows, 4_096)) for way, make in llama_step.WAYS.items()}
    assert tokens["packed"] < tokens["padded"]
    assert tokens["grouped"] < tokens["padded"]


@pytest.mark.parametrize("way", ["grouped", "packed"])
def test_every_way_makes_the_same_gradients(way, rows):
    gradients = []
    for each in ("padded", way):
        torch.manual_seed(0)
        model = llama_step.llama("tiny", torch.device("cpu")).float()
        optimizer = Kept(model.parameters(), lr=0.0)
        llama_step.update(model, optimizer, llama_step.WAYS[each](rows[:12], 2_048), torch.device("cpu"))
        gradients.append(optimizer.kept)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)


class Kept(torch.optim.SGD):
    """Keeps the gradients that a step was given."""

    def step(self, closure=None):
        self.kept = torch.cat([p.grad.flatten().clone() for group in self.param_groups for p in group["params"]])


def test_operations_are_six_for_each_weight_and_token_and_the_attentions(rows):
    model = llama_step.llama("tiny", torch.device("cpu"))
    some = rows[:3]
    weights = sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name)
    lengths = [len(tokens) for tokens, _ in some]
    attention = sum(6 * 2 * 64 * length**2 for length in lengths)
    assert llama_step.operations(model, [some], frozen=False) == 6 * weights * sum(lengths) + attention
    assert llama_step.operations(model, [some], frozen=True) == 4 * weights * sum(lengths) + attention


def test_rows_are_never_longer_than_the_source_allowed(rows):
    assert max(len(tokens) for tokens, _ in rows) <= llama_step.LONGEST
    assert all((labels != NOT_ASKED).any() for _, labels in rows)
