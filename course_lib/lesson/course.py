"""What does a notebook need at hand? One object for settings, guesses, records, claims, figures and listings."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import course_lib
from course_lib.lesson.claims import Claim, make_claim, refuse_failures, show_claims, summary
from course_lib.lesson.display import is_live, publish, show_html
from course_lib.lesson.figures import show_figure, use_course_style
from course_lib.lesson.listings import show_source
from course_lib.lesson.predictions import Prediction
from course_lib.lesson.records import append_line, check_name, json_safe, record_bundle, records_bundle
from course_lib.lesson.settings import PROFILES, choose_settings
from course_lib.lesson.suggestions import unknown_name
from course_lib.lesson.surroundings import choose_device, choose_threads, keep_quiet, plant_seeds


class Course:
    """A running notebook's hands: made by `start`, used as `course.predict(...)`, `course.claim(...)` and so on.

    Attributes: `name`, `profile`, `seed`, `device` (a torch.device), `live` (a person is there to answer).
    """

    def __init__(self, name: str, profile: str, seed: int, device: Any, live: bool) -> None:
        self.name = name
        self.profile = profile
        self.seed = seed
        self.device = device
        self.live = live
        self._records: dict[str, Any] = {}
        self._claims: dict[str, Claim] = {}

    def settings(self, *, overrides: Mapping[str, Any] | None = None, **choices: Any) -> Any:
        """Show the three profiles' settings side by side and return this profile's, frozen: `settings.hidden_size`.

        Each choice is a tuple (smoke, cpu, gpu). `overrides` passes the notebook's own parameters on, such as
        `overrides={"hidden_size": hidden_size}`: a value replaces the profile's, None keeps it.
        """
        return choose_settings(self.profile, choices, overrides or {})

    def predict(self, question: str, options: Sequence[str] | None = None) -> Prediction:
        """Ask before the run: one of `options`, or a number without them. Show the answer with `.compare(measured)`."""
        prediction = Prediction(question, options, self.live, self.name)
        prediction.ask()
        return prediction

    def record(self, name: str, value: Any) -> None:
        """Keep a result under a snake_case name, in the notebook and in the record of a batch run.

        Floats are shown with ≈; NaN and infinity are kept as null. Raises ValueError when the name is not
        snake_case, or was recorded with another value in this batch run (live, running a cell again replaces it),
        TypeError when the value is not a number, text, list or mapping.
        """
        self._keep(name, value)
        publish(record_bundle(name, value))

    def record_all(self, values: Mapping[str, Any]) -> None:
        """Keep several results, each under its own name as `record` does, and say so in one line."""
        for name, value in values.items():
            self._keep(name, value)
        publish(records_bundle(values))

    def _keep(self, name: str, value: Any) -> None:
        check_name(name)
        safe = json_safe(name, value)
        if not self.live and name in self._records and self._records[name] != safe:
            raise ValueError(
                f"{name!r} was already recorded as {self._records[name]!r}, now {safe!r}; give each result its own name"
            )
        append_line({"kind": "record", "name": name, "value": safe})
        self._records[name] = safe

    def claim(
        self,
        text: str,
        measured: Any,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        equals: bool | int | float | None = None,
        paper: str | None = None,
    ) -> None:
        """State what the result must show, with exactly one bound, and draw the verdict.

        `paper` is what the paper found, in words. The smoke profile records and judges nothing: it is too small to
        show the effects. A claim that fails is red at once, and `finish` fails a batch run for it.
        """
        if not self.live and text in self._claims:
            raise ValueError(f"claim {text!r} was made before; word each claim differently")
        claim = make_claim(
            text,
            measured,
            at_least=at_least,
            at_most=at_most,
            equals=equals,
            paper=paper,
            judged=self.profile != "smoke",
        )
        append_line(claim.as_line())
        self._claims[text] = claim
        show_claims([claim], caption="Claim")

    def figure(self, figure: Any, alt: str) -> None:
        """Show a matplotlib figure. `alt` says in a sentence what it shows, for those who do not see it."""
        show_figure(figure, alt)

    def source(self, subject: Any) -> None:
        """Show the library's own code of a function, method, class or module."""
        show_source(subject)

    def finish(self) -> None:
        """Show all claims of the notebook. The last cell.

        Raises ClaimFailed in a batch run or a check if one fails; live, the red row is enough.
        """
        claims = list(self._claims.values())
        caption = f"Claims of {self.name}, profile {self.profile}, seed {self.seed}: {summary(claims)}"
        if claims:
            show_claims(claims, caption)
        else:
            show_html(f"<p>{escape(caption)}</p>", caption)
        if not self.live:
            refuse_failures(claims)


def start(
    name: str, profile: str = "cpu", seed: int = 0, *, device: str | None = None, threads: int | None = 1
) -> Course:
    """Begin a notebook: seeds for Python, numpy and torch, a device, quiet libraries, one line that says so.

    `name` is the notebook's file name without ".ipynb"; `profile` is smoke, cpu or gpu. `device` overrules the
    choice, which is the first CUDA GPU where there is one and the CPU otherwise. `threads` is the number of CPU threads
    of torch: one, unless the notebook's matrices are large enough to share; None leaves it to torch.

    Raises ValueError for an unknown notebook, profile or COURSE_MODE, a seed below 0, and a GPU that is not there.
    """
    if profile not in PROFILES:
        raise unknown_name("profile", profile, PROFILES)
    check_notebook_name(name)
    live = is_live()
    keep_quiet(live)
    plant_seeds(seed)
    chosen = choose_device(device)
    choose_threads(threads)
    use_course_style()
    mode = "live" if live else "batch (guesses are not asked)"
    text = f"{name} · profile {profile} · seed {seed} · device {chosen} · {mode}"
    if profile == "gpu" and chosen.type == "cpu":
        text += "\nNo CUDA GPU was found: the gpu profile would take many hours on this CPU. Set profile = 'cpu'."
    show_html("".join(f"<p>{escape(line)}</p>" for line in text.splitlines()), text)
    return Course(name, profile, seed, chosen, live)


def check_notebook_name(name: str) -> None:
    """Raises ValueError, with the nearest names, for a notebook that is not there."""
    known = _notebooks()
    if known and name not in known:
        raise unknown_name("notebook", name, known)


def _notebooks() -> list[str]:
    """Names of the series' notebooks, and of those beside the running one: copies and drafts may be anywhere."""
    series = Path(course_lib.__file__).parent.parent / "notebooks"
    return sorted({path.stem for folder in (series, Path.cwd()) for path in folder.glob("*.ipynb")})
