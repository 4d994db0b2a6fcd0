"""What does the explorer send to its page, and what stays of it without one?"""

import html.parser
import json
import shutil
import subprocess

import pytest
import torch

from course_lib.widgets.attention_explorer import AttentionExplorer
from course_lib.widgets.base import FOLDER, script
from course_lib.widgets.packing import packed, packed_size, unpacked

HOSTILE = ["<script>alert(1)</script>", "&lt;b&gt;", "مرحبا", "\u202eabc", "👩\u200d💻", "a\u200bb", "", "x" * 10_000]


def random_weights(*shape, causal=False):
    scores = 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    if causal:
        scores = scores.masked_fill(torch.ones(shape[-2:], dtype=torch.bool).triu(1), float("-inf"))
    return scores.softmax(dim=-1)


def words(number):
    return [f"word{place}" for place in range(number)]


def test_few_tokens_come_with_all_maps():
    weights = random_weights(2, 3, 5, 5)
    explorer = AttentionExplorer.from_weights(weights, words(5))
    size = packed_size(5, 5)
    assert explorer.all_at_once
    assert len(explorer.maps) == 2 * (3 + 2) * size
    second_layer = explorer.maps[5 * size :]
    torch.testing.assert_close(unpacked(second_layer[:size], 5, 5), weights[1, 0], atol=1 / 510, rtol=0)


def test_many_tokens_come_with_the_chosen_map_only_and_others_are_answered():
    weights = random_weights(2, 3, 65, 65)
    explorer = AttentionExplorer.from_weights(weights, words(65), layer=2, head=3)
    assert not explorer.all_at_once
    assert explorer.maps == packed(weights[1, 2])
    place, parts = explorer.on_head(view=0, layer=0, head=1)
    assert place == {"view": 0, "layer": 0, "head": 1}
    assert parts == [packed(weights[0, 1])]
    assert explorer.on_head(0, 1, 3)[1] == [packed(weights[1].mean(dim=0))]


@pytest.mark.parametrize("place", [(0, 0, 9), (0, 5, 0), (1, 0, 0), (0, -1, 0)])
def test_a_map_that_is_not_there_is_refused(place):
    with pytest.raises(ValueError, match="there is no map"):
        AttentionExplorer.from_weights(random_weights(1, 1, 3, 3), words(3)).on_head(*place)


def test_what_is_shown_first_can_be_chosen_by_name():
    weights = random_weights(2, 3, 4, 4)
    views = {"encoder": (weights, words(4)), "cross": (weights, words(4), list("abcd"))}
    assert AttentionExplorer.from_weights(views).chosen == {"view": 0, "layer": 0, "head": 0}
    explorer = AttentionExplorer.from_weights(views, view="cross", layer=2, head="average")
    assert explorer.chosen == {"view": 1, "layer": 1, "head": 3}
    with pytest.raises(ValueError, match="unknown view 'decoder'"):
        AttentionExplorer.from_weights(views, view="decoder")
    with pytest.raises(ValueError, match="layer=3: encoder has layers 1 to 2"):
        AttentionExplorer.from_weights(views, layer=3)
    with pytest.raises(ValueError, match="head='rollout': cross has heads 1 to 3, 'average' and, in self-attention"):
        AttentionExplorer.from_weights(views, view="cross", head="rollout")


def test_what_is_sent_at_first_is_small():
    explorer = AttentionExplorer.from_weights(random_weights(12, 12, 128, 128), words(128))
    sent = len(json.dumps(explorer.views)) + len(explorer.thumbnails) + len(explorer.maps)
    assert sent < 150_000


def test_special_tokens_have_thumbnails_with_and_without():
    weights = random_weights(1, 2, 4, 4)
    explorer = AttentionExplorer.from_weights(weights, ["[CLS]", "a", "b", "[SEP]"])
    (view,) = explorer.views
    assert view["thumbnail_sizes"] == [[4, 4], [2, 2]]
    assert view["thumbnail_offsets"] == [0, 4 * 16]
    assert len(explorer.thumbnails) == 4 * 16 + 4 * 4
    assert view["can_hide"]
    all_special = AttentionExplorer.from_weights(random_weights(1, 1, 1, 1), ["[CLS]"])
    assert not all_special.views[0]["can_hide"]


def test_hostile_tokens_are_texts_of_bounded_length():
    explorer = AttentionExplorer.from_weights(random_weights(1, 1, 8, 8), HOSTILE)
    shown = explorer.views[0]["queries"]
    assert max(map(len, shown)) <= 24
    assert shown[3] == "‹U+202E›abc"
    assert shown[5] == "a‹U+200B›b"
    assert shown[6] == "∅"


