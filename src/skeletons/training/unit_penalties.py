"""The group penalty on units, λ Σ √p ‖w‖₂ over units (the group lasso), and its steps.

‖w‖₂ is the length of a unit's p weights as they are applied, see `networks.unit_groups`; the factor
√p is that of Yuan & Lin (2006, equation 2.2), which makes the penalty of a unit of average weights
the same as that of single weights of this size. Like ‖w‖₁ for weights, it makes whole units zero.
Weights that belong to no unit are penalised one by one, by λ|w|; otherwise their scale could grow
without a penalty, while that of the units shrinks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from skeletons.networks import unit_groups
from skeletons.networks.applied import factors
from skeletons.networks.describe import prunable
from skeletons.training.penalties import proximal_amount, shrink

ROUNDS = 12  # of Newton's method; the error falls below that of single precision


@dataclass(frozen=True)
class Stream:
    """Units and their weights: unit k has the k-th of equal blocks of inputs of each weight.

    Attributes:
        units: their number.
        names: the names of the weights.
        size: the number p of weights of each unit.
    """

    units: int
    names: Sequence[str]
    size: int

    def sums(self, values: Mapping[str, Tensor]) -> Tensor:
        """For each unit, the sum over its weights of values in the shapes of the weights."""
        return sum((self._blocks(values[name]).sum((0, 2)) for name in self.names), torch.tensor(0))

    def of_weights(self, values: Tensor, weight: Tensor) -> Tensor:
        """The value of each weight's unit, in the weight's shape up to axes of length 1."""
        each = values.repeat_interleave(weight.shape[1] // self.units)
        return each.view(1, -1, *[1] * (weight.ndim - 2))

    def _blocks(self, values: Tensor) -> Tensor:
        return values.reshape(len(values), self.units, -1)


class Units:
    """The units of a network, and its penalised weights."""

    def __init__(self, network: nn.Module) -> None:
        """Find the units.

        Args:
            network: whose weights are penalised, and changed by the steps.

        Raises:
            WiringError: its units cannot be grouped, see `unit_groups.find`.
        """
        self.weights = prunable(network)
        self.factors = factors(network)
        self.streams = [self._stream(found) for found in unit_groups.find(network)]
        owned = {name for stream in self.streams for name in stream.names}
        self.single = [name for name in self.weights if name not in owned]

    def _stream(self, found: unit_groups.Content) -> Stream:
        count, names = found["units"], found["readers"]
        return Stream(count, names, sum(self.weights[n].numel() for n in names) // count)

    def lengths(self, scale: Mapping[str, float]) -> Iterator[tuple[Stream, Tensor]]:
        """The length ‖w‖₂ of each unit's weights, each multiplied by the `scale` of its layer."""
        for stream in self.streams:
            squares = {n: (self.weights[n].detach() * scale[n]).square() for n in stream.names}
            yield stream, stream.sums(squares).sqrt()

    @torch.no_grad()
    def penalty(self) -> float:
        """Σ √p ‖w‖₂ over units, and Σ |w| over the weights of none."""
        found = sum(
            stream.size**0.5 * float(lengths.double().sum())
            for stream, lengths in self.lengths(self.factors)
        )
        single = (self.weights[n].abs().double().sum() * self.factors[n] for n in self.single)
        return found + float(sum(single))

    @torch.no_grad()
    def add_subgradient(self, l1: float) -> None:
        """Add the subgradient of the penalty to the gradients; it is 0 for units of length 0."""
        for stream, lengths in self.lengths(self.factors):
            each = torch.where(lengths > 0, l1 * stream.size**0.5 / lengths, 0.0)
            for name in stream.names:
                weight = self.weights[name]
                if weight.grad is not None:
                    pull = weight * stream.of_weights(each, weight)
                    weight.grad.add_(pull, alpha=self.factors[name] ** 2)
        for name in self.single:
            weight = self.weights[name]
            if weight.grad is not None:
                weight.grad.add_(weight.sign(), alpha=l1 * self.factors[name])

    @torch.no_grad()
    def shrink_proximally(self, optimizer: torch.optim.Optimizer, l1: float) -> None:
        """The proximal step of the penalty after a step of an optimiser, in the optimiser's metric.

        Args:
            optimizer: see `penalties.proximal_amount`.
            l1: λ ≥ 0.
        """
        if not l1:
            return
        steps = {
            name: torch.as_tensor(proximal_amount(optimizer, w, 1.0)).to(w)
            for name, w in self.weights.items()
            if w.grad is not None
        }
        for stream in self.streams:
            if all(name in steps for name in stream.names):
                self._shrink(stream, steps, l1 * stream.size**0.5)
        for name in self.single:
            if name in steps:
                shrink([self.weights[name]], l1 * self.factors[name] * steps[name])

    def _shrink(self, stream: Stream, steps: Mapping[str, Tensor], amount: float) -> None:
        """The proximal step of `amount`·‖w‖₂ for each unit of a stream.

        It minimises ½ Σ (y − u)²/b + amount·‖y‖₂, where u are the applied weights and b their
        metric. With s = ‖y‖₂, y = u·s / (s + amount·b), so s solves Σ u²/(s + amount·b)² = 1; it is
        0 if Σ (u/b)² ≤ amount² (Deleu & Bengio 2021, section 3.2). Newton's method solves
        (Σ u²/(s + amount·b)²)^-½ = 1 from s = 0. The left side is concave and increasing in s, so
        each iterate stays below the solution and comes nearer; with equal b, the first one is
        exact, the block soft threshold.
        """
        weights = {name: self.weights[name] for name in stream.names}
        applied = {n: w * self.factors[n] for n, w in weights.items()}
        less = {
            n: amount * (steps[n] * self.factors[n] ** 2).expand_as(w) for n, w in weights.items()
        }

        def sums(term: Callable[[Tensor, Tensor, Tensor], Tensor], at: Tensor) -> Tensor:
            spread = {n: stream.of_weights(at, w) for n, w in weights.items()}
            return stream.sums({n: term(applied[n], less[n], spread[n]) for n in weights})

        length = torch.zeros(stream.units).to(next(iter(weights.values())))
        there = sums(lambda u, b, s: (u / b).square(), length) > 1
        for _ in range(ROUNDS):
            value = sums(lambda u, b, s: (u / (s + b)).square(), length)
            slope = sums(lambda u, b, s: u.square() / (s + b) ** 3, length)
            length = torch.where(there, length + (value.sqrt() - 1) * value / slope, 0.0)
        for name, weight in weights.items():
            s = stream.of_weights(length, weight)
            weight.mul_(torch.where(s > 0, s / (s + less[name]), 0.0))

    @torch.no_grad()
    def shrink_by_share(self, share: float, sizes: Mapping[str, float]) -> None:
        """Shrink the length of each unit by `share`·√p, and restore the norm of each layer.

        Each layer's weights are measured in its own unit, so an average unit loses this share of
        its weights. Without the norms, all units would shrink alike for as long as the loss allows,
        and none would go: a network can afford a smaller scale of its logits. With them, large
        units gain what small ones lose.

        Args:
            share: ≥ 0.
            sizes: the unit of each weight's layer, > 0, such as its root mean square.
        """
        before = {name: w.norm() for name, w in self.weights.items()}
        scale = {name: 1 / (size or 1.0) for name, size in sizes.items()}
        for stream, lengths in self.lengths(scale):
            left = (1 - share * stream.size**0.5 / lengths).clamp(min=0)
            left = torch.where(lengths > 0, left, 0.0)
            for name in stream.names:
                self.weights[name].mul_(stream.of_weights(left, self.weights[name]))
        for name in self.single:
            shrink([self.weights[name]], share * sizes[name])
        for name, w in self.weights.items():
            now = w.norm()
            w.mul_(torch.where(now > 0, before[name] / now, 1.0))
