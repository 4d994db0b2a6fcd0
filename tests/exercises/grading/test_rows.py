"""What do the table, the notebooks and the pages say, and can hostile text do anything in them?"""

import csv
import json
import os
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import nbformat
import pytest

from course_lib.batch.errors import UsageError
from course_lib.exercises.answering import SessionLimits, choose
from course_lib.exercises.grading.autograded import autograded, write_autograded
from course_lib.exercises.grading.classes import places_for
from course_lib.exercises.grading.engine import Graded, grade
from course_lib.exercises.grading.feedback import render_feedback
from course_lib.exercises.grading.results import CellResult, Judgement, Ran, Value
from course_lib.exercises.grading.rows import lines_of, parse_due, write_table
from course_lib.exercises.grading.submissions import find_submissions
from course_lib.exercises.grading.summary import Circumstances, render_summary

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"' onmouseover=alert(2)"
CIRCUMSTANCES = Circumstances("Strong isolation.", True, "60 s, 3 GiB a notebook", 2, 12.5)


class Page(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.text += " " if tag in ("td", "th") else ""

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def judged(papers):
    """A submission with a given judgement: right in all but the first check, unless told otherwise."""

    def make(submission, *, error_class="wrong answer", text="found it", ran=(), hint="Your hint."):
        paper = next(paper for paper in papers if paper.exercise.id == submission.exercise)
        first, *others = paper.graded
        mistake = "square" if error_class == "wrong answer" else None
        values = [Value("number", "float32 [2]", text)]
        verdict = "failed" if mistake else "not judged"
        cells = [
            CellResult(
                first.name,
                first.title,
                0,
                first.points,
                verdict,
                error_class,
                text,
                text,
                values,
                Value("your code gave", "", text),
                mistake,
                hint if mistake else "",
                False,
                "detail " + text,
            )
        ]
        if error_class == "ok":
            cells = [CellResult(first.name, first.title, first.points, first.points, "passed")]
        cells += [CellResult(cell.name, cell.title, cell.points, cell.points, "passed") for cell in others]
        return Graded(submission, paper, Judgement(cells, list(ran), isolation="strong", seconds=1.25))

    return make


@pytest.fixture
def table(handed_in, papers, judged):
    """The lines of a class: each submission judged as its student's name tells, others as wrong."""

    def make(root, asked=(), due=None, **options):
        found = find_submissions(root, papers)
        kinds = {"good": "ok", "slow": "time limit", "broken": "grader error"}
        graded = []
        for item in found.submissions:
            if item.notebook is None or item.exercise is None:
                (only,) = grade([item], papers, root, limits=SessionLimits(), isolation=choose(), jobs=1).graded
                graded.append(only)
            else:
                graded.append(judged(item, error_class=kinds.get(item.student, "wrong answer"), **options))
        return lines_of(graded, found, papers, asked, due)

    return make


def read_table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_and_for_what_is_missing(handed_in, table, notebook, tmp_path):
    root = handed_in({"bob/01.2.ipynb": notebook("x", exercise="01.2", checks=()), "carol/notes.txt": "x"})
    handed_in(good=notebook("x"), bob=notebook("x"), dave=b"", eve=notebook("x", exercise="99.9", checks=()))
    os.rename(root / "eve" / "01.1.ipynb", root / "eve" / "what.ipynb")
    write_table(tmp_path / "grades.csv", table(root))
    rows = read_table(tmp_path / "grades.csv")
    told = [(row["student"], row["exercise"], row["points"], row["max_points"], row["error_class"]) for row in rows]
    assert told == [
        ("bob", "01.1", "1", "3", "wrong answer"),
        ("bob", "01.2", "1", "3", "wrong answer"),
        ("carol", "01.1", "0", "3", "not handed in"),
        ("carol", "01.2", "0", "3", "not handed in"),
        ("dave", "01.1", "0", "3", "empty file"),
        ("dave", "01.2", "0", "3", "not handed in"),
        ("eve", "01.1", "0", "3", "not handed in"),
        ("eve", "01.2", "0", "3", "not handed in"),
        ("eve", "", "0", "0", "unknown exercise"),
        ("good", "01.1", "3", "3", "ok"),
        ("good", "01.2", "0", "3", "not handed in"),
    ]
    columns = "student exercise title points max_points percent passed failed error_class mistake hints_used steps_used"
    assert list(rows[0]) == [*columns.split(), "late", "submitted", "seconds", "file", "note"]
    assert (rows[0]["percent"], rows[0]["passed"], rows[0]["failed"]) == ("33.3", "1", "1")
    assert rows[0]["mistake"] == "square: Your hint."


def test_only_the_exercises_asked_for_are_missed(handed_in, table, notebook):
    root = handed_in(alice=notebook("x"), bob=notebook("x"))
    assert {line.row.exercise for line in table(root, asked=["01.1"])} == {"01.1"}
    missed = [line.row for line in table(root, asked=["01.1", "01.2"]) if line.graded is None]
    assert [(row.student, row.exercise) for row in missed] == [("alice", "01.2"), ("bob", "01.2")]


def test_what_would_be_a_formula_gets_an_apostrophe(handed_in, table, notebook, tmp_path):
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", " =1", "plain"]
    root = handed_in({f"{name}/01.1.ipynb": notebook("x") for name in names})
    write_table(tmp_path / "grades.csv", table(root))
    rows = read_table(tmp_path / "grades.csv")
    assert {row["student"] for row in rows} == {"'=HYPERLINK(1)", "'+1", "'-1", "'@SUM(A1)", "'=1", "plain"}
    assert not [cell for row in rows for cell in row.values() if cell.lstrip().startswith(("=", "+", "-", "@"))]


def test_text_with_commas_quotes_and_line_ends_stays_in_its_cell(handed_in, table, notebook, tmp_path):
    root = handed_in({'a, "b"/01.1.ipynb': notebook("x")})
    write_table(tmp_path / "grades.csv", table(root, text='x,\n"y"\0\x1b[31m'))
    (row,) = read_table(tmp_path / "grades.csv")
    assert row["student"] == 'a, "b"'
    assert "\0" not in row["note"]
    assert "\x1b" not in row["note"]


def test_late_is_told_by_the_files_time(handed_in, table, notebook):
    root = handed_in(early=notebook("x"), just=notebook("x"), late=notebook("x"))
    due = parse_due("2026-11-30 23:59")
    for name, delay in (("early", -3600), ("just", 0), ("late", 1)):
        os.utime(root / name / "01.1.ipynb", (due.timestamp() + delay,) * 2)
    assert {line.row.student: line.row.late for line in table(root, due=due)} == {
        "early": "no",
        "just": "no",
        "late": "yes",
    }
    assert {line.row.late for line in table(root)} == {""}


def test_a_due_time_is_local_unless_it_says_otherwise(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Zurich")
    time.tzset()
    try:
        assert parse_due("2026-11-30 23:59").astimezone(UTC) == datetime(2026, 11, 30, 22, 59, 59, 999999, UTC)
        assert parse_due("2026-07-01").astimezone(UTC) == datetime(2026, 7, 1, 21, 59, 59, 999999, UTC)
        assert parse_due("2026-11-30T12:00:30+00:00").astimezone(UTC) == datetime(2026, 11, 30, 12, 0, 30, 0, UTC)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "tomorrow", "30.11.2026", "2026-13-01", "23:59"])
