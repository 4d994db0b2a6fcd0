import inspect
import subprocess
import sys
from collections import Counter

import pytest
from datasets import DatasetDict

from course_lib.data import docstrings, pydocs
from course_lib.data.docstring_cleaning import normalise
from course_lib.data.pydocs import load_pydocs, split_of, text_hash, version

QUICK = {"origins": ("topics", "stdlib"), "bytes_per_origin": 150_000}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(cache))
    monkeypatch.setenv("TQDM_DISABLE", "1")


@pytest.fixture(scope="module")
def corpus():
    return load_pydocs(**QUICK, cache=False)


def rows_of(corpus):
    return [row for split in corpus.values() for row in split]


def test_each_docstring_stands_under_its_name(corpus):
    assert list(corpus) == ["train", "validation", "test"]
    for row in rows_of(corpus):
        assert set(row) == {"text", "name", "module", "origin"}
        if row["origin"] == "stdlib":
            heading, _, docstring = row["text"].partition("\n")
            assert row["name"] in heading
            assert len(docstring) >= 20
        assert len(row["text"]) >= 40
        assert "\0" not in row["text"]
        assert row["text"].encode()


def test_a_text_is_the_docstring_of_what_it_names(corpus):
    agrees = {True: 0, False: 0}
    for row in rows_of(corpus):
        if row["origin"] == "stdlib" and row["module"] in sys.modules:
            named = sys.modules[row["module"]]
            for part in row["name"].removeprefix(row["module"]).strip(".").split("."):
                named = getattr(named, part, None) if part else named
            expected = inspect.cleandoc(getattr(named, "__doc__", None) or "").split("\n")[0].rstrip()
            agrees[row["text"].split("\n")[1] == expected] += 1
    assert agrees[True] > 100
    assert agrees[False] < 0.1 * agrees[True], "a few are defined otherwise on this system, or at run time"


def test_what_is_asked_about_most_is_there():
    texts = {row["name"]: row["text"] for row in rows_of(load_pydocs(("stdlib",)))}
    assert texts["str.join"] == f"str.join(self, iterable, /)\n{inspect.cleandoc(str.join.__doc__)}"
    for name in (
        "list.append",
        "dict.get",
        "len",
        "print",
        "os.listdir",
        "itertools.chain",
        "json.dumps",
        "str.replace",
        "set.union",
    ):
        assert texts[name].count("\n") >= 1


def test_no_module_is_in_two_splits(corpus):
    split_of_module: dict[str, str] = {}
    for split, rows in corpus.items():
        for module in rows["module"]:
            assert split_of_module.setdefault(module, split) == split == split_of(module)


def test_no_text_is_there_twice(corpus):
    docstring_letters = Counter(normalise(row["text"].partition("\n")[2]) for row in rows_of(corpus))
    assert docstring_letters.pop("", 0) < 5
    long = {letters for letters in docstring_letters if len(letters) > 60}
    assert all(docstring_letters[letters] == 1 for letters in long)


def test_held_out_paragraphs_are_hardly_ever_in_train():
    corpus = load_pydocs(("stdlib",))
    train = {normalise(part) for text in corpus["train"]["text"] for part in text.split("\n\n")}
    held_out = [
        normalise(part)
        for split in ("validation", "test")
        for text in corpus[split]["text"]
        for part in text.split("\n\n")
    ]
    long = [part for part in held_out if len(part) >= 100]
    assert len(long) > 100
    assert sum(part in train for part in long) < 0.02 * len(long)


def test_about_a_tenth_of_the_modules_is_held_out():
    splits = Counter(split_of(f"module_{number}") for number in range(4000))
    assert 160 < splits["validation"] < 240
    assert 160 < splits["test"] < 240
    assert split_of("builtins") == split_of("torch") == "train"


def test_the_bytes_of_each_origin_are_bounded(corpus):
    for origin in ("topics", "stdlib"):
        size = sum(len(row["text"].encode()) for row in rows_of(corpus) if row["origin"] == origin)
        assert 100_000 < size <= 150_000


def test_the_order_of_files_and_origins_changes_nothing(corpus, monkeypatch):
    forward = docstrings.standard_library_files
    monkeypatch.setattr(docstrings, "standard_library_files", lambda: forward()[::-1])
    again = load_pydocs(("stdlib", "topics"), 150_000, cache=False)
    assert text_hash(again) == text_hash(corpus)


