"""Does a sum in a text have the value that stands beside it? Found by pattern, and reckoned (notebook 12)."""

import ast
import operator
import re
from collections.abc import Callable

SIGN = r"[-+*/x×÷]"
# Whole sums alone: a part of a longer one, of a formula or of a date has a value of its own.
SUM = (
    rf"(?<![\w.,)%$^*/+×÷])(?<!{SIGN}\s)-?\d+(?:\.\d+)?(?:\s*{SIGN}\s*\d+(?:\.\d+)?)+"
    rf"(?![\d.%]*[\w%])(?!\s*{SIGN}\s*[\w(])"
)
EQUATION = re.compile(rf"({SUM})\s*=\s*\$?(-?\d+(?:\.\d+)?)(?![\d.,]*[\w%])(?!(?: and)?\s\d)(?!\s*[-+*/x×÷^])")
ASKS_FOR_SUM = re.compile(
    rf"\b(?:what is|what's|calculate|compute|evaluate|solve|simplify|add|result of|value of)\b[^\w(]*({SUM})\s*[?.=]?",
    re.I,
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
OPERATORS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def wrong_equation(text: str) -> str | None:
    """The first equation such as "2 + 2 = 5" that does not hold."""
    for left, right in EQUATION.findall(text):
        value = value_of(left)
        if value is not None and not _close(value, right):
            return f"{left} = {right}"
    return None


def asked_sum(instruction: str, input: str = "") -> str | None:
    """The sum whose value an instruction asks for, there or in its input."""
    found = ASKS_FOR_SUM.search(instruction) or ASKS_FOR_SUM.fullmatch(f"what is {input.strip()}")
    return found[1] if found else None


def has_value(answer: str, sum_text: str) -> bool:
    """Whether the sum's value is among an answer's numbers; True if it has no numbers, or the sum no value."""
    value, found = value_of(sum_text), NUMBER.findall(answer.replace(",", ""))
    return value is None or not found or any(_close(value, number) for number in found)


def value_of(sum_text: str) -> float | None:
    """The value of a sum; None for what is none, such as a division by zero."""
    try:
        expression = sum_text.translate(str.maketrans("x×÷", "**/")).strip()
        return _walk(ast.parse(expression, mode="eval").body)
    except (SyntaxError, ZeroDivisionError, ValueError, OverflowError):
        return None


def _walk(node: ast.expr) -> float:
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_walk(node.left), _walk(node.right))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_walk(node.operand)
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    raise ValueError("not a sum")


def _close(value: float, written: str) -> bool:
    """Whether a number is this value, to as many digits as are written."""
    digits = len(written.partition(".")[2])
    return abs(value - float(written)) <= 0.5 * 10**-digits + 1e-9 if digits else abs(value - float(written)) < 1e-9
