"""Where a walk leads: the position of the weights after each step, and the loss there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.prediction.device import autocast
from skeletons.prediction.inference import predict
from skeletons.training.epochs import Row
from skeletons.training.images import Images
from skeletons.training.internals import copy, differences
from skeletons.training.ridge import Reading

KEYS = ("loss", "accuracy", "distance", "step_length", "norm")


class Walk:
    """The position of the weights after each step: distances to the base and to the step before.

    Nothing is copied from the device before `rows` is called.
    """

    keys: tuple[str, ...] = KEYS

    def __init__(
        self, network: nn.Module, base: Mapping[str, Tensor], sample: Images, precision: str
    ) -> None:
        """Begin at the network's current weights.

        Args:
            network: whose weights are recorded.
            base: the base model's parameters by name.
            sample: the images that the loss is measured on; may be empty.
            precision: `auto`, `bf16` or `fp32`.
        """
        self.network, self.sample, self.precision = network, sample, precision
        self.now: list[Tensor] = [network.get_parameter(name) for name in base]
        self.base = list(base.values())
        self.before = [p.detach().clone() for p in self.now]
        self.points: list[Tensor] = []

    @torch.no_grad()
    def record(self) -> None:
        """Record the network's current position."""
        lengths = [
            _length(differences(self.now, self.base)),
            _length(differences(self.now, self.before)),
            _length(self.now),
        ]
        copy(self.before, self.now)
        self.points.append(torch.stack([*self._measured(), *lengths]))

    def points_so_far(self) -> Tensor:
        """The recorded positions, one per row, to go on from later."""
        if not self.points:
            return torch.empty(0, len(self.keys), device=self.sample.labels.device)
        return torch.stack(self.points)

    def go_on_from(self, points: Tensor) -> None:
        """Go on from recorded positions; the network has the weights of the last one."""
        self.points = list(points)
        copy(self.before, self.now)

    def _measured(self) -> tuple[Tensor, Tensor]:
        """Loss and accuracy on the sample as tensors on the device; NaN if the sample is empty."""
        labels = self.sample.labels
        if not len(labels):
            unknown = torch.full((), torch.nan, device=labels.device)
            return unknown, unknown
        training = self.network.training
        with autocast(self.precision, labels.device):
            logits = predict(self.network, self.sample.pixels)
        self.network.train(training)
        right = (logits.argmax(1) == labels).float().mean()
        return F.cross_entropy(logits.float(), labels), right

    def rows(self, first: int, epoch_of: Callable[[int], int]) -> list[Row]:
        """One row per recorded position.

        Columns: step (numbered from `first`), epoch, loss (nats) and accuracy (0..1) on the
        sample, distance (to the base), step_length and norm (L2, over all parameters).
        """
        table = torch.stack(self.points).double().cpu().tolist() if self.points else []
        return [
            {"step": step, "epoch": epoch_of(step), **dict(zip(self.keys, values, strict=True))}
            for step, values in enumerate(table, first)
        ]


class RidgeWalk(Walk):
    """A walk within its room, whose loss is measured at some points only.

    The rows also have `rise` and `error`, see `ridge.Reading`. Loss, accuracy, rise and error are
    NaN where they were not measured. Points beyond the limit are not part of the walk, so it has
    fewer points than there were steps.
    """

    keys = (*KEYS, "rise", "error", "epoch")
    epoch = 0

    def __init__(self, network: nn.Module, base: Mapping[str, Tensor], train: Images) -> None:
        """Begin at the network's current weights."""
        super().__init__(network, base, train.spread(0), "fp32")
        self.good = 0

    def record(self) -> None:
        """Record the network's current position."""
        super().record()
        more = torch.tensor([torch.nan, torch.nan, self.epoch])
        self.points[-1] = torch.cat([self.points[-1].double(), more.to(self.points[-1])])

    def measured(self, reading: Reading) -> None:
        """Note the reading at the last point, to which the walk may go back later."""
        values = [reading.loss, reading.accuracy, reading.rise, reading.error]
        self.points[-1][[0, 1, 5, 6]] = torch.tensor(values).to(self.points[-1])
        self.good = len(self.points)

    def go_back(self) -> None:
        """Go back to the last point with a reading; the network has its weights again."""
        self.points = self.points[: self.good]
        copy(self.before, self.now)

    def go_on_from(self, points: Tensor) -> None:
        """Go on from recorded positions; the network has the weights of the last one."""
        super().go_on_from(points)
        self.good = len(self.points)

    def rows(self, first: int, epoch_of: Callable[[int], int]) -> list[Row]:
        """One row per recorded position, see `Walk.rows`; each knows its epoch."""
        rows = super().rows(first, epoch_of)
        return [{**row, "epoch": int(row["epoch"])} for row in rows]


def _length(tensors: Sequence[Tensor]) -> Tensor:
    """The L2 length of tensors taken as one vector."""
    return nn.utils.get_total_norm(tensors)
