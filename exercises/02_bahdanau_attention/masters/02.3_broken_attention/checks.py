"""Does a learner's check tell broken attentions from sound ones? Faults killed count only while the sound ones pass."""

import random
from pathlib import Path

from course_lib.exercises.catalogue import load_module
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.detectors import first_need, missed_for_want_of, yes_or_no

lab = load_module(Path(__file__).with_name("broken.py"), "course_broken_attentions")

# What a check must do to see a fault -> the mistake of not doing it.
MISTAKES = {
    "neighbours": "one_sentence",
    "faint": "wide_tolerance",
    "padding": "no_padding",
    "context": "context_unread",
    "state": "one_state",
    "order": "one_order",
    "sums": "sums_unread",
}


def called_broken(catches_fault, specimens):
    """What the learner's check says of each specimen, and whether it ever asked one of them anything."""
    says, asked = {}, False
    # In another order each time, so that no answer can live on knowing which one comes when.
    for specimen in random.sample(specimens, len(specimens)):
        attend = lab.callable_of(specimen)

        def attention(query, keys, is_word, attend=attend):
            nonlocal asked
            asked = True
            return attend(query, keys, is_word)

        says[specimen.symptom] = _says(catches_fault, attention, specimen)
    return [says[specimen.symptom] for specimen in specimens], asked


def _says(catches_fault, attention, specimen):
    failed = "the check returns True for a broken attention and False for a sound one"
    example = {"attention": specimen.symptom}
    return yes_or_no(catches_fault, {"attention": attention}, failed, example)


def judged(catches_fault, *groups, hidden=False):
    """The broken attentions of these groups, and what is said of each. Raises PropertyFailed if a sound one is accused.

    Sound and broken ones come mixed, so that nobody can answer by counting.
    """
    sound = lab.specimens("sound", hidden=hidden)
    faults = [fault for group in groups for fault in lab.specimens(group, hidden=hidden)]
    says, asked = called_broken(catches_fault, sound + faults)
    if any(accused := says[: len(sound)]):
        found = "it calls all of them broken" if all(accused) else f"it calls {sum(accused)} of {len(sound)} broken"
        table = {one.symptom: "called broken" if said else "passes" for one, said in zip(sound, accused, strict=True)}
        mistake = "false_alarm" if asked else "always_true"
        raise PropertyFailed("sound attentions pass", f"{found}, so no kill counts", table, accused, mistake)
    return faults, says[len(sound) :]


def group_is_killed(catches_fault, group, *, hidden=False):
    """All broken attentions of a group are killed, while the sound ones pass. Raises PropertyFailed."""
    faults, says = judged(catches_fault, group, hidden=hidden)
    if not all(says):
        table = {fault.symptom: "killed" if said else "SURVIVED" for fault, said in zip(faults, says, strict=True)}
        found = f"{sum(says)} of {len(faults)} are"
        failed = "every broken attention of this group is killed"
        raise PropertyFailed(failed, found, table, says, _mistake(faults, says))


def something_is_killed(catches_fault, *, hidden=False):
    """The sound ones pass, and not everything does. Raises PropertyFailed."""
    faults, says = judged(catches_fault, "mask", "softmax", "context", "state", hidden=hidden)
    if not any(says):
        table = {fault.symptom: "SURVIVED" for fault in faults}
        found = f"none of {len(faults)} broken attentions is killed"
        raise PropertyFailed("not everything passes", found, table, says, "always_false")


def _mistake(faults, says):
    """What all survivors need and no killed one did explains them; failing that, what the first survivor needs."""
    if explained := missed_for_want_of(faults, says, MISTAKES):
        return explained
    killed = [fault for fault, said in zip(faults, says, strict=True) if said]
    survivors = [fault for fault, said in zip(faults, says, strict=True) if not said]
    if killed and all("sums" in fault.needs for fault in killed) and not any("sums" in f.needs for f in survivors):
        return "only_sums"
    return first_need(survivors[0], MISTAKES)


def sound_pass_and_broken_do_not(catches_fault):
    """Sound attentions pass, and not everything does."""
    something_is_killed(catches_fault)


def mask_faults(catches_fault):
    """It kills attentions that give padding what it must not have."""
    group_is_killed(catches_fault, "mask")


def softmax_faults(catches_fault):
    """It kills attentions that share their weight out wrongly."""
    group_is_killed(catches_fault, "softmax")


def context_faults(catches_fault):
    """It kills attentions whose context is not what their weights say."""
    group_is_killed(catches_fault, "context")


def state_faults(catches_fault):
    """It kills attentions that score with the wrong state, or by the place."""
    group_is_killed(catches_fault, "state")


CHECKS = [sound_pass_and_broken_do_not, mask_faults, softmax_faults, context_faults, state_faults]
