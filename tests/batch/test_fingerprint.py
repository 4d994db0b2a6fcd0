import pytest

from course_lib.batch.fingerprint import code_version, fingerprint
from course_lib.batch.plan import make_plan
from course_lib.batch.series import find_notebooks


def fingerprint_of(folder, **request):
    return fingerprint(make_plan(find_notebooks(folder), **request)[0])


@pytest.fixture
def package(tmp_path):
    for name in ("models/attention.py", "batch/engine.py", "cli/commands.py"):
        path = tmp_path / "package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1")
    return tmp_path / "package"


def test_code_and_values_count_but_text_and_outputs_do_not(tmp_path, write_notebook):
    write_notebook(tmp_path, "01_a", "print(1)", title="One")
    first = fingerprint_of(tmp_path)
    assert fingerprint_of(tmp_path, profile="smoke") != first
    assert fingerprint_of(tmp_path, parameters={"weights": "random"}) != first
    write_notebook(tmp_path, "01_a", "print(1)", title="Another")
    assert fingerprint_of(tmp_path) == first
    write_notebook(tmp_path, "01_a", "print(2)", title="One")
    assert fingerprint_of(tmp_path) != first


@pytest.mark.parametrize(
    ("changed", "counts"), [("models/attention.py", True), ("batch/engine.py", False), ("cli/commands.py", False)]
)
def test_the_librarys_code_counts_but_not_the_runners(package, changed, counts):
    before = code_version.__wrapped__(package)
    (package / changed).write_text("x = 2")
    assert (code_version.__wrapped__(package) != before) is counts
