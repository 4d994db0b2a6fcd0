"""What is wrong with instructions that a model wrote itself? Ten kinds of fault, each found by a rule (notebook 12).

The kinds are those that the project AlpacaDataCleaned names in Stanford's 52,002 rows; the rules are ours. A rule that
can mend what it finds does so, others drop the row. How often each is right is measured on rows with known faults
(`course_lib.data.known_faults`), and part of the lesson.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from course_lib.data import fault_rules
from course_lib.data.alpaca_format import Exchange


@dataclass(frozen=True)
class Rule:
    """A kind of fault: how it is found, and how a row is mended; without `mend`, it is dropped."""

    name: str
    find: Callable[[Exchange], fault_rules.Finding]
    mend: Callable[[Exchange], Exchange] | None = None


def _without_control(row: Exchange) -> Exchange:
    instruction, input, output = (
        fault_rules.CONTROL.sub("", text) for text in (row.instruction, row.input, row.output)
    )
    return replace(row, instruction=instruction, input=input, output=output)


def _cut_at_next(row: Exchange) -> Exchange:
    return replace(row, output=fault_rules.MERGED.split(row.output)[0].rstrip("# \n"))


# Those that mend come first: a row may be in order, or show another fault, once it is mended.
RULES = (
    Rule("control characters", fault_rules.control_characters, _without_control),
    Rule("inconsistent no input", fault_rules.inconsistent_no_input, lambda row: replace(row, input="")),
    Rule("merged instructions", fault_rules.merged_instructions, _cut_at_next),
    Rule("empty output", fault_rules.empty_output),
    Rule("N/A output", fault_rules.not_applicable),
    Rule("image request", fault_rules.image_request),
    Rule("hallucinated URL", fault_rules.hallucinated_url),
    Rule("missing code", fault_rules.missing_code),
    Rule("wrong answer", fault_rules.wrong_answer),
    Rule("nonsense", fault_rules.nonsense),
)


@dataclass(frozen=True)
class Fault:
    """A rule found something in a row (counted from 0); `mended`: the row stays, without it."""

    row: int
    rule: str
    evidence: str
    mended: bool


@dataclass(frozen=True)
class Cleaning:
    """The rows that stay, and all that was found. `kept`: which rows of the original these are."""

    rows: list[Exchange]
    kept: list[int]
    faults: list[Fault] = field(repr=False)

    def report(self, examples: int = 2) -> str:
        """How often each rule found something, what became of the rows, and examples."""
        lines = []
        for rule in RULES:
            found = [fault for fault in self.faults if fault.rule == rule.name]
            mended = sum(fault.mended for fault in found)
            lines.append(f"{rule.name}: {len(found)} rows, {mended} mended, {len(found) - mended} dropped")
            lines += [f"  row {fault.row}: {fault.evidence!r}" for fault in found[:examples]]
        return "\n".join(lines)


def clean(rows: Sequence[Exchange]) -> Cleaning:
    """Apply the rules to each row in turn, and drop or mend it. The rows given stay as they are."""
    kept_rows, kept, faults = [], [], []
    for number, row in enumerate(rows):
        dropped = False
        for rule in RULES:
            evidence = rule.find(row)
            if evidence is None:
                continue
            mended = rule.mend(row) if rule.mend else None
            faults.append(Fault(number, rule.name, evidence, mended is not None))
            if mended is None:
                dropped = True
                break
            row = mended
        if not dropped:
            kept_rows.append(row)
            kept.append(number)
    return Cleaning(kept_rows, kept, faults)
