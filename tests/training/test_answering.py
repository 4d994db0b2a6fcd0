"""Fine-tuning a reader: rows that never lose their question, and the means of small machines."""

import pytest
import torch

from course_lib.data.byte_pairs import train_byte_pairs
from course_lib.data.question_format import T5_TOKENS, encode_question, t5_tokenizer
from course_lib.models.long_t5 import LongT5, LongT5Config
from course_lib.training.answering import (
    NO_ANSWER,
    Means,
    QuestionRows,
    fine_tune_reader,
    optimizer_of,
    question_loader,
    reading_loss,
)

SHEET = "The currency of Chad is the Euro. In Chad, the week starts on Monday. The script of Peru is Latin."
TINY = LongT5Config(400, 16, 1, 1, 2, 8, 24, block=8, summary_of=4, context_size=64)


def row(question="And its script?", answers=("Latin",), history=(("What is the script of Peru?", "Latin"),), **others):
    return {"context": SHEET, "question": question, "answers": list(answers), "history": list(history), **others}


@pytest.fixture(scope="module")
def tokenizer():
    return t5_tokenizer(train_byte_pairs([SHEET, "And its script? unknown What"], 400, T5_TOKENS))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LongT5(TINY)


ROWS = [row(), row("What is the currency of Chad?", ["Euro"], []), row("And the moon?", [], []), row("Peru?", ["no"])]


def test_a_row_is_the_line_and_its_first_answer_or_unknown(tokenizer):
    rows = QuestionRows([row(answers=["Latin", "the Latin"]), row(answers=[])], tokenizer)
    tokens, answer = rows[0]
    assert tokens == encode_question(tokenizer, SHEET, "And its script?", [("What is the script of Peru?", "Latin")])
    assert answer == tokenizer.encode("Latin")
    assert rows[1][1] == tokenizer.encode(NO_ANSWER)
    assert (rows.shortened, rows.dropped) == (0, 0)


def test_too_long_a_document_loses_its_end_and_never_the_question(tokenizer):
    whole = QuestionRows([row()], tokenizer)[0][0]
    rows = QuestionRows([row()], tokenizer, longest=len(whole) - 5)
    tail = "|| <Q1> What is the script of Peru? <A1> Latin <Q> And its script? <A>"
    assert rows[0][0][-len(tokenizer.encode(tail)) :] == tokenizer.encode(tail)
    assert (len(rows[0][0]), rows.shortened, rows.dropped) == (len(whole) - 5, 1, 0)


def test_rows_without_room_for_the_question_or_with_too_long_an_answer_are_dropped_and_counted(tokenizer):
    short, long = row("Peru?", ["Latin"], []), row("And what of the script of Peru, once more?", ["Latin"])
    room = len(QuestionRows([short], tokenizer)[0][0])
    needed = len(tokenizer.encode("|| <Q1> What is the script of Peru? <A1> Latin <Q> And what of it? <A>"))
    rows = QuestionRows([short, long], tokenizer, longest=min(room, needed))
    assert (len(rows), rows.dropped) == (1, 1)
    with pytest.raises(ValueError, match="none of 1 rows"):
        QuestionRows([row(answers=["Latin " * 50])], tokenizer, longest_answer=8)


def test_an_empty_document_or_question_is_named(tokenizer):
    with pytest.raises(ValueError, match=r"row 1 \(q-7\): the question is empty"):
        QuestionRows([row(), row(" ", id="q-7")], tokenizer)
    with pytest.raises(ValueError, match=r"row 0 .*the context is empty"):
        QuestionRows([{**row(), "context": ""}], tokenizer)


def test_one_row_can_be_learned_by_heart_with_each_optimizer(tokenizer):
    for name, rate in (("adamw", 1e-2), ("adafactor", 3e-2)):
        torch.manual_seed(0)
        learner = LongT5(TINY)
        rows = QuestionRows([ROWS[1]], tokenizer)
        means = Means(batch_size=1, optimizer=name)
        result = fine_tune_reader(learner, rows, tokenizer.pad_token_id, steps=40, means=means, learning_rate=rate)
        assert result.losses[-1] < 0.1 * result.losses[0], name


def test_adafactor_keeps_far_less_than_adamw(model):
    kept = {}
    for name in ("adamw", "adafactor"):
        optimizer = optimizer_of(model, name, 1e-3)
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        state = optimizer.state_dict()["state"].values()
        kept[name] = sum(value.numel() for each in state for value in each.values() if torch.is_tensor(value))
    assert kept["adafactor"] < 0.3 * kept["adamw"]


