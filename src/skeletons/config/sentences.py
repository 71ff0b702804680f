"""Turn the problems found by pydantic into sentences: `KEY: found X; allowed: Y.`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from skeletons.config.ambiguous import Ambiguous
from skeletons.config.datasets import BUILT_IN, SECTIONS, TRAINABLE
from skeletons.config.names import MEASURES
from skeletons.config.sections import Config
from skeletons.config.torchvision_sets import PREFIX
from skeletons.config.types import EXPERIMENT_PATTERN, NAME_PATTERN, OWN_PATTERN, USER_DEFINED
from skeletons.user_code.references import is_reference

Steps = Sequence[int | str]  # from the top of a configuration to a key

OR_YOUR_OWN = f", or your own {USER_DEFINED}"
_TAG_AFTER = {"dataset": 1, "ood": 2}  # steps to a data set; the kind that pydantic chose follows
_BOUNDS = {
    "greater_than_equal": ("ge", "≥"),
    "greater_than": ("gt", ">"),
    "less_than_equal": ("le", "≤"),
    "less_than": ("lt", "<"),
}
PATTERNS = {
    EXPERIMENT_PATTERN: "letters, digits, '_', '-' and '.', not starting with '.'",
    NAME_PATTERN: "letters, digits, '-' and '.', starting with a letter or digit",
    OWN_PATTERN: "letters, digits, '_', '-' and '.', starting with a letter or digit",
}
# Problems of keys that take numbers, and of those that take text.
_OF_NUMBERS = ("int_type", "number")
_OF_TEXT = ("string_type", "ambiguous")
_WRITTEN_OTHERWISE = r"[-+]?0\d|.*:"
_A_MAPPING = "a mapping of keys to values"
_ALLOWED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "text",
    "number": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "too_short": "a list with at least one entry",
    "model_type": _A_MAPPING,
    "model_attributes_type": _A_MAPPING,
    "dict_type": _A_MAPPING,
    "option": "options that are numbers, text, true, false or null",
    "ambiguous": "a number, text, true, false or null",
}


def of(error: ValidationError) -> list[str]:
    """The sentences of all problems of a configuration, each once."""
    problems = (
        problem
        for problem in error.errors(include_url=False)
        # pydantic counts only the valid entries, so it calls a list with an invalid one too short
        if not (problem["type"] == "too_short" and problem["input"])
    )
    return list(dict.fromkeys(map(_sentence, problems)))


def shown(value: object) -> str:
    """A value as the user may have written it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, Ambiguous):
        return f"{value}, which YAML reads as {shown(value.value)}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "an empty list" if not value else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def number(value: float) -> str:
    """A bound in full if it is a whole number, so that it can be copied."""
    return str(value) if isinstance(value, int) else f"{value:g}"


def _sentence(problem: ErrorDetails) -> str:
    steps, tag = _without_tag(problem["loc"])
    kind, found, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "invalid_key":  # one that is not text
        steps[-1] = str(steps[-1])
    key = "".join(_parts(steps))
    if kind in ("extra_forbidden", "invalid_key"):
        known = _section(steps[:-1], tag).model_fields
        elsewhere = _in_sections(key) if len(steps) == 1 else ""
        allowed = f"{', '.join(known)}{elsewhere}" if elsewhere else _listed(known, steps[-1])
        return f"{key}: unknown key; allowed here: {allowed}."
    if kind == "ambiguous":
        key, found = f"{key}.{context['key']}", context["value"]
    if kind == "missing":
        return f"{key}: found nothing; allowed: a value, because this key has no default."
    if kind == "repeated":
        return f"{key}: found {context['value']} twice; allowed: each value once."
    if steps[-1] == "[key]":  # of a mapping with any keys
        mapping = "".join(_parts(steps[:-2]))
        allowed = PATTERNS.get(context.get("pattern", ""), "text")
        return f"{mapping}: found the key {shown(found)}; allowed: keys of {allowed}."
    if kind.startswith("union_tag") and isinstance(found, Mapping):
        kinds = TRAINABLE if steps[0] == "dataset" else BUILT_IN
        key, found = f"{key}.kind", found.get("kind")
        return f"{key}: found {shown(found)}; allowed: {_named(kinds, found)}."
    allowed = f"{_allowed(kind, found, context)}{_unambiguous(kind, found)}"
    return f"{key}: found {shown(found)}; allowed: {allowed}."


