import pytest

from course_lib.lesson import numbers
from course_lib.lesson.listings import source_of


class Outer:
    def method(self):
        """Nested and indented."""
        return 1


def test_the_source_is_dedented():
    assert source_of(Outer.method).startswith('def method(self):\n    """')


def test_functions_classes_and_modules_are_shown_with_their_name(course, capsys):
    course.source(numbers.seconds)
    text = capsys.readouterr().out
    assert text.startswith("# course_lib.lesson.numbers.seconds\ndef seconds(")
    course.source(Outer)
    course.source(numbers)
    assert "# course_lib.lesson.numbers\n" in capsys.readouterr().out


@pytest.mark.parametrize("subject", [len, list, "text", 3, Outer(), __import__("math")])
def test_what_has_no_python_source_is_refused(course, subject):
    with pytest.raises(TypeError, match=r"has no Python source|shows functions, methods, classes and modules"):
        course.source(subject)


def test_the_listing_brings_its_own_colours_and_escapes_the_code(run_cells):
    cells = run_cells(
        "from course_lib import lesson; course = lesson.start('07_trial')",
        "def f():\n    return '<script>' + str(1)",
        "course.source(f)",
    )
    html = cells[2].outputs[0].data["text/html"]
    assert "<script>" not in html
    assert "background:#f8f8f8;color:#1f2328" in html
    assert 'style="color:' in html
    assert cells[2].outputs[0].data["text/plain"] == "# f\ndef f():\n    return '<script>' + str(1)\n"
