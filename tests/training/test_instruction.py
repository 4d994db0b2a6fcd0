import copy

import pytest
import tokenizers
import torch
import transformers

from course_lib.data.alpaca_format import Conversation, Exchange
from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer, train_byte_pairs
from course_lib.data.instruction_tokens import first_of_response, prompt_tokens, tokenised
from course_lib.data.masking import NOT_ASKED
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.models.packing import places_in_documents, within_documents
from course_lib.training.instruction import (
    InstructionBatch,
    PackedRows,
    instruction_loader,
    instruction_loss,
    packed_batch,
    packed_loader,
    packs_of,
    padded_batch,
)
from course_lib.training.instruction_rows import InstructionRows
from course_lib.training.loop import train


def said(instruction, output, input=""):
    return Conversation((Exchange(instruction, input, output),))


CONVERSATIONS = [
    said("Reverse the list.", "cat, dog", "dog, cat"),
    said("Say lion five times, please.", "lion, lion, lion, lion, lion"),
    Conversation((Exchange("Say cat.", "", "cat"), Exchange("Now sort them.", "", "a longer answer, this one"))),
    said("How many?", "two"),
]


@pytest.fixture(scope="module")
def tokenizer():
    texts = [segment for each in CONVERSATIONS for e in each.exchanges for segment in (e.instruction, e.output)]
    return gpt_tokenizer(train_byte_pairs([*texts, "### Response:", "a:-3 :-3 x:-"] * 3, 400))


@pytest.fixture(scope="module")
def rows(tokenizer):
    return InstructionRows(tokenizer, CONVERSATIONS, 400)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GPT(GPTConfig(400, context_size=1_000, blocks=2, heads=2, embedding_size=16)).eval()


def test_labels_are_the_responses_and_the_end_tokens_and_nothing_else(rows, tokenizer):
    for number, conversation in enumerate(CONVERSATIONS):
        tokens, labels = rows[number]
        asked = labels[labels != NOT_ASKED]
        assert tokenizer.decode(asked) == "".join(e.output + END_OF_TEXT for e in conversation.exchanges)
        assert torch.equal(tokens[labels != NOT_ASKED], asked)


