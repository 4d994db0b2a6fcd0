"""The experiment of exercise 01.4 can be repeated, is made once, and tells narrow contexts from wide ones."""

import json
import math
from types import SimpleNamespace

import pytest
import torch

from course_lib.exercises import experiments
from course_lib.exercises.experiments import SENTENCES, cache_file, context_experiment, is_share


@pytest.fixture(autouse=True)
def new_machine(tmp_path, monkeypatch):
    """Nothing is known yet, and nothing is written outside the test's folder."""
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_ANSWERING", raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setattr(experiments, "_results", {})


@pytest.fixture
def trainings(monkeypatch):
    """A list of the trainings that took place; each gives a plausible result at once."""
    made = []

    def measured(context_size, seed):
        made.append((context_size, seed))
        return plausible(context_size, seed)

    monkeypatch.setattr(experiments, "_measured", measured)
    return made


def plausible(context_size=32, seed=0):
    shares = {name: (sentences - 1) / sentences for name, sentences in SENTENCES.items()}
    return {"context_size": context_size, "seed": seed, **shares}


def forget_what_memory_holds(monkeypatch):
    monkeypatch.setattr(experiments, "_results", {})


def test_the_same_experiment_gives_the_same_result_whatever_the_threads_and_the_random_state(monkeypatch):
    before, state = torch.get_num_threads(), torch.get_rng_state()
    first = context_experiment(8)
    assert torch.equal(torch.get_rng_state(), state)
    forget_what_memory_holds(monkeypatch)
    cache_file(8, 0).unlink()
    try:
        torch.set_num_threads(before + 1)
        torch.manual_seed(5)
        assert context_experiment(8) == first
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert 0 < first["exact_match_3"] < 0.5 < first["exact_match_2"], "an experiment that always says 0 repeats easily"


def test_a_wide_context_reaches_the_goal_and_half_of_it_does_not():
    assert context_experiment(32)["exact_match_3"] >= 0.9
    assert context_experiment(16)["exact_match_3"] < 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_so_it_is_with_other_seeds(seed):
    results = {size: context_experiment(size, seed)["exact_match_3"] for size in (8, 16, 32, 64)}
    assert results[8] < results[16] < 0.9 <= min(results[32], results[64])
    assert results[32] != context_experiment(32)["exact_match_3"]


def test_unseen_sentences_are_unseen_and_the_others_are_not():
    corpus, _, _, measured_on = experiments._data()
    trained = set(corpus["source"][:])
    for name, rows in measured_on.items():
        sources = set(rows["source"][:])
        assert len(sources) == SENTENCES[name]
        assert sources <= trained if name.endswith("train") else sources.isdisjoint(trained)
        assert set(rows["item_count"][:]) == {2 if "2" in name else 3}


def test_a_result_is_made_once_and_kept_for_the_next_process(trainings, monkeypatch):
    first = context_experiment(32)
    assert context_experiment(32) == first
    forget_what_memory_holds(monkeypatch)
    assert context_experiment(32) == first
    assert trainings == [(32, 0)]
    context_experiment(32, seed=1)
    context_experiment(64)
    assert trainings == [(32, 0), (32, 1), (64, 0)]


def test_changing_a_result_changes_nothing_that_is_kept(trainings):
    context_experiment(32)["exact_match_3"] = 1.0
    assert context_experiment(32) == plausible()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"context_size": 32',
        "[]",
        "null",
        "\x00\xff",
        json.dumps(plausible(64)),
        json.dumps(plausible(32, seed=1)),
        json.dumps({**plausible(), "exact_match_3": 0.95}),
        json.dumps({**plausible(), "exact_match_3": "0.95"}),
        json.dumps({**plausible(), "exact_match_3": math.nan}),
        json.dumps({**plausible(), "exact_match_3": math.inf}),
        json.dumps({**plausible(), "exact_match_3": None}),
        json.dumps({"context_size": 32, "seed": 0}),
    ],
)
def test_a_spoiled_entry_is_ignored_and_replaced(trainings, text):
    file = cache_file(32, 0)
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="latin-1")
    assert context_experiment(32) == plausible()
    assert trainings == [(32, 0)]
    assert json.loads(file.read_text(encoding="utf-8")) == plausible()


def test_without_a_folder_to_write_the_result_comes_all_the_same(trainings, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "file"))
    assert context_experiment(32) == plausible()


def test_submitted_code_leaves_nothing_for_the_grader_to_read(trainings, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_ANSWERING", "1")
    assert context_experiment(32) == plausible()
    assert not (tmp_path / "cache").exists()


def test_other_settings_or_another_torch_have_another_file(monkeypatch):
    file = cache_file(32, 0)
    monkeypatch.setitem(experiments.SETTINGS, "steps", 201)
    other = cache_file(32, 0)
    monkeypatch.setattr(torch, "__version__", "99")
    assert len({file, other, cache_file(32, 0)}) == 3


def test_the_cache_is_the_users_own_if_none_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("COURSE_CACHE_DIR")
    monkeypatch.setattr("course_lib.data.table_cache.user_cache_dir", lambda name, appauthor: str(tmp_path / name))
    assert cache_file(32, 0).is_relative_to(tmp_path / "course" / "experiments")


def test_an_interrupted_training_is_no_result(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "train", lambda *_, **__: SimpleNamespace(steps_done=7))
    with pytest.raises(KeyboardInterrupt):
        context_experiment(4)
    assert not (tmp_path / "cache").exists()
    assert experiments._results == {}


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ((0,), ValueError, "context_size must be from 1 to 512, got 0"),
        ((513,), ValueError, "from 1 to 512, got 513"),
        ((32, -1), ValueError, "seed must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_trained_is_refused(trainings, arguments, error, said):
    with pytest.raises(error, match=said):
        context_experiment(*arguments)
    assert trainings == []


def test_true_is_no_size(trainings):
    with pytest.raises(TypeError, match="whole number, got True"):
        context_experiment(True)


@pytest.mark.parametrize("share", [0.95, 0.9, 0.5, 0.123, -1 / 389, 390 / 389])
def test_made_up_numbers_are_hardly_ever_shares(share):
    assert not any(is_share(share, name) for name in SENTENCES)


def test_the_three_results_can_be_told_apart():
    for name, sentences in SENTENCES.items():
        for right in range(1, sentences):
            assert [other for other in SENTENCES if is_share(right / sentences, other)] == [name]
