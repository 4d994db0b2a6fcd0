"""What does a small model read, in which order, until it can answer from a document? (`atlas-longt5`, notebook 09)

First any text: find where two given words stand and copy what follows; fill gaps. Then fact sheets of one country,
then of several, then conversations. Beginning with long sheets, a small model learns nothing for thousands of steps:
it must first learn to copy, and then to tell one statement from another. Batch number n depends on the seed and n
alone, so a training can be resumed anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from course_lib.data.atlas_facts import Domain
from course_lib.data.atlas_sheets import draw_sheet, invented_name
from course_lib.data.atlas_talk import Manner, draw_conversation, single_question
from course_lib.data.question_format import ANSWER, END, GAPS, QUESTION, SEPARATOR, join, tail_text

NOT_ASKED = -100
TOKENS_OF_A_STATEMENT = 13  # about
QUESTIONS_OF_A_SHEET = 4
COPIED = 6  # words that follow the two given ones
GAP_SHARE, GAP_LENGTH = 0.15, 3  # T5's: 15 % of the tokens hidden, in gaps of 3 on average

TASKS = ("repeat", "copy", "gaps")
MANNER = Manner()


@dataclass(frozen=True)
class Lesson:
    """One stage. share: of all batches. text: share of its batches that are plain text, tasks: what to do with it.

    places: fewest and most subjects of a sheet, the same for all sheets of a batch; facts: statements of each.
    talk: share of its batches of sheets that are conversations. invented: share of subjects and values that no atlas
    knows. last: how many pairs of the history are read.
    """

    name: str
    share: float
    text: float = 0.0
    tasks: tuple[str, ...] = TASKS
    places: tuple[int, int] = (1, 1)
    facts: tuple[int, int] = (5, 8)
    talk: float = 0.0
    invented: float = 0.3
    last: tuple[int, ...] = (2,)
    manner: Manner = MANNER

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in TASKS:
                raise ValueError(f"a lesson's tasks are some of {', '.join(TASKS)}, got {task!r}")


@dataclass
class ReadingBatch:
    """Inputs padded at the end, where they are words, and the answers' tokens (NOT_ASKED behind them)."""

    tokens: Int[Tensor, "batch source"]
    is_word: Bool[Tensor, "batch source"]
    labels: Int[Tensor, "batch target"]


