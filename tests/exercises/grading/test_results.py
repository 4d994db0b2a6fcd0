import json

import pytest

from course_lib.exercises.grading import results
from course_lib.exercises.grading.results import CellResult, Judgement, Ran, Value

CELL = CellResult(
    "a", "A.", 0, 2, "failed", "wrong answer", "found", example=[Value("x", "int", "1")], mistake="m", hint="h"
)
JUDGEMENT = Judgement([CELL, CellResult("b", "B.", 1, 1, "passed")], [Ran(0, "said")], isolation="strong", seconds=1.5)


def test_a_result_comes_back_as_it_was_kept(tmp_path):
    results.save(tmp_path / "alice" / "01.1.json", "key", JUDGEMENT)
    assert results.load(tmp_path / "alice" / "01.1.json", "key") == JUDGEMENT


def test_sums_and_the_class_that_tells_most():
    assert (JUDGEMENT.points, JUDGEMENT.max_points, JUDGEMENT.error_class) == (1, 3, "wrong answer")
    assert JUDGEMENT.mistake == ("m", "h")
    late = CellResult("c", "C.", 0, 1, "not judged", "time limit")
    assert Judgement([CELL, late]).error_class == "time limit"
    assert Judgement([CellResult("b", "B.", 1, 1, "passed")]).error_class == "ok"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda kept: "",
        lambda kept: "nonsense",
        lambda kept: "[" * 100_000,
        lambda kept: json.dumps(kept)[:-20],
        lambda kept: json.dumps({**kept, "key": "another"}),
        lambda kept: json.dumps({**kept, "schema": 99}),
        lambda kept: json.dumps({**kept, "judgement": {"cells": []}}),
        lambda kept: json.dumps({**kept, "judgement": {**kept["judgement"], "more": 1}}),
        lambda kept: json.dumps({**kept, "judgement": {**kept["judgement"], "cells": [{"points": 99}]}}),
    ],
)
def test_a_spoilt_result_is_not_used(spoil, tmp_path):
    place = tmp_path / "01.1.json"
    results.save(place, "key", JUDGEMENT)
    place.write_text(spoil(json.loads(place.read_text())))
    assert results.load(place, "key") is None


def test_an_absent_result_is_none(tmp_path):
    assert results.load(tmp_path / "nowhere.json", "key") is None
