"""Which runs follow from a request: which notebook, with which values, under which name?"""

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from course_lib.batch.errors import UsageError, unknown
from course_lib.batch.series import NotebookInfo, Parameter

__all__ = ["PROFILES", "Spec", "UsageError", "make_plan", "parse_value"]

PROFILES = ("smoke", "cpu", "gpu")
TRUE_WORDS = {"true", "yes", "on", "1"}
FALSE_WORDS = {"false", "no", "off", "0"}


@dataclass(frozen=True)
class Spec:
    """One notebook to run once.

    key: a stable name, unique in the run and safe as a file name, such as "02_bahdanau_attention__seed=1".
    parameters: every parameter's value as the notebook will see it (plain defaults included).
    overrides: the part of `parameters` that is handed to the notebook.
    """

    key: str
    name: str
    notebook: Path
    profile: str
    parameters: dict[str, Any] = field(default_factory=dict)
    overrides: dict[str, Any] = field(default_factory=dict)
    title: str = ""
    code_cells: int = 0

    @property
    def seed(self) -> int | None:
        return self.parameters.get("seed")


def make_plan(
    infos: list[NotebookInfo],
    *,
    profile: str = "cpu",
    parameters: dict[str, str] | None = None,
    sweep: dict[str, list[str]] | None = None,
    seeds: list[int] | None = None,
) -> list[Spec]:
    """Every notebook × every combination of swept values × every seed, values parsed to the parameter's type.

    A parameter or swept key that only some of the notebooks have is given to those; one that none has is an error.
    Raises UsageError for unknown profiles and keys, keys set twice, values that do not fit the type, and empty sweeps.
    """
    parameters, sweep = dict(parameters or {}), dict(sweep or {})
    if profile not in PROFILES:
        raise unknown("profile", profile, PROFILES)
    if not infos:
        raise UsageError("no notebooks to run")
    _refuse_contradictions(parameters, sweep, seeds)
    known = dict.fromkeys(name for info in infos for name in info.parameters)
    for kind, names in (("parameter", parameters), ("sweep key", sweep)):
        for name in names:
            if name not in known:
                raise unknown(kind, name, known)
    specs = [spec for info in infos for spec in _specs_of(info, profile, parameters, sweep, seeds)]
    repeated = {spec.key for spec in specs if sum(other.key == spec.key for other in specs) > 1}
    if repeated:
        raise UsageError(f"the same run is asked for twice: {', '.join(sorted(repeated))}")
    return specs


def spec_of(info: NotebookInfo, *, key: str, profile: str, overrides: dict[str, Any]) -> Spec:
    """The run of one notebook with values that are parsed already."""
    defaults = {item.name: item.default for item in info.parameters.values() if item.default_is_literal}
    return Spec(
        key=key,
        name=info.name,
        notebook=info.path,
        profile=profile,
        parameters=defaults | overrides,
        overrides=overrides,
        title=info.title,
        code_cells=info.code_cells,
    )


def parse_value(parameter: Parameter, text: str, where: str = "") -> Any:
    """`text` as a value of the parameter's type: int, float, bool, str, one of these or None, or a Python literal."""
    kinds = [kind.strip() for kind in parameter.type.split("|")]
    if "None" in kinds and text.strip().lower() in {"none", "null"}:
        return None
    kinds = [kind for kind in kinds if kind != "None"]
    for kind in kinds:
        try:
            return _parse_as(kind, text)
        except (ValueError, SyntaxError):
            continue
    raise UsageError(f"{where}{parameter.name} must be {parameter.type}, got {text!r}")


def _parse_as(kind: str, text: str) -> Any:
    if kind == "str":
        return text
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "bool":
        word = text.strip().lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            raise ValueError(word)
        return word in TRUE_WORDS
    value = ast.literal_eval(text)
    container = {"list": list, "tuple": tuple, "dict": dict}.get(kind.split("[")[0])
    if container and not isinstance(value, container):
        raise ValueError(text)
    return value


def _refuse_contradictions(parameters: dict[str, str], sweep: dict[str, list[str]], seeds: list[int] | None) -> None:
    if "profile" in parameters or "profile" in sweep:
        raise UsageError("profile is set by --profile, once for the whole run")
    if seeds is not None and ("seed" in parameters or "seed" in sweep):
        raise UsageError("seed is given twice: use either --seeds or --param/--sweep seed=…")
    for name, values in sweep.items():
        if name in parameters:
            raise UsageError(f"{name} is given both as --param and as --sweep")
        if not values or any(value == "" for value in values):
            raise UsageError(f"--sweep {name} needs values, as in --sweep {name}=a,b")
    if seeds is not None and not seeds:
        raise UsageError("--seeds needs at least one number, as in --seeds 0,1,2")


def _specs_of(
    info: NotebookInfo,
    profile: str,
    parameters: dict[str, str],
    sweep: dict[str, list[str]],
    seeds: list[int] | None,
) -> Iterator[Spec]:
    for needed in ["profile", *(["seed"] if seeds is not None else [])]:
        if needed not in info.parameters:
            raise UsageError(f"{info.path.name} has no parameter {needed!r} in a cell tagged 'parameters'")
    fixed: dict[str, Any] = {"profile": profile}
    for name, text in parameters.items():
        if name in info.parameters:
            fixed[name] = parse_value(info.parameters[name], text, f"{info.name}: ")
    axes = {
        name: [parse_value(info.parameters[name], text, f"{info.name}: ") for text in texts]
        for name, texts in sweep.items()
        if name in info.parameters
    }
    if seeds is not None:
        axes["seed"] = list(seeds)
    for values in itertools.product(*axes.values()):
        varied = dict(zip(axes, values, strict=True))
        overrides = fixed | varied
        key = "__".join([info.name, *(f"{name}={_file_part(value)}" for name, value in varied.items())])
        yield spec_of(info, key=key, profile=profile, overrides=overrides)


def _file_part(value: Any) -> str:
    """`value` as a piece of a file name; what would be unsafe or long is replaced by a short hash of it."""
    text = str(value)
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "-", text)
    if safe == text and len(text) <= 40:
        return text
    return f"{safe[:24].strip('-')}-{sha256(text.encode()).hexdigest()[:6]}"
