import gc
import math
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_lib.data import docstrings
from course_lib.data.docstring_cleaning import LONGEST, Copies, clean, cut
from course_lib.data.docstrings import Docstring, compiled_docstrings, parse_docstrings, read_docstrings, source_files

SOURCE = b'''"""The module's own text."""

class Shape(Base, metaclass=Meta):
    """A shape in the plane."""

    def area(self, *, unit: str = "m") -> float:
        """Its area."""
        def inner():
            """Not seen from outside."""

    @property
    def name(self):
        """What it is called."""

    async def draw(self): "Draw it."

    def _secret(self):
        """Nobody's business."""

    def __len__(self):
        """The number of corners."""

    def bare(self): pass

if condition:
    def chosen():
        """One of two."""
else:
    try:
        def other():
            """The other of two."""
    except ImportError:
        class Fallback:
            """When all fails."""
'''


def headings(source: bytes) -> list[str]:
    return [found.heading for found in parse_docstrings(source, "shapes")]


def test_every_public_docstring_is_found_under_the_line_that_pydoc_shows():
    assert headings(SOURCE) == [
        "module shapes",
        "class shapes.Shape(Base)",
        "shapes.Shape.area(self, *, unit: str='m') -> float",
        "shapes.Shape.name",
        "async shapes.Shape.draw(self)",
        "shapes.Shape.__len__(self)",
        "shapes.chosen()",
        "shapes.other()",
        "class shapes.Fallback",
    ]
    assert parse_docstrings(SOURCE, "shapes")[1] == Docstring(
        "shapes.Shape", "class shapes.Shape(Base)", "A shape in the plane.", "shapes"
    )


def test_a_long_signature_is_left_out_as_one_that_nobody_knows():
    source = f'def f({", ".join(f"argument_{i}" for i in range(60))}):\n    """Too much."""'.encode()
    assert headings(source) == ["shapes.f(...)"]


@pytest.mark.parametrize(
    "source",
    [
        b'"""null \0 byte in the source"""',
        b'"""not UTF-8: \xff\xfe, and no encoding declared"""',
        b'# coding: no-such-encoding\n"""text"""',
        b'"""never closed',
        b'"""a text before endless nesting"""\nx = ' + b"(" * 100_000,
        b'"""deep"""\nx = ' + b"-" * 200_000 + b"1",
        b'x = """no docstring at all"""',
        b"",
    ],
)
def test_what_is_no_valid_source_has_no_docstrings(source):
    assert parse_docstrings(source, "broken") == []


def test_a_source_may_declare_its_encoding():
    source = '# coding: latin-1\n"""Grüße aus dem Modul."""'.encode("latin-1")
    assert parse_docstrings(source, "greeting")[0].text == "Grüße aus dem Modul."


def test_reading_neither_warns_nor_leaves_garbage_collection_off():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_docstrings(b'"""An invalid escape: \\d."""', "m")
    assert gc.isenabled()


def test_reading_never_runs_the_module(tmp_path):
    file = tmp_path / "harmful.py"
    file.write_text('"""Harmful when imported."""\nraise SystemExit("imported")')
    assert read_docstrings(file, "harmful")[0].text == "Harmful when imported."


def test_a_file_that_is_gone_or_huge_has_no_docstrings(tmp_path, monkeypatch):
    assert read_docstrings(tmp_path / "missing.py", "missing") == []
    file = tmp_path / "table.py"
    file.write_text('"""A table."""')
    monkeypatch.setattr(docstrings, "LARGEST_SOURCE", 10)
    assert read_docstrings(file, "table") == []


