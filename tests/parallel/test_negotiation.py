import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.parallel.agreement import ROOM
from course_lib.parallel.negotiation import JOIN, Request, decoded, encoded, last_to_join, objection_to, request_for

SUM = request_for("allreduce", torch.ones(2, 3), "gradient", op="Sum")


@settings(max_examples=50)
@given(st.text(max_size=300), st.lists(st.integers(0, 10**6), max_size=6), st.floats(0.001, 1000))
def test_a_request_arrives_as_it_was_said_whatever_its_name(name, shape, scale):
    request = Request("allreduce", "bfloat16", tuple(shape), "Average", prescale=scale, name=name)
    text = encoded(request)
    assert len(text.encode()) <= ROOM
    told = decoded(text)
    assert (told.shape, told.prescale) == (request.shape, scale)
    assert told.name == name or len(name.encode()) > 100


def test_long_names_that_differ_at_their_ends_stay_different():
    first, second = (decoded(encoded(Request("allreduce", name="layer." * 50 + end))) for end in "ab")
    assert first != second
    assert objection_to([first, second]).startswith("Mismatched tensor names")


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (request_for("allreduce", torch.ones(2, 3).double(), "gradient", op="Sum"), "data types"),
        (request_for("allgather", torch.ones(2, 3), "gradient"), "operations"),
        (request_for("allreduce", torch.ones(2, 3), "gradient", op="Max"), "reduction operations"),
        (request_for("allreduce", torch.ones(3, 3), "gradient", op="Sum"), "allreduce tensor shapes"),
        (request_for("allreduce", torch.ones(2, 3), "gradient", op="Sum", prescale=0.5), "prescale and/or postscale"),
        (request_for("allreduce", torch.ones(2, 3), "bias", op="Sum"), "tensor names"),
    ],
)
def test_what_differs_is_named_as_horovod_names_it_with_the_two_ranks(other, what):
    objection = objection_to([Request(JOIN), SUM, SUM, other])
    assert objection.startswith(f"Mismatched {what}")
    assert f"rank 1 called {SUM}; rank 3 called {other}." in objection


def test_roots_and_rows_are_compared_where_they_matter():
    roots = [request_for("broadcast", torch.ones(2), root=root) for root in (0, 1)]
    assert objection_to(roots).startswith("Mismatched broadcast root ranks")
    for operation in ("allgather", "alltoall"):
        assert objection_to([request_for(operation, torch.ones(rows, 3)) for rows in (0, 5)]) is None
        assert "tensor shapes" in objection_to([request_for(operation, torch.ones(2, size)) for size in (3, 4)])
        assert "tensor shapes" in objection_to([request_for(operation, torch.ones(*size)) for size in ([2], [2, 1])])


@pytest.mark.parametrize("operation", ["allgather", "alltoall", "broadcast", "reducescatter"])
def test_what_zeros_cannot_stand_for_does_not_go_with_join(operation):
    request = request_for(operation, torch.ones(2))
    assert objection_to([request, request]) is None
    assert f"{operation.capitalize()} is not supported with join: rank 0" in objection_to([Request(JOIN), request])


@pytest.mark.parametrize(("op", "possible"), [("Sum", True), ("Average", True), ("Adasum", True), ("Max", False)])
def test_reductions_go_with_join_if_a_zero_changes_nothing_in_the_sum(op, possible):
    objection = objection_to([request_for("allreduce", torch.ones(2), op=op), Request(JOIN)])
    assert (objection is None) == possible


def test_the_last_to_join_has_most_behind_it():
    assert objection_to([Request(JOIN)] * 3) is None
    assert last_to_join([Request(JOIN, done=done) for done in (3, 7, 5)]) == 1
    assert last_to_join([Request(JOIN, done=done) for done in (7, 3, 7)]) == 2


def test_too_many_dimensions_are_refused():
    with pytest.raises(ValueError, match="100 dimensions is too much"):
        encoded(Request("allreduce", shape=(1000,) * 100))
