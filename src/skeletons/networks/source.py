"""A network as the source of one Python file that needs nothing but torch.

The operations are those that `torch.fx` traces; the layers are torch's own, with the arguments that
they were made with. The file is right if it computes the same logits, which `check` decides.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from skeletons.errors import ArtifactError, ExportError
from skeletons.networks import onnx_file
from skeletons.networks.generators import generator_for
from skeletons.networks.image_shape import of_network
from skeletons.networks.plain import plain_layers
from skeletons.networks.same import demand_same
from skeletons.store import artifacts

IMAGES = 16  # on which the file and the network must agree
NOT_ARGUMENTS = ("self", "device", "dtype", "inplace")

PAGE = '''\
"""{title}

It takes images N×{shape} with values from 0 to 255, and returns logits, N×{classes}.
`load` reads its weights from the file beside this one. It needs torch and safetensors.
"""

from math import inf, nan  # noqa: F401
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import device, nn  # noqa: F401


class Network(nn.Module):
    def __init__(self):
        super().__init__()
{layers}
{tensors}

{forward}


def place(network, name, made):
    """Put a layer or a tensor at its place in a network, such as `body.0`."""
    *parents, last = name.split(".")
    for parent in parents:
        if not hasattr(network, parent):
            network.add_module(parent, nn.Module())
        network = getattr(network, parent)
    if isinstance(made, nn.Module):
        network.add_module(last, made)
    else:
        network.register_buffer(last, made)


def load(weights=Path(__file__).parent / "weights.safetensors"):
    """The network with its weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(load_file(weights))
    return network.eval()
'''


def source(network: nn.Module, title: str, shape: tuple[int, ...], classes: int) -> str:
    """The source of a file that computes the same as a network in evaluation mode.

    Args:
        network: as `networks.build.build` makes it.
        title: a sentence, for the docstring.
        shape: of an image.
        classes: number of logits.

    Raises:
        ExportError: the network cannot be traced, or has a layer that is not one of torch's own.
    """
    made = plain_layers(network).eval()
    try:
        graph = _Tracer().trace(made)
    except Exception as error:
        raise ExportError(
            f"The network cannot be written as a file: {_brief(error)}; allowed: a network whose "
            "forward does not branch on its input."
        ) from None
    code = graph.python_code("self")
    _demand_torch(code.globals)
    layers = {str(n.target): n.target for n in graph.nodes if n.op == "call_module"}
    tensors = [str(n.target) for n in graph.nodes if n.op == "get_attr"]
    own = {name: _layer(made.get_submodule(name)) for name in layers}
    found = {name: _tensor_at(made, name).shape for name in dict.fromkeys(tensors)}
    return PAGE.format(
        title=title,
        shape="×".join(map(str, shape)),
        classes=classes,
        layers=_lines("place(self, {!r}, nn.{})", own),
        tensors=_lines(
            "place(self, {!r}, torch.zeros({}))", {k: tuple(s) for k, s in found.items()}
        ),
        forward=textwrap.indent(code.src.strip(), "    "),
    )


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """The tensors that the file of `source` loads."""
    state = plain_layers(network).state_dict()
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def check(page: str, network: nn.Module, images: Tensor) -> float:
    """The largest difference of the logits of a file of `source` from those of the network.

    Args:
        page: the source.
        network: the network.
        images: uint8, N×channels×height×width.

    Raises:
        DifferenceError: it is more than rounding.
        ExportError: the file does not run.
    """
    space: dict[str, Any] = {"__file__": "network.py", "__name__": "network"}
    try:
        exec(compile(page, "network.py", "exec"), space)
        copy = space["Network"]().eval()
        copy.load_state_dict(tensors(network))
    except Exception as error:
        raise ExportError(f"The network cannot be written as a file: {_brief(error)}.") from None
    with torch.inference_mode():
        others = copy(images).float()
    return demand_same(network, images, others, "network.py")


class _Tracer(fx.Tracer):
    """Keeps layers whole that run as one of torch's own, subclasses among them."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return _kind(module) is not None and not isinstance(module, nn.Sequential)


def _kind(module: nn.Module) -> type[nn.Module] | None:
    """The layer of torch that a module runs as, if it is one."""
    for kind in type(module).__mro__:
        if getattr(nn, kind.__name__, None) is kind and kind is not nn.Module:
            return kind if type(module).forward is kind.forward else None
    return None


def write(network: nn.Module, title: str, folder: Path, onnx: bool = False) -> float:
    """Write network.py and weights.safetensors, and on request model.onnx, after checking them.

    Args:
        network: as `networks.build.build` makes it, with weights.
        title: a sentence, for the docstring.
        folder: to write into; it is created if need be.
        onnx: whether to write model.onnx as well.

    Returns:
        The largest difference of a logit on random images.

    Raises:
        ExportError: the network cannot be written as a file.
        DifferenceError: a file computes something else.
        ArtifactError: a file cannot be written.
    """
    shape = of_network(network)
    images = torch.randint(0, 256, (IMAGES, *shape), generator=generator_for("export")).byte()
    with torch.inference_mode():
        classes = network.eval()(images[:1]).shape[1]
    page = source(network, title, shape, classes)
    largest = check(page, network, images)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArtifactError(f"Cannot write to {folder}: {error.strerror or error}.") from None
    if onnx:
        largest = max(largest, onnx_file.write(network, images, folder / "model.onnx"))
    with artifacts.atomic(folder / "weights.safetensors") as temporary:
        save_file(tensors(network), temporary)
    artifacts.write_text(folder / "network.py", page)
    return largest


def _demand_torch(found: Mapping[str, Any]) -> None:
    known = {"inf", "nan", "NoneType", "torch", "device", "fx_pytree", "pytree"}
    plain = ("builtins", "torch")
    other = sorted(
        name
        for name, value in found.items()
        if name not in known and getattr(value, "__module__", None) not in plain
    )
    if other:
        raise ExportError(
            f"The network cannot be written as a file: it calls {other[0]}, which is not a "
            "function of torch; allowed: layers and functions of torch."
        )


def _layer(module: nn.Module) -> str:
    """The call that makes a layer like this one, such as `Conv2d(3, 8, kernel_size=(3, 3))`."""
    kind = _kind(module)
    assert kind is not None  # no other layer is kept whole
    arguments = []
    for name, parameter in inspect.signature(kind.__init__).parameters.items():
        if name in NOT_ARGUMENTS or parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.VAR_POSITIONAL or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias" and not isinstance(value, bool):
            value = value is not None
        if value != parameter.default:
            arguments.append(f"{name}={value!r}")
    return f"{kind.__name__}({', '.join(arguments)})"


def _tensor_at(module: nn.Module, name: str) -> Tensor:
    parent, _, last = name.rpartition(".")
    found = getattr(module.get_submodule(parent), last)
    assert isinstance(found, Tensor)
    return found


def _lines(form: str, values: Mapping[str, Any]) -> str:
    return "\n".join(f"        {form.format(*item)}" for item in values.items())


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
