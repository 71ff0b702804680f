"""Can another skeleton take over? Scales a skeleton to zero while the loss is held.

The weights of the skeleton are those of the regularised model times one factor, which falls from 1
to 0. All other weights, biases and normalisation are trained on the loss of the data. As in a walk
within its room (`training.ridge`), the factor falls only while the training loss stays within a
room of the loss at the start, and beyond it the network goes back to its last good point. So a
network that arrives at 0 has come there along the ridge, and computes without any weight of the
skeleton. This is the hard version of the probe (`second_skeleton`), whose penalty may leave a part
of the skeleton that still does the work.

Free weights may learn the task again instead of holding a second skeleton from the start. Neither
version can tell these two apart; `others_accuracy` at epoch 0 shows what was there before.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import nn

from skeletons import text
from skeletons.inspection.absence import look
from skeletons.inspection.second_skeleton import EMPTY, Masks, mass_of, probe_row, with_skeleton
from skeletons.networks.build import manner_of
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.store import artifacts
from skeletons.training.epochs import MEASURED_IMAGES, Row, run_epoch
from skeletons.training.images import Images, batch_sizes, batches
from skeletons.training.job import start, tensors_of
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.ridge import Room
from skeletons.training.settings import RegularizeSettings

TAKES_OVER = "another takes over"
NEEDED = "the skeleton is needed"
UNFINISHED = "too few epochs to tell"
FASTEST = 2.0  # at full speed, the skeleton is gone after 1 / FASTEST of the epochs
STALLED = 0.01  # a factor that falls less than this in the last epoch has come to a halt


class Fading(Room):
    """A network whose skeleton fades while the rest is trained.

    Attributes:
        left: the factor on the skeleton's weights, 0..1, a tensor on the network's device.
    """

    def __init__(self, network: nn.Module, skeleton: Masks, pace: float, **room: Any) -> None:
        """Begin with the whole skeleton.

        Args:
            network: trained in place.
            skeleton: for each prunable weight, by name, a mask of its shape, True in the skeleton.
            pace: by how much the factor falls in a step without a rise of the loss.
            room: further arguments of `Room`, by keyword.
        """
        self.pace = pace
        self.fading = [
            (w, skeleton[name], w.detach().clone()) for name, w in prunable(network).items()
        ]
        self.left = torch.ones((), device=self.fading[0][0].device)
        super().__init__(network, copy.deepcopy(network), more=[self.left], **room)

    @torch.no_grad()
    def fade(self) -> None:
        """Let the factor fall, and set the skeleton's weights, whatever the optimiser did."""
        self.left.sub_(self.pace * self.speed).clamp_(min=0)
        for weight, inside, whole in self.fading:
            weight.copy_(torch.where(inside, self.left * whole, weight))


def takeover(
    network: nn.Module,
    skeleton: Masks,
    train: Images,
    test: Images,
    *,
    seed: int,
    epochs: int,
    room: float,
    settings: RegularizeSettings,
    precision: str,
) -> pd.DataFrame:
    """Scale the skeleton's weights to zero while all others are trained within a room.

    Args:
        network: a base or regularised model, trained in place; it ends at a point within the room.
        skeleton: for each prunable weight, by name, a mask of its shape, True in the skeleton.
        train: training images.
        test: images for the measurements before the first and after each epoch.
        seed: of the base model.
        epochs: ≥ 1, at most; it ends after the epoch in which the skeleton is gone.
        room: by how much the training loss may rise above that of the start, in nats.
        settings: of the optimiser, as in `regularize` in the configuration.
        precision: `auto`, `bf16` or `fp32`.

    Returns:
        One row per epoch, from 0 (before the first): the columns of `second_skeleton.probe_row`,
        and left, the factor on the skeleton's weights (1..0); rise and bound, the rise of the
        training loss and its upper 95 % bound, in nats; learning_rate; and returns, how often the
        network went back in this epoch.

    Raises:
        TrainingError: the loss became NaN or infinite.
    """
    single = manner_of(network).single
    steps = len(batch_sizes(len(train.labels), settings.batch_size, single=single))
    optimizer = walk_optimizer(network, settings)
    fading = Fading(
        network,
        skeleton,
        FASTEST / (epochs * steps),
        optimizer=optimizer,
        train=train,
        room=room,
        batch_size=settings.batch_size,
        precision=precision,
    )

    def update() -> None:
        optimizer.step()
        fading.fade()
        if fading.due():
            fading.look()

    sample, mass = train.sample(MEASURED_IMAGES), mass_of(prunable(network), skeleton)

    def row(epoch: int) -> Row:
        measured = probe_row(network, skeleton, sample, test, mass, epoch, precision)
        reading = fading.reading
        now = {"left": float(fading.left), "rise": reading.rise, "bound": reading.bound}
        return {**measured, **now, **fading.numbers()}

    rows = [row(0)]
    for epoch in range(1, epochs + 1):
        name = ("takeover", seed, epoch)
        data = batches(
            train, settings.batch_size, generator_for(*name), settings.augment, single=single
        )
        where = f"Takeover of seed={seed}, epoch {epoch},"
        layers = generator_for(*name, "layers")
        run_epoch(network, data, update, layers=layers, precision=precision, where=where)
        if fading.steps % fading.every:  # so that each row is a point within the room
            fading.look()
        rows.append(row(epoch))
        print(
            f"{where} {rows[-1]['left']:.1%} of the skeleton left, test accuracy "
            f"{rows[-1]['test_accuracy']:.4f}",
            flush=True,
        )
        if rows[-1]["left"] == 0:
            break
    return pd.DataFrame(rows)


