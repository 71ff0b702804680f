"""The overlap of two models' masks, compared with the overlap that chance gives.

Two masks that keep many weights share many, whatever the masks mean. So each overlap comes with the
overlap of two independent masks with the same density in each layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeletons import unit_masks
from skeletons.alignment import permutations
from skeletons.arrays import Floats
from skeletons.errors import ArtifactError
from skeletons.measures import magnitude_masks
from skeletons.measures.measure import Measure
from skeletons.store import artifacts

Array = artifacts.Array
Counts = tuple[int, int, int]  # of a layer: its weights, those that a keeps, those that b keeps

REACH = 12  # standard deviations on each side of the mean; the rest is less likely than 1e-12


def chance(size: int, kept_a: int, kept_b: int) -> tuple[int, Floats]:
    """The distribution of the number of weights that two independent masks of a layer share.

    If all masks of a given size are equally likely, the number of shared weights is hypergeometric:
    of `size` weights, `kept_a` are marked and `kept_b` are drawn.

    Args:
        size: number of weights of the layer.
        kept_a: number of weights that one mask keeps.
        kept_b: number of weights that the other mask keeps.

    Returns:
        The smallest number considered, and the probabilities of this number and those that follow;
        the numbers left out have a probability below 1e-12.
    """
    low, high = max(0, kept_a + kept_b - size), min(kept_a, kept_b)
    mean = kept_a * kept_b / size
    a, b = kept_a / size, kept_b / size
    variance = size * a * b * (1 - a) * (1 - b) * size / max(1, size - 1)
    reach = REACH * (np.sqrt(variance) + 1)
    low, high = max(low, int(mean - reach)), min(high, int(mean + reach) + 1)
    x = np.arange(low, high, dtype=np.float64)
    # The ratio of each probability to the previous one, so no factorial is needed.
    ratios = (kept_a - x) * (kept_b - x) / ((x + 1) * (size - kept_a - kept_b + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    powers = np.exp(logs - logs.max())
    return low, powers / powers.sum()


def chance_in_all(layers: Sequence[Counts]) -> tuple[int, Floats]:
    """The same for several layers together, each with its own densities."""
    each = [chance(*layer) for layer in layers]
    length = sum(len(p) - 1 for _, p in each) + 1
    # The distribution of a sum is a convolution, done by FFT because there may be thousands of
    # values.
    waves = np.prod([np.fft.rfft(p, length) for _, p in each], axis=0)
    probabilities = np.maximum(np.fft.irfft(waves, length), 0.0)
    return sum(low for low, _ in each), probabilities / probabilities.sum()


def compare(layers: Sequence[Counts], both: int) -> dict[str, Any]:
    """The overlap of two masks over some layers, and the overlap that chance gives.

    Args:
        layers: for each layer, the numbers of its weights, of those that a keeps, and of those that
            b keeps.
        both: number of weights that both masks keep, in all these layers.

    Returns:
        size, kept_a, kept_b, both; jaccard, |a∩b| / |a∪b|, 0..1; expected and expected_std, its
        mean and standard deviation if both masks were independent draws with the same number of
        weights in each layer (exact, not a ratio of expectations); ceiling, the largest value that
        these numbers allow, for example if one mask lies within the other; and excess,
        (jaccard − expected) / (ceiling − expected): 0 for chance, 1 for the ceiling, negative if
        the masks avoid each other (the correction for chance of Hubert & Arabie 1985). A value that
        is not defined is NaN, and `reason` says why.
    """
    size, kept_a, kept_b = (sum(layer[k] for layer in layers) for k in range(3))
    row: dict[str, Any] = {"size": size, "kept_a": kept_a, "kept_b": kept_b, "both": both}
    unknown = dict.fromkeys(("jaccard", "expected", "expected_std", "ceiling", "excess"), np.nan)
    if not kept_a + kept_b:
        return {**row, **unknown, "reason": "both masks are empty"}
    low, probabilities = chance_in_all(layers)
    shared = low + np.arange(len(probabilities))
    values = shared / (kept_a + kept_b - shared)
    expected = float(probabilities @ values)
    most = sum(min(a, b) for _, a, b in layers)
    ceiling = most / (kept_a + kept_b - most)
    jaccard = both / (kept_a + kept_b - both)
    free = len(probabilities) > 1
    return {
        **row,
        "jaccard": jaccard,
        "expected": expected,
        "expected_std": float(np.sqrt(probabilities @ (values - expected) ** 2)),
        "ceiling": ceiling,
        "excess": (jaccard - expected) / (ceiling - expected) if free else np.nan,
        "reason": "" if free else "masks of these sizes overlap in one way only",
    }


def overlap_of(
    a: Mapping[str, Array], b: Mapping[str, Array], names: Iterable[str]
) -> pd.DataFrame:
    """The overlap of two models' masks (their weights that are not zero), in total and by layer.

    If `b` was aligned to `a` by their own weights, `expected` is no longer the overlap of chance,
    because matching seeks overlap and finds some in any two masks.

    Args:
        a: the tensors of one model by name.
        b: the tensors of the other model, of the same shapes.
        names: the names of the prunable weights.

    Returns:
        One row `all`, then one row per layer: `layer`, and the columns of `compare`.

    Raises:
        ValueError: a tensor is missing or of another shape.
    """
    counts: dict[str, tuple[Counts, int]] = {}
    for name in names:
        if name not in a or name not in b or a[name].shape != b[name].shape:
            raise ValueError(f"the two models are not of one network: they differ at {name!r}")
        one, two = a[name] != 0, b[name] != 0
        kept = one.size, int(one.sum()), int(two.sum())
        counts[name] = kept, int((one & two).sum())
    groups = {"all": list(counts.values()), **{name: [found] for name, found in counts.items()}}
    return pd.DataFrame(
        {"layer": layer, **compare([kept for kept, _ in found], sum(both for _, both in found))}
        for layer, found in groups.items()
    )


SIGNS = ("same_sign", "same_sign_expected")
UNWALKED = ("base_jaccard", "base_excess", "base_same_sign")


def with_signs(
    table: pd.DataFrame, a: Mapping[str, Array], b: Mapping[str, Array], names: Iterable[str]
) -> pd.DataFrame:
    """The overlap of masks, and how often a weight that both keep has the same sign in both.

    Args:
        table: from `overlap_of` for the same models and names.
        a: the tensors of one model by name.
        b: the tensors of the other model.
        names: the names of the prunable weights.

    Returns:
        The table with `same_sign`, the share (0..1) of the weights kept by both that have the same
        sign, and `same_sign_expected`, that share if the signs of each layer were independent of
        each other: p·q + (1 − p)(1 − q), where p and q are the shares of positive weights among
        those that both keep. NaN if no weight is kept by both.
    """
    found = [_signs(a[name], b[name]) for name in names]
    every = np.array([np.sum(found, axis=0), *found], dtype=np.float64).reshape(-1, 3)
    shared = np.where(every[:, 0] > 0, every[:, 0], np.nan)
    return table.assign(**{name: every[:, k] / shared for k, name in enumerate(SIGNS, start=1)})


def _signs(a: Array, b: Array) -> tuple[int, int, float]:
    """The numbers of weights that both keep, of those with one sign, and of these by chance."""
    both = (a != 0) & (b != 0)
    one, two = a[both] > 0, b[both] > 0
    count = len(one)
    if not count:
        return 0, 0, 0.0
    p, q = float(one.mean()), float(two.mean())
    return count, int((one == two).sum()), count * (p * q + (1 - p) * (1 - q))


def with_unwalked(
    table: pd.DataFrame,
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    bases: tuple[Mapping[str, Array], Mapping[str, Array]] | None,
    names: Sequence[str],
    streams: Sequence[unit_masks.Stream] | None = None,
) -> pd.DataFrame:
    """The overlap of masks, beside that of their bases, pruned as much without a walk.

    Args:
        table: from `overlap_of` for the same models and names.
        a: the tensors of one pruned model by name.
        b: the tensors of the other pruned model.
        bases: the tensors of the bases of both; None for pairs without this control.
        names: the names of the prunable weights.
        streams: the network's units, if whole units were pruned.

    Returns:
        The table with `UNWALKED`: jaccard, excess and same_sign of the largest weights of the
        bases, as many in each layer as the pruned models keep; or of the largest units, as many as
        these keep. NaN without bases.
    """
    if bases is None:
        return table.assign(**dict.fromkeys(UNWALKED, np.nan))
    one, two = (
        magnitude_masks.like(base, {name: model[name] for name in names}, streams)
        for base, model in zip(bases, (a, b), strict=True)
    )
    found = with_signs(overlap_of(one, two, names), one, two, names)
    return table.assign(
        base_jaccard=found.jaccard, base_excess=found.excess, base_same_sign=found.same_sign
    )


def excess(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The overlap of two masks beyond chance over all layers: `excess` of `compare`.

    Args:
        a: the prunable weights of one model by name.
        b: the prunable weights of the other model.

    Raises:
        ValueError: the two are not of one network.
    """
    return float(overlap_of(a, b, a).excess.iloc[0])


