"""User-defined measures: a plain function, and one that declares what its values mean."""

import numpy as np

from skeletons.measures import measure


def common_mass(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The probability mass that the distributions of two models share: 0 to 1; 1 means alike.

    This range and direction are assumed for a plain function.
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
    """Σ (a − b)·(log a − log b) for two distributions a and b."""
    a, b = softmax(p), softmax(q)
    return ((a - b) * (np.log(a) - np.log(b))).sum(axis=1)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities N×K, all of them above zero."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.maximum(powers / powers.sum(axis=1, keepdims=True), 1e-300)
