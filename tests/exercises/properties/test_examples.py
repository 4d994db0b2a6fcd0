"""What a learner's code may give back, however odd, becomes a clear failure with its example."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.exercises.failures import AnswerRaised, PropertyFailed
from course_lib.exercises.properties.examples import (
    Mistake,
    answer_to,
    as_tensor,
    close,
    contains_nan,
    copy_of,
    described,
    expect_tensor,
    part_of,
    recognised,
    smallest_first,
)

EXAMPLE = {"energies": torch.zeros(2, 3)}


class Odd:
    def __repr__(self):
        raise RuntimeError("no text")


ODD_ANSWERS = [
    pytest.param(None, "got None (is there a `return`?)", "not_a_tensor", id="None"),
    pytest.param((torch.zeros(2, 3), 1), "got a tuple of 2", "not_a_tensor", id="tuple"),
    pytest.param([[0.0] * 3] * 2, "got a list of 2", "not_a_tensor", id="list"),
    pytest.param(1.5, "got the float 1.5", "not_a_tensor", id="number"),
    pytest.param(10**30, "got the int 1000", "not_a_tensor", id="huge number"),
    pytest.param("words", "got the str 'words'", "not_a_tensor", id="words"),
    pytest.param(Odd(), "got Odd", "not_a_tensor", id="object without text"),
    pytest.param(torch.zeros(2, 3).bool(), "got a bool tensor of shape [2, 3]", "not_a_tensor", id="bool"),
    pytest.param(torch.zeros(2, 3).cfloat(), "got a complex64 tensor", "not_a_tensor", id="complex"),
    pytest.param(torch.zeros(2, 3).to_sparse(), "got a sparse float32 tensor", "not_a_tensor", id="sparse"),
    pytest.param(torch.zeros(2, 3, device="meta"), "got a float32 tensor", "not_a_tensor", id="meta"),
    pytest.param(torch.zeros(3, 2), "expected the shape [2, 3], got the shape [3, 2]", "wrong_shape", id="transposed"),
    pytest.param(torch.zeros(()), "expected the shape [2, 3], got the shape []", "wrong_shape", id="0-d"),
    pytest.param(torch.full((2, 3), torch.nan), "there is NaN in the result", "nan", id="NaN"),
]
GOOD_ANSWERS = [
    pytest.param(torch.ones(2, 3, dtype=torch.float64), id="float64"),
    pytest.param(torch.ones(2, 3, dtype=torch.float16), id="float16"),
    pytest.param(torch.ones(2, 3, dtype=torch.int32), id="int"),
    pytest.param(torch.ones(3, 2).T, id="not contiguous"),
    pytest.param(torch.ones(1, 3).expand(2, 3), id="expanded"),
    pytest.param(torch.ones(2, 3, requires_grad=True), id="requires grad"),
    pytest.param(torch.nn.Parameter(torch.ones(2, 3)), id="parameter"),
]


@pytest.mark.parametrize(("answer", "found", "mistake"), ODD_ANSWERS)
def test_what_is_no_tensor_of_the_shape_asked_for_is_refused_by_name(answer, found, mistake):
    with pytest.raises(PropertyFailed) as failure:
        expect_tensor(answer, (2, 3), EXAMPLE, "it holds")
    assert failure.value.found.endswith(found) or found in failure.value.found
    assert failure.value.mistake == mistake
    assert failure.value.example is EXAMPLE
    assert failure.value.answer is answer


@pytest.mark.parametrize("answer", GOOD_ANSWERS)
def test_any_tensor_of_numbers_of_the_shape_will_do(answer):
    tensor = expect_tensor(answer, (2, 3), EXAMPLE, "it holds")
    assert not tensor.requires_grad
    assert (tensor == 1).all()


@pytest.mark.parametrize("answer", [0.5, torch.tensor(0.5), torch.tensor(0.5, requires_grad=True)])
def test_a_plain_number_is_a_tensor_without_axes(answer):
    assert expect_tensor(answer, (), {}, "it holds").item() == 0.5


@pytest.mark.parametrize("answer", [True, "0.5", None, 10**30, torch.tensor([0.5]), float("nan")])
def test_what_is_no_number_is_refused_where_one_is_asked_for(answer):
    with pytest.raises(PropertyFailed, match=r"a number or a tensor without axes|NaN"):
        expect_tensor(answer, (), {}, "it holds")


def test_a_known_mistake_is_named_before_the_wrong_shape_or_nan():
    transposed = Mistake("transposed", lambda example, output: output.shape == (3, 2))
    wrong_axis = Mistake("wrong_axis", lambda example, output: output.isnan().any())
    for answer, key in [(torch.zeros(3, 2), "transposed"), (torch.full((2, 3), torch.nan), "wrong_axis")]:
        with pytest.raises(PropertyFailed) as failure:
            expect_tensor(answer, (2, 3), EXAMPLE, "it holds", [transposed, wrong_axis])
        assert failure.value.mistake == key


def test_the_first_recogniser_that_can_read_the_answer_names_it():
    stumbles = Mistake("stumbles", lambda example, output: output.no_such_thing)
    says_no = Mistake("says_no", lambda example, output: False)
    first, second = (Mistake(key, lambda example, output: True) for key in ("first", "second"))
    assert recognised([stumbles, says_no, first, second], {}, None) == "first"
    assert recognised([stumbles, says_no], {}, None) is None


def test_an_answer_cannot_change_its_arguments_however_deep_they_are():
    example = {"states": (torch.zeros(2), [torch.zeros(2)]), "words": ["a"], "names": {"x": torch.zeros(2)}}

    def changes_all(states, words, names):
        states[0].add_(1)
        states[1].append(states[1][0].mul_(0).add_(1))
        words.append("b")
        names["x"] += 1

    answer_to(changes_all, example)
    assert example["words"] == ["a"]
    assert len(example["states"][1]) == 1
    assert not any(tensor.any() for tensor in (*example["states"][:1], *example["states"][1], example["names"]["x"]))


def test_copies_keep_what_autograd_needs_to_know():
    assert copy_of(torch.zeros(2, requires_grad=True)).requires_grad
    assert copy_of(torch.zeros(2, requires_grad=True) * 2).is_leaf
    assert copy_of(print) is print


class RaisesInItsText(Exception):  # noqa: N818
    def __str__(self):
        raise ValueError("not even this")


class OutsideException(BaseException):
    pass


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("too long"), "your code raised ValueError: too long"),
        (NotImplementedError(), "your code raised NotImplementedError"),
        (SystemExit(0), "your code raised SystemExit: 0"),
        (GeneratorExit(), "your code raised GeneratorExit"),
        (OutsideException("x"), "your code raised OutsideException: x"),
        (RaisesInItsText(), "your code raised RaisesInItsText: (its text cannot be shown: ValueError)"),
        (ValueError("x" * 10_000), "your code raised ValueError: " + "x" * 500 + " …"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_the_answer_comes_with_the_example_that_raised_it(error, told):
    def answer(energies):
        raise error

    with pytest.raises(AnswerRaised) as raised:
        answer_to(answer, EXAMPLE)
    assert str(raised.value) == told
    assert raised.value.example is EXAMPLE
    assert raised.value.where.splitlines()[-1].endswith(": raise error")


def test_ctrl_c_passes_through_an_answer():
    def answer(energies):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_to(answer, EXAMPLE)


def test_failures_of_a_remote_answer_get_the_example_they_lack():
    def remote(energies):
        raise AnswerRaised("TimeLimit", "more than 10 s")

    with pytest.raises(AnswerRaised) as raised:
        answer_to(remote, EXAMPLE)
    assert raised.value.example is EXAMPLE
    assert raised.value.kind == "TimeLimit"


def test_part_of_an_answer_is_asked_for_by_name_of_its_form():
    assert answer_to(part_of(lambda x: (x, x + 1), 1, of=2), {"x": 1}) == 2
    for answer in (None, 3, (1,), (1, 2, 3), torch.zeros(2)):
        with pytest.raises(PropertyFailed, match="the answer is a tuple of 2: expected 2 things, got ") as failure:
            answer_to(part_of(lambda x, answer=answer: answer, 1, of=2), {"x": 1})
        assert failure.value.example == {"x": 1}


def test_examples_are_tried_by_size_and_then_in_their_order():
    sizes = [(3, 3), (1, 2), (2, 2), (1, 4)]
    examples = [{"x": torch.zeros(size), "words": ["a"]} for size in sizes]
    assert [tuple(example["x"].shape) for example in smallest_first(iter(examples))] == [(1, 2), (2, 2), (1, 4), (3, 3)]
    nested = [{"x": {"a": [torch.zeros(5)], "b": "word"}}, {"x": ("ab", 1)}]
    assert smallest_first(nested) == nested[::-1]


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=4))
def test_a_tensor_is_close_to_itself_also_where_it_is_infinite(numbers):
    tensor = torch.tensor(numbers, dtype=torch.float64)
    assert close(tensor, tensor.clone(), 0.0)
    assert not close(tensor, torch.full_like(tensor, torch.nan), 1.0)


def test_what_is_not_close():
    assert not close(torch.zeros(2), torch.zeros(1, 2), 1.0)
    assert not close(torch.zeros(2), torch.tensor([0.0, 0.2]), 0.1)
    assert not close(torch.tensor([torch.inf]), torch.tensor([-torch.inf]), 0.1)
    assert close(torch.zeros(0), torch.zeros(0), 0.0)


def test_nan_is_found_in_answers_of_any_form():
    assert contains_nan({"a": [1, (torch.tensor([0.0, torch.nan]),)]})
    assert contains_nan(float("nan"))
    assert not contains_nan({"a": [1, "nan", None, True, (torch.zeros(2, dtype=torch.int64),)]})


def test_only_ordinary_numbers_become_tensors():
    assert all(as_tensor(odd) is None for odd in (None, True, "1", [1], 2**63, torch.zeros(2).to_sparse()))
    assert as_tensor(2) == torch.tensor(2)
    assert as_tensor(0.1).dtype == torch.float64


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_described_without_asking_for_its_shape():
    assert described(torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)])) == "a nested tensor"
