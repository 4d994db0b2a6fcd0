"""WikiText-2 from the mirror, its articles, and a strided reading of a slice of it."""

import math
import os

import pytest
import torch

from course_lib.data import mirror, wikitext
from course_lib.data.byte_pairs import END_OF_TEXT, gpt_tokenizer, train_byte_pairs
from course_lib.data.token_windows import token_stream
from course_lib.evaluation.language_model import perplexity_of, stream_nats
from course_lib.models.gpt import GPT, GPTConfig, next_token_loss

needs_mirror = pytest.mark.skipif(
    not os.environ.get(mirror.VARIABLE), reason=f"{mirror.VARIABLE} does not name a data mirror"
)
TEXT = (
    " \n = One title = \n \n First words . \n = = A section = = \n More . \n \n = Another = \n \n Last @-@ words . \n"
)


def test_articles_are_cut_before_titles_and_not_before_sections():
    articles = wikitext.articles_of(TEXT)
    assert "".join(articles) == TEXT
    assert [wikitext.title_of(article) for article in articles] == ["One title", "Another"]
    assert "A section" in articles[0]


def test_text_without_a_title_is_one_article():
    assert wikitext.articles_of("plain words\n") == ["plain words\n"]
    assert wikitext.title_of("plain words\n") == ""


def test_words_and_line_ends_are_counted():
    assert wikitext.count_words(["one two\n three \n", "\n"]) == 6


def test_without_a_mirror_it_says_what_to_set(monkeypatch):
    monkeypatch.delenv(mirror.VARIABLE, raising=False)
    with pytest.raises(FileNotFoundError, match=f"{mirror.VARIABLE} is not set"):
        wikitext.load_wikitext2()


@pytest.mark.mirror
@needs_mirror
def test_the_corpus_has_its_published_number_of_words():
    data = wikitext.load_wikitext2()
    # Merity et al. 2017, table 1: 217,646 and 245,569 words, 60 articles each.
    assert wikitext.count_words(data["validation"]["text"]) == 217_646
    assert wikitext.count_words(data["test"]["text"]) == 245_569
    assert all(data["validation"]["origin"])
    assert data["validation"]["origin"][0] == "Homarus gammarus"


@pytest.mark.mirror
@needs_mirror
def test_a_slice_read_in_strides_is_scored_as_if_window_by_window():
    """The strided evaluation against one forward pass for each token, on the first tokens of a real article."""
    texts = wikitext.load_wikitext2()["validation"]["text"][:1]
    tokenizer = gpt_tokenizer(train_byte_pairs(texts, 400))
    stream = token_stream(tokenizer, texts, tokenizer.convert_tokens_to_ids(END_OF_TEXT))[:120]
    torch.manual_seed(0)
    model = GPT(GPTConfig(len(tokenizer), context_size=32, blocks=1, heads=2, embedding_size=16)).eval()
    total, scored = stream_nats(model, stream, stride=1)
    by_hand = 0.0
    with torch.no_grad():
        for place in range(1, len(stream)):
            seen = stream[max(0, place - 32) : place]
            by_hand -= float(model(seen[None]).logits[0, -1].log_softmax(-1)[stream[place]])
        first_window = float(next_token_loss(model(stream[None, :33][:, :32]).logits, stream[None, :32]))
    assert scored == len(stream) - 1
    assert total == pytest.approx(by_hand, rel=1e-5)
    assert perplexity_of(model, stream, stride=1) == pytest.approx(math.exp(by_hand / scored), rel=1e-5)
    assert stream_nats(model, stream[:32])[0] / 31 == pytest.approx(first_window, rel=1e-5)
    # Fewer, longer strides read the same tokens once each, with less to look back at.
    assert stream_nats(model, stream, stride=16)[1] == scored
