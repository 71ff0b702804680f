"""Networks whose units were put into a random order."""

import functools
from typing import Any

import numpy as np

from skeletons.alignment import permutations as alignment
from skeletons.alignment.permutations import Indices, Permutations, Specification
from skeletons.networks import symmetries
from skeletons.networks.build import build
from skeletons.training.job import tensors_of


@functools.cache
def symmetries_of(name: str, width: int | None, classes: int = 5, **options: Any) -> dict[str, Any]:
    """The content of symmetries.json for a network."""
    return symmetries.find(build(name, width, classes, [0.5] * 3, [0.2] * 3, options=options))


def specification_of(
    name: str, width: int | None, classes: int = 5, **options: Any
) -> Specification:
    """The units of a network that can change places."""
    network = build(name, width, classes, [0.5] * 3, [0.2] * 3, options=options)
    found = symmetries_of(name, width, classes, **options)
    return alignment.specification(found, tensors_of(network))


def random_permutations(spec: Specification, seed: int) -> dict[str, Indices]:
    """Permutations of all groups, drawn uniformly; blocks change places as wholes."""
    draw = np.random.default_rng(seed)
    blocks: dict[str, Indices] = {}
    found = {}
    for group, size in spec.sizes.items():
        count = spec.blocks.get(group, 1)
        order = blocks.setdefault(spec.heads.get(group, group), draw.permutation(count))
        within = size // count
        found[group] = np.concatenate([k * within + draw.permutation(within) for k in order])
    return found


def inverse(permutations: Permutations) -> dict[str, Indices]:
    return {group: np.argsort(p) for group, p in permutations.items()}
