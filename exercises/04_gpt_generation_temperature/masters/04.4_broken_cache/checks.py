"""Does a learner's check tell broken caches from sound ones? Faults found count only while the sound ones pass."""

import random
from pathlib import Path

from course_lib.exercises.catalogue import load_module
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.detectors import first_need, missed_for_want_of, yes_or_no

lab = load_module(Path(__file__).with_name("broken.py"), "course_broken_caches")
GROUPS = ("positions", "mask", "memory", "rows", "texts")

# What a check must do to see a fault -> the mistake of not doing it.
MISTAKES = {
    "turn": "only_swaps",
    "twice": "only_swaps",
    "keep": "no_keep",
    "neighbours": "one_row",
    "between": "one_after_the_other",
    "two": "one_text",
    "long": "short_texts",
    "wide": "one_by_one",
    "pieces": "one_by_one",
    "third": "two_pieces",
    "faint": "wide_tolerance",
    "second": "one_piece",
}


def called_sound(cache_is_sound, specimens):
    """What the learner's check says of each specimen, and whether it ever read anything with a cache."""
    says, asked = {}, False
    # In another order each time, so that no answer can live on knowing which one comes when.
    for specimen in random.sample(specimens, len(specimens)):
        begin, read, keep = lab.functions_of(specimen)

        def reading(tokens, cache=None, read=read):
            nonlocal asked
            asked = asked or cache is not None
            return read(tokens, cache)

        says[specimen.symptom] = _says(cache_is_sound, begin, reading, keep, specimen)
    return [says[specimen.symptom] for specimen in specimens], asked


def _says(cache_is_sound, begin, read, keep, specimen):
    failed = "the check returns True for a sound cache and False for a broken one"
    example = {"cache": specimen.symptom}
    return yes_or_no(cache_is_sound, {"begin": begin, "read": read, "keep": keep}, failed, example)


def judged(cache_is_sound, *groups, hidden=False):
    """The broken caches of these groups, and whether each is found. Raises PropertyFailed if a sound one is accused.

    Sound and broken ones come mixed, so that nobody can answer by counting.
    """
    sound = lab.specimens("sound", hidden=hidden)
    faults = [fault for group in groups for fault in lab.specimens(group, hidden=hidden)]
    says, asked = called_sound(cache_is_sound, sound + faults)
    passed, found = says[: len(sound)], [not said for said in says[len(sound) :]]
    if not all(passed):
        accused = passed.count(False)
        told = "it calls all of them broken" if accused == len(sound) else f"it calls {accused} of {len(sound)} broken"
        table = {one.symptom: "passes" if said else "called broken" for one, said in zip(sound, passed, strict=True)}
        mistake = "false_alarm" if asked else "never_asked"
        if accused == len(sound) and not any(found):
            mistake = "inverted"
        raise PropertyFailed("sound caches pass", f"{told}, so nothing else counts", table, passed, mistake)
    return faults, found, asked


def group_is_found(cache_is_sound, group, *, hidden=False):
    """All broken caches of a group are found, while the sound ones pass. Raises PropertyFailed."""
    faults, found, _ = judged(cache_is_sound, group, hidden=hidden)
    if not all(found):
        table = {fault.symptom: "found" if one else "SURVIVED" for fault, one in zip(faults, found, strict=True)}
        failed = "every broken cache of this group is found"
        raise PropertyFailed(failed, f"{sum(found)} of {len(faults)} are", table, found, _mistake(faults, found))


def something_is_found(cache_is_sound, *, hidden=False):
    """The sound ones pass, and not everything does. Raises PropertyFailed."""
    faults, found, asked = judged(cache_is_sound, *GROUPS, hidden=hidden)
    if not any(found):
        table = {fault.symptom: "SURVIVED" for fault in faults}
        mistake = "always_true" if asked else "never_asked"
        told = f"none of {len(faults)} broken caches is found"
        raise PropertyFailed("not everything passes", told, table, found, mistake)


def _mistake(faults, found):
    """What all survivors need and no found one did explains them; failing that, what the first survivor needs."""
    return missed_for_want_of(faults, found, MISTAKES) or first_need(faults[found.index(False)], MISTAKES)


def sound_pass_and_broken_do_not(cache_is_sound):
    """Sound caches pass, and not everything does."""
    something_is_found(cache_is_sound)


def positions_faults(cache_is_sound):
    """It finds caches after which a token stands in the wrong place."""
    group_is_found(cache_is_sound, "positions")


def mask_faults(cache_is_sound):
    """It finds caches with which a token sees too much or too little."""
    group_is_found(cache_is_sound, "mask")


def memory_faults(cache_is_sound):
    """It finds caches that keep the wrong thing."""
    group_is_found(cache_is_sound, "memory")


def rows_faults(cache_is_sound):
    """It finds caches that mix up the rows of a batch."""
    group_is_found(cache_is_sound, "rows")


def texts_faults(cache_is_sound):
    """It finds caches that mix up two texts."""
    group_is_found(cache_is_sound, "texts")


CHECKS = [sound_pass_and_broken_do_not, positions_faults, mask_faults, memory_faults, rows_faults, texts_faults]
