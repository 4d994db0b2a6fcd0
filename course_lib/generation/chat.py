"""How does a model that only continues texts hold a conversation, and what does each turn cost? (Notebook 11.)

chat = Chat(model, tokenizer, alpaca_conversation(tokenizer))
print(chat.say("Reverse cat, dog.").reply)
print(chat.say("And reverse that.").prompt)
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from course_lib.generation.memory import Memory, whole_history
from course_lib.generation.prefix_cache import PrefixReader
from course_lib.generation.prompts import ChatFormat
from course_lib.generation.sampling import Sampling
from course_lib.generation.stopping import cut_at
from course_lib.generation.turns import LONGEST_MESSAGE, Turn
from course_lib.generation.writing import Answer, write


@dataclass(frozen=True)
class LogEntry:
    """What went to the model or came from it: the text, its tokens, and for what was received the seconds it took."""

    direction: Literal["sent", "received"]
    text: str
    tokens: int
    seconds: float | None = None


class Chat:
    """A conversation with a model: the course's GPT, or a causal model of transformers.

    format: how prompts are written. memory: which turns go into them. reuse_prefix: keep what the last prompt has in
    common with the next. cut_afterwards: write to the full length first and cut then, as the fourth source document
    does, instead of stopping. sampling: None for the likeliest token each time; `seed` and the turn's number decide
    what is drawn.
    `turns` has all turns so far, `log` all that was sent and received.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        format: ChatFormat,
        *,
        memory: Memory = whole_history,
        max_new_tokens: int = 128,
        sampling: Sampling | None = None,
        seed: int = 0,
        reuse_prefix: bool = True,
        cut_afterwards: bool = False,
    ) -> None:
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
        self.model, self.tokenizer, self.format, self.memory = model, tokenizer, format, memory
        self.max_new_tokens, self.sampling, self.seed = max_new_tokens, sampling, seed
        self.cut_afterwards = cut_afterwards
        self.turns: list[Turn] = []
        self.log: list[LogEntry] = []
        self.reader = PrefixReader(model, keep=reuse_prefix)

    def say(self, message: str) -> Turn:
        """Take one turn. Ctrl-C ends the reply where it is: the turn is kept, and the conversation can go on.

        Raises ValueError for a message that is empty, or does not fit into the model's context even by itself.
        """
        for _ in self.stream(message):
            pass
        return self.turns[-1]

    def stream(self, message: str) -> Iterator[str]:
        """The pieces of the reply as they come; the turn is in `turns` once the last one has come.

        With `cut_afterwards` there is one piece. Whoever stops asking for pieces ends the reply there.
        """
        prompt, tokens, forgotten = self._prompt(message)
        self.log.append(LogEntry("sent", prompt, len(tokens)))
        answer = Answer()
        began = time.perf_counter()
        try:
            pieces = write(
                self.reader,
                self.tokenizer,
                tokens,
                answer,
                max_new_tokens=self.max_new_tokens,
                stops=() if self.cut_afterwards else self.format.stops,
                sampling=self.sampling,
                generator=self._generator(),
            )
            if self.cut_afterwards:
                for _ in pieces:
                    pass
                yield cut_at(answer.text, self.format.stops).text
            else:
                yield from pieces
        except KeyboardInterrupt:
            pass
        finally:
            seconds = time.perf_counter() - began
            self._keep(message, prompt, len(tokens), forgotten, answer, seconds)

    def clear(self) -> None:
        """Forget all turns; the log stays."""
        self.turns.clear()

    def _prompt(self, message: str) -> tuple[str, list[int], int]:
        """The prompt, its tokens, and how many turns are not in it: forgotten, or left out for want of room."""
        if not message.strip():
            raise ValueError("the message is empty; type something first")
        if len(message) > LONGEST_MESSAGE:
            raise ValueError(f"the message has {len(message):,} characters, at most {LONGEST_MESSAGE:,} are taken")
        remembered = self.memory(self.turns)
        context = self.reader.context_size
        while True:
            prompt = self.format.prompt(remembered, message)
            tokens = self._tokens(prompt)
            needed = len(tokens) + self.max_new_tokens
            if context is None or needed <= context:
                return prompt, tokens, len(self.turns) - sum(turn in remembered for turn in self.turns)
            if not remembered:
                raise ValueError(
                    f"the prompt of this message alone has {len(tokens)} tokens; with {self.max_new_tokens} for the "
                    f"reply that is {needed}, and the model's context holds {context}: shorten the message, or set "
                    "max_new_tokens lower"
                )
            remembered = remembered[1:]  # the oldest goes first

    def _tokens(self, prompt: str) -> list[int]:
        return list(self.tokenizer(prompt, add_special_tokens=not self.format.complete, verbose=False)["input_ids"])

    def _generator(self) -> torch.Generator:
        device = next(self.model.parameters()).device
        return torch.Generator(device=device).manual_seed(self.seed * 1_000_003 + len(self.turns))

    def _keep(self, message: str, prompt: str, length: int, forgotten: int, answer: Answer, seconds: float) -> None:
        shown = cut_at(answer.text, self.format.stops).text
        cut = len(shown) < len(answer.text) or answer.ended_by == "stop sequence"
        turn = Turn(
            message,
            prompt,
            shown.strip(),
            length,
            len(answer.tokens),
            seconds,
            reused=self.reader.reused,
            thrown_away=answer.tokens_beyond(len(shown)) if cut else 0,
            forgotten=forgotten,
            ended_by="stop sequence" if cut else answer.ended_by,
        )
        self.turns.append(turn)
        self.log.append(LogEntry("received", turn.reply, len(answer.tokens), seconds))