class Elements(html.parser.HTMLParser):
    """All elements, and the text between them."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(content)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("number", [8, 40, 100])
def test_the_twin_has_pictures_with_words_and_tables_and_runs_nothing(number):
    tokens = (HOSTILE + words(100))[:number]
    explorer = AttentionExplorer.from_weights(random_weights(2, 2, number, number), tokens)
    elements = Elements(explorer.static_html())
    assert {tag for tag, _ in elements.tags} == {
        *("div", "h4", "p", "img", "svg", "image", "details", "summary", "table", "caption", "thead", "tbody", "tr"),
        *("th", "td"),
        *({"text"} if number <= 24 else set()),
    }
    (picture,) = [attributes for tag, attributes in elements.tags if tag == "img"]
    assert picture["alt"].startswith("Overview of self-attention: 2 rows of layers")
    (drawing,) = [attributes for tag, attributes in elements.tags if tag == "svg"]
    assert drawing["role"] == "img"
    assert "Heat map of layer 1, head 1" in drawing["aria-label"]
    assert "<script>alert(1)</scrip…" in elements.text or "<script>alert(1)</scri" in elements.text


def test_the_twin_in_text_says_all_weights_of_a_small_map():
    explorer = AttentionExplorer.from_weights(torch.tensor([[0.25, 0.75], [1.0, 0.0]]), ["pen", "box"])
    text = explorer.static_text()
    assert "pen" in text
    assert "≈0.25  ≈0.75" in " ".join(text.split()).replace(" ", "  ")
    assert "Entropy in bits, self-attention (0: at one token; 1.00: at all alike)" in text


def test_the_twin_of_a_large_map_says_where_tokens_look_most():
    text = AttentionExplorer.from_weights(torch.eye(100), words(100)).static_text()
    assert "Where each token looks most, layer 1, head 1, the first 64 of 100 tokens" in text
    assert "word63 (64) ≈1.00" in text
    assert "word64" not in text


def test_a_causal_twin_leaves_the_future_empty():
    text = AttentionExplorer.from_weights(torch.eye(3), words(3)).static_text()
    line = next(line for line in text.splitlines() if line.startswith("word0"))
    assert line.split() == ["word0", "≈1.00"]
    assert "looks only at itself and back" in text


def test_the_page_loads_nothing_and_never_reads_markup():
    code = script("attention_explorer.js") + (FOLDER / "attention_explorer.css").read_text(encoding="utf-8")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "http:", "https:", "import ", "url(", "eval("):
        assert word not in code.replace("http://www.w3.org/2000/svg", "")


@pytest.fixture(scope="module")
def in_node():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed; what JavaScript computes cannot be compared")

    def run(expression, values):
        code = script("attention_explorer.js").replace("export default", "const widget =")
        program = f"{code}\nconst given = {json.dumps(values)};\nconsole.log(JSON.stringify({expression}));"
        done = subprocess.run([node, "-"], input=program, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_page_reads_a_map_as_python_does(in_node):
    weights = random_weights(7, 11)
    content = b"..." + packed(weights)
    read = in_node(
        "(() => { const map = readMap(new Uint8Array(given.bytes), 3, 7, 11);"
        " return Array.from({ length: 7 }, (_, r) => Array.from({ length: 11 }, (_, c) => weightAt(map, r, c))); })()",
        {"bytes": list(content)},
    )
    torch.testing.assert_close(torch.tensor(read), unpacked(content[3:], 7, 11), atol=1e-7, rtol=1e-6)


def test_the_page_shows_as_many_digits_as_are_exact(in_node):
    weights = torch.cat([random_weights(20, 40), torch.full((1, 40), 1 / 40)])
    texts = in_node(
        "(() => { const map = readMap(new Uint8Array(given.bytes), 0, 21, 40);"
        " return Array.from({ length: 21 }, (_, r) =>"
        " Array.from({ length: 40 }, (_, c) => weightText(map, r, c))); })()",
        {"bytes": list(packed(weights))},
    )
    for row, line in zip(texts, weights.tolist(), strict=True):
        digits = 3 if max(line) < 0.25 else 2
        for text, weight in zip(row, line, strict=True):
            assert len(text.partition(".")[2]) == digits
            assert abs(float(text) - weight) <= 10**-digits


@pytest.mark.parametrize("axis", ["row", "column"])
def test_the_page_finds_the_strongest_looks_as_torch_does(in_node, axis):
    weights = unpacked(packed(random_weights(9, 13)), 9, 13)
    found = in_node(
        "strongest(readMap(new Uint8Array(given.bytes), 0, 9, 13), given.axis, 4, given.others, 5)",
        {"bytes": list(packed(weights)), "axis": axis, "others": [0, 2, 3, 5, 6, 7, 8]},
    )
    line = weights[4] if axis == "row" else weights[:, 4]
    expected = line[[0, 2, 3, 5, 6, 7, 8]].sort(descending=True).values[:5]
    expected = expected[expected > 0]
    torch.testing.assert_close(torch.tensor([one["weight"] for one in found]), expected, atol=2e-3, rtol=0)
    assert all(abs(line[one["place"]].item() - one["weight"]) < 2e-3 for one in found)


def test_every_colour_of_the_page_grows_brighter(in_node):
    pixels = in_node("Array.from(new Uint8Array(colourTable(given.brighten).buffer))", {"brighten": False})
    colours = torch.tensor(pixels).view(1024, 4).float()
    light = colours[:, :3] @ torch.tensor([0.299, 0.587, 0.114])
    assert (light.diff() >= -1).all()
    assert (colours[:, 3] == 255).all()
    assert light[-1] - light[0] > 150
