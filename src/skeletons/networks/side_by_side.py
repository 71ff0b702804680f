"""Two networks of one kind in one network: which of its units are those of which of the two.

The channels of both are followed (see `channels`). Each unit of the two gets a place of its own in
the network that holds them, in each stream of channels, and no weight connects the two. They share
the images, and their logits are added. So the network computes the sum of both, and one of them is
turned on or off by a factor on its last layers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from skeletons.errors import WiringError
from skeletons.networks import channels
from skeletons.networks.architectures import _EqualConv, _EqualLinear
from skeletons.networks.build import chosen_of, manner_of
from skeletons.networks.channels import Stream, Wiring
from skeletons.networks.generators import generator_for
from skeletons.networks.image_shape import of_network
from skeletons.networks.tensors import put, tensors
from skeletons.networks.trying import NORMS

Indices = npt.NDArray[np.int64]
Places = Mapping[Stream, Indices]  # for each unit of a network, its unit in the one that holds it
Tensors = dict[str, Tensor]

IMAGES = 8  # random ones, on which a doubled network is tried
CLOSE = 1e-5  # of the range of the logits, in double precision
ALLOWED = (
    "allowed for two networks side by side: convolutions without groups, linear layers and batch "
    "norms between the images and the logits"
)


@dataclass(frozen=True)
class Holder:
    """A network that holds two others.

    Attributes:
        network: the network; its weights do not matter.
        wires: the channels of one of the two others.
    """

    network: nn.Sequential
    wires: Wiring

    @property
    def outputs(self) -> set[str]:
        """The names of the tensors that write the logits."""
        writers = self.wires.of[self.wires.logits()].writers
        return {f"body.{layer}.{key}" for layer in writers for key in ("weight", "bias")}

    @property
    def fixed(self) -> set[str]:
        """The names of the parameters that no training changes, such as filters that whiten."""
        named = self.network.named_parameters()
        return {name for name, parameter in named if not parameter.requires_grad}

    def hold(self, model: nn.Sequential, places: Places) -> Tensors:
        """The tensors of the network if it holds one model alone; zero at all other places.

        Args:
            model: one of the two.
            places: for each stream of `wires`, the place of each of the model's units; −1 for a
                unit that is left out.
        """
        found = {name: torch.zeros_like(tensor) for name, tensor in tensors(self.network).items()}
        for name in self.wires.modules:
            for key, tensor in model.get_submodule(f"body.{name}").state_dict().items():
                target = found.get(f"body.{name}.{key}")
                if target is not None:
                    values = (tensor * self._factor(model, name, key)).to(target.dtype)
                    self._put(name, key, values, target, places)
        given = tensors(model)
        shared = [name for name in found if not name.startswith("body.")]
        return {**found, **{name: given[name].detach().clone() for name in shared}}

    def _put(self, layer: str, key: str, values: Tensor, target: Tensor, places: Places) -> None:
        """Put a tensor of a model's layer into the network's tensor."""
        module = self.wires.modules[layer]
        if not values.ndim or not isinstance(module, (nn.Conv2d, nn.Linear, *NORMS)):
            target.copy_(values)
            return
        rows, to_rows = _axis(self.wires.written(layer), places, len(values))
        if key != "weight" or isinstance(module, NORMS):
            target[to_rows] = values[rows]
            return
        read = self.wires.read(layer)
        assert read is not None
        columns, to_columns = _axis(read, places, values.shape[1])
        target[to_rows[:, None], to_columns] = values[rows][:, columns]

    def _factor(self, model: nn.Module, layer: str, key: str) -> float:
        """What turns a layer's stored weights into those of the network, see `applied`."""
        if key != "weight":
            return 1
        there, here = (n.get_submodule(f"body.{layer}") for n in (model, self.network))
        return float(getattr(there, "scale", 1.0)) / float(getattr(here, "scale", 1.0))


def _axis(stream: Stream, places: Places, length: int) -> tuple[Tensor, Tensor]:
    """The indices along an axis of a model's tensor, and those in the network's tensor."""
    block = length // stream.size  # of features per channel, after a flattening
    units = np.flatnonzero(places[stream] >= 0)
    one, other = (
        torch.from_numpy((chosen[:, None] * block + np.arange(block)).ravel())
        for chosen in (units, places[stream][units])
    )
    return one, other


