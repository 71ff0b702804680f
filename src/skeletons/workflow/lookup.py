"""From a path or a model id that a user types to files of results."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from pathlib import Path

from skeletons import text
from skeletons.errors import ArtifactError

RESULTS = Path("results")


def files_at(named: str, kinds: Collection[str]) -> list[Path]:
    """The named file, or the files of some kinds in the named folder or of the named model.

    Args:
        named: a path, or the id of a model that only one experiment has.
        kinds: suffixes, such as `.json`.

    Raises:
        ArtifactError: there is no such file, or several experiments have that model.
    """
    path = Path(named)
    if path.is_file():
        return [path]
    folder = path if path.exists() else _of_model(named) or path
    found = sorted(file for file in folder.glob("*") if file.suffix in kinds)
    if not found:
        near = _nearest(path) or _nearest_model(named)
        hint = f"; the nearest is {near}." if near else "."
        raise ArtifactError(f"{path} is neither an artifact nor a folder of artifacts{hint}")
    return found


def _of_model(named: str) -> Path | None:
    """The folder of the model with this id; None if no experiment has it.

    Raises:
        ArtifactError: several experiments have it.
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
    """The existing path nearest to one that does not exist; None if a part has no near match."""
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