def test_accumulated_small_batches_are_one_large_one(tokenizer):
    """With answers of one length the mean of the batches' means is the mean of all."""
    same = [row(answers=["Latin"]), row("Chad?", ["Latin"]), row("And Peru?", ["Latin"], []), row("What?", ["Latin"])]
    rows, losses, weights = QuestionRows(same, tokenizer), {}, {}
    for size, times in ((4, 1), (1, 4)):
        torch.manual_seed(1)
        model = LongT5(TINY)
        means = Means(batch_size=size, accumulation=times)
        # One step: which rows come together differs from there on.
        result = fine_tune_reader(model, rows, tokenizer.pad_token_id, steps=1, means=means, learning_rate=1e-3)
        losses[size], weights[size] = result.losses[0], model.state_dict()
    assert losses[4] == pytest.approx(losses[1], abs=1e-5)
    for name, value in weights[4].items():
        assert torch.allclose(value, weights[1][name], atol=1e-4), name


def test_checkpointing_changes_no_loss_and_is_off_again(tokenizer):
    losses = []
    for wanted in (False, True):
        torch.manual_seed(2)
        model = LongT5(TINY)
        rows = QuestionRows(ROWS, tokenizer)
        means = Means(batch_size=2, checkpointing=wanted)
        losses.append(fine_tune_reader(model, rows, tokenizer.pad_token_id, steps=4, means=means).losses)
        assert not model.encoder.checkpointing
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_the_weights_that_were_best_are_those_at_the_end(tokenizer, tmp_path):
    for folder in (None, tmp_path / "run"):
        torch.manual_seed(3)
        model, seen, scores = LongT5(TINY), [], iter((0.1, 0.8, 0.3))

        def evaluate(network, seen=seen, scores=scores):
            seen.append({name: value.clone() for name, value in network.state_dict().items()})
            return {"f1": next(scores)}

        rows = QuestionRows(ROWS, tokenizer)
        fine_tune_reader(
            model,
            rows,
            tokenizer.pad_token_id,
            steps=6,
            means=Means(batch_size=2),
            evaluate=evaluate,
            evaluate_every=2,
            folder=folder,
        )
        for name, value in model.state_dict().items():
            assert torch.equal(value, seen[1][name])


def test_a_complete_run_is_not_run_again(tokenizer, tmp_path):
    rows, settings = QuestionRows(ROWS, tokenizer), {"steps": 3, "means": Means(batch_size=2), "folder": tmp_path}
    scores = iter((0.5,))

    def evaluate(_):
        return {"f1": next(scores)}

    first, again = LongT5(TINY), LongT5(TINY)
    pad = tokenizer.pad_token_id
    fine_tune_reader(first, rows, pad, evaluate=evaluate, **settings)
    result = fine_tune_reader(again, rows, pad, evaluate=evaluate, **settings)
    assert (result.resumed_from, result.steps_done) == (3, 3)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())


def test_workers_make_the_same_batches(tokenizer):
    rows = QuestionRows(ROWS, tokenizer)
    batches = [list(question_loader(rows, Means(batch_size=2, workers=count), 0)) for count in (0, 1)]
    for here, there in zip(*batches, strict=True):
        assert torch.equal(here.tokens, there.tokens)
        assert torch.equal(here.labels, there.labels)


def test_padding_changes_no_loss(tokenizer, model):
    """The loss of a batch is the mean over its answers' tokens, whatever stands beside a row."""
    rows = QuestionRows(ROWS, tokenizer)
    loader = question_loader(rows, Means(batch_size=4), tokenizer.pad_token_id)
    [together] = list(loader)
    alone = [
        next(iter(question_loader(QuestionRows([each], tokenizer), Means(batch_size=1), tokenizer.pad_token_id)))
        for each in ROWS
    ]
    asked = [(each.labels >= 0).sum().item() for each in alone]
    with torch.no_grad():
        model.eval()
        means = [reading_loss(model, each).item() for each in alone]
        expected = sum(mean * count for mean, count in zip(means, asked, strict=True)) / sum(asked)
        assert reading_loss(model, together).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"optimizer": "sgd"}, "adamw, adafactor"),
        ({"batch_size": 0}, "at least 1"),
        ({"accumulation": 0}, "at least 1"),
        ({"workers": -1}, "0 or more"),
    ],
)
def test_means_that_cannot_be_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Means(**options)


def test_too_few_rows_and_an_evaluation_without_the_score_are_refused(tokenizer, model):
    rows = QuestionRows(ROWS, tokenizer)
    with pytest.raises(ValueError, match="4 rows do not fill one batch of 8"):
        fine_tune_reader(model, rows, 0, steps=1)
    with pytest.raises(ValueError, match="evaluate must return 'f1'"):
        fine_tune_reader(model, rows, 0, steps=1, means=Means(batch_size=2), evaluate=lambda _: {"exact": 1.0})
