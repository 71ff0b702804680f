"""The built-in networks: a registry of architectures, each scaled by one number, its width.

Each is the body of a network: it takes standardised images N×C×S×S and returns logits N×classes. A
factory takes the width, the number of classes, and the channels C and the side S of the images.
Whatever the side, the last pooling leaves one position, except in `cnn`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # He et al. 2015
    return convolution


class _GlobalAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class _EqualConv(nn.Conv2d):
    """A 3×3 convolution whose weights start with variance 1 at every width.

    The factor √(2 / inputs) that keeps the variance through a ReLU (He et al. 2015) is applied
    when the layer runs, not when its weights are drawn (Karras et al. 2018, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.scale = (2 / (9 * inputs)) ** 0.5
        nn.init.normal_(self.weight)
        nn.init.constant_(self.get_parameter("bias"), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=1)


class _EqualLinear(nn.Linear):
    """A linear layer of the same kind, with factor √(gain / inputs); gain is 2 before a ReLU."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1) -> None:
        super().__init__(inputs, outputs)
        self.scale = (gain / inputs) ** 0.5
        nn.init.normal_(self.weight)
        nn.init.constant_(self.bias, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


def cnn(width: int, classes: int, channels: int = 3, side: int = 32) -> nn.Module:
    """Conv-4 of the lottery-ticket paper (Frankle & Carbin 2019, figure 2), which has width 64.

    Convolutions with w, w, 2w and 2w channels, pooled after every second one, and linear layers
    with 4w units, all with ReLU and without normalisation. Most weights are in the first linear
    layer, so the network has many more weights than its task needs. That layer has an input for
    each channel and position after the last pooling, so its size grows with the area of the images.

    An absolute pruning threshold is meaningful in this network. Without normalisation, the size of
    a weight is part of the function. All weights start with variance 1, whatever the width of their
    layer, so one threshold prunes all layers alike.
    """
    w = width
    return nn.Sequential(
        *(_EqualConv(channels, w), nn.ReLU()),
        *(_EqualConv(w, w), nn.ReLU(), nn.MaxPool2d(2)),
        *(_EqualConv(w, 2 * w), nn.ReLU()),
        *(_EqualConv(2 * w, 2 * w), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(_EqualLinear(2 * w * (side // 4) ** 2, 4 * w, gain=2), nn.ReLU()),
        *(_EqualLinear(4 * w, 4 * w, gain=2), nn.ReLU()),
        _EqualLinear(4 * w, classes),
    )


class _Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet9(width: int, classes: int, channels: int = 3, side: int = 32) -> nn.Module:
    """The nine-layer residual network of D. Page (2018); the original has width 64."""

    def block(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
        layers: list[nn.Module] = [_conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))

    w = width
    return nn.Sequential(
        block(channels, w),
        block(w, 2 * w, pool=True),
        _Residual(nn.Sequential(block(2 * w, 2 * w), block(2 * w, 2 * w))),
        block(2 * w, 4 * w, pool=True),
        block(4 * w, 8 * w, pool=True),
        _Residual(nn.Sequential(block(8 * w, 8 * w), block(8 * w, 8 * w))),
        nn.MaxPool2d(side // 8),
        nn.Flatten(),
        nn.Linear(8 * w, classes),
    )


class _BasicBlock(nn.Module):
    """Two convolutions and a parameter-free shortcut (He et al. 2016, section 4.2, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        before = self.extra // 2
        return F.relu(y + F.pad(shortcut, (0, 0, 0, 0, before, self.extra - before)))


def resnet20(width: int, classes: int, channels: int = 3, side: int = 32) -> nn.Module:
    """ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2); the paper's width is 16."""
    widths = [width] * 3 + [2 * width] * 3 + [4 * width] * 3
    blocks: list[nn.Module] = []
    inputs = width
    for outputs in widths:
        blocks.append(_BasicBlock(inputs, outputs, 1 if outputs == inputs else 2))
        inputs = outputs
    return nn.Sequential(
        _conv(channels, width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        _GlobalAverage(),
        nn.Linear(inputs, classes),
    )


class _FrozenScaleNorm(nn.BatchNorm2d):
    """Batch norm with a learnt shift but without a learnt scale, as in airbench."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4, eps=1e-12)
        self.weight.requires_grad_(False)


class SpeedNet(nn.Module):
    """The architecture of airbench-94 (Jordan 2024), which has width 64.

    A 2×2 convolution with fixed filters that whiten the patches of the training images, then three
    groups of two convolutions with w, 4w and 4w channels. (For colour images, 24 filters.)
    """

    def __init__(self, width: int, classes: int, channels: int = 3, side: int = 32) -> None:
        super().__init__()
        w, filters = width, 8 * channels
        self.pool = (side - 1) // 8  # the side of what the groups leave
        self.whiten = nn.Conv2d(channels, filters, 2, bias=True)
        self.whiten.weight.requires_grad_(False)
        self.groups = nn.Sequential(
            nn.GELU(), self._group(filters, w), self._group(w, 4 * w), self._group(4 * w, 4 * w)
        )
        self.head = nn.Linear(4 * w, classes, bias=False)
        for module in self.groups.modules():
            if isinstance(module, nn.Conv2d):  # start near the identity
                nn.init.dirac_(module.weight[: module.in_channels])

    @staticmethod
    def _group(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            _FrozenScaleNorm(outputs),
            nn.GELU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            _FrozenScaleNorm(outputs),
            nn.GELU(),
        )

    @torch.no_grad()
    def prepare(self, images: Tensor) -> None:
        """Set the whitening filters from standardised training images N×C×S×S."""
        size = 4 * images.shape[1]
        patches = images.double().unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).reshape(-1, size)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        # An eigenvector's sign is arbitrary: fix it, so that all machines get the same filters.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        filters = (vectors / torch.sqrt(values + 5e-4)).T.flip(0).reshape(size, -1, 2, 2)
        self.whiten.weight.copy_(torch.cat([filters, -filters]).float())

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.groups(self.whiten(x)), self.pool).flatten(1)
        return self.head(x) / x.shape[1] ** 0.5


REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "cnn": cnn,
    "resnet9": resnet9,
    "resnet20": resnet20,
    "speednet": SpeedNet,
}
