import random
import re

import pytest

from course_lib.data import instructions
from course_lib.data.alpaca_format import Conversation, Exchange
from course_lib.data.checkable_tasks import COUNTED, TASKS, WORDS
from course_lib.data.list_conversations import FOLLOW_UPS, draw_list_conversation
from course_lib.data.pydoc_instructions import parameters_of, pydoc_conversations

DOCUMENTS = [
    {
        "text": "os.path.join(a, *paths, sep='/', **rest)\nJoin the parts of a path.\n\nEmpty parts are left out.",
        "name": "os.path.join",
        "module": "posixpath",
        "origin": "stdlib",
    },
    {
        "text": "class torch.nn.Linear(Module)\nA linear layer. It has weights and a bias.",
        "name": "torch.nn.Linear",
        "module": "torch.nn",
        "origin": "torch",
    },
    {"text": "pandas.show(x)\nno sentence here", "name": "pandas.show", "module": "pandas", "origin": "pandas"},
]


def solved(exchange: Exchange) -> str:
    """The answer of a task found another way: from the text alone, as a reader would."""
    text = exchange.input or exchange.instruction
    known = set(WORDS)
    words = [word for word in re.findall(r"[a-z]+", exchange.input) if word in known]
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    match exchange.task:
        case "sort numbers":
            return ", ".join(map(str, sorted(numbers)))
        case "largest":
            return str(max(numbers))
        case "smallest":
            return str(min(numbers))
        case "add":
            return str(sum(numbers))
        case "subtract":
            return str(abs(numbers[0] - numbers[1]))
        case "reverse":
            return ", ".join(reversed(words))
        case "sort words":
            return ", ".join(sorted(words))
        case "count":
            return COUNTED[len(words)]
        case "upper-case":
            return exchange.input.upper()
        case "copy":
            return exchange.input
        case "first":
            return words[0]
        case "last":
            return words[-1]
        case "contains":
            return "yes" if set(re.findall("[a-z]+", exchange.instruction)) & set(words) else "no"
        case "remove":
            named = re.findall("[a-z]+", exchange.instruction)
            return ", ".join(word for word in words if word not in named)
        case "replace":
            _, old, _, new = re.findall("[A-Za-z]+", exchange.instruction)
            return ", ".join(new if word == old else word for word in words)
        case "look up":
            key = re.search(r"is the (\w+)\?|up (\w+)\.|does (\w+) have", exchange.instruction)
            table = dict(line.split(": ") for line in exchange.input.splitlines())
            return table[next(filter(None, key.groups()))]
        case "say often":
            word, times = re.search(r"(\w+) (\w+) times", exchange.instruction).groups()
            return ", ".join([word] * COUNTED.index(times))
    raise AssertionError(exchange.task)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_task_has_the_answer_that_a_reader_finds(task):
    drawing = random.Random(3)
    judged = 0
    for _ in range(60):
        exchange = task.exchange(task.draw(drawing), drawing)
        numeric = exchange.task in ("sort numbers", "largest", "smallest", "add", "subtract", "say often")
        if exchange.input or numeric:  # lists within the wording are mixed with its own words
            assert exchange.output == solved(exchange), exchange
            judged += 1
    assert judged >= 15


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_wording_of_a_task_is_used_and_shows_what_is_needed(task):
    drawing = random.Random(0)
    shapes = set()
    for _ in range(200):
        drawn = task.draw(drawing)
        exchange = task.exchange(drawn, drawing)
        assert "{" not in exchange.instruction
        if "items" in drawn.fields:
            assert (drawn.fields["items"] in exchange.instruction) != (drawn.fields["items"] == exchange.input)
        shapes.add(re.sub("|".join(filter(None, map(re.escape, drawn.fields.values()))), "_", exchange.instruction))
    assert len(shapes) >= len(task.wordings)


