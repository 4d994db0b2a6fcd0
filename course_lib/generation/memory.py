"""What of a long conversation does a model get to read again? Four memories (notebook 11).

A memory takes the turns so far and gives those that go into the next prompt. Each turn stays whole: half a question
helps nobody. (LangChain's ConversationBufferWindowMemory(k=2) is `last_turns(2)`.)
"""

from collections.abc import Callable, Sequence

from course_lib.generation.turns import Turn

Memory = Callable[[Sequence[Turn]], list[Turn]]
SUMMARY_MESSAGE = "What was said before, in short?"


def whole_history(turns: Sequence[Turn]) -> list[Turn]:
    """All turns."""
    return list(turns)


def last_turns(k: int) -> Memory:
    """The last k turns; k = 0 remembers none.

    (`turns[-k:]` would give all of them for k = 0, as an old version of LangChain's window did.)
    Raises ValueError for k below 0.
    """
    if k < 0:
        raise ValueError(f"k must be at least 0, got {k}; 0 remembers no turn")

    def remember(turns: Sequence[Turn]) -> list[Turn]:
        return list(turns[max(len(turns) - k, 0) :])

    return remember


def token_budget(budget: int, count: Callable[[str], int]) -> Memory:
    """As many of the last turns, whole ones, as have at most `budget` tokens in messages and replies together.

    `count` gives a text's tokens, such as `turns.Counter(tokenizer)`. It is applied whenever a prompt is made, not when
    a turn is kept, so that no prompt is ever over it. Raises ValueError for a budget below 0.
    """
    if budget < 0:
        raise ValueError(f"budget must be at least 0 tokens, got {budget}")

    def remember(turns: Sequence[Turn]) -> list[Turn]:
        left, kept = budget, []
        for turn in reversed(turns):
            left -= count(turn.message) + count(turn.reply)
            if left < 0:
                break
            kept.append(turn)
        return kept[::-1]

    return remember


def with_summary(memory: Memory, summarise: Callable[[Sequence[Turn]], str]) -> Memory:
    """A memory, and before what it remembers a summary of what it does not, as one turn in a slot of its own.

    `summarise` gets the forgotten turns; it is called only when there are others than before.
    """
    last: tuple[tuple[Turn, ...], str] = ((), "")

    def remember(turns: Sequence[Turn]) -> list[Turn]:
        nonlocal last
        kept = memory(turns)
        forgotten = tuple(turns[: len(turns) - len(kept)])
        if not forgotten:
            return kept
        if forgotten != last[0]:
            last = (forgotten, summarise(forgotten))
        return [Turn(SUMMARY_MESSAGE, "", last[1], 0, 0, 0.0), *kept]

    return remember
