"""Measures of whole predictions that neither confidence nor a shared preference for classes moves.

A cosine of logits is high for two models that prefer the same classes on every image. A divergence
of probabilities falls as models become unsure. Here the preference is taken out of the logits, and
the confidence of all models is made equal, before they are compared.
"""

from __future__ import annotations

import numpy as np

from skeletons.arrays import Floats
from skeletons.measures import entropy
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions


def cosine_logit_centred(a: Predictions, b: Predictions) -> Floats:
    """Cosine of centred logits, all images as one vector, as a mean over images, N.

    The value of an image is the cosine plus the image's influence on it, as in `measures.chance`;
    the mean is exactly the cosine. NaN if a model's logits do not depend on the image otherwise
    than by a constant.
    """
    squares = (a.centred_squares + b.centred_squares) / 2
    if not (a.centred_squares.any() and b.centred_squares.any()):
        return np.full(len(squares), np.nan)
    products = np.einsum("nk,nk->n", a.centred, b.centred)
    cosine = float(products.mean())
    spread = products - cosine * squares
    return np.asarray(min(max(cosine, -1.0), 1.0) + spread - spread.mean())


def jensen_shannon_matched(a: Predictions, b: Predictions) -> Floats:
    """Jensen–Shannon divergence in bits after each model's temperature is matched, N.

    Each model's logits are divided by the one temperature that gives its probabilities a mean
    entropy of ½ log₂ K (see `temperature.at_half_entropy`), so both are equally sure on average.
    """
    return entropy.jensen_shannon(a.tempered, b.tempered)


DECLARED: tuple[Measure, ...] = (
    Measure(
        name="cosine_logit_centred",
        label="cosine of logits, centred over images and classes",
        kind="behaviour",
        low=-1.0,
        high=1.0,
        higher_is_alike=True,
        symmetric=True,
        invariant_to="a positive factor on all logits, a constant added to an image's logits, and "
        "a constant added to a class's logits on all images",
        blind_to="differences on images with small logits, and how often the top classes agree",
        source="this project; centred as kernels are by Kornblith et al. 2019",
        per_image=True,
        cheap=True,
        values=cosine_logit_centred,
        undefined="a model prefers the same classes to the same degree on every image",
    ),
    Measure(
        name="jensen_shannon_matched",
        label="Jensen–Shannon divergence in bits at equal mean entropy, mean over images",
        kind="behaviour",
        low=0.0,
        high=1.0,
        higher_is_alike=False,
        symmetric=True,
        invariant_to="a positive factor on all logits, and a constant added to an image's logits",
        blind_to="how confident the models are on average; a shared preference for some classes "
        "counts as alike",
        source="Lin 1991; one temperature per model as by Guo et al. 2017",
        per_image=True,
        cheap=True,
        values=jensen_shannon_matched,
        undefined="a model's logits have too many ties for its entropy to be matched",
    ),
)
