"""Training: base models to optimality, and regularised models along the ridge.

Everything random is drawn from a name (seed, λ, epoch), never from what ran before, so a
checkpoint is bit for bit the same whichever way it was reached: trained in one go, or from an
earlier checkpoint in another process.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.data import files
from skeletons.errors import DataError, TrainingError
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import describe, prunable
from skeletons.prediction import inference
from skeletons.prediction.device import autocast, pick_device, pick_precision
from skeletons.store import artifacts
from skeletons.store.seals import unfit
from skeletons.training import memory
from skeletons.training.augmentation import augment
from skeletons.training.eager import PlainAdam, PlainAdamW, PlainSGD
from skeletons.training.muon import Muon

MEASURED_IMAGES = 5_000  # of the training set at most, for the per-epoch loss
Row = dict[Any, Any]


def generator_for(*name: object) -> torch.Generator:
    """A CPU random generator whose draws depend on `name` alone."""
    digest = hashlib.sha256(repr(name).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True)
class Images:
    """Images uint8 N×3×32×32 and labels int64 N, on the device that trains."""

    pixels: Tensor
    labels: Tensor

    @classmethod
    def read(cls, path: str | Path, split: str, device: torch.device) -> Images:
        """One split of a data set's file.

        Raises:
            DataError: it has no images, as one that is only compared on has none to train on.
        """
        pixels, labels = files.read_split(path, split)
        if not len(labels):
            raise DataError(f"{path} has no images to {split} on; train on another data set.")
        return cls(torch.from_numpy(pixels).to(device), torch.from_numpy(labels).to(device))

    def sample(self, count: int) -> Images:
        """About `count` of the images, evenly spaced."""
        step = max(1, len(self.labels) // count)
        return Images(self.pixels[::step], self.labels[::step])


@torch.inference_mode()
def measure(network: nn.Module, images: Images, precision: str = "fp32") -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (0..1), in evaluation mode."""
    with autocast(precision, images.pixels.device):
        logits = inference.predict(network, images.pixels)
    loss = F.cross_entropy(logits.double(), images.labels).item()
    return loss, (logits.argmax(1) == images.labels).double().mean().item()


