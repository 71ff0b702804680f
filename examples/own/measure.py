"""Measures of one's own: a plain function, and one that says what its values mean."""

import numpy as np

from skeletons.measures import measure


def common_mass(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The probability that two models' distributions have in common: 0 to 1, and 1 is alike.

    Of a plain function that is taken for granted.
    """
    return np.minimum(softmax(p), softmax(q)).sum(axis=1)


@measure(
    label="Kullback–Leibler divergence in nats, either way",
    low=0.0,
    high=np.inf,
    higher_is_alike=False,
    invariant_to="a constant added to an image's logits",
    blind_to="which of the two is the surer",
    source="Jeffreys 1946",
)
def jeffreys(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Σ (a − b)·(log a − log b) of two distributions a and b."""
    a, b = softmax(p), softmax(q)
    return ((a - b) * (np.log(a) - np.log(b))).sum(axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities N×K, none of them zero."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.maximum(powers / powers.sum(axis=1, keepdims=True), 1e-300)