def demand_apart(wires: Wiring) -> None:
    """Check that two networks of a kind can lie side by side.

    Raises:
        WiringError: the two would share units, statistics or trained parameters.
    """
    logits = wires.of[wires.logits()]
    shared = [stream for stream in wires.streams if stream.given or stream is logits]
    for stream in shared:
        if stream.norms or (stream.given and stream.writers):
            what = "normalises its images or logits" if stream.norms else "adds to its images"
            raise WiringError(f"The network {what}, which both networks would share; {ALLOWED}.")
    if logits.readers:
        raise WiringError(f"The network reads its logits in {logits.readers[0]}; {ALLOWED}.")
    for name, module in wires.modules.items():
        layer = isinstance(module, (nn.Conv2d, nn.Linear, *NORMS))
        if not layer and any(parameter.requires_grad for parameter in module.parameters()):
            raise WiringError(
                f"The network has trained parameters, in {name}, that belong to no channel; "
                f"{ALLOWED}."
            )


def doubled(network: nn.Sequential) -> tuple[Holder, Places, Places]:
    """A network with twice the units in every layer, and the places of two networks in it.

    Unit k of the first is unit 2k of the large one, and unit k of the second is unit 2k + 1. So a
    stream that is padded with further channels fits into the wider one as before.

    Args:
        network: as `networks.build.build` makes it. It is not changed.

    Raises:
        WiringError: its channels cannot be followed, or two of it cannot lie side by side.
    """
    given = copy.deepcopy(network).cpu().eval()
    body = given.get_submodule("body")
    wires = channels.trace(body, of_network(given))
    demand_apart(wires)
    times = {stream: 2 if _hidden(wires, stream) else 1 for stream in wires.streams}
    one, other = (
        {s: np.arange(s.size) * times[s] + (k if times[s] > 1 else 0) for s in wires.streams}
        for k in (0, 1)
    )
    large = nn.Sequential()
    large.add_module("standardize", copy.deepcopy(given.get_submodule("standardize")))
    large.add_module("body", _doubled_body(wires, times))
    if not isinstance(chosen_of(given), nn.Identity):
        large.add_module("chosen", copy.deepcopy(chosen_of(given)))
    return Holder(large.to(memory_format=manner_of(given).layout).eval(), wires), one, other


def _hidden(wires: Wiring, stream: Stream) -> bool:
    return not stream.given and stream is not wires.of[wires.logits()]


def _doubled_body(wires: Wiring, times: Mapping[Stream, int]) -> fx.GraphModule:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    graph.output(graph.graph_copy(wires.graph, copies))
    for node, there in copies.items():
        if node in wires.numbers:
            # A network that computes with its number of channels needs the original number.
            value = wires.numbers[node]
            with graph.inserting_before(there):
                there.replace_all_uses_with(graph.call_function(type(value), (value,)))
        elif node in wires.of and wires.of[node].padded and node.target is F.pad:
            _double_padding(there)
    modules = {name: _larger(wires, name, times) for name in wires.modules}
    body = fx.GraphModule(modules, graph)
    body.graph.eliminate_dead_code()
    body.delete_all_unused_submodules()
    body.recompile()
    return body


def _double_padding(node: fx.Node) -> None:
    """Pad a stream of channels with twice as many further ones."""
    named = dict(node.kwargs)
    widths: Any = named.get("pad", node.args[1] if len(node.args) > 1 else None)
    wider = (*widths[:4], *(2 * width for width in widths[4:6]), *widths[6:])
    if "pad" in named:
        node.kwargs = {**named, "pad": wider}
    else:
        node.args = (node.args[0], wider, *node.args[2:])


