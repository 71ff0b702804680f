"""Transfer of masks: does the mask of one base let another base be trained?

The weights that pruning left of base a are a mask. Base b is trained from its own initial weights
with all other weights held at zero, for as long as the base itself: with the mask of a, whose units
were aligned to those of b; with its own mask; and with a random one that keeps as many weights in
each layer as its own. If the mask of a does as well as its own, the two share a skeleton; if it
does no better than the random one, it means nothing to b.

Source: Adnan et al. 2025, Sparse Training from Random Initialization: Aligning Lottery Ticket Masks
using Weight Symmetry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skeletons.alignment import permutations
from skeletons.alignment.permutations import Permutations
from skeletons.errors import ArtifactError
from skeletons.inspection.absence import look
from skeletons.networks.build import prepare
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.training.base import to_prepare, train_base, untrained_network
from skeletons.training.epochs import measure_splits
from skeletons.training.held import hold
from skeletons.training.images import Images
from skeletons.training.job import start
from skeletons.training.resume import StateFile
from skeletons.training.settings import BaseSettings

RANDOM = "random"  # the name of a mask


def inverse(matched: Permutations) -> dict[str, Array]:
    """The permutations that undo others."""
    return {group: np.argsort(permutation) for group, permutation in matched.items()}


def shuffled(masks: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Random masks that keep as many weights in each layer."""
    found = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator_for("transfer", seed, name))
        found[name] = mask.flatten()[order].view(mask.shape)
    return found


def masks_of(tensors: Mapping[str, Array], network: nn.Module) -> dict[str, Tensor]:
    """The masks of a pruned model: which of its prunable weights are not zero."""
    return {name: torch.from_numpy(tensors[name] != 0) for name in prunable(network)}


def _read(pruned: str, symmetries: str | None, matched: str | None) -> dict[str, Array]:
    """The tensors of a pruned model, in the order of the units of the base that it is matched to.

    Args:
        pruned: weights.safetensors of a model of base a.
        symmetries: the symmetries.json of its network.
        matched: the permutations that align base b to base a; None if it is of base b itself.
    """
    tensors = artifacts.read_tensors(pruned)
    if matched is None or symmetries is None:
        return tensors
    try:
        spec = permutations.read_specification(symmetries, tensors)
        return permutations.apply(tensors, spec, inverse(artifacts.read_tensors(matched)))
    except ValueError as error:
        raise ArtifactError(
            f"{matched} does not align {pruned}: {error}; delete it and run snakemake again."
        ) from None


@look("result")
def transfer_stage(
    *,
    dataset: str,
    info: str,
    pruned: str,
    matched: str | None = None,
    symmetries: str | None = None,
    result: str,
    seed: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    mask: str,
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a base again with a mask, and write what it reaches.

    Keys: mask; density, the share of prunable weights that are kept, and densities by layer; and
    the losses and accuracies of `epochs.measure_splits`.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        pruned: weights.safetensors of the pruned model that the mask is of.
        matched: the permutations that align this base to the mask's; None if it is its own.
        symmetries: the symmetries.json of the network, if `matched` is given.
        result: the JSON file to write.
        seed: of the base, for the initial weights and the order of images.
        network: see `train_base_stage`.
        base: the fields of `BaseSettings`.
        mask: the id of the base that the mask is of, `own` or `random`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, or the mask is of another network.
        TrainingError: the loss became NaN or infinite.
    """
    place = start(seed, threads, device)
    made, _ = untrained_network(info, network, seed)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    prepare(made.to(place), to_prepare(train).to(place))
    masks = masks_of(_read(pruned, symmetries, matched), made)
    if mask == RANDOM:
        masks = shuffled(masks, seed)
    hold(made, masks)
    state = StateFile.of_job(result, place, precision)
    train_base(made, train, test, seed, BaseSettings(**base), precision, state=state)
    kept = sum(int(one.sum()) for one in masks.values())
    artifacts.write_json(
        result,
        {
            "mask": mask,
            "density": kept / sum(one.numel() for one in masks.values()),
            "densities": {name: float(one.double().mean()) for name, one in masks.items()},
            **measure_splits(made, train, test),
        },
    )
