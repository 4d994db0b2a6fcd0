"""How do networks of different hands answer in one form? Scores at chosen places, and the last states (notebook 06).

For a student and its teacher it must not matter whether they are the course's own or transformers'.
"""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from course_lib.models.bert import Classifier, MaskedLanguageModel
from course_lib.models.gpt import GPT


class Reading(NamedTuple):
    """The scores at the places asked for, row by row, and the states of all places behind the last block."""

    logits: Float[Tensor, "places vocabulary"]
    states: Float[Tensor, "batch length embedding"]


class Reader(nn.Module):
    """A network behind one call: `reader(tokens, is_word, places)`.

    A module, so that with several processes the training loop can wrap it; its parameters are the network's own.
    Raises TypeError for a network that it cannot ask.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not isinstance(network, MaskedLanguageModel | GPT | PreTrainedModel):
            raise TypeError(
                f"expected a MaskedLanguageModel or a GPT of the course, or a model of transformers with a language "
                f"model's head, got {type(network).__name__}"
            )
        self.network = network

    def forward(
        self,
        tokens: Int[Tensor, "batch length"],
        is_word: Bool[Tensor, "batch length"] | None = None,
        places: Bool[Tensor, "batch length"] | None = None,
    ) -> Reading:
        """is_word: False for padding. places: where scores are wanted; None for everywhere.

        Our masked language model scores the places alone, transformers' models score all and drop the rest.
        """
        network = self.network
        if isinstance(network, MaskedLanguageModel):
            states = network.encoder(tokens, is_word).states
            return Reading(network.scores(_at(states, places)), states)
        if isinstance(network, GPT):
            # Padding at the end needs no mask: a causal model never looks there from a word.
            written = network(tokens)
            return Reading(_at(written.logits, places), written.states)
        mask = None if is_word is None else is_word.long()
        said = network(input_ids=tokens, attention_mask=mask, output_hidden_states=True, return_dict=True)
        return Reading(_at(said.logits, places), said.hidden_states[-1])


def label_scores(
    classifier: nn.Module, tokens: Int[Tensor, "batch length"], is_word: Bool[Tensor, "batch length"]
) -> Float[Tensor, "batch labels"]:
    """What a classifier, ours or transformers', says of each text: logits.

    Raises TypeError for a network that it cannot ask.
    """
    if isinstance(classifier, PreTrainedModel):
        return classifier(input_ids=tokens, attention_mask=is_word.long(), return_dict=True).logits
    if isinstance(classifier, Classifier):
        return classifier(tokens, is_word)
    raise TypeError(
        f"expected a Classifier of the course or a model of transformers for sequence classification, got "
        f"{type(classifier).__name__}"
    )


def _at(
    values: Float[Tensor, "batch length size"], places: Bool[Tensor, "batch length"] | None
) -> Float[Tensor, "places size"]:
    return values.flatten(0, 1) if places is None else values[places]