def test_the_border_is_found_where_tokens_merge_across_it(tokenizer):
    """The response "-3" after ":" merges into one token here, so that the prompt alone has other tokens."""
    bpe = train_byte_pairs(["Response:-3"], 300)
    # Without cutting at signs first, merges cross any border.
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.train_from_iterator(
        ["### Response:-3"] * 20,
        tokenizers.trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=[END_OF_TEXT],
            initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    merging = gpt_tokenizer(bpe)
    ((turn,),) = tokenised(merging, [said("Count", "-3")])
    prompt = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    alone = merging(f"{prompt}\n\n### Instruction:\nCount\n\n### Response:")["input_ids"]
    assert turn.tokens[: len(alone)] != alone, "the test needs a merge across the border"
    response = merging.decode(turn.tokens[turn.border : -1])
    assert response.endswith("-3")
    assert "-3" not in merging.decode(turn.tokens[: turn.border])
    assert turn.border != len(alone)


def test_a_token_on_both_sides_of_the_border_belongs_to_the_response():
    assert first_of_response([(0, 2), (2, 5), (5, 6)], 5) == 2
    assert first_of_response([(0, 2), (2, 5), (5, 6)], 4) == 1
    assert first_of_response([(0, 2)], 2) == 1


def test_the_text_of_the_end_token_in_a_message_ends_nothing(tokenizer):
    ((turn,),) = tokenised(tokenizer, [said(f"Say {END_OF_TEXT}", f"a{END_OF_TEXT}b")])
    assert turn.tokens.count(tokenizer.eos_token_id) == 1
    assert turn.tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(turn.tokens[turn.border : -1]) == f"a{END_OF_TEXT}b"


def test_a_prompt_has_the_tokens_of_training(tokenizer, rows):
    *history, last = CONVERSATIONS[2].exchanges
    tokens, labels = rows[2]
    prompt = prompt_tokens(tokenizer, history, last.instruction, last.input)
    assert tokens.tolist()[: len(prompt)] == prompt
    assert labels[len(prompt)] != NOT_ASKED
    assert labels[len(prompt) - 1] == NOT_ASKED


def test_train_on_inputs_asks_for_all_but_the_first_token(tokenizer):
    rows = InstructionRows(tokenizer, CONVERSATIONS, 400, train_on_inputs=True)
    for tokens, labels in (rows[number] for number in range(len(rows))):
        assert labels[0] == NOT_ASKED
        assert torch.equal(labels[1:], tokens[1:])


def test_truncation_keeps_the_response_or_drops_the_row_and_counts(tokenizer):
    long_input = said("Say cat.", "cat, cat", "word " * 30)
    full = len(InstructionRows(tokenizer, [long_input], 1_000)[0][0])
    rows = InstructionRows(tokenizer, [long_input, said("Say", "b " * 400)], full - 10)
    assert (len(rows), rows.shortened, rows.dropped) == (1, 1, 1)
    tokens, labels = rows[0]
    assert len(tokens) == full - 10
    text = tokenizer.decode(tokens)
    assert text.endswith(f"\n\n### Response:cat, cat{END_OF_TEXT}")
    assert "### Instruction:\nSay cat." in text
    assert tokenizer.decode(labels[labels != NOT_ASKED]) == f"cat, cat{END_OF_TEXT}"


def test_an_instruction_of_which_less_than_half_would_stay_is_dropped(tokenizer):
    long_input = said("Say cat.", "cat", "word " * 40)
    with pytest.raises(ValueError, match="none of the 1 rows fits into 150 tokens"):
        InstructionRows(tokenizer, [long_input], 150)


def test_a_long_conversation_loses_its_last_turns(tokenizer):
    conversation = CONVERSATIONS[2]
    full = len(InstructionRows(tokenizer, [conversation], 400)[0][0])
    rows = InstructionRows(tokenizer, [conversation], full - 1)
    tokens, _ = rows[0]
    assert tokenizer.decode(tokens).endswith(f"### Response:cat{END_OF_TEXT}")
    assert rows.shortened == 1


def test_every_way_to_make_a_batch_has_the_same_loss(rows, model):
    each = [rows[number] for number in range(len(rows))]
    asked = [int((labels != NOT_ASKED).sum()) for _, labels in each]
    singly = [float(instruction_loss(model, padded_batch([row], 0))) for row in each]
    wanted = sum(loss * n for loss, n in zip(singly, asked, strict=True)) / sum(asked)
    for batch in (
        padded_batch(each, 5),
        padded_batch(each, 0, side="left"),
        packed_batch([each], 0),
        packed_batch([[each[2], each[0]], [each[1], each[3]]], 7, 600),
    ):
        assert float(instruction_loss(model, batch)) == pytest.approx(wanted, rel=1e-5)


def test_packed_rows_give_the_gradients_of_padded_ones(rows, model):
    each = [rows[number] for number in range(len(rows))]
    gradients = []
    for batch in (padded_batch(each, 0), packed_batch([each], 0)):
        model.zero_grad()
        instruction_loss(model, batch).backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_transformers_models_have_the_same_loss_packed_and_padded(rows, kind):
    torch.manual_seed(0)
    config = (
        transformers.LlamaConfig(
            vocab_size=400, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
        )
        if kind == "llama"
        else transformers.GPT2Config(vocab_size=400, n_embd=16, n_layer=2, n_head=2, n_positions=1_000)
    )
    theirs = transformers.AutoModelForCausalLM.from_config(config).eval()
    each = [rows[number] for number in range(len(rows))]
    padded = float(instruction_loss(theirs, padded_batch(each, 0)))
    for batch in (packed_batch([each], 0), padded_batch(each, 0, side="left")):
        assert float(instruction_loss(theirs, batch)) == pytest.approx(padded, rel=1e-4)


def test_without_the_mask_packed_rows_would_read_each_other(rows, model):
    """The test above can fail: the same row without documents has another loss."""
    packed = packed_batch([[rows[0], rows[1]]], 0)
    blind = InstructionBatch(packed.tokens, packed.labels)
    assert float(instruction_loss(model, packed)) != pytest.approx(float(instruction_loss(model, blind)), rel=1e-4)


def test_places_and_masks_of_packed_texts():
    documents = torch.tensor([[0, 0, 1, 1, 1, -1]])
    assert places_in_documents(documents).tolist() == [[0, 1, 0, 1, 2, 0]]
    may_look = within_documents(documents)[0, 0]
    assert may_look[3].tolist() == [False, False, True, True, False, False]
    assert may_look.diagonal().all()


def test_documents_beside_padding_or_a_cache_are_refused(model):
    tokens = torch.zeros(1, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="documents share rows without is_word and without a cache"):
        model(tokens, documents=tokens, cache=model.empty_cache())


def test_packing_fills_well_and_loses_no_row():
    lengths = torch.randint(20, 400, (500,), generator=torch.Generator().manual_seed(0)).tolist()
    packs = packs_of(lengths, 512)
    assert sorted(row for pack in packs for row in pack) == list(range(500))
    assert max(sum(lengths[row] for row in pack) for pack in packs) <= 512
    assert sum(lengths) / (512 * len(packs)) > 0.95


def test_a_row_longer_than_a_pack_is_refused():
    with pytest.raises(ValueError, match="row of 9 tokens does not fit into packs of 8"):
        packs_of([3, 9], 8)
    with pytest.raises(ValueError, match="more than the length of 3"):
        packed_batch([[(torch.arange(4), torch.arange(4))]], 0, 3)


def test_batches_without_rows_and_other_sides_are_refused(rows):
    with pytest.raises(ValueError, match="at least one row"):
        padded_batch([], 0)
    with pytest.raises(ValueError, match="at least one row in each pack"):
        packed_batch([[]], 0)
    with pytest.raises(ValueError, match="side must be 'right' or 'left'"):
        padded_batch([rows[0]], 0, "top")


def test_a_tokenizer_without_an_end_token_is_refused(tokenizer):
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    with pytest.raises(ValueError, match=r"no end-of-text token.*set tokenizer\.eos_token"):
        InstructionRows(endless, CONVERSATIONS, 100)


def test_a_tokenizer_that_begins_every_text_begins_rows_too(tokenizer):
    beginning = copy.deepcopy(tokenizer)
    beginning._tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, tokenizer.eos_token_id)]
    )
    tokens, labels = InstructionRows(beginning, CONVERSATIONS[:1], 400)[0]
    plain, _ = InstructionRows(tokenizer, CONVERSATIONS[:1], 400)[0]
    assert tokens.tolist() == [tokenizer.eos_token_id, *plain.tolist()]
    assert labels[0] == NOT_ASKED


@pytest.mark.parametrize("packed", [False, True])
def test_a_small_model_learns_the_responses_by_heart(tokenizer, rows, packed):
    torch.manual_seed(0)
    model = GPT(GPTConfig(400, context_size=400, blocks=2, heads=2, embedding_size=32))
    loader = packed_loader(rows, 2, 400, 0) if packed else instruction_loader(rows, 4, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    result = train(model, loader, instruction_loss, steps=40, optimizer=optimizer)
    assert result.losses[-1] < 0.2 < result.losses[0]
    assert len(PackedRows(rows, 400)) < len(rows)


def test_too_few_rows_for_a_batch_are_refused(rows):
    with pytest.raises(ValueError, match="4 rows do not fill one batch of 5"):
        instruction_loader(rows, 5, 0)
