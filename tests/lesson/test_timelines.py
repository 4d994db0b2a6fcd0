import warnings
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from course_lib.lesson.figures import PALETTE
from course_lib.lesson.timelines import message_timeline, turn_timeline
from course_lib.parallel.messages import Message
from course_lib.parallel.pipeline import Turn

MESSAGES = [
    Message("scatter-reduce", 0, 0, 1, 0, 8, 5.000, 5.002),
    Message("scatter-reduce", 0, 1, 0, 1, 8, 5.001, 5.003),
    Message("allgather", 0, 0, 1, 1, 8, 5.004, 5.005),
    Message("allgather", 0, 1, 0, 0, 8, 5.004, 5.006),
]
TURNS = [Turn("forward", 0, 0, 2.0, 2.1), Turn("forward", 1, 0, 2.1, 2.2), Turn("backward", 1, 0, 2.2, 2.4)]


def drawn(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()
    return figure.axes


def test_each_phase_has_a_panel_in_the_order_of_time():
    panels = drawn(message_timeline(MESSAGES[::-1], 2, "Two ranks"))
    assert [panel.get_title() for panel in panels] == ["scatter-reduce", "allgather"]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["0", "1", "0"]


def test_an_arrow_goes_from_the_senders_start_to_the_next_ranks_end_in_the_chunks_colour():
    arrow = drawn(message_timeline(MESSAGES, 2, "Two ranks"))[0].texts[1]
    assert arrow.xyann == pytest.approx((1.0, 1))
    assert arrow.xy == pytest.approx((3.0, 2))
    assert arrow.arrowprops["color"] == PALETTE[1]


def test_a_message_that_leaves_the_ring_is_refused():
    with pytest.raises(ValueError, match="from rank 0 to 0, which is not the next of 2"):
        message_timeline([replace(MESSAGES[0], receiver=0)], 2, "t")


@pytest.mark.parametrize(("messages", "ranks"), [([], 2), (MESSAGES, 17)])
def test_what_cannot_be_drawn_as_messages_is_refused(messages, ranks):
    with pytest.raises(ValueError, match="expected messages of 1 to 16 ranks"):
        message_timeline(messages, ranks, "t")


def test_turns_are_bars_with_the_micro_batches_number():
    (axes,) = drawn(turn_timeline(TURNS, "Two stages"))
    bars = [(round(bar.get_x()), round(bar.get_width()), round(bar.get_y() + 0.4)) for bar in axes.patches]
    assert bars == [(0, 100, 0), (100, 100, 1), (200, 200, 1)]
    assert [text.get_text() for text in axes.texts] == ["0", "0", "0"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["forward", "backward"]


def test_turns_can_be_drawn_into_a_part_of_a_figure():
    panels = Figure().subplots(2)
    assert turn_timeline(TURNS, "below", panels[1]) is panels[1].figure
    assert [len(panel.patches) for panel in panels] == [0, 3]


@pytest.mark.parametrize("turns", [[], [replace(TURNS[0], rank=16)]])
def test_turns_that_cannot_be_drawn_are_refused(turns):
    with pytest.raises(ValueError, match="expected turns of 1 to 16 ranks"):
        turn_timeline(turns, "t")
