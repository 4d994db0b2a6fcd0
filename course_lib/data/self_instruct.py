"""How does a model write its own instructions? It goes on with a list of them, and a filter keeps what is new (12).

Of a few hand-written tasks three are shown, the model writes the next ones, and those that pass join the pool. Source:
Wang et al. 2022, "Self-Instruct", sections 3.2-3.3, in the form of Stanford Alpaca's generate_instruction.py: all parts
of a task at once, rejected above a ROUGE-L of .7 to any earlier instruction.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

from course_lib.data.alpaca_format import Exchange
from course_lib.data.rouge import most_alike, words_of

SHOWN = 3  # tasks in a prompt
MOST_ALIKE = 0.7
FEWEST_WORDS, MOST_WORDS = 4, 150
# What a model that reads and writes text alone can't do.
BLACKLIST = (
    "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
    "go to", "video", "audio", "music", "flowchart", "diagram",
)  # fmt: skip
NO_INPUT = "<noinput>"
MARK = "###"
PARTS = re.compile(r"(\d+)\.\s*Instruction:\s*(.*?)\n\d+\.\s*Input:\s*(.*?)\n\d+\.\s*Output:\s*(.*)", re.S)


@dataclass
class Pool:
    """The tasks so far: the given ones, the model's own, and how many were rejected for which reason."""

    given: list[Exchange]
    written: list[Exchange] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    rounds: int = 0

    @property
    def all(self) -> list[Exchange]:
        return [*self.given, *self.written]


def prompt_of(examples: Sequence[Exchange]) -> str:
    """A list of tasks that begs to be gone on with. Raises ValueError for no example."""
    if not examples:
        raise ValueError("a prompt needs at least one example of a task")
    lines = ["A list of different tasks, each with an instruction, an input where one is needed, and the right output."]
    for number, example in enumerate(examples, start=1):
        lines += [
            MARK,
            f"{number}. Instruction: {' '.join(example.instruction.split())}",
            f"{number}. Input:\n{example.input or NO_INPUT}",
            f"{number}. Output:\n{example.output}",
        ]
    return "\n".join([*lines, MARK, f"{len(examples) + 1}. Instruction:"])


def tasks_in(text: str, first_number: int, cut_off: bool) -> list[Exchange]:
    """The tasks in what a model wrote after such a prompt; the last is left out if its length was used up."""
    pieces = f"{first_number}. Instruction:{text}".split(MARK)
    tasks = []
    for piece in pieces[:-1] if cut_off else pieces:
        if found := PARTS.match(piece.strip()):
            _, instruction, given, output = (part.strip() for part in found.groups())
            tasks.append(Exchange(instruction, "" if given.lower() == NO_INPUT else given, output))
    return tasks


def reason_against(task: Exchange, earlier: Sequence[Sequence[str]]) -> str | None:
    """Why a task is rejected, or None. `earlier`: the words of each instruction so far (`rouge.words_of`)."""
    instruction = task.instruction
    words = instruction.split()
    if not task.output.strip():
        return "no output"
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        return "too short or too long"
    if any(re.search(rf"\b{re.escape(word)}\b", instruction, re.I) for word in BLACKLIST):
        return "not for a language model"
    if instruction.lower().startswith("write a program"):
        return "write a program"
    if not instruction[0].isascii() or not instruction[0].isalnum():
        return "begins with no letter"
    return "too much alike" if most_alike(words_of(instruction), earlier, MOST_ALIKE) > MOST_ALIKE else None


def self_instruct(
    seeds: Sequence[Exchange],
    write: Callable[[str, int], tuple[str, bool]],
    *,
    wanted: int,
    state: Path | None = None,
    most_rounds: int = 1_000,
    seed: int = 0,
) -> Pool:
    """Let a model write tasks until `wanted` have passed, or `most_rounds` rounds are over.

    write(prompt, round) returns the model's continuation, and whether its length was used up. With `state`, a JSONL
    file, each round is kept there as it ends; the same call goes on from it, as if it had never been interrupted.
    Raises ValueError for no seeds, and for a state of other seeds.
    """
    if not seeds:
        raise ValueError("self-instruct begins with at least one task; give some seeds")
    pool = Pool(list(seeds))
    head = {"seeds": [asdict(task) for task in seeds], "seed": seed}
    if state is not None:
        _resume(pool, state, head)
    known = [words_of(task.instruction) for task in pool.all]
    while len(pool.written) < wanted and pool.rounds < most_rounds:
        drawing = Random(f"self-instruct {seed} {pool.rounds}")
        shown = drawing.sample(pool.all, min(SHOWN, len(pool.all)))
        text, cut_off = write(prompt_of(shown), pool.rounds)
        passed, reasons = [], []
        for task in tasks_in(text, len(shown) + 1, cut_off):
            reason = reason_against(task, known)
            if reason is None:
                passed.append(task)
                known.append(words_of(task.instruction))
            else:
                reasons.append(reason)
        _add(pool, passed, reasons)
        if state is not None:
            line = json.dumps({"passed": [asdict(task) for task in passed], "rejected": reasons})
            with state.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
    return pool


def _add(pool: Pool, passed: Sequence[Exchange], rejected: Sequence[str]) -> None:
    pool.written.extend(passed)
    pool.rejected.update(rejected)
    pool.rounds += 1


def _resume(pool: Pool, state: Path, head: dict) -> None:
    """Take the rounds of an earlier run. A last line that was cut off is that of a round that never ended."""
    lines = state.read_text(encoding="utf-8").splitlines(keepends=True) if state.exists() else []
    whole = [line for line in lines if line.endswith("\n")]
    if whole and json.loads(whole[0]) != head:
        raise ValueError(f"{state} belongs to other seeds; give another file, or remove it")
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text("".join(whole) or json.dumps(head) + "\n", encoding="utf-8")
    for line in whole[1:]:
        kept = json.loads(line)
        _add(pool, [Exchange(**task) for task in kept["passed"]], kept["rejected"])
