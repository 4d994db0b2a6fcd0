"""How does one word of a translation come about? Step through it: scores, softmax, context, word (notebook 02)."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets

from course_lib.data.vocabulary import Vocabulary
from course_lib.models.seq2seq import EncoderDecoder
from course_lib.widgets import alignment_static
from course_lib.widgets.base import CourseWidget, script, style
from course_lib.widgets.decoding_steps import Decoding, decode, plain_steps
from course_lib.widgets.token_text import visible


class AlignmentStepper(CourseWidget):
    """One decoding step at a time: energies, weights, weighted sum, and the word that was chosen.

        AlignmentStepper.from_translation(model, source_vocabulary, target_vocabulary, "21 . märz 2036")

    All steps come with the widget, so that it needs no kernel once it is drawn. `step` is the step that is shown, from
    0; setting it moves the widget.
    """

    _esm = script("alignment_stepper.js")
    _css = style("alignment_stepper.css")

    step = traitlets.Int(0).tag(sync=True)
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, decoding: Decoding, *, step: int = 0) -> None:
        self.decoding = decoding
        if not 0 <= step < len(decoding.steps):
            raise ValueError(f"step must be from 0 to {len(decoding.steps) - 1}, got {step}")
        super().__init__(data=page_data(decoding), step=step)

    @classmethod
    def from_translation(
        cls,
        model: EncoderDecoder,
        source_vocabulary: Vocabulary,
        target_vocabulary: Vocabulary,
        sentence: str,
        **options: Any,
    ) -> "AlignmentStepper":
        """Watch a model of notebook 02 translate `sentence`, its words separated by spaces, greedily.

        options: features (numbers of the annotations that are shown), others (words shown beside the chosen one),
        maximum_length. Raises ValueError for a sentence that is empty or too long, and a model without attention.
        """
        return cls(decode(model, source_vocabulary, target_vocabulary, sentence, **options))

    @classmethod
    def from_steps(
        cls,
        source_tokens: Sequence[str],
        steps: Sequence[Mapping[str, Any]],
        annotations: Sequence[Sequence[float]] | None = None,
    ) -> "AlignmentStepper":
        """From plain data: each step has `word` and `weights`, and may have probability, energies, others, context.

        Raises ValueError, naming the step, for weights that are NaN, negative, or do not sum to 1.
        """
        return cls(plain_steps(source_tokens, steps, annotations))

    @traitlets.validate("step")
    def _keep_in_range(self, proposal: Any) -> int:
        return min(max(proposal["value"], 0), len(self.decoding.steps) - 1)

    def static_html(self) -> str:
        return alignment_static.static_html(self.decoding)

    def static_text(self) -> str:
        return alignment_static.static_text(self.decoding)


def page_data(decoding: Decoding) -> dict[str, Any]:
    """What the page gets: words in signs that can be seen, numbers as they are (JSON has no -inf: null)."""
    return {
        "source": [visible(word) for word in decoding.source],
        "annotations": [list(row) for row in decoding.annotations],
        "features": list(decoding.features),
        "annotation_size": decoding.annotation_size,
        "finished": decoding.finished,
        "steps": [
            {
                "word": visible(step.word),
                "probability": step.probability,
                "weights": list(step.weights),
                "energies": None
                if step.energies is None
                else [energy if energy > float("-inf") else None for energy in step.energies],
                "context": list(step.context),
                "others": [[visible(word), probability] for word, probability in step.others],
            }
            for step in decoding.steps
        ],
    }
