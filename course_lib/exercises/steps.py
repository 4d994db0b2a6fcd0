"""How does an exercise get easier? Its solution, with the lines out of order, with gaps, or gone.

All three are made from the solution regions of the master, so that they cannot drift from it.
"""

import io
import random
import re
import textwrap
import tokenize
from dataclasses import dataclass

from course_lib.exercises.catalogue import Exercise, ExerciseError

KINDS = ("order", "gaps", "blank")
GAP = "____"
MARK = "\0"  # stands for a gap until all are found
BEGIN, END = re.compile(r"^\s*### BEGIN SOLUTION\s*$"), re.compile(r"^\s*### END SOLUTION\s*$")
CELL = re.compile(r"^# %%(?P<options>.*)$")
STUB = ["# YOUR CODE HERE", "raise NotImplementedError()"]


@dataclass(frozen=True)
class SolutionCell:
    """A cell of the master with solution regions: pieces of text, of which `True` marks those of the solution."""

    grade_id: str
    pieces: list[tuple[bool, list[str]]]


def step_text(exercise: Exercise, kind: str) -> str:
    """The code to begin with, all cells of the solution one after the other.

    Raises ExerciseError for a kind that is not there, and for "gaps" of an exercise that names none.
    """
    return "\n\n\n".join(step_cells(exercise, kind).values())


def step_cells(exercise: Exercise, kind: str) -> dict[str, str]:
    """The same by the grade_id of the cells that it stands for."""
    if kind not in KINDS:
        raise ExerciseError(f"no step {kind!r}; there are: {', '.join(KINDS)}")
    if kind == "gaps" and not exercise.gaps:
        raise ExerciseError(f'exercise {exercise.id} has no gaps to fill; take step("{exercise.id}", "order")')
    cells = {}
    for cell in solution_cells(exercise.master.read_text(encoding="utf-8")):
        lines: list[str] = []
        for number, (is_solution, piece) in enumerate(cell.pieces):
            if not is_solution:
                lines += piece
            elif kind == "gaps":
                lines += with_gaps(piece, exercise.gaps)
            else:
                above = shuffled(piece, f"{exercise.name} {cell.grade_id} {number}") if kind == "order" else []
                lines += [_indent(piece) + line for line in [*above, *STUB]]
        cells[cell.grade_id] = "\n".join(lines).strip("\n")
    if not cells:
        raise ExerciseError(f"{exercise.master} has no cell with ### BEGIN SOLUTION")
    if kind == "gaps" and not any(GAP in text for text in cells.values()):
        raise ExerciseError(f"no gap of exercise {exercise.id} occurs in its solution: {', '.join(exercise.gaps)}")
    return cells


def solution_cells(master: str) -> list[SolutionCell]:
    """The cells of a master (jupytext percent) that hold a solution. Raises ExerciseError for a region not closed."""
    cells: list[SolutionCell] = []
    body: list[str] = []
    options = ""
    for line in [*master.splitlines(), "# %%"]:
        if opening := CELL.match(line):
            if any(BEGIN.match(line) for line in body):
                named = re.search(r'"grade_id":\s*"([^"]+)"', options)
                cells.append(SolutionCell(named[1] if named else f"cell_{len(cells) + 1}", _pieces(body)))
            options, body = opening["options"], []
        else:
            body.append(line)
    return cells


def _pieces(body: list[str]) -> list[tuple[bool, list[str]]]:
    pieces: list[tuple[bool, list[str]]] = [(False, [])]
    for line in body:
        if BEGIN.match(line) or END.match(line):
            inside = bool(BEGIN.match(line))
            if inside == pieces[-1][0]:
                raise ExerciseError(f"{line.strip()!r} does not match the one before it")
            pieces.append((inside, []))
        else:
            pieces[-1][1].append(line)
    if pieces[-1][0]:
        raise ExerciseError("a '### BEGIN SOLUTION' has no END")
    return pieces


def with_gaps(lines: list[str], gaps: tuple[str, ...]) -> list[str]:
    """The lines with each piece in `gaps` replaced by a blank, the longest first. A piece may span several lines.

    Blanks side by side become one, and one behind a name stands apart from it, so that it can be seen.
    """
    text = "\n".join(lines)
    for gap in sorted(gaps, key=len, reverse=True):
        text = text.replace(gap, MARK)
    text = re.sub(rf"(?<=[\w)\]])(?={MARK})", " ", re.sub(rf"{MARK}+", MARK, text))
    return text.replace(MARK, GAP).splitlines()


def shuffled(lines: list[str], seed: str) -> list[str]:
    """The statements of a solution as numbered comments, the same for everyone, never in the right order.

    Indentation, comments and blank lines are left out; a statement over several lines stays whole.
    """
    statements = logical_lines(lines)
    order = list(range(len(statements)))
    random.Random(seed).shuffle(order)
    if [statements[place] for place in order] == statements:
        order = order[1:] + order[:1]
    heading = "# Put these lines in order, and indent them:" if len(statements) > 1 else "# It takes one line:"
    numbered = [heading]
    for number, place in enumerate(order, start=1):
        first, *rest = statements[place].splitlines()
        numbered += [f"#  {number:2}  {first}", *(f"#      {line}" for line in rest)]
    return numbered


def logical_lines(lines: list[str]) -> list[str]:
    """Each statement, or head of a block, as a text of its own without its indentation. Comments are dropped."""
    source = textwrap.dedent("\n".join(lines)) + "\n"
    physical, found, first = source.splitlines(), [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER):
            continue
        first = first or token.start[0]
        if token.type == tokenize.NEWLINE:
            found.append(textwrap.dedent("\n".join(physical[first - 1 : token.end[0]])))
            first = None
    return found


def _indent(lines: list[str]) -> str:
    depths = [len(line) - len(line.lstrip()) for line in lines if line.strip()]
    return " " * min(depths, default=0)
