from dataclasses import FrozenInstanceError

import pytest

from course_lib import lesson


def test_settings_of_the_profile_are_attributes(course):
    settings = course.settings(hidden_size=(32, 128, 512), data=("cldr", "cldr", "multi30k"))
    assert (settings.hidden_size, settings.data) == (128, "cldr")


@pytest.mark.parametrize(("profile", "expected"), [("smoke", 32), ("cpu", 128), ("gpu", 512)])
def test_each_profile_has_its_column(course, profile, expected, monkeypatch):
    other = lesson.start("07_trial", profile=profile)
    assert other.settings(hidden_size=(32, 128, 512)).hidden_size == expected


def test_all_three_profiles_are_shown_and_the_chosen_one_is_named(course, capsys):
    course.settings(hidden_size=(32, 128, 512), training_steps=(10, 400, 20_000))
    assert capsys.readouterr().out == (
        "Settings by profile; this run: cpu\n"
        "setting         smoke  cpu (chosen)     gpu\n"
        "hidden_size        32           128     512\n"
        "training_steps     10           400  20,000\n"
    )


def test_settings_cannot_be_changed_by_accident(course):
    settings = course.settings(hidden_size=(32, 128, 512))
    with pytest.raises(FrozenInstanceError):
        settings.hidden_size = 1


@pytest.mark.parametrize("values", [(32, 128), (1, 2, 3, 4), 128, [1, 2, 3]])
def test_a_setting_without_three_values_is_refused(course, values):
    with pytest.raises(ValueError, match=r"hidden_size must have three values, \(smoke, cpu, gpu\)"):
        course.settings(hidden_size=values)


def test_no_settings_are_refused(course):
    with pytest.raises(ValueError, match="at least one setting"):
        course.settings()


def test_a_parameter_replaces_a_setting_and_none_keeps_it(course, capsys):
    settings = course.settings(
        hidden_size=(32, 128, 512), steps=(1, 2, 3), overrides={"hidden_size": 64, "steps": None}
    )
    assert (settings.hidden_size, settings.steps) == (64, 2)
    assert "64 (given)" in capsys.readouterr().out


def test_an_override_of_an_unknown_setting_is_refused(course):
    with pytest.raises(ValueError, match="unknown override 'hidden_sise'; did you mean 'hidden_size'"):
        course.settings(hidden_size=(32, 128, 512), overrides={"hidden_sise": 64})
