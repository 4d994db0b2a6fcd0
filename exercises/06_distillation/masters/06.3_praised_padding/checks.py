"""What a triple loss must do: each term equals torch's own, at its own places, and padding changes none of them."""

from typing import Any, NamedTuple

import torch
from torch.nn.functional import cosine_embedding_loss, cross_entropy, kl_div, pad

from course_lib.data.masking import NOT_ASKED
from course_lib.exercises.properties.batches import padding_changes_nothing
from course_lib.exercises.properties.examples import Mistake
from course_lib.exercises.properties.mistakes import equals
from course_lib.exercises.properties.parity import same_as

PUBLISHED = (5.0, 2.0, 1.0)
PERMUTATIONS = [(0, 2, 1), (1, 0, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)]


def example(lengths, hidden, *, longest, vocabulary, embedding, temperature, weights, restricted, seed):
    """A batch with a text for each length and its hidden places, and rubbish on the padding."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, len(lengths), longest)
    logits = 2 * torch.randn(*shape, vocabulary, generator=generator)
    states = torch.randn(*shape, embedding, generator=generator)
    words = torch.randint(vocabulary, shape[1:], generator=generator)
    labels = torch.full_like(words, NOT_ASKED)
    for row, places in enumerate(hidden):
        labels[row, places] = words[row, places]
    return {
        "student": (logits[0], states[0]),
        "teacher": (logits[1], states[1]),
        "labels": labels,
        "is_word": torch.arange(longest) < torch.tensor(lengths)[:, None],
        "temperature": temperature,
        "weights": tuple(map(float, weights)),
        "restrict_to_hidden": restricted,
    }


def batches(*, weights, seed=1, restricted=(False, True)):
    """A small and a larger batch, for each of the restrictions."""
    small = {"longest": 4, "vocabulary": 6, "embedding": 3, "temperature": 2.0}
    large = {"longest": 8, "vocabulary": 9, "embedding": 5, "temperature": 3.0}
    for restrict in restricted:
        options = {"weights": weights, "restricted": restrict, "seed": seed}
        yield example([2, 3], [[1], [0, 2]], **small, **options)
        yield example([6, 1, 7], [[0, 4], [], [3, 5, 6]], **large, **options)


class Batch(NamedTuple):
    """The arguments, and what follows from them."""

    student: tuple[torch.Tensor, torch.Tensor]
    teacher: tuple[torch.Tensor, torch.Tensor]
    labels: torch.Tensor
    is_word: torch.Tensor
    temperature: float
    weights: tuple[float, float, float]
    restrict_to_hidden: bool

    @property
    def hidden(self):
        return self.labels.ne(NOT_ASKED)

    @property
    def everywhere(self):
        return torch.ones_like(self.is_word)

    @property
    def compared(self):
        return self.hidden if self.restrict_to_hidden else self.is_word


# Each term by torch's own function, on the places that it is given.


def divergence(it, places=None, *, temperature=None, reverse=False):
    """KL(teacher ‖ student), softened, without T²."""
    places = it.compared if places is None else places
    by = it.temperature if temperature is None else temperature
    student, teacher = (logits[places].div(by).log_softmax(-1) for logits in (it.student[0], it.teacher[0]))
    first, second = (teacher, student) if reverse else (student, teacher)
    return kl_div(first, second, reduction="batchmean", log_target=True)


def squared(it, places=None, **options):
    return it.temperature**2 * divergence(it, places, **options)


def guesses(it, labels=None, temperature=1.0):
    labels = it.labels if labels is None else labels
    return cross_entropy((it.student[0] / temperature).flatten(0, 1), labels.flatten(), ignore_index=NOT_ASKED)


def angles(it, places=None):
    places = it.is_word if places is None else places
    student, teacher = it.student[1][places], it.teacher[1][places]
    return cosine_embedding_loss(student, teacher, student.new_ones(len(student)))


def _loss(first=squared, second=guesses, third=angles, weighed=lambda weights: weights):
    """A triple loss with these terms, and with what `weighed` makes of the weights."""

    def loss(*arguments: Any):
        it = Batch(*arguments)
        terms = (first(it), second(it), third(it))
        return sum(weight * term for weight, term in zip(weighed(it.weights), terms, strict=True))

    return loss


torchs_own = _loss()


def _times(term, factor):
    return lambda it: factor(it) * term(it)


def _shares(term, own):
    """The term as a sum instead of a mean over its `own` places, or as a sum divided by other numbers of places."""
    others = {
        "summed": lambda it: 1,
        "by_texts": lambda it: len(it.labels),
        "diluted": lambda it: it.is_word.sum(),
        "diluted_by_all": lambda it: it.is_word.numel(),
    }
    return {name: _times(term, lambda it, by=by: own(it).sum() / by(it)) for name, by in others.items()}


def _not_logarithms(it):
    """Probabilities where kl_div wants the student's logarithms."""
    student, teacher = (
        logits[it.compared].div(it.temperature).softmax(-1) for logits in (it.student[0], it.teacher[0])
    )
    return it.temperature**2 * kl_div(student, teacher, reduction="batchmean")


