import dataclasses
import json
import re
from html.parser import HTMLParser

import pytest
import torch

from course_lib.exercises.checking import CheckResult, Report, run_checks
from course_lib.exercises.display import EXERCISE_MIME, HelpUsed, panel, panel_html, panel_lines

HOSTILE = "<script>alert(1)</script><img src=x onerror='a'>\"'&"


def right(energies, is_word):
    return energies.masked_fill(~is_word, float("-inf")).softmax(-1)


def wrong_axis(energies, is_word):
    return energies.masked_fill(~is_word, -1e9).softmax(0)


def no_mask(energies, is_word):
    return energies.softmax(-1)


def unwritten(energies, is_word):
    raise NotImplementedError


@pytest.fixture
def text_of(exercise):
    """The panel's text for an answer."""

    def text_of(answer, help_used=HelpUsed(), only=None):  # noqa: B008 - frozen
        answers = {} if answer is None else {"masked_softmax": answer}
        return panel(run_checks(exercise, answers, only), only, help_used)["text/plain"]

    return text_of


class _Words(HTMLParser):
    def __init__(self):
        super().__init__()
        self.words, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def parsed(html):
    parser = _Words()
    parser.feed(html)
    return parser


def test_a_right_answer_says_so_in_words(text_of):
    assert text_of(right).splitlines() == [
        "✓ 02.1 A softmax that knows padding: 2 of 2 properties hold",
        "  ✓ holds  The weights of each sentence sum to one.",
        "  ✓ holds  Padding gets no weight at all.",
        "",
        "Well done. Compare with one way to write it: "
        "exercises/02_bahdanau_attention/solutions/02.1_masked_softmax.ipynb.",
    ]
    assert "With help: 2 of 3 hints, the step 'gaps'." in text_of(right, HelpUsed(2, ("gaps",)))


def test_a_wrong_answer_names_property_mistake_example_and_what_is_left_of_the_hints(text_of):
    assert text_of(no_mask, HelpUsed(1)).splitlines() == [
        "✗ 02.1 A softmax that knows padding: 1 of 2 properties hold",
        "  ✓ holds  The weights of each sentence sum to one.",
        "  ✗ fails  Padding gets no weight at all.",
        "",
        "Does not hold: padding gets no weight: a place of padding has the weight 0.1480",
        "What this looks like: The mask is never used, so padding gets its share.",
        "The smallest example that shows it:",
        "    energies  float32 [1, 2]  [[ 1.500 -0.250]]",
        "    is_word  bool [1, 2]  [[ True False]]",
        "Your code gave:",
        "    float32 [1, 2]  [[0.852 0.148]]",
        "",
        "Change your answer, run its cell, then run this one again.",
        'Hints used: 1 of 3. hint("02.1") gives an outline.',
    ]


def test_what_is_not_written_or_not_defined_is_no_failure(text_of):
    assert text_of(unwritten).startswith("– 02.1 A softmax that knows padding: not written yet\n  – not written yet")
    assert "YOUR CODE HERE" in text_of(unwritten)
    assert "Missing: `masked_softmax` is not defined yet; run the cell that defines it first" in text_of(None)


def test_one_check_is_told_alone(text_of):
    assert "the property does not hold" in text_of(wrong_axis, only="words_share_one")
    assert text_of(right, only="words_share_one").splitlines() == [
        "✓ 02.1 A softmax that knows padding: the property holds",
        "  ✓ holds  The weights of each sentence sum to one.",
    ]
    assert "Hints used: all 3." in text_of(wrong_axis, HelpUsed(3), only="words_share_one")


def test_an_error_is_shown_with_the_learners_line(text_of):
    def broken(energies, is_word):
        return energies.there_is_none

    told = text_of(broken)
    assert "✗ raises an error" in told
    assert "AttributeError" in told
    assert "return energies.there_is_none" in told


@pytest.mark.parametrize("answer", [right, wrong_axis, no_mask, unwritten, None])
def test_html_says_the_same_as_the_text(exercise, answer):
    report = run_checks(exercise, {} if answer is None else {"masked_softmax": answer})
    html = panel_html(report, HelpUsed(1))
    text = "\n".join(line.text for line in panel_lines(report, HelpUsed(1)))
    told = "".join("".join(parsed(html).words).lower().split())
    for word in re.sub("[`:]", " ", text.lower()).split():
        assert word in told, word
    assert 'role="group"' in html


def test_nothing_of_the_learners_or_the_cards_becomes_a_tag(exercise):
    exercise = dataclasses.replace(exercise, title=HOSTILE, mistakes={"odd": HOSTILE})
    result = CheckResult(HOSTILE, HOSTILE, "failed", HOSTILE, {HOSTILE: HOSTILE}, HOSTILE, "odd", HOSTILE)
    report = Report(exercise, [result, CheckResult("b", HOSTILE, "passed")])
    html = panel_html(report, HelpUsed(0, (HOSTILE,)))
    page = parsed(html)
    assert not {"script", "img"} & set(page.tags)
    assert "".join(page.words).count("<script>alert(1)</script>") >= 7
    assert html.count('aria-label="') == 1
    assert html.split('aria-label="')[1].split('"')[0].count("&lt;script&gt;") == 1


def test_what_an_error_says_is_bounded_and_moves_no_cursor(exercise):
    loud = "\x1b[2J" + "x" * 10**6
    report = Report(exercise, [CheckResult("a", "It holds.", "raised", loud, where=loud)])
    bundle = panel(report, None, HelpUsed())
    for text in (bundle["text/plain"], bundle["text/html"]):
        assert len(text) < 6000
        assert text.count("… (1000004 characters)") == 2
        assert "\x1b" not in text


def test_the_grader_reads_the_result_as_data(exercise):
    report = run_checks(exercise, {"masked_softmax": no_mask})
    data = panel(report, None, HelpUsed(2, ("gaps",)))[EXERCISE_MIME]
    assert json.loads(json.dumps(data)) == {
        "schema": 1,
        "exercise": "02.1",
        "check": None,
        "passed": False,
        "results": [
            {"name": "words_share_one", "verdict": "passed", "mistake": None},
            {"name": "padding_gets_nothing", "verdict": "failed", "mistake": "unused_mask"},
        ],
        "hints_used": 2,
        "steps_used": ["gaps"],
    }


def test_the_panel_does_not_depend_on_the_time_a_check_took(exercise):
    report = run_checks(exercise, {"masked_softmax": no_mask})
    before = panel(report, None, HelpUsed())
    for result in report.results:
        result.seconds += 5
    assert panel(report, None, HelpUsed()) == before


def contrast(first, second):
    """The WCAG contrast of two colours such as #15703b."""

    def luminance(colour):
        channels = torch.tensor([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
        linear = torch.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ torch.tensor([0.2126, 0.7152, 0.0722]))

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_told_from_a_light_and_a_dark_page():
    from course_lib.exercises.display import EDGES
    from course_lib.lesson.display import BADGE_COLOURS

    for edge in EDGES.values():
        assert min(contrast(edge, "#ffffff"), contrast(edge, "#111111")) >= 3
    assert all(contrast(ground, "#ffffff") >= 4.5 for ground in BADGE_COLOURS.values())
