"""Which follow-ups can only be answered by one who remembers? Conversations about a list (notebooks 11, 12).

The first turn gives a list; each later one changes or asks about the list as the last answer left it: "Now sort them."
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from course_lib.data.alpaca_format import Conversation, Exchange
from course_lib.data.checkable_tasks import COUNTED, WORDS, content_of, draw_words, listed

MOST_TURNS = 4
MOST_ITEMS = 5

Answered = tuple[list[str], str, dict[str, str]]  # the list afterwards, the answer, what fills the wording's gaps


@dataclass(frozen=True)
class FollowUp:
    """What can be asked about the list; `answer` is None where the list is too short or too long for it."""

    name: str
    answer: Callable[[list[str], Random], Answered | None]
    wordings: tuple[str, ...]


def _changed(change: Callable[[list[str]], list[str]]) -> Callable[[list[str], Random], Answered | None]:
    def answer(words: list[str], random: Random) -> Answered | None:
        after = change(words)
        return after, listed(after), {}

    return answer


def _asked(ask: Callable[[list[str]], str]) -> Callable[[list[str], Random], Answered | None]:
    return lambda words, random: (words, ask(words), {})


def _added(words: list[str], random: Random) -> Answered | None:
    if len(words) >= MOST_ITEMS:
        return None
    new = random.choice([word for word in WORDS if word not in words])
    after = [*words, new]
    return after, listed(after), {"word": new}


def _without(words: list[str], random: Random) -> Answered | None:
    if len(words) < 3:
        return None
    gone = random.choice(words)
    after = [word for word in words if word != gone]
    return after, listed(after), {"word": gone}


FOLLOW_UPS = (
    FollowUp("reverse", _changed(lambda words: words[::-1]), ("Now reverse it.", "And reverse that.", "Backwards?")),
    FollowUp("sort words", _changed(sorted), ("Now sort them.", "And sort that.", "Now alphabetically, please.")),
    FollowUp("copy", _changed(list), ("Repeat that.", "Say that again.")),
    FollowUp("add item", _added, ("Add {word} at the end.", "Now append {word}.")),
    FollowUp("remove", _without, ("Now remove {word}.", "Take {word} out of it.")),
    FollowUp("first", _asked(lambda words: words[0]), ("What is the first one?", "Which is first now?")),
    FollowUp("last", _asked(lambda words: words[-1]), ("What is the last one?", "Which is last now?")),
    FollowUp("count", _asked(lambda words: COUNTED[len(words)]), ("How many are there?", "Count them.")),
)
OPENINGS = {
    "copy": (list, ("Repeat this.", "Say exactly this: {items}", "Here is a list. Repeat it.")),
    "reverse": (lambda words: words[::-1], ("Reverse the list.", "Reverse {items}.")),
    "sort words": (sorted, ("Sort the words.", "Sort {items} alphabetically.")),
}


def draw_list_conversation(random: Random) -> Conversation:
    """Two to four turns about one list; all answers are checkable."""
    words = draw_words(random, 2, MOST_ITEMS)
    content = content_of(words)
    task = random.choice(list(OPENINGS))
    change, wordings = OPENINGS[task]
    wording = random.choice(wordings)
    input = "" if "{items}" in wording else listed(words)
    now = change(words)  # type: ignore[operator]
    exchanges = [Exchange(wording.format(items=listed(words)), input, listed(now), task, checkable=True)]
    turns = random.randint(2, MOST_TURNS)
    while len(exchanges) < turns:
        follow_up = random.choice(FOLLOW_UPS)
        answered = follow_up.answer(now, random)
        if answered is None:
            continue
        now, answer, fields = answered
        instruction = random.choice(follow_up.wordings).format(**fields)
        exchanges.append(Exchange(instruction, "", answer, follow_up.name, checkable=True))
    return Conversation(tuple(exchanges), content)
