"""The order of units of two base models of an experiment, from its results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    a: str,
    b: str,
    about: Mapping[str, Any],
    weights: Callable[[str], Mapping[str, Array]],
    chosen: Mapping[str, str],
) -> dict[str, Array]:
    """A model's tensors, with the units of base b in the order of those of base a.

    The order is the one that the experiment used. If it aligned no such pair, it is found here, by
    weights.

    Args:
        tensors: of a model whose base is b.
        results: the experiment's folder.
        a: the id of a base.
        b: the id of another base.
        about: their network, as in model.json.
        weights: gives the tensors of a base.
        chosen: the section `alignment` of the configuration.

    Raises:
        SkeletonsError: the experiment aligns otherwise, and did not align this pair.
    """
    from skeletons.networks import symmetries  # with torch

    by, order = chosen.get("match", "weights"), chosen.get("order", "pairs")
    one = weights(a)
    spec = specification(symmetries.of(about), one)
    folder = results / "alignment" / folder_of(by, order)
    there, back = (folder / f"{x}--{y}.safetensors" for x, y in ((a, b), (b, a)))
    found: dict[str, Indices]
    if there.is_file():
        found = artifacts.read_tensors(there)
    elif back.is_file():
        found = {group: np.argsort(p) for group, p in artifacts.read_tensors(back).items()}
    elif (by, order) == ("weights", "pairs"):
        found = match(one, weights(b), spec)
    else:
        raise SkeletonsError(
            f"The units of {a} and {b} were not aligned by {by} here; ask for "
            "`mask_overlap_aligned` in `compare.weights`, and run snakemake again."
        )
    return apply(tensors, spec, found)
