"""Scores by which weights are ranked for pruning: the higher the score, the later a weight goes.

All scores are of the weights as they are applied, so they do not depend on how a layer stores them.

- `magnitude`: |w|.
- `taylor`: |w · ∂L/∂w|, by how much the loss changes to first order if the weight becomes zero
  (Mozer & Smolensky 1989; Molchanov et al. 2017, equation 7).
- `fisher`: ½ w² · E[(∂ℓ/∂w)²], the saliency of Optimal Brain Damage (LeCun et al. 1990, equation
  5), whose second derivative is replaced by the diagonal of the empirical Fisher information, the
  mean over images of the squared gradient (Theis et al. 2018).
- `counterfactual`: by how much the loss rises when the weight's unit is silenced, divided by the
  number of the unit's weights. It is measured, not approximated, one unit at a time. A weight
  belongs to the unit that it leads from (see `networks.unit_groups`), or, from an image, to the one
  that it leads to. Where the loss falls without a unit, the score is 0.

L is the loss of training images without augmentation, in evaluation mode.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.networks.applied import factors
from skeletons.networks.describe import prunable
from skeletons.prediction.inference import BATCH, restore
from skeletons.store import artifacts
from skeletons.training.images import Images, read_task
from skeletons.training.job import start
from skeletons.training.silencing import Silenced

GRADIENT_IMAGES = 2_000  # of the training set, for `taylor`
FISHER_IMAGES = 500  # each has a backward pass of its own
SILENCED_IMAGES = 1_000  # that run once for each unit
MAGNITUDE, TAYLOR, FISHER = "magnitude", "taylor", "fisher"
COUNTERFACTUAL = "counterfactual"


def scores_of(network: nn.Sequential, train: Images, criterion: str) -> dict[str, Tensor]:
    """The score of each prunable weight, ≥ 0, float32 in the shape of the weights, by name.

    Args:
        network: is not changed, except for its gradients and mode.
        train: training images.
        criterion: `magnitude`, `taylor`, `fisher` or `counterfactual`.

    Raises:
        WiringError: the criterion is `counterfactual`, and the channels of an operation cannot be
            followed.
    """
    if criterion == COUNTERFACTUAL:
        return _counterfactual(network, train.spread(SILENCED_IMAGES))
    weights = prunable(network.eval())
    if criterion == MAGNITUDE:
        applied = factors(network)
        return {name: (w.detach() * applied[name]).abs() for name, w in weights.items()}
    if criterion == TAYLOR:
        first = _mean(network, train.spread(GRADIENT_IMAGES), BATCH, 1)
        return {name: (w.detach() * first[name]).abs() for name, w in weights.items()}
    squares = _mean(network, train.spread(FISHER_IMAGES), 1, 2)
    return {name: w.detach().square() * squares[name] / 2 for name, w in weights.items()}


def _mean(network: nn.Module, images: Images, batch: int, power: int) -> dict[str, Tensor]:
    """The mean over images of a power of the gradient; beyond 1, only for batches of one image."""
    weights = prunable(network)
    sums = {name: torch.zeros_like(w, requires_grad=False) for name, w in weights.items()}
    parts = (torch.split(tensor, batch) for tensor in (images.pixels, images.labels))
    for pixels, labels in zip(*parts, strict=True):
        shown = pixels.to(labels.device).contiguous(memory_format=torch.channels_last)
        logits = network(shown)
        loss = F.cross_entropy(logits, labels, reduction="sum")
        for name, found in zip(
            weights, torch.autograd.grad(loss, list(weights.values())), strict=True
        ):
            sums[name] += found**power
    return {name: found / len(images.labels) for name, found in sums.items()}


def _counterfactual(network: nn.Sequential, images: Images) -> dict[str, Tensor]:
    silenced, known = Silenced(network), prunable(network)
    wires = silenced.wires
    rises = {
        stream: torch.from_numpy(found[0]).clamp(min=0)
        for stream, found in silenced.each_channel(images).items()
    }
    owner = {}  # of each layer's weights: its stream, and whether they lead from its units
    for layer in (name for name in wires.layers() if f"body.{name}.weight" in known):
        source = wires.read(layer)
        owner[layer] = (source, True) if source in rises else (wires.written(layer), False)
    sizes = dict.fromkeys(rises, 0)
    for layer, (stream, _) in owner.items():
        sizes[stream] += known[f"body.{layer}.weight"].numel() // stream.size
    found = {}
    for layer, (stream, leads_from) in owner.items():
        weight = known[f"body.{layer}.weight"]
        score = (rises[stream] / sizes[stream]).to(weight.device, weight.dtype)
        each = score.repeat_interleave(weight.shape[leads_from] // stream.size)
        shape = [1] * weight.ndim
        shape[leads_from] = -1
        found[f"body.{layer}.weight"] = each.view(shape).expand(weight.shape).contiguous()
    return found


def rank_stage(
    *,
    weights: str,
    summary: str,
    dataset: str,
    ranks: str,
    criterion: str,
    device: str,
    threads: int,
) -> None:
    """Write the scores of a regularised model's weights.

    Args:
        weights: the model's weights.safetensors.
        summary: its model.json.
        dataset: the data set's images.safetensors.
        ranks: the safetensors file to write, see `scores_of`.
        criterion: see `scores_of`.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.
    """
    place = start(0, threads, device)
    about = artifacts.read_json(summary, ["network"])
    network = restore(weights, about).to(place)
    train, _ = read_task(dataset, about["network"], place)
    found = scores_of(network, train, criterion)
    artifacts.write_tensors(
        ranks, {name: tensor.cpu().contiguous().numpy() for name, tensor in found.items()}
    )