def test_another_due_time_is_refused(text):
    with pytest.raises(UsageError, match="--due needs a time such as"):
        parse_due(text)


def test_hints_are_counted_as_notebook_and_progress_file_report_them(handed_in, table, notebook):
    def output(hints, steps, exercise="01.1"):
        said = {"exercise": exercise, "hints_used": hints, "steps_used": steps}
        return {"output_type": "display_data", "data": {"application/vnd.course.exercise+json": said}}

    reports = [output(1, ["order"]), output(2, ["order", "gaps"]), output(3, ["blank"], "01.2"), output("x", {"a": 1})]
    events = [
        {"kind": "hint", "subject": "01.1", "payload": {"number": 3}},
        {"kind": "step", "subject": "01.1", "payload": {"step": "gaps"}},
        {"kind": "hint", "subject": "01.1", "payload": [1]},
        {"kind": {"a": 1}, "subject": None, "payload": {"number": 10**6}},
    ]
    root = handed_in({"both/progress.jsonl": "\n".join(map(json.dumps, events))})
    handed_in(silent=notebook("x"), told=notebook("x", outputs=reports), both=notebook("x"))
    rows = {line.row.student: line.row for line in table(root)}
    assert (rows["told"].hints_used, rows["told"].steps_used) == (2, "order, gaps")
    assert (rows["both"].hints_used, rows["both"].steps_used) == (3, "gaps")
    assert (rows["silent"].hints_used, rows["silent"].steps_used) == ("", "")


