import pytest

from course_lib.batch.plan import UsageError, make_plan, parse_value
from course_lib.batch.series import Parameter, find_notebooks

PARAMETERS = (
    'profile: str = "cpu"\nseed: int = 0\nweights: str = "bundled"\n'
    "temperature: float = 1.0\nbeam: int | None = None\nshuffle: bool = True"
)


@pytest.fixture
def infos(tmp_path, write_notebook):
    write_notebook(tmp_path, "01_plain")
    write_notebook(tmp_path, "02_sampling", "print(1)", parameters=PARAMETERS)
    return find_notebooks(tmp_path)


def test_a_plain_plan_has_one_run_of_each_notebook(infos):
    specs = make_plan(infos, profile="smoke")
    assert [spec.key for spec in specs] == ["01_plain", "02_sampling"]
    assert specs[0].overrides == {"profile": "smoke"}
    assert specs[0].parameters == {"profile": "smoke", "seed": 0, "weights": "bundled"}


def test_sweeps_and_seeds_multiply(infos):
    specs = make_plan(infos[1:], sweep={"temperature": ["0.5", "2"], "shuffle": ["yes", "no"]}, seeds=[0, 1, 2])
    assert len(specs) == 2 * 2 * 3
    assert len({spec.key for spec in specs}) == 12
    assert specs[0].key == "02_sampling__temperature=0.5__shuffle=True__seed=0"
    assert {(spec.parameters["temperature"], spec.parameters["shuffle"], spec.seed) for spec in specs} == {
        (temperature, shuffle, seed) for temperature in (0.5, 2.0) for shuffle in (True, False) for seed in (0, 1, 2)
    }


def test_a_value_that_only_one_notebook_knows_goes_to_that_one(infos):
    specs = make_plan(infos, parameters={"beam": "4"}, sweep={"temperature": ["1", "2"]})
    assert [spec.key for spec in specs] == ["01_plain", "02_sampling__temperature=1.0", "02_sampling__temperature=2.0"]
    assert [spec.parameters.get("beam") for spec in specs] == [None, 4, 4]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"profile": "smok"}, r"unknown profile 'smok'; did you mean smoke\?"),
        ({"parameters": {"temprature": "1"}}, r"unknown parameter 'temprature'; did you mean temperature\?"),
        ({"sweep": {"sed": ["1"]}}, r"unknown sweep key 'sed'; did you mean seed\?"),
        ({"parameters": {"beam": "many"}}, r"02_sampling: beam must be int \| None, got 'many'"),
        ({"sweep": {"temperature": []}}, "--sweep temperature needs values"),
        ({"sweep": {"temperature": ["1", "1.0"]}}, "the same run is asked for twice"),
        ({"parameters": {"beam": "1"}, "sweep": {"beam": ["1"]}}, "both as --param and as --sweep"),
        ({"parameters": {"seed": "1"}, "seeds": [0]}, "seed is given twice"),
        ({"parameters": {"profile": "gpu"}}, "profile is set by --profile"),
        ({"seeds": []}, "--seeds needs at least one number"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(infos, request_, message):
    with pytest.raises(UsageError, match=message):
        make_plan(infos, **request_)


def test_a_notebook_without_the_profile_parameter_is_refused(tmp_path, write_notebook):
    write_notebook(tmp_path, "01_bare", parameters="seed: int = 0")
    with pytest.raises(UsageError, match=r"01_bare\.ipynb has no parameter 'profile'"):
        make_plan(find_notebooks(tmp_path))


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("int", "1_000", 1000),
        ("float", "1e-3", 0.001),
        ("bool", "False", False),
        ("bool", "yes", True),
        ("str", "12", "12"),
        ("int | None", "none", None),
        ("int | str", "cls", "cls"),
        ("list[int]", "[1, 2]", [1, 2]),
        ("tuple[int, ...]", "(3,)", (3,)),
        ("dict", "{'a': 1}", {"a": 1}),
        ("Any", "'text'", "text"),
    ],
)
def test_text_becomes_a_value_of_the_parameters_type(type_, text, value):
    parsed = parse_value(Parameter("p", type_, None), text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("type_", "text"), [("int", "1.5"), ("bool", "maybe"), ("list", "3"), ("dict", "{"), ("int", "")]
)
def test_text_that_does_not_fit_the_type_is_refused(type_, text):
    with pytest.raises(UsageError, match="p must be"):
        parse_value(Parameter("p", type_, None), text)


def test_values_that_no_file_name_can_hold_still_get_a_stable_and_unique_key(tmp_path, write_notebook):
    write_notebook(tmp_path, "01_text", parameters='profile: str = "cpu"\nprompt: str = ""')
    infos = find_notebooks(tmp_path)
    keys = [spec.key for spec in make_plan(infos, sweep={"prompt": ["../../etc", "..-..-etc", "a b", "x" * 300]})]
    assert keys == [
        spec.key for spec in make_plan(infos, sweep={"prompt": ["../../etc", "..-..-etc", "a b", "x" * 300]})
    ]
    assert len(set(keys)) == 4
    assert all("/" not in key and " " not in key and len(key) < 100 for key in keys)
