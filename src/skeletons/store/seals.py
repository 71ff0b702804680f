"""The seal of an artifact: a description and a digest of its content, stored inside the file.

A file of weights with a flipped bit is still a readable file of weights. So every artifact contains
the version of its format, its place in the experiment and a digest of each of its parts, and a
reader refuses an artifact that does not match: damaged, edited or misplaced artifacts are never
used. The seal also contains the recipe that the artifact was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from skeletons.errors import ArtifactError, OtherSettingsError
from skeletons.store import provenance
from skeletons.store.provenance import place

KEY = "skeletons"  # the seal's name in a file's metadata
FORMAT = 1  # incremented when the meaning of an artifact changes
Part = Sequence[bytes | memoryview]  # the bytes of a part, in any number of pieces


def unfit(path: str | os.PathLike[str], what: str) -> ArtifactError:
    """The error for an unusable artifact: its path, the reason, and how to remake it."""
    return ArtifactError(f"{path} {what}; delete it and run snakemake again to remake it.")


def make(path: str | os.PathLike[str], parts: Mapping[str, Part]) -> dict[str, Any]:
    """The seal of an artifact that is about to be written to `path`."""
    made = provenance.made()
    seal: dict[str, Any] = {
        "format": FORMAT,
        "place": place(path),
        "sha256": {name: _digest(part) for name, part in parts.items()},
    }
    if made:
        seal |= {"lineage": provenance.lineage(), "made": made}
    return {**seal, "self": _own_digest(seal)}


def dump(seal: Mapping[str, Any]) -> str:
    """A seal as text; equal seals give equal text."""
    return json.dumps(seal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check(path: str | os.PathLike[str], seal: object, parts: Mapping[str, Part]) -> None:
    """Check some or all parts of an artifact against its seal.

    Args:
        path: of the artifact.
        seal: as read from the file; None if the file has none.
        parts: the content to check, by name.

    Raises:
        ArtifactError: the seal is missing, has another format or belongs to another artifact, a
            part was changed after it was written, or the job that reads the artifact expects one
            that was made from other settings.
    """
    if isinstance(seal, str | bytes):
        try:
            seal = json.loads(seal)
        except ValueError:
            raise unfit(path, "was changed after it was written (its seal is broken)") from None
    if not isinstance(seal, dict) or "format" not in seal:
        raise unfit(path, "was not written by this workflow, or was changed since (it has no seal)")
    if seal["format"] != FORMAT:
        raise unfit(path, f"is in format {seal['format']}, but this version reads {FORMAT}")
    if seal.get("self") != _own_digest(seal):
        raise unfit(path, "was changed after it was written (its seal is broken)")
    if seal.get("place") != place(path):
        raise unfit(path, f"holds another artifact, {seal.get('place')}")
    expected = provenance.expected(path)
    if expected is not None and seal.get("lineage") != expected:
        refused = unfit(path, "was made from other settings than this experiment's")
        raise OtherSettingsError(str(refused))
    digests = seal.get("sha256")
    for name, part in parts.items():
        if not isinstance(digests, dict) or digests.get(name) != _digest(part):
            where = f" (in {name!r})" if name else ""
            raise unfit(path, f"was changed after it was written{where}")


def _own_digest(seal: Mapping[str, Any]) -> str:
    """A digest of the rest of the seal, so that the recipe in it is protected as well."""
    return _digest([dump({key: seal[key] for key in seal if key != "self"}).encode()])


def _digest(part: Part) -> str:
    digest = hashlib.sha256()
    for piece in part:
        digest.update(piece)
    return digest.hexdigest()[:32]
