"""What an operation of a traced network does, found by trying it and not by its class or name.

A network is run on blank images for the shapes between its operations. Then each operation is tried
by itself on random numbers: whether it treats every channel by itself, and whether a layer computes
what its kind, options and weights say.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from skeletons.errors import WiringError
from skeletons.networks.generators import drawing_from, generator_for
from skeletons.networks.image_shape import USUAL, Shape
from skeletons.networks.offsets import OffsetConv, conv

BATCH, OTHER_BATCH = 2, 3  # blank images of the two runs
CLOSE = 1e-5  # relative; operations are tried in double precision, but may contain `.float()`

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Results:
    """The results of a network's operations on blank images.

    Attributes:
        shapes: of each result that is a tensor, for `BATCH` images.
        others: each other result, for `BATCH` images.
        fixed: those of `others` that are the same for every number of images.
        counts: those of `others` that are the number of images.
    """

    def __init__(self, one: Mapping[fx.Node, Any], other: Mapping[fx.Node, Any]) -> None:
        self.shapes = {node: tuple(v.shape) for node, v in one.items() if isinstance(v, Tensor)}
        self.others = {node: v for node, v in one.items() if node not in self.shapes}
        self.fixed, self.counts = set(), set()
        for node, value in self.others.items():
            if self.holds_tensors(node):
                continue
            if value is other[node] or value == other[node]:
                self.fixed.add(node)
            elif (value, other[node]) == (BATCH, OTHER_BATCH):
                self.counts.add(node)

    def holds_tensors(self, node: fx.Node) -> bool:
        """Whether a result is a collection with tensors in it."""
        return _holds_tensors(self.others.get(node))

    def number(self, node: fx.Node) -> int | float | None:
        """A result that is one number, the same for any number of images; else None."""
        value = self.others.get(node)
        plain = isinstance(value, int | float) and not isinstance(value, bool)
        return value if plain and node in self.fixed else None


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_tensors, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_tensors, value))
    return isinstance(value, Tensor)


@contextmanager
def evaluating(body: nn.Module) -> Iterator[None]:
    """A block in which a network is in evaluation mode; each module then returns to its own."""
    before = {module: module.training for module in body.modules()}
    body.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def run(body: nn.Module, graph: fx.Graph, image_shape: Shape = USUAL) -> Results:
    """Run a traced network on blank images, in evaluation mode.

    Raises:
        WiringError: it cannot be run as it was traced.
    """
    try:
        return Results(*(_run(body, graph, count, image_shape) for count in (BATCH, OTHER_BATCH)))
    except Exception as error:
        raise WiringError(untraced(error)) from None


@torch.no_grad()
def _run(body: nn.Module, graph: fx.Graph, count: int, image_shape: Shape) -> dict[fx.Node, Any]:
    found: dict[fx.Node, Any] = {}

    class Recorder(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            found[n] = super().run_node(n)
            return found[n]

    first = next(itertools.chain(body.parameters(), body.buffers()), torch.zeros(1))
    blank = torch.zeros(count, *image_shape, dtype=first.dtype, device=first.device)
    with drawing_from(generator_for("trying"), torch.device("cpu")):
        Recorder(fx.GraphModule(body, graph)).run(blank.contiguous(memory_format=_format(body)))
    return found


def _format(body: nn.Module) -> torch.memory_format:
    """The memory format in which a network's filters lie."""
    filters = [p for p in body.parameters() if p.ndim == 4 and not p.is_contiguous()]
    return torch.channels_last if filters else torch.contiguous_format


def untraced(error: Exception) -> str:
    """The sentence about a network that torch.fx cannot trace."""
    message = " ".join(str(error).split()).rstrip(".")
    return (
        f"The network cannot be traced ({type(error).__name__}: {message}), so its channels cannot "
        "be followed; allowed: a forward method whose steps do not depend on the images."
    )


