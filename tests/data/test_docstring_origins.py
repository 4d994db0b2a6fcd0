import pytest

from course_lib.data.docstring_origins import MARK, docstring_origins, hide_names, load_docstring_origins
from course_lib.data.pydocs import load_pydocs, split_of

ORIGINS = ("stdlib", "matplotlib", "networkx")


@pytest.fixture(scope="module")
def dataset():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        return load_docstring_origins(ORIGINS, 150_000, cache=False)


def test_a_row_is_a_docstring_and_its_package(dataset):
    names = dataset["train"].features["label"].names
    assert names == list(ORIGINS)
    for rows in dataset.values():
        assert rows.num_rows > 5
        for row in rows:
            origin = names[row["label"]]
            assert row["name"].startswith(f"{origin}.") or row["name"] == origin or origin == "stdlib"
            assert len(row["text"]) >= 20
    assert set(dataset["train"]["label"]) == {0, 1, 2}


def test_no_package_is_named_in_a_text(dataset):
    for rows in dataset.values():
        for text in rows["text"]:
            assert not {"matplotlib", "networkx", "pyplot"} & set(text.lower().replace("_", " ").split())
            assert "matplotlib." not in text.lower()
    assert sum(MARK in text for text in dataset["train"]["text"]) > 50


def test_names_are_hidden_where_they_are_words():
    assert hide_names("PyTorch: torch.nn, torch_dtype, NumPy's np.array, pd") == (
        f"{MARK}: {MARK}.nn, {MARK}_dtype, {MARK}'s {MARK}.array, {MARK}"
    )
    assert hide_names("torchlight, input, half, Hugging Face's hub") == f"torchlight, input, half, {MARK}'s hub"
    assert hide_names("torch", ("stdlib",)) == "torch"


def test_splits_follow_the_modules(dataset):
    for split, rows in dataset.items():
        for name in rows["name"]:
            parts = name.split(".")
            assert split in {split_of(".".join(parts[:count])) for count in range(1, len(parts) + 1)} | {"train"}


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least two of"):
        load_docstring_origins(("stdlib",))
    with pytest.raises(ValueError, match="at least two of"):
        load_docstring_origins(("stdlib", "click"))
    with pytest.raises(ValueError, match=r"No docstrings of .*more bytes_per_origin"):
        load_docstring_origins(("stdlib", "sympy"), 1000, cache=False)


def test_of_a_larger_corpus_only_the_origins_asked_for_stay(dataset):
    corpus = load_pydocs((*ORIGINS, "click"), 150_000, cache=False)
    found = docstring_origins(corpus, ORIGINS)
    for split, rows in dataset.items():
        assert found[split]["label"][:] == rows["label"][:]
        assert set(found[split]["name"]) == set(rows["name"])
    with pytest.raises(ValueError, match=r"No docstrings of torch"):
        docstring_origins(corpus, (*ORIGINS, "torch"))
