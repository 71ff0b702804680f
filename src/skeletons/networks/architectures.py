"""The networks: a registry of architectures, each scaled by one number, its width.

A network of the user's own, named by a reference, stands beside those of the registry.

Every network takes uint8 (or float) images N×3×32×32 with values in [0, 255] and returns logits
N×classes. The training set's channel means and deviations are part of the network, so a file of
weights is all that a prediction needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.errors import ExtensionError
from skeletons.user_code.load import call, guarded, load, refusal
from skeletons.user_code.references import is_reference

IMAGE_SHAPE = (3, 32, 32)


class Standardize(nn.Module):
    """Brings images in [0, 255] to zero mean and unit deviation a channel, as seen in training."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1) * 255)

    def forward(self, images: Tensor) -> Tensor:
        return (images.float() - self.mean) / self.std


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
    when the layer runs instead of when it is drawn (Karras et al. 2018, section 4.1).
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.scale = (2 / (9 * inputs)) ** 0.5
        nn.init.normal_(self.weight)
        nn.init.constant_(self.get_parameter("bias"), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=1)


class _EqualLinear(nn.Linear):
    """The same for a linear layer; the factor is √(gain / inputs), with gain 2 before a ReLU."""

    def __init__(self, inputs: int, outputs: int, gain: float = 1) -> None:
        super().__init__(inputs, outputs)
        self.scale = (gain / inputs) ** 0.5
        nn.init.normal_(self.weight)
        nn.init.constant_(self.bias, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias)


