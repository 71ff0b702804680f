"""Networks of torchvision and timm by name, with random or with pretrained weights.

A name is `torchvision:NAME` or `timm:NAME`. The packages are imported when such a network is made,
because that takes seconds.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from skeletons.errors import CheckpointError, ConfigError, SkeletonsError
from skeletons.networks import state_dict
from skeletons.networks.image_shape import USUAL, Shape
from skeletons.user_code.packages import is_file, problem_with
from skeletons.user_code.references import PACKAGES


@dataclass(frozen=True)
class Scale:
    """The standardisation of the images that weights are for: of each channel, in [0, 1]."""

    mean: Sequence[float]
    std: Sequence[float]


def is_package(name: str) -> bool:
    """Whether a name is that of a network of torchvision or timm."""
    return name.startswith(PACKAGES)


def create(
    name: str, classes: int, options: Mapping[str, Any], image_shape: Shape = USUAL
) -> nn.Module:
    """A network of a package, with random weights.

    Args:
        name: `torchvision:NAME` or `timm:NAME`.
        classes: number of logits.
        options: further arguments of the network, by keyword. They replace what follows from the
            images.
        image_shape: channels, height and width of the images.

    Raises:
        ConfigError: the package is not installed or has no such network, or the network does not
            take these options.
    """
    package, _, network = _known(name)
    taken = {key: value for key, value in options.items() if value is not None}
    with _options(name, taken):
        made: nn.Module
        if package == "timm":
            made = _made_by_timm(network, classes, taken, image_shape)
        else:
            import torchvision

            taken = {**_without_second_head(network), **_size(network, image_shape), **taken}
            made = torchvision.models.get_model(network, num_classes=classes, **taken)
    return made


def _made_by_timm(
    network: str, classes: int, options: Mapping[str, Any], image_shape: Shape, **more: Any
) -> nn.Module:
    """A network of timm for images of a shape; `more` is for pretrained weights."""
    import timm

    channels, side, _ = image_shape
    fit = {} if channels == USUAL[0] else {"in_chans": channels}
    about = timm.get_pretrained_cfg(network, allow_unregistered=True)
    make = functools.partial(timm.create_model, network, num_classes=classes, **more)
    if about is not None and about.fixed_input_size:
        with contextlib.suppress(TypeError):  # a few are fixed to one size and do not take another
            return make(**{**fit, "img_size": side, **options})
    return make(**{**fit, **options})


def _size(network: str, image_shape: Shape) -> dict[str, Any]:
    """The option for the size of the images of those networks of torchvision that are for one."""
    if network.startswith("vit_"):
        return {"image_size": image_shape[1]}
    return {"input_size": image_shape[1:]} if network == "maxvit_t" else {}


def _known(name: str) -> tuple[str, str, str]:
    problem = problem_with(name)
    if problem:
        raise ConfigError(f"network.name: found {name!r}, {problem}.")
    return name.partition(":")


def _without_second_head(network: str) -> dict[str, Any]:
    """The options of those networks that otherwise return more than logits in training."""
    return {"aux_logits": False, "init_weights": True} if network == "googlenet" else {}


@contextlib.contextmanager
def _options(name: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn an error in the block, which makes a network, into a sentence about its options."""
    try:
        yield
    except Exception as error:  # the package's own checks raise anything
        found = ", ".join(options) or "no options"
        raise ConfigError(
            f"network.options: found {found}, with which {name!r} cannot be made ({_said(error)}); "
            "allowed: the arguments of this network as its package documents them."
        ) from None


@contextlib.contextmanager
def guarded(name: str, event: str = "failed") -> Iterator[None]:
    """Turn an error in the block, which runs a network, into a sentence.

    Args:
        name: of the network.
        event: what to say of it.

    Raises:
        ConfigError: in place of any other error.
    """
    try:
        yield
    except SkeletonsError:
        raise
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # the network's code may raise anything
        raise ConfigError(
            f"network.name: found {name!r}, which {event} on the images of the data set "
            f"({_said(error)}); allowed: a network that takes them, with network.options where it "
            "needs them, such as img_size or image_size."
        ) from None


def _said(error: Exception) -> str:
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__


# --- pretrained weights ---------------------------------------------------------------------------


def load_pretrained(
    body: nn.Module,
    name: str,
    classes: int,
    options: Mapping[str, Any],
    weights: str,
    image_shape: Shape = USUAL,
) -> Scale:
    """Load pretrained weights into a network, all but a last layer with other classes.

    Args:
        body: as from `create`; changed in place.
        name: its name.
        classes: number of logits.
        options: as for `create`.
        weights: a file, see `state_dict.read`, or the name that the package gives to weights, which
            are downloaded.
        image_shape: as for `create`.

    Returns:
        The standardisation of the images that the weights are for: the package's own for them, or
        for its default weights of this network if `weights` is a file. For grey images, it is the
        mean over the colours.

    Raises:
        ConfigError: the weights cannot be read or downloaded, or are those of another network.
    """
    package, _, network = _known(name)
    given = _read(weights) if is_file(weights) else None
    if package == "timm":
        scale = _load_timm(body, network, classes, options, weights, given, image_shape)
    else:
        scale = _load_torchvision(body, network, weights, given)
    if image_shape[0] == 1:
        return Scale(*([fmean(values)] for values in (scale.mean, scale.std)))
    return scale


