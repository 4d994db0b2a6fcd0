from course_lib.exercises.catalogue import find_exercise, read_exercise
from course_lib.exercises.grading.papers import read_paper


def test_a_paper_has_the_masters_graded_cells(papers):
    paper = papers[0]
    assert [(cell.name, cell.title, cell.points) for cell in paper.graded] == [
        ("double_works", "It is what its name says.", 2),
        ("double_of_nothing", "Of nothing it makes nothing.", 1),
    ]
    assert paper.points == 3
    assert paper.graded[0].public == 'check("01.1", "double_works")'
    assert paper.graded[0].hidden == 'assert double(-17.5) == -35.0, "minus seventeen and a half"'


def test_the_setup_is_what_touches_no_answer(papers):
    # Neither the call of the learner's function nor `check` itself is run by the grader.
    assert papers[0].setup == "from fractions import Fraction\ntenth = Fraction(1, 10)"


def test_what_depends_on_an_answer_is_left_out_with_all_that_follows_from_it(course, tmp_path):
    master = find_exercise("01.1", course).master
    place = tmp_path / "01_numbers" / "masters" / "01.1_double"
    place.mkdir(parents=True)
    for name in ("checks.py", "card.toml"):
        (place / name).write_text((master.parent / name).read_text())
    more = "tenth = Fraction(1, 10)\nfour = double(2)\nfive = four + 1\ndef given(x):\n    return tenth\ntwo: int = 2"
    (place / "master.py").write_text(master.read_text().replace("tenth = Fraction(1, 10)", more))
    setup = read_paper(read_exercise(place / "master.py")).setup
    assert "given" in setup
    assert "two" in setup
    assert "four" not in setup
    assert "five" not in setup


def test_the_solution_has_no_marker_and_no_graded_cell(papers):
    whole = "\n".join(papers[0].solution)
    assert "return number * 2" in whole
    assert "###" not in whole
    assert "double_works" not in whole
