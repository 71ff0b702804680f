"""A user-defined pruning criterion."""

import numpy as np


def smallest_share(weights: dict[str, np.ndarray], threshold: float) -> dict[str, np.ndarray]:
    """Prune the smallest weights of all layers together; the threshold is the share to prune.

    Args:
        weights: the weights of each convolution and linear layer, by the name of the layer.
        threshold: 0 to 1.

    Returns:
        One mask per layer, with the shape of its weights; True where a weight is kept.
    """
    magnitudes = np.concatenate([np.abs(w).ravel() for w in weights.values()])
    cut = np.quantile(magnitudes, min(threshold, 1.0))
    return {name: np.abs(w) >= cut for name, w in weights.items()}
