"""The bridge: from one base to another in twice the width, at constant loss.

Two bases lie side by side in a network with twice the units in every layer, and no weight connects
them. While the output of one is turned off, that of the other is turned on. Cross-entropy is convex
in the logits, so at a share s of the second, the loss is at most (1 − s) times the loss of the
first plus s times that of the second: it never exceeds the worse end. The units of a network whose
output is off are read by nobody, so moving their weights costs nothing.

The path begins at the first base beside units without weights, and ends at the second one beside
units without weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from skeletons.inspection.absence import look
from skeletons.inspection.paths import Leg, Measurer, Tensors, follow, length_of
from skeletons.networks.side_by_side import Holder, doubled, mixed
from skeletons.prediction.inference import restore
from skeletons.store import artifacts
from skeletons.training.images import Images
from skeletons.training.job import start
from skeletons.training.ridge import Gauge

PREPARE = "the units of b get their weights"  # while nobody reads them
TURN = "b is turned on while a is turned off"
CLEAR = "the units of a lose their weights"  # while nobody reads them
TURNED = 20  # least number of points on the leg on which the function changes


@dataclass(frozen=True)
class Crossing:
    """Two models, each as the only one that a network holds (see `Holder.hold`)."""

    holder: Holder
    laid: Sequence[Tensors]

    def at(self, hidden: Sequence[float], shares: Sequence[float]) -> Tensors:
        """The network's tensors, with a factor on each model's units and on its output."""
        return mixed(self.holder, self.laid, hidden, shares)

    def legs(self) -> list[Leg]:
        """From the first beside empty units to the second beside empty units."""
        return [
            Leg(PREPARE, self.at((1, 1), (1, 0))),
            Leg(TURN, self.at((1, 1), (0, 1)), TURNED),
            Leg(CLEAR, self.at((0, 1), (0, 1))),
        ]


@look("points")
def bridge_stage(
    *,
    a: str,
    b: str,
    summary: str,
    dataset: str,
    points: str,
    stride: float,
    device: str,
    threads: int,
) -> None:
    """Write the table of the bridge between two bases, see `paths.follow`.

    The loss is that of the training images that certificates use (`ridge.Gauge`), and rises are
    those above base a.

    Args:
        a: weights.safetensors of the base at the beginning.
        b: weights.safetensors of the base at the end.
        summary: the model.json of their network.
        dataset: the data set's images.safetensors.
        points: the parquet file to write.
        stride: the longest step, as a share of the norm of the weights at the beginning.
        device: `auto`, `cpu` or `cuda`.
        threads: the number of CPU threads.

    Raises:
        ArtifactError: a file is missing or broken, or the two are not of one network.
    """
    place = start(0, threads, device)
    about = artifacts.read_json(summary, ["network"])
    bases: list[nn.Sequential] = [restore(path, about) for path in (a, b)]
    holder, *both = doubled(bases[0])
    laid = [holder.hold(model, places) for model, places in zip(bases, both, strict=True)]
    crossing = Crossing(holder, laid)
    gauge = Gauge(bases[0].to(place), Images.read(dataset, "train", place), "fp32")
    measurer = Measurer(holder.network.to(place), gauge)
    begin = crossing.at((1, 0), (1, 0))
    norm = length_of(begin, measurer.parameters)
    found = follow(measurer, begin, crossing.legs(), stride, norm)
    artifacts.write_table(points, found)
    turned = found[found.part == TURN]
    print(
        f"{len(found)} points: the training loss rises by at most {found.rise.max():.4f} nats; "
        f"{len(turned)} of them while b is turned on.",
        flush=True,
    )
