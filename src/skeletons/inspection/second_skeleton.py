"""One skeleton or two? Penalises the weights of a skeleton, and tests whether others replace it.

A regularised model is trained further on L(w) + λ·Σ|w| over the weights of its skeleton alone; all
other weights are free. If the loss stays low while the skeleton shrinks, and the network works
without it, another skeleton lies on the same ridge. Otherwise this skeleton was needed.

A probe has two limits. With enough time, the free part of a network can learn a task from scratch.
So each epoch is recorded, and the verdict depends on whether accuracy was kept all the time, or
lost and learnt again. Under batch norm, the scale of a layer is free, so little weight can still do
all the work. So the verdict depends on the network with the skeleton's weights set to zero, not on
the weight that is left. The statistics of batch norm stay those of the whole network in that case,
as in a pruned model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from skeletons import text
from skeletons.inspection.absence import look
from skeletons.networks.build import manner_of
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.prediction import inference
from skeletons.store import artifacts
from skeletons.training.epochs import MEASURED_IMAGES, Row, measure, run_epoch
from skeletons.training.images import Images, batches
from skeletons.training.job import start, tensors_of
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.penalties import proximal_amount, shrink
from skeletons.training.settings import RegularizeSettings

Masks = Mapping[str, Tensor]

TAKES_OVER = "another takes over"
LEARNT = "another is learnt again"
STAYS = "the skeleton stays"
SHARED = "both are needed"
WEAK = "too weak to tell"
LOST = "the loss cannot be held"
EMPTY = "there is no skeleton"
LEFT = 0.1  # share of the skeleton's weights beyond which a probe was too weak


@torch.no_grad()
def add_skeleton_subgradient(weights: Masks, skeleton: Masks, l1: float) -> None:
    """Add λ·sign(w) to the gradients of the skeleton's weights."""
    for name, w in weights.items():
        if w.grad is not None:
            w.grad.add_(w.sign() * skeleton[name], alpha=l1)


@torch.no_grad()
def shrink_skeleton(
    optimizer: torch.optim.Optimizer, weights: Masks, skeleton: Masks, l1: float
) -> None:
    """Apply the proximal step of λ‖w‖₁ to the skeleton's weights alone, see `proximal_amount`."""
    for name, w in weights.items():
        if w.grad is not None:
            shrink([w], proximal_amount(optimizer, w, l1) * skeleton[name])


@contextlib.contextmanager
def only(network: nn.Module, chosen: Masks) -> Iterator[None]:
    """A block in which all prunable weights except the chosen ones are zero."""
    weights = prunable(network)
    with torch.no_grad():
        whole = {name: w.detach().clone() for name, w in weights.items()}
        for name, w in weights.items():
            w.mul_(chosen[name])
    try:
        yield
    finally:
        with torch.no_grad():
            for name, w in weights.items():
                w.copy_(whole[name])


