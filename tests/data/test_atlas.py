"""The Atlas QA sets: what must hold of every sheet, question and conversation."""

import itertools
import re
from random import Random

import pytest

from course_lib.data import atlas
from course_lib.data.atlas_facts import SPLITS, countries, languages, split_of
from course_lib.data.atlas_sheets import draw_sheet
from course_lib.data.atlas_talk import UNKNOWN, Manner, draw_conversation, single_question

DOMAINS = (countries, languages)


@pytest.fixture(scope="module")
def single():
    return atlas.single_questions(400, 100, 100)


@pytest.fixture(scope="module")
def talk():
    return atlas.conversations(400, 100, 100, reach=4)


def said_of(domain, row):
    """The facts of a sheet, found in its text alone: the statements are taken apart again."""
    found = {}
    for place in (name for names in domain.subjects.values() for name in names):
        for number, attribute in enumerate(domain.attributes):
            for statement in attribute.statements:
                before, after = statement.format(place=place, value="\0").split("\0")
                for value in attribute.values:
                    if f"{before}{value}{after}" in row["context"]:
                        found.setdefault(place, {})[number] = value
    return found


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_subject_is_in_two_splits(domain):
    names = [name for split in SPLITS for name in domain().subjects[split]]
    assert len(set(names)) == len(names)
    for split in SPLITS:
        assert len(domain().subjects[split]) >= 20
        assert all(split_of(name) == split for name in domain().subjects[split])


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_statement_and_question_names_what_it_is_about(domain):
    for attribute in domain().attributes:
        assert len(set(attribute.values)) == len(attribute.values) > 1
        for text in (*attribute.statements, *attribute.questions, *attribute.checks):
            assert "{place}" in text
        for text in (*attribute.statements, *attribute.reverse_questions, *attribute.checks):
            assert "{value}" in text
        assert all("{kind}" in text for text in attribute.reverse_questions)


def test_the_answer_to_a_single_question_stands_in_its_sheet_unless_there_is_none(single):
    for split in SPLITS:
        for row in single[split]:
            assert len(row["answers"]) <= 1
            assert all(answer in row["context"] for answer in row["answers"])
            assert row["history"] == []
            assert row["needs"] == 0
    unanswerable = sum(not answers for answers in single["train"]["answers"]) / 400
    assert 0.1 < unanswerable < 0.3


def test_the_answers_are_the_facts_of_the_sheets_and_no_others(single):
    domain = countries()
    for row in single["test"].select(range(12)):
        if row["kind"] != "full":
            continue
        facts = said_of(domain, row)
        asked = [
            (place, number)
            for place in domain.subjects["test"]
            for number, attribute in enumerate(domain.attributes)
            if row["question"] in {question.format(place=place) for question in attribute.questions}
        ]
        assert len(asked) == 1
        place, number = asked[0]
        value = facts.get(place, {}).get(number)
        assert row["answers"] == ([] if value is None else [value])


def test_countries_of_the_test_split_stand_in_no_sheet_of_the_train_split(single, talk):
    statements = [statement for attribute in countries().attributes for statement in attribute.statements]
    for sets in (single, talk):
        for split, expected in (("train", False), ("test", True)):
            joined = " ".join(sets[split]["context"])
            found = [
                part
                for name in countries().subjects["test"]
                for statement in statements
                for part in statement.replace("{place}", f" {name}").replace("  ", " ").split("{value}")
                if name in part and part in joined
            ]
            assert bool(found) == expected, found


def test_the_same_value_is_drawn_for_different_countries(single):
    """No value belongs to a country: the same one has several currencies in several sheets."""
    seen = {}
    for context in single["train"]["context"]:
        for place, value in re.findall(r"The currency of (.+?) is the (.+?)\. ", f"{context} "):
            seen.setdefault(place, set()).add(value)
    assert max(len(values) for values in seen.values()) > 1


def test_the_same_seed_gives_the_same_sets_and_another_seed_others(single):
    again = atlas.single_questions(400, 100, 100)
    assert again["test"].to_list() == single["test"].to_list()
    assert atlas.single_questions(400, 100, 100, seed=1)["test"].to_list() != single["test"].to_list()
    # The size of one split changes no other split.
    assert atlas.single_questions(10, 100, 100)["test"].to_list() == single["test"].to_list()


