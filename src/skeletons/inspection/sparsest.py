"""The sparsest skeleton of a base: how few weights keep the loss and the accuracy?

The regularised model is pruned to one density after the other, each time from the start. Each
pruned model is judged as a skeleton is: the upper 95 % bound of the rise of its training loss above
the base's is within a limit, and so is the accuracy that it lost. If pruned models are retrained,
each is judged after its retraining, and is bit for bit the model that `prune.densities` would make.

The search halves the range on a logarithmic scale. It takes for granted that a walk that fails at a
density fails at all lower ones. That cannot be proved, so all densities that were tried are kept.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from skeletons import pruning
from skeletons.errors import ArtifactError, TrainingError
from skeletons.inspection.absence import look
from skeletons.model_ids import Model
from skeletons.networks.tensors import put
from skeletons.prediction.inference import restore
from skeletons.store import artifacts
from skeletons.training.epochs import measure
from skeletons.training.images import Images
from skeletons.training.job import start
from skeletons.training.resume import StateFile
from skeletons.training.retrain import FP32, judged, retrain
from skeletons.training.ridge import Gauge
from skeletons.training.settings import RegularizeSettings

LEAST = 0.001  # density below which nothing is looked for
RATIO = 1.05  # the search ends when the lowest that holds is less than this above one that fails
ABOUT = "about"  # the tensor that holds what was tried, as JSON
DIGITS = 3  # of the densities that are tried, so that they can be named in a configuration

Row = dict[str, Any]


def search(holds: Callable[[float], bool]) -> float | None:
    """The lowest density that holds, by bisection of 1 to `LEAST`; None if not even 1 holds.

    Args:
        holds: whether a density holds; called for 1 first, then for at most eight others. It is
            taken to be monotone, and to fail at `LEAST`.
    """
    if not holds(1.0):
        return None
    low, high = LEAST, 1.0
    while high / low > RATIO:
        middle = float(f"{math.sqrt(low * high):.{DIGITS}g}")
        if not low < middle < high:
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def is_certified(row: Mapping[str, Any], rise: float, drop: float) -> bool:
    """Whether a pruned model keeps loss and accuracy; NaN and infinity do not.

    Args:
        row: see `sparsest_stage`.
        rise: the most that the upper bound of its loss may lie above the base's, in nats.
        drop: the most accuracy that it may lose, 0..1.
    """
    if row["dead_reason"] is not None:
        return False
    return bool(row["bound"] <= rise and row["lost"] <= drop)


@look("found")
def sparsest_stage(
    *,
    regularized: str,
    summary: str,
    base: str,
    base_summary: str,
    ranks: str,
    dataset: str,
    found: str,
    model: str,
    criterion: str,
    rise: float,
    drop: float,
    epochs: int,
    regularize: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Find the sparsest skeleton of a walk, and write what was found.

    The file holds model, criterion, epochs (of retraining), the limits `rise` and `drop`, and
    `ratio`; density, the lowest that is certified, or None; and `tries`, one row per density in the
    order of trying: density, kept (weights), sparsity; train_loss, train_accuracy, rise, error and
    bound as in `retrain.judged`; accuracy on the test set and `lost`, that of the base minus it;
    dead_reason, and then no numbers; and certified.

    Args:
        regularized: weights.safetensors of the model at the end of the walk.
        summary: its model.json.
        base: weights.safetensors of the base model.
        base_summary: its model.json.
        ranks: the scores of the walk's weights, see `training.ranks`.
        dataset: the data set's images.safetensors.
        found: the JSON file to write.
        model: the id of the regularised model.
        criterion: the name of the scores.
        rise: see `is_certified`.
        drop: see `is_certified`.
        epochs: of retraining each pruned model; 0 for none.
        regularize: the fields of `RegularizeSettings`, see `retrain.retrain`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    walk = Model.parse(model)
    place = start(walk.number, threads, device)
    about = artifacts.read_json(summary, ["network", "layers"])
    network = restore(regularized, about).to(place)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    gauge = Gauge(restore(base, about).to(place), train, FP32)
    whole = artifacts.read_json(base_summary, ["test_accuracy"])["test_accuracy"]
    tensors, scores = artifacts.read_tensors(regularized), artifacts.read_tensors(ranks)
    settings, file = RegularizeSettings(**regularize), StateFile.of_job(found, place, precision)
    tries = _Tries(file)

    def judge(density: float) -> Row:
        torch.manual_seed(walk.number)  # no try depends on those before it
        pruned, report = pruning.prune_to_density(
            tensors, about["layers"], density, criterion, scores
        )
        row = {"density": density, **{key: report[key] for key in ("kept", "sparsity")}}
        if report["dead"]:
            return {**row, "dead_reason": report["dead_reason"]}
        put(network, {name: torch.from_numpy(array) for name, array in pruned.items()})
        if because := _trained_on(network, train, test, walk, epochs, settings, precision):
            return {**row, "dead_reason": because}
        numbers = {**judged(network, gauge, train), **_on_test(network, test, whole)}
        return {**row, "dead_reason": None, **numbers}

    def holds(density: float) -> bool:
        row = tries.known(density)
        if row is None:
            row = judge(density)
            row["certified"] = is_certified(row, rise, drop)
        tries.keep({key: value for key, value in row.items() if _is_plain(value)})
        print(f"Density {density:g}: {'holds' if row['certified'] else 'fails'}.", flush=True)
        return bool(row["certified"])

    lowest = search(holds)
    limits = {"rise": rise, "drop": drop, "ratio": RATIO}
    known = {"model": model, "criterion": criterion, "epochs": epochs, **limits}
    artifacts.write_json(found, {**known, "density": lowest, "tries": tries.rows})


class _Tries:
    """What was tried, kept after each try so that an interrupted job goes on where it was."""

    def __init__(self, file: StateFile) -> None:
        """Read what the same job tried before it was interrupted.

        Args:
            file: where it is kept. It is ignored if it is damaged, or from another processor.
        """
        self._file, self.rows = file, list[Row]()
        self._machine = json.loads(json.dumps(dict(file.machine)))
        self._before: dict[float, Row] = {}
        if file.path is None or not file.path.is_file():
            return
        with contextlib.suppress(ArtifactError, KeyError, TypeError, ValueError):
            kept = json.loads(artifacts.read_tensors(file.path)[ABOUT].tobytes())
            if kept["machine"] == self._machine:
                self._before = {row["density"]: row for row in kept["tries"]}

    def known(self, density: float) -> Row | None:
        """The row of a density that was tried before the interruption."""
        return self._before.get(density)

    def keep(self, row: Row) -> None:
        """Add a row. If it cannot be kept on disk, only an interruption costs more."""
        self.rows.append(row)
        if self._file.path is not None and row["density"] not in self._before:
            about = json.dumps({"machine": self._machine, "tries": self.rows}).encode()
            with contextlib.suppress(ArtifactError):
                artifacts.write_tensors(self._file.path, {ABOUT: np.frombuffer(about, np.uint8)})


def _is_plain(value: object) -> bool:
    """Whether JSON has such a value: a loss that is not a number is left out."""
    return not isinstance(value, float) or math.isfinite(value)


def _trained_on(
    network: nn.Sequential,
    train: Images,
    test: Images,
    walk: Model,
    epochs: int,
    settings: RegularizeSettings,
    precision: str,
) -> str:
    """Retrain a network, if it is to be; why that failed, if it did."""
    if not epochs:
        return ""
    try:
        retrain(network, train, test, walk, epochs, settings, precision)
    except TrainingError as error:
        return str(error)
    return ""


def _on_test(network: nn.Module, test: Images, whole: float) -> Row:
    _, accuracy = measure(network, test)
    return {"accuracy": accuracy, "lost": whole - accuracy}