def _in_sections(key: str) -> str:
    """A hint at the sections that have a key which the top level lacks; empty if none has."""
    sections = {
        name: part
        for name, field in Config.model_fields.items()
        for part in _models_in(field.annotation)
        if name != "networks"  # its keys are names that the user gives
    }
    found = [f"'{name}.{key}'" for name, part in sections.items() if key in part.model_fields]
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _unambiguous(kind: str, found: object) -> str:
    """How to write what YAML would otherwise read as something else."""
    if kind in _OF_NUMBERS and re.match(_WRITTEN_OTHERWISE, str(found)):
        return " without leading zeros or colons"
    quoted = isinstance(found, Ambiguous) and kind in _OF_TEXT
    return f" (for text, write '{found}' in quotes)" if quoted else ""


def _without_tag(location: Steps) -> tuple[list[int | str], str | None]:
    """A problem's location without the kind of data set that pydantic adds to it, and that kind."""
    steps = list(location)
    index = _TAG_AFTER.get(str(steps[0]), len(steps))
    return (steps, None) if index >= len(steps) else (steps, str(steps.pop(index)))


def _parts(steps: Steps) -> Iterator[str]:
    """The parts of a key's name, as in `regularize.lambdas[0]`."""
    for position, step in enumerate(steps):
        if isinstance(step, int) and position:
            yield f"[{step}]"
        else:
            yield f".{step}" if position else str(step)


def _section(steps: Steps, tag: str | None) -> type[BaseModel]:
    """The section of the schema that `steps` lead to."""
    if tag is not None:
        return SECTIONS[tag]
    section: type[BaseModel] = Config
    following = iter(steps)
    for step in following:
        annotation = section.model_fields[str(step)].annotation
        section = next(_models_in(annotation))
        if get_origin(annotation) is dict:
            next(following)  # a name that the user gives
    return section


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The sections of the schema in the type of a key."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part


def _listed(values: Iterable[str], found: object = None) -> str:
    """The allowed values, with the one that is nearest to the value found."""
    names = list(values)
    near = difflib.get_close_matches(str(found), names, n=1, cutoff=0.6)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{', '.join(names)}{hint}"


def _named(names: Iterable[str], found: object) -> str:
    """The allowed names of something that may also be a user-defined function."""
    if str(found).endswith(".py"):
        return f"a function of this file, {found}:FUNCTION"
    return f"{_listed(names, found)}{OR_YOUR_OWN}"


def _allowed(kind: str, found: object, context: Mapping[str, Any]) -> str:
    """The allowed values, by the kind of problem."""
    if kind in _BOUNDS:
        limit, sign = _BOUNDS[kind]
        return f"a number {sign} {number(context[limit])}"
    if kind == "literal_error":
        names = re.findall(r"'([^']*)'", str(context["expected"]))
        return _listed(names, found) if names else str(context["expected"])
    if kind == "unknown_name":
        return _named(context["names"], found)
    if kind == "unknown_set":
        return _listed(context["names"], found)
    if kind == "without_splits":
        return (
            f"a set that torchvision divides into training and test images ({context['name']} is "
            "not divided), or its images in folders, as imagefolder"
        )
    if kind == "string_pattern_mismatch":
        return PATTERNS[context["pattern"]]
    if kind == "reference":
        return USER_DEFINED + (_BUILT_IN_MEASURE if found in MEASURES else "")
    if kind.startswith("union_tag"):
        return _as_section(found)
    return _ALLOWED.get(kind, "another value")


_BUILT_IN_MEASURE = (
    ", because the built-in measures are always computed; list those to draw in figures.measures"
)


def _as_section(found: object) -> str:
    """How to write a data set that was given as one word: a kind, a reference or a folder."""
    if not isinstance(found, str):
        return _A_MAPPING
    is_kind = found in SECTIONS or is_reference(found) or found.startswith(PREFIX)
    return f"a mapping, such as {{kind: {found if is_kind else f'imagefolder, path: {found}'}}}"