def _permuted(order):
    return lambda weights: [weights[place] for place in order]


FIRST = _shares(squared, lambda it: it.compared)
SECOND = _shares(guesses, lambda it: it.hidden)
THIRD = _shares(angles, lambda it: it.is_word)
MISTAKES = [
    Mistake("not_one_number", lambda example, output: output.ndim > 0),
    *(equals("weights_ignored", _loss(weighed=lambda _, own=own: own)) for own in ((1, 1, 1), PUBLISHED)),
    *(equals("weights_mixed", _loss(weighed=_permuted(order))) for order in PERMUTATIONS),
    equals("weights_divided", _loss(weighed=lambda weights: [weight / sum(weights) for weight in weights])),
    equals("reversed", _loss(lambda it: squared(it, reverse=True))),
    equals("without_square", _loss(divergence)),
    equals("once", _loss(lambda it: it.temperature * divergence(it))),
    equals("unsoftened", _loss(lambda it: divergence(it, temperature=1.0))),
    equals("unsoftened", _loss(lambda it: squared(it, temperature=1.0))),
    equals("not_restricted", _loss(lambda it: squared(it, it.is_word))),
    equals("always_restricted", _loss(lambda it: squared(it, it.hidden))),
    equals("divergence_on_padding", _loss(lambda it: squared(it, it.everywhere))),
    equals("not_logarithms", _loss(_not_logarithms)),
    equals("over_vocabulary", _loss(_times(squared, lambda it: 1 / it.student[0].shape[-1]))),
    *(equals("divergence_divided", _loss(term)) for term in FIRST.values()),
    equals("asks_everywhere", _loss(second=lambda it: guesses(it, it.labels.clamp(min=0)))),
    equals("softened_guesses", _loss(second=lambda it: guesses(it, temperature=it.temperature))),
    *(equals("guesses_divided", _loss(second=term)) for term in SECOND.values()),
    equals("angles_on_padding", _loss(third=lambda it: angles(it, it.everywhere))),
    equals("angles_restricted", _loss(third=lambda it: angles(it, it.compared))),
    equals("angles_restricted", _loss(third=lambda it: angles(it, it.hidden))),
    equals("similarity", _loss(third=lambda it: 1 - angles(it))),
    equals("similarity", _loss(third=lambda it: angles(it) - 1)),
    equals("similarity", _loss(third=lambda it: -angles(it))),
    *(equals("angles_divided", _loss(third=term)) for term in THIRD.values()),
]


def as_torch(triple_loss, examples):
    same_as(triple_loss, torchs_own, examples, mistakes=MISTAKES)


def _pad(example, places):
    """Further places without a word, on which the models have the same states and say different things."""
    (student, student_states), (teacher, teacher_states) = (
        [pad(part, (0, 0, 0, places), value=3.0) for part in example[who]] for who in ("student", "teacher")
    )
    teacher[:, -places:, 0] = -3.0
    return {
        **example,
        "student": (student, student_states),
        "teacher": (teacher, teacher_states),
        "labels": pad(example["labels"], (0, places), value=NOT_ASKED),
        "is_word": pad(example["is_word"], (0, places)),
    }


def more_padding(triple_loss, examples):
    padding_changes_nothing(triple_loss, examples, pad=_pad, mistakes=MISTAKES)


def divergence_over_words(triple_loss):
    """Not restricted, the divergence is torch's own, a mean over the words."""
    as_torch(triple_loss, batches(weights=(1, 0, 0), restricted=[False]))


def divergence_at_hidden_words(triple_loss):
    """Restricted, it is a mean over the hidden words alone."""
    as_torch(triple_loss, batches(weights=(1, 0, 0), restricted=[True]))


def guesses_of_hidden_words(triple_loss):
    """The cross-entropy is torch's own, a mean over the hidden words."""
    as_torch(triple_loss, batches(weights=(0, 1, 0)))


def angles_at_words(triple_loss):
    """The angle is torch's own, a mean over the words, whatever is restricted."""
    as_torch(triple_loss, batches(weights=(0, 0, 1)))


def weighted_sum(triple_loss):
    """The loss is the sum of the three, each times its weight."""
    as_torch(triple_loss, [*batches(weights=PUBLISHED), *batches(weights=(2, 3, 7), seed=2)])


def padding_counts_nothing(triple_loss):
    """More padding leaves the loss as it is."""
    more_padding(triple_loss, batches(weights=PUBLISHED))


CHECKS = [
    divergence_over_words,
    divergence_at_hidden_words,
    guesses_of_hidden_words,
    angles_at_words,
    weighted_sum,
    padding_counts_nothing,
]
