"""Does the decoder start where the library's encoder says that it should? And only there, whatever padding holds?"""

import torch

from course_lib.exercises.failures import PropertyFailed
from course_lib.exercises.properties.batches import batch_of_one_equals_batch, padding_changes_nothing
from course_lib.exercises.properties.examples import answer_to, expect_tensor, recognised
from course_lib.exercises.properties.mistakes import equals
from course_lib.exercises.properties.parity import same_as
from course_lib.models.recurrent import BidirectionalGRUEncoder


@torch.no_grad()
def read(batch, source, words, hidden, decoder, seed, scale=1.0):
    """Sentences as a bidirectional GRU has read them: (the example, the state that the decoder should start from)."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = BidirectionalGRUEncoder(vocabulary_size=30, embedding_size=5, hidden_size=hidden)
        is_word = torch.arange(source) < torch.tensor(words).unsqueeze(1)
        annotations = encoder(torch.randint(1, 30, (batch, source)) * is_word, is_word)
        # What an encoder leaves at places of padding is no concern: it may be anything.
        states = torch.where(is_word.unsqueeze(-1), annotations.states, torch.randn(batch, source, 2 * hidden))
        W_s = scale * torch.randn(decoder, hidden)
    forward_states, backward_states = states.chunk(2, dim=-1)
    example = {
        "forward_states": forward_states.contiguous(),
        "backward_states": backward_states.contiguous(),
        "is_word": is_word,
        "W_s": W_s,
    }
    return example, torch.tanh(torch.nn.functional.linear(annotations.summary, W_s))


def sentences():
    """From one sentence of two words to three sentences of up to five."""
    yield read(1, 3, [2], hidden=2, decoder=2, seed=0)
    yield read(2, 4, [4, 2], hidden=2, decoder=2, seed=1)
    yield read(3, 5, [3, 5, 2], hidden=3, decoder=3, seed=2)


def _start(state_of):
    """The start from another state, `state_of(forward_states, backward_states, is_word)`."""
    return lambda forward, backward, is_word, W_s: torch.tanh(state_of(forward, backward, is_word) @ W_s.T)


def _at_last_word(states, is_word):
    return states[torch.arange(len(states)), is_word.sum(1) - 1]


def _mean_of_words(states, is_word):
    return (states * is_word.unsqueeze(-1)).sum(1) / is_word.sum(1, keepdim=True)


MISTAKES = [
    equals("as_given", _start(lambda forward, backward, is_word: forward[:, -1])),
    equals("forward_state", _start(lambda forward, backward, is_word: forward[:, 0])),
    equals("forward_state", _start(lambda forward, backward, is_word: _at_last_word(forward, is_word))),
    equals("backward_at_the_end", _start(lambda forward, backward, is_word: _at_last_word(backward, is_word))),
    equals("padding_place", _start(lambda forward, backward, is_word: backward[:, -1])),
    equals("mean_of_places", _start(lambda forward, backward, is_word: backward.mean(1))),
    equals("mean_of_places", _start(lambda forward, backward, is_word: forward.mean(1))),
    equals("mean_of_places", _start(lambda forward, backward, is_word: _mean_of_words(backward, is_word))),
    equals("mean_of_places", _start(lambda forward, backward, is_word: _mean_of_words(forward, is_word))),
    equals("no_tanh", lambda forward, backward, is_word, W_s: backward[:, 0] @ W_s.T),
    equals("transposed", lambda forward, backward, is_word, W_s: torch.tanh(backward[:, 0] @ W_s)),
    equals("summed_states", _start(lambda forward, backward, is_word: backward[:, 0] + forward[:, 0])),
    equals(
        "summed_states", _start(lambda forward, backward, is_word: backward[:, 0] + _at_last_word(forward, is_word))
    ),
]


# The public checks try each property on the sentences above; the hidden tests on others.


def is_a_state(initial_state, sentences):
    failed = "a state for each sentence, between -1 and 1"
    for example, expected in sentences:
        output = answer_to(initial_state, example)
        state = expect_tensor(output, expected.shape, example, failed, MISTAKES)
        if (outside := state.abs().max().item()) > 1:
            mistake = recognised(MISTAKES, example, output)
            raise PropertyFailed(failed, f"the largest size is {outside:.4g}", example, output, mistake)


def starts_as_the_library(initial_state, sentences):
    for example, expected in sentences:

        def library(*_, expected=expected):
            return expected

        same_as(initial_state, library, [example], reference_name="course_lib's encoder", mistakes=MISTAKES)


def _pad(example, places):
    """More places without a word, which hold something all the same."""
    generator = torch.Generator().manual_seed(places)

    def longer(states):
        batch, _, hidden = states.shape
        return torch.cat([states, torch.randn(batch, places, hidden, generator=generator)], dim=1)

    no_words = torch.zeros(len(example["is_word"]), places, dtype=torch.bool)
    return {
        **example,
        "forward_states": longer(example["forward_states"]),
        "backward_states": longer(example["backward_states"]),
        "is_word": torch.cat([example["is_word"], no_words], dim=1),
    }


BATCHED = ("forward_states", "backward_states", "is_word")


def _trim(example):
    words = int(example["is_word"].sum())
    return {name: value[:, :words] if name in BATCHED else value for name, value in example.items()}


def batches_do_not_matter(initial_state, sentences):
    examples = [example for example, _ in sentences]
    padding_changes_nothing(initial_state, examples, pad=_pad, mistakes=MISTAKES)
    batch_of_one_equals_batch(initial_state, examples, batched=BATCHED, trim=_trim, mistakes=MISTAKES)


def state_for_each_sentence(initial_state):
    """It gives a state for each sentence, with numbers between -1 and 1."""
    is_a_state(initial_state, [read(1, 3, [2], hidden=2, decoder=2, seed=3, scale=9.0), *sentences()])


def same_in_any_batch(initial_state):
    """A sentence starts from the same state alone, in a batch, and with more padding."""
    batches_do_not_matter(initial_state, sentences())


def starts_where_the_paper_starts(initial_state):
    """It starts from the state that the library's encoder hands over."""
    starts_as_the_library(initial_state, sentences())


CHECKS = [state_for_each_sentence, same_in_any_batch, starts_where_the_paper_starts]
