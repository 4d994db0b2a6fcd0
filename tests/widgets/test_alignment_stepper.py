"""What the stepper shows is what the model computes; numbers that cannot be are refused with their place."""

import pytest
import torch

from course_lib.data.vocabulary import Vocabulary
from course_lib.generation.translate import greedy
from course_lib.models.seq2seq import attention_model, fixed_context_model
from course_lib.widgets import AlignmentStepper
from course_lib.widgets.decoding_steps import decode, softmax

SOURCE = Vocabulary(["mittwoch", ",", "26", ".", "märz", "2036"])
TARGET = Vocabulary(["wednesday", ",", "march", "26", "2036"])
SENTENCE = "mittwoch , 26 . märz 2036"
HOSTILE = ["<script>alert(1)</script>", "&amp;", "\u202eright to left", "👩\u200d🔬", "\u200b", "x" * 10_000]


def model(score="additive"):
    torch.manual_seed(0)
    return attention_model(len(SOURCE), len(TARGET), embedding_size=8, hidden_size=8, attention_size=8, score=score)


def step(**changes):
    return {"word": "march", "probability": 0.9, "weights": [0.25, 0.75], **changes}


@pytest.mark.parametrize("score", ["additive", "general", "dot"])
def test_the_steps_are_those_of_the_greedy_search(score):
    network = model(score)
    network.eval()
    seen = decode(network, SOURCE, TARGET, SENTENCE, maximum_length=7)
    ids = torch.tensor([SOURCE.encode(SENTENCE)])
    written = greedy(network, ids, torch.ones_like(ids, dtype=torch.bool), maximum_length=7)[0]
    words = [TARGET.token_of(number) for number in written.ids] + (["<end>"] if written.finished else [])
    assert [each.word for each in seen.steps] == words
    torch.testing.assert_close(torch.tensor([each.weights for each in seen.steps]), written.weights)
    logs = torch.tensor([each.probability for each in seen.steps]).log().sum().item()
    assert logs == pytest.approx(written.log_probability, abs=1e-4)
    assert seen.finished == written.finished


@pytest.mark.parametrize("score", ["additive", "general", "dot"])
def test_the_softmax_of_the_energies_gives_the_weights(score):
    for each in decode(model(score), SOURCE, TARGET, SENTENCE).steps:
        assert softmax(each.energies) == pytest.approx(each.weights, abs=1e-6)


def test_the_context_is_the_weighted_sum_of_the_annotations():
    seen = decode(model(), SOURCE, TARGET, SENTENCE, features=5)
    assert len(seen.features) == 5
    assert seen.annotation_size == 16
    for each in seen.steps:
        expected = torch.tensor(each.weights) @ torch.tensor(seen.annotations)
        torch.testing.assert_close(torch.tensor(each.context), expected)


def test_the_model_is_left_as_it_was():
    network = model()
    network.train()
    decode(network, SOURCE, TARGET, SENTENCE)
    assert network.training


def test_plain_data_gets_its_context_from_the_annotations():
    stepper = AlignmentStepper.from_steps(["a", "b"], [step()], annotations=[[1.0, 0.0], [0.0, 2.0]])
    assert stepper.decoding.steps[0].context == (0.25, 1.5)
    assert stepper.data["steps"][0]["energies"] is None


def test_the_step_stays_within_the_sentence():
    stepper = AlignmentStepper.from_steps(["a", "b"], [step(), step(word="5")])
    stepper.step = 7
    assert stepper.step == 1
    stepper.step = -3
    assert stepper.step == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [0.25, float("nan")]}, r"step 2 \('march'\): weight 2 is nan"),
        ({"weights": [0.5, 0.75]}, r"step 2 \('march'\): the weights sum to 1.2500, expected 1"),
        ({"weights": [-0.25, 1.25]}, "weight 1 is -0.25, expected 0 to 1"),
        ({"weights": [1.0]}, "has 1 weights for 2 source words"),
        ({"energies": [0.0, float("nan")]}, "the energies hold NaN"),
        (
            {"energies": [0.0, 0.0]},
            r"softmax\(energies\) gives source word 1 the weight 0.5000, but weights has 0.2500",
        ),
        ({"context": [float("inf")]}, "the context holds NaN or infinity"),
        ({"probability": 1.5}, "the probability of 'march' is 1.5"),
        ({"wieghts": [1]}, "step 2 has 'wieghts'; a step has word, probability"),
    ],
)
def test_numbers_that_cannot_be_are_refused_with_their_place(changes, message):
    with pytest.raises(ValueError, match=message):
        AlignmentStepper.from_steps(["a", "b"], [step(), step(**changes)])


def test_bad_sentences_and_models_are_refused_with_advice():
    with pytest.raises(ValueError, match="the source sentence is empty"):
        decode(model(), SOURCE, TARGET, "  ")
    with pytest.raises(ValueError, match="has 5000 words, at most 64 can be shown"):
        decode(model(), SOURCE, TARGET, "märz " * 5000)
    with pytest.raises(ValueError, match="FixedContextDecoder has no alignment to step through"):
        decode(fixed_context_model(len(SOURCE), len(TARGET), context_size=8), SOURCE, TARGET, SENTENCE)
    with pytest.raises(ValueError, match="shows 1 to 192 steps, got 0"):
        AlignmentStepper.from_steps(["a"], [])
    with pytest.raises(ValueError, match="has no 'weights'"):
        AlignmentStepper.from_steps(["a"], [{"word": "b"}])
    with pytest.raises(ValueError, match="step must be from 0 to 0, got 3"):
        AlignmentStepper(AlignmentStepper.from_steps(["a", "b"], [step()]).decoding, step=3)
    with pytest.raises(ValueError, match="one row of numbers for each of the 2 source words"):
        AlignmentStepper.from_steps(["a", "b"], [step()], annotations=[[1.0]])


def test_the_static_twin_holds_the_words_and_no_markup_of_theirs():
    weights = [1 / len(HOSTILE)] * len(HOSTILE)
    stepper = AlignmentStepper.from_steps(HOSTILE, [step(word=word, weights=weights) for word in HOSTILE])
    html, text = stepper.static_html(), stepper.static_text()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "‹U+202E›" in html
    assert "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" not in html + text
    assert 'role="img" aria-label="Heat map of the alignment' in html
    assert "<caption" in html
    assert '<th scope="row"' in html


def test_measured_numbers_are_marked_as_such():
    text = AlignmentStepper.from_steps(["drei", "märz"], [step()]).static_text()
    assert text.splitlines()[-1].split() == ["1", "march", "≈0.90", "≈0.25", "≈0.75"]
