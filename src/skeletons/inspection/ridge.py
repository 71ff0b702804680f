"""The loss between models: on straight lines, on a plane through three, and on trained curves.

Weights are mixed in double precision, so a mixture of a model with itself is that model, and the
ends of a path are the models at its ends. Batch norm is another matter: its running statistics
belong to one model's activations and mean nothing for a mixture's. So they can be recomputed from
training images, and then they are at *every* point, the ends as well: an end's own statistics are a
running mean over augmented batches of the last epochs, and a loss measured with those can differ
from its neighbour's for that reason alone, which would look like a step in the landscape.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skeletons.alignment import permutations
from skeletons.errors import ArtifactError
from skeletons.inspection import barriers
from skeletons.networks.generators import generator_for
from skeletons.prediction import inference
from skeletons.prediction.device import autocast
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.training.epochs import measure, run_epoch
from skeletons.training.images import Images, batches
from skeletons.training.job import start
from skeletons.training.optimizers import optimizer_of_groups, scheduled_rate
from skeletons.training.settings import BaseSettings

Floats = npt.NDArray[np.float64]
Weights = Mapping[str, Array]  # a model's tensors by name, as in weights.safetensors

Batches = Iterator[tuple[Tensor, Tensor]]

NORM_BATCH = 500


def check_alike(models: Sequence[Weights]) -> None:
    """See that models are of one network.

    Raises:
        ValueError: they are not.
    """
    first = models[0]
    for other in models[1:]:
        for name in sorted({*first, *other}):
            if name not in first or name not in other or first[name].shape != other[name].shape:
                raise ValueError(f"the models are not of one network: they differ at {name!r}")


def mix(models: Sequence[Weights], shares: Sequence[float]) -> dict[str, Array]:
    """The sum of models, each times its share; shares sum to 1 and need not lie in 0..1.

    Counters, the tensors of integers, are the first model's. A variance that shares outside of
    0..1 take below zero is zero.

    Raises:
        ValueError: the models are not of one network.
    """
    check_alike(models)
    mixed = {}
    for name, tensor in models[0].items():
        if tensor.dtype.kind != "f":
            mixed[name] = tensor
            continue
        total = np.zeros(tensor.shape)
        for model, share in zip(models, shares, strict=True):
            total += share * model[name].astype(np.float64)
        if name.endswith("running_var"):
            total = np.maximum(total, 0)
        mixed[name] = total.astype(tensor.dtype)
    return mixed


def put(network: nn.Module, weights: Weights) -> None:
    """Put a model's tensors into a network of its shape."""
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})


