"""Does a split keep what belongs together on one side? And does nothing but a module's name say on which?"""

import random
from collections import Counter

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import Mistake, answer_to, described, recognised, smallest_first
from course_lib.exercises.properties.mistakes import equals

# How far from its share a right split may lie, in standard deviations: one of some ten million lies farther.
DEVIATIONS = 5.5


def corpus(modules, *, packages, test_share, seed=0):
    """Shuffled rows of so many modules, one to four each, and a share. Some modules repeat a text of another one."""
    lots = random.Random(seed)
    rows = []
    for number in range(modules):
        module = f"pack{number % packages}.part{lots.randrange(5)}.{seed}_{number}"
        label = number % packages
        for row in range(1 + lots.randrange(4)):
            text = "Return a copy." if lots.random() < 0.1 else f"Return number {row} of {number}."
            rows.append({"module": module, "text": text, "label": label})
    lots.shuffle(rows)
    return {"rows": rows, "test_share": test_share}


def sides(train, test):
    """Two lists of rows from the names of their modules."""

    def rows(names, words):
        return [{"module": name, "text": f"{words} {place}", "label": 0} for place, name in enumerate(names)]

    return {"train": rows(train, "See also"), "test": rows(test, "See also")}


def corpora():
    """From twelve modules to forty."""
    return [corpus(12, packages=2, test_share=0.5, seed=1), corpus(40, packages=4, test_share=0.3, seed=2)]


def _names(rows):
    return {row["module"] for row in rows}


LEAK_MISTAKES = [
    equals("texts_compared", lambda train, test: sorted(_texts(train) & _texts(test))),
    equals("union", lambda train, test: sorted(_names(train) | _names(test))),
    equals("one_side", lambda train, test: sorted(_names(train) - _names(test))),
    equals("one_side", lambda train, test: sorted(_names(test) - _names(train))),
    Mistake("not_once", lambda example, output: sorted(set(output)) == _leaks(**example)),
]


def _texts(rows):
    return {row["text"] for row in rows}


def _leaks(train, test):
    """Name by name, in a loop."""
    found = []
    for name in sorted(_names([*train, *test])):
        if any(row["module"] == name for row in train) and any(row["module"] == name for row in test):
            found.append(name)
    return found


def _split(split_by_module, example, failed):
    """(train, test), of the right form. Raises PropertyFailed."""
    output = answer_to(split_by_module, example)
    is_pair = isinstance(output, tuple | list) and len(output) == 2
    if not is_pair or not all(isinstance(part, list | tuple) for part in output):
        found = f"expected (train, test), two lists of rows, got {described(output)}"
        raise PropertyFailed(failed, found, example, output, "not_a_pair")
    for row in [*output[0], *output[1]]:
        if not isinstance(row, dict) or "module" not in row:
            raise PropertyFailed(failed, f"expected rows, got {described(row)}", example, output, "rows_changed")
    return output


def _counts(rows):
    return Counter(tuple(sorted((key, str(value)) for key, value in row.items())) for row in rows)


# The public checks try each property on some corpora; the hidden tests on others.


def leaks_are_named(leaked_modules, examples):
    failed = "the modules of both sides are named"
    for example in smallest_first(examples):
        output = answer_to(leaked_modules, example)
        if not isinstance(output, list | tuple):
            found = f"expected a sorted list of names, got {described(output)}"
            raise PropertyFailed(failed, found, example, output, "not_a_list")
        if list(output) != _leaks(**example):
            found = f"{len(output)} names: {', '.join(map(str, output[:4])) or 'none'}"
            mistake = recognised(LEAK_MISTAKES, example, output)
            raise PropertyFailed(failed, found, _listed(example), output, mistake)


def _listed(example):
    """The names alone, which is what matters here."""
    return {f"modules of {side}": [row["module"] for row in rows] for side, rows in example.items()}


def rows_are_kept(split_by_module, examples):
    failed = "every row is on one side, once, as it was"
    for example in smallest_first(examples):
        train, test = _split(split_by_module, example, failed)
        there, given = _counts([*train, *test]), _counts(example["rows"])
        if there == given:
            continue
        found = f"{len(example['rows'])} rows were given, {len(train)} are in train and {len(test)} in test"
        mistake = "rows_lost"
        if set(there) - set(given):
            mistake = "rows_changed"
        elif len(test) and not _counts(test) - _counts(train):
            mistake = "test_in_train"
        raise PropertyFailed(failed, found, example, (train, test), mistake)


def modules_stay_whole(split_by_module, examples):
    failed = "no module is on both sides"
    for example in smallest_first(examples):
        train, test = _split(split_by_module, example, failed)
        if leaks := _leaks(train, test):
            found = f"{len(leaks)} of {len(_names(example['rows']))} modules leak, such as {leaks[0]!r}"
            raise PropertyFailed(failed, found, example, (train, test), "by_row")


