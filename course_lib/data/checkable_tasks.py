"""Which instructions have exactly one right answer? Small tasks over words and numbers (notebooks 11, 12).

So "follows instructions" is measured by comparing texts, without a judge. Words are short and frequent, so that a small
model reads each as one token or two; lists have two to six items.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from course_lib.data.alpaca_format import Exchange

# Frequent in documentation, and a few from everyday life. None is part of a wording below.
_WORDS = """
    action alias array audio axis back bar base batch bin bit box bucket buffer bytes cache cast chunk class client
    code color column config content copy cut data date decimal degree device direct display domain edge effect
    element engine event extra factor feature field figure file filter flag float flow font form frame function graph
    grid group head height host image index integer interval kernel label layout leg level library limit line link
    lock loop main manager map mark mask match math matrix memory message method mode model module node object offset
    package part patch path pattern place platform plot point pool port prefix process program prompt python query
    random range root row scale schema script sequence server session shape side sign socket source space stack state
    step stream string style symbol system tag target template test text thread token tool tree tuple type unit user
    vector version view web weight width window zero cat dog fox hat sun cup pen lion moon king
"""
WORDS = _WORDS.split()
COUNTED = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
LARGEST_NUMBER = 99
LARGEST_TERM = 50  # of sums and differences


@dataclass(frozen=True)
class Drawn:
    """One instance: what fills the wording's gaps, the right answer, and what makes it this one and no other.

    fields["items"] goes into the input where the wording has no gap for it.
    """

    fields: dict[str, str]
    output: str
    content: str


@dataclass(frozen=True)
class CheckableTask:
    """A kind of instruction: how it is drawn, and its wordings, of which any may be taken."""

    name: str
    draw: Callable[[Random], Drawn]
    wordings: tuple[str, ...]

    def exchange(self, drawn: Drawn, random: Random) -> Exchange:
        """The instance in one of the wordings."""
        wording = random.choice(self.wordings)
        input = "" if "{items}" in wording else drawn.fields.get("items", "")
        return Exchange(wording.format(**drawn.fields), input, drawn.output, self.name, checkable=True)


def listed(items: Sequence[str]) -> str:
    """Items as they are written in instructions and answers: "cat, dog, tree"."""
    return ", ".join(items)


def content_of(items: Sequence[str]) -> str:
    """What two lists of the same items have in common, whatever their order."""
    return " ".join(sorted(items))


def draw_words(random: Random, fewest: int, most: int) -> list[str]:
    """Different words, in random order."""
    return random.sample(WORDS, random.randint(fewest, most))


def _over_words(answer: Callable[[list[str]], str], fewest: int = 2, most: int = 6) -> Callable[[Random], Drawn]:
    def draw(random: Random) -> Drawn:
        words = draw_words(random, fewest, most)
        return Drawn({"items": listed(words)}, answer(words), content_of(words))

    return draw


def _over_numbers(answer: Callable[[list[int]], str]) -> Callable[[Random], Drawn]:
    def draw(random: Random) -> Drawn:
        numbers = random.sample(range(LARGEST_NUMBER + 1), random.randint(2, 4))
        texts = [str(number) for number in numbers]
        return Drawn({"items": listed(texts)}, answer(numbers), content_of(texts))

    return draw


def _sorted_numbers(numbers: list[int]) -> str:
    return listed([str(number) for number in sorted(numbers)])


def _sum(random: Random) -> Drawn:
    first, second = random.randint(0, LARGEST_TERM), random.randint(0, LARGEST_TERM)
    return Drawn({"first": str(first), "second": str(second)}, str(first + second), f"sum {sorted((first, second))}")


def _difference(random: Random) -> Drawn:
    difference, second = random.randint(0, LARGEST_TERM), random.randint(0, LARGEST_TERM)
    first = difference + second
    return Drawn({"first": str(first), "second": str(second)}, str(difference), f"difference {first} {second}")


def _look_up(random: Random) -> Drawn:
    count = random.randint(2, 5)
    words = random.sample(WORDS, 2 * count)
    keys, values = words[:count], words[count:]
    asked = random.randrange(count)
    table = "\n".join(f"{key}: {value}" for key, value in zip(keys, values, strict=True))
    return Drawn({"items": table, "key": keys[asked]}, values[asked], content_of(words))


def _contained(random: Random) -> Drawn:
    words = draw_words(random, 2, 6)
    inside = random.random() < 0.5
    asked = random.choice(words) if inside else random.choice([word for word in WORDS if word not in words])
    return Drawn({"items": listed(words), "word": asked}, "yes" if inside else "no", content_of(words))


def _removed(random: Random) -> Drawn:
    words = draw_words(random, 3, 6)
    gone = random.choice(words)
    return Drawn(
        {"items": listed(words), "word": gone}, listed([word for word in words if word != gone]), content_of(words)
    )


def _replaced(random: Random) -> Drawn:
    *words, new = draw_words(random, 3, 6)
    old = random.choice(words)
    answer = listed([new if word == old else word for word in words])
    return Drawn({"items": listed(words), "old": old, "new": new}, answer, content_of(words))


def _said_often(random: Random) -> Drawn:
    word, times = random.choice(WORDS), random.randint(2, 5)
    return Drawn({"word": word, "times": COUNTED[times]}, listed([word] * times), f"{word} {times} times")


TASKS = (
    CheckableTask(
        "reverse",
        _over_words(lambda words: listed(words[::-1])),
        ("Reverse the list.", "Write these words in reverse order.", "Reverse {items}.", "Backwards, please: {items}"),
    ),
    CheckableTask(
        "sort words",
        _over_words(lambda words: listed(sorted(words)), most=5),
        (
            "Sort the words.",
            "Put these words in alphabetical order.",
            "Sort {items} alphabetically.",
            "Sort from A to Z: {items}",
        ),
    ),
    CheckableTask(
        "sort numbers",
        _over_numbers(_sorted_numbers),
        ("Sort the numbers.", "Put these numbers in order, smallest first.", "Sort the numbers {items}."),
    ),
    CheckableTask(
        "largest",
        _over_numbers(lambda numbers: str(max(numbers))),
        ("Which number is the largest?", "Find the largest of {items}.", "What is the maximum of {items}?"),
    ),
    CheckableTask(
        "smallest",
        _over_numbers(lambda numbers: str(min(numbers))),
        ("Which number is the smallest?", "Find the smallest of {items}.", "What is the minimum of {items}?"),
    ),
    CheckableTask(
        "count",
        _over_words(lambda words: COUNTED[len(words)], most=8),
        ("How many words are there?", "Count the items.", "How many items are in {items}?", "Count these: {items}"),
    ),
    CheckableTask(
        "upper-case",
        _over_words(lambda words: listed(words).upper(), fewest=1, most=3),
        ("Write this in upper case.", "Turn this into capital letters.", "Write {items} in capitals."),
    ),
    CheckableTask(
        "copy",
        _over_words(listed, fewest=1),
        ("Repeat this.", "Copy the list as it is.", "Say exactly this: {items}", "Repeat after me: {items}"),
    ),
    CheckableTask(
        "first",
        _over_words(lambda words: words[0]),
        ("What is the first word?", "Give me the first item.", "Which word comes first in {items}?"),
    ),
    CheckableTask(
        "last",
        _over_words(lambda words: words[-1]),
        ("What is the last word?", "Give me the last item.", "Which word comes last in {items}?"),
    ),
    CheckableTask(
        "look up",
        _look_up,
        ("What is the {key}?", "Look up {key}.", "Which value does {key} have?"),
    ),
    CheckableTask(
        "contains",
        _contained,
        ("Is {word} in the list?", "Does the list contain {word}?", "Is {word} one of {items}?"),
    ),
    CheckableTask(
        "remove",
        _removed,
        ("Remove {word} from the list.", "Take out {word}.", "Remove {word} from {items}."),
    ),
    CheckableTask(
        "replace",
        _replaced,
        ("Replace {old} by {new}.", "Change {old} to {new}.", "Replace {old} by {new} in {items}."),
    ),
    CheckableTask(
        "say often",
        _said_often,
        ("Say {word} {times} times.", "Write the word {word} {times} times."),
    ),
    CheckableTask(
        "add",
        _sum,
        ("What is {first} + {second}?", "Add {first} and {second}.", "Calculate {first} + {second}."),
    ),
    CheckableTask(
        "subtract",
        _difference,
        ("What is {first} - {second}?", "Subtract {second} from {first}.", "Calculate {first} - {second}."),
    ),
)  # fmt: skip
