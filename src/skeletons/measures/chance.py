"""Measures of agreement that are corrected for the agreement expected by chance.

Each is κ = (o − e) / (1 − e) with the observed agreement o and the expected agreement e, as Cohen
1960 has it; they differ in what agrees, and in what is expected. Two models that share a preference
for some classes, or that are both accurate, agree often without being alike; κ is then near 0.

Each is also a mean over images. The value of an image is κ plus its influence on κ (the first term
of the delta method). So the mean over images is exactly κ, and the spread of the values over the
root of their number is the standard error of κ (Fleiss, Cohen and Everitt 1969). The value of a
single image may be outside the range of κ.
"""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions, products


def kappa(a: Predictions, b: Predictions) -> Floats:
    """Cohen's κ of two models' top classes, for each image; NaN if both always choose one class.

    By chance, two models agree as often as two that choose their classes independently, each with
    its own shares of the classes: e = Σ p_k q_k (Cohen 1960).
    """
    p, q = a.top_shares, b.top_shares
    influence = q[a.top] + p[b.top]
    return _corrected(a.top == b.top, float(p @ q), influence)


def error_consistency(a: Predictions, b: Predictions) -> Floats:
    """Cohen's κ of two models' correctness, for each image; NaN if no answer could differ.

    By chance, two models of accuracies x and y are both right or both wrong on a share
    e = xy + (1 − x)(1 − y) of the images (Geirhos, Meding and Wichmann 2020, equation 1).
    """
    x, y = a.accuracy, b.accuracy
    influence = np.where(a.right, y, 1 - y) + np.where(b.right, x, 1 - x)
    return _corrected(a.right == b.right, x * y + (1 - x) * (1 - y), influence)


def capa(a: Predictions, b: Predictions) -> Floats:
    """Chance adjusted probabilistic agreement, for each image (Goel et al. 2025, section 2).

    Observed is the probability that the two agree if each draws its answer: the mean of Σ p_k q_k.
    By chance, two models that give the label the mean probabilities x and y, and spread the rest
    evenly, agree with probability e = xy + (1 − x)(1 − y) / (K − 1).
    """
    observed = products(a, b, "probabilities")
    return _beyond_accuracy(observed, a.on_label, b.on_label, a.logits.shape[1])


def capa_top(a: Predictions, b: Predictions) -> Floats:
    """`capa` of top classes: each model is certain of its top class, for each image."""
    x, y = (model.right.astype(np.float64) for model in (a, b))
    return _beyond_accuracy(a.top == b.top, x, y, a.logits.shape[1])


def _beyond_accuracy(observed: Floats, x: Floats, y: Floats, classes: int) -> Floats:
    """The agreement beyond what the probabilities of the labels explain; x and y of each image."""
    others = 1 / (classes - 1)
    mean_x, mean_y = float(x.mean()), float(y.mean())
    expected = mean_x * mean_y + others * (1 - mean_x) * (1 - mean_y)
    by_x, by_y = mean_y - others * (1 - mean_y), mean_x - others * (1 - mean_x)
    return _corrected(observed, expected, x * by_x + y * by_y)


def _corrected(observed: Floats, expected: float, influence: Floats) -> Floats:
    """For each image, κ plus the image's influence on it; NaN if chance alone always agrees.

    Args:
        observed: the agreement on each image, N.
        expected: the agreement expected by chance.
        influence: the derivative of `expected` by the weight of each image, up to a constant, N.
    """
    room = 1 - expected
    if room <= 1e-12:
        return np.full(len(observed), np.nan)
    lacking = 1 - float(np.mean(observed))
    return np.asarray(
        (observed - expected) / room - lacking / room**2 * (influence - influence.mean())
    )


_TOPS = "any increasing function of an image's logits"

DECLARED: tuple[Measure, ...] = (
    Measure(
        name="kappa",
        label="Cohen's κ of the top class",
        kind="behaviour",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to=_TOPS + "; models that choose classes independently have 0, whatever their "
        "shares of the classes",
        blind_to="how confident the models are, and how classes below the top one are ordered; a "
        "shared error and a shared right answer count alike",
        source="Cohen 1960; spread over images by Fleiss, Cohen and Everitt 1969",
        per_image=True,
        cheap=True,
        values=kappa,
        undefined="both models choose one class for every image",
    ),
)

LABELLED: tuple[Measure, ...] = (
    Measure(
        name="error_consistency",
        label="error consistency, κ of being right",
        kind="behaviour",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to=_TOPS + "; models whose errors are independent have 0, whatever their "
        "accuracies",
        blind_to="which wrong class is chosen, and how confident the models are; whether shared "
        "errors come from a shared preference for some classes; for accurate models it depends on "
        "few images",
        source="Geirhos, Meding and Wichmann 2020",
        per_image=True,
        cheap=True,
        values=error_consistency,
        undefined="both models are right on every image, or both are wrong on every image",
        labelled=True,
    ),
    Measure(
        name="capa",
        label="chance adjusted probabilistic agreement (CAPA)",
        kind="behaviour",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="a constant added to an image's logits",
        blind_to="whether two models are alike or merely sure: it rises with confidence, and a "
        "model has 1 with itself only if it is certain; whether shared wrong answers come from a "
        "shared preference for some classes",
        source="Goel et al. 2025",
        per_image=True,
        cheap=True,
        values=capa,
        undefined="both models are certain of every label",
        labelled=True,
        reflexive=False,
    ),
    Measure(
        name="capa_top",
        label="CAPA of the top class: agreement beyond what the accuracies explain",
        kind="behaviour",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to=_TOPS + "; models whose wrong answers are independent and evenly spread have "
        "0, whatever their accuracies",
        blind_to="how confident the models are; whether shared wrong answers come from a shared "
        "preference for some classes",
        source="Goel et al. 2025, for predictions without probabilities",
        per_image=True,
        cheap=True,
        values=capa_top,
        undefined="both models are right on every image",
        labelled=True,
    ),
)