def batches(
    images: Images, size: int, generator: torch.Generator, changes: Mapping[str, Any]
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of augmented batches in random order; the last may be smaller."""
    order = torch.randperm(len(images.labels), generator=generator).to(images.labels.device)
    for indices in torch.split(order, size):
        pixels = augment(images.pixels[indices], generator, **changes)
        yield pixels.contiguous(memory_format=torch.channels_last), images.labels[indices]


def run_epoch(
    network: nn.Module,
    data: Iterator[tuple[Tensor, Tensor]],
    update: Callable[[], None],
    *,
    precision: str,
    where: str,
    label_smoothing: float = 0.0,
) -> None:
    """One pass over `data`: forward, backward, `update`.

    Args:
        network: trained in place.
        data: batches of images and labels.
        update: called after each backward pass; steps the optimiser.
        precision: `auto`, `bf16` (autocast; weights stay in fp32) or `fp32`.
        where: what is being trained, for the error.
        label_smoothing: share of a label that all classes get alike (Szegedy et al. 2016, section
            7), in [0, 1).

    Raises:
        TrainingError: a batch's loss was NaN or infinite.
    """
    network.train()
    losses = []
    for pixels, labels in data:
        with autocast(precision, pixels.device):
            logits = network(pixels)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        update()
        losses.append(loss.detach())
    # Looked at once an epoch: asking after every step would make a GPU wait for the answer.
    broken = (~torch.stack(losses).isfinite()).nonzero()
    if len(broken):
        step = int(broken[0]) + 1
        raise TrainingError(
            f"{where} diverged: the loss was {losses[step - 1].item()} at step {step} of "
            f"{len(losses)}; a lower learning rate or a longer warm-up may help."
        )


class Optimizer(Protocol):
    """What training needs of an optimiser: groups whose learning rate can be set, and steps."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> object: ...


@dataclass(frozen=True)
class BaseSettings:
    """How a base model is trained; the config's `base` documents each field."""

    epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    warmup: float
    augment: Mapping[str, Any]


@dataclass(frozen=True)
class RegularizeSettings:
    """How a model is pushed along the ridge; the config's `regularize` documents each field."""

    optimizer: str
    penalty: str
    learning_rate: float
    momentum: float
    batch_size: int
    trace: int
    augment: Mapping[str, Any]


def scheduled_rate(step: int, steps: int, peak: float, warmup: float) -> float:
    """Linear rise to `peak` over the share `warmup` of all steps, then linear decay to 0."""
    rise = max(1.0, warmup * steps)
    return peak * min((step + 1) / rise, (steps - step) / max(1.0, steps - rise))


def base_optimizer(network: nn.Module, settings: BaseSettings) -> Optimizer:
    """The optimiser of a base model: weights decay; biases and normalisation do not."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return descent(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1]},
        ],
        settings,
    )


def descent(groups: Sequence[dict[str, Any]], settings: BaseSettings) -> Optimizer:
    """SGD with Nesterov momentum, Adam with decoupled decay (Loshchilov & Hutter 2019), or Muon.

    Groups of parameters decay only if they say so.
    """
    rate = settings.learning_rate
    if settings.optimizer == "muon":
        return Muon(groups, rate, settings.momentum)
    if settings.optimizer == "adam":
        return PlainAdamW(groups, lr=rate, weight_decay=0.0, fused=True)
    return PlainSGD(groups, lr=rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


def train_base(
    network: nn.Sequential,
    train: Images,
    test: Images,
    seed: int,
    settings: BaseSettings,
    precision: str,
    order: int = 0,
) -> list[Row]:
    """Train a network from its initial weights, with a learning rate that rises and then falls.

    Returns:
        One row an epoch: epoch (from 1), learning_rate (at its end), and loss and accuracy at its
        end on the test set and on a fixed sample of the training set.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    optimizer = base_optimizer(network, settings)
    steps = settings.epochs * -(-len(train.labels) // settings.batch_size)
    step = 0
    rate = 0.0

    def update() -> None:
        nonlocal step, rate
        rate = scheduled_rate(step, steps, settings.learning_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        step += 1

    sample, rows = train.sample(MEASURED_IMAGES), []
    of_order = ("order", order) if order else ()
    for epoch in range(1, settings.epochs + 1):
        random = generator_for("base", seed, epoch, *of_order)
        data = batches(train, settings.batch_size, random, settings.augment)
        where = f"Base model seed={seed}{f' in order {order}' if order else ''}, epoch {epoch},"
        run_epoch(
            network,
            data,
            update,
            precision=precision,
            where=where,
            label_smoothing=settings.label_smoothing,
        )
        rows.append(
            {"epoch": epoch, "learning_rate": rate, **_measures(network, sample, test, precision)}
        )
        _progress(where, rows[-1])
    return rows


def _measures(network: nn.Module, train: Images, test: Images, precision: str = "fp32") -> Row:
    train_loss, train_accuracy = measure(network, train, precision)
    test_loss, test_accuracy = measure(network, test, precision)
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }


def _progress(where: str, row: Row) -> None:
    """Tell how an epoch went.

    Raises:
        TrainingError: its last step left weights whose loss is NaN or infinite.
    """
    print(
        f"{where} training loss {row['train_loss']:.4f}, "
        f"accuracy {row['train_accuracy']:.4f}, test accuracy {row['test_accuracy']:.4f}",
        flush=True,
    )
    if not math.isfinite(row["train_loss"]) or not math.isfinite(row["test_loss"]):
        raise TrainingError(
            f"{where} diverged: the loss was {row['train_loss']} on training and "
            f"{row['test_loss']} on test images after its last step; a lower learning rate or a "
            "longer warm-up may help."
        )


def make_optimizer(network: nn.Module, settings: RegularizeSettings) -> torch.optim.Optimizer:
    """The optimiser of regularisation: its rate is constant, so no epoch looks ahead."""
    trained = [p for p in network.parameters() if p.requires_grad]
    if settings.optimizer == "adam":
        return PlainAdam(trained, lr=settings.learning_rate, fused=True)
    return PlainSGD(trained, lr=settings.learning_rate, momentum=settings.momentum)


@torch.no_grad()
def add_subgradient(weights: Sequence[Tensor], l1: float) -> None:
    """Add the subgradient of λ‖w‖₁, λ·sign(w), to the gradients."""
    gradients = [w.grad for w in weights if w.grad is not None]
    torch._foreach_add_(gradients, torch._foreach_sign(list(weights)), alpha=l1)


@torch.no_grad()
def shrink(weights: Sequence[Tensor], amount: float) -> None:
    """Soft threshold, the proximal step of ‖w‖₁: |w| falls by `amount`, to exactly 0 at the least.

    Source: Parikh & Boyd 2014, Proximal Algorithms, section 6.5.2.
    """
    for w in weights:
        w.copy_(F.softshrink(w, amount))


class Walk:
    """Where the weights are after each step: how far from the base, how far from the step before.

    Nothing is read back from the device until the rows are asked for.
    """

    def __init__(
        self, network: nn.Module, base: Mapping[str, Tensor], sample: Images, precision: str
    ) -> None:
        """Begin where the network is; the loss is measured on `sample`, if it has images."""
        self.network, self.sample, self.precision = network, sample, precision
        self.now: list[Tensor] = [network.get_parameter(name) for name in base]
        self.base = list(base.values())
        self.before = [p.detach().clone() for p in self.now]
        self.points: list[Tensor] = []

    @torch.no_grad()
    def record(self) -> None:
        """Note where the network is now."""
        lengths = [
            _length(torch._foreach_sub(self.now, self.base)),
            _length(torch._foreach_sub(self.now, self.before)),
            _length(self.now),
        ]
        torch._foreach_copy_(self.before, self.now)
        self.points.append(torch.stack([*self._measured(), *lengths]))

    def _measured(self) -> tuple[Tensor, Tensor]:
        """Loss and accuracy on the sample, NaN without one, as tensors on the device."""
        labels = self.sample.labels
        if not len(labels):
            unknown = torch.full((), torch.nan, device=labels.device)
            return unknown, unknown
        training = self.network.training
        with autocast(self.precision, labels.device):
            logits = inference.predict(self.network, self.sample.pixels)
        self.network.train(training)
        right = (logits.argmax(1) == labels).float().mean()
        return F.cross_entropy(logits.float(), labels), right

    def rows(self, first: int, epoch_of: Callable[[int], int]) -> list[Row]:
        """One row a recorded point.

        Columns: step (numbered from `first`), epoch, loss (nats) and accuracy (0..1) on the
        sample, distance (from the base), step_length and norm (L2, of all parameters).
        """
        keys = ("loss", "accuracy", "distance", "step_length", "norm")
        table = torch.stack(self.points).double().cpu().tolist() if self.points else []
        return [
            {"step": step, "epoch": epoch_of(step), **dict(zip(keys, values, strict=True))}
            for step, values in enumerate(table, first)
        ]


def _length(tensors: Sequence[Tensor]) -> Tensor:
    """The L2 length of tensors taken as one vector."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm(list(tensors))))


def regularize(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    base: Mapping[str, Tensor],
    train: Images,
    test: Images,
    seed: int,
    l1: float,
    epochs: range,
    settings: RegularizeSettings,
    precision: str,
    walk: Walk | None = None,
) -> list[Row]:
    """Train on L(w) + λ‖w‖₁ over the prunable weights, for the epochs numbered in `epochs`.

    Args:
        network: trained in place.
        optimizer: its state goes on from where it is.
        base: the base model's parameters by name, to measure the distance walked from there.
        train: training images.
        test: images measured on after each epoch.
        seed: of the base model.
        l1: λ ≥ 0. With `proximal` it is applied as a shrinkage of λ·(learning rate) a step.
        epochs: numbers of the epochs to run; the first after the base model is 1.
        settings: see the config.
        precision: `auto`, `bf16` or `fp32`.
        walk: records where the weights are after each step.

    Returns:
        One row an epoch, with the columns of `walk_row`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    weights = list(prunable(network).values())

    def update() -> None:
        if settings.penalty == "subgradient":
            add_subgradient(weights, l1)
        optimizer.step()
        if settings.penalty == "proximal":
            shrink(weights, l1 * settings.learning_rate)
        if walk is not None:
            walk.record()

    sample, rows = train.sample(MEASURED_IMAGES), []
    for epoch in epochs:
        before = {name: p.detach().clone() for name, p in network.named_parameters()}
        order = generator_for("regularize", seed, l1, epoch)
        data = batches(train, settings.batch_size, order, settings.augment)
        where = f"Model seed={seed} with λ={l1:g}, epoch {epoch},"
        run_epoch(network, data, update, precision=precision, where=where)
        rows.append(walk_row(network, before, base, sample, test, l1, epoch, precision))
        _progress(where, rows[-1])
    return rows


def walk_row(
    network: nn.Sequential,
    before: Mapping[str, Tensor],
    base: Mapping[str, Tensor],
    train: Images,
    test: Images,
    l1: float,
    epoch: int,
    precision: str,
) -> Row:
    """Where the network stands on its walk along the ridge.

    Returns:
        epoch; train_loss, train_accuracy, test_loss, test_accuracy (data loss, without penalty);
        penalty, λ‖w‖₁; distance and step, the L2 distances of all parameters to the base model
        and to the epoch before.
    """
    parameters = dict(network.named_parameters())
    pruned = prunable(network)
    magnitudes = [w.detach().abs().double().cpu().numpy().ravel() for w in pruned.values()]
    return {
        "epoch": epoch,
        **_measures(network, train, test, precision),
        "penalty": l1 * float(sum(m.sum() for m in magnitudes)),
        "distance": _distance(parameters, base),
        "step": _distance(parameters, before),
    }


@torch.no_grad()
def _distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    return float(sum(((a[name] - b[name]).double() ** 2).sum().item() for name in b) ** 0.5)


def start(seed: int, threads: int, device: str) -> torch.device:
    """Make this process ready to train on a device.

    It repeats itself exactly, the same bits for the same seed, threads and device, and keeps the
    memory that a step frees for the next one.

    Raises:
        DeviceError: see `pick_device`.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    torch.set_deterministic_debug_mode("error")  # which imports no compiler
    torch.backends.cudnn.benchmark = False
    memory.keep_freed()
    return pick_device(device)


def _state(network: nn.Module) -> dict[str, artifacts.Array]:
    return {
        name: tensor.detach().cpu().contiguous().numpy()
        for name, tensor in network.state_dict().items()
    }


def _summary(
    network: nn.Sequential, about: Mapping[str, Any], train: Images, test: Images
) -> dict[str, Any]:
    """The content of model.json: what the network is, its size, and how well it does now."""
    return {
        "network": dict(about),
        **describe(network),
        **_measures(network, train, test),
    }


def _trained(summary: Mapping[str, Any], precision: str, place: torch.device) -> dict[str, Any]:
    """The same of a trained network: with the precision, which `auto` leaves to the machine."""
    return {**summary, "precision": pick_precision(precision, place)}


def _untrained(info: str, network: Mapping[str, Any]) -> tuple[nn.Sequential, dict[str, Any]]:
    """A network with freshly drawn weights, and what model.json says of it."""
    about = files.read_info(info)
    classes = len(about["classes"])
    net = build(network["name"], network["width"], classes, about["mean"], about["std"])
    return net, {**network, "classes": classes}


def untrained_stage(
    dataset: str,
    info: str,
    weights: str,
    summary: str,
    *,
    seed: int,
    network: Mapping[str, Any],
    device: str,
    threads: int,
) -> None:
    """Write the network that the base model of a seed was before training, and its model.json."""
    place = start(seed, threads, device)
    net, about = _untrained(info, network)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    prepare(net.to(place), train.sample(5000).pixels)
    artifacts.write_json(summary, _summary(net, about, train, test))
    artifacts.write_tensors(weights, _state(net))


def train_base_stage(
    dataset: str,
    info: str,
    weights: str,
    history: str,
    summary: str,
    *,
    seed: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
    order: int = 0,
) -> None:
    """Train a base model on a data set's file and write its weights, history and model.json.

    With `order` > 0 its images come in another order, and all else is the same.
    """
    place = start(seed, threads, device)
    net, about = _untrained(info, network)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    prepare(net.to(place), train.sample(5000).pixels)
    rows = train_base(net, train, test, seed, BaseSettings(**base), precision, order)
    result = _trained(_summary(net, about, train, test), precision, place)
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_json(summary, result)
    artifacts.write_tensors(weights, _state(net))


def regularize_stage(
    dataset: str,
    base: str,
    parent: Mapping[str, str],
    output: Mapping[str, str],
    *,
    seed: int,
    l1: float,
    after: int,
    epochs: int,
    settings: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Train a checkpoint's parent on, from epoch `after` to epoch `epochs`, and write all of it.

    Args:
        dataset: the data set's images.safetensors.
        base: the base model's weights.safetensors.
        parent: files of the parent: weights, summary, and (if it is no base) history, walk,
            optimizer.
        output: files to write: weights, summary, history, walk, optimizer.
        seed: of the base model.
        l1: λ.
        after: epochs that the parent has behind it; 0 for the base model.
        epochs: epochs that the checkpoint has behind it.
        settings: the fields of `RegularizeSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place = start(seed, threads, device)
    about = artifacts.read_json(parent["summary"], ["network"])
    network = inference.restore(parent["weights"], about).to(place)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    names = [name for name, _ in network.named_parameters()]
    origin = {
        name: torch.from_numpy(tensor).to(place)
        for name, tensor in artifacts.read_tensors(base, names).items()
    }
    chosen = RegularizeSettings(**settings)
    optimizer = make_optimizer(network, chosen)
    walk = Walk(network, origin, _every_nth(train, chosen.trace), precision)
    if after:
        load_optimizer(optimizer, parent["optimizer"])
        rows = artifacts.read_table(parent["history"]).to_dict("records")
        walked = artifacts.read_table(parent["walk"]).to_dict("records")
    else:
        sample = train.sample(MEASURED_IMAGES)
        rows = [walk_row(network, origin, origin, sample, test, l1, 0, precision)]
        walked = []
        walk.record()
    rows += regularize(
        network,
        optimizer,
        origin,
        train,
        test,
        seed,
        l1,
        range(after + 1, epochs + 1),
        chosen,
        precision,
        walk,
    )
    steps = -(-len(train.labels) // chosen.batch_size)
    walked += walk.rows(len(walked), lambda step: -(-step // steps))
    result = _trained(_summary(network, about["network"], train, test), precision, place)
    artifacts.write_table(output["history"], pd.DataFrame(rows))
    artifacts.write_table(output["walk"], pd.DataFrame(walked))
    artifacts.write_json(output["summary"], result)
    save_optimizer(optimizer, output["optimizer"])
    artifacts.write_tensors(output["weights"], _state(network))


def _every_nth(images: Images, count: int) -> Images:
    """`count` of the images, evenly spaced; none for 0."""
    chosen = torch.arange(min(count, len(images.labels)), device=images.labels.device)
    chosen = chosen * len(images.labels) // max(1, len(chosen))
    return Images(images.pixels[chosen], images.labels[chosen])


def save_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Write an optimiser's state as tensors named `<parameter number>.<quantity>`."""
    state = optimizer.state_dict()["state"]
    tensors = {
        f"{number:04d}.{quantity}": tensor.cpu().contiguous().numpy()
        for number, quantities in state.items()
        for quantity, tensor in quantities.items()
        if tensor is not None
    }
    artifacts.write_tensors(path, tensors)


def load_optimizer(optimizer: torch.optim.Optimizer, path: str) -> None:
    """Put a saved state into a fresh optimiser over the same parameters.

    Raises:
        ArtifactError: the file is missing or broken, or the state is not of these parameters.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, array in artifacts.read_tensors(path).items():
            number, quantity = name.split(".")
            tensor, parameter = torch.from_numpy(array), parameters[int(number)]
            if tensor.ndim:
                if tensor.shape != parameter.shape or tensor.dtype != parameter.dtype:
                    raise ValueError(quantity)
                # In the parameter's memory format: the fused step walks both as they lie in memory.
                tensor = torch.empty_like(parameter, requires_grad=False).copy_(tensor)
            state.setdefault(int(number), {})[quantity] = tensor
    except (ValueError, IndexError, RuntimeError):
        raise unfit(path, "holds the optimiser's state of another network") from None
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
