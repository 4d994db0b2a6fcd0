"""What sinusoidal positions must do: the formula number by number, and a shift that is the same turn everywhere."""

import math

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.comparing import difference
from course_lib.exercises.properties.examples import (
    Mistake,
    answer_to,
    expect_tensor,
    recognised,
    smallest_first,
)
from course_lib.exercises.properties.mistakes import equals, has_shape
from course_lib.exercises.properties.parity import same_as

# The table.


def _table(angle, sine_first=True, first=0):
    """Number by number: pairs of a sine and a cosine of `angle(place, pair, embedding)`."""

    def table(length, embedding):
        found = torch.zeros(length, embedding, dtype=torch.float64)
        for place in range(length):
            for pair in range(embedding // 2):
                turned = angle(place + first, pair, embedding)
                sine, cosine = math.sin(turned), math.cos(turned)
                found[place, 2 * pair] = sine if sine_first else cosine
                found[place, 2 * pair + 1] = cosine if sine_first else sine
        return found.float()

    return table


def _angle(place, pair, embedding, base=10_000.0):
    return place / base ** (2 * pair / embedding)


_formula = _table(_angle)


def _halves(length, embedding):
    table = _formula(length, embedding)
    return torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)


def _own_rates(length, embedding):
    """Each feature turns at a rate of its own, so that sine and cosine are no pair."""
    found = torch.zeros(length, embedding, dtype=torch.float64)
    for place in range(length):
        for feature in range(embedding):
            turned = place / 10_000 ** (feature / embedding)
            found[place, feature] = math.cos(turned) if feature % 2 else math.sin(turned)
    return found.float()


def _sines_only(length, embedding):
    return _formula(length, embedding)[:, 0::2].repeat_interleave(2, dim=1)


