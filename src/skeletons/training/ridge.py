"""Walks that stay within their room: the least ‖w‖₁ at a loss of at most L(base) + room.

The post asks for a continuous deformation at constant loss. A fixed λ does not give one: it trades
loss for smaller weights. Here the loss is a constraint. As in numerical continuation (Allgower &
Georg 2003, chapter 2), each step has a predictor, which shrinks the weights, and a corrector, one
step of the optimiser on the data loss. Every few steps the loss is measured on the same training
images, each compared with its own loss under the base. The less room is left, the more slowly the
weights shrink. Beyond the limit, the walk goes back to its last good point and goes on at half the
rate. An epoch of few images has few such looks, so glances at a part of these images set the speed
in between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeletons.networks.build import manner_of
from skeletons.networks.describe import prunable
from skeletons.networks.generators import generator_for
from skeletons.networks.scale_free import scale_free
from skeletons.prediction.device import autocast
from skeletons.prediction.inference import predict
from skeletons.training.epochs import Row
from skeletons.training.images import Images, batch_sizes
from skeletons.training.internals import copy
from skeletons.training.penalties import Penalty

MEASURED = 2_000  # training images, always the same ones
PROBED = 64  # training images, to find out which weights have a free scale
SHARE = 0.09  # of the time of a walk that looks may take
GLANCED = 250  # of these images, each time others
GLANCES = 0.05  # share of the time of a walk that glances may take
SELDOM = 50  # steps between looks from which on there are glances
STEP = 4  # forward passes that cost as much as a training step: its own, its gradients, its update
Z = 1.645  # one-sided 95 % bound of a normal distribution
FULL = 0.8  # share of the room at which the weights stop shrinking
FASTEST = 4.0  # times the rate at no rise, for a walk whose loss has fallen
EASY = 0.5  # share of the room below which a brake is released …
RELEASE = 1.1  # … by this factor at each look
BRAKE = 0.5  # factor on the rates after a return


@dataclass(frozen=True)
class Reading:
    """The loss at one point of a walk, compared with the base's image by image.

    Attributes:
        loss: mean cross-entropy, in nats.
        accuracy: 0..1.
        rise: the loss minus the base's, in nats.
        error: the standard error of `rise` as an estimate for all training images.
    """

    loss: float
    accuracy: float
    rise: float
    error: float

    @property
    def bound(self) -> float:
        """The upper 95 % bound of the rise, in nats."""
        return self.rise + Z * self.error


class Gauge:
    """Measures how far the loss has risen since the base, on a fixed sample of training images.

    Attributes:
        start: the reading of the base itself.
    """

    def __init__(self, base: nn.Module, train: Images, precision: str) -> None:
        """Measure the base.

        Args:
            base: the base model.
            train: the training images, from which `MEASURED` are taken.
            precision: `auto`, `bf16` or `fp32`.
        """
        self.images, self.precision = train.spread(MEASURED), precision
        self.missing = 1 - len(self.images.labels) / len(train.labels)
        order = torch.randperm(len(self.images.labels), generator=generator_for("glances"))
        self._parts = torch.split(order, GLANCED)
        self.base, right = self._losses(base, self.images)
        mean, accuracy = torch.stack([self.base.mean(), right.double().mean()]).tolist()
        self.start = Reading(mean, accuracy, 0.0, 0.0)

    def glance(self, network: nn.Module, number: int) -> float:
        """The rise on a part of the images, in nats.

        Args:
            network: to measure.
            number: of the glance, ≥ 0; the parts take turns.
        """
        part = self._parts[number % len(self._parts)]
        images = Images(self.images.pixels[part], self.images.labels[part])
        losses, _ = self._losses(network, images)
        return float((losses - self.base[part]).mean())

    def _losses(self, network: nn.Module, images: Images) -> tuple[Tensor, Tensor]:
        """The loss of each image, and whether it is classified correctly."""
        training, labels = network.training, images.labels
        with autocast(self.precision, labels.device):
            logits = predict(network, images.pixels).double()
        network.train(training)
        return F.cross_entropy(logits, labels, reduction="none"), logits.argmax(1) == labels

    def read(self, network: nn.Module) -> Reading:
        """Measure a network.

        The differences are paired, because most of the variation of the loss is between images. Of
        a finite set, of which a large share is measured, less remains unknown (Cochran 1977,
        Sampling Techniques, section 2.6).
        """
        losses, right = self._losses(network, self.images)
        rises = losses - self.base
        spread = rises.var(unbiased=len(rises) > 1) / len(rises) * self.missing
        numbers = torch.stack([losses.mean(), right.double().mean(), rises.mean(), spread.sqrt()])
        return Reading(*numbers.tolist())


class Room:
    """The room of a training that must hold the loss: its last good point, and its speed.

    Attributes:
        state: what a later epoch depends on, beside the weights and the optimiser: the factor on
            the learning rate, the factor on the speed of what is tried within the room, and the
            share of it that the last look allows. A tensor on the CPU, changed in place.
        returns: how often the network went back to its last good point in this epoch.
        reading: the loss at the last good point.
    """

    def __init__(
        self,
        network: nn.Module,
        base: nn.Module,
        optimizer: torch.optim.Optimizer,
        train: Images,
        *,
        room: float,
        batch_size: int,
        precision: str,
        more: Sequence[Tensor] = (),
    ) -> None:
        """Begin at the base's weights; after loading those of a later point, call `begin`.

        Args:
            network: is trained.
            base: the base model; is not changed.
            optimizer: of the network's parameters, at its full learning rate.
            train: the training images.
            room: by how much the loss may rise above the base's, in nats.
            batch_size: images per step; it decides how often the loss is measured.
            precision: `auto`, `bf16` or `fp32`.
            more: tensors beside the network's that belong to a point.
        """
        self.network, self.optimizer, self.more = network, optimizer, more
        self.room, self.rate = room, float(optimizer.param_groups[0]["lr"])
        self.gauge = Gauge(base, train, precision)
        steps = len(batch_sizes(len(train.labels), batch_size, single=manner_of(network).single))
        self.every = steps_between_looks(len(self.gauge.images.labels), batch_size, steps)
        self.glances = steps_between_looks(GLANCED, batch_size, steps, GLANCES)
        self.state = torch.ones(3, dtype=torch.float64)
        self.returns = self.steps = 0
        self.begin(self.gauge.start)

    @property
    def speed(self) -> float:
        """The factor on the speed of what is tried: none if no room is left."""
        return float(self.state[1] * self.state[2])

    def begin(self, reading: Reading | None = None) -> None:
        """Go on from the network's weights and from `state`; the weights are a good point.

        Args:
            reading: their reading; None to measure them.
        """
        self.reading = self.gauge.read(self.network) if reading is None else reading
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * float(self.state[0])
        self._tensors = [*self.network.parameters(), *self.network.buffers(), *self.more]
        self._good = [tensor.detach().clone() for tensor in self._tensors]
        self._moments = _copied(self.optimizer.state)

    def due(self) -> bool:
        """Count a step, and glance at the loss from time to time; whether a look is due now."""
        self.steps += 1
        if self.steps % self.every == 0:
            return True
        if self.steps % self.glances == 0 and self.every >= SELDOM:
            self._glance()
        return False

    def _glance(self) -> None:
        """Set the speed until the next look; a part of the images is too few to go back for."""
        rise = self.gauge.glance(self.network, self.steps // self.glances)
        self._set_speed(rise + Z * self.reading.error)

    def _set_speed(self, bound: float) -> None:
        left = 1 - bound / (FULL * self.room)
        self.state[2] = min(max(left, 0.0), FASTEST) if bound == bound else 0.0

    def look(self) -> bool:
        """Measure the loss, and set the speed until the next look.

        Returns:
            False if the limit was exceeded. Then the network is at its last good point again.
            `reading` is that of the good point in either case.
        """
        reading = self.gauge.read(self.network)
        if not reading.bound <= self.room:  # also if it is not a number
            self._go_back()
            return False
        self._set_speed(reading.bound)
        if reading.bound < EASY * self.room:
            self.state[1] = min(1.0, float(self.state[1]) * RELEASE)
        self.begin(reading)
        return True

    @torch.no_grad()
    def _go_back(self) -> None:
        copy(self._tensors, self._good)
        self.optimizer.state.clear()
        self.optimizer.state.update(_copied(self._moments))
        self.state[:2] *= BRAKE
        self.returns += 1
        self.begin(self.reading)

    def numbers(self) -> Row:
        """At the end of an epoch, for the history: the learning rate, and the returns in it."""
        returns, self.returns, self.steps = self.returns, 0, 0
        return {"learning_rate": self.rate * float(self.state[0]), "returns": returns}


class Ridge(Room):
    """A walk within its room: the weights shrink as the room allows."""

    def __init__(
        self,
        network: nn.Module,
        base: nn.Module,
        optimizer: torch.optim.Optimizer,
        train: Images,
        *,
        shrinkage: float,
        room: float,
        batch_size: int,
        precision: str,
        penalty: Penalty,
    ) -> None:
        """Begin at the base's weights; after loading those of a later point, call `begin`.

        Args:
            network: see `Room`.
            base: see `Room`.
            optimizer: see `Room`.
            train: see `Room`.
            shrinkage: by how much a weight shrinks in a step without a rise of the loss, as a
                share of the root mean square weight of its layer in the base.
            room: see `Room`.
            batch_size: see `Room`.
            precision: see `Room`.
            penalty: on the network's weights or units; shrinks them.
        """
        self.shrinkage, self.penalty = shrinkage, penalty
        free = scale_free(base, train.spread(PROBED).pixels)
        weights, start = prunable(network), prunable(base)
        self.sizes = {name: w.detach().square().mean().sqrt().item() for name, w in start.items()}
        self.norms = [
            (weights[name], axes, _norm(start[name].detach(), axes)) for name, axes in free.items()
        ]
        super().__init__(
            network,
            base,
            optimizer,
            train,
            room=room,
            batch_size=batch_size,
            precision=precision,
        )

    @torch.no_grad()
    def shrink(self) -> None:
        """The predictor: shrink all prunable weights, and restore the norms that are free.

        Shrinking then makes these weights sparse instead of small (their scale has no effect).
        """
        self.penalty.shrink_by_share(self.shrinkage * self.speed, self.sizes)
        for weight, axes, norm in self.norms:
            now = _norm(weight, axes)
            weight.mul_(torch.where(now > 0, norm / now, 1.0))

    def numbers(self) -> Row:
        """At the end of an epoch, for the history: the rates now, and the returns in it."""
        found = super().numbers()
        returns = found.pop("returns")
        return {**found, "shrinkage": self.shrinkage * self.speed, "returns": returns}


def steps_between_looks(images: int, batch_size: int, steps: int, share: float = SHARE) -> int:
    """After how many steps the loss is measured, so that measuring takes its share of the time.

    The last look of an epoch is at its end, so an epoch has at least one, whatever it costs.

    Args:
        images: that are measured in a look.
        batch_size: images per step.
        steps: of an epoch.
        share: of the time, 0..1.
    """
    apart = images * (1 / share - 1) / (STEP * batch_size)
    return -(-steps // max(1, int(steps / apart)))


def _norm(weight: Tensor, axes: tuple[int, ...]) -> Tensor:
    return weight.square().sum(axes, keepdim=True).sqrt()


def _copied(state: Mapping[Tensor, Mapping[str, Tensor | None]]) -> dict[Tensor, dict[str, Tensor]]:
    """A copy of the state of an optimiser."""
    return {
        parameter: {key: value.clone() for key, value in each.items() if value is not None}
        for parameter, each in state.items()
    }
