"""The order of units of two base models of an experiment, from its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeletons.alignment.matching import match
from skeletons.alignment.permutations import (
    Array,
    Indices,
    apply,
    folder_of,
    specification,
)
from skeletons.errors import SkeletonsError
from skeletons.store import artifacts


def aligned(
    tensors: Mapping[str, Array],
    results: Path,
    bases: Sequence[Path],
    about: Mapping[str, Any],
    chosen: Mapping[str, str],
) -> dict[str, Array]:
    """A model's tensors, with the units of its base in the order of those of another base.

    The order is the one that the experiment used. If it did not align this pair, it is found here,
    by weights.

    Args:
        tensors: of a model of the second base.
        results: the experiment's folder.
        bases: the weights.safetensors of two bases, each in a folder that is named by its id.
        about: their network, as in model.json.
        chosen: the section `alignment` of the configuration.

    Raises:
        SkeletonsError: the experiment aligns otherwise, and did not align this pair.
        ArtifactError: a file is missing or broken.
    """
    from skeletons.networks import symmetries  # with torch

    by, order = chosen.get("match", "weights"), chosen.get("order", "pairs")
    one, two = (artifacts.read_tensors(path) for path in bases)
    spec = specification(symmetries.of(about), one)
    a, b = (path.parent.name for path in bases)
    folder = results / "alignment" / folder_of(by, order)
    there, back = (folder / f"{x}--{y}.safetensors" for x, y in ((a, b), (b, a)))
    found: dict[str, Indices]
    if there.is_file():
        found = artifacts.read_tensors(there)
    elif back.is_file():
        found = {group: np.argsort(p) for group, p in artifacts.read_tensors(back).items()}
    elif (by, order) == ("weights", "pairs"):
        found = match(one, two, spec)
    else:
        raise SkeletonsError(
            f"The units of {a} and {b} were not aligned by {by} here; ask for "
            "`mask_overlap_aligned` in `compare.weights`, and run snakemake again."
        )
    return apply(tensors, spec, found)