TABLE_MISTAKES = [
    equals("swapped", _table(_angle, sine_first=False)),
    equals("halves", _halves),
    equals("from_one", _table(_angle, first=1)),
    equals("half_exponent", _table(lambda place, pair, embedding: place / 10_000 ** (pair / embedding))),
    equals("double_exponent", _table(lambda place, pair, embedding: place / 10_000 ** (4 * pair / embedding))),
    equals("undivided", _table(lambda place, pair, embedding: place / 10_000 ** (2 * pair))),
    equals("to_the_end", _table(lambda place, pair, embedding: place / 10_000 ** (pair / max(embedding // 2 - 1, 1)))),
    equals("degrees", _table(lambda *given: math.radians(_angle(*given)))),
    equals("growing", _table(lambda place, pair, embedding: place * 10_000 ** (2 * pair / embedding)), tolerance=0.2),
    equals("other_base", _table(lambda *given: _angle(*given, base=1_000.0))),
    equals("other_base", _table(lambda *given: _angle(*given, base=math.e))),
    equals("one_rate", _table(lambda place, pair, embedding: place)),
    equals("own_rates", _own_rates),
    equals("sines_only", _sines_only),
    equals("transposed", lambda length, embedding: _formula(length, embedding).T),
    has_shape("transposed", lambda example: (example["embedding"], example["length"])),
]


def sizes(*pairs):
    return [{"length": length, "embedding": embedding} for length, embedding in pairs]


TOLERANCE = 1e-3  # an angle of 500 in 32 bits is known to a few hundred-thousandths


def equals_formula(position_table, examples):
    same_as(
        position_table,
        _formula,
        examples,
        reference_name="the formula, number by number",
        tolerance=TOLERANCE,
        mistakes=TABLE_MISTAKES,
    )


def _rows(position_table, example, failed):
    output = answer_to(position_table, example)
    return expect_tensor(output, tuple(example.values()), example, failed, TABLE_MISTAKES).double(), output


def pairs_are_on_a_circle(position_table, examples):
    failed = "each pair of features lies on a circle of radius 1, and place 0 at 0, 1"
    for example in smallest_first(examples):
        rows, output = _rows(position_table, example, failed)
        radii = rows.unflatten(1, (-1, 2)).norm(dim=-1)
        expected, found = torch.ones_like(radii), radii
        if difference(expected, found, TOLERANCE) is None:
            expected, found = torch.tensor([0.0, 1.0]).repeat(example["embedding"] // 2), rows[0]
        if differs := difference(expected, found, TOLERANCE):
            raise PropertyFailed(failed, differs, example, output, recognised(TABLE_MISTAKES, example, output))


def likeness_goes_by_distance(position_table, examples):
    failed = "how alike two places are depends on their distance alone"
    for example in smallest_first(examples):
        rows, output = _rows(position_table, example, failed)
        alike = rows @ rows.T / (example["embedding"] / 2)  # [length, length]
        for distance in range(len(rows)):
            diagonal = alike.diagonal(distance)
            if (spread := (diagonal.max() - diagonal.min()).item()) > TOLERANCE:
                found = f"at the distance {distance} the products differ by {spread:.3g}"
                raise PropertyFailed(failed, found, example, output, recognised(TABLE_MISTAKES, example, output))


# The turn.


def _turned(block, angle=_angle):
    """A matrix of blocks of two by two, `block(sine, cosine)` of the angle that belongs to the pair."""

    def matrix(places, embedding):
        angles = [angle(places, pair, embedding) for pair in range(embedding // 2)]
        return torch.block_diag(*(torch.tensor(block(math.sin(turned), math.cos(turned))) for turned in angles))

    return matrix


def _forward(sine, cosine):
    return [[cosine, sine], [-sine, cosine]]


def _in_halves(places, embedding):
    order = torch.cat([torch.arange(0, embedding, 2), torch.arange(1, embedding, 2)])
    return _turned(_forward)(places, embedding)[order][:, order]


TURN_MISTAKES = [
    Mistake("turns_nothing", lambda example, output: torch.equal(output, torch.eye(example["embedding"]))),
    equals("backward", _turned(lambda sine, cosine: [[cosine, -sine], [sine, cosine]])),
    equals("mirrored", _turned(lambda sine, cosine: [[cosine, sine], [sine, cosine]])),
    equals("mirrored", _turned(lambda sine, cosine: [[cosine, sine], [sine, -cosine]])),
    equals("one_place", _turned(_forward, lambda places, pair, embedding: _angle(1, pair, embedding))),
    equals("rate_of_the_first", _turned(_forward, lambda places, pair, embedding: places)),
    equals("turned_in_halves", _in_halves),
]


def shifts(*pairs):
    return [{"places": places, "embedding": embedding} for places, embedding in pairs]


def _matrix(turn, example, failed):
    output = answer_to(turn, example)
    shape = (example["embedding"], example["embedding"])
    return expect_tensor(output, shape, example, failed, TURN_MISTAKES).double(), output


def shift_is_a_turn(turn, examples, length=12):
    """The known table, so that a mistake in the learner's own does not count twice."""
    failed = "turn(k) takes the row of each place to the row k places on"
    for example in smallest_first(examples):
        matrix, output = _matrix(turn, example, failed)
        rows = _formula(length, example["embedding"]).double()
        further = _table(_angle, first=example["places"])(length, example["embedding"]).double()
        for place in range(length):
            given = matrix @ rows[place]
            if differs := difference(further[place], given, TOLERANCE):
                shown = {
                    **example,
                    "place": place,
                    "its row": rows[place].float(),
                    "k places on": further[place].float(),
                }
                found = f"from place {place}, {differs}"
                raise PropertyFailed(failed, found, shown, output, recognised(TURN_MISTAKES, example, output))


def turns_add_up(turn, pairs, embedding):
    """Turning by a, then by b, is turning by a + b; so turning back undoes it, and no length changes."""
    failed = "turning by a, then by b, is turning by a + b"
    for first, second in pairs:
        examples = shifts((first, embedding), (second, embedding), (first + second, embedding))
        (one, output), (other, _), (both, _) = (_matrix(turn, example, failed) for example in examples)
        mistake = recognised(TURN_MISTAKES, examples[0], output)
        if differs := difference(both, other @ one, TOLERANCE):
            found = f"for a = {first} and b = {second}, {differs}"
            raise PropertyFailed(failed, found, examples[0], {"turn(a)": output}, mistake)
        if differs := difference(torch.eye(embedding), one @ one.T, TOLERANCE):
            raise PropertyFailed("a turn changes no length", differs, examples[0], output, mistake)


def equals_the_formula(position_table):
    """The table is the paper's, number by number."""
    equals_formula(position_table, sizes((3, 6), (7, 4), (40, 16)))


def pairs_on_a_circle(position_table):
    """Sine and cosine of one angle are neighbours, and begin at 0, 1."""
    pairs_are_on_a_circle(position_table, sizes((3, 6), (20, 8)))


def likeness_by_distance(position_table):
    """How alike two places are depends on their distance alone."""
    likeness_goes_by_distance(position_table, sizes((6, 4), (20, 8)))


def shift_turns_all_places(turn):
    """A shift is the same turn for all places."""
    shift_is_a_turn(turn, shifts((1, 2), (2, 4), (5, 6), (-3, 4)))


def turns_are_added(turn):
    """Two turns make one, and none changes a length."""
    turns_add_up(turn, [(2, 3), (5, -5), (0, 1)], embedding=4)


CHECKS = [equals_the_formula, pairs_on_a_circle, likeness_by_distance, shift_turns_all_places, turns_are_added]
