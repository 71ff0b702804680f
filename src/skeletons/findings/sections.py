"""A page as a list of sections, each with a heading and text in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Section:
    """A section of the findings.

    Attributes:
        name: a short identifier.
        title: its heading.
        text: Markdown.
        lead: Markdown that stands before the text; the report shows the same as data elsewhere.
    """

    name: str
    title: str
    text: str
    lead: str = ""


def to_markdown(title: str, sections: Iterable[Section]) -> str:
    """The whole page in Markdown."""
    parts = [f"# {title}"]
    for section in sections:
        parts += [f"## {section.title}", section.lead, section.text]
    return joined(*parts) + "\n"


def joined(*parts: str) -> str:
    """Paragraphs as one text; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def once(rows: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """Rows by data set without those that an earlier data set has as well."""
    shown: list[Any] = []
    new = {}
    for ood, found in rows.items():
        new[ood] = [row for row in found if row not in shown]
        shown += new[ood]
    return new
