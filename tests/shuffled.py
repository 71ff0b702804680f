"""Networks whose units were put into a random order."""

import numpy as np

from skeletons.alignment.permutations import Indices, Permutations, Specification


def random_permutations(spec: Specification, seed: int) -> dict[str, Indices]:
    """Permutations of all groups, drawn uniformly."""
    draw = np.random.default_rng(seed)
    return {group: draw.permutation(size) for group, size in spec.sizes.items()}


def inverse(permutations: Permutations) -> dict[str, Indices]:
    return {group: np.argsort(p) for group, p in permutations.items()}
