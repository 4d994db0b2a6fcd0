import pytest

from course_lib.data.alpaca_format import (
    CHAT_TEMPLATE,
    Exchange,
    UnusableInstruction,
    alpaca_prompt,
    conversation_prompt,
    segments,
)
from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer, train_byte_pairs

# Written out by hand from the published train.py, not from our constants.
PUBLISHED_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd\n\n### Input:\n1 {2}\n\n### Response:"
)
PUBLISHED_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\nAdd {x}\n\n### Response:"
)


def test_both_templates_are_the_published_ones_to_the_byte():
    assert alpaca_prompt("Add", "1 {2}").encode() == PUBLISHED_WITH_INPUT.encode()
    assert alpaca_prompt("Add {x}").encode() == PUBLISHED_WITHOUT_INPUT.encode()


def test_an_input_of_spaces_counts_as_none():
    assert alpaca_prompt("Add {x}", " \n") == PUBLISHED_WITHOUT_INPUT


def test_later_turns_repeat_no_preamble_and_follow_the_end_token():
    history = [Exchange("Say a", "", "a"), Exchange("Say b", "it", "b")]
    prompt = conversation_prompt(history, "Say c", "", "<end>")
    assert prompt == (
        PUBLISHED_WITHOUT_INPUT.replace("Add {x}", "Say a") + "a<end>"
        "\n\n### Instruction:\nSay b\n\n### Input:\nit\n\n### Response:b<end>"
        "\n\n### Instruction:\nSay c\n\n### Response:"
    )


def test_the_field_of_a_segment_holds_instruction_and_input_alone():
    first, second = segments([Exchange("Say a", "", "a"), Exchange("Say b", "it", "b")])
    assert first.prompt[slice(*first.field)] == "Say a"
    assert second.prompt[slice(*second.field)] == "Say b\n\n### Input:\nit"


def test_transformers_chat_template_writes_the_same_conversation():
    tokenizer = gpt_tokenizer(train_byte_pairs(["abc"], 257))
    tokenizer.chat_template = CHAT_TEMPLATE
    messages = [
        {"role": "user", "content": "Say a"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "Say 'b'"},
    ]
    written = tokenizer.apply_chat_template(messages, tokenize=False)
    assert written == conversation_prompt([Exchange("Say a", "", "a")], "Say 'b'", "", END_OF_TEXT)


def test_the_chat_template_refuses_other_roles():
    tokenizer = gpt_tokenizer(train_byte_pairs(["abc"], 257))
    tokenizer.chat_template = CHAT_TEMPLATE
    with pytest.raises(Exception, match="roles are user and assistant, got system"):
        tokenizer.apply_chat_template([{"role": "system", "content": "x"}], tokenize=False)


@pytest.mark.parametrize(
    ("exchange", "message"),
    [
        (Exchange(" ", "", "a"), "instruction is empty"),
        (Exchange("Say ### Response: a", "", "a"), "instruction contains '### Response:'"),
        (Exchange("Say", "### Instruction: b", "a"), "input contains '### Instruction:'"),
        (Exchange("Say", "", " \n"), "turn 1 has an empty response"),
    ],
)
def test_what_cannot_be_written_is_refused(exchange, message):
    with pytest.raises(UnusableInstruction, match=message):
        segments([exchange])


def test_a_conversation_without_turns_is_refused():
    with pytest.raises(UnusableInstruction, match="at least one exchange"):
        segments([])
