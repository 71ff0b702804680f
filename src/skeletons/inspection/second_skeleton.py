"""One skeleton or two? Penalise the skeleton's own weights, and see whether others do its work.

A regularised model is trained on for L(w) + λ·Σ|w| over the weights of its skeleton alone; all
others are free. If the loss holds while the skeleton goes, and the network works without it,
another skeleton lies on the same ridge. If the loss cannot be held, this one was needed.

What a probe cannot tell: given time, a free half of a network can learn a task from nothing. So
each epoch is recorded, and it counts whether accuracy was held all along, or lost and learnt
again. And under batch norm the scale of a layer is free, so that little weight can still do all
the work: hence the verdict goes by what the network does with the skeleton's weights set to zero,
not by how much weight is left. Batch norm's statistics stay those of the whole network then, as
they do when a model is pruned.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from skeletons import text
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.prediction import inference
from skeletons.store import artifacts
from skeletons.training.epochs import MEASURED_IMAGES, Row, measure, run_epoch
from skeletons.training.images import Images, batches
from skeletons.training.job import start
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.penalties import shrink
from skeletons.training.settings import RegularizeSettings

Masks = Mapping[str, Tensor]

TAKES_OVER = "another takes over"
LEARNT = "another is learnt anew"
STAYS = "the skeleton stays"
SHARED = "both are needed"
LOST = "the loss cannot be held"
EMPTY = "there is no skeleton"
TOLERANCE = 0.02  # of accuracy, as in `tables.SLACK`


@torch.no_grad()
def add_skeleton_subgradient(weights: Masks, skeleton: Masks, l1: float) -> None:
    """Add λ·sign(w) to the gradients of the skeleton's weights."""
    for name, w in weights.items():
        if w.grad is not None:
            w.grad.add_(w.sign() * skeleton[name], alpha=l1)


@torch.no_grad()
def shrink_skeleton(weights: Masks, skeleton: Masks, amount: float) -> None:
    """Soft threshold (see `training.shrink`) of the skeleton's weights alone."""
    for name, w in weights.items():
        others = w.clone()
        shrink([w], amount)
        w.copy_(torch.where(skeleton[name], w, others))


@contextlib.contextmanager
def only(network: nn.Module, chosen: Masks) -> Iterator[None]:
    """Within the block, all prunable weights but the chosen ones are zero."""
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
        skeleton: by name of prunable weight, a mask of its shape, True in the skeleton.
        train: training images.
        test: images measured on before, and after each epoch.
        seed: of the base model.
        l1: λ ≥ 0. With `proximal` it is applied as a shrinkage of λ·(learning rate) a step.
        epochs: ≥ 0.
        settings: of the optimiser, as in the config's `regularize`.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        One row an epoch, from 0 (before the first), with the columns of `probe_row`.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    weights = prunable(network)
    optimizer = walk_optimizer(network, settings)

    def update() -> None:
        if settings.penalty == "subgradient":
            add_skeleton_subgradient(weights, skeleton, l1)
        optimizer.step()
        if settings.penalty == "proximal":
            shrink_skeleton(weights, skeleton, l1 * settings.learning_rate)

    sample, start = train.sample(MEASURED_IMAGES), _mass(weights, skeleton)
    rows = [probe_row(network, skeleton, sample, test, start, 0, precision)]
    for epoch in range(1, epochs + 1):
        name = ("probe", seed, l1, epoch)
        data = batches(train, settings.batch_size, generator_for(*name), settings.augment)
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
def _mass(weights: Masks, chosen: Masks) -> float:
    """The sum of |w| over chosen weights."""
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
    """Where a probe stands.

    Args:
        network: put into evaluation mode.
        skeleton: see `probe`.
        train: a sample of the training images.
        test: test images.
        start: Σ|w| of the skeleton before the first epoch.
        epoch: number of the epoch that ended.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        epoch; train_loss, train_accuracy, test_loss, test_accuracy, of the whole network, without
        penalty; skeleton_left, the share of the skeleton's Σ|w| that is left (above 1 if it grew;
        NaN if there was none); outside, the share (0..1) of all Σ|w| that is outside of it;
        largest_in_skeleton, the share of skeleton weights among the largest, as many in each
        layer as it has there; skeleton_loss, skeleton_accuracy, others_loss and others_accuracy,
        on the test images, with the weights outside or inside of the skeleton set to zero.
    """
    weights = prunable(network)
    others = {name: ~mask for name, mask in skeleton.items()}
    inside, outside = _mass(weights, skeleton), _mass(weights, others)
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
    """Of the n largest weights of each layer, n its weights in the skeleton: the share in it."""
    shared = size = 0
    for name, w in weights.items():
        count = int(skeleton[name].sum())
        largest = w.abs().flatten().argsort(descending=True, stable=True)[:count]
        shared += int(skeleton[name].flatten()[largest].sum())
        size += count
    return shared / size if size else float("nan")


