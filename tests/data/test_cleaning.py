from dataclasses import replace

import pytest

from course_lib.data import fault_rules, instructions
from course_lib.data.alpaca_format import Exchange
from course_lib.data.cleaning import RULES, clean
from course_lib.data.known_faults import SPOILERS, rule_scores, with_known_faults
from course_lib.data.sums import asked_sum, has_value, value_of, wrong_equation

GOOD = Exchange("Sort the words.", "b, a", "a, b")

FAULTY = [
    ("hallucinated URL", replace(GOOD, output="See https://made.up/page.")),
    ("hallucinated URL", Exchange("Summarise the article at http://bit.ly/x.", "", "It is about lists.")),
    ("merged instructions", replace(GOOD, output="a, b\n\n14. Instruction: Sing.")),
    ("empty output", replace(GOOD, output=" \n")),
    ("missing code", Exchange("Write a Python function that adds.", "", "It adds both numbers.")),
    ("image request", Exchange("Please create a logo for my shop.", "", "Here it is.")),
    ("image request", replace(GOOD, output="![a cat](http://x)")),
    ("N/A output", replace(GOOD, output="N/A")),
    ("inconsistent no input", replace(GOOD, input="<No input>")),
    ("wrong answer", Exchange("What is 17 + 25?", "", "32")),
    ("wrong answer", replace(GOOD, output="So 3 x 4 = 13.")),
    ("nonsense", replace(GOOD, output="list list " * 9)),
    ("nonsense", replace(GOOD, output="@@## $$%% ^^&& (((( ))))")),
    ("control characters", replace(GOOD, output="a,\u200b b")),
]

FINE = [
    GOOD,
    Exchange("Which page is at http://a.org?", "http://a.org is a page about lists.", "http://a.org is about lists."),
    Exchange("Write a Python function that adds.", "", "def add(a, b):\n    return a + b"),
    Exchange("Call the service.", "", 'requests.get("https://api.service.com/v1")'),
    Exchange("Tom draws three cards. How many has he?", "", "three"),
    Exchange("What is 17 + 25?", "", "17 + 25 is 42."),
    Exchange("What is 1 / 3?", "", "0.33"),
    Exchange("Solve x.", "", "x + 2*3 = 10, so x = 4; 60 * 2/3 = 40; 4/3 = 1 and 1/3; 50/100 = 50%"),
    Exchange("When was it?", "", "On 1-2-2003."),
    Exchange("List the columns.", "", "| a | b |\n|---|---|\n| 1 | 2 |"),
    Exchange("Say yes.", "", "yes"),
]


@pytest.mark.parametrize(("kind", "row"), FAULTY)
def test_each_kind_of_fault_is_found_by_its_rule(kind, row):
    assert [rule.name for rule in RULES if rule.find(row)] == [kind]


@pytest.mark.parametrize("row", FINE)
def test_good_rows_are_left_alone(row):
    assert clean([row]).faults == []


def test_rows_are_mended_or_dropped_and_the_given_ones_stay():
    rows = [
        replace(GOOD, output="a,\u200b b"),
        replace(GOOD, output="N/A"),
        GOOD,
        replace(GOOD, input="[no input]"),
        replace(GOOD, output="a, b\n\n3. Instruction: Sing."),
    ]
    before = list(rows)
    cleaning = clean(rows)
    assert rows == before
    assert cleaning.kept == [0, 2, 3, 4]
    assert cleaning.rows == [GOOD, GOOD, replace(GOOD, input=""), GOOD]
    assert [(fault.row, fault.rule, fault.mended) for fault in cleaning.faults] == [
        (0, "control characters", True),
        (1, "N/A output", False),
        (3, "inconsistent no input", True),
        (4, "merged instructions", True),
    ]


def test_a_row_may_be_mended_and_still_be_dropped():
    row = replace(GOOD, output="\u200b", input="noinput")
    assert [fault.rule for fault in clean([row]).faults] == [
        "control characters",
        "inconsistent no input",
        "empty output",
    ]
    assert clean([row]).rows == []


def test_cleaning_twice_finds_nothing_more():
    rows = [row for _, row in FAULTY]
    assert clean(clean(rows).rows).faults == []


def test_the_report_counts_and_shows_examples():
    report = clean([row for _, row in FAULTY]).report(examples=1)
    assert "N/A output: 1 rows, 0 mended, 1 dropped\n  row 7: 'N/A'" in report
    assert "control characters: 1 rows, 1 mended, 0 dropped" in report


@pytest.fixture(scope="module")
def known():
    clean_rows = [each.exchanges[0] for each in instructions.task_conversations("train", 1_500)]
    return with_known_faults(clean_rows)


def test_every_rule_is_mostly_right_and_some_faults_escape_every_rule(known):
    scores = rule_scores(*known)
    assert scores.keys() == SPOILERS.keys()
    for name, score in scores.items():
        assert score.there > 40, name
        assert score.precision >= 0.9, (name, score)
        assert score.recall >= 0.5, (name, score)
    assert min(score.recall for score in scores.values()) < 0.8, "the hard forms are part of the measure"


def test_known_faults_are_the_same_for_a_seed_and_as_many_as_asked():
    rows = [GOOD] * 200
    assert with_known_faults(rows, 0.3, seed=1) == with_known_faults(rows, 0.3, seed=1)
    assert with_known_faults(rows, 0)[1] == [None] * 200
    assert None not in with_known_faults(rows, 1)[1]
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        with_known_faults(rows, 2)
    with pytest.raises(ValueError, match="got 200 rows and 1"):
        rule_scores(rows, [None])


@pytest.mark.parametrize(
    ("text", "value"), [("2 + 3 * 4", 14), ("7/2", 3.5), ("-3 - 4", -7), ("3 x 4", 12), ("1 / 0", None), ("2 +", None)]
)
def test_sums_are_reckoned(text, value):
    assert value_of(text) == value


def test_sums_that_are_asked_for_and_their_answers():
    assert asked_sum("Calculate the result of 12 * 3.") == "12 * 3"
    assert asked_sum("Solve this.", "4 + 5") == "4 + 5"
    assert asked_sum("What is the date 1-2-2003 about?") is None
    assert has_value("It is 1,234.", "1200 + 34")
    assert not has_value("It is 4.", "1 + 2")
    assert wrong_equation("2 + 2 = 4 and 2 * 2 = 5") == "2 * 2 = 5"


def test_empty_texts_break_no_rule():
    for find in (rule.find for rule in RULES):
        assert isinstance(find(Exchange("", "", "")), str | None)
    assert fault_rules.empty_output(Exchange("", "", ""))