def _load_torchvision(
    body: nn.Module, network: str, weights: str, given: Mapping[str, Tensor] | None
) -> Scale:
    from torchvision import models

    known = models.get_model_weights(network)
    named = "DEFAULT" if given is not None else weights
    if named not in known.__members__:
        allowed = ", ".join(known.__members__) or "a file"
        raise ConfigError(
            f"network.weights: found {weights!r}, which torchvision does not have for {network!r}; "
            f"allowed: {allowed}, or a file (with a slash, or .pt, .pth or .safetensors)."
        )
    entry = known[named]
    if given is None:
        with _downloading(weights):
            given = entry.get_state_dict(progress=False, check_hash=True)
    load_all_but_head(body, given, weights)
    scale = entry.transforms()
    return Scale(scale.mean, scale.std)


def _load_timm(
    body: nn.Module,
    network: str,
    classes: int,
    options: Mapping[str, Any],
    weights: str,
    given: Mapping[str, Tensor] | None,
    image_shape: Shape,
) -> Scale:
    # timm fits weights to another size of images and number of channels.
    overlay = {} if given is None else _as_pretrained(body, given)
    tag = weights if given is None and weights.lower() != "default" else None
    full = f"{network}.{tag}" if tag else network
    try:
        given_to = {"pretrained": True, "pretrained_cfg_overlay": overlay}
        made = _made_by_timm(full, classes, options, image_shape, **given_to)
    except Exception as error:  # of downloading, and of loading, whatever it raises
        raise _cannot_load(weights, error, downloaded=given is None) from None
    body.load_state_dict(made.state_dict())
    about: Any = made.pretrained_cfg
    return Scale(about["mean"], about["std"])


def _as_pretrained(body: nn.Module, given: Mapping[str, Tensor]) -> dict[str, Any]:
    """What timm has to know to take tensors for its own pretrained weights."""
    about: Any = body.pretrained_cfg
    heads = about["classifier"]
    names = [heads] if isinstance(heads, str) else list(heads or ())
    weights = [given[f"{name}.weight"] for name in names if f"{name}.weight" in given]
    overlay: dict[str, Any] = {"state_dict": dict(given), "hf_hub_id": None, "url": ""}
    # It leaves out a last layer of another number of classes.
    return overlay | ({"num_classes": len(weights[0])} if weights else {})


@contextlib.contextmanager
def _downloading(weights: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of the package, of urllib, and of the disk
        raise _cannot_load(weights, error, downloaded=True) from None


def _cannot_load(weights: str, error: Exception, *, downloaded: bool) -> ConfigError:
    fault = "cannot be downloaded" if downloaded else "cannot be loaded into this network"
    allowed = "a name that the package has, on a machine with internet access, or a file"
    if not downloaded:
        allowed = "weights of the network that network.name and network.options describe"
    return ConfigError(
        f"network.weights: found {weights!r}, which {fault} ({_said(error)}); allowed: {allowed}."
    )


def _read(path: str) -> dict[str, Tensor]:
    """The tensors of a file of pretrained weights.

    Raises:
        ConfigError: the file cannot be used, see `state_dict.read`.
    """
    try:
        return state_dict.read(path)
    except CheckpointError as error:
        raise ConfigError(f"network.weights: {error}") from None


def load_all_but_head(body: nn.Module, given: Mapping[str, Tensor], source: str) -> None:
    """Load tensors into a network; a last layer of another number of classes stays as it is.

    Raises:
        ConfigError: other tensors differ in name or shape.
    """
    own = body.state_dict()
    head = _last_weight(body).rpartition(".")[0]
    kept = {
        name: tensor
        for name, tensor in own.items()
        if name.rpartition(".")[0] == head
        and name in given
        and given[name].shape[1:] == tensor.shape[1:]
        and given[name].shape != tensor.shape
    }
    odd = sorted(
        name
        for name in {*own, *given}
        if name not in kept
        and (name not in own or name not in given or own[name].shape != given[name].shape)
    )
    if odd:
        where = "has no tensor" if odd[0] not in given else "has another or an unknown tensor"
        raise ConfigError(
            f"network.weights: found {source!r}, which {where} {odd[0]!r}; allowed: weights of the "
            "network that network.name and network.options describe."
        )
    body.load_state_dict({**given, **kept})


def _last_weight(body: nn.Module) -> str:
    """The name of the weights of the last layer of a network of torchvision."""
    layers = (nn.Linear, nn.Conv2d)
    names = [name for name, module in body.named_modules() if isinstance(module, layers)]
    return f"{names[-1]}.weight"
