"""The figures that the report shows, each with the caption from its own file."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.figures import captions
from skeletons.report import html


def figure(path: str) -> dict[str, Any]:
    """A figure for the page: the fields of `captions.Drawn`, its file, and the picture itself.

    Returns:
        kind, section, title, of, text and measure, see `captions.Drawn`; file, relative to the
        report; source, an address that holds the whole picture.

    Raises:
        ArtifactError: the file cannot be read, or has no caption.
    """
    return {
        **dataclasses.asdict(captions.read(path)),
        "file": f"figures/{Path(path).name}",
        "source": html.picture(path),
    }


def by_title(drawn: Sequence[Mapping[str, Any]], section: str) -> list[list[Mapping[str, Any]]]:
    """The figures of a section in groups that share a title and a text.

    Args:
        drawn: what `figure` gives for each figure.
        section: one of `captions.SECTIONS`.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in drawn:
        if one["section"] == section:
            found.setdefault(one["title"], []).append(one)
    return list(found.values())


def first_heatmap(
    drawn: Sequence[Mapping[str, Any]], measure: str | None, controls: Collection[str] = ()
) -> Mapping[str, Any] | None:
    """The first heatmap of predictions by a measure; None if there is none.

    Data sets without a vote come last.

    Args:
        drawn: what `figure` gives for each figure.
        measure: the name of the measure that the verdict rests on; None if there is no verdict.
        controls: the data sets that have no vote in it.
    """
    maps = [one for one in drawn if one["kind"] == "heatmap"]
    maps.sort(key=lambda one: one["of"].partition(", ")[0] in controls)
    return next((one for one in maps if measure in (None, one["measure"])), None)
