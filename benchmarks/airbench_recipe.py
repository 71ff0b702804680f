"""airbench's own recipe (Jordan 2024, with Muon): its optimisers, learning rates and mirroring.

It imports only torch and this library, so `scripts/gpu_check.py` runs it on a bare GPU machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from skeletons.networks.generators import generator_for
from skeletons.training.images import Images, batches
from skeletons.training.internals import PlainMuon, PlainSGD

EPOCHS, BATCH, SMOOTHING = 8, 2000, 0.2
FILTER_RATE, FILTER_MOMENTUM = 0.24, 0.6
# The authors' rates are for the sum of a batch's losses; here, losses are means.
BIAS_RATE, HEAD_RATE, MOMENTUM = 0.053 * BATCH, 0.67 * BATCH, 0.85
DECAY = 2e-6 * BATCH  # of a parameter per step, at any learning rate
WHITENING_EPOCHS = 3


class Filters:
    """Muon as in airbench: before each step, a layer of n filters is scaled to norm √n."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = weights
        self.matrices = [nn.Parameter(w.detach().flatten(1).clone()) for w in weights]
        self.muon = PlainMuon(
            self.matrices,
            lr=FILTER_RATE,
            momentum=FILTER_MOMENTUM,
            weight_decay=0.0,
            ns_steps=3,
            adjust_lr_fn="original",  # no effect: no layer has more filters than weights per filter
        )

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Update every filter."""
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            assert weight.grad is not None
            matrix.copy_(weight.flatten(1) * (len(weight) ** 0.5 / weight.norm()))
            matrix.grad = weight.grad.flatten(1)
        self.muon.param_groups[0]["lr"] = rate
        self.muon.step()
        for weight, matrix in zip(self.weights, self.matrices, strict=True):
            weight.copy_(matrix.view(weight.shape))


class Recipe:
    """airbench's optimisers, whose learning rates fall linearly to 0."""

    def __init__(self, network: nn.Sequential, steps_per_epoch: int) -> None:
        body = network.get_submodule("body")
        head = body.get_parameter("head.weight")
        whitening = body.get_parameter("whiten.bias")
        trained = [p for p in network.parameters() if p.requires_grad]
        shifts = [p for p in trained if p.ndim == 1 and p is not whitening]
        self.filters = Filters([p for p in trained if p.ndim == 4])
        # Logits are divided by √n here and by n in airbench, so weights and rates are scaled.
        inputs = head.shape[1]
        with torch.no_grad():
            head /= head.std() * inputs**0.5
        rates = [(whitening, BIAS_RATE), (head, HEAD_RATE / inputs)]
        rates += [(shift, BIAS_RATE) for shift in shifts]
        self.rates = [rate for _, rate in rates]
        self.rest = PlainSGD(
            [{"params": [p], "lr": rate, "weight_decay": DECAY / rate} for p, rate in rates],
            momentum=MOMENTUM,
            nesterov=True,
        )
        self.each, self.steps = steps_per_epoch, 0

    def step(self) -> None:
        """Update every trainable parameter."""
        left = 1 - self.steps / (EPOCHS * self.each)
        for group, rate in zip(self.rest.param_groups, self.rates, strict=True):
            group["lr"] = rate * left
        whitening = self.rest.param_groups[0]
        whitening["lr"] = self.rates[0] * max(0.0, 1 - self.steps / (WHITENING_EPOCHS * self.each))
        self.filters.step(FILTER_RATE * left)
        self.rest.step()
        self.steps += 1


def epoch_of(images: Images, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch; each image is mirrored in every other epoch, the first at random."""
    first = torch.randint(2, (len(images.labels),), generator=generator_for("mirrored", seed))
    mirrored = (first + epoch) % 2 == 1
    pixels = torch.where(mirrored.view(-1, 1, 1, 1), images.pixels.flip(3), images.pixels)
    random = generator_for("airbench", seed, epoch)
    changes = {"flip": False, "shift": 2, "cutout": 0}
    data = batches(Images(pixels, images.labels), BATCH, random, changes)
    return (batch for batch in data if len(batch[1]) == BATCH)