def probe(
    network: nn.Module,
    skeleton: Masks,
    train: Images,
    test: Images,
    *,
    seed: int,
    l1: float,
    epochs: int,
    settings: RegularizeSettings,
    precision: str,
) -> pd.DataFrame:
    """Train on L(w) + λ·Σ|w| over the skeleton's weights.

    Args:
        network: a base or regularised model, trained in place.
        skeleton: for each prunable weight, by name, a mask of its shape, True in the skeleton.
        train: training images.
        test: images for the measurements before the first and after each epoch.
        seed: of the base model.
        l1: λ ≥ 0.
        epochs: ≥ 0.
        settings: of the optimiser, as in `regularize` in the configuration.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        One row per epoch, from 0 (before the first), with the columns of `probe_row`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    weights, single = prunable(network), manner_of(network).single
    optimizer = walk_optimizer(network, settings)

    def update() -> None:
        if settings.penalty == "subgradient":
            add_skeleton_subgradient(weights, skeleton, l1)
        optimizer.step()
        if settings.penalty == "proximal":
            shrink_skeleton(optimizer, weights, skeleton, l1)

    sample, start = train.sample(MEASURED_IMAGES), mass_of(weights, skeleton)
    rows = [probe_row(network, skeleton, sample, test, start, 0, precision)]
    for epoch in range(1, epochs + 1):
        name = ("probe", seed, l1, epoch)
        data = batches(
            train, settings.batch_size, generator_for(*name), settings.augment, single=single
        )
        layers = generator_for(*name, "layers")
        where = f"Probe of seed={seed} with λ={l1:g}, epoch {epoch},"
        run_epoch(network, data, update, layers=layers, precision=precision, where=where)
        rows.append(probe_row(network, skeleton, sample, test, start, epoch, precision))
        print(
            f"{where} test accuracy {rows[-1]['test_accuracy']:.4f}, without the skeleton "
            f"{rows[-1]['others_accuracy']:.4f}",
            flush=True,
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def mass_of(weights: Masks, chosen: Masks) -> float:
    """The sum of |w| over the chosen weights."""
    return sum(float((w.abs() * chosen[name]).double().sum()) for name, w in weights.items())


def probe_row(
    network: nn.Module,
    skeleton: Masks,
    train: Images,
    test: Images,
    start: float,
    epoch: int,
    precision: str,
) -> Row:
    """The measurements of a probe after an epoch.

    Args:
        network: is put into evaluation mode.
        skeleton: see `probe`.
        train: a sample of the training images.
        test: test images.
        start: Σ|w| of the skeleton before the first epoch.
        epoch: the number of the epoch.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        epoch; train_loss, train_accuracy, test_loss, test_accuracy of the whole network, without
        the penalty; skeleton_left, the share of the skeleton's Σ|w| that is left (above 1 if it
        grew; NaN if there was none); outside, the share (0..1) of the total Σ|w| that is outside of
        the skeleton; largest_in_skeleton, the share of skeleton weights among the largest weights,
        counting in each layer as many as the skeleton has there; skeleton_loss, skeleton_accuracy,
        others_loss and others_accuracy, on the test images, with the weights outside or inside of
        the skeleton set to zero.
    """
    weights = prunable(network)
    others = {name: ~mask for name, mask in skeleton.items()}
    inside, outside = mass_of(weights, skeleton), mass_of(weights, others)
    row: Row = {"epoch": epoch}
    for split, images in (("train", train), ("test", test)):
        row[f"{split}_loss"], row[f"{split}_accuracy"] = measure(network, images, precision)
    row["skeleton_left"] = inside / start if start else float("nan")
    row["outside"] = outside / (inside + outside) if inside + outside else float("nan")
    row["largest_in_skeleton"] = _largest(weights, skeleton)
    for part, chosen in (("skeleton", skeleton), ("others", others)):
        with only(network, chosen):
            row[f"{part}_loss"], row[f"{part}_accuracy"] = measure(network, test, precision)
    return row


@torch.no_grad()
def _largest(weights: Masks, skeleton: Masks) -> float:
    """The share of skeleton weights among the n largest of each layer, which has n of them."""
    shared = size = 0
    for name, w in weights.items():
        count = int(skeleton[name].sum())
        largest = w.abs().flatten().argsort(descending=True, stable=True)[:count]
        shared += int(skeleton[name].flatten()[largest].sum())
        size += count
    return shared / size if size else float("nan")


def probe_verdict(rows: pd.DataFrame, tolerance: float) -> dict[str, Any]:
    """The verdict of a probe.

    Accuracy is *kept* if the test accuracy is at most `tolerance` below that of epoch 0.

    Args:
        rows: as `probe` returns them.
        tolerance: in accuracy, 0..1.

    Returns:
        `verdict`. `EMPTY`: the skeleton had no weight at the start. `LOST`: accuracy is not kept at
        the end. If it is also kept with the skeleton's weights set to zero, `TAKES_OVER` if it was
        kept at every epoch, `LEARNT` if it was lost in between. If the other weights alone do not
        keep it, `WEAK` if more than `LEFT` of the skeleton's Σ|w| is left: it was never in need of
        a replacement. Otherwise `STAYS` if the skeleton alone is as good as at the start (within
        `tolerance`), `SHARED` if not: both work together.

        The numbers: accuracy and loss on the test set at start and end, the lowest accuracy and the
        highest loss in between; accuracy of the skeleton alone and of the others alone at start and
        end; `skeleton_left`; `took_over_at`, the first epoch at which the others alone keep the
        accuracy (0: before the probe; None: never); and `sentence`, a summary of these.
    """
    first, last = rows.iloc[0], rows.iloc[-1]
    least = float(first.test_accuracy) - tolerance
    alone = rows.epoch[rows.others_accuracy >= least]
    found = {
        "tolerance": tolerance,
        "epochs": int(last.epoch),
        "start_accuracy": float(first.test_accuracy),
        "end_accuracy": float(last.test_accuracy),
        "least_accuracy": float(rows.test_accuracy.min()),
        "start_loss": float(first.test_loss),
        "end_loss": float(last.test_loss),
        "highest_loss": float(rows.test_loss.max()),
        "skeleton_start_accuracy": float(first.skeleton_accuracy),
        "skeleton_end_accuracy": float(last.skeleton_accuracy),
        "others_start_accuracy": float(first.others_accuracy),
        "others_end_accuracy": float(last.others_accuracy),
        "skeleton_left": None if pd.isna(last.skeleton_left) else float(last.skeleton_left),
        "took_over_at": int(alone.iloc[0]) if len(alone) else None,
    }
    verdict = _judge(found, least)
    return {"verdict": verdict, "sentence": _sentence(verdict, found), **found}


def _judge(found: Mapping[str, Any], least: float) -> str:
    if found["skeleton_left"] is None:
        return EMPTY
    if found["end_accuracy"] < least:
        return LOST
    if found["others_end_accuracy"] < least:
        if found["skeleton_left"] > LEFT:
            return WEAK
        worse = found["skeleton_start_accuracy"] - found["skeleton_end_accuracy"]
        return STAYS if worse <= found["tolerance"] else SHARED
    return TAKES_OVER if found["least_accuracy"] >= least else LEARNT


def _sentence(verdict: str, found: Mapping[str, Any]) -> str:
    left = found["skeleton_left"]
    weight = "no weight" if left is None else f"{left:.1%} of the skeleton's weight"
    epochs = text.counted(found["epochs"], "epoch")
    return (
        f"{verdict.capitalize()}: after {epochs} {weight} is left, and test "
        f"accuracy is {found['end_accuracy']:.2%} ({found['start_accuracy']:.2%} before, at least "
        f"{found['least_accuracy']:.2%} in between); of the skeleton alone it is "
        f"{found['skeleton_end_accuracy']:.2%} ({found['skeleton_start_accuracy']:.2%} before), "
        f"of the others alone {found['others_end_accuracy']:.2%} "
        f"({found['others_start_accuracy']:.2%} before)."
    )


def masks(pruned: Mapping[str, artifacts.Array], names: Sequence[str]) -> dict[str, Tensor]:
    """The skeleton of a pruned model: for each weight, by name, where it is not zero."""
    return {name: torch.from_numpy(pruned[name] != 0) for name in names}


def with_skeleton(
    weights: str, summary: str, pruned: str, device: torch.device
) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """A network, and which of its weights are the skeleton of a pruned model, both on a device.

    Args:
        weights: weights.safetensors of the network.
        summary: its model.json.
        pruned: weights.safetensors of the pruned model.
        device: to put them on.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    network = inference.restore(weights, artifacts.read_json(summary, ["network"])).to(device)
    names = list(prunable(network))
    found = masks(artifacts.read_tensors(pruned, names), names)
    return network, {name: mask.to(device) for name, mask in found.items()}


