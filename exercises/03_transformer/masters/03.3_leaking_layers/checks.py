"""Does a learner's check tell leaking layers from sound ones? Leaks found count only while the sound ones pass."""

import random
from pathlib import Path

from course_lib.exercises.catalogue import load_module
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.detectors import first_need, missed_for_want_of, yes_or_no

lab = load_module(Path(__file__).with_name("broken.py"), "course_leaking_layers")

# What a check must do to see a leak -> the mistake of not doing it.
MISTAKES = {
    "faint": "wide_tolerance",
    "neighbours": "one_sentence",
    "padding": "no_padding",
    "long": "short_sentences",
    "length": "only_changed",
    "ends": "few_places",
    "near": "few_places",
}


def called_leaking(leaks, specimens):
    """What the learner's check says of each specimen, and whether it ever asked one of them anything."""
    says, asked = {}, False
    # In another order each time, so that no answer can live on knowing which one comes when.
    for specimen in random.sample(specimens, len(specimens)):
        answer = lab.callable_of(specimen)

        def layer(states, is_word, answer=answer):
            nonlocal asked
            asked = True
            return answer(states, is_word)

        says[specimen.symptom] = _says(leaks, layer, specimen)
    return [says[specimen.symptom] for specimen in specimens], asked


def _says(leaks, layer, specimen):
    failed = "the check returns True for a leaking layer and False for a sound one"
    example = {"layer": specimen.symptom}
    return yes_or_no(leaks, {"layer": layer}, failed, example)


def judged(leaks, *groups, hidden=False):
    """The leaking layers of these groups, and what is said of each. Raises PropertyFailed if a sound one is accused.

    Sound and leaking ones come mixed, so that nobody can answer by counting.
    """
    sound = lab.specimens("sound", hidden=hidden)
    leaking = [specimen for group in groups for specimen in lab.specimens(group, hidden=hidden)]
    says, asked = called_leaking(leaks, sound + leaking)
    if any(accused := says[: len(sound)]):
        found = "it says that all of them leak" if all(accused) else f"it says that {sum(accused)} of {len(sound)} leak"
        table = {one.symptom: "said to leak" if said else "passes" for one, said in zip(sound, accused, strict=True)}
        by_rounding = all("rounding" in one.needs for one, said in zip(sound, accused, strict=True) if said)
        mistake = "exact_comparison" if by_rounding else "false_alarm" if asked else "always_true"
        raise PropertyFailed("sound layers pass", f"{found}, so no leak counts as found", table, accused, mistake)
    return leaking, says[len(sound) :]


def group_is_found(leaks, group, *, hidden=False):
    """All leaking layers of a group are found, while the sound ones pass. Raises PropertyFailed."""
    leaking, says = judged(leaks, group, hidden=hidden)
    if not all(says):
        table = {one.symptom: "found" if said else "MISSED" for one, said in zip(leaking, says, strict=True)}
        found = f"{sum(says)} of {len(leaking)} are"
        raise PropertyFailed("every leak of this group is found", found, table, says, _mistake(leaking, says))


def something_is_found(leaks, *, hidden=False):
    """The sound ones pass, and not everything does. Raises PropertyFailed."""
    leaking, says = judged(leaks, "mask", "sums", "path", "length", hidden=hidden)
    if not any(says):
        table = {one.symptom: "MISSED" for one in leaking}
        found = f"none of {len(leaking)} leaks is found"
        raise PropertyFailed("not everything passes", found, table, says, "always_false")


def _mistake(leaking, says):
    """What all missed ones need and no found one did explains them; failing that, what the first missed one needs."""
    return missed_for_want_of(leaking, says, MISTAKES) or first_need(leaking[says.index(False)], MISTAKES)


def sound_pass_and_leaks_do_not(leaks):
    """Sound layers pass, and not everything does."""
    something_is_found(leaks)


def mask_leaks(leaks):
    """It finds masks that let a place see the future."""
    group_is_found(leaks, "mask")


def sum_leaks(leaks):
    """It finds weights that hide the future, and yet depend on it."""
    group_is_found(leaks, "sums")


def path_leaks(leaks):
    """It finds the future where it goes around the attention."""
    group_is_found(leaks, "path")


def length_leaks(leaks):
    """It finds layers that know how much is still to come."""
    group_is_found(leaks, "length")


CHECKS = [sound_pass_and_leaks_do_not, mask_leaks, sum_leaks, path_leaks, length_leaks]
