"""The laboratory's answers to its page, and its static twin."""

import re
from html.parser import HTMLParser

import pytest
import torch

from course_lib.data.byte_pairs import gpt_tokenizer, train_byte_pairs
from course_lib.generation.continuing import continue_text
from course_lib.generation.sampling import Sampling
from course_lib.models.gpt import GPT, GPTConfig
from course_lib.widgets import TemperatureLab
from course_lib.widgets.temperature_lab import MOST_SAMPLES

HOSTILE = "<script>alert(1)</script> &amp; \u202eabc\u200b 👩‍🔬"
SETTING = {"temperature": 0.7, "top_k": 5, "top_p": None, "min_p": None, "repetition_penalty": 1}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = GPT(GPTConfig(300, 48, 2, 2, 16)).eval()
    with torch.no_grad():
        made.embedding.weight.mul_(8)
    return made


@pytest.fixture(scope="module")
def tokenizer():
    return gpt_tokenizer(train_byte_pairs(["Return the list of the names. <script>alert(1)</script>"] * 9, 300))


@pytest.fixture
def lab(model, tokenizer):
    return TemperatureLab(model, tokenizer, "Return the", samples=2, new_tokens=5)


def answer(lab, question, **content):
    """What the page would hear."""
    said = []
    lab.send = lambda message, buffers=None: said.append(message)
    lab._answer(lab, {"ask": question, "number": 1, "content": content}, [])
    return said[0]


def scores(lab):
    return torch.frombuffer(bytearray(lab.logits), dtype=torch.float32)


def expected(lab, model, tokenizer, steps=()):
    tokens = [*tokenizer("Return the")["input_ids"], *steps]
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0, -1]