def _beyond_chance(aligned: bool) -> Measure:
    return Measure(
        name="mask_overlap_aligned" if aligned else "mask_overlap",
        label=f"overlap of masks beyond chance, units {'aligned' if aligned else 'as they are'}",
        kind="weights",
        low=-np.inf,
        high=1.0,
        higher_is_alike=True,
        symmetric=not aligned,  # the alignment that is found may depend on the order of the two
        invariant_to="the size and sign of the remaining weights, and which of the two masks is "
        "denser: a mask that lies within the other has the largest value",
        blind_to="whether the shared weights have the same function, and similarity that the "
        "alignment misses"
        if aligned
        else "a skeleton that two models share in a different order of their units",
        source="Jaccard index, corrected for chance as by Hubert & Arabie 1985"
        + ("; aligned by Ainsworth et al. 2022" if aligned else ""),
        per_image=False,
        cheap=False,
        values=excess,  # for aligned units, b must be aligned beforehand
    )


DECLARED = (_beyond_chance(aligned=False), _beyond_chance(aligned=True))


# --- the stages ---------------------------------------------------------------------------------


def compare_masks_stage(
    *,
    a: str,
    b: str,
    summary: str,
    base_a: str | None = None,
    base_b: str | None = None,
    units: str | None = None,
    matched: str | None = None,
    symmetries: str | None = None,
    pair: str,
    models: Sequence[str],
) -> None:
    """Write the overlap of two pruned models' masks, in total and by layer.

    The table has the columns a, b, and those of `overlap_of`, `with_signs` and `with_unwalked`.

    Args:
        a: weights.safetensors of one model.
        b: weights.safetensors of the other model.
        summary: the model.json of their network.
        base_a: weights.safetensors of a's base, for the control without a walk; None for none.
        base_b: weights.safetensors of b's base.
        units: the units.json of their network, if whole units were pruned and there are bases.
        matched: the permutations that align b to a, from `align_stage`; None to leave the units in
            their order.
        symmetries: the symmetries.json of their network, if `matched` is given.
        pair: the parquet file to write.
        models: the ids of a and b.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
    """
    about = artifacts.read_json(summary, ["layers"])
    names = [layer["name"] for layer in about["layers"] if layer["prunable"]]
    one, other = artifacts.read_tensors(a), permutations.read_aligned(b, symmetries, matched)
    bases = None
    if base_a is not None and base_b is not None:
        aligned = permutations.read_aligned(base_b, symmetries, matched)
        bases = artifacts.read_tensors(base_a), aligned
    try:
        table = with_signs(overlap_of(one, other, names), one, other, names)
        streams = None if units is None else unit_masks.read(units)
        table = with_unwalked(table, one, other, bases, names, streams)
    except ValueError as error:
        raise ArtifactError(f"{a} and {b} cannot be compared: {error}.") from None
    table.insert(0, "a", models[0])
    table.insert(1, "b", models[1])
    artifacts.write_table(pair, table)


def collect_masks_stage(*, pairs: Sequence[str], table: str, layers: str, overlap: str) -> None:
    """Write the rows of all pairs as two tables, in the order given.

    Args:
        pairs: the tables of single pairs.
        table: the parquet file to write, with one row per pair, over all layers.
        layers: the parquet file to write, with a row `all` and one row per layer of each pair.
        overlap: the name of the measure, which is the column for `excess` of a pair's table.

    Raises:
        ArtifactError: a table is missing or broken.
    """
    every = artifacts.read_tables(pairs, ["a", "b", "layer", "excess", *SIGNS, *UNWALKED])
    rows = every[every.layer == "all"].drop(columns="layer")
    artifacts.write_table(layers, every)
    artifacts.write_table(table, rows.rename(columns={"excess": overlap}))
