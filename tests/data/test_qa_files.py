"""SQuAD 2.0, CoQA and TryoCoQA files: their rows, and how damage is named."""

import json
import os

import pytest

from course_lib.data.qa_files import divided, load_coqa, load_squad2, load_tryocoqa

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Normans",
            "paragraphs": [
                {
                    "context": "The Normans lived in Normandy.",
                    "qas": [
                        {"id": "a", "question": "Where?", "answers": [{"text": "Normandy"}, {"text": "in Normandy"}]},
                        {
                            "id": "b",
                            "question": "When?",
                            "answers": [],
                            "is_impossible": True,
                            "plausible_answers": [{"text": "Normans"}],
                        },
                    ],
                }
            ],
        }
    ],
}
COQA = {
    "data": [
        {
            "id": "x1",
            "source": "cnn",
            "story": "Ann has a red car.",
            "questions": [{"input_text": "Who?", "turn_id": 1}, {"input_text": "What?", "turn_id": 2}],
            "answers": [{"input_text": "Ann"}, {"input_text": "a car"}],
            "additional_answers": {"0": [{"input_text": "Ann"}, {"input_text": "red car"}]},
        }
    ]
}


def talk(number, turns):
    answers = [f"answer {turn}" for turn in range(turns)]
    questions = [f"question {turn}?" for turn in range(turns)]
    return {"conversation_id": str(number), "context_id": "7", "story": "Text.", "questions": questions} | {
        "answers": {"input_text": answers}
    }


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "file.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


def test_squad_gives_all_answers_and_none_where_there_is_none(write):
    rows = load_squad2(write(SQUAD)).to_list()
    assert [row["answers"] for row in rows] == [["Normandy", "in Normandy"], []]
    assert rows[0]["domain"] == "Normans"
    assert rows[1] == rows[0] | {"id": "b", "question": "When?", "answers": []}
    assert rows[0]["history"] == []


def test_coqa_gives_each_turn_its_history_and_every_persons_answer(write):
    rows = load_coqa(write(COQA)).to_list()
    assert [row["answers"] for row in rows] == [["Ann", "Ann"], ["a car", "red car"]]
    assert rows[0]["history"] == []
    assert rows[1]["history"] == [["Who?", "Ann"]]
    assert (rows[1]["id"], rows[1]["domain"], rows[1]["context"]) == ("x1-1", "cnn", "Ann has a red car.")


def test_tryocoqa_is_read_in_its_own_form(write):
    rows = load_tryocoqa(write([talk(0, 2), talk(1, 1)])).to_list()
    assert [row["id"] for row in rows] == ["0-0", "0-1", "1-0"]
    assert rows[1]["history"] == [["question 0?", "answer 0"]]
    assert rows[2]["history"] == []
    assert rows[2]["answers"] == ["answer 0"]


def test_no_conversation_is_divided(write):
    turns = load_tryocoqa(write([talk(number, 5) for number in range(20)]))
    splits = divided(turns, 0.15)
    train, validation = ({name.split("-")[0] for name in splits[split]["id"]} for split in ("train", "validation"))
    assert not train & validation
    assert len(splits["validation"]) == 15
    assert len(splits["train"]) == 85
    assert divided(turns, 0.15)["train"]["id"][:] == splits["train"]["id"][:]
    with pytest.raises(ValueError, match="leaves one split empty"):
        divided(turns, 1.0)


def test_rows_of_one_article_stay_together(write):
    articles = [
        {"title": f"article {n}", "paragraphs": [{**SQUAD["data"][0]["paragraphs"][0], "context": f"Text {n}."}] * 2}
        for n in range(10)
    ]
    splits = divided(load_squad2(write({"data": articles})), 0.2, together="domain")
    sides = [set(splits[split]["domain"]) for split in ("train", "validation")]
    assert (len(sides[0]), len(sides[1]), sides[0] & sides[1]) == (8, 2, set())
    assert (len(splits["train"]), len(splits["validation"])) == (32, 8)


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (load_squad2, '{"data": [', "is no JSON, or cut off"),
        (load_squad2, {"data": []}, "is not SQuAD 2.0: it holds no question"),
        (load_squad2, [1], "is not SQuAD 2.0: the file: expected 'data', a list, got in a list"),
        (load_squad2, {"data": [{"paragraphs": [{"qas": []}]}]}, "article 0, paragraph 0: expected 'context', a str"),
        (
            load_squad2,
            {"data": [{"paragraphs": [{"context": "x", "qas": [{"question": "y"}]}]}]},
            "article 0, paragraph 0, question 0: expected 'answers', a list",
        ),
        (load_coqa, {"data": [{}]}, "is not CoQA: conversation 0: expected 'questions', a list, got NoneType"),
        (
            load_coqa,
            {"data": [COQA["data"][0] | {"answers": [{"input_text": "Ann"}]}]},
            "conversation 0 has 2 questions and 1 answers; expected one for each",
        ),
        (load_tryocoqa, COQA, "is not TryoCoQA: the file holds a dict; expected a list of conversations"),
        (load_tryocoqa, [talk(0, 1), {"questions": ["a?"]}], "conversation 1: expected 'answers', a dict"),
    ],
)
def test_damage_is_named_with_its_row(write, load, content, message):
    with pytest.raises(ValueError, match=message):
        load(write(content))


def test_a_missing_mirror_is_named(monkeypatch):
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match="COURSE_DATA_DIR is not set"):
        load_squad2()


@pytest.mark.mirror
@pytest.mark.skipif("COURSE_DATA_DIR" not in os.environ, reason="needs the data mirror")
def test_the_mirrors_files_hold_what_their_authors_say():
    squad = load_squad2()
    assert len(squad) == 6_078
    assert sum(not answers for answers in squad["answers"]) == 3_168
    tryocoqa = load_tryocoqa()
    assert len(tryocoqa) == 145
    assert len({name.split("-")[0] for name in tryocoqa["id"]}) == 15
