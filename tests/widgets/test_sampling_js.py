"""The filters on the page against those in Python, over a grid of settings."""

import itertools
import json
import shutil
import subprocess

import pytest
import torch

from course_lib.generation.sampling import Sampling, entropy
from course_lib.widgets.base import FOLDER

SEEN = [0, 3, 3, 7, 19]
GRID = [
    Sampling(temperature, top_k, top_p, min_p, penalty)
    for temperature, top_k, top_p, min_p, penalty in itertools.product(
        (0.05, 0.7, 1.0, 3.0), (None, 1, 5, 400), (None, 0.1, 0.9, 1.0), (None, 0.0, 0.05, 1.0), (1.0, 0.5, 1.3)
    )
]
# Everything runs in one process of node: every setting on every row of scores.
DRIVER = """
const { rows, seen, settings } = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(rows.map((row) => {
  const logits = Float32Array.from(row, (score) => score ?? -Infinity);
  return settings.map((setting) => stagesOf(logits, seen, setting).map(
    ([name, scores]) => ({ name, shares: [...softmax(scores)], cut: [...scores].map((s) => s === -Infinity),
                           bits: entropyOf(scores) })));
})));
"""
REFUSALS = """
const bad = JSON.parse(await new Response(process.stdin).text());
console.log(JSON.stringify(bad.map((setting) => {
  try { return stagesOf(new Float32Array(2), [0], setting).length; } catch (error) { return error.message; }
})));
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed, so the page's filters cannot be run here")

    def run(driver, given):
        path = tmp_path_factory.mktemp("node") / "driver.mjs"
        path.write_text((FOLDER / "sampling.js").read_text(encoding="utf8") + driver, encoding="utf8")
        done = subprocess.run([program, path], input=json.dumps(given), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def rows_of_scores():
    generator = torch.Generator().manual_seed(4)
    usual = 3 * torch.randn(60, generator=generator)
    with_ties = torch.randint(-2, 3, (60,), generator=generator).float()
    far_apart = 40 * torch.randn(60, generator=generator)  # exp underflows for most of them
    partly_cut = usual.clone()
    partly_cut[::3] = float("-inf")
    return torch.stack([usual, with_ties, far_apart, partly_cut, torch.zeros(60)])


def as_given(sampling):
    return {name: getattr(sampling, name) for name in Sampling.__dataclass_fields__}


def pythons_answer(name, value):
    """Its error, or how many steps it takes."""
    try:
        sampling = Sampling(**{name: value})
    except ValueError as error:
        return str(error)
    return str(len(list(sampling.stages(torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.long)))))


def test_each_step_on_the_page_equals_pythons(node):
    rows = rows_of_scores()
    given = [[None if score == float("-inf") else score for score in row] for row in rows.tolist()]
    found = node(DRIVER, {"rows": given, "seen": SEEN, "settings": list(map(as_given, GRID))})
    tokens = torch.tensor([SEEN])
    for row, of_settings in zip(rows, found, strict=True):
        for sampling, stages in zip(GRID, of_settings, strict=True):
            expected = list(sampling.stages(row[None], tokens))
            assert [stage["name"] for stage in stages] == [name for name, _ in expected]
            for stage, (name, scores) in zip(stages, expected, strict=True):
                place = f"{name} of {sampling}"
                shares = torch.tensor(stage["shares"], dtype=torch.float32)
                wanted, cut = scores[0].softmax(-1), scores[0].isneginf()
                found_cut = torch.tensor(stage["cut"])
                if len(row.unique()) < 10:  # which of equal tokens top-p cuts is nowhere said; how many, it is
                    shares, wanted = shares.sort().values, wanted.sort().values
                    found_cut, cut = found_cut.sort().values, cut.sort().values
                torch.testing.assert_close(shares, wanted, atol=1e-6, rtol=0, msg=place)
                assert torch.equal(found_cut, cut), place
                assert stage["bits"] == pytest.approx(float(entropy(scores[0])), abs=1e-4), place


def test_a_large_vocabulary_is_cut_at_the_same_tokens(node):
    scores = 2.5 * torch.randn(50_257, generator=torch.Generator().manual_seed(1))
    settings = [Sampling(top_p=0.9), Sampling(0.8, top_k=50, top_p=0.95), Sampling(min_p=0.02)]
    found = node(DRIVER, {"rows": [scores.tolist()], "seen": SEEN, "settings": list(map(as_given, settings))})[0]
    for sampling, stages in zip(settings, found, strict=True):
        expected = sampling.scores(scores[None], torch.tensor([SEEN]))[0]
        differing = sum(a != b for a, b in zip(stages[-1]["cut"], expected.isneginf().tolist(), strict=True))
        # Sums of 50,257 float32 numbers differ in the last digits, which can move the edge by a token or two.
        assert differing <= 2
        shares = torch.tensor(stages[-1]["shares"], dtype=torch.float32)
        torch.testing.assert_close(shares, expected.softmax(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", Sampling.__dataclass_fields__)
def test_the_page_refuses_what_python_refuses(node, name):
    values = [-1, 0, 1, 1.5, 2]
    usual = as_given(Sampling())
    said = node(REFUSALS, [{**usual, name: value} for value in values])
    for value, answer in zip(values, said, strict=True):
        if name == "top_k" and value == 1.5:
            continue  # the page rounds it, Python never gets it
        assert str(answer)[:30] == pythons_answer(name, value)[:30]


def test_temperature_zero_is_answered_with_the_way_to_the_likeliest_token(node):
    (said,) = node(REFUSALS, [{**as_given(Sampling()), "temperature": 0}])
    assert "do_sample=False" in said