def probe_verdict(rows: pd.DataFrame, tolerance: float = TOLERANCE) -> dict[str, Any]:
    """What a probe found.

    Accuracy is *held* where the test accuracy is at most `tolerance` below that of epoch 0.

    Args:
        rows: as `probe` returns them.
        tolerance: in accuracy, 0..1.

    Returns:
        `verdict`. `EMPTY`: the skeleton had no weight to begin with. `LOST`: accuracy is not held
        at the end. `TAKES_OVER`: it is, also with the skeleton's weights set to zero, and was at
        every epoch; `LEARNT`: but was lost in between.
        Where others alone do not hold it, `STAYS`: the skeleton alone is as good as at the start
        (to `tolerance`); `SHARED`: it is not, so the work is done by both together, and a longer
        or stronger probe may tell more.

        And the numbers: accuracy and loss on the test set at start and end, the least accuracy and
        the highest loss on the way; accuracy of the skeleton alone and of the others alone at
        start and end; `skeleton_left`; `took_over_at`, the first epoch at which the others alone
        hold (0: they did before the probe; None: they never do); and `sentence`, which says this.
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
        worse = found["skeleton_start_accuracy"] - found["skeleton_end_accuracy"]
        return STAYS if worse <= found["tolerance"] else SHARED
    return TAKES_OVER if found["least_accuracy"] >= least else LEARNT


def _sentence(verdict: str, found: Mapping[str, Any]) -> str:
    left = found["skeleton_left"]
    weight = "no weight" if left is None else f"{left:.1%} of the skeleton's weight"
    epochs = text.counted(found["epochs"], "epoch")
    return (
        f"{verdict.capitalize()}: after {epochs} {weight} is left, and test "
        f"accuracy is {found['end_accuracy']:.2%} ({found['start_accuracy']:.2%} before, at the "
        f"least {found['least_accuracy']:.2%}); of the skeleton alone it is "
        f"{found['skeleton_end_accuracy']:.2%} ({found['skeleton_start_accuracy']:.2%} before), "
        f"of the others alone {found['others_end_accuracy']:.2%} "
        f"({found['others_start_accuracy']:.2%} before)."
    )


def masks(pruned: Mapping[str, artifacts.Array], names: Sequence[str]) -> dict[str, Tensor]:
    """The skeleton of a pruned model: by name, which weights are not zero."""
    return {name: torch.from_numpy(pruned[name] != 0) for name in names}


def probe_stage(
    dataset: str,
    weights: str,
    summary: str,
    pruned: str,
    output: Mapping[str, str],
    *,
    seed: int,
    l1: float,
    epochs: int,
    settings: Mapping[str, Any],
    tolerance: float,
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Probe a model for a second skeleton, and write the rows, the verdict and what came of it.

    Args:
        dataset: the data set's images.safetensors.
        weights: the base or regularised model's weights.safetensors.
        summary: the model.json of its network.
        pruned: weights.safetensors of the pruned model whose skeleton is penalised.
        output: files to write: rows (parquet), verdict (JSON), weights (safetensors).
        seed: of the base model.
        l1: λ.
        epochs: how many to train.
        settings: the fields of `RegularizeSettings`.
        tolerance: see `probe_verdict`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place = start(seed, threads, device)
    network = inference.restore(weights, artifacts.read_json(summary, ["network"])).to(place)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    names = list(prunable(network))
    found = masks(artifacts.read_tensors(pruned, names), names)
    rows = probe(
        network,
        {name: mask.to(place) for name, mask in found.items()},
        train,
        test,
        seed=seed,
        l1=l1,
        epochs=epochs,
        settings=RegularizeSettings(**settings),
        precision=precision,
    )
    artifacts.write_table(output["rows"], rows)
    artifacts.write_json(output["verdict"], {"l1": l1, **probe_verdict(rows, tolerance)})
    tensors = {name: t.detach().cpu().numpy() for name, t in network.state_dict().items()}
    artifacts.write_tensors(output["weights"], tensors)
