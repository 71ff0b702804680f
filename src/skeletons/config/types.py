"""The types of the configuration's values, and the base of its sections.

Each annotated type defines the allowed values, so that validation, error sentences, the JSON Schema
and the page of all keys agree.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from skeletons.config.ambiguous import Ambiguous
from skeletons.user_code import references

# A reference as text; it stands for all user-defined functions where kinds or names are listed.
USER_DEFINED = "FILE.py:FUNCTION"
EXPERIMENT_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.-]*$"
OWN_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Section(BaseModel):
    """A mapping of keys to values: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


# --- numbers --------------------------------------------------------------------------------------


def _number(value: object) -> object:
    """Convert a number from any spelling: YAML 1.1 reads `1e-4`, without a dot, as text.

    See https://github.com/yaml/pyyaml/issues/173.
    """
    if isinstance(value, str) and re.fullmatch(_SPELLING, value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "a number")
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return math.inf


_SPELLING = r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?"
# What holds the values later has bounds: float32 of about 3e38, int64 in tables and as a seed. No
# count of epochs or images needs more than int32 has.
LARGEST = 1e30
LARGEST_SEED = 2**63 - 1
LARGEST_COUNT = 2**31 - 1

Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0, le=LARGEST)]
Positive = Annotated[Number, Field(gt=0, le=LARGEST)]
Share = Annotated[Number, Field(ge=0, le=1)]
ShareBelowOne = Annotated[Number, Field(ge=0, lt=1)]
PositiveShare = Annotated[Number, Field(gt=0, le=1)]
Count = Annotated[StrictInt, Field(ge=1, le=LARGEST_COUNT)]
Whole = Annotated[StrictInt, Field(ge=0, le=LARGEST_COUNT)]
Drawn = Annotated[StrictInt, Field(ge=1, le=10_000_000)]  # images of 3 kB each, held in memory
Seed = Annotated[StrictInt, Field(ge=0, le=LARGEST_SEED)]


# --- true or false, and paths ---------------------------------------------------------------------


def _flag(value: object) -> object:
    """Read `yes`, `no`, `on` and `off` as YAML 1.1 does."""
    if isinstance(value, Ambiguous) and isinstance(value.value, bool):
        return value.value
    return value


Flag = Annotated[StrictBool, BeforeValidator(_flag)]


def _expanded(path: str) -> str:
    """A path with the home folder in place of `~` or `~name`; here and nowhere else."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:  # there is nobody of that name
        return path


FilePath = Annotated[StrictStr, AfterValidator(_expanded)]


# --- lists ----------------------------------------------------------------------------------------


def distinct(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    """Refuse a list that has a value twice."""
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError("repeated", "{value}", {"value": repr(value)})
    return values


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    """Refuse a repeated value and sort, so that the order in the file has no effect."""
    distinct(values)
    return tuple(sorted(values))


Numbers = Annotated[tuple[NotNegative, ...], AfterValidator(_ascending)]
Densities = Annotated[tuple[PositiveShare, ...], AfterValidator(_ascending)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(_ascending)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_ascending)]
Shares = Annotated[tuple[Share, ...], AfterValidator(_ascending)]
Draws = Annotated[tuple[Count, ...], AfterValidator(_ascending)]
Penalties = Annotated[tuple[Positive, ...], AfterValidator(_ascending)]


# --- names and references -------------------------------------------------------------------------


def _canonical(value: str) -> str:
    try:
        return references.canonical(_expanded(value))
    except ValueError:
        raise PydanticCustomError("reference", "a reference") from None


REFERENCE_SCHEMA = {"type": "string", "pattern": references.PATTERN}
Reference = Annotated[StrictStr, AfterValidator(_canonical), WithJsonSchema(REFERENCE_SCHEMA)]
Name = Annotated[StrictStr, Field(pattern=NAME_PATTERN)]
OwnName = Annotated[StrictStr, Field(pattern=OWN_PATTERN)]


def known_or_reference(names: tuple[str, ...]) -> Callable[[object], object]:
    """A validator of text that is one of `names` or a reference to a user-defined function."""

    def validate(value: object) -> object:
        if isinstance(value, str) and references.is_reference(value):
            return _canonical(value)
        if value not in names:
            raise PydanticCustomError("unknown_name", "a name", {"names": list(names)})
        return value

    return validate


def network_name(names: tuple[str, ...]) -> Callable[[object], object]:
    """The same, or the name of a network of a package, such as `torchvision:resnet18`."""
    known = known_or_reference((*names, *(f"{package}NAME" for package in references.PACKAGES)))

    def validate(value: object) -> object:
        if isinstance(value, str) and re.fullmatch(PACKAGE_PATTERN, value):
            return value
        return known(value)

    return validate


PACKAGE_PATTERN = rf"^({'|'.join(name.rstrip(':') for name in references.PACKAGES)}):[^:/\\]+$"


def network_name_schema(names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON Schema of such a name."""
    schema = known_or_reference_schema(names)
    return {"oneOf": [*schema["oneOf"][:1], {"type": "string", "pattern": _OWN_OR_PACKAGE}]}


_OWN_OR_PACKAGE = f"{references.PATTERN}|{PACKAGE_PATTERN}"


def known_or_reference_schema(names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON Schema of such text."""
    return {"oneOf": [{"type": "string", "enum": list(names)}, REFERENCE_SCHEMA]}