class ReadingLessons(Dataset):
    """All batches of a training: lesson after lesson, about `tokens` tokens in each batch.

    text: tokens to copy from and to put gaps into. Raises ValueError for shares that do not add up to 1.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        domain: Domain,
        text: Int[Tensor, " tokens"],
        lessons: Sequence[Lesson],
        batches: int,
        tokens: int,
        seed: int = 0,
    ) -> None:
        if abs(sum(lesson.share for lesson in lessons) - 1) > 1e-6:
            shares = [lesson.share for lesson in lessons]
            raise ValueError(f"the lessons' shares of all batches must add up to 1, got {shares}")
        if len(text) < 1_000:
            raise ValueError(f"the text has only {len(text)} tokens; give at least 1,000")
        self.tokenizer, self.domain, self.text, self.lessons = tokenizer, domain, text, lessons
        self.batches, self.tokens, self.seed = batches, tokens, seed
        self.separator, self.question, self.answer, self.end = map(self._number, (SEPARATOR, QUESTION, ANSWER, END))
        self.gaps = [self._number(mark) for mark in GAPS]

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, number: int) -> ReadingBatch:
        if not 0 <= number < self.batches:
            raise IndexError(f"there are {self.batches} batches, got number {number}")
        random = Random(f"{self.seed} {number}")
        lesson = self.lesson_of(number)
        rows = self._text_rows(lesson, random) if random.random() < lesson.text else self._sheet_rows(lesson, random)
        return collate(rows, self.tokenizer.pad_token_id)

    def lesson_of(self, number: int) -> Lesson:
        """The lesson that a batch belongs to."""
        done = (number + 0.5) / self.batches
        for lesson in self.lessons:
            if done < lesson.share:
                return lesson
            done -= lesson.share
        return self.lessons[-1]

    def _text_rows(self, lesson: Lesson, random: Random) -> list[tuple[list[int], list[int]]]:
        make, lengths = {
            "repeat": (self._repeat, (8, 16, 24)),
            "copy": (self._copy, (16, 32, 64)),
            "gaps": (self._gaps, (64, 128)),
        }[random.choice(lesson.tasks)]
        length, mixed = random.choice(lengths), random.random() < 0.5
        rows = []
        # Half as many tokens as in a batch of sheets: here nearly each of them is an answer, and more work.
        for _ in range(max(1, self.tokens // 2 // (length + 8))):
            if mixed and make != self._gaps:
                # Tokens that never stood beside each other can only be copied, and all of the vocabulary is.
                text = self.text[[random.randrange(len(self.text)) for _ in range(length)]]
            else:
                first = random.randrange(len(self.text) - length)
                text = self.text[first : first + length]
            rows.append(make(text.tolist(), random))
        return rows

    def _repeat(self, text: list[int], random: Random) -> tuple[list[int], list[int]]:
        """The whole text again, which is asked for by an empty question."""
        return [*text, self.separator, self.question, self.answer, self.end], [*text, self.end]

    def _copy(self, text: list[int], random: Random) -> tuple[list[int], list[int]]:
        """ "What follows these two tokens?", asked in the form of a question about a document."""
        first = random.randrange(len(text) - 2 - COPIED)
        asked = [self.separator, self.question, *text[first : first + 2], self.answer, self.end]
        return text + asked, [*text[first + 2 : first + 2 + COPIED], self.end]

    def _gaps(self, text: list[int], random: Random) -> tuple[list[int], list[int]]:
        """T5's span corruption: each gap becomes a mark, and the answer says what was behind each mark."""
        count = max(1, min(len(self.gaps) - 1, round(len(text) * GAP_SHARE / GAP_LENGTH)))
        starts = sorted(random.sample(range(0, len(text) - GAP_LENGTH, 2 * GAP_LENGTH), count))
        left: list[int] = []
        hidden: list[int] = []
        position = 0
        for mark, start in zip(self.gaps, starts, strict=False):
            stop = start + random.randint(1, 2 * GAP_LENGTH - 1)
            left += [*text[position:start], mark]
            hidden += [mark, *text[start:stop]]
            position = stop
        return [*left, *text[position:], self.end], [*hidden, self.end]

    def _sheet_rows(self, lesson: Lesson, random: Random) -> list[tuple[list[int], list[int]]]:
        places = random.randint(*lesson.places)
        # Sheets of about one length in a batch, so that little of it is padding.
        about = random.randint(*lesson.facts)
        facts = max(lesson.facts[0], about - 1), min(lesson.facts[1], about + 1)
        length = round(places * sum(facts) / 2 * TOKENS_OF_A_STATEMENT) + 30
        sheets = max(1, round(self.tokens / length / QUESTIONS_OF_A_SHEET))
        talk = random.random() < lesson.talk
        manner = replace(lesson.manner, outsiders=self.domain.subjects["train"])
        contexts, tails, answers = [], [], []
        for _ in range(sheets):
            sheet = draw_sheet(self.domain, self._subjects(places, lesson, random), random, facts, lesson.invented)
            contexts.append(sheet.text)
            if talk:
                turns = draw_conversation(sheet, QUESTIONS_OF_A_SHEET + 3, random, manner)
                asked = random.sample(range(len(turns)), QUESTIONS_OF_A_SHEET)
            else:
                turns = [single_question(sheet, random, manner) for _ in range(QUESTIONS_OF_A_SHEET)]
                asked = list(range(len(turns)))
            last = random.choice(lesson.last) if talk else 0
            for number in asked:
                history = [(turn.question, turn.answer) for turn in turns[:number]]
                tails.append(tail_text(turns[number].question, history, last))
                answers.append(turns[number].answer)
        read = self._encoded(contexts, ended=False)
        return [
            (join(read[row // QUESTIONS_OF_A_SHEET], tail), answer)
            for row, (tail, answer) in enumerate(
                zip(self._encoded(tails, ended=True), self._encoded(answers, ended=True), strict=True)
            )
        ]

    def _subjects(self, count: int, lesson: Lesson, random: Random) -> list[str]:
        known = random.sample(self.domain.subjects["train"], count)
        names: list[str] = []
        for name in known:
            chosen = invented_name(random) if random.random() < lesson.invented else name
            while chosen in names:  # two may be invented alike
                chosen = invented_name(random)
            names.append(chosen)
        return names

    def _number(self, token: str) -> int:
        return self.tokenizer.get_vocab()[token]

    def _encoded(self, texts: list[str], ended: bool) -> list[list[int]]:
        backend = self.tokenizer.backend_tokenizer
        return [encoding.ids for encoding in backend.encode_batch(texts, add_special_tokens=ended)]


def collate(rows: Sequence[tuple[Sequence[int], Sequence[int]]], pad_token: int) -> ReadingBatch:
    """Rows of input and answer tokens as one batch."""
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = [torch.tensor(tokens) for tokens, _ in rows]
    tokens = pad(inputs, batch_first=True, padding_value=pad_token)
    lengths = torch.tensor([len(row) for row in inputs])
    labels = pad([torch.tensor(answer) for _, answer in rows], batch_first=True, padding_value=NOT_ASKED)
    return ReadingBatch(tokens, torch.arange(tokens.shape[1]) < lengths[:, None], labels)