def test_the_note_names_what_an_instructor_should_know(handed_in, table, notebook):
    root = handed_in({"alice/01.1-old.ipynb": notebook("x")}, alice=notebook("x", checks=("double_works",)))
    os.utime(root / "alice" / "01.1-old.ipynb", (1e9, 1e9))
    (line,) = table(root, text="2 of 3", ran=[Ran(0, error="ValueError", text="bad\nvalue")])
    assert line.row.note == (
        "double_works: 2 of 3; cell 1 raised ValueError: bad value; check cells changed or deleted "
        "(double_of_nothing); the course's own were used; the newest file counts; also handed in: alice/01.1-old.ipynb"
    )


def test_an_autograded_notebook_is_whole_and_nbgrader_gives_it_the_same_points(
    handed_in, papers, judged, notebook, tmp_path
):
    from nbgrader.utils import determine_grade, is_grade

    text = json.loads(notebook("x = 1", "print(2)", checks=("double_works",)))
    text["cells"][2]["source"] = "pass  # I win"
    text["cells"].insert(0, {"cell_type": "markdown", "source": "# Mine", "metadata": {}})
    root = handed_in(alice=json.dumps(text), good=notebook("x"))
    for item in find_submissions(root, papers).submissions:
        ran = [Ran(1, "printed", "warned", "ValueError", "bad", "Traceback …\nValueError: bad")]
        graded = judged(item, error_class="ok" if item.student == "good" else "wrong answer", ran=ran)
        made = nbformat.reads(write_autograded(tmp_path, graded).read_text(encoding="utf-8"), as_version=4)
        nbformat.validate(made)
        marked = [cell for cell in made.cells if is_grade(cell)]
        assert [cell.source for cell in marked] == [cell.public for cell in papers[0].graded]
        assert [determine_grade(cell)[0] for cell in marked] == [cell.points for cell in graded.judgement.cells]
        assert "I win" not in str(made)
        assert "seventeen" not in str(made)
        own = [cell for cell in made.cells if cell.cell_type == "code" and not is_grade(cell)]
        if item.student == "alice":
            assert [output.output_type for output in own[0].outputs] == ["stream", "stream", "error"]
    cells = autograded(judged(find_submissions(root, papers).submissions[0]))["cells"]
    assert [cell["source"] for cell in cells[:3]] == ["# Mine", "x = 1", "print(2)"]