@torch.no_grad()
def keeps_channels(
    node: fx.Node, modules: Mapping[str, nn.Module], results: Results, size: int
) -> bool:
    """Whether an operation treats every channel alike and by itself.

    Then the operation on some of the channels, in any order, gives these channels of its result.

    Args:
        node: an operation whose inputs, as far as they are tensors, have the same channels.
        modules: of the network, by name.
        results: of the network.
        size: the number of channels. Each tensor has them in its second axis, as blocks of equal
            length after a flattening.
    """
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(size, generator=draw)[: max(1, size // 2)]
    order = torch.cat([order, order[:1]])
    if len(order) == size:  # so that an operation that needs the number of channels fails
        order = torch.cat([order, order[:1]])
    whole = {
        source: torch.randn(results.shapes[source], generator=draw, dtype=torch.float64)
        for source in node.all_input_nodes
        if source in results.shapes
    }
    some = {source: _chosen(tensor, order, size) for source, tensor in whole.items()}
    if any(tensor is None for tensor in some.values()):
        return False
    try:
        wanted, found = (_apply(node, modules, {**results.others, **on}) for on in (whole, some))
    except Exception:  # of an operation that needs the number of channels, whatever it raises
        return False
    wanted = _chosen(wanted, order, size)
    return wanted is not None and _close(wanted, found)


def _chosen(tensor: Any, order: Tensor, size: int) -> Tensor | None:
    """Some channels of a tensor, as a copy; None if its second axis does not hold the channels."""
    if not isinstance(tensor, Tensor) or tensor.ndim < 2 or tensor.shape[1] % size:
        return None
    blocks = torch.arange(tensor.shape[1]).view(size, -1)[order]
    return tensor[:, blocks.flatten()]


def _apply(node: fx.Node, modules: Mapping[str, nn.Module], values: Mapping[fx.Node, Any]) -> Any:
    """The result of one operation; an operation in place does not change `values`."""

    def value(source: fx.Node) -> Any:
        found = values[source]
        return found.clone() if isinstance(found, Tensor) else found

    args, kwargs = fx.map_arg(node.args, value), fx.map_arg(node.kwargs, value)
    with drawing_from(generator_for("trying", node.name), torch.device("cpu")):
        if node.op == "call_module":
            return _double(modules[str(node.target)])(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)


def _double(module: nn.Module) -> nn.Module:
    return copy.deepcopy(module).cpu().double()


def _close(wanted: Tensor, found: Any) -> bool:
    if not isinstance(found, Tensor) or found.shape != wanted.shape:
        return False
    wanted, found = wanted.double(), found.double()
    return torch.allclose(found, wanted, rtol=CLOSE, atol=CLOSE, equal_nan=True)


@torch.no_grad()
def computes_as_declared(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a layer or norm computes what its options and its effective weights say.

    Args:
        module: a convolution, linear layer or batch norm, or of a subclass.
        shape: of its input.
    """
    if type(module) is OffsetConv:
        return True
    if set(module.state_dict()) - {*nn.BatchNorm2d(1).state_dict()}:
        return False  # it has further tensors, which a rebuilt layer would lack
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = _double(module)
    try:
        with drawing_from(generator_for("trying"), torch.device("cpu")):
            return _close(_declared(plain, given), plain(given.clone()))
    except Exception:  # a forward of the user's own may raise anything
        return False


def _declared(module: nn.Module, given: Tensor) -> Tensor:
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        stats = (module.running_mean, module.running_var)
        scale = (module.weight, module.bias)
        return F.batch_norm(given, *stats, *scale, training=stats == (None, None), eps=module.eps)
    weight, bias = effective_weight(module), getattr(module, "bias", None)
    if isinstance(module, nn.Linear):
        return F.linear(given, weight, bias)
    assert isinstance(module, nn.Conv2d)
    plain = conv(module, module.in_channels, module.out_channels, [], [], bias=bias is not None)
    plain = plain.double()
    plain.load_state_dict({"weight": weight, **({} if bias is None else {"bias": bias})})
    found: Tensor = plain(given)
    return found


def effective_weight(module: nn.Module) -> Tensor:
    """The weights of a layer as it applies them, including the factor of an equalised layer."""
    return module.get_parameter("weight") * getattr(module, "scale", 1.0)
