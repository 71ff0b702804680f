"""One epoch of training, and the measurements after it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.errors import TrainingError
from skeletons.networks.generators import drawing_from
from skeletons.prediction.device import autocast
from skeletons.prediction.inference import predict
from skeletons.training.images import Images

MEASURED_IMAGES = 2_000  # of the training set, for the training loss of an epoch, see `sample`
Row = dict[Any, Any]


def run_epoch(
    network: nn.Module,
    data: Iterator[tuple[Tensor, Tensor]],
    update: Callable[[], None],
    *,
    layers: torch.Generator,
    precision: str,
    where: str,
    label_smoothing: float = 0.0,
) -> None:
    """One pass over `data`: forward, backward, `update`.

    Args:
        network: trained in place.
        data: batches of images and labels.
        update: called after each backward pass; steps the optimiser.
        layers: a new generator for layers that draw random numbers, such as dropout.
        precision: `auto`, `bf16` (autocast; weights stay in fp32) or `fp32`.
        where: the model and epoch, for the error message.
        label_smoothing: the share of a label that is spread evenly over all classes (Szegedy et al.
            2016, section 7), in [0, 1).

    Raises:
        TrainingError: a batch's loss was NaN or infinite.
    """
    network.train()
    losses = []
    with drawing_from(layers, next(network.parameters()).device):
        for pixels, labels in data:
            with autocast(precision, pixels.device):
                logits = network(pixels)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
            network.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            update()
            losses.append(loss.detach())
    # Checked once per epoch: a check at each step would make a GPU wait.
    broken = (~torch.stack(losses).isfinite()).nonzero()
    if len(broken):
        step = int(broken[0]) + 1
        raise TrainingError(
            f"{where} diverged: the loss was {losses[step - 1].item()} at step {step} of "
            f"{len(losses)}; a lower learning rate or a longer warm-up may help."
        )


@torch.inference_mode()
def measure(network: nn.Module, images: Images, precision: str = "fp32") -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (0..1), in evaluation mode."""
    with autocast(precision, images.labels.device):
        logits = predict(network, images.pixels)
    loss = F.cross_entropy(logits.double(), images.labels).item()
    return loss, (logits.argmax(1) == images.labels).double().mean().item()


def measure_splits(network: nn.Module, train: Images, test: Images, precision: str = "fp32") -> Row:
    """Loss and accuracy on both splits: train_loss, train_accuracy, test_loss, test_accuracy."""
    train_loss, train_accuracy = measure(network, train, precision)
    test_loss, test_accuracy = measure(network, test, precision)
    return {
        "train_loss": train_loss,
        "train_accuracy": train_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
    }


def report_epoch(where: str, row: Row) -> None:
    """Print the measurements after an epoch, see `measure_splits`.

    Raises:
        TrainingError: a loss is NaN or infinite after the epoch's last step.
    """
    print(
        f"{where} training loss {row['train_loss']:.4f}, "
        f"accuracy {row['train_accuracy']:.4f}, test accuracy {row['test_accuracy']:.4f} "
        f"(without augmentation, on fewer than {2 * MEASURED_IMAGES:,} of the training images)",
        flush=True,
    )
    if not math.isfinite(row["train_loss"]) or not math.isfinite(row["test_loss"]):
        raise TrainingError(
            f"{where} diverged: the loss was {row['train_loss']} on training and "
            f"{row['test_loss']} on test images after its last step; a lower learning rate or a "
            "longer warm-up may help."
        )