def test_words_of_the_lists_are_different_and_plain():
    assert len(set(WORDS)) == len(WORDS) >= 120
    assert all(re.fullmatch("[a-z]{3,9}", word) for word in WORDS)


def test_no_content_of_a_held_out_split_is_seen_in_training():
    train = instructions.mixture("train", 3_000)
    test = instructions.mixture("test", 400)
    seen = {row.content for row in train}
    assert len(test) == 400
    assert not {row.content for row in test} & seen


def test_held_out_rows_are_all_different():
    rows = instructions.task_conversations("test", 600)
    assert len({row.exchanges for row in rows}) == len(rows) == 600


def test_a_seed_gives_the_same_rows_and_another_seed_others():
    first, again, other = (instructions.mixture("validation", 50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert instructions.text_hash(first) == instructions.text_hash(again) != instructions.text_hash(other)


def test_conversations_refer_to_what_the_last_answer_left():
    """Follow-ups are played again by hand, from the texts."""
    drawing = random.Random(5)
    names = {follow_up.name for follow_up in FOLLOW_UPS}
    for _ in range(200):
        conversation = draw_list_conversation(drawing)
        assert 2 <= len(conversation.exchanges) <= 4
        now = conversation.exchanges[0].output.split(", ")
        assert sorted(now) == conversation.content.split()
        for exchange in conversation.exchanges[1:]:
            assert exchange.task in names
            assert exchange.input == ""
            said = exchange.output.split(", ")
            named = [word for word in re.findall("[a-z]+", exchange.instruction) if word in WORDS]
            match exchange.task:
                case "reverse":
                    now = now[::-1]
                    assert said == now
                case "sort words":
                    now = sorted(now)
                    assert said == now
                case "copy":
                    assert said == now
                case "add item":
                    now = [*now, named[-1]]
                    assert said == now
                case "remove":
                    now = [word for word in now if word not in named]
                    assert said == now
                case "first":
                    assert said == now[:1]
                case "last":
                    assert said == now[-1:]
                case "count":
                    assert exchange.output == COUNTED[len(now)]


def test_a_dataset_gives_the_conversations_back():
    rows = [*instructions.mixture("test", 30), Conversation((Exchange("Say a", "", "a", "t", True),), "a")]
    assert list(instructions.conversations_of(instructions.as_dataset(rows))) == rows


def test_splits_are_loaded_as_asked():
    loaded = instructions.load_instructions({"train": 20, "test": 10}, {"train": DOCUMENTS})
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 20, "test": 10}
    assert loaded["train"].column_names == ["exchanges", "content"]


def test_docstrings_give_instructions_with_right_answers():
    asked = {
        (each.content, each.exchanges[0].task): each.exchanges[0]
        for each in pydoc_conversations(DOCUMENTS, random.Random(0))
    }
    assert asked["os.path.join", "package"].output == "the standard library"
    assert asked["torch.nn.Linear", "package"].output == "torch"
    assert asked["os.path.join", "summary"].output == "Join the parts of a path."
    assert asked["os.path.join", "parameters"].output == "a, paths, sep, rest"
    assert ("torch.nn.Linear", "parameters") not in asked  # in a class's line stand its bases
    assert asked["torch.nn.Linear", "meaning"].output == "A linear layer."
    assert not any(name == "pandas.show" for name, _ in asked)
    assert not asked["os.path.join", "meaning"].checkable


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("f()", []),
        ("f(self, a, /, b: dict[str, int] = {1: 2}, *, c=(1, 2)) -> tuple[int, str]", ["a", "b", "c"]),
        ("f(a, b", []),
        ("a constant", []),
    ],
)
def test_parameters_are_read_from_a_heading(heading, names):
    assert parameters_of(heading) == names


def test_unknown_splits_and_counts_are_refused():
    with pytest.raises(ValueError, match="expected one of train, validation, test"):
        instructions.task_conversations("dev", 10)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        instructions.mixture("train", 0)
