"""What a greedy translation must do: write its own words, the likeliest ones, up to the end or the limit."""

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.examples import described
from course_lib.exercises.toy_decoder import asked_of, toy_decoder


def example(path, reference, vocabulary, *, start=2, end=3, limit=8, seed=0):
    """A decoder that likes to say `path`, and what it should have said instead."""
    decoder = toy_decoder(path, vocabulary, start=start, end=end, patience=3 * limit + 10, seed=seed)
    return decoder, {"reference": reference, "start": start, "end": end, "limit": limit}


def ending():
    """The decoder's own sentence ends within the limit; the reference is another one, shorter, longer, or equal."""
    yield example([0, 3], [1], 4, limit=4)
    yield example([1, 0, 3], [0], 4, limit=5, seed=1)
    yield example([4, 0, 1, 3], [4, 1, 1, 0], 5, limit=6, seed=2)
    yield example([1, 4, 3], [1, 4], 5, limit=6, seed=3)
    yield example([3], [4, 1, 0], 5, limit=6, seed=4)


def endless():
    """The decoder would go on beyond the limit."""
    yield example([0, 1], [1], 4, limit=1, seed=5)
    yield example([1, 0, 1, 0, 1, 0, 3], [1, 1, 0], 4, limit=3, seed=6)
    yield example([0, 1, 4, 0, 1, 4, 0, 1, 3], [1], 5, limit=5, seed=7)


def _translation(greedy_translation, decoder, arguments, failed):
    """The words and the count, the example as shown, and the whole answer."""
    answer, shown = asked_of(greedy_translation, decoder, failed, **arguments)
    if not isinstance(answer, tuple | list) or len(answer) != 2 or not isinstance(answer[0], list | tuple):
        raise PropertyFailed(failed, f"expected (written, right), got {described(answer)}", shown, answer, "not_a_pair")
    return list(answer[0]), answer[1], shown, answer


# The public checks try each property on the examples above; the hidden tests on others.


def reads_own_words(greedy_translation, examples):
    failed = "the decoder reads `start` and what was written before"
    for decoder, arguments in examples:
        written, _, shown, answer = _translation(greedy_translation, decoder, arguments, failed)
        for step, read in enumerate(decoder.asked):
            if read != [decoder.start, *written[:step]]:
                cheated = read == [decoder.start, *arguments["reference"][:step]]
                found = f"at step {step + 1} it read {read}, but written was {written[:step]}"
                raise PropertyFailed(failed, found, shown, answer, "teacher_forcing" if cheated else None)


def likeliest_words(greedy_translation, examples):
    failed = "each word is the likeliest at its place"
    for decoder, arguments in examples:
        written, _, shown, answer = _translation(greedy_translation, decoder, arguments, failed)
        whole = [*written, decoder.end]
        whole = whole[: whole.index(decoder.end) + 1][: arguments["limit"]]
        for place, word in enumerate(whole):
            scores = decoder.scores([decoder.start, *whole[:place]])
            if word == scores.argmax():
                continue
            found = f"word {place + 1} is {word}, and {int(scores.argmax())} is likelier"
            mistake = "not_likeliest"
            if place == len(written):
                found = (
                    f"the translation ends after {place} words, and {int(scores.argmax())} was likelier than the end"
                )
                mistake = "length_of_reference" if place == len(arguments["reference"]) else mistake
            elif word == scores.argmin():
                mistake = "worst_word"
            raise PropertyFailed(failed, found, shown, answer, mistake)


def end_is_the_end(greedy_translation, examples):
    failed = "the translation stops at `end` and does not hold it"
    for decoder, arguments in examples:
        written, _, shown, answer = _translation(greedy_translation, decoder, arguments, failed)
        if decoder.end in written:
            last = written.index(decoder.end) == len(written) - 1
            found = f"`end` is {decoder.end}, the translation is {written}"
            raise PropertyFailed(failed, found, shown, answer, "end_kept" if last else "ignores_end")


def limit_is_kept(greedy_translation, examples):
    failed = "no translation has more words than `limit`"
    for decoder, arguments in examples:
        written, _, shown, answer = _translation(greedy_translation, decoder, arguments, failed)
        if len(written) > arguments["limit"]:
            raise PropertyFailed(failed, f"{len(written)} words were written", shown, answer, "no_limit")


def count_is_right(greedy_translation, examples):
    failed = "the count says how many words equal the reference's at their place"
    for decoder, arguments in examples:
        written, right, shown, answer = _translation(greedy_translation, decoder, arguments, failed)
        equal = [mine == true for mine, true in zip(written, arguments["reference"], strict=False)].count(True)
        if isinstance(right, bool) or right != equal:
            found = f"{written} against {arguments['reference']}: {described(right)} instead of {equal}"
            raise PropertyFailed(failed, found, shown, answer, "wrong_count")


def own_words_are_read(greedy_translation):
    """The decoder reads its own words, never the reference's."""
    reads_own_words(greedy_translation, ending())


def words_are_likeliest(greedy_translation):
    """Each word is the likeliest one, up to the end."""
    likeliest_words(greedy_translation, ending())


def stops_at_end(greedy_translation):
    """It stops at the end mark, which is no word."""
    end_is_the_end(greedy_translation, ending())


def stops_at_limit(greedy_translation):
    """It stops at the limit, even if the decoder never would."""
    limit_is_kept(greedy_translation, endless())


def counts_right_words(greedy_translation):
    """It counts the right words, place by place."""
    count_is_right(greedy_translation, [*ending(), *endless()])


CHECKS = [own_words_are_read, words_are_likeliest, stops_at_end, stops_at_limit, counts_right_words]
