"""The stages that align models: pair by pair or all together, by weights or by activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from skeletons.alignment.frame import common_frame, through_frame
from skeletons.alignment.matching import compared, cosine, match, prepared
from skeletons.alignment.permutations import (
    Array,
    Indices,
    Permutations,
    Specification,
    apply,
    of_activations,
    specification,
)
from skeletons.errors import ArtifactError
from skeletons.store import artifacts


def align_stage(
    *,
    a: str,
    b: str,
    symmetries: str,
    permutations: str,
    gains: str,
    by: str,
    seed: int,
    restarts: int,
) -> None:
    """Write the permutations that align model `b` to model `a`, and their gain.

    Args:
        a: weights.safetensors of the model that is not changed; or its activations, from
            `prediction.units`.
        b: the same for the model that is aligned.
        symmetries: the symmetries.json of their network.
        permutations: the safetensors file to write, with one permutation (int64) per group.
        gains: the JSON file to write: `by`, `cosine_before`, `cosine_after` (of weights as they are
            applied, or the mean correlation of activations, −1..1; None if a model is all zero),
            and `moved`, the share (0..1) of units of each group that change places.
        by: `weights` or `activations`.
        seed: of the random orders.
        restarts: number of runs; the best is written.

    Raises:
        ArtifactError: the two models are not of the network of `symmetries`.
    """
    one, two = artifacts.read_tensors(a), artifacts.read_tensors(b)
    try:
        spec = _specification(symmetries, one, by)
        found = match(one, two, spec, seed=seed, restarts=restarts)
    except ValueError as error:
        raise ArtifactError(f"{b} cannot be aligned to {a}: {error}.") from None
    _write(permutations, gains, one, two, spec, found, by)


def _specification(symmetries: str, tensors: Mapping[str, Array], by: str) -> Specification:
    found = artifacts.read_json(symmetries, ["groups"])
    return (of_activations if by == "activations" else specification)(found, tensors)


def _write(
    permutations: str,
    gains: str,
    one: Mapping[str, Array],
    two: Mapping[str, Array],
    spec: Specification,
    found: dict[str, Indices],
    by: str,
) -> None:
    """Write the permutations of a pair and their gain, see `align_stage`."""
    names = compared(spec)
    first, second = (prepared(tensors, spec, names) for tensors in (one, two))
    before = cosine(first, second, names)
    after = cosine(first, apply(second, spec, found), names)
    artifacts.write_json(
        gains,
        {
            "by": by,
            "cosine_before": None if np.isnan(before) else before,
            "cosine_after": None if np.isnan(after) else after,
            "moved": {g: float(np.mean(p != np.arange(len(p)))) for g, p in found.items()},
        },
    )
    artifacts.write_tensors(permutations, found)


def align_together_stage(
    *,
    models: Sequence[str],
    symmetries: str,
    frame: str,
    bases: Sequence[str],
    by: str,
    seed: int,
) -> None:
    """Write the permutations that bring all base models of a network into one order.

    Args:
        models: weights.safetensors of each base, or its activations, in the order of `bases`.
        symmetries: the symmetries.json of their network.
        frame: the safetensors file to write, with one permutation (int64) per base and group, by
            the name BASE/GROUP.
        bases: the ids of the base models.
        by: `weights` or `activations`.
        seed: of the random orders.

    Raises:
        ArtifactError: the models are not of the network of `symmetries`.
    """
    tensors = [artifacts.read_tensors(path) for path in models]
    try:
        spec = _specification(symmetries, tensors[0], by)
        found = common_frame(tensors, spec, seed)
    except ValueError as error:
        raise ArtifactError(f"{', '.join(models)} cannot be aligned: {error}.") from None
    artifacts.write_tensors(
        frame,
        {
            f"{base}/{group}": p
            for base, own in zip(bases, found, strict=True)
            for group, p in own.items()
        },
    )


def align_through_frame_stage(
    *,
    frame: str,
    a: str,
    b: str,
    symmetries: str,
    permutations: str,
    gains: str,
    bases: Sequence[str],
    by: str,
) -> None:
    """Write the permutations that align one base to another through the common frame.

    Args:
        frame: the file of `align_together_stage`.
        a: weights.safetensors of the model that is not changed, or its activations.
        b: the same for the model that is aligned.
        symmetries: the symmetries.json of their network.
        permutations: the safetensors file to write, as `align_stage` writes it.
        gains: the JSON file to write, as `align_stage` writes it.
        bases: the ids of the two base models.
        by: `weights` or `activations`.

    Raises:
        ArtifactError: the files do not fit together.
    """
    held = artifacts.read_tensors(frame)
    one, two = artifacts.read_tensors(a), artifacts.read_tensors(b)
    first, second = (_of_base(held, base) for base in bases)
    try:
        spec = _specification(symmetries, one, by)
        found = through_frame(first, second)
        apply(two, spec, found)
    except (ValueError, KeyError) as error:
        raise ArtifactError(f"{frame} does not align {b} to {a}: {error}.") from None
    _write(permutations, gains, one, two, spec, found, by)


def _of_base(held: Mapping[str, Array], base: str) -> Permutations:
    return {
        name.removeprefix(f"{base}/"): values
        for name, values in held.items()
        if name.startswith(f"{base}/")
    }