@torch.no_grad()
def recompute_norms(network: nn.Module, images: Images, precision: str = "fp32") -> None:
    """Set the running statistics of all batch norms to those of images, without augmentation.

    Each is the mean over whole batches of `NORM_BATCH` images (what is left over is not used, or it
    would count as much as a whole batch). A network without batch norm stays as it is.

    Source: Izmailov et al. 2018, Averaging Weights Leads to Wider Optima, section 3.2.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over all batches
    count = len(images.labels)
    pixels = images.pixels[: max(count // NORM_BATCH * NORM_BATCH, min(count, NORM_BATCH))]
    network.train()
    with autocast(precision, pixels.device):
        for batch in torch.split(pixels, NORM_BATCH):
            network(batch.contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@dataclass(frozen=True)
class Landscape:
    """What it takes to measure a point in weight space.

    Attributes:
        network: any network of the models' shape; its weights are overwritten.
        images: that the loss and the accuracy are measured on.
        norm_images: training images to recompute batch norm's statistics from at every point; None
            to mix the statistics like weights.
        precision: `auto`, `bf16` (autocast) or `fp32`.
    """

    network: nn.Sequential
    images: Images
    norm_images: Images | None = None
    precision: str = "fp32"

    def measure(self, weights: Weights) -> tuple[float, float]:
        """Mean cross-entropy (nats) and accuracy (0..1) at a point."""
        put(self.network, weights)
        if self.norm_images is not None:
            recompute_norms(self.network, self.norm_images, self.precision)
        return measure(self.network, self.images, self.precision)

    @property
    def parameters(self) -> list[str]:
        """The names of the coordinates of weight space: all parameters, no statistics."""
        return [name for name, _ in self.network.named_parameters()]


# --- lines --------------------------------------------------------------------------------------


def places(points: int) -> list[float]:
    """Evenly spaced places on a path from 0 to 1, ends included; `points` ≥ 2."""
    return [k / (points - 1) for k in range(points)]


def line(landscape: Landscape, a: Weights, b: Weights, points: int) -> pd.DataFrame:
    """Loss and accuracy on the straight line from `a` (t = 0) to `b` (t = 1).

    Args:
        landscape: to measure on.
        a: tensors of the model at one end.
        b: tensors of the model at the other; aligned to `a` beforehand, if it is to be.
        points: ≥ 2, ends included.

    Returns:
        Rows t, loss (nats) and accuracy (0..1).

    Raises:
        ValueError: the models are not of one network.
    """
    return _along(landscape, points, lambda t: mix([a, b], [1 - t, t]))


def _along(
    landscape: Landscape, points: int, weights_at: Callable[[float], Weights]
) -> pd.DataFrame:
    rows = []
    for t in places(points):
        loss, accuracy = landscape.measure(weights_at(t))
        rows.append({"t": t, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


# --- planes -------------------------------------------------------------------------------------


class Plane:
    """The plane through three models, with orthonormal axes.

    The first model is the origin, the second lies on the x axis, and the third at positive y. The
    space is that of all parameters, so distances on the plane are L2 distances of weights.

    Source: Garipov et al. 2018, section 3 and appendix A.1.

    Attributes:
        corners: coordinates of the three models, 3×2.

    Raises:
        ValueError: the three lie on one line, or are not of one network.
    """

    def __init__(self, models: Sequence[Weights], parameters: Sequence[str]) -> None:
        self.models, self.parameters = list(models), list(parameters)
        origin, second, third = models
        check_alike(models)
        along, away = self._difference(second, origin), self._difference(third, origin)
        length, reach = np.linalg.norm(along), np.linalg.norm(away)
        self._u = along / length if length else along
        foot = float(away @ self._u)
        # Twice, as what one subtraction leaves along u is rounding, large next to a small height.
        across = away - foot * self._u
        across -= (across @ self._u) * self._u
        height = np.linalg.norm(across)
        if not length or height <= 1e-6 * reach:
            raise ValueError("the three models lie on one line, so no one plane goes through them")
        self._v = across / height
        self.corners: Floats = np.array([[0, 0], [length, 0], [foot, height]], dtype=np.float64)

    def _difference(self, one: Weights, other: Weights) -> Floats:
        return np.concatenate(
            [
                one[name].ravel().astype(np.float64) - other[name].ravel().astype(np.float64)
                for name in self.parameters
            ]
        )

    def at(self, x: float, y: float) -> dict[str, Array]:
        """The tensors of the model at (x, y); at a corner, the very model."""
        (_, _), (length, _), (foot, height) = self.corners
        third = y / height
        second = (x - foot * third) / length
        return mix(self.models, [1 - second - third, second, third])

    def project(self, model: Weights) -> tuple[float, float, float]:
        """Coordinates (x, y) of the point of the plane nearest a model, and its distance to it."""
        away = self._difference(model, self.models[0])
        x, y = float(away @ self._u), float(away @ self._v)
        return x, y, float(np.linalg.norm(away - x * self._u - y * self._v))


def span(coordinates: Floats, margin: float, points: int) -> tuple[Floats, Floats]:
    """The x and the y of a grid that holds points of a plane, with room around them.

    The shorter side is at least half the longer, so that a plane whose models lie almost on a line
    is no mere strip.

    Args:
        coordinates: of the points, N×2.
        margin: room on each side, as a share of the larger of the two extents, ≥ 0.
        points: of the grid on each axis, ≥ 2.
    """
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    extents = (high - low) + 2 * margin * (high - low).max()
    half = np.maximum(extents, extents.max() / 2) / 2
    middle = (low + high) / 2
    x, y = (np.linspace(middle[k] - half[k], middle[k] + half[k], points) for k in range(2))
    return x, y


def grid(
    landscape: Landscape, plane: Plane, xs: Iterable[float], ys: Iterable[float]
) -> pd.DataFrame:
    """Loss and accuracy at every point of a grid on a plane.

    Returns:
        A table with rows x, y (L2 distances along the plane's axes), loss (nats) and accuracy
        (0..1), by y and then x.
    """
    columns = list(xs)
    rows = []
    for y in ys:
        for x in columns:
            loss, accuracy = landscape.measure(plane.at(x, y))
            rows.append({"x": x, "y": y, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


def locate(landscape: Landscape, plane: Plane, models: Mapping[str, Weights]) -> pd.DataFrame:
    """Where models lie on a plane, or how far from it, and how well they do.

    Returns:
        Rows model, x, y, residual (L2 distance to the plane; 0 up to rounding for its corners),
        loss and accuracy, of the model itself and not of its image on the plane.
    """
    rows = []
    for name, weights in models.items():
        x, y, residual = plane.project(weights)
        loss, accuracy = landscape.measure(weights)
        row = {"model": name, "x": x, "y": y, "residual": residual}
        rows.append({**row, "loss": loss, "accuracy": accuracy})
    return pd.DataFrame(rows)


# --- curves -------------------------------------------------------------------------------------


def bezier(t: float) -> tuple[float, float, float]:
    """Shares of the first end, the control point and the second end at t of a quadratic Bézier."""
    return (1 - t) ** 2, 2 * t * (1 - t), t**2


def curve_line(
    landscape: Landscape, a: Weights, control: Weights, b: Weights, points: int
) -> pd.DataFrame:
    """Loss and accuracy on the curve from `a` over `control` to `b`: the table of `line`.

    The control point has no statistics of its own, so a network with batch norm needs the
    landscape's `norm_images`.
    """
    return _along(landscape, points, lambda t: mix([a, control, b], bezier(t)))


def train_curve(
    network: nn.Sequential,
    a: Weights,
    b: Weights,
    train: Images,
    seed: int,
    settings: BaseSettings,
    precision: str,
) -> dict[str, Array]:
    """Train the control point of a quadratic Bézier curve between two models that stay.

    Each step draws t from [0, 1] evenly and descends the loss of the model at t. The curve starts
    as the straight line. Weights decay at the point that is drawn, so it is the models on the curve
    that are kept small.

    Source: Garipov et al. 2018, section 3.2 and equation 2; the optimiser is the bases'.

    Args:
        network: of the models' shape; its weights are overwritten.
        a: tensors of the model at t = 0.
        b: tensors of the model at t = 1.
        train: training images.
        seed: of the order of images, their augmentation, and t.
        settings: as for a base model; the rate follows the same schedule.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        The control point's tensors; statistics of batch norm are those halfway between the ends.

    Raises:
        ValueError: the models are not of one network.
        TrainingError: the loss became NaN or infinite.
    """
    middle = mix([a, b], [0.5, 0.5])
    put(network, middle)
    points = {n: p for n, p in network.named_parameters() if p.requires_grad}
    device = train.labels.device
    ends = [_tensors(model, points, device) for model in (a, b)]
    control = [nn.Parameter(p.detach().clone()) for p in points.values()]
    # The decay acts on the models on the curve, below, and not on the control point.
    optimizer = optimizer_of_groups([{"params": control}], settings)
    steps = settings.epochs * -(-len(train.labels) // settings.batch_size)
    step, rate, t = 0, 0.0, 0.5

    def update() -> None:
        nonlocal step, rate
        rate = scheduled_rate(step, steps, settings.learning_rate, settings.warmup)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for p, theta in zip(points.values(), control, strict=True):
            assert p.grad is not None
            decay = settings.weight_decay if p.ndim > 1 else 0.0
            # The chain rule: the point at t moves by 2t(1 − t) of what the control point does.
            theta.grad = (p.grad + decay * p.detach()) * bezier(t)[1]
        optimizer.step()
        step += 1

    def placed(data: Batches, draw: torch.Generator) -> Batches:
        """The same batches, each with the network put at a place of the curve drawn for it."""
        nonlocal t
        for batch in data:
            t = float(torch.rand((), generator=draw))
            _place(list(points.values()), [ends[0], control, ends[1]], bezier(t))
            yield batch

    for epoch in range(1, settings.epochs + 1):
        order = generator_for("curve", seed, epoch)
        draw = generator_for("place on the curve", seed, epoch)
        data = batches(train, settings.batch_size, order, settings.augment)
        where = f"Curve seed={seed}, epoch {epoch},"
        run_epoch(
            network,
            placed(data, draw),
            update,
            layers=generator_for("curve", seed, epoch, "layers"),
            precision=precision,
            where=where,
            label_smoothing=settings.label_smoothing,
        )
        print(f"{where} done; the learning rate is {rate:.2g}.", flush=True)
    trained = {
        name: theta.detach().cpu().contiguous().numpy()
        for name, theta in zip(points, control, strict=True)
    }
    return {**middle, **trained}


def _tensors(model: Weights, names: Iterable[str], device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(model[name]).to(device) for name in names]


@torch.no_grad()
def _place(
    points: Sequence[Tensor], corners: Sequence[Sequence[Tensor]], shares: Sequence[float]
) -> None:
    for k, point in enumerate(points):
        point.zero_()
        for share, corner in zip(shares, corners, strict=True):
            point.add_(corner[k], alpha=share)


# --- the stages ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """How the stages below measure.

    Attributes:
        split: `train` or `test`: whose images the loss is of.
        images: how many of them, counted from the first; None for all.
        norm_images: how many training images batch norm's statistics are recomputed from; None to
            mix them like weights.
        device: `auto`, `cpu` or `cuda`.
        precision: of measuring: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """

    split: str
    images: int | None
    norm_images: int | None
    device: str
    precision: str
    threads: int

    def landscape(self, weights: str, summary: str, dataset: str, seed: int = 0) -> Landscape:
        """The landscape of the network of `weights` on a data set's file."""
        place = start(seed, self.threads, self.device)
        network = inference.restore(weights, artifacts.read_json(summary, ["network"])).to(place)
        measured = _first(Images.read(dataset, self.split, place), self.images)
        norms = None
        if self.norm_images is not None:
            norms = _first(Images.read(dataset, "train", place), self.norm_images)
        return Landscape(network, measured, norms, self.precision)


def _first(images: Images, count: int | None) -> Images:
    return Images(images.pixels[:count], images.labels[:count])


def _network_name(summary: str) -> str:
    return str(artifacts.read_json(summary, ["network"])["network"]["name"])


def line_stage(
    a: str,
    b: str,
    summary: str,
    dataset: str,
    output: str,
    *,
    matched: str | None = None,
    points: int,
    measured: Mapping[str, Any],
) -> None:
    """Write loss and accuracy on the line between two models: as they are, and aligned.

    Columns: `path` (`naive`, or `aligned` if there is an alignment), and those of `line`.

    Args:
        a: weights.safetensors of the model at t = 0.
        b: weights.safetensors of the model at t = 1.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        output: the parquet file to write.
        matched: the permutations that align b to a, from `alignment.align_stage`.
        points: ≥ 2, ends included.
        measured: the fields of `Measured`.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
    """
    landscape = Measured(**measured).landscape(a, summary, dataset)
    name, one = _network_name(summary), artifacts.read_tensors(a)
    others = {"naive": artifacts.read_tensors(b)}
    if matched is not None:
        others["aligned"] = permutations.read_aligned(b, name, matched)
    with _of_one_network(a, b):
        check_alike([one, others["naive"]])
    tables = [line(landscape, one, two, points).assign(path=p) for p, two in others.items()]
    _write_paths(output, tables)


def curve_stage(
    a: str,
    b: str,
    summary: str,
    dataset: str,
    control: str,
    output: str,
    *,
    matched: str | None = None,
    seed: int,
    settings: Mapping[str, Any],
    precision: str,
    points: int,
    measured: Mapping[str, Any],
) -> None:
    """Train a curve between two models and write its control point, and loss and accuracy on it.

    Columns: `path` (`curve`), and those of `line`.

    Args:
        a: weights.safetensors of the model at t = 0.
        b: weights.safetensors of the model at t = 1.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        control: the safetensors file to write.
        output: the parquet file to write.
        matched: the permutations that align b to a; None to end at b as it is.
        seed: of the order of images, and of the places on the curve.
        settings: the fields of `training.BaseSettings`.
        precision: of training: `auto`, `bf16` or `fp32`.
        points: ≥ 2, ends included.
        measured: the fields of `Measured`; without `norm_images`, a network with batch norm is
            measured with statistics that belong to no point of the curve.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
        TrainingError: the loss became NaN or infinite.
    """
    landscape = Measured(**measured).landscape(a, summary, dataset, seed)
    network = landscape.network
    one = artifacts.read_tensors(a)
    other = permutations.read_aligned(b, _network_name(summary), matched)
    train = Images.read(dataset, "train", landscape.images.labels.device)
    with _of_one_network(a, b):
        check_alike([one, other])
    middle = train_curve(network, one, other, train, seed, BaseSettings(**settings), precision)
    table = curve_line(landscape, one, middle, other, points)
    _write_paths(output, [table.assign(path="curve")])
    artifacts.write_tensors(control, middle)


def plane_stage(
    models: Mapping[str, str],
    summary: str,
    dataset: str,
    output: str,
    located: str,
    *,
    matched: Mapping[str, str] | None = None,
    points: int,
    margin: float,
    measured: Mapping[str, Any],
) -> None:
    """Write the losses on the plane through three models, and where models lie on it.

    Args:
        models: weights.safetensors by model id; the first three span the plane, the others are
            projected on it.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        output: the parquet file to write, with the columns of `grid`.
        located: the parquet file to write, with the columns of `locate`.
        matched: by model id, the permutations that align a model to the first.
        points: of the grid on each axis, ≥ 2.
        margin: room around the models, as a share of the larger extent.
        measured: the fields of `Measured`.

    Raises:
        ArtifactError: a file is missing or broken, the models are not of one network, or the first
            three lie on one line.
    """
    files = list(models.values())
    landscape = Measured(**measured).landscape(files[0], summary, dataset)
    name, aligned = _network_name(summary), matched or {}
    weights = {
        model: permutations.read_aligned(path, name, aligned.get(model))
        for model, path in models.items()
    }
    with _of_one_network(*files):
        check_alike(list(weights.values()))
    with _of_one_network(*files[:3]):
        plane = Plane(list(weights.values())[:3], landscape.parameters)
    found = locate(landscape, plane, weights)
    xs, ys = span(found[["x", "y"]].to_numpy(np.float64), margin, points)
    artifacts.write_table(output, grid(landscape, plane, xs, ys))
    artifacts.write_table(located, found)


@contextlib.contextmanager
def _of_one_network(*files: str) -> Iterator[None]:
    """Name the files of models that do not go together."""
    try:
        yield
    except ValueError as error:
        names = f"{', '.join(files[:-1])} and {files[-1]}"
        raise ArtifactError(f"{names} do not go together: {error}.") from None


def _write_paths(output: str, tables: Sequence[pd.DataFrame]) -> None:
    table = pd.concat(tables, ignore_index=True)[["path", "t", "loss", "accuracy"]]
    artifacts.write_table(output, table)
    for row in barriers.by_path(table).itertuples():
        print(
            f"{row.path}: barrier {row.barrier:.4f} nats at {row.barrier_at:.2f}, "
            f"highest loss {row.highest_loss:.4f} at {row.highest_at:.2f}",
            flush=True,
        )