def takeover_verdict(rows: pd.DataFrame, room: float) -> dict[str, Any]:
    """Whether another skeleton took over.

    Args:
        rows: as `takeover` returns them.
        room: in nats.

    Returns:
        `verdict`. `EMPTY`: the skeleton had no weight at the start. `TAKES_OVER`: the skeleton is
        gone, and the loss was held. `NEEDED`: its factor came to a halt above 0, because the loss
        could not be held without it. `UNFINISHED`: it still fell in the last epoch.

        The numbers: room; epochs; left, the factor at the end; gone_at, the epoch in which it
        reached 0 (None: never); returns, in all epochs; rise and bound at the end;
        start_accuracy and end_accuracy on the test set; others_start_accuracy, without the
        skeleton before the first epoch; and `sentence`, a summary of these.
    """
    first, last = rows.iloc[0], rows.iloc[-1]
    gone = rows.epoch[rows.left == 0]
    found = {
        "room": room,
        "epochs": int(last.epoch),
        "left": float(last.left),
        "gone_at": int(gone.iloc[0]) if len(gone) else None,
        "returns": int(rows.returns.sum()),
        "rise": float(last.rise),
        "bound": float(last.bound),
        "start_accuracy": float(first.test_accuracy),
        "end_accuracy": float(last.test_accuracy),
        "others_start_accuracy": float(first.others_accuracy),
    }
    if pd.isna(first.skeleton_left):
        verdict = EMPTY
    elif len(gone):
        verdict = TAKES_OVER
    else:
        verdict = NEEDED if rows.left.iloc[-2] - last.left < STALLED else UNFINISHED
    return {"verdict": verdict, "sentence": _sentence(verdict, found), **found}


def _sentence(verdict: str, found: Mapping[str, Any]) -> str:
    epochs = text.counted(found["epochs"], "epoch")
    back = text.counted(found["returns"], "return")
    return (
        f"{verdict.capitalize()}: after {epochs}, {found['left']:.1%} of the skeleton's weights is "
        f"left, with a training loss {found['rise']:+.3f} nats from the start (at most "
        f"{found['room']:g} allowed, {back}). Test accuracy is {found['end_accuracy']:.2%} "
        f"({found['start_accuracy']:.2%} before, {found['others_start_accuracy']:.2%} without the "
        "skeleton)."
    )


@look("rows", "verdict", "weights")
def takeover_stage(
    *,
    dataset: str,
    regularized: str,
    summary: str,
    pruned: str,
    rows: str,
    verdict: str,
    weights: str,
    seed: int,
    epochs: int,
    room: float,
    regularize: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Scale a skeleton to zero; write the epochs, the verdict and the trained model.

    Args:
        dataset: the data set's images.safetensors.
        regularized: weights.safetensors of the regularised model.
        summary: the model.json of its network.
        pruned: weights.safetensors of the pruned model whose skeleton is scaled.
        rows: the parquet file of epochs to write.
        verdict: the JSON file to write.
        weights: the safetensors file of the trained model to write.
        seed: of the base model.
        epochs: number of epochs at most.
        room: by how much the training loss may rise, in nats.
        regularize: the fields of `RegularizeSettings`.
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
    table = takeover(
        network,
        skeleton,
        train,
        test,
        seed=seed,
        epochs=epochs,
        room=room,
        settings=RegularizeSettings(**regularize),
        precision=precision,
    )
    artifacts.write_table(rows, table)
    artifacts.write_json(verdict, takeover_verdict(table, room))
    artifacts.write_tensors(weights, tensors_of(network))
