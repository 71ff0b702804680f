"""REPAIR: the statistics of units at a point between two models, set to those of its ends.

Between two models, the weights of a unit are a mixture, and its values vary less than in either:
the variance collapses from layer to layer. So each unit's mean and standard deviation are set to
what lies between those at the ends. This changes a unit's scale and offset, nothing else.

In a network with batch norm, that is what happens if the statistics of the norms are computed again
from images: its scale and offset are weights, and thus lie between those of the ends. In layers
without it, weights and biases are multiplied and shifted.

Source: Jordan et al. 2022, REPAIR: renormalizing permuted activations for interpolation repair,
section 4 and equations 3 and 4.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from skeletons.networks.image_shape import of_network
from skeletons.networks.trying import evaluating
from skeletons.prediction.inference import PIXELS
from skeletons.training.images import Images

Statistics = dict[str, tuple[Tensor, Tensor]]  # by layer, mean and standard deviation of its units
LAYERS = (nn.Linear, _ConvNd)
MOST = 10  # times as many pixels as a batch of predictions has


class Repair:
    """Sets the statistics of a network's units to those between two models.

    Attributes:
        layers: names of the layers whose units are set: convolutions and linear layers with a bias,
            in the order in which they run, without the last one, which gives the logits.
    """

    def __init__(self, network: nn.Module, images: Images) -> None:
        """Prepare.

        Args:
            network: whose weights are those of the point when `at` is called.
            images: training images; the first ones are used, as many as fit into one batch.
        """
        self.network = network
        self.layers = repairable(network)
        pixels = images.pixels.shape[2] * images.pixels.shape[3]
        batch = images.pixels[: max(1, MOST * PIXELS // pixels)]
        self._batch = batch.to(images.labels.device)

    @property
    def possible(self) -> bool:
        """Whether a network has units whose statistics can be set."""
        return bool(self.layers) or has_norms(self.network)

    def measure(self) -> Statistics:
        """The statistics of the network as it is now."""
        found: Statistics = {}

        def note(name: str, layer: nn.Module, values: Tensor) -> None:
            found[name] = _statistics(layer, values)

        self._run(note)
        return found

    def set(self, wanted: Statistics) -> None:
        """Set the statistics by changing weights and biases, from the first layer on.

        A unit that is constant at the point gets the mean alone.
        """

        def correct(name: str, layer: nn.Module, values: Tensor) -> Tensor:
            mean, deviation = _statistics(layer, values)
            aim, spread = wanted[name]
            scale = torch.where(deviation > 0, spread / deviation, 1.0)
            shift = aim - scale * mean
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            weight.mul_(scale.reshape(-1, *[1] * (weight.ndim - 1)))
            bias.copy_(scale * bias + shift)
            shape = _shape(layer, values)
            return values * scale.reshape(shape) + shift.reshape(shape)

        self._run(correct)

    def between(self, a: Statistics, b: Statistics, t: float) -> None:
        """Set the statistics to those at the place t, 0..1, between those of two models."""
        self.set(
            {
                name: (
                    (1 - t) * a[name][0] + t * b[name][0],
                    (1 - t) * a[name][1] + t * b[name][1],
                )
                for name in self.layers
            }
        )

    @torch.no_grad()
    def _run(self, look: Callable[[str, nn.Module, Tensor], Tensor | None]) -> None:
        """Run the network on the images; `look` sees what each layer gives, and may replace it."""

        def hook(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
            return lambda module, _, values: look(name, module, values)

        if not self.layers:
            return
        modules = dict(self.network.named_modules())
        handles = [modules[name].register_forward_hook(hook(name)) for name in self.layers]
        try:
            with norms_of_batches(self.network):
                self.network(self._batch)
        finally:
            for handle in handles:
                handle.remove()


def has_norms(network: nn.Module) -> bool:
    """Whether a network has batch norms, whose statistics belong to one model."""
    return any(isinstance(module, _BatchNorm) for module in network.modules())


@torch.no_grad()
def repairable(network: nn.Module) -> list[str]:
    """The layers whose units can be scaled and shifted by their weights; see `Repair.layers`.

    Layers that run several times, that share weights or whose weights are fixed are left out.
    """
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, module in network.named_modules()
        if isinstance(module, LAYERS)
    ]
    device = next(network.parameters()).device
    try:
        with evaluating(network):
            network(torch.zeros(1, *of_network(network), device=device))
    finally:
        for handle in handles:
            handle.remove()
    modules = dict(network.named_modules())
    runs = Counter(ran)
    holders = Counter(id(p) for m in network.modules() for p in m.parameters(recurse=False))

    def fits(name: str) -> bool:
        own = modules[name]._parameters
        held = [own.get("weight"), own.get("bias")]
        alone = all(p is not None and p.requires_grad and holders[id(p)] == 1 for p in held)
        transposed = getattr(modules[name], "transposed", False)  # its units lie along axis 1
        return runs[name] == 1 and alone and not transposed

    return [name for name in ran[:-1] if fits(name)]


@contextlib.contextmanager
def norms_of_batches(network: nn.Module) -> Iterator[None]:
    """A block in which batch norms use the statistics of the batch, and all else is evaluated."""
    with evaluating(network):
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        yield


def _statistics(layer: nn.Module, values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each unit, over images and positions."""
    axis = _axis(layer, values)
    over = [k for k in range(values.ndim) if k != axis]
    variance, mean = torch.var_mean(values.float(), over, correction=0)
    return mean, variance.sqrt()


def _axis(layer: nn.Module, values: Tensor) -> int:
    """The axis of a layer's units in what it gives."""
    return values.ndim - 1 if isinstance(layer, nn.Linear) else 1


def _shape(layer: nn.Module, values: Tensor) -> list[int]:
    axis = _axis(layer, values)
    return [values.shape[k] if k == axis else 1 for k in range(values.ndim)]
