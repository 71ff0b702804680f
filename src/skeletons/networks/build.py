"""Build a network by name: a built-in architecture or a user-defined one, with its standardisation.

A built network takes uint8 (or float) images N×3×32×32 with values in [0, 255] and returns logits
N×classes. The training set's channel means and deviations are part of the network, so a file of
weights is all that a prediction needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.errors import ExtensionError
from skeletons.networks.architectures import REGISTRY, SpeedNet
from skeletons.networks.describe import IMAGE_SHAPE, prunable
from skeletons.networks.generators import drawing_from, generator_for
from skeletons.user_code.load import call, guarded, load, refusal
from skeletons.user_code.references import is_reference


class Standardize(nn.Module):
    """Scales images in [0, 255] to the training set's zero mean and unit deviation per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.std


def build(
    name: str,
    width: int,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    seed: int = 0,
) -> nn.Sequential:
    """Build a network with random initial weights, without a change to torch's global generator.

    Args:
        name: a key of `REGISTRY`, or a reference to a user-defined function.
        width: channels of the first trained convolution, ≥ 1.
        classes: number of logits.
        mean: the training images' channel means, in [0, 1].
        std: the training images' channel standard deviations, in [0, 1].
        seed: of the initial weights; irrelevant if weights are loaded afterwards.

    Raises:
        ExtensionError: the user-defined function cannot be used, or does not return a network for
            images.
    """
    with drawing_from(generator_for("weights", seed), torch.device("cpu")):
        if is_reference(name):
            body = _user_network(name, width, classes)
        else:
            body = REGISTRY[name](width, classes)
    network = nn.Sequential()
    network.add_module("standardize", Standardize(mean, std))
    network.add_module("body", body)
    return network.to(memory_format=torch.channels_last)


def _user_network(reference: str, width: int, classes: int) -> nn.Module:
    """The network that a user-defined function returns, after a trial on two blank images."""
    _check_factory(reference)
    body = call(reference, width, classes)
    if not isinstance(body, nn.Module):
        found = f"a value of type {type(body).__name__}"
        raise refusal(reference, found, "a torch.nn.Module")
    with guarded(reference):
        logits, runs = _try(body)
    found = f"a network whose output for two images is {_shape(logits)}"
    if _shape(logits) != f"2×{classes}":
        raise refusal(reference, found, f"logits, 2×{classes}")
    if not runs:
        wanted = "a network with a trained convolution or linear layer"
        raise refusal(reference, "a network in which nothing can be pruned", wanted)
    odd = next((name for name, times in runs.items() if times != 1), None)
    if odd is not None:
        found = f"a network that runs its layer {odd} {runs[odd]} times per forward pass"
        wanted = "a network that calls each convolution and linear layer once, like layer(x)"
        raise refusal(reference, found, wanted)
    return body


def _check_factory(reference: str) -> None:
    """Check that a reference names a function that makes networks.

    Calling a network, or a class without width and classes, fails as well, but with an error about
    code that the user did not write.

    Raises:
        ExtensionError: it names a network, or a class that does not take width and classes.
    """
    named = load(reference)
    found = ""
    if isinstance(named, nn.Module):
        found = f"an instance of {type(named).__name__}"
    elif isinstance(named, type) and issubclass(named, nn.Module):
        owner = next(kind for kind in named.__mro__ if "__init__" in vars(kind))
        if owner.__module__.startswith("torch."):
            found = f"the class {named.__name__}, whose __init__ does not take width and classes"
    if found:
        raise ExtensionError(
            f"{reference} cannot be used: found {found}; allowed: a function of width and classes "
            "that returns a network."
        )


@torch.no_grad()
def _try(body: nn.Module) -> tuple[Any, Counter[str]]:
    """A network's output for two blank images, and how often each layer with weights ran."""
    runs = Counter({name.removesuffix(".weight"): 0 for name in prunable(body)})
    hooks = [
        body.get_submodule(name).register_forward_hook(lambda *_, name=name: runs.update([name]))
        for name in runs
    ]
    logits = body.eval()(torch.zeros(2, *IMAGE_SHAPE))
    body.train()
    for hook in hooks:
        hook.remove()
    return logits, runs


def _shape(found: object) -> str:
    if not isinstance(found, Tensor):
        return f"a value of type {type(found).__name__}"
    return "×".join(map(str, found.shape)) or "a single number"


def prepare(network: nn.Sequential, images: Tensor) -> None:
    """Set the filters of a network that derives them from training images, uint8 N×3×32×32."""
    body = network.get_submodule("body")
    if isinstance(body, SpeedNet):
        body.prepare(network.get_submodule("standardize")(images))
