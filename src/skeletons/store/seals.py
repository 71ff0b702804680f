"""The seal of an artifact: what it is and a digest of its content, kept inside the file.

A flipped bit in a file of weights is still a file of weights. So every artifact carries the
version of its format, its place in the experiment and a digest of each of its parts, and a reader
refuses one that does not match: nothing that was damaged, edited or put in another's place is
ever computed with. What it was made from is there too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from skeletons.errors import ArtifactError
from skeletons.store import provenance
from skeletons.store.provenance import place

KEY = "skeletons"  # the seal's name in a file's metadata
FORMAT = 1  # rises when the meaning of an artifact changes
Part = Sequence[bytes | memoryview]  # a part's bytes, in as many pieces as is convenient


def unfit(path: str | os.PathLike[str], what: str) -> ArtifactError:
    """The error for an artifact that cannot be used: which, why, and how to remake it."""
    return ArtifactError(f"{path} {what}; delete it and run snakemake again, which makes it anew.")


def make(path: str | os.PathLike[str], parts: Mapping[str, Part]) -> dict[str, Any]:
    """The seal of what is about to be written to `path`."""
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
    """A seal as text that is the same for equal seals."""
    return json.dumps(seal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def check(path: str | os.PathLike[str], seal: object, parts: Mapping[str, Part]) -> None:
    """Hold an artifact's parts, all or some of them, against its seal (None if it has none).

    Raises:
        ArtifactError: the seal is absent, of another format or another artifact's, a part is not
            what it was when it was written, or the job that reads it expects one that was made
            from other settings.
    """
    if isinstance(seal, str | bytes):
        try:
            seal = json.loads(seal)
        except ValueError:
            raise unfit(path, "was changed after it was written (its seal is broken)") from None
    if not isinstance(seal, dict) or "format" not in seal:
        raise unfit(path, "was not written by this workflow, or changed since (it has no seal)")
    if seal["format"] != FORMAT:
        raise unfit(path, f"is in format {seal['format']}, but this version reads {FORMAT}")
    if seal.get("self") != _own_digest(seal):
        raise unfit(path, "was changed after it was written (its seal is broken)")
    if seal.get("place") != place(path):
        raise unfit(path, f"holds another artifact, {seal.get('place')}")
    expected = provenance.expected(path)
    if expected is not None and seal.get("lineage") != expected:
        raise unfit(path, "was made from other settings than this experiment's")
    digests = seal.get("sha256")
    for name, part in parts.items():
        if not isinstance(digests, dict) or digests.get(name) != _digest(part):
            where = f" (in {name!r})" if name else ""
            raise unfit(path, f"was changed after it was written{where}")


def _own_digest(seal: Mapping[str, Any]) -> str:
    """A digest of the rest of a seal: what it says of the artifact's making is sealed as well."""
    return _digest([dump({key: seal[key] for key in seal if key != "self"}).encode()])


def _digest(part: Part) -> str:
    digest = hashlib.sha256()
    for piece in part:
        digest.update(piece)
    return digest.hexdigest()[:32]
