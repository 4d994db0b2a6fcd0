"""What do temperature and the filters do to the next token? A laboratory: drag, draw, choose, compare (notebook 04).

    TemperatureLab(model, tokenizer, "Return the")

The model is asked once for each prompt and once for each step. Its scores go to the page as float32, and the page
filters them itself (sampling.js), so that no slider waits for the kernel.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
import traitlets
from torch import nn

from course_lib.generation.sampling import Sampling
from course_lib.widgets import temperature_static
from course_lib.widgets.base import CourseWidget, script, style
from course_lib.widgets.causal_model import CausalModel
from course_lib.widgets.next_token import best, described, draw, likeliest, look, probabilities
from course_lib.widgets.temperature_static import Experiment, Written

MOST_SAMPLES, MOST_NEW_TOKENS = 8, 100
TAIL = 12  # of the prompt's tokens, the last ones are shown


class TemperatureLab(CourseWidget):
    """The likeliest next tokens before and after the filters, and what is written with them.

    model: course_lib's GPT or a causal model of transformers, with its tokenizer. sampling, other: the settings A and
    B that it begins with. samples: how many continuations of `new_tokens` tokens are drawn with `seed` at first.
    Raises ValueError for another model, for an empty prompt if no token can begin a text, and for a prompt or a
    continuation that the context does not hold.
    """

    _esm = script("sampling.js", "temperature_parts.js", "temperature_lab.js")
    _css = style("temperature_lab.css")

    logits = traitlets.Bytes().tag(sync=True)  # float32, one score for each token of the vocabulary
    place = traitlets.Dict().tag(sync=True)  # the prompt, the steps since, and the candidates to come
    settings = traitlets.Dict().tag(sync=True)  # what the page begins with
    written: Any = traitlets.List().tag(sync=True)  # for each setting the continuations drawn last

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        prompt: str = "",
        *,
        sampling: Sampling | None = None,
        other: Sampling | None = None,
        seed: int = 0,
        samples: int = 3,
        new_tokens: int = 20,
    ) -> None:
        self._asked = CausalModel(model, tokenizer)
        self._samplings = {"A": sampling or Sampling()} | ({"B": other} if other else {})
        super().__init__()
        self.settings = {
            "settings": {name: asdict(setting) for name, setting in self._samplings.items()},
            "seed": seed,
            "samples": max(samples, 1),
            "new_tokens": new_tokens,
        }
        self._experiments: list[Experiment] = []
        self.on_prompt(prompt)
        if samples:
            self._write(self._samplings, seed, samples, new_tokens, greedy=False)

    # What the page asks.

    def on_prompt(self, text: str) -> tuple[dict[str, Any], list[bytes]]:
        """Begin anew after this prompt."""
        if not isinstance(text, str):
            raise ValueError(f"the prompt must be a text, got {type(text).__name__}")
        tokens = self._asked.tokens_of(text)
        logits = self._asked.next_logits(tokens)
        self._prompt, self._prompt_tokens = text, tokens
        self._steps: list[dict[str, Any]] = []
        self._scores = [logits]  # of each step, so that undoing one asks nothing
        self._experiment_written: dict[str, list[Written]] = {}
        self._publish(written=[])
        return {"tokens": len(tokens)}, []

    def on_step(
        self, setting: Mapping[str, Any] | None = None, seed: int = 0, token: int | None = None, greedy: bool = False
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Go on by one token: the given one, the likeliest one, or one drawn by the setting.

        Each step has a seed of its own, `seed` + the number of steps before, so that undoing and drawing again draws
        the same token.
        """
        tokens, logits = self._tokens, self._scores[-1]
        if self._asked.context_size is not None and len(tokens) + 1 > self._asked.context_size:
            raise ValueError(
                f"the model's context of {self._asked.context_size:,} tokens is full; undo a step, or shorten the "
                "prompt"
            )
        if token is None:
            sampling = Sampling(**(setting or {}))
            refuse_bad_seed(seed)
            token = (
                best(logits, tokens, sampling.repetition_penalty)
                if greedy
                else draw(logits, tokens, sampling, seed + len(self._steps))
            )
        elif not (isinstance(token, int) and 0 <= token < len(logits)):
            raise ValueError(f"there is no token {token!r}; the vocabulary ends at {len(logits) - 1}")
        share = float(logits.softmax(dim=-1)[token])
        following = self._asked.next_logits([*tokens, token])
        self._steps.append({"token": token, "text": self._asked.shown([token])[0], "share": share})
        self._scores.append(following)
        self._publish()
        return dict(self._steps[-1]), []

    def on_undo(self) -> tuple[dict[str, Any], list[bytes]]:
        """Take the last step back."""
        if not self._steps:
            raise ValueError("there is no step to undo; this is the prompt's end")
        self._steps.pop()
        self._scores.pop()
        self._publish()
        return {}, []

    def on_reset(self) -> tuple[dict[str, Any], list[bytes]]:
        """Take all steps back."""
        del self._steps[:], self._scores[1:]
        self._publish()
        return {}, []

    def on_sample(
        self, settings: Mapping[str, Any], seed: int = 0, count: int = 3, length: int = 20, greedy: bool = False
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Draw continuations by each setting, all from the same seed; greedy: the one likeliest for each."""
        samplings = {str(name): Sampling(**setting) for name, setting in settings.items()}
        self._write(samplings, seed, 1 if greedy else count, length, greedy)
        return {}, []

    # What Python shows.

    @property
    def experiment(self) -> Experiment:
        """The present place under the settings that the laboratory was made with, for its static twin."""
        logits, tokens = self._scores[-1], self._tokens
        views = {name: look(logits, tokens, sampling) for name, sampling in self._samplings.items()}
        numbers = likeliest(logits)
        return Experiment(
            end=self._asked.end_of(tokens),
            length=len(tokens),
            texts=dict(zip(numbers, self._asked.shown(numbers), strict=True)),
            samplings=self._samplings,
            views=views,
            written=self._experiment_written,
            seed=self.settings["seed"],
        )

    def static_html(self) -> str:
        return temperature_static.as_html(self.experiment)

    def static_text(self) -> str:
        return temperature_static.as_text(self.experiment)

    @property
    def _tokens(self) -> list[int]:
        return [*self._prompt_tokens, *(step["token"] for step in self._steps)]

    def _publish(self, **more: Any) -> None:
        """Show the page where we are, in one message."""
        logits = self._scores[-1]
        numbers = likeliest(logits)
        with self.hold_sync():
            self.logits = logits.to(torch.float32).numpy().tobytes()
            self.place = {
                "prompt": self._prompt,
                "prompt_length": len(self._prompt_tokens),
                "tail": self._asked.shown(self._prompt_tokens[-TAIL:]),
                "seen": sorted(set(self._tokens)),
                "steps": list(self._steps),
                "candidates": [
                    {"token": number, "text": text}
                    for number, text in zip(numbers, self._asked.shown(numbers), strict=True)
                ],
                "context": self._asked.context_size,
                "end_token": self._asked.end_token,
            }
            for name, value in more.items():
                setattr(self, name, value)

    def _write(self, samplings: Mapping[str, Sampling], seed: int, count: int, length: int, greedy: bool) -> None:
        refuse_bad_seed(seed)
        if not 1 <= count <= MOST_SAMPLES:
            raise ValueError(f"the number of samples must be from 1 to {MOST_SAMPLES}, got {count}")
        if not 1 <= length <= MOST_NEW_TOKENS:
            raise ValueError(f"the length of a sample must be from 1 to {MOST_NEW_TOKENS} tokens, got {length}")
        written = {
            name: [
                Written(self._asked.shown(one.tokens), probabilities(one), one.finished)
                for one in self._asked.go_on(
                    self._tokens, sampling, count=count, new_tokens=length, seed=seed, do_sample=not greedy
                )
            ]
            for name, sampling in samplings.items()
        }
        if not greedy and samplings == self._samplings:
            self._experiment_written = written
        self.written = [
            {
                "name": name,
                "setting": "the likeliest token each time" if greedy else described(samplings[name]),
                "samples": [asdict(one) for one in samples],
            }
            for name, samples in written.items()
        ]


def refuse_bad_seed(seed: Any) -> None:
    """Raises ValueError for what torch's generators do not take as a seed."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**53:
        raise ValueError(f"the seed must be a whole number from 0 to 2**53, got {seed!r}")
