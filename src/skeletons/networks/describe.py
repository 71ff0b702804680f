"""The size of a network: its parameters, FLOPs and prunable weights, in total and by layer."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.networks.image_shape import Shape, of_network
from skeletons.networks.products import Products

# Layers whose multiply-adds are counted. Each position of the output of a convolution takes one
# multiply-add per weight; of a transposed convolution, each position of the input.
FORWARD = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# The projections of torch's own attention: of query, key and value, in one tensor or in three.
PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
QUERY_KEY_VALUE = ("query", "key", "value")

# In evaluation mode, torch can run a whole layer of attention as one operation. Then no hook runs,
# and results depend on whether a hook is there.
torch.backends.mha.set_fastpath_enabled(False)


def prunable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The prunable weights by name, each once, however often and under how many names it is used.

    They are the trained weights of convolutions and linear layers, and so the projections of
    attention, also where torch.nn.MultiheadAttention holds them itself. Regularisation and pruning
    change only these, not biases, normalisation, embeddings or fixed filters.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    weights = (
        module.get_parameter(key) for module in network.modules() for key in _weights_of(module)
    )
    return {names[id(weight)]: weight for weight in weights if weight.requires_grad}


def _weights_of(module: nn.Module) -> list[str]:
    if isinstance(module, nn.MultiheadAttention):
        return [key for key in PROJECTIONS if getattr(module, key) is not None]
    return ["weight"] if isinstance(module, nn.Conv2d | nn.Linear) else []


@dataclass(frozen=True)
class Layer:
    """A convolution, of any kind, linear layer, or projection: its weights, and FLOPs per image.

    A multiply-add is two FLOPs. The FLOPs are those of all times that the layer runs.
    """

    name: str
    shape: tuple[int, ...]
    flops: int
    prunable: bool


def describe(network: nn.Sequential, image_shape: Shape | None = None) -> dict[str, Any]:
    """Count parameters and the FLOPs of one image's forward pass, in total and by layer.

    The total also has the products that use no weights, such as those of attention. Layers are in
    the order in which they first run.

    Args:
        network: as `networks.build.build` makes it.
        image_shape: channels, height and width of the image; None for what the network takes.
    """
    trained = {id(parameter): name for name, parameter in prunable(network).items()}
    layers: dict[int, Layer] = {}

    def count(name: str, weight: Tensor, flops: int) -> None:
        before = layers.get(id(weight))
        if before is not None:
            layers[id(weight)] = replace(before, flops=before.flops + flops)
            return
        known = trained.get(id(weight), name)
        layers[id(weight)] = Layer(known, tuple(weight.shape), flops, id(weight) in trained)

    products = Products()
    with _watched(network, count), products:
        _run(network, 1, image_shape or of_network(network))
    for weight, flops in products.applied.values():
        if id(weight) in trained and id(weight) not in layers:
            count("", weight, flops)
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "prunable": sum(p.numel() for p in prunable(network).values()),
        "flops": sum(layer.flops for layer in layers.values()) + products.flops,
        "layers": [asdict(layer) for layer in layers.values()],
    }


def runs_of(network: nn.Module, images: int, image_shape: Shape) -> tuple[Any, Counter[str]]:
    """A network's output for blank images, and how often each of its prunable weights is applied.

    A weight that is applied without its layer, by a function of torch, counts once.

    Args:
        network: to run, on standardised images.
        images: how many.
        image_shape: channels, height and width of the images.
    """
    names = {id(parameter): name for name, parameter in prunable(network).items()}
    runs = Counter(dict.fromkeys(names.values(), 0))

    def count(name: str, weight: Tensor, flops: int) -> None:
        if id(weight) in names:
            runs[names[id(weight)]] += 1

    products = Products()
    with _watched(network, count), products:
        logits = _run(network, images, image_shape)
    for name in (names[key] for key in products.applied if key in names):
        runs[name] = max(runs[name], 1)
    return logits, runs


@torch.no_grad()
def _run(network: nn.Module, images: int, image_shape: Shape) -> Any:
    """The output for blank images in evaluation mode; then the network is in its mode again."""
    modes = {module: module.training for module in network.modules()}
    device = next(itertools.chain(network.parameters(), network.buffers(), [torch.empty(0)])).device
    try:
        return network.eval()(torch.zeros(images, *image_shape, device=device))
    finally:
        for module, training in modes.items():
            module.training = training


Count = Callable[[str, Tensor, int], None]  # of the name of a weight, the weight, and FLOPs


@contextlib.contextmanager
def _watched(network: nn.Module, count: Count) -> Iterator[None]:
    """A block in which each run of a layer is counted."""
    hooks = [
        module.register_forward_hook(_hook(name, count), with_kwargs=True)
        for name, module in network.named_modules()
        if isinstance(module, (*FORWARD, *TRANSPOSED, nn.MultiheadAttention))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(name: str, count: Count) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], named: Any, output: Any) -> None:
        if isinstance(module, nn.MultiheadAttention):
            _count_projections(name, module, inputs, named, count)
            return
        weight = module.get_parameter("weight")
        moving = inputs[0] if isinstance(module, TRANSPOSED) else output
        count(f"{name}.weight", weight, 2 * weight.numel() * (moving.numel() // weight.shape[0]))

    return hook


def _count_projections(
    name: str,
    module: nn.MultiheadAttention,
    inputs: tuple[Tensor, ...],
    named: Mapping[str, Tensor],
    count: Count,
) -> None:
    """Count the projections of torch's own attention, which calls no layer for them."""
    given = {**dict(zip(QUERY_KEY_VALUE, inputs, strict=False)), **named}
    tokens = {key: given[key].numel() // given[key].shape[-1] for key in QUERY_KEY_VALUE}
    if module.in_proj_weight is not None:
        each = module.in_proj_weight.numel() // 3
        flops = sum(2 * each * number for number in tokens.values())
        count(f"{name}.in_proj_weight", module.in_proj_weight, flops)
    else:
        for key, number in tokens.items():
            weight = module.get_parameter(f"{key[0]}_proj_weight")
            count(f"{name}.{key[0]}_proj_weight", weight, 2 * weight.numel() * number)
    out = module.out_proj.weight
    count(f"{name}.out_proj.weight", out, 2 * out.numel() * tokens["query"])
