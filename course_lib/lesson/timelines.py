"""Who sent what to whom, and when? And who worked, and who waited? Records of many ranks, drawn over time."""

from collections.abc import Sequence
from typing import Any

from course_lib.lesson.figures import PALETTE

MOST_RANKS = 16
ROW_INCHES = 0.5


def message_timeline(messages: Sequence[Any], ranks: int, title: str) -> Any:
    """A matplotlib Figure of messages round a ring: arrows from the sender, at the start, to the receiver, at the end.

    `messages`: with `sender`, `receiver`, `chunk`, `phase`, `start` and `end` (seconds), as
    `course_lib.parallel.messages.Message` has them. A colour for each chunk; a panel for each phase, in the order of
    time. Rank 0 stands once more at the top, so that the last rank's arrows need not cross all others. Show it with
    `course.figure(fig, alt=...)`.

    Raises ValueError for no message, for one that goes elsewhere than to the next rank, and for more than 16 ranks.
    """
    from matplotlib.figure import Figure

    if not messages or not 1 <= ranks <= MOST_RANKS:
        raise ValueError(f"expected messages of 1 to {MOST_RANKS} ranks, got {len(messages)} messages of {ranks}")
    for message in messages:
        if message.receiver != (message.sender + 1) % ranks:
            raise ValueError(
                f"a message goes from rank {message.sender} to {message.receiver}, which is not the next of {ranks}; "
                "only a ring's messages can be drawn"
            )
    first = min(message.start for message in messages)
    phases = list(dict.fromkeys(message.phase for message in sorted(messages, key=lambda each: each.start)))
    figure = Figure(figsize=(7.2, 1.2 + ROW_INCHES * ranks), layout="constrained")
    panels = figure.subplots(1, len(phases), sharey=True, squeeze=False)[0]
    for panel, phase in zip(panels, phases, strict=True):
        for message in (each for each in messages if each.phase == phase):
            times = [1_000 * (moment - first) for moment in (message.start, message.end)]
            colour = PALETTE[(message.chunk or 0) % len(PALETTE)]
            ends = {"xy": (times[1], message.sender + 1), "xytext": (times[0], message.sender)}
            panel.annotate("", **ends, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.8})
            panel.plot(times, [message.sender, message.sender + 1], alpha=0)  # an arrow alone sets no limits
        panel.set(title=phase, xlabel="milliseconds", ylim=(-0.3, ranks + 0.3))
        panel.set_yticks(range(ranks + 1), [*map(str, range(ranks)), "0"])
    panels[0].set_ylabel("rank")
    chunks = sorted({message.chunk for message in messages if message.chunk is not None})
    for chunk in chunks:
        panels[0].plot([], [], color=PALETTE[chunk % len(PALETTE)], label=f"chunk {chunk}")
    if chunks:
        figure.legend(loc="outside right upper")
    figure.suptitle(title, fontsize=12)
    return figure


def turn_timeline(turns: Sequence[Any], title: str, axes: Any = None) -> Any:
    """Each rank's turns as bars over time, with the micro-batch's number in each; white is waiting.

    `turns`: with `kind`, `rank`, `micro_batch`, `start` and `end` (seconds), as `course_lib.parallel.pipeline.Turn` has
    them; a colour for each kind. Draws into `axes`, or into a new matplotlib Figure, which is returned either way.

    Raises ValueError for no turn and for more than 16 ranks.
    """
    from matplotlib.figure import Figure

    ranks = 1 + max((turn.rank for turn in turns), default=-1)
    if not 1 <= ranks <= MOST_RANKS:
        raise ValueError(f"expected turns of 1 to {MOST_RANKS} ranks, got {len(turns)} turns of {ranks}")
    if axes is None:
        axes = Figure(figsize=(8.0, 1.3 + ROW_INCHES * ranks), layout="constrained").subplots()
    first = min(turn.start for turn in turns)
    kinds = list(dict.fromkeys(turn.kind for turn in sorted(turns, key=lambda each: each.start)))
    for number, kind in enumerate(kinds):
        own = [turn for turn in turns if turn.kind == kind]
        axes.barh(
            [turn.rank for turn in own],
            [1_000 * (turn.end - turn.start) for turn in own],
            left=[1_000 * (turn.start - first) for turn in own],
            height=0.8,
            color=PALETTE[number % len(PALETTE)],
            edgecolor="white",
            label=kind,
        )
        for turn in own:
            middle = 1_000 * ((turn.start + turn.end) / 2 - first)
            axes.text(middle, turn.rank, str(turn.micro_batch), ha="center", va="center", color="white")
    axes.set(title=title, xlabel="milliseconds", ylabel="rank", yticks=range(ranks), ylim=(ranks - 0.5, -0.5))
    axes.grid(visible=False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return axes.figure