def test_another_process_reads_the_same_texts(corpus):
    program = (
        "from course_lib.data.pydocs import *; "
        "print(text_hash(load_pydocs(('topics', 'stdlib'), 150_000, cache=False)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == text_hash(corpus)


def test_the_version_names_texts_and_releases(corpus):
    named = version(corpus)
    assert text_hash(corpus) in named
    assert f"Python {sys.version.split()[0]}" in named
    changed = DatasetDict(corpus)
    changed["test"] = changed["test"].map(
        lambda row, number: {"text": row["text"] + "!" * (number == 3)}, with_indices=True, load_from_cache_file=False
    )
    assert text_hash(changed) != text_hash(corpus)
    moved = DatasetDict(corpus)
    moved["test"], moved["validation"] = moved["validation"], moved["test"]
    assert text_hash(moved) != text_hash(corpus)
    assert version(load_pydocs(("click",), 50_000, cache=False)).rpartition("(")[2].startswith("Python")


def test_it_is_read_once_and_then_from_the_cache(corpus, cache, monkeypatch):
    first = load_pydocs(**QUICK)
    files = list(cache.rglob("*.table"))
    monkeypatch.setattr(pydocs, "_documents", lambda *_: pytest.fail("read again"))
    second = load_pydocs(**QUICK)
    assert version(first) == version(second) == version(corpus)
    assert first["test"].features == second["test"].features == corpus["test"].features
    monkeypatch.undo()
    monkeypatch.setenv("COURSE_CACHE_DIR", str(cache))
    for file in files:
        file.write_bytes(file.read_bytes()[:-100])
    assert version(load_pydocs(**QUICK)) == version(first)


def test_another_release_is_read_anew(cache, monkeypatch):
    load_pydocs(("click",), 20_000)
    read = []
    documents = pydocs._documents
    monkeypatch.setattr(pydocs, "_documents", lambda *given: read.append(given) or documents(*given))
    monkeypatch.setattr(pydocs, "installed_releases", lambda origins: ["click 0.0"])
    assert "click 0.0" in version(load_pydocs(("click",), 20_000))
    assert len(read) == 1


def test_a_change_of_the_code_is_read_anew(monkeypatch):
    load_pydocs(("click",), 20_000)
    read = []
    documents = pydocs._documents
    monkeypatch.setattr(pydocs, "_documents", lambda *given: read.append(given) or documents(*given))
    monkeypatch.setattr(pydocs.docstring_cleaning, "__file__", __file__)
    load_pydocs(("click",), 20_000)
    assert len(read) == 1


def test_hostile_packages_do_no_harm(tmp_path, monkeypatch):
    package = tmp_path / "hostile"
    package.mkdir()
    sources = {
        "__init__": b'"""A package of traps, all of which are to be survived."""\nraise SystemExit("imported")\n',
        "null": b'"""A docstring in a file \0 with a null byte, which is no Python."""',
        "escapes": rb'"""Nulls \0, bells \a, surrogates \ud800 and colours \x1b[31m are in here."""',
        "latin": b'"""Caf\xe9 in another encoding, which nobody declared here at all."""',
        "huge": b'"""' + b"\n\n".join(b"Paragraph %d of many is here." % i for i in range(50_000)) + b'"""',
        "default": b'def f(x="\\ud800\\x00"):\n    """The default of it is no text that anybody could write."""',
        "foreign": '"""Этот текст написан не по-английски, и он довольно длинный."""'.encode(),
    }
    for name, source in sources.items():
        (package / f"{name}.py").write_bytes(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(pydocs, "ORIGINS", ("hostile",))
    monkeypatch.setattr(pydocs, "PACKAGES", ("hostile",))
    rows = {row["name"]: row["text"] for row in rows_of(load_pydocs(("hostile",), cache=False))}
    assert set(rows) == {"hostile", "hostile.escapes", "hostile.huge", "hostile.default.f"}
    assert rows["hostile.escapes"].endswith("Nulls , bells , surrogates  and colours [31m are in here.")
    assert 4_000 < len(rows["hostile.huge"]) < 5_100
    assert rows["hostile.huge"].endswith("is here.")
    assert all(text.encode() and "\0" not in text for text in rows.values())
    assert "hostile" not in sys.modules


def test_a_package_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(pydocs, "ORIGINS", (*pydocs.ORIGINS, "no_such_package"))
    monkeypatch.setattr(pydocs, "PACKAGES", (*pydocs.PACKAGES, "no_such_package"))
    corpus = load_pydocs(("click", "no_such_package"), 20_000, cache=False)
    assert {row["origin"] for row in rows_of(corpus)} == {"click"}
    with pytest.raises(ValueError, match=r"No documentation was found .*install one of them"):
        load_pydocs(("no_such_package",), cache=False)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'torch'"):
        load_pydocs(("torhc",))
    with pytest.raises(ValueError, match="each once"):
        load_pydocs(("click", "click"))
    with pytest.raises(ValueError, match=r"origins is \(\)"):
        load_pydocs(())
    with pytest.raises(TypeError, match="give a sequence"):
        load_pydocs("torch")
    with pytest.raises(ValueError, match="at least 1"):
        load_pydocs(("click",), 0)


def test_without_a_source_or_topics_there_is_simply_less(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(ValueError, match="No documentation was found"):
        load_pydocs(("topics",), cache=False)