@look("rows", "verdict", "weights")
def probe_stage(
    *,
    dataset: str,
    regularized: str,
    summary: str,
    pruned: str,
    rows: str,
    verdict: str,
    weights: str,
    seed: int,
    l1: float,
    epochs: int,
    regularize: Mapping[str, Any],
    tolerance: float,
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Probe a model for a second skeleton; write the epochs, the verdict and the trained model.

    Args:
        dataset: the data set's images.safetensors.
        regularized: weights.safetensors of the base or regularised model.
        summary: the model.json of its network.
        pruned: weights.safetensors of the pruned model whose skeleton is penalised.
        rows: the parquet file of epochs to write.
        verdict: the JSON file to write.
        weights: the safetensors file of the trained model to write.
        seed: of the base model.
        l1: λ.
        epochs: number of epochs.
        regularize: the fields of `RegularizeSettings`.
        tolerance: see `probe_verdict`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken.
        TrainingError: the loss became NaN or infinite.
    """
    chosen = start(seed, threads, device)
    network, skeleton = with_skeleton(regularized, summary, pruned, chosen)
    train, test = (Images.read(dataset, split, chosen) for split in ("train", "test"))
    table = probe(
        network,
        skeleton,
        train,
        test,
        seed=seed,
        l1=l1,
        epochs=epochs,
        settings=RegularizeSettings(**regularize),
        precision=precision,
    )
    artifacts.write_table(rows, table)
    artifacts.write_json(verdict, {"l1": l1, **probe_verdict(table, tolerance)})
    artifacts.write_tensors(weights, tensors_of(network))
