"""What went wrong is told with the learner's own lines, whatever they raised."""

import copy
import json

import pytest
import torch

from course_lib.exercises.failures import AnswerRaised, PropertyFailed, answer_raised, own_lines, text_of


def caught(function, *arguments):
    try:
        function(*arguments)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def defined(source, name="<ipython-input-7-abc>", module="__main__"):
    """The function `answer` as a notebook's cell defines it, its lines known as IPython makes them known."""
    import linecache

    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = {"__name__": module}
    exec(compile(source, name, "exec"), namespace)
    return namespace["answer"]


def test_the_line_that_raised_is_told_by_function_number_and_text():
    answer = defined("def inner(x):\n    return x.softmax(5)\n\ndef answer(x):\n    y = x + 1\n    return inner(y)\n")
    error = caught(answer, torch.zeros(2))
    *_, outer, inner = own_lines(error.__traceback__).splitlines()
    assert outer == "in answer, line 6: return inner(y)"
    assert inner == "in inner, line 2: return x.softmax(5)"


def test_lines_of_libraries_and_checks_are_left_out():
    answer = defined("import json\ndef answer(x):\n    return json.loads(x)\n")
    assert own_lines(caught(answer, "{").__traceback__).splitlines()[-1] == "in answer, line 3: return json.loads(x)"
    through_library = defined("import torch\ndef answer(x):\n    return torch.nn.functional.softmax(x, dim=7)\n")
    assert own_lines(caught(through_library, torch.zeros(1)).__traceback__).endswith("softmax(x, dim=7)")
    of_a_check = defined("def answer(x):\n    return x[5]\n", module="course_checks_02_1_masked_softmax")
    assert "x[5]" not in own_lines(caught(of_a_check, []).__traceback__)


def test_code_without_known_lines_is_told_by_number():
    namespace = {"__name__": "__main__"}
    exec("def answer(x):\n    return 1 / 0\n", namespace)
    assert own_lines(caught(namespace["answer"], 1).__traceback__).splitlines()[-1] == "in answer, line 2"


def test_a_line_of_a_cell_outside_functions_is_the_cells():
    compiled = compile("x = 1\n1 / 0\n", "<ipython-input-9>", "exec")
    told = own_lines(caught(exec, compiled, {"__name__": "__main__"}).__traceback__)
    assert told.splitlines()[-1] == "in the cell, line 2"


def test_of_many_lines_the_last_three_are_told_and_a_recursion_once():
    source = (
        "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(9))
        + "def f9(x):\n    return 1 / x\nanswer = f0\n"
    )
    told = own_lines(caught(defined(source), 0).__traceback__).splitlines()
    assert told == ["in f7, line 16: return f8(x)", "in f8, line 18: return f9(x)", "in f9, line 20: return 1 / x"]
    endless = caught(defined("def answer(x):\n    return answer(x + 1)\n"), 0)
    assert isinstance(endless, RecursionError)
    assert own_lines(endless.__traceback__).count("return answer(x + 1)") == 1


def test_no_traceback_has_no_lines():
    assert own_lines(None) == ""
    assert answer_raised(ValueError("x")).where == ""


def test_an_error_is_told_with_its_kind_text_and_example():
    raised = answer_raised(caught(json.loads, "{"), {"x": 1})
    assert str(raised).startswith("your code raised JSONDecodeError: Expecting property name")
    assert raised.example == {"x": 1}
    assert str(AnswerRaised("NotImplementedError", "")) == "your code raised NotImplementedError"


@pytest.mark.parametrize("error", [SystemExit(1), RuntimeError(), ZeroDivisionError("x")])
def test_texts_that_cannot_be_made_are_told_as_such(error):
    class Stubborn:
        def __str__(self):
            raise error

        __repr__ = __str__

    told = f"(its text cannot be shown: {type(error).__name__})"
    assert (text_of(Stubborn()), text_of(Stubborn(), "repr")) == (told, told)


def test_ctrl_c_passes_through_a_text():
    class Slow:
        def __str__(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text_of(Slow())


def test_a_long_text_is_cut():
    assert text_of("x" * 600) == "x" * 500 + " …"


def test_a_failure_reads_as_one_sentence_and_can_be_kept_in_sets():
    failure = PropertyFailed("padding gets no weight", "a place of padding has the weight 0.2")
    assert str(failure) == "padding gets no weight: a place of padding has the weight 0.2"
    assert {failure, AnswerRaised("ValueError", "x")}  # exceptions are hashed by tools that follow their causes
    assert failure != copy.copy(failure)