def test_a_students_page_says_what_was_found(handed_in, table, notebook):
    root = handed_in(alice=notebook("def double(number): ..."), slow=notebook("x"))
    due = parse_due("2020-01-01")
    lines = table(root, due=due, ran=[Ran(0, "printed so")], hint="You squared it, with `number * number`.")
    page = Page(render_feedback("alice", [line for line in lines if line.row.student == "alice"], due))
    for text in (
        "1 of 3 points in 1 exercise", "01.1 Twice the number", "found it", "float32 [2]", "You squared it, with ",
        "number * number", "It is what its name says.", "printed so", "after the due time (2020-01-01 23:59",
    ):  # fmt: skip
        assert text in page.text, text
    assert ("code", {}) in page.tags
    slow = Page(render_feedback("slow", [line for line in lines if line.row.student == "slow"], due))
    assert "Look for a loop that never ends" in slow.text


def test_pages_load_nothing_and_hostile_text_stays_text(handed_in, table, notebook, papers):
    root = handed_in({f"{HOSTILE.replace('/', '|')}/01.1.ipynb": notebook(f"x = {HOSTILE!r}")}, bad=HOSTILE)
    ran = [Ran(0, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)]
    lines = table(root, due=parse_due("2020-01-01"), text=HOSTILE, ran=ran, hint=HOSTILE)
    student = lines[0].row.student
    circumstances = replace(CIRCUMSTANCES, feedback={student: f"feedback/{student}.html"}, due=parse_due("2020-01-01"))
    for text in (render_feedback(student, lines, parse_due("2020-01-01")), render_summary(lines, circumstances)):
        page = Page(text)
        assert "<script>alert" in page.text
        assert not [tag for tag, _ in page.tags if tag in ("script", "img", "iframe", "link", "object")]
        named = {name for _, attributes in page.tags for name in attributes}
        assert not [name for name in named if name.startswith("on")]
        addresses = [attributes["href"] for _, attributes in page.tags if "href" in attributes]
        assert not [address for address in addresses if re.match(r"^\w+:|^//", address)]


def test_no_hidden_test_is_on_a_page(handed_in, papers, notebook, tmp_path):
    root = handed_in(alice=notebook("def double(number):\n    return abs(number) * 2"))
    found = find_submissions(root, papers)
    graded = grade(found.submissions, papers, tmp_path / "r", limits=SessionLimits(), isolation=choose(), jobs=1).graded
    lines = lines_of(graded, found, papers, (), None)
    assert "seventeen" in graded[0].judgement.cells[0].detail
    write_table(tmp_path / "grades.csv", lines)
    for text in (
        render_feedback("alice", lines, None),
        render_summary(lines, CIRCUMSTANCES),
        json.dumps(autograded(graded[0])),
        (tmp_path / "grades.csv").read_text(),
    ):
        assert "seventeen" not in text
        assert "-17.5" not in text
        assert "further example" in text or "wrong answer" in text


def test_the_class_page_counts_points_mistakes_and_classes(handed_in, table, notebook):
    root = handed_in(good=notebook("x"), slow=notebook("x"), a=notebook("x"), b=notebook("x"), no=b"")
    handed_in({"b/01.2.ipynb": notebook("x", exercise="01.2", checks=())})
    lines = table(root)
    circumstances = replace(CIRCUMSTANCES, broken={"01.1": {"double_works": "NameError"}})
    page = Page(render_summary(lines, circumstances))
    text = " ".join(page.text.split())
    assert "6 notebooks of 5 students: 1 with all points" in text
    assert "You squared it, with number * number. 01.1 2" in text
    assert "Points Students 3 1 2 0 1 3 0 1" in text  # three points one student, two none, one three, none one
    assert "It is what its name says. 1 of 5" in text
    assert "The check double_works of exercise 01.1 is broken" in text
    assert "empty file" in text
    assert "missing" in text


def test_results_do_not_go_among_the_submissions(tmp_path):
    with pytest.raises(UsageError, match="use another --out"):
        places_for(tmp_path / "class.csv", None, tmp_path / "class")
    with pytest.raises(UsageError, match="name of a table such as"):
        places_for(tmp_path / "grades", None, tmp_path / "class")
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        places_for(tmp_path / "x.csv", None, tmp_path / "class")