def cnn(width: int, classes: int) -> nn.Module:
    """The Conv-4 of the lottery-ticket paper (Frankle & Carbin 2019, figure 2); width 64 is theirs.

    Convolutions with w, w, 2w and 2w channels, pooled after every second, and linear layers with
    4w units, all with ReLU and without normalisation. Most weights are in the first linear layer,
    so the network has many more than its task needs.

    Here an absolute pruning threshold has a meaning. Without normalisation the size of a weight
    is part of the function; and as every layer's weights start with variance 1, whatever its
    width, one threshold is the same cut in all of them.
    """
    w = width
    return nn.Sequential(
        *(_EqualConv(3, w), nn.ReLU()),
        *(_EqualConv(w, w), nn.ReLU(), nn.MaxPool2d(2)),
        *(_EqualConv(w, 2 * w), nn.ReLU()),
        *(_EqualConv(2 * w, 2 * w), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Flatten(),
        *(_EqualLinear(128 * w, 4 * w, gain=2), nn.ReLU()),
        *(_EqualLinear(4 * w, 4 * w, gain=2), nn.ReLU()),
        _EqualLinear(4 * w, classes),
    )


class _Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def resnet9(width: int, classes: int) -> nn.Module:
    """The nine-layer residual network of D. Page (2018), with w channels first; 64 is his."""

    def block(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
        layers: list[nn.Module] = [_conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers, *([nn.MaxPool2d(2)] if pool else []))

    w = width
    return nn.Sequential(
        block(3, w),
        block(w, 2 * w, pool=True),
        _Residual(nn.Sequential(block(2 * w, 2 * w), block(2 * w, 2 * w))),
        block(2 * w, 4 * w, pool=True),
        block(4 * w, 8 * w, pool=True),
        _Residual(nn.Sequential(block(8 * w, 8 * w), block(8 * w, 8 * w))),
        nn.MaxPool2d(4),
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


def resnet20(width: int, classes: int) -> nn.Module:
    """ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2); width 16 is the paper's."""
    channels = [width] * 3 + [2 * width] * 3 + [4 * width] * 3
    blocks: list[nn.Module] = []
    inputs = width
    for outputs in channels:
        blocks.append(_BasicBlock(inputs, outputs, 1 if outputs == inputs else 2))
        inputs = outputs
    return nn.Sequential(
        _conv(3, width),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        _GlobalAverage(),
        nn.Linear(inputs, classes),
    )


class _FrozenScaleNorm(nn.BatchNorm2d):
    """Batch norm with a learnt shift but no scale, as in airbench."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.4, eps=1e-12)
        self.weight.requires_grad_(False)


class SpeedNet(nn.Module):
    """The shape of the airbench-94 network (Jordan 2024): width 64 is the original.

    A 2×2 convolution whose filters whiten the patches of the training images and stay fixed, then
    three groups of two convolutions with w, 4w and 4w channels.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        w = width
        self.whiten = nn.Conv2d(3, 24, 2, bias=True)
        self.whiten.weight.requires_grad_(False)
        self.groups = nn.Sequential(
            nn.GELU(), self._group(24, w), self._group(w, 4 * w), self._group(4 * w, 4 * w)
        )
        self.head = nn.Linear(4 * w, classes, bias=False)
        for module in self.groups.modules():
            if isinstance(module, nn.Conv2d):  # start as close to the identity as shapes allow
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
        """Set the whitening filters from standardised training images N×3×32×32."""
        patches = images.double().unfold(2, 2, 1).unfold(3, 2, 1).movedim(1, 3).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        # An eigenvector's sign is arbitrary; fix it, so that every machine gets the same filters.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
        filters = (vectors / torch.sqrt(values + 5e-4)).T.flip(0).reshape(12, 3, 2, 2)
        self.whiten.weight.copy_(torch.cat([filters, -filters]).float())

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.groups(self.whiten(x)), 3).flatten(1)
        return self.head(x) / x.shape[1] ** 0.5


REGISTRY: dict[str, Callable[[int, int], nn.Module]] = {
    "cnn": cnn,
    "resnet9": resnet9,
    "resnet20": resnet20,
    "speednet": SpeedNet,
}


def build(
    name: str, width: int, classes: int, mean: Sequence[float], std: Sequence[float]
) -> nn.Sequential:
    """A network with freshly drawn weights (seed torch first).

    Args:
        name: a key of `REGISTRY`, or a reference to a function of the user's.
        width: channels of the first trained convolution, ≥ 1.
        classes: number of logits.
        mean: the training images' channel means, in [0, 1].
        std: the training images' channel standard deviations, in [0, 1].

    Raises:
        ExtensionError: the user's function cannot be used, or gives no network for images.
    """
    own = is_reference(name)
    body = _own(name, width, classes) if own else REGISTRY[name](width, classes)
    network = nn.Sequential()
    network.add_module("standardize", Standardize(mean, std))
    network.add_module("body", body)
    return network.to(memory_format=torch.channels_last)


def _own(reference: str, width: int, classes: int) -> nn.Module:
    """The network that the user's function makes, once it has run on two blank images."""
    _demand_maker(reference)
    body = call(reference, width, classes)
    if not isinstance(body, nn.Module):
        found = f"a value of type {type(body).__name__}"
        raise refusal(reference, found, "a torch.nn.Module")
    with guarded(reference):
        logits, runs = _tried(body)
    found = f"a network whose output for two images is {_shape(logits)}"
    if _shape(logits) != f"2×{classes}":
        raise refusal(reference, found, f"logits, 2×{classes}")
    if not runs:
        wanted = "one with a convolution or a linear layer that is trained"
        raise refusal(reference, "a network in which nothing can be pruned", wanted)
    odd = next((name for name, times in runs.items() if times != 1), None)
    if odd is not None:
        found = f"a network that runs its layer {odd} {runs[odd]} times for an image"
        wanted = "one that runs each convolution and linear layer once, as layer(x)"
        raise refusal(reference, found, wanted)
    return body


def _demand_maker(reference: str) -> None:
    """See whether a reference names what makes networks, and not one, nor a class without sizes.

    To call these is an error as well, but one that speaks of what the user did not write.
    """
    named = load(reference)
    found = ""
    if isinstance(named, nn.Module):
        found = f"a network that is made already, a {type(named).__name__}"
    elif isinstance(named, type) and issubclass(named, nn.Module):
        maker = next(kind for kind in named.__mro__ if "__init__" in vars(kind))
        if maker.__module__.startswith("torch."):
            found = f"the class {named.__name__}, whose __init__ takes no width and classes"
    if found:
        raise ExtensionError(
            f"{reference} cannot be used: found {found}; allowed: a function of width and classes "
            "that makes one."
        )


@torch.no_grad()
def _tried(body: nn.Module) -> tuple[Any, Counter[str]]:
    """What a network gives for two blank images, and how often each layer with weights runs."""
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
    """Let a network that wants to see training images (uint8 N×3×32×32) before training do so."""
    body = network.get_submodule("body")
    if isinstance(body, SpeedNet):
        body.prepare(network.get_submodule("standardize")(images))


def prunable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that are regularised and pruned: those of convolutions and linear layers.

    Biases, normalisation and filters that are fixed from the start are not among them.
    """
    return {
        f"{name}.weight": module.get_parameter("weight")
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.requires_grad
    }


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer: its weight tensor, and FLOPs (2 a multiply-add) an image."""

    name: str
    shape: tuple[int, ...]
    flops: int
    prunable: bool


def describe(network: nn.Sequential) -> dict[str, Any]:
    """Parameter and FLOP counts: in all, and by layer; FLOPs are of one image's forward pass."""
    layers: list[Layer] = []
    trained = prunable(network)

    def count(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            weight = module.weight
            assert isinstance(weight, Tensor)
            # every position of the output takes one multiply-add per weight
            positions = output[0].numel() // weight.shape[0]
            layers.append(
                Layer(name, tuple(weight.shape), 2 * weight.numel() * positions, name in trained)
            )

        return hook

    hooks = [
        module.register_forward_hook(count(f"{name}.weight"))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    training = network.training
    device = next(network.parameters()).device
    with torch.no_grad():
        network.eval()(torch.zeros(1, *IMAGE_SHAPE, device=device))
    network.train(training)
    for hook_handle in hooks:
        hook_handle.remove()
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "prunable": sum(p.numel() for p in trained.values()),
        "flops": sum(layer.flops for layer in layers),
        "layers": [asdict(layer) for layer in layers],
    }
