"""How is an instruction written so that a model knows where its answer begins? Alpaca's templates (notebooks 11, 12).

A conversation goes on with further `### Instruction:` blocks, as the fourth source document replays its history; the
end-of-text token closes each response, so that a model that has learned it stops there.
Source: Taori et al. 2023 (Stanford Alpaca), train.py, PROMPT_DICT.
"""

from collections.abc import Sequence
from dataclasses import dataclass

WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)
WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
RESPONSE_MARK = "\n\n### Response:"
INSTRUCTION_MARK = "### Instruction:"
INPUT_MARK = "\n\n### Input:\n"
TURN_MARK = f"\n\n{INSTRUCTION_MARK}\n"  # begins each turn of a conversation after the first

# The same for transformers' `apply_chat_template`: user messages hold the instruction, input and all.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    "{% if loop.first %}{{ '" + WITHOUT_INPUT.split("{instruction}")[0].replace("\n", "\\n") + "' }}"
    "{% else %}{{ '" + TURN_MARK.replace("\n", "\\n") + "' }}{% endif %}"
    "{{ message['content'] + '" + RESPONSE_MARK.replace("\n", "\\n") + "' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('roles are user and assistant, got ' + message['role']) }}{% endif %}"
    "{% endfor %}"
)


class UnusableInstruction(ValueError):  # noqa: N818 - it reads as what is wrong
    """An exchange that cannot be written in the format; the message says why."""


@dataclass(frozen=True)
class Exchange:
    """One instruction, its input ("" for none), and the response that is wanted; `task` names what is asked.

    checkable: only this very response is right, so that answers can be scored by comparing.
    """

    instruction: str
    input: str
    output: str
    task: str = ""
    checkable: bool = False


@dataclass(frozen=True)
class Conversation:
    """One exchange, or several in which later ones refer to earlier ones. `content` decides its split."""

    exchanges: tuple[Exchange, ...]
    content: str = ""


@dataclass(frozen=True)
class Segment:
    """The text of one turn: a prompt, then the response. The end token follows it, and is not in the text.

    field: from where to where in the prompt the instruction and the input stand (characters).
    """

    prompt: str
    response: str
    field: tuple[int, int]


def alpaca_prompt(instruction: str, input: str = "") -> str:
    """The prompt of one instruction, byte for byte as Alpaca was trained: no newline at the end.

    An input of spaces alone counts as none. Raises UnusableInstruction for an empty instruction, or a text that holds
    the mark of a response, after which a model could not tell where its answer begins.
    """
    _refuse_unusable(instruction, input)
    if input.strip():
        return WITH_INPUT.format(instruction=instruction, input=input)
    return WITHOUT_INPUT.format(instruction=instruction)


def next_turn(instruction: str, input: str = "") -> str:
    """What follows the end token of the last response: the next instruction, without the preamble."""
    _refuse_unusable(instruction, input)
    return f"{TURN_MARK}{instruction}{INPUT_MARK + input if input.strip() else ''}{RESPONSE_MARK}"


def conversation_prompt(history: Sequence[Exchange], instruction: str, input: str, end: str) -> str:
    """All that stands before the answer to `instruction`: earlier turns, each closed by `end`, then the new one."""
    if not history:
        return alpaca_prompt(instruction, input)
    before = "".join(segment.prompt + segment.response + end for segment in segments(history))
    return before + next_turn(instruction, input)


def segments(exchanges: Sequence[Exchange]) -> list[Segment]:
    """Each turn's text, the first with the preamble. Raises UnusableInstruction, naming the turn."""
    if not exchanges:
        raise UnusableInstruction("a conversation needs at least one exchange")
    written = []
    for number, exchange in enumerate(exchanges):
        if not exchange.output.strip():
            raise UnusableInstruction(
                f"turn {number + 1} has an empty response ({exchange.output!r}): a model would learn to say nothing; "
                "leave the row out"
            )
        prompt = (next_turn if number else alpaca_prompt)(exchange.instruction, exchange.input)
        start = len(TURN_MARK) if number else prompt.index(INSTRUCTION_MARK) + len(INSTRUCTION_MARK) + 1
        written.append(Segment(prompt, exchange.output, (start, len(prompt) - len(RESPONSE_MARK))))
    return written


def _refuse_unusable(instruction: str, input: str) -> None:
    if not instruction.strip():
        raise UnusableInstruction("the instruction is empty; say what is to be done")
    for name, text in (("instruction", instruction), ("input", input)):
        for mark in (RESPONSE_MARK.strip(), INSTRUCTION_MARK):
            if mark in text:
                raise UnusableInstruction(
                    f"the {name} contains {mark!r}, with which the template marks its own parts; rephrase it, or take "
                    "the mark out"
                )
