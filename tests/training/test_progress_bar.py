import pytest
from tqdm.notebook import tqdm as notebook_bar
from tqdm.std import tqdm as text_bar

from course_lib.training import history


@pytest.mark.parametrize("bar", [notebook_bar, text_bar])
def test_a_batch_run_shows_no_bar_in_notebooks_either(monkeypatch, bar):
    monkeypatch.setattr(history, "tqdm", bar)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    with history.History(3, "training") as running:
        assert running._bar.disable


@pytest.mark.parametrize("value", ["", "0", None])
def test_a_learner_sees_the_bar(monkeypatch, value, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if value is not None:
        monkeypatch.setenv("TQDM_DISABLE", value)
    monkeypatch.setattr(history, "tqdm", text_bar)
    with history.History(3, "training") as running:
        assert not running._bar.disable
