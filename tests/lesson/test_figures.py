from base64 import b64decode

import pytest
from matplotlib import pyplot

ALT = "Line chart: exact match falls from 1.0 at one item to 0 at four."


@pytest.fixture
def figure():
    figure, axes = pyplot.subplots()
    axes.plot([1, 2])
    yield figure
    pyplot.close(figure)


def test_a_figure_is_shown_with_its_alt_text_and_closed(course, capsys, figure):
    course.figure(figure, alt=ALT)
    assert capsys.readouterr().out == f"Figure: {ALT}\n"
    assert not pyplot.fignum_exists(figure.number)


@pytest.mark.parametrize("alt", ["", "plot", "figure of loss", "                                    "])
def test_a_figure_without_a_real_alt_text_is_refused(course, figure, alt):
    with pytest.raises(ValueError, match="alt text must say what the figure shows"):
        course.figure(figure, alt=alt)


def test_axes_in_place_of_a_figure_are_refused(course, figure):
    with pytest.raises(TypeError, match=r"takes a matplotlib Figure, got Axes; give its \.figure"):
        course.figure(figure.axes[0], alt=ALT)


def test_fonts_are_large_enough_and_the_ground_is_opaque(course):
    settings = pyplot.rcParams
    assert min(settings[name] for name in ("font.size", "axes.labelsize", "legend.fontsize", "xtick.labelsize")) >= 10
    assert settings["savefig.facecolor"] == "white"


def test_a_notebook_holds_one_picture_with_alt_text(run_cells):
    _, cell = run_cells(
        "from course_lib import lesson; course = lesson.start('07_trial')\nfrom matplotlib import pyplot",
        f"figure, axes = pyplot.subplots(); axes.plot([1, 2])\ncourse.figure(figure, alt={ALT!r})",
    )
    (output,) = cell.outputs
    assert output.data["text/plain"] == f"Figure: {ALT}"
    assert output.metadata["image/png"]["alt"] == ALT
    assert b64decode(output.data["image/png"]).startswith(b"\x89PNG")
