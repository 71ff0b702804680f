"""How much two models' masks have in common, and how much of that is chance.

Two masks that keep many weights share many whatever they mean. So each overlap comes with what two
independent masks of the same densities in the same layers would share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons.alignment import permutations
from skeletons.errors import ArtifactError
from skeletons.measures.measure import Measure, by_name
from skeletons.store import artifacts

Array = artifacts.Array
Floats = npt.NDArray[np.float64]
Counts = tuple[int, int, int]  # of one layer: its weights, those that a keeps, those that b keeps

REACH = 12  # standard deviations on either side of the mean; beyond is less than 1e-12


def chance(size: int, kept_a: int, kept_b: int) -> tuple[int, Floats]:
    """The distribution of the number of weights that two independent masks of a layer share.

    If each mask is any set of its number of weights with equal chance, the number shared is
    hypergeometric: of `size` weights `kept_a` are marked and `kept_b` drawn.

    Args:
        size: weights of the layer.
        kept_a: weights that one mask keeps.
        kept_b: weights that the other keeps.

    Returns:
        The smallest number considered, and the probabilities of it and the numbers that follow;
        what is left out has a probability below 1e-12.
    """
    low, high = max(0, kept_a + kept_b - size), min(kept_a, kept_b)
    mean = kept_a * kept_b / size
    a, b = kept_a / size, kept_b / size
    variance = size * a * b * (1 - a) * (1 - b) * size / max(1, size - 1)
    reach = REACH * (np.sqrt(variance) + 1)
    low, high = max(low, int(mean - reach)), min(high, int(mean + reach) + 1)
    x = np.arange(low, high, dtype=np.float64)
    # The ratio of one probability to the one before, so that no factorial is ever needed.
    ratios = (kept_a - x) * (kept_b - x) / ((x + 1) * (size - kept_a - kept_b + x + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    powers = np.exp(logs - logs.max())
    return low, powers / powers.sum()


def chance_in_all(layers: Sequence[Counts]) -> tuple[int, Floats]:
    """The same for several layers together, each of which keeps its own densities."""
    each = [chance(*layer) for layer in layers]
    length = sum(len(p) - 1 for _, p in each) + 1
    # A sum's distribution is the convolution; by Fourier, as there may be thousands of values.
    waves = np.prod([np.fft.rfft(p, length) for _, p in each], axis=0)
    probabilities = np.maximum(np.fft.irfft(waves, length), 0.0)
    return sum(low for low, _ in each), probabilities / probabilities.sum()


def compare(layers: Sequence[Counts], both: int) -> dict[str, Any]:
    """The overlap of two masks over some layers, beside what chance gives.

    Args:
        layers: of each layer its weights, those that a keeps, and those that b keeps.
        both: weights that both keep, in all these layers.

    Returns:
        size, kept_a, kept_b, both; jaccard, |a∩b| / |a∪b|, 0..1; expected and expected_std, its
        mean and deviation if both masks were independent draws with the same number of weights in
        each layer (exact: no ratio of expectations); ceiling, the largest that these numbers
        allow, as where one mask lies within the other; and excess, (jaccard − expected) /
        (ceiling − expected): 0 at chance, 1 at the ceiling, below 0 if the masks avoid one another
        (the correction for chance of Hubert & Arabie 1985). What cannot be said is NaN, and
        `reason` says why.
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


def overlap(a: Mapping[str, Array], b: Mapping[str, Array], names: Iterable[str]) -> pd.DataFrame:
    """The overlap of two models' masks, the weights that are not zero, in all and by layer.

    If `b` was aligned to `a`, `expected` is no longer what chance gives: matching seeks overlap and
    finds some in any two masks. The fair zero is then the overlap of `a` with an aligned model
    without a skeleton, such as one of `scatter`.

    Args:
        a: one model's tensors by name.
        b: the other's, of the same shapes.
        names: of the prunable weights.

    Returns:
        Rows `layer`, `all` first and then the layers, with the columns of `compare`.

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


def scatter(tensors: Mapping[str, Array], names: Iterable[str], seed: int) -> dict[str, Array]:
    """A control without a skeleton: each layer's own weights, zeros included, in random places.

    Args:
        tensors: a model's tensors by name.
        names: those to scatter; the others are handed through.
        seed: of the places.
    """
    draw = np.random.default_rng(seed)
    scattered = dict(tensors)
    for name in names:
        scattered[name] = draw.permutation(tensors[name].ravel()).reshape(tensors[name].shape)
    return scattered


def excess(a: Mapping[str, Array], b: Mapping[str, Array]) -> float:
    """The overlap of two masks beyond chance, over all layers: `excess` of `compare`.

    Args:
        a: one model's prunable weights by name.
        b: the other's.

    Raises:
        ValueError: the two are not of one network.
    """
    return float(overlap(a, b, a).excess.iloc[0])


def _beyond_chance(aligned: bool) -> Measure:
    return Measure(
        name="mask_overlap_aligned" if aligned else "mask_overlap",
        label=f"overlap of masks beyond chance, units {'aligned' if aligned else 'as they are'}",
        kind="weights",
        low=-np.inf,
        high=1.0,
        higher_is_alike=True,
        symmetric=not aligned,  # which of two equally good alignments is found depends on the order
        invariant_to="the size and sign of the weights that are left, and which of the two masks "
        "is denser: a mask within the other has the largest value",
        blind_to="whether the weights that both keep do the same; and what the alignment misses"
        if aligned
        else "a skeleton that two models hold in another order of their units",
        source="Jaccard index, corrected for chance as by Hubert & Arabie 1985"
        + ("; aligned by Ainsworth et al. 2022" if aligned else ""),
        per_image=False,
        cheap=False,
        values=excess,  # of b with its units aligned already, if they are to be
    )


MEASURES = by_name(_beyond_chance(aligned=False), _beyond_chance(aligned=True))


# --- the stages ---------------------------------------------------------------------------------


def overlap_stage(
    output: str,
    model_a: str,
    model_b: str,
    a: str,
    b: str,
    summary: str,
    matched: str | None = None,
) -> None:
    """Write the overlap of two pruned models' masks: a, b and the columns of `overlap`.

    Args:
        output: the parquet file to write.
        model_a: id of the one model.
        model_b: id of the other.
        a: weights.safetensors of the one.
        b: weights.safetensors of the other.
        summary: the model.json of their network.
        matched: the permutations that align b to a, from `alignment.align_stage`; None for as
            it is.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
    """
    about = artifacts.read_json(summary, ["network", "layers"])
    names = [layer["name"] for layer in about["layers"] if layer["prunable"]]
    other = permutations.read_aligned(b, about["network"]["name"], matched)
    try:
        table = overlap(artifacts.read_tensors(a), other, names)
    except ValueError as error:
        raise ArtifactError(f"{a} and {b} cannot be compared: {error}.") from None
    table.insert(0, "a", model_a)
    table.insert(1, "b", model_b)
    artifacts.write_table(output, table)


def collect_stage(output: str, measure: str, *inputs: str) -> None:
    """Write all pairs' rows over all layers as one table, in the order given.

    The measure's column is what `excess` is in a pair's own file.
    """
    layers = artifacts.read_tables(inputs, ["a", "b", "layer", "excess"])
    rows = layers[layers.layer == "all"].drop(columns="layer")
    artifacts.write_table(output, rows.rename(columns={"excess": measure}))
