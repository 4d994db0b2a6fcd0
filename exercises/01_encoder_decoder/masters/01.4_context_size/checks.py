"""What a recorded experiment must show, as far as it can be judged without repeating it.

There is no function to call here, so failures have no example: `found` names the entry of the record that is wrong.
"""

from course_lib.exercises.experiments import LARGEST_CONTEXT, SENTENCES, is_share
from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import described

GOAL = 0.9
OTHER_MEASURES = {"exact_match_3_train": "training_sentences", "exact_match_2": "wrong_items"}


def is_size(value):
    """Whether this can be the size of a context."""
    return type(value) is int and 1 <= value <= LARGEST_CONTEXT


def is_power_of_two(size):
    return size & (size - 1) == 0


def _record(measured, failed):
    """The record, if it is one. Raises PropertyFailed."""
    if not isinstance(measured, dict) or not measured:
        raise PropertyFailed(failed, f"expected a dict of results, got {described(measured)}", mistake="no_record")
    for size, share in measured.items():
        if not is_size(size):
            found = f"a size is a whole number from 1 to {LARGEST_CONTEXT}, got {described(size)}"
            raise PropertyFailed(failed, found, mistake="no_record")
        if isinstance(share, dict):
            raise PropertyFailed(failed, f"at {size}: {described(share)}", mistake="whole_result")
        if type(share) not in (float, int) or not 0 <= share <= 1:
            found = f"at {size}: an exact match is a number from 0 to 1, got {described(share)}"
            raise PropertyFailed(failed, found, mistake="invented")
    return measured


def prediction_is_made(prediction):
    """There is a prediction."""
    if not is_size(prediction):
        found = f"expected a whole number from 1 to {LARGEST_CONTEXT}, got {described(prediction)}"
        raise PropertyFailed("the prediction is a size", found, mistake="no_guess")


def results_are_recorded(measured):
    """The record holds results of the experiment, for unseen sentences of three items."""
    failed = "each number is a share of the unseen sentences of three items"
    measured = _record(measured, failed)
    odd = {size: share for size, share in measured.items() if not is_share(share, "exact_match_3")}
    if odd:
        size, share = next(iter(odd.items()))
        measures = [name for name in OTHER_MEASURES if all(is_share(other, name) for other in odd.values())]
        mistake = OTHER_MEASURES[measures[0]] if measures else "invented"
        found = f"{share:.6g}, at {size}, is no share of {SENTENCES['exact_match_3']} sentences"
        raise PropertyFailed(failed, found, mistake=mistake)


def goal_is_reached(measured, context_size):
    """The chosen context was measured, and reaches 0.9."""
    failed = f"the chosen context reaches {GOAL}"
    measured = _record(measured, failed)
    if not is_size(context_size) or context_size not in measured:
        found = f"the record has results for {', '.join(map(str, sorted(measured)))}; {described(context_size)} is none"
        raise PropertyFailed(failed, found, mistake="not_recorded")
    if measured[context_size] < GOAL:
        found = f"{measured[context_size]:.3f} at {context_size}"
        raise PropertyFailed(failed, found, mistake="too_small")


def it_is_the_smallest(measured, context_size):
    """It is the smallest power of two that does, and the record shows it."""
    failed = "the next smaller power of two was measured, and does not reach it"
    measured = _record(measured, failed)
    if not is_size(context_size) or not is_power_of_two(context_size):
        raise PropertyFailed(failed, f"{described(context_size)} is no power of two", mistake="no_power")
    half = context_size // 2
    if half not in measured and half > 0:
        raise PropertyFailed(failed, f"there is no result for {half}", mistake="half_missing")
    reaching = [size for size, share in measured.items() if is_power_of_two(size) and share >= GOAL]
    if reaching and min(reaching) < context_size:
        smallest = min(reaching)
        raise PropertyFailed(failed, f"{measured[smallest]:.3f} at {smallest}", mistake="not_smallest")


CHECKS = [prediction_is_made, results_are_recorded, goal_is_reached, it_is_the_smallest]
