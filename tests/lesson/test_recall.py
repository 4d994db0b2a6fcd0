import pytest

from course_lib import lesson, progress

IMPORT = "from course_lib import lesson"


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A new learner, whose progress the kernels keep too."""
    monkeypatch.setenv("COURSE_PROGRESS_FILE", str(tmp_path / "progress.jsonl"))
    monkeypatch.setattr(progress, "_kept_in_memory", [])
    monkeypatch.delenv("COURSE_RECORD_FILE", raising=False)
    monkeypatch.delenv("COURSE_MODE", raising=False)


def test_a_batch_shows_one_line(course, capsys):
    lesson.recall("07_trial", questions=2)
    assert capsys.readouterr().out == (
        "2 questions to answer from memory. Live, two buttons beside each note whether you knew it.\n"
    )
    lesson.recall("07_trial", questions=1)
    assert capsys.readouterr().out.startswith("1 question to answer")


def test_a_batch_notebook_gets_the_line_and_no_widget(run_cells):
    (cell,) = run_cells(f"{IMPORT}\n\nlesson.recall('07_trial', questions=3)")
    (output,) = cell.outputs
    assert set(output.data) == {"text/html", "text/plain"}


def test_an_unknown_notebook_and_no_question_are_refused(course):
    with pytest.raises(ValueError, match="unknown notebook '07_trail'; did you mean '07_trial'"):
        lesson.recall("07_trail")
    with pytest.raises(ValueError, match="at least one question"):
        lesson.recall("07_trial", questions=0)


def test_each_question_has_two_buttons_that_count(learner, run_cells):
    cells = run_cells(
        f"{IMPORT}\nasked = lesson.recall('07_trial', questions=2)\nasked",
        "asked.rows[0]['knew'].click(); asked.rows[1]['not_yet'].click()\n"
        "print([row['status'].value for row in asked.rows], asked.rows[1]['knew'].tooltip)",
        "asked.rows[0]['not_yet'].click(); asked.rows[1]['knew'].click(); asked.rows[0]['knew'].click()",
        live=True,
    )
    (shown,) = cells[0].outputs
    assert "application/vnd.jupyter.widget-view+json" in shown.data
    assert "noted: ✓ I knew it" in cells[1].outputs[0].text
    assert "noted: … not yet" in cells[1].outputs[0].text
    assert "Question 2: I knew it" in cells[1].outputs[0].text
    found = progress.lesson_progress("07_trial")
    assert (found.known, found.asked) == (2, 2)


def test_earlier_answers_are_shown_again(learner, run_cells):
    progress.note("recall", "07_trial", question="2", known=False)
    (cell,) = run_cells(
        f"{IMPORT}\nasked = lesson.recall('07_trial', questions=2)\nprint([row['status'].value for row in asked.rows])",
        live=True,
    )
    told = next(output.text for output in cell.outputs if output.output_type == "stream")
    assert told.count("last time") == 1
    assert "last time: … not yet" in told


def test_compared_guesses_count_as_predictions(learner, run_cells):
    pick = "guess.widgets['field'].value = {!r}; guess.widgets['button'].click()\n"
    run_cells(
        f"{IMPORT}; course = lesson.start('07_trial')",
        "guess = course.predict('Which?', ['first', 'second'])\n" + pick.format("second"),
        "guess.compare('second'); guess.compare('second')",
        "guess = course.predict('Which one?', ['first', 'second'])\n"
        + pick.format("second")
        + "guess.compare('first')",
        "guess = course.predict('How many?')\n" + pick.format("7") + "guess.compare(0.25)",
        "guess = course.predict('Unlocked?', ['first', 'second'])\nguess.compare('first')",
        "guess = course.predict('Unclear?', ['first', 'second'])\n" + pick.format("second") + "guess.compare('a tie')",
        live=True,
    )
    told = [event for event in progress.events() if event.kind == "prediction"]
    assert [(event.subject, event.payload["question"], event.payload["right"]) for event in told] == [
        ("07_trial", "Which?", True),
        ("07_trial", "Which one?", False),
        ("07_trial", "How many?", None),
        ("07_trial", "Unclear?", None),
    ]
    assert told[2].payload == {"question": "How many?", "guess": "7", "measured": "0.25", "right": None}
    found = progress.lesson_progress("07_trial")
    assert (found.right, found.judged, found.made) == (1, 2, 4)
