"""Build a network by name: built-in, user-defined or of a package, with its standardisation.

A built network takes uint8 (or float) images N×C×H×W with values in [0, 255] and returns logits
N×classes. The training set's channel means and deviations are part of the network, so a file of
weights is all that a prediction needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.networks import library, user_network
from skeletons.networks.architectures import REGISTRY, SpeedNet
from skeletons.networks.generators import drawing_from
from skeletons.networks.image_shape import USUAL, Shape, of_summary
from skeletons.networks.user_network import Manner, guarded
from skeletons.user_code.references import is_reference


class Standardize(nn.Module):
    """Scales images in [0, 255] to the training set's zero mean and unit deviation per channel.

    It gives them in the memory format that the rest of the network takes, see `Manner`. It knows
    the shape of the images, which the network was built for.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        manner: Manner | None = None,
        image_shape: Shape = USUAL,
    ) -> None:
        super().__init__()
        self.manner = manner or Manner()
        self.image_shape = image_shape
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1) * 255)

    def forward(self, images: Tensor) -> Tensor:
        scaled = (images.float() - self.mean) / self.std
        return scaled.contiguous() if self.manner.contiguous else scaled


class Chosen(nn.Module):
    """Some outputs of a network, in another order: those of the data set's classes."""

    index: Tensor

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("index", torch.tensor(order), persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, self.index]


class UserNetwork(nn.Sequential):
    """A network of a user or of a package; an error in its code becomes a sentence."""

    def __init__(self, reference: str) -> None:
        super().__init__()
        self.reference = reference

    def forward(self, images: Tensor) -> Tensor:
        with guarded(self.reference):
            logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return logits


def build(
    name: str,
    width: int | None,
    classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    weights: str | None = None,
    image_shape: Shape = USUAL,
    order: Sequence[int] | None = None,
) -> nn.Sequential:
    """Build a network with random initial weights, without a change to torch's global generator.

    Args:
        name: a key of `REGISTRY`, a reference to a user-defined function, or `torchvision:NAME` or
            `timm:NAME`.
        width: channels of the first trained convolution, ≥ 1; a package's network has none.
        classes: number of logits.
        mean: the training images' channel means, in [0, 1].
        std: the training images' channel standard deviations, in [0, 1].
        seed: of the initial weights; irrelevant if weights are loaded afterwards.
        options: further arguments of the network, by keyword.
        weights: pretrained weights of a package's network, see `library.load_pretrained`. They
            bring their own mean and deviation of the images.
        image_shape: channels, height and width of the images. Height and width are equal, and at
            least 16.
        order: the output of the architecture for each class; None if it has no other outputs and
            they are in order.

    Raises:
        ConfigError: a package does not have the network or the weights.
        ExtensionError: the user-defined function cannot be used, or what it returns is not a
            network that can be trained, pruned and written.
    """
    foreign = is_reference(name) or library.is_package(name)
    network: nn.Sequential = UserNetwork(name) if foreign else nn.Sequential()
    manner, scale = Manner(), library.Scale(mean, std)
    with drawing_from(torch.Generator().manual_seed(seed), torch.device("cpu")):
        if foreign:
            body, manner = user_network.make(name, width, classes, options, image_shape)
        else:
            assert width is not None
            body = REGISTRY[name](width, classes, *image_shape[:2])
        if weights is not None:
            scale = library.load_pretrained(
                body, name, classes, options or {}, weights, image_shape
            )
    standardize = Standardize(scale.mean, scale.std, manner, image_shape)
    network.add_module("standardize", standardize)
    network.add_module("body", body)
    if order is not None:
        network.add_module("chosen", Chosen(order))
    return network.to(memory_format=manner.layout)


def rebuild(about: Mapping[str, Any]) -> nn.Sequential:
    """The network that `network` in a model.json describes, with random weights.

    A file of weights also holds the standardisation, which replaces these zeros and ones.
    """
    shape = of_summary(about)
    return build(
        about["name"],
        about.get("width"),
        about["classes"],
        [0.0] * shape[0],
        [1.0] * shape[0],
        options=about.get("options"),
        image_shape=shape,
        order=about.get("order"),
    )


def manner_of(network: nn.Module) -> Manner:
    """How a network takes its images; as the built-in ones do, if it does not say."""
    found = getattr(getattr(network, "standardize", None), "manner", None)
    return found if isinstance(found, Manner) else Manner()


def chosen_of(network: nn.Module) -> nn.Module:
    """The last part of a network, which chooses the classes among its outputs; most keep all."""
    found = getattr(network, "chosen", None)
    return found if isinstance(found, Chosen) else nn.Identity()


def prepare(network: nn.Sequential, images: Tensor) -> None:
    """Set the filters of a network that derives them from training images, uint8 N×C×H×W."""
    body = network.get_submodule("body")
    if isinstance(body, SpeedNet):
        body.prepare(network.get_submodule("standardize")(images))
