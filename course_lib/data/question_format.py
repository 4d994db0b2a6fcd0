"""How does a text-to-text model get a document, a conversation and a question in one line? (notebooks 09 and 10)

`{context} || <Q2> … <A2> … <Q1> … <A1> … <Q> question <A>`: the document, the last N pairs of question and answer, the
question; the model goes on with the answer. If it is too long, the document is cut, never the question.
Source: the Space of Tryolabs' blog post (2023), whose N is 2; its form is that of the CoQA baselines (Reddy et al.
2019). The marks are tokens of their own here.
"""

import json
from collections.abc import Sequence

from tokenizers import Tokenizer, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

LONGEST_HISTORY = 4
SEPARATOR, QUESTION, ANSWER = "||", "<Q>", "<A>"
MARKS = (
    SEPARATOR,
    QUESTION,
    ANSWER,
    *(f"<{letter}{back}>" for back in range(1, LONGEST_HISTORY + 1) for letter in "QA"),
)
PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"
GAPS = tuple(f"<extra_id_{number}>" for number in range(16))  # what T5 puts for a hidden span
T5_TOKENS = (PAD, END, UNKNOWN, *MARKS, *GAPS)

Pairs = Sequence[Sequence[str]]  # of question and answer, the oldest first


def question_text(context: str, question: str, history: Pairs = (), last: int = 2) -> str:
    """The model's input as text, with the `last` pairs of the history.

    Raises ValueError for an empty document or question, for one that holds a mark, and for a `last` out of range.
    """
    return f"{_said(context, 'context')} {tail_text(question, history, last)}"


def tail_text(question: str, history: Pairs = (), last: int = 2) -> str:
    """What follows the document: the separator, the last pairs, the question. Raises ValueError as `question_text`."""
    if not 0 <= last <= LONGEST_HISTORY:
        raise ValueError(f"last must be from 0 to {LONGEST_HISTORY} pairs of the history, got {last}")
    parts = [SEPARATOR]
    pairs = list(history)[-last:] if last else []
    for back, (asked, answered) in zip(range(len(pairs), 0, -1), pairs, strict=True):
        parts.append(f"<Q{back}> {_said(asked, 'history')} <A{back}> {_said(answered, 'history')}")
    parts.append(f"{QUESTION} {_said(question, 'question')} {ANSWER}")
    return " ".join(parts)


def encode_question(
    tokenizer: PreTrainedTokenizerFast,
    context: str,
    question: str,
    history: Pairs = (),
    last: int = 2,
    max_length: int | None = None,
) -> list[int]:
    """The tokens of `question_text`, at most `max_length`: the end of the document is cut off, and nothing else.

    Raises ValueError if what follows the document leaves no room for a single token of it.
    """
    tail = tokenizer.encode(tail_text(question, history, last), verbose=False)
    read = tokenizer.encode(_said(context, "context"), add_special_tokens=False, verbose=False)
    return join(read, tail, max_length)


def join(context: Sequence[int], tail: Sequence[int], max_length: int | None = None) -> list[int]:
    """Document and tail, the document cut so that both have at most `max_length` tokens. Raises ValueError."""
    if max_length is None:
        return [*context, *tail]
    room = max_length - len(tail)
    if room < 1:
        raise ValueError(
            f"the question and its history take {len(tail)} tokens, which leaves no room for the document within "
            f"{max_length}; shorten them, take fewer pairs, or raise max_length"
        )
    return [*context[:room], *tail]


def t5_tokenizer(tokenizer: Tokenizer, context_size: int | None = None) -> PreTrainedTokenizerFast:
    """Wrap byte pairs for T5: `</s>` ends every text, `<pad>` is token 0, and a mark swallows the space before it.

    Every word is read as if a space stood before it, so that a name is the same tokens wherever it stands.
    Raises ValueError if the tokenizer lacks one of `T5_TOKENS`.
    """
    missing = [token for token in T5_TOKENS if tokenizer.token_to_id(token) is None]
    if missing:
        raise ValueError(f"the tokenizer has no {', '.join(missing)}; train it with special_tokens=T5_TOKENS")
    description = json.loads(tokenizer.to_str())
    for token in description["added_tokens"]:
        token["lstrip"] = token["content"] in (*MARKS, *GAPS)
    own = Tokenizer.from_str(json.dumps(description))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    own.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=[(END, own.token_to_id(END))]
    )
    limit = {} if context_size is None else {"model_max_length": context_size}
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        **limit,
    )


def _said(text: str, what: str) -> str:
    """The text without white space around it. Raises ValueError if nothing is left, or if it holds a mark."""
    text = text.strip()
    if not text:
        raise ValueError(f"the {what} is empty; there is nothing to read or to answer")
    for mark in MARKS:
        if mark in text:
            raise ValueError(f"the {what} holds {mark!r}, which marks the parts of the input; take it out")
    return text
