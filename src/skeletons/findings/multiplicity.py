"""How much equally good models differ: the multiplicity of the set of models on one ridge.

The set holds the living models whose test loss is at most `tolerance` above that of the best base,
the empirical Rashomon set. Similarities look at two models at a time; these numbers look at the
whole set, image by image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings.sections import Section, joined
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import BASE, LABELS

PRECISION = 1e-3  # of a capacity, in bits
ITERATIONS = 2000
AT_ONCE = 2_000_000  # probabilities that are worked on at once
KEPT = 0.8  # copying those that are not done costs more than computing these a few times again


@dataclass(frozen=True)
class Multiplicity:
    """How much the models of a set differ on a data set.

    Attributes:
        reference: the base with the lowest test loss.
        models: the ids of the models in the set, the reference among them.
        images: the number of images.
        ambiguity: the share of images (0..1) for which some model of the set gives another class
            than the reference (Marx, Calmon and Ustun 2020, definition 2).
        discrepancy: the largest share of images (0..1) for which one model of the set gives another
            class than the reference (definition 3).
        capacity: the mean over images of the Rashomon capacity 2^C, 1..K: into how many different
            predictions the set splits (Hsu and Calmon 2022, definition 2). It depends on how sure
            the models are.
        capacity_high: its 90th percentile over images.
        capacity_max: its maximum over images.
    """

    reference: str
    models: tuple[str, ...]
    images: int
    ambiguity: float
    discrepancy: float
    capacity: float
    capacity_high: float
    capacity_max: float


def members(table: pd.DataFrame, tolerance: float) -> tuple[str, list[str]]:
    """The best living base, and the living models whose test loss is near or below its own.

    Models that learned permuted labels have a loss on another task, so they are left out.

    Args:
        table: all models' scores.
        tolerance: how far a test loss may be above that of the best base, in nats.

    Returns:
        The reference, and all models of the set; empty if no base lives.
    """
    living = table[~table.dead.astype(bool) & (table.state != LABELS)]
    bases = living[living.state == BASE]
    if bases.empty:
        return "", []
    best = bases.sort_values(["loss", "model"]).iloc[0]
    near = living[living.loss <= float(best.loss) + tolerance]
    return str(best.model), [str(name) for name in near.model]


def by_set(
    table: pd.DataFrame, known: Mapping[str, Mapping[str, Predictions]], tolerance: float
) -> dict[str, Multiplicity]:
    """The multiplicity on each data set on which two models of the set have predictions.

    Args:
        table: all models' scores.
        known: predictions by data set and model; models may be missing.
        tolerance: as in `members`.
    """
    reference, chosen = members(table, tolerance)
    found = {}
    for ood, predictions in known.items():
        models = [name for name in chosen if name in predictions]
        if reference in models and len(models) > 1:
            found[ood] = measured(reference, {name: predictions[name] for name in models})
    return found


def measured(reference: str, models: Mapping[str, Predictions]) -> Multiplicity:
    """The multiplicity of a set of models on one data set.

    Args:
        reference: the name of one of the models.
        models: their predictions on the same images.
    """
    own = models[reference].top
    differs = np.stack([model.top != own for model in models.values()])
    capacities = 2 ** _in_parts(list(models.values()))
    return Multiplicity(
        reference=reference,
        models=tuple(models),
        images=len(own),
        ambiguity=float(differs.any(axis=0).mean()),
        discrepancy=float(differs.mean(axis=1).max()),
        capacity=float(capacities.mean()),
        capacity_high=float(np.quantile(capacities, 0.9)),
        capacity_max=float(capacities.max()),
    )


def _in_parts(models: Sequence[Predictions]) -> Floats:
    """The `capacity` of each image; no more than `AT_ONCE` probabilities are in memory."""
    from scipy.special import softmax  # here, because importing scipy takes a while

    images, classes = models[0].logits.shape
    count = max(1, AT_ONCE // (len(models) * classes))
    parts = [slice(start, start + count) for start in range(0, images, count)]
    return np.concatenate(
        [capacity([softmax(model.logits[part], axis=1) for model in models]) for part in parts]
    )


def capacity(probabilities: Sequence[Floats]) -> Floats:
    """The capacity in bits of the channel from models to classes, of each image.

    It is the largest mutual information between a model, drawn with any weights, and the class that
    it draws: 0 if all models predict the same, log₂ K if they are certain of K different classes.
    By the algorithm of Blahut 1972 and Arimoto 1972, to `PRECISION`.

    Args:
        probabilities: of each model, N×K, on the same images.

    Returns:
        N values from 0 to log₂ K.
    """
    channels = np.stack(probabilities, axis=1)  # images × models × classes
    found = np.zeros(len(channels))
    left = np.arange(len(channels))
    going = np.ones(len(channels), dtype=bool)  # of those left
    weights = np.full(channels.shape[:2], 1 / channels.shape[1])
    information = np.einsum("nmk,nmk->nm", channels, _log2(channels))
    for _ in range(ITERATIONS):
        mixture = np.matmul(weights[:, None], channels)[:, 0]
        # Of each model, the divergence from the mixture: its part in the mutual information.
        divergence = information - np.matmul(channels, _log2(mixture)[:, :, None])[:, :, 0]
        factor = weights * np.exp2(divergence)
        total = factor.sum(axis=1)
        bound = np.log2(total)  # not above the capacity; the largest divergence is not below
        found[left[going]] = bound[going]
        going &= divergence.max(axis=1) - bound > PRECISION
        if not going.any():
            break
        weights = factor / total[:, None]
        if going.mean() < KEPT:
            left, channels, information = left[going], channels[going], information[going]
            weights, going = weights[going], np.ones(len(left), dtype=bool)
    return np.maximum(found, 0.0)


def _log2(p: Floats) -> Floats:
    """The logarithm of probabilities; 0 for 0, because 0 · log 0 counts as 0."""
    return np.asarray(np.log2(p, out=np.zeros_like(p), where=p > 0))


# --- in words -------------------------------------------------------------------------------------


def section(found: Mapping[str, Multiplicity], tolerance: float) -> Section:
    """The section of the findings page; without text if nothing was measured."""
    title = "How much do equally good models differ?"
    if not found:
        return Section("multiplicity", title, "")
    first = next(iter(found.values()))
    rows = [
        [
            f"`{ood}`",
            str(len(one.models)),
            f"{one.ambiguity:.1%}",
            f"{one.discrepancy:.1%}",
            f"{one.capacity:.2f}",
            f"{one.capacity_high:.2f}",
            f"{one.capacity_max:.2f}",
        ]
        for ood, one in found.items()
    ]
    about = (
        "The set holds the living models of the task whose test loss is at most "
        f"{tolerance:g} nats above that of the best base, `{first.reference}`. *Ambiguity* is the "
        "share of images for which some model of the set gives another class than this base, and "
        "*discrepancy* the largest share for which one model does (Marx, Calmon and Ustun 2020). "
        "The *Rashomon capacity* of an image is the number of different predictions that the set "
        "splits into, from 1 to the number of classes (Hsu and Calmon 2022). It depends on how "
        "sure the models are; ambiguity and discrepancy do not. All three can only grow with the "
        "number of models, so compare data sets, not experiments of different sizes."
    )
    header = [
        *("data set", "models", "ambiguity", "discrepancy"),
        *("capacity, mean", "90 % of images below", "largest"),
    ]
    return Section("multiplicity", title, joined(about, text.table(header, rows)))