def _larger(wires: Wiring, name: str, times: Mapping[Stream, int]) -> nn.Module:
    """A copy of a module for the larger network; its tensors of units are new, and zero."""
    module = copy.deepcopy(wires.modules[name])
    if isinstance(module, NORMS):
        _resize(module, times[wires.written(name)], 1)
        module.num_features = module.num_features * times[wires.written(name)]
    elif isinstance(module, nn.Conv2d | nn.Linear):
        read = wires.read(name)
        assert read is not None
        rows, columns = times[wires.written(name)], times[read]
        _resize(module, rows, columns)
        if isinstance(module, nn.Conv2d):
            module.in_channels, module.out_channels = (
                module.in_channels * columns,
                module.out_channels * rows,
            )
        else:
            module.in_features, module.out_features = (
                module.in_features * columns,
                module.out_features * rows,
            )
        if isinstance(module, _EqualConv | _EqualLinear):  # as at twice the width
            module.scale *= columns**-0.5
    return module


def _resize(module: nn.Module, rows: int, columns: int) -> None:
    for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if not tensor.ndim:
            continue
        shape = [tensor.shape[0] * rows, *tensor.shape[1:]]
        if len(shape) > 1:
            shape[1] *= columns
        larger = torch.zeros(shape, dtype=tensor.dtype)
        if isinstance(tensor, nn.Parameter):
            setattr(module, key, nn.Parameter(larger, tensor.requires_grad))
        else:
            setattr(module, key, larger)


# --- trying it ------------------------------------------------------------------------------------


def check(network: nn.Sequential) -> None:
    """Check that two networks of a kind can lie side by side, without training or images.

    Two copies with random weights are put into one network, with shares of 0.3 and 0.7. It must
    compute this mixture of their logits on random images.

    Args:
        network: as `networks.build.build` makes it; its weights do not matter, and do not change.

    Raises:
        WiringError: the channels cannot be followed, or the large network computes something else.
    """
    holder, *both = doubled(network)
    holder.network.double()
    pair = [_drawn(network, k).double() for k in range(2)]
    shares, images = (0.3, 0.7), _images(network)
    laid = [holder.hold(model, places) for model, places in zip(pair, both, strict=True)]
    total = mixed(holder, laid, (1.0, 1.0), shares)
    try:
        put(holder.network, total)
        found = holder.network(images)
        wanted = sum(share * m(images) for share, m in zip(shares, pair, strict=True))
        same = bool((found - wanted).abs().max() <= CLOSE * (wanted - wanted.mean(0)).abs().max())
    except Exception as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise WiringError(
            f"A network with twice the units cannot be run ({type(error).__name__}: {message}); "
            f"{ALLOWED}."
        ) from None
    if not same:
        raise WiringError(
            "Two networks side by side compute something else than the mixture of their logits; "
            f"{ALLOWED}."
        )


def mixed(
    holder: Holder,
    laid: Sequence[Mapping[str, Tensor]],
    hidden: Sequence[float],
    shares: Sequence[float],
) -> Tensors:
    """The tensors of a network that holds two models.

    Args:
        holder: the network.
        laid: its tensors if it holds one of the models alone, for each of the two (`Holder.hold`).
        hidden: the factor on each model's parameters, without those that write the logits.
        shares: the factor on those.
    """
    outputs, fixed = holder.outputs, holder.fixed
    parameters = {name for name, _ in holder.network.named_parameters()}
    found = {}
    for name, one in laid[0].items():
        if not name.startswith("body.") or not one.is_floating_point():
            found[name] = one
            continue
        factors: Sequence[float] = (1.0, 1.0)  # of statistics, and of what no training changes
        if name in parameters - fixed:
            factors = shares if name in outputs else hidden
        first, second = (f * each[name].double() for f, each in zip(factors, laid, strict=True))
        found[name] = (first + second).to(one.dtype)
    return found


@torch.no_grad()
def _drawn(network: nn.Sequential, number: int) -> nn.Sequential:
    """A copy of a network in evaluation mode with random weights and statistics."""
    drawn = copy.deepcopy(network).cpu().eval()
    draw = generator_for("side by side", number)
    for name, tensor in tensors(drawn).items():
        if not name.startswith("body.") or not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=draw)
        if tensor.ndim > 1:
            tensor.copy_(values * tensor[0].numel() ** -0.5)
        else:
            tensor.copy_(1 + 0.1 * values.abs() if name.endswith("var") else 0.5 + 0.5 * values)
    return drawn


def _images(network: nn.Module) -> Tensor:
    shape = (IMAGES, *of_network(network))
    return torch.randint(0, 256, shape, generator=generator_for("images"), dtype=torch.uint8)
