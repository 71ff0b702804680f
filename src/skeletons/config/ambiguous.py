"""Plain words and numbers that YAML 1.1 reads as something other than what is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"[-+]?0[0-9_]|.*:")  # a leading zero is octal, and colons count in sixties


@dataclass(frozen=True, repr=False)
class Ambiguous:
    """A value that may not be what its author means.

    It is neither text nor a number, so every type refuses it, except that a key that is true or
    false takes `yes`, `no`, `on` and `off`.

    Attributes:
        text: as it is written, such as `010`, `1:30` or `no`.
        value: as YAML 1.1 reads it, such as 8, 90 or False.
    """

    text: str
    value: bool | int | float

    def __repr__(self) -> str:
        return self.text


def read_as(text: str, value: bool | int | float) -> bool | int | float | Ambiguous:
    """What a plain word or number stands for, or that it is ambiguous."""
    if isinstance(value, bool):
        return value if text.lower() in ("true", "false") else Ambiguous(text, value)
    return Ambiguous(text, value) if _NUMBER.match(text) else value