class Visible(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_page_gets_the_models_scores_as_float32(lab, model, tokenizer):
    torch.testing.assert_close(scores(lab), expected(lab, model, tokenizer))
    assert len(lab.logits) == 4 * 300
    assert len(lab.place["candidates"]) == 24


def test_a_chosen_token_becomes_the_next_one(lab, model, tokenizer):
    chosen = lab.place["candidates"][3]["token"]
    share = float(scores(lab).softmax(0)[chosen])
    said = answer(lab, "step", token=chosen)["content"]
    assert said["token"] == chosen
    assert said["share"] == pytest.approx(share)
    assert [step["token"] for step in lab.place["steps"]] == [chosen]
    assert chosen in lab.place["seen"]
    torch.testing.assert_close(scores(lab), expected(lab, model, tokenizer, [chosen]))


def test_undo_and_reset_go_back_without_asking_the_model(lab, model, monkeypatch):
    first = lab.logits
    for _ in range(3):
        answer(lab, "step", setting=SETTING, seed=1)
    drawn = [step["token"] for step in lab.place["steps"]]
    monkeypatch.setattr(GPT, "forward", None)
    answer(lab, "undo")
    assert [step["token"] for step in lab.place["steps"]] == drawn[:2]
    answer(lab, "reset")
    assert lab.place["steps"] == []
    assert lab.logits == first
    assert "no step to undo" in answer(lab, "undo")["error"]


def test_drawing_again_after_undo_draws_the_same_token(lab):
    answer(lab, "step", setting=SETTING, seed=11)
    second = answer(lab, "step", setting=SETTING, seed=11)["content"]["token"]
    answer(lab, "undo")
    assert answer(lab, "step", setting=SETTING, seed=11)["content"]["token"] == second


def test_the_likeliest_token_is_taken_on_demand(lab):
    likeliest = lab.place["candidates"][0]["token"]
    assert (
        answer(lab, "step", setting=SETTING | {"repetition_penalty": 1}, greedy=True)["content"]["token"] == likeliest
    )


def test_continuations_are_those_of_continue_text_with_the_models_probabilities(lab, model, tokenizer):
    assert answer(lab, "sample", settings={"A": SETTING}, seed=7, count=3, length=6)["content"] == {}
    (group,) = lab.written
    tokens = tokenizer("Return the")["input_ids"]
    wanted = continue_text(
        model,
        [tokens] * 3,
        max_new_tokens=6,
        sampling=Sampling(0.7, top_k=5),
        end_token=tokenizer.eos_token_id,
        generator=torch.Generator().manual_seed(7),
    )
    assert [sample["texts"] for sample in group["samples"]] == [lab._asked.shown(one.tokens) for one in wanted]
    for sample, one in zip(group["samples"], wanted, strict=True):
        assert sample["shares"] == pytest.approx(torch.tensor(one.log_probabilities).exp().tolist())


def test_two_settings_are_sampled_from_the_same_seed(lab):
    answer(lab, "sample", settings={"A": SETTING, "B": SETTING}, seed=7, count=2, length=6)
    first, second = lab.written
    assert (first["name"], second["name"]) == ("A", "B")
    assert first["samples"] == second["samples"]


@pytest.mark.parametrize(
    ("question", "content", "says"),
    [
        ("step", {"setting": SETTING | {"temperature": 0}}, "do_sample=False"),
        ("step", {"setting": SETTING | {"top_k": 0}}, "top_k must be at least 1"),
        ("step", {"setting": SETTING, "seed": -1}, "seed must be a whole number"),
        ("step", {"token": 300}, "vocabulary ends at 299"),
        ("step", {"token": -1}, "there is no token -1"),
        ("sample", {"settings": {"A": SETTING}, "count": 0}, f"from 1 to {MOST_SAMPLES}"),
        ("sample", {"settings": {"A": SETTING}, "length": 101}, "from 1 to 100"),
        ("sample", {"settings": {"A": SETTING}, "length": 60}, "sample at most"),
        ("prompt", {"text": "@" * 5000}, "context holds 48"),
        ("nonsense", {}, "answers no question"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(lab, question, content, says):
    before = lab.place, lab.logits, lab.written
    assert says in answer(lab, question, **content)["error"]
    assert (lab.place, lab.logits, lab.written) == before


def test_a_full_context_is_said(model, tokenizer):
    lab = TemperatureLab(model, tokenizer, "@" * 48, samples=0)
    assert "context of 48 tokens is full" in answer(lab, "step", setting=SETTING)["error"]


def test_a_new_prompt_begins_anew(lab):
    answer(lab, "step", setting=SETTING)
    assert answer(lab, "prompt", text="")["content"] == {"tokens": 1}
    assert lab.place["steps"] == []
    assert lab.place["tail"] == ["<|endoftext|>"]
    assert lab.written == []


def test_the_twin_has_all_numbers_and_is_the_same_each_time(model, tokenizer):
    def twin():
        lab = TemperatureLab(
            model, tokenizer, "Return the", sampling=Sampling(0.7, top_k=9), other=Sampling(1.5, min_p=0.1), seed=3
        )
        return lab.static_html(), lab.static_text()

    html, text = twin()
    assert (html, text) == twin()
    page = Visible(html)
    names = [tag for tag, _ in page.tags]
    assert names.count("table") >= 4
    assert "≈" in dict(page.tags)["svg"]["aria-label"]
    assert ("svg", "img") in [(tag, attributes.get("role")) for tag, attributes in page.tags]
    for shown in ("cut by top-k", "A: T 0.7, top-k 9", "B: T 1.5, min-p 0.1", "tokens that stay"):
        assert shown in page.text
        assert shown in text
    assert re.search(r"A: temperature +≈\d", text)


def test_measured_numbers_of_the_twin_are_marked(lab):
    assert not re.search(r"(?<![≈\d.])\d+\.\d+ (%|bits)", lab.static_text())


def test_hostile_text_is_shown_and_never_markup(model, tokenizer):
    lab = TemperatureLab(model, tokenizer, HOSTILE, other=Sampling(2.0), samples=2, new_tokens=4)
    page = Visible(lab.static_html())
    assert "script" not in [tag for tag, _ in page.tags]
    assert "‹U+202E›" in page.text
    assert "\u202e" not in lab.static_html() + lab.static_text()
    assert "\u200b" not in lab.static_html() + lab.static_text()


def test_in_a_batch_there_is_the_twin_alone(lab, monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "batch")
    bundle, _ = lab._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/plain"}