def test_a_packages_modules_are_named_by_their_files(tmp_path, monkeypatch):
    for name in ("__init__", "core", "test_core", "tests/test_all", "sub/__init__", "sub/part", "_vendor/copy", "a-b"):
        path = tmp_path / "my_package" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""Text."""')
    monkeypatch.syspath_prepend(tmp_path)
    modules = [module for module, _ in source_files("my_package")]
    assert modules == ["my_package", "my_package.core", "my_package.sub", "my_package.sub.part"]
    with pytest.raises(ModuleNotFoundError, match="no_such_package is not installed"):
        source_files("no_such_package")


def test_compiled_functions_are_documented_under_their_public_names():
    found = {each.name: each for each in compiled_docstrings("builtins", "")}
    assert found["str.join"].heading == "str.join(self, iterable, /)"
    assert found["str.join"].text == str.join.__doc__
    assert found["len"].module == "builtins"
    assert found["dict"].heading.startswith("class dict(")
    assert not any(name.startswith("_") and not name.startswith("__") for name in found)
    assert {"math.sqrt", "math"} <= {each.name for each in compiled_docstrings("math")}
    constants = {name for name in vars(math) if isinstance(vars(math)[name], float)}
    assert constants.isdisjoint({each.name.removeprefix("math.") for each in compiled_docstrings("math")})


def test_a_compiled_module_that_is_not_there_has_no_docstrings():
    assert compiled_docstrings("no_such_module") == []
    assert compiled_docstrings("math.NoSuchClass") == []


def test_python_functions_of_a_mixed_module_are_left_to_their_source():
    names = {each.name for each in compiled_docstrings("torch.nn.functional")}
    assert "torch.nn.functional.conv2d" in names
    assert "torch.nn.functional.cross_entropy" not in names, "it is written in Python"


def test_inherited_methods_are_taken_from_a_private_base():
    assert "torch.Tensor.abs" in {each.name for each in compiled_docstrings("torch.Tensor")}


def test_a_clean_text_has_no_indentation_and_no_blank_ends():
    assert clean("  First line of it.   \n\n\n\n      Second.\n        Deeper.\n\n") == (
        "First line of it.\n\nSecond.\n  Deeper."
    )


def test_control_characters_and_lone_surrogates_go():
    text = clean("A bell \a, a null \0, a surrogate \ud800, nothing \u200b, and\ta tab.\r\nNext line.\x1b[0m")
    assert text == "A bell , a null , a surrogate , nothing , and   a tab.\nNext line.[0m"
    assert text.encode()


@pytest.mark.parametrize("text", ["", "  \n ", "too short a text", "это не английский текст, и он здесь не нужен"])
def test_what_is_short_or_not_ascii_is_not_kept(text):
    assert clean(text) is None


def test_licences_are_cut_out():
    assert clean("What this module does is useful.\n\n:copyright: 2006-2025 by the team.\n\nMore of it.") == (
        "What this module does is useful.\n\nMore of it."
    )
    assert clean("Copyright 2020 The Authors. All rights reserved.\nLicensed under the Apache License.") is None


@given(st.text(max_size=400))
def test_cleaning_any_text_gives_printable_lines_and_is_settled_after_one_time(text):
    cleaned = clean(text)
    if cleaned is not None:
        assert all(line.isprintable() or any(c.isspace() for c in line) for line in cleaned.split("\n"))
        assert "\0" not in cleaned
        assert cleaned.encode().decode() == cleaned
        assert not any(line != line.rstrip() for line in cleaned.split("\n"))


def test_a_huge_text_is_cut_at_paragraphs():
    paragraph = "word " * 100
    parts = cut("\n\n".join([paragraph.strip()] * 200))
    assert len(parts) > 10
    assert all(len(part) <= LONGEST and part.endswith("word") and part.startswith("word") for part in parts)
    assert sum(part.count("word") for part in parts) == 20_000


@given(st.text(alphabet="ab \n", max_size=300), st.integers(4, 40))
def test_parts_hold_all_that_is_no_space_and_none_is_too_long(text, longest):
    parts = cut(text, longest)
    assert all(len(part) <= longest for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_copies_are_told_by_their_letters():
    copies = Copies()
    assert copies.is_new("Adds two numbers, such as 1 and 2, and returns the sum.", "a")
    for module in ("a", "b"):
        assert not copies.is_new("adds two numbers,\nsuch as 17 and 4 -- and RETURNS the sum!", module)
    assert copies.is_new("Multiplies two numbers and returns the product.", "b")


def test_copies_of_a_template_are_told_by_their_opening_or_their_lines():
    opening = "A configuration that stores what is needed to build a model of this very kind. " * 4
    pears = opening + "\nThis other one is for pears, and says a lot more besides: " + "pear " * 100
    copies = Copies()
    assert copies.is_new(opening + "\nThis one is for apples.", "apples")
    assert not copies.is_new(pears, "pears")
    assert copies.is_new(pears, "apples"), "neighbours in a module are no leak"
    shared = "\n".join(f"    {word}: the argument that says what shall be {word} and how" for word in ("cut", "lit"))
    assert copies.is_new(f"Cook an apple, slowly.\n{shared}", "apples")
    assert not copies.is_new(f"Bake a pear at once.\n{shared}", "pears")
    assert copies.is_new(f"{shared}\nBut this text has so much of its own to tell that it is worth keeping after all, "
                         "for the lines before are by far the smaller part of what it has to say to its readers.",
                         "pears")  # fmt: skip


def test_only_new_paragraphs_of_a_topic_stay():
    copies = Copies()
    first = "Assert statements insert debugging assertions.\n\nThe simple form is one expression alone."
    assert copies.new_paragraphs(first) == first
    again = "Simple statements stand on one logical line.\n\n" + first
    assert copies.new_paragraphs(again) == "Simple statements stand on one logical line."
