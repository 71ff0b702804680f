"""From what a user types to files of results: a path, a model's id, or something near to one."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from skeletons import text
from skeletons.errors import ArtifactError

RESULTS = Path("results")


def files_at(named: str, kinds: Collection[str]) -> list[Path]:
    """The file that is named, or the files of certain kinds in the folder or of the model.

    Args:
        named: a path, or the id of a model that is in one experiment only.
        kinds: suffixes, such as `.json`.

    Raises:
        ArtifactError: there is none, or several experiments have that model.
    """
    path = Path(named)
    if path.is_file():
        return [path]
    folder = path if path.exists() else _of_model(named) or path
    found = sorted(file for file in folder.glob("*") if file.suffix in kinds)
    if not found:
        near = _nearest(path) or _nearest_model(named)
        hint = f"; the nearest is {near}." if near else "."
        raise ArtifactError(f"{path} is no artifact and no folder of artifacts{hint}")
    return found


def _of_model(named: str) -> Path | None:
    """The folder of the model with this id; None if no experiment has it.

    Raises:
        ArtifactError: several have.
    """
    found = [folder for folder in _models() if folder.name == named]
    if len(found) > 1:
        raise ArtifactError(
            f"{named} is a model of {len(found)} experiments; name one of "
            f"{text.listed([str(folder) for folder in found])}."
        )
    return found[0] if found else None


def _models() -> list[Path]:
    return sorted(RESULTS.glob("*/models/*"))


def _nearest(path: Path) -> Path | None:
    """The path that is there and nearest to one that is not; None if some part has none near."""
    place = Path(path.anchor)
    for part in path.parts[len(place.parts) :]:
        if not (place / part).exists():
            beside = place.glob("*") if place.is_dir() else ()
            near = _close(part, (other.name for other in beside))
            if near is None:
                return None
            part = near
        place /= part
    return place if place != path else None


def _nearest_model(named: str) -> str | None:
    return _close(named, {folder.name for folder in _models()})


def _close(name: str, names: Iterable[str]) -> str | None:
    visible = sorted(other for other in names if not other.startswith("."))
    return next(iter(difflib.get_close_matches(name, visible, n=1)), None)
