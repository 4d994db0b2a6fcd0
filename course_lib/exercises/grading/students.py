"""Whose is a file? By a folder for each student, at any depth, or by the file's own name."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from course_lib.exercises.catalogue import Exercise
from course_lib.exercises.grading.collecting import NOTEBOOK_ENDINGS

UNNAMED = "unnamed"
# Folders that are never a student: of the course, of a week, of a group, of a year, of a version.
NO_STUDENT = re.compile(
    r"(submitted|submissions?|hand(ed)?[ _-]?ins?|uploads?|downloads?|(my[ _-])?exercises?|notebooks?|solutions?|work"
    r"|old|new|backup|final|copy|v\d+|versions?"
    r"|(week|hw|homework|assignment|assign|task|sheet|unit|lesson|part|day)s?[ _-]?\d*"
    r"|(group|section|class|tutorial|seminar|course|team)[ _-]?\w{0,2}"
    r"|(19|20)\d\d([ _-]\d\d?){0,2})",
    re.IGNORECASE,
)
NUMBER = re.compile(r"(?<![\d.])\d\d\.\d+(?!\d)")
# "Alice Smith_12345_assignsubmission_file_", as Moodle packs them
MOODLE = re.compile(r"^(?P<name>.+?)_(?P<number>\d+)_assignsubmission_(file|onlinetext)_?")
# "smithalice_LATE_12345_67890_", as Canvas names files
CANVAS = re.compile(r"^(?P<name>[^_]+)(_LATE)?_(?P<number>\d{2,})_\d{3,}(_|$)")
COPY = re.compile(r"(-Copy\d*|\(\d+\)|(?<![a-z])(copy|final|kopie|untitled\d*)(?![a-z]))", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """Where a file stands, what it seems to answer. folders: those that may be a student, from the top."""

    parts: tuple[str, ...]
    exercise: str | None
    folders: tuple[str, ...]
    in_name: str


def exercise_in_name(parts: Sequence[str], exercises: Collection[Exercise]) -> str | None:
    """The exercise that a file's name, or else the nearest of its folders, names by number or by words."""
    for part in reversed(parts):
        numbers = NUMBER.findall(part)
        for exercise in exercises:
            if exercise.id in numbers:
                return exercise.id
        if not numbers:
            for exercise in sorted(exercises, key=lambda item: -len(item.slug)):
                if exercise.slug in part.lower().replace("-", "_").replace(" ", "_"):
                    return exercise.id
    return None


def place_of(parts: tuple[str, ...], exercise: str | None, exercises: Collection[Exercise]) -> Place:
    """Read a path below the submissions. exercise: which one the file answers, if that is known."""
    known = {name for item in exercises for name in (item.id, item.name, item.lesson)}
    folders = tuple(part for part in parts[:-1] if part not in known and not NO_STUDENT.fullmatch(part))
    return Place(parts, exercise, folders, _rest_of_name(parts[-1], exercises))


def students_of(places: Sequence[Place], whole: str) -> list[str]:
    """The student of each place. whole: the name of the submissions' own folder, where nothing else tells."""
    found: list[tuple[str, ...]] = [()] * len(places)
    by_folder: dict[tuple[str, ...], list[int]] = {}
    for position, place in enumerate(places):
        by_folder.setdefault(place.parts[:-1], []).append(position)
    for positions in by_folder.values():
        named = _named_by_file([places[position] for position in positions])
        for position in positions:
            place = places[position]
            if named or not place.folders:
                fallback = whole if not NO_STUDENT.fullmatch(whole) and whole else UNNAMED
                found[position] = (place.in_name or (place.folders[0] if place.folders else fallback),)
    open_ones = [position for position in range(len(places)) if not found[position]]
    _by_folder(places, open_ones, 0, found)
    return _shortest(found)


def _named_by_file(places: Sequence[Place]) -> bool:
    """Whether the files of one folder are told apart by a student's name in each, as in alice_02.1 and bob_02.1."""
    for exercise in {place.exercise for place in places} - {None}:
        names = [place.in_name for place in places if place.exercise == exercise]
        if len(names) > 1 and all(names) and len(set(names)) > 1:
            return True
    return False


def _by_folder(places: Sequence[Place], positions: list[int], level: int, found: list[tuple[str, ...]]) -> None:
    """The topmost folder is the student, unless several folders in it hold the same exercise: then those are."""
    groups: dict[str, list[int]] = {}
    for position in positions:
        groups.setdefault(places[position].folders[level], []).append(position)
    for group in groups.values():
        deeper = [position for position in group if len(places[position].folders) > level + 1]
        holders: dict[str | None, set[str]] = {}
        for position in deeper:
            holders.setdefault(places[position].exercise, set()).add(places[position].folders[level + 1])
        holders.pop(None, None)
        if any(len(folders) > 1 for folders in holders.values()):
            _by_folder(places, deeper, level + 1, found)
        for position in group:
            found[position] = found[position] or places[position].folders[: level + 1]


def _shortest(found: Sequence[tuple[str, ...]]) -> list[str]:
    """A student's own name, with the folders above it only where two would otherwise be one."""
    plain = [_clean(parts[-1]) for parts in found]
    ways: dict[str, set[tuple[str, ...]]] = {}
    for name, parts in zip(plain, found, strict=True):
        ways.setdefault(name, set()).add(parts)
    names = []
    for name, parts in zip(plain, found, strict=True):
        if len(ways[name]) == 1:
            names.append(name)
        elif len({_number(other[-1]) for other in ways[name]}) == len(ways[name]):
            names.append(f"{name} ({_number(parts[-1])})" if _number(parts[-1]) else name)
        else:
            names.append("/".join([*parts[:-1], name]))
    return names


def _clean(part: str) -> str:
    for form in (MOODLE, CANVAS):
        if match := form.match(part):
            return match["name"].strip()
    return part.strip() or UNNAMED


def _number(part: str) -> str:
    for form in (MOODLE, CANVAS):
        if match := form.match(part):
            return match["number"]
    return ""


def _rest_of_name(name: str, exercises: Collection[Exercise]) -> str:
    """What of a file's name is neither the exercise nor a mark of a copy: perhaps the student."""
    stem = name
    for ending in NOTEBOOK_ENDINGS[::-1]:
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
            break
    else:
        stem = stem.rpartition(".")[0] or stem
    if match := MOODLE.match(stem) or CANVAS.match(stem):
        return match[0].rstrip("_")
    for exercise in exercises:
        stem = re.sub(rf"(?<!\d){re.escape(exercise.id)}(?!\d)", " ", stem)
        loose = "[_ -]+".join(map(re.escape, exercise.slug.split("_")))
        stem = re.sub(rf"(?<![a-z]){loose}(?![a-z])", " ", stem, flags=re.IGNORECASE)
    stem = COPY.sub(" ", NUMBER.sub(" ", stem))
    return re.sub(r"\s+", " ", stem.strip(" _-.")).strip(" _-.,")