def test_a_follow_up_names_neither_what_it_leans_on_nor_more_than_it_needs(talk):
    domain, counts = countries(), {}
    for row in talk["train"]:
        counts[row["needs"]] = counts.get(row["needs"], 0) + 1
        assert row["needs"] <= len(row["history"])
        if row["kind"] == "same place":
            assert not any(name in row["question"] for name in domain.subjects["train"])
        if row["kind"] == "same attribute":
            assert not any(attribute.noun in row["question"] for attribute in domain.attributes)
    assert counts[0] > 50
    assert counts[1] > 50
    assert counts[2] > 20


def test_needs_is_how_far_back_the_missing_part_is_named(talk):
    domain = countries()
    for row in talk["train"]:
        if not row["needs"]:
            continue
        named = list(reversed(row["history"]))[: row["needs"]]
        places = domain.subjects["train"]
        if row["kind"] == "same place":
            has = [asked.startswith("Which country") or any(name in asked for name in places) for asked, _ in named]
        else:
            phrases = [
                question.split("{place}")[part].strip("? ")
                for attribute in domain.attributes
                for question in (*attribute.questions, f"its {attribute.noun}?{{place}}")
                for part in (0, 1)
            ]
            has = [any(len(phrase) > 5 and phrase in asked for phrase in phrases) for asked, _ in named]
        assert has[-1]
        assert not any(has[:-1])


def test_a_conversation_is_about_one_sheet_and_its_history_are_the_pairs_before(talk):
    rows = talk["validation"].to_list()
    for row, later in itertools.pairwise(rows):
        if later["history"]:
            assert later["context"] == row["context"]
            assert later["history"] == [*row["history"], [row["question"], row["answers"][0]]]


def test_the_reach_bounds_what_a_question_needs():
    assert max(atlas.conversations(300, 1, 1, reach=1)["train"]["needs"]) == 1


def test_the_own_set_asks_what_the_atlas_does_not():
    own = atlas.own_conversations()
    assert {split: len(rows) for split, rows in own.items()} == {"train": 340, "validation": 60, "test": 120}
    assert any("Monday" in question for question in own["train"]["question"])
    assert all(2 <= places <= 3 for places in own["train"]["places"])


def test_a_reverse_question_has_one_answer():
    random = Random(0)
    for _ in range(300):
        sheet = draw_sheet(countries(), ["Chad", "Peru", "Cuba"], random)
        turn = single_question(sheet, random, Manner(reverse=1.0, unknown=0.0))
        if turn.kind == "reverse":
            value = sheet.facts[turn.place][turn.attribute]
            assert turn.answer == turn.place
            assert value in turn.question
            assert sheet.places_with(turn.attribute, value) == [turn.place]


def test_a_check_is_answered_by_the_fact():
    random, answers = Random(0), {"yes": 0, "no": 0}
    for _ in range(300):
        sheet = draw_sheet(countries(), ["Chad"], random, (13, 13))
        turn = single_question(sheet, random, Manner(check=1.0, reverse=0.0, unknown=0.0))
        if turn.kind == "check":
            answers[turn.answer] += 1
            assert (sheet.facts["Chad"][turn.attribute] in turn.question) == (turn.answer == "yes")
    assert min(answers.values()) > 20


def test_what_the_sheet_does_not_tell_is_unknown():
    random = Random(0)
    manner = Manner(unknown=1.0, follow_up=0.0, outsiders=("Cuba",))
    for _ in range(50):
        sheet = draw_sheet(countries(), ["Chad", "Peru"], random, (3, 5))
        for turn in draw_conversation(sheet, 4, random, manner):
            assert turn.answer == UNKNOWN
            assert turn.attribute not in sheet.facts.get(turn.place, {})


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"places is \(\); expected how many subjects a sheet has"):
        atlas.single_questions(places=())
    with pytest.raises(ValueError, match=r"places is \(500,\)"):
        atlas.single_questions(places=(500,))
    with pytest.raises(ValueError, match="each split needs at least 1 question"):
        atlas.conversations(train=0)
    with pytest.raises(ValueError, match=r"facts is \(5, 99\); expected"):
        atlas.single_questions(facts=(5, 99))
    with pytest.raises(ValueError, match="expected one or more subjects, each once"):
        draw_sheet(countries(), ["Chad", "Chad"], Random(0))


def test_the_version_names_the_data():
    assert "Atlas QA" in atlas.version()
    assert "CLDR" in atlas.version()
