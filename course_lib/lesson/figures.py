"""How is a figure shown so that everybody can read it, in any theme, and with eyes closed?"""

from base64 import b64encode
from io import BytesIO
from typing import Any

from course_lib.lesson.display import publish

# Okabe and Ito's palette: told apart with every common form of colour blindness. Yellow is left out: too pale on white.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
DOTS_PER_INCH = 100


def use_course_style() -> None:
    """Set matplotlib's defaults: dark text on an opaque light ground, 10 points and more, colour-blind-safe lines."""
    import matplotlib
    from cycler import cycler

    matplotlib.rcParams.update(
        {
            "figure.figsize": (7.0, 3.8),
            "figure.dpi": DOTS_PER_INCH,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "axes.facecolor": "white",
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#d9d9d9",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=PALETTE),
            "axes.titlesize": 12,
            "axes.labelsize": 11,
            "font.size": 10,
            "legend.fontsize": 10,
            "legend.frameon": False,
            "xtick.labelsize": 10,
            "ytick.labelsize": 10,
            "lines.linewidth": 2.0,
            "lines.markersize": 6,
            "image.cmap": "cividis",
        }
    )


def show_figure(figure: Any, alt: str) -> None:
    """Show a matplotlib figure as a picture with a text alternative, and close it.

    Raises ValueError when `alt` is too short to stand for the figure, TypeError when `figure` is not a Figure.
    """
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    if not isinstance(figure, Figure):
        hint = "; give its .figure" if hasattr(figure, "figure") else ""
        raise TypeError(f"figure() takes a matplotlib Figure, got {type(figure).__name__}{hint}")
    alt = " ".join(alt.split())
    if len(alt) < 20 or len(alt.split()) < 4:
        raise ValueError(
            f"the alt text must say what the figure shows and what to read from it, in a sentence, such as "
            f"'Line chart: exact match falls from 1.0 at one item to 0 at four'; got {alt!r}"
        )
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    # Closed here, or the notebook's own backend would draw it a second time at the end of the cell.
    pyplot.close(figure)
    publish(
        {"image/png": b64encode(picture.getvalue()).decode("ascii"), "text/plain": f"Figure: {alt}"},
        metadata={"image/png": {"alt": alt}},
    )
