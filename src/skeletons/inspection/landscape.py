"""The loss measured at a point in weight space: at a model, or at a mixture of models.

Weights are mixed in double precision, so a mixture of a model with itself is that model, and the
ends of a path are the models at its ends. The running statistics of batch norm cannot be mixed in
the same way, because they belong to the activations of one model. So they can be recomputed from
training images. In that case they are recomputed at *every* point, including the ends: the
statistics of a trained model are a running mean over augmented batches of its last epochs, and a
loss measured with them can differ from that of its neighbours for this reason alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from skeletons.errors import ArtifactError
from skeletons.networks import tensors
from skeletons.prediction import inference
from skeletons.prediction.device import autocast
from skeletons.store import artifacts
from skeletons.store.artifacts import Array
from skeletons.training.epochs import measure
from skeletons.training.images import Images
from skeletons.training.job import start

Weights = Mapping[str, Array]  # a model's tensors by name, as in weights.safetensors

NORM_BATCH = 500
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures that are tried


def check_alike(models: Sequence[Weights]) -> None:
    """Check that models are of one network.

    Raises:
        ValueError: they are not.
    """
    first = models[0]
    for other in models[1:]:
        for name in sorted({*first, *other}):
            if name not in first or name not in other or first[name].shape != other[name].shape:
                raise ValueError(f"the models are not of one network: they differ at {name!r}")


def mix(models: Sequence[Weights], shares: Sequence[float]) -> dict[str, Array]:
    """The weighted sum of models; the shares sum to 1 and need not lie in 0..1.

    Tensors of integers (counters) are those of the first model. A variance that becomes negative,
    which happens with shares outside of 0..1, is set to zero.

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
    """Load a model's tensors into a network of the same shape."""
    tensors.put(network, {name: torch.from_numpy(value) for name, value in weights.items()})


@torch.no_grad()
def recompute_norms(network: nn.Module, images: Images, precision: str = "fp32") -> None:
    """Recompute the running statistics of all batch norms from images, without augmentation.

    Each statistic is the mean over full batches of `NORM_BATCH` images. A remainder is not used,
    because it would count as much as a full batch. A network without batch norm does not change.

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
    place = images.labels.device
    with autocast(precision, place):
        for batch in torch.split(pixels, NORM_BATCH):
            network(batch.to(place).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()


@dataclass(frozen=True)
class Landscape:
    """Measures the loss and the accuracy at points in weight space.

    Attributes:
        network: a network of the models' shape; its weights are overwritten.
        images: the images that the loss and the accuracy are measured on.
        norm_images: training images from which the statistics of batch norm are recomputed at every
            point; None to mix the statistics like weights.
        precision: `auto`, `bf16` (autocast) or `fp32`.
        test: test images, for `row`; None for none.
    """

    network: nn.Sequential
    images: Images
    norm_images: Images | None = None
    precision: str = "fp32"
    test: Images | None = None

    def measure(self, weights: Weights) -> tuple[float, float]:
        """Mean cross-entropy (nats) and accuracy (0..1) at a point."""
        put(self.network, weights)
        self.renew_norms()
        return measure(self.network, self.images, self.precision)

    def renew_norms(self) -> None:
        """Recompute the statistics of batch norm for the network as it is now."""
        if self.norm_images is not None:
            recompute_norms(self.network, self.norm_images, self.precision)

    def row(self) -> dict[str, float]:
        """What is measured of the network as it is now.

        Returns:
            loss and accuracy; and with test images test_loss, test_accuracy, tempered_loss (nats,
            at the best temperature) and temperature, see `best_temperature`.
        """
        loss, accuracy = measure(self.network, self.images, self.precision)
        found = {"loss": loss, "accuracy": accuracy}
        if self.test is None:
            return found
        with torch.inference_mode(), autocast(self.precision, self.test.labels.device):
            logits = inference.predict(self.network, self.test.pixels).double().cpu()
        labels = self.test.labels.cpu()
        temperature, tempered = best_temperature(logits, labels)
        return found | {
            "test_loss": F.cross_entropy(logits, labels).item(),
            "test_accuracy": (logits.argmax(1) == labels).double().mean().item(),
            "tempered_loss": tempered,
            "temperature": temperature,
        }

    @property
    def parameters(self) -> list[str]:
        """The names of the coordinates of weight space: all parameters, without statistics."""
        return [name for name, _ in self.network.named_parameters()]


def best_temperature(logits: Tensor, labels: Tensor) -> tuple[float, float]:
    """The number by which to divide logits so that their loss is lowest, and that loss in nats.

    It is fitted to the very images that the loss is measured on: one number for all of them, so
    what is left of the loss comes from wrong answers and not from their confidence. Temperatures
    from `COLDEST` to `HOTTEST` are allowed. Both are NaN if a logit is not a number.

    Source: Guo et al. 2017, On calibration of modern neural networks, section 4.2.

    Args:
        logits: float64 N×K.
        labels: int64 N.
    """
    if not bool(logits.isfinite().all()):
        return float("nan"), float("nan")

    def loss(log_temperature: float) -> float:
        return F.cross_entropy(logits / np.exp(log_temperature), labels).item()

    # The loss is convex in the inverse temperature, so it has one minimum.
    bounds = (np.log(COLDEST), np.log(HOTTEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    best = min((found.x, 0.0), key=loss)  # never worse than the logits as they are
    return float(np.exp(best)), loss(best)


# --- for the stages -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """How the stages of lines, planes and curves measure.

    Attributes:
        images: number of training images that the loss is measured on, and of test images for
            `Landscape.row`, from the first; None for all.
        norm_images: number of training images from which the statistics of batch norm are
            recomputed; None to mix the statistics like weights.
        device: `auto`, `cpu` or `cuda`.
        precision: for measuring: `auto`, `bf16` or `fp32`.
        threads: number of CPU threads.
    """

    images: int | None
    norm_images: int | None
    device: str
    precision: str
    threads: int

    def landscape(self, weights: str, summary: str, dataset: str, seed: int = 0) -> Landscape:
        """The landscape of the network of `weights` on the images in a data set's file."""
        device = start(seed, self.threads, self.device)
        network = inference.restore(weights, artifacts.read_json(summary, ["network"])).to(device)
        train = Images.read(dataset, "train", device)
        norms = None if self.norm_images is None else _first(train, self.norm_images)
        return Landscape(
            network,
            _first(train, self.images),
            norms,
            self.precision,
            _first(Images.read(dataset, "test", device), self.images),
        )


def _first(images: Images, count: int | None) -> Images:
    return Images(images.pixels[:count], images.labels[:count])


@contextlib.contextmanager
def naming(*files: str) -> Iterator[None]:
    """A block whose ValueError becomes a sentence that names the files of the models.

    Raises:
        ArtifactError: in place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        names = f"{', '.join(files[:-1])} and {files[-1]}"
        raise ArtifactError(f"{names} do not fit together: {error}.") from None
