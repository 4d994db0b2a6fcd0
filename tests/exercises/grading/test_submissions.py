import io
import json
import os
import zipfile

import pytest

from course_lib.batch.errors import UsageError
from course_lib.exercises.grading import collecting
from course_lib.exercises.grading.submissions import find_submissions


def whose(found):
    return sorted({(item.student, item.exercise) for item in found.submissions})


def zipped(files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


A, B = ("alice", "01.1"), ("bob", "01.1")
LAYOUTS = {
    "a folder for each student": ["alice/01.1_double.ipynb", "bob/01.1_double.ipynb"],
    "a course folder in each": ["alice/01_numbers/01.1_double.ipynb", "bob/01_numbers/01.1_double.ipynb"],
    "as nbgrader collects": ["submitted/alice/01_numbers/01.1_double.ipynb", "submitted/bob/01_numbers/x.ipynb"],
    "the whole course in each": [
        "alice/course/my_exercises/01_numbers/01.1_double.ipynb",
        "bob/my_exercises/01_numbers/01.1_double.ipynb",
    ],
    "by lesson, then student": ["01_numbers/alice/a.ipynb", "01_numbers/bob/b.ipynb"],
    "by week and group": ["week 3/group B/alice/01.1.ipynb", "week 3/group A/bob/01.1.ipynb"],
    "by a folder that is no student": ["Monday/alice/01.1.ipynb", "Monday/bob/01.1.ipynb"],
    "named by student, first": ["alice_01.1.ipynb", "bob_01.1.ipynb"],
    "named by student, last": ["01.1_double-alice.ipynb", "01.1_double bob (1).ipynb"],
    "named by student in a folder": ["batch one/alice_01.1.ipynb", "batch one/bob_01.1.ipynb"],
    "named by student alone": ["alice.ipynb", "bob.ipynb"],
    "as Moodle packs": ["alice_123_assignsubmission_file_/01.1.ipynb", "bob_124_assignsubmission_file_/01.1.ipynb"],
    "as Moodle packs without folders": [
        "alice_123_assignsubmission_file_01.1_double.ipynb",
        "bob_124_assignsubmission_file_01.1_double.ipynb",
    ],
    "as Canvas packs": ["alice_123_45678_01.1_double.ipynb", "bob_LATE_124_45679_01.1_double-2.ipynb"],
    "with what browsers append": ["alice/01.1_double.ipynb.txt", "bob/01.1_double.ipynb.json"],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_students_are_found_in(layout, handed_in, find, notebook):
    root = handed_in({place: notebook("x = 1") for place in LAYOUTS[layout]})
    assert whose(find(root)) == [A, B]


def test_names_with_spaces_and_letters_of_any_kind(handed_in, find, notebook):
    names = ["Jürgen Müller", "王小明", "Renée O'Neil-Smith", "d'Arc, Jeanne"]
    root = handed_in({f"{name}_12_assignsubmission_file_/01.1.ipynb": notebook("x") for name in names})
    assert {item.student for item in find(root).submissions} == set(names)


def test_two_students_of_one_name_stay_two(handed_in, find, notebook):
    root = handed_in(
        {
            "Alice Smith_12_assignsubmission_file_/01.1.ipynb": notebook("x"),
            "Alice Smith_34_assignsubmission_file_/01.1.ipynb": notebook("y"),
            "Monday/bob/01.1.ipynb": notebook("x"),
            "Monday/carol/01.1.ipynb": notebook("x"),
            "Tuesday/bob/01.1.ipynb": notebook("y"),
            "Tuesday/dave/01.1.ipynb": notebook("y"),
        }
    )
    students = {item.student for item in find(root).submissions}
    assert students == {"Alice Smith (12)", "Alice Smith (34)", "Monday/bob", "carol", "Tuesday/bob", "dave"}


def test_several_exercises_of_one_student_are_one_student(handed_in, find, notebook):
    root = handed_in(
        {"alice/01.1_double.ipynb": notebook("x"), "alice/01.2_halve.ipynb": notebook("x", exercise="01.2", checks=())}
    )
    assert whose(find(root)) == [A, ("alice", "01.2")]


def test_the_exercise_is_told_by_metadata_then_cells_then_name(handed_in, find, notebook):
    root = handed_in(
        {
            "alice/01.2_halve.ipynb": notebook("x", exercise="01.1"),
            "bob/01.2_halve.ipynb": notebook("x", exercise=None),  # its cells are named as those of 01.1
            "carol/my halve.ipynb": notebook("x", exercise=None, checks=()),
            "dave/01.2/answer.ipynb": notebook("x", exercise=None, checks=()),
        }
    )
    assert whose(find(root)) == [A, B, ("carol", "01.2"), ("dave", "01.2")]


def test_an_unknown_exercise_is_listed_and_told(handed_in, find, notebook):
    root = handed_in({"alice/thoughts.ipynb": notebook("x", exercise=None, checks=())})
    (item,) = find(root).submissions
    assert item.exercise is None
    assert item.problem.error_class == "unknown exercise"


def test_the_newest_of_several_counts_and_the_others_are_named(handed_in, find, notebook):
    root = handed_in(
        {
            "alice/01.1_double.ipynb": notebook("old"),
            "alice/01.1_double-Copy1.ipynb": notebook("new"),
            "alice/backup/01.1_double.ipynb": notebook("older"),
        }
    )
    for place, time in (
        ("01.1_double.ipynb", 2e9),
        ("01.1_double-Copy1.ipynb", 2.1e9),
        ("backup/01.1_double.ipynb", 1e9),
    ):
        os.utime(root / "alice" / place, (time, time))
    (item,) = find(root).submissions
    assert item.file == "alice/01.1_double-Copy1.ipynb"
    assert item.others == ("alice/01.1_double.ipynb", "alice/backup/01.1_double.ipynb")
    assert item.modified == 2.1e9


def test_of_the_whole_course_the_students_own_copy_counts_and_no_solution(handed_in, find, notebook):
    places = {
        "alice/exercises/01_numbers/01.1_double.ipynb": 2.3e9,
        "alice/exercises/01_numbers/solutions/01.1_double.ipynb": 2.2e9,
        "alice/my_exercises/01_numbers/01.1_double.ipynb": 2.0e9,
        "alice/my_exercises/kept/01_numbers/01.1_double.ipynb": 2.1e9,
        "bob/01_numbers/solutions/01.1_double.ipynb": 2.0e9,
        "bob/01_numbers/01.1_double.ipynb": 1.9e9,
    }
    root = handed_in({place: notebook(place) for place in places})
    for place, time in places.items():
        os.utime(root / place, (time, time))
    counted = {item.student: (item.file, len(item.others)) for item in find(root).submissions}
    assert counted == {
        "alice": ("alice/my_exercises/01_numbers/01.1_double.ipynb", 1),
        "bob": ("bob/01_numbers/01.1_double.ipynb", 0),
    }


def test_checkpoints_and_other_leavings_are_passed_over(handed_in, find, notebook):
    root = handed_in(
        {
            "alice/01.1.ipynb": notebook("x"),
            "alice/.ipynb_checkpoints/01.1-checkpoint.ipynb": notebook("y"),
            "__MACOSX/bob/._01.1.ipynb": b"\0\5",
            "alice/._01.1.ipynb": b"\0\5",
            "alice/notes.txt": "x",
        }
    )
    assert [item.file for item in find(root).submissions] == ["alice/01.1.ipynb"]


def test_links_are_not_followed_outside(handed_in, find, notebook, tmp_path):
    root = handed_in(alice=notebook("x"))
    (tmp_path / "private.ipynb").write_text(notebook("secret"))
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "01.1.ipynb").write_text(notebook("secret"))
    (root / "bob").mkdir()
    (root / "bob" / "01.1.ipynb").symlink_to(tmp_path / "private.ipynb")
    (root / "carol").symlink_to(tmp_path / "private")
    found = {item.student: item for item in find(root).submissions}
    assert set(found) == {"alice", "bob"}
    assert "link to a place outside" in found["bob"].problem.text
    assert found["bob"].notebook is None


def test_zip_files_are_read_as_folders(handed_in, find, notebook):
    root = handed_in(
        {
            "alice.zip": zipped({"01.1_double.ipynb": notebook("x"), "__MACOSX/._01.1_double.ipynb": b"x"}),
            "bob/work.zip": zipped({"01_numbers/01.1_double.ipynb": notebook("x")}),
            "class.zip": zipped(
                {"carol/01.1.ipynb": notebook("x"), "dave.zip": zipped({"dave/01.1.ipynb": notebook("x")})}
            ),
        }
    )
    assert whose(find(root)) == [A, B, ("carol", "01.1"), ("dave", "01.1")]


def test_names_in_a_zip_lead_nowhere(handed_in, find, notebook, tmp_path):
    root = handed_in({"alice.zip": zipped({"../../../evil/01.1.ipynb": notebook("x"), "/01.1.ipynb": notebook("y")})})
    before = set(tmp_path.parent.rglob("*"))
    assert {item.student for item in find(root).submissions} == {"alice"}
    assert set(tmp_path.parent.rglob("*")) == before
    assert not (tmp_path.parent / "evil").exists()


def test_a_zip_that_unpacks_to_too_much_is_refused(handed_in, find, monkeypatch):
    monkeypatch.setattr(collecting, "LARGEST_ZIP", 2**20)
    monkeypatch.setattr(collecting, "LARGEST_FILE", 2**18)
    bomb = {f"{number}_01.1.ipynb": b"\0" * 2**18 for number in range(9)}
    found = find(handed_in({"alice.zip": zipped(bomb), "bob.zip": zipped({"01.1.ipynb": b"\0" * 2**19})}))
    told = {(item.student, item.problem.error_class) for item in found.submissions}
    assert ("bob", "too large") in told
    assert any("zip file holds more than" in item.problem.text for item in found.submissions)


def test_damaged_and_locked_zips_are_told(handed_in, find, notebook):
    whole = zipped({"01.1.ipynb": notebook("x" * 5000)})
    locked = bytearray(whole)
    locked[6] |= 1
    locked[whole.index(b"PK\x01\x02") + 8] |= 1
    found = find(handed_in({"alice.zip": whole[:200], "bob.zip": bytes(locked), "carol.zip": b""}))
    told = {item.student: item.problem for item in found.submissions}
    assert {problem.error_class for problem in told.values()} == {"damaged file"}
    assert "password" in told["bob"].text
    assert set(told) == {"alice", "bob", "carol"}


def test_another_kind_of_file_counts_only_where_there_is_no_notebook(handed_in, find, notebook):
    root = handed_in(
        {"alice/01.1_double.ipynb": notebook("x"), "alice/01.1_double.pdf": b"%PDF", "bob/01.1_double.py": "x = 1"}
    )
    found = {item.student: item for item in find(root).submissions}
    assert found["alice"].problem is None
    assert "kind .py" in found["bob"].problem.text


def test_a_student_without_any_notebook_is_still_a_student(handed_in, find, notebook):
    assert find(handed_in({"alice/01.1.ipynb": notebook("x"), "bob/readme.txt": "sorry"})).students == ["alice", "bob"]


def test_a_progress_file_is_its_students(handed_in, find, notebook):
    events = '{"kind": "hint", "subject": "01.1", "payload": {"number": 2}}\nnonsense\n[1]\n'
    root = handed_in({"alice/01.1.ipynb": notebook("x"), "alice/progress.jsonl": events})
    assert find(root).events == {"alice": [{"kind": "hint", "subject": "01.1", "payload": {"number": 2}}]}


def test_names_that_are_no_text_can_be_printed(handed_in, find, notebook):
    root = handed_in(alice=notebook("x"))
    odd = os.path.join(os.fsencode(root), b"b\xf6b\n\x1b[31m")
    os.mkdir(odd)
    with open(os.path.join(odd, b"01.1.ipynb"), "w") as file:
        file.write(notebook("x"))
    names = {item.student for item in find(root).submissions}
    assert len(names) == 2
    assert all(name.isprintable() and name.encode("utf-8") for name in names)


def test_a_single_file_can_be_graded(handed_in, papers, notebook):
    root = handed_in({"alice_01.1.ipynb": notebook("x")})
    (item,) = find_submissions(root / "alice_01.1.ipynb", papers).submissions
    assert (item.student, item.exercise) == A


def test_what_the_grader_wrote_is_not_handed_in(handed_in, papers, notebook):
    root = handed_in({"alice/01.1.ipynb": notebook("x"), "grades/autograded/alice/01.1.ipynb": notebook("x")})
    found = find_submissions(root, papers, leave_out=root / "grades")
    assert [item.file for item in found.submissions] == ["alice/01.1.ipynb"]


def test_nothing_to_grade_is_said(handed_in, find, tmp_path):
    with pytest.raises(UsageError, match="no notebook in"):
        find(handed_in({"alice/readme.txt": "x"}))
    with pytest.raises(UsageError, match="no such folder"):
        find(tmp_path / "nowhere")


def test_a_notebook_of_another_course_says_so_in_its_json(handed_in, find):
    other = json.dumps({"cells": [], "metadata": {"course": {"exercise": "99.9"}}, "nbformat": 4})
    (item,) = find(handed_in({"alice/x.ipynb": other})).submissions
    assert item.problem.error_class == "unknown exercise"
