"""A pruning criterion of one's own."""

import numpy as np


def smallest_share(weights: dict[str, np.ndarray], threshold: float) -> dict[str, np.ndarray]:
    """Prune the smallest weights of all layers together; the threshold is the share that goes.

    Args:
        weights: those of each convolution and linear layer, by the layer's name.
        threshold: 0 to 1.

    Returns:
        For each layer a mask of its weights' shape, True where a weight stays.
    """
    magnitudes = np.concatenate([np.abs(w).ravel() for w in weights.values()])
    cut = np.quantile(magnitudes, min(threshold, 1.0))
    return {name: np.abs(w) >= cut for name, w in weights.items()}