def shares_are_kept(split_by_module, examples):
    """Of all modules, and of each package with fifty or more."""
    failed = "about the given share of the modules is in test"
    shares = {}
    for example in examples:
        train, test = _split(split_by_module, example, failed)
        in_test = _names(test)
        wanted = example["test_share"]
        shares[wanted] = len(in_test) / len(_names(example["rows"]))
        if not train or not test:
            found = f"of {len(example['rows'])} rows, {len(train)} are in train and {len(test)} in test"
            raise PropertyFailed(failed, found, _short(example), shares, "one_side_empty")
        packages = {}
        for name in sorted(_names(example["rows"])):
            packages.setdefault(name.split(".")[0], []).append(name in in_test)
        large = {package: sides for package, sides in packages.items() if len(sides) >= 50}
        if large and all(len(set(sides)) == 1 for sides in large.values()):
            found = "each package is on one side, with all of its modules"
            raise PropertyFailed(failed, found, _short(example), shares, "by_package")
        groups = {"all modules": [name in in_test for name in _names(example["rows"])], **large}
        for name, sides_of in groups.items():
            share, deviation = sum(sides_of) / len(sides_of), (wanted * (1 - wanted) / len(sides_of)) ** 0.5
            if abs(share - wanted) > DEVIATIONS * deviation:
                found = f"of {len(sides_of)} modules ({name}), {share:.3f} are in test instead of {wanted}"
                mistake = "inverted" if abs(shares[wanted] - (1 - wanted)) < 0.05 else "share_ignored"
                raise PropertyFailed(failed, found, _short(example), shares, mistake)


def _short(example):
    return {"first rows": example["rows"][:3], "test_share": example["test_share"]}


def _other_run(salt):
    """A kind of str whose hash is another number, as in another run of Python; all else is the same."""

    class Name(str):
        __slots__ = ()

        def __hash__(self):
            return hash((salt, str.__hash__(self)))

    return Name


def runs_agree(split_by_module, examples):
    """In a process of its own, names come as plain ones: there only the repetition is seen."""
    failed = "the same rows are split in the same way, in every run"
    for example in examples:
        test = _names(_split(split_by_module, example, failed)[1])
        again = _names(_split(split_by_module, example, failed)[1])
        if test != again:
            found = f"called twice, {len(test ^ again)} modules change sides"
            raise PropertyFailed(failed, found, _short(example), _sorted(test, again), "changes_each_time")
        for salt in range(3):
            name = _other_run(salt)
            other = {**example, "rows": [{**row, "module": name(row["module"])} for row in example["rows"]]}
            again = {str(name) for name in _names(_split(split_by_module, other, failed)[1])}
            if test != again:
                found = f"where names have another hash(), as in another run, {len(test ^ again)} modules change sides"
                raise PropertyFailed(failed, found, _short(example), _sorted(test, again), "salted_hash")


def _sorted(first, second):
    return {"in test at first": sorted(first), "in test then": sorted(second)}


def names_decide(split_by_module, examples):
    failed = "a module's name alone says on which side it is"
    for example in examples:
        rows = example["rows"]
        test = _names(_split(split_by_module, example, failed)[1])
        names = sorted(_names(rows))
        for what, changed, mistake in (
            ("the rows come in another order", sorted(rows, key=lambda row: row["text"]), "row_order"),
            ("the rows come from the last to the first", rows[::-1], "row_order"),
            ("every other module is gone", [row for row in rows if row["module"] in names[::2]], "others_matter"),
            ("the first modules are gone", [row for row in rows if row["module"] in names[5:]], "others_matter"),
            ("one row of each module is there", list({row["module"]: row for row in rows}.values()), "rows_matter"),
            ("the texts and labels are others", [{**row, "text": "", "label": 7} for row in rows], "rows_matter"),
        ):
            again = _names(_split(split_by_module, {**example, "rows": changed}, failed)[1])
            expected = test & _names(changed)
            if again != expected:
                found = f"where {what}, {len(again ^ expected)} modules change sides"
                raise PropertyFailed(failed, found, _short(example), _sorted(expected, again), mistake)


def names_the_leaks(leaked_modules):
    """The modules on both sides are named, and no other."""
    examples = [sides(["a"], ["b"]), sides(["b", "a", "c"], ["b", "d"]), sides(["d", "b", "b"], ["b", "d", "b", "a"])]
    leaks_are_named(leaked_modules, examples)


def every_row_once(split_by_module):
    """Every row is on one side, once, as it was."""
    rows_are_kept(split_by_module, corpora())


def nothing_leaks(split_by_module):
    """No module is on both sides."""
    modules_stay_whole(split_by_module, corpora())


def about_the_share(split_by_module):
    """About the given share of the modules is in test, in each large package too."""
    shares_are_kept(split_by_module, [corpus(600, packages=6, test_share=share, seed=3) for share in (0.5, 0.1, 0.8)])


def same_in_every_run(split_by_module):
    """The same rows are split in the same way, in every run."""
    runs_agree(split_by_module, [corpus(60, packages=3, test_share=0.4, seed=4)])


def name_alone_decides(split_by_module):
    """Neither the order of the rows nor other modules move a module to the other side."""
    names_decide(split_by_module, [corpus(60, packages=3, test_share=0.4, seed=5)])


CHECKS = [names_the_leaks, every_row_once, nothing_leaks, about_the_share, same_in_every_run, name_alone_decides]
