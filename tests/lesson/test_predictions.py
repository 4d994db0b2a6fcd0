import pytest


def test_a_batch_shows_question_and_options_as_text(course, capsys):
    course.predict("Which word gets the largest weight?", ["first", "second"])
    assert capsys.readouterr().out == "Predict: Which word gets the largest weight?\n  - first\n  - second\n"


def test_a_batch_compares_without_a_guess(course, capsys):
    guess = course.predict("How large?")
    capsys.readouterr()
    guess.compare(0.97123)
    guess.compare("first")
    assert (
        capsys.readouterr().out == "No guess (batch run). Measured: ≈0.971.\nNo guess (batch run). Measured: first.\n"
    )


@pytest.mark.parametrize("options", [[], ["only one"], ["same", "same"]])
def test_a_choice_needs_two_different_options(course, options):
    with pytest.raises(ValueError, match="at least two different options"):
        course.predict("Which?", options)


def test_an_empty_question_is_refused(course):
    with pytest.raises(ValueError, match="needs a question"):
        course.predict("  ")


START = "from course_lib import lesson; course = lesson.start('07_trial')"


def test_a_learner_picks_locks_and_compares(run_cells):
    cells = run_cells(
        START,
        "guess = course.predict('Which?', ['first', 'second'])\nguess",
        "guess.widgets['button'].click(); print(guess.locked, guess.widgets['status'].value)",
        "guess.compare('first')",
        "guess.widgets['field'].value = 'second'; guess.widgets['button'].click()\n"
        "print(guess.locked, guess.widgets['field'].disabled, guess.widgets['status'].value)",
        "guess.compare('first')",
        live=True,
    )
    assert len(cells[1].outputs) == 1, "the question is drawn once, although the cell ends with it"
    assert "application/vnd.jupyter.widget-view+json" in cells[1].outputs[0].data
    assert "False" in cells[2].outputs[0].text
    assert "Choose an answer first." in cells[2].outputs[0].text
    assert cells[3].outputs[0].data["text/plain"] == "No guess was locked. Measured: first."
    assert "True True" in cells[4].outputs[0].text
    assert "Locked: second." in cells[4].outputs[0].text
    assert cells[5].outputs[0].data["text/plain"] == "Your guess: second. Measured: first."


def test_a_numeric_guess_must_be_a_number(run_cells):
    cells = run_cells(
        START,
        "guess = course.predict('How many?')\nfield, button = guess.widgets['field'], guess.widgets['button']",
        "field.value = '<b>lots</b>'; button.click(); print(guess.locked, guess.widgets['status'].value)",
        "field.value = '95 %'; button.click(); guess.compare(0.97)",
        live=True,
    )
    assert "False" in cells[2].outputs[0].text
    assert "&lt;b&gt;lots&lt;/b&gt;" in cells[2].outputs[0].text
    assert cells[3].outputs[0].data["text/plain"] == "Your guess: 95 %. Measured: ≈0.97."


def test_a_hostile_question_is_shown_as_text(run_cells):
    _, cell = run_cells(START, "course.predict('<img src=x onerror=alert(1)>', ['<b>a</b>', 'b'])")
    html = cell.outputs[0].data["text/html"]
    assert "<img" not in html
    assert "<b>" not in html
