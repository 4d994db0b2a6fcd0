"""How does a language model get to know that it is in a conversation? By how the prompt is written (notebook 11).

Each format makes the prompt of the turns so far and the new message, and says which texts end an answer in it. A
message is only ever text: it cannot begin a turn of its own, or end one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_lib.data.alpaca_format import INSTRUCTION_MARK, RESPONSE_MARK, alpaca_prompt, next_turn
from course_lib.generation.turns import PromptBuilder, Turn

MARKS = (INSTRUCTION_MARK, RESPONSE_MARK.strip())  # after an answer in Alpaca's format, what a model would babble
BREAK = "\u2060"  # word joiner: nothing to see, but the text is another one


@dataclass(frozen=True)
class ChatFormat:
    """A prompt builder, and the stop sequences that belong to it. The end token ends an answer in any format.

    complete: the prompts hold all control tokens, also the one that some tokenizers set before every text.
    """

    name: str
    prompt: PromptBuilder
    stops: tuple[str, ...] = ()
    complete: bool = False


def few_shot(
    examples: Sequence[tuple[str, str]], *, instruction: str, human: str = "Human: ", ai: str = "AI: "
) -> ChatFormat:
    """A transcript that a raw language model goes on with: an instruction, examples, the turns, and the AI's title.

    The model would go on with the human's next message, too: its title is the stop sequence. Newlines of a message
    become spaces, so that it can't begin a turn of its own. Source: the fourth source document, first half.
    """
    if not human.strip() or not ai.strip():
        raise ValueError(f"the titles must not be empty, got {human!r} and {ai!r}")

    def prompt(history: Sequence[Turn], message: str) -> str:
        told = [*examples, *((turn.message, turn.reply) for turn in history)]
        lines = [f"{human}{_one_line(asked)}\n{ai}{_one_line(answer)}\n" for asked, answer in told]
        return f"{instruction}\n\n{''.join(lines)}{human}{_one_line(message)}\n{ai.rstrip()}"

    return ChatFormat("few-shot", prompt, (f"\n{human.strip()}",))


def alpaca_alone() -> ChatFormat:
    """Alpaca's template for the message alone, whatever was said before."""
    return ChatFormat("Alpaca, no history", lambda history, message: alpaca_prompt(_unmarked(message)), MARKS)


def alpaca_blocks() -> ChatFormat:
    """Method 1 of the fourth source document: further instruction and response blocks, none closed by an end token."""

    def prompt(history: Sequence[Turn], message: str) -> str:
        return _blocks([(turn.message, turn.reply) for turn in history], message, end="")

    return ChatFormat("Alpaca, method 1", prompt, MARKS)


def alpaca_one_instruction() -> ChatFormat:
    """Method 2 of the fourth source document: all that was said, and the new message, as one instruction."""

    def prompt(history: Sequence[Turn], message: str) -> str:
        said = [text for turn in history for text in (turn.message, turn.reply)]
        return alpaca_prompt(_unmarked("\n\n".join([*said, message])))

    return ChatFormat("Alpaca, method 2", prompt, MARKS)


def alpaca_conversation(tokenizer: Any) -> ChatFormat:
    """As `pydoc-chat` was trained on conversations: blocks, each response closed by the end token.

    Raises ValueError for a tokenizer without one.
    """
    if tokenizer.eos_token is None:
        raise ValueError("the tokenizer has no end-of-text token to close responses with; set tokenizer.eos_token")

    def prompt(history: Sequence[Turn], message: str) -> str:
        before = [(harmless(turn.message, tokenizer), harmless(turn.reply, tokenizer)) for turn in history]
        return _blocks(before, harmless(message, tokenizer), tokenizer.eos_token)

    return ChatFormat("Alpaca, conversation", prompt, MARKS)


def chat_template(tokenizer: Any, system: str | None = None) -> ChatFormat:
    """The tokenizer's own template, as a chat model of the hub was trained.

    Raises ValueError for a tokenizer without one, as base models have.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "the tokenizer has no chat template, so its model is a base model that never saw one; use few_shot(...), "
            "or set tokenizer.chat_template (course_lib.data.alpaca_format.CHAT_TEMPLATE for pydoc-chat)"
        )
    first = [] if system is None else [{"role": "system", "content": system}]

    def prompt(history: Sequence[Turn], message: str) -> str:
        messages = list(first)
        for turn in history:
            messages.append({"role": "user", "content": harmless(turn.message, tokenizer)})
            messages.append({"role": "assistant", "content": harmless(turn.reply, tokenizer)})
        messages.append({"role": "user", "content": harmless(message, tokenizer)})
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)

    return ChatFormat("chat template", prompt, complete=True)


def harmless(text: str, tokenizer: Any) -> str:
    """The text, with what would be read as a control token broken by an invisible sign, so that it stays text."""
    for token in sorted(tokenizer.all_special_tokens, key=len, reverse=True):
        text = text.replace(token, token[:1] + BREAK + token[1:])
    return text


def _blocks(history: Sequence[tuple[str, str]], message: str, end: str) -> str:
    """Alpaca's blocks, one behind the other; unlike a row to learn from, a turn may have an empty reply."""
    written = ""
    for asked, answer in history:
        written += (next_turn if written else alpaca_prompt)(_unmarked(asked)) + _unmarked(answer) + end
    return written + (next_turn if written else alpaca_prompt)(_unmarked(message))


def _unmarked(text: str) -> str:
    """The text, the template's own marks in it broken by an invisible sign."""
    for mark in MARKS:
        text = text.replace(mark, mark[:1] + BREAK + mark[1:])
    return text


def _one_line(text: str) -> str:
    return " ".join(text.split())
