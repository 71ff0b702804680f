"""Figures as the report shows them: each with its caption, its file and its content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.errors import ArtifactError
from skeletons.measures.catalogue import MEASURES
from skeletons.report import captions, html


def figure(path: str) -> dict[str, Any]:
    """A figure with its caption, its file, and itself as an address."""
    try:
        caption, of = captions.caption_of(Path(path).stem)
    except KeyError:
        kinds = ", ".join(captions.CAPTIONS)
        raise ArtifactError(
            f"{path} is a figure of no kind that has a caption; its name must begin with one of "
            f"{kinds}."
        ) from None
    return {
        "section": caption.section,
        "title": caption.title,
        "of": of,
        "text": caption.text,
        "file": f"figures/{Path(path).name}",
        "source": html.picture(path),
    }


def first_heatmap(drawn: Sequence[Mapping[str, Any]], measure: str | None) -> Any:
    """The heatmap of the measure that the verdict rests on; None if none is drawn."""
    maps = [figure for figure in drawn if figure["title"] == captions.CAPTIONS["heatmap"].title]
    label = MEASURES[measure].label if measure else ""
    return next((figure for figure in maps if figure["of"].endswith(label)), None)
