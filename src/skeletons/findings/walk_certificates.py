"""Certificates of walks: did a model change in small steps at constant loss?

The post calls regularisation a continuous deformation along the ridge. A recorded walk can show
this: no point has a loss much above or below the start's, and no step is large compared with the
weights. A loss that falls is not constant either: a base that is still learning is not on a ridge.
The loss is that of training images, without augmentation and without the penalty.

The loss of a sample is an estimate. A walk within its room (`regularize.room`) records by how much
each image's loss differs from its loss under the base, so the mean difference has a standard error.
"Constant" is then shown by two one-sided tests (Schuirmann 1987): the upper 95 % bounds of the rise
and of the fall are within the limit at every point. All points must pass, so no correction for
their number is needed (an intersection-union test, Berger 1982). Other walks record no standard
error, and the readings themselves are compared with the limit.

Nothing is known between two recorded points, so each certificate states how finely its walk was
recorded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import SkeletonsError

COLUMNS = ("step", "epoch", "loss", "accuracy", "distance", "step_length")
RISE = 0.05  # nats; a base is called optimal below 0.1
LOSS = "training loss"  # of plain images, without the penalty
STEP = 0.05  # share of the norm of the base's weights
MISSES = "its base misses `base.target`"
Z = 1.645  # of a one-sided 95 % bound


@dataclass(frozen=True)
class Certificate:
    """The properties of a walk, and whether it is a continuous deformation at constant loss.

    Attributes:
        holds: whether the walk exceeds no limit.
        rise: the highest loss minus the loss of the start, in nats; 0 if it never rises, infinite
            if a loss is not a number.
        rise_at: the step of the walk with the highest measured loss.
        descent: the loss of the start minus the lowest loss, in nats; 0 if it never falls.
        descent_at: the step of the walk with the lowest measured loss.
        longest: the longest single step, as a share of the norm of the base's weights.
        longest_at: the step of the walk at which it ends.
        path: the length of the walk, the sum of its steps, in units of the weights.
        distance: between the base and the end of the walk; at most `path`.
        fall: the accuracy of the start minus the lowest accuracy, 0..1.
        points: the number of points after the start at which the loss was measured.
        every: the largest number of optimiser steps between two of them.
        broken: a clause for each limit that the walk exceeds.
        optimal: whether its base reaches its target; otherwise it does not start on a ridge.
        bound: the highest upper 95 % bound of the rise, in nats; None if no standard error was
            recorded.
        descent_bound: the same for the fall.
        losses: by epoch from 0, the measured loss that is furthest from the start's, in nats.
        loss: which loss this is.
    """

    holds: bool
    rise: float
    rise_at: int
    descent: float
    descent_at: int
    longest: float
    longest_at: int
    path: float
    distance: float
    fall: float
    points: int
    every: int
    broken: tuple[str, ...]
    optimal: bool
    losses: tuple[float, ...]
    loss: str = LOSS
    bound: float | None = None
    descent_bound: float | None = None

    @property
    def highest(self) -> float:
        """What the limit of the rise applies to, in nats: the bound, or the highest reading."""
        return self.rise if self.bound is None else self.bound

    @property
    def deepest(self) -> float:
        """The same for the fall."""
        return self.descent if self.descent_bound is None else self.descent_bound

    @property
    def straightness(self) -> float:
        """Distance over path, 0..1: 1 for a straight walk, NaN for a walk that does not move."""
        return self.distance / self.path if self.path else math.nan


def certify(
    walk: pd.DataFrame,
    norm: float,
    *,
    rise: float = RISE,
    step: float = STEP,
    optimal: bool = True,
) -> Certificate:
    """Certify a walk.

    Args:
        walk: one row per recorded point in the order of the walk, starting with the base, which is
            alone if no step kept within the room. Columns:
            step (of the optimiser, from 0), epoch, loss (nats, on the same images at every point,
            because the loss of varying minibatches would jump), accuracy (0..1), distance (L2, from
            the base) and step_length (L2, from the previous row; ignored in the first). An optional
            column measured states at which points the loss was measured; without it, at every one.
            Optional columns rise and error: the mean of the images' differences from their loss at
            the start, and its standard error; both NaN where the loss was not measured.
        norm: L2 norm of the base's weights, the same weights as those of the distances.
        rise: by how much the loss may differ from the loss of the start, in nats; the bounds must
            be within it if there is a standard error.
        step: the longest allowed step, as a share of `norm`.
        optimal: whether the base reaches its target.

    Raises:
        SkeletonsError: the table is not the table of a walk, or contradicts itself.
    """
    _check(walk, norm)
    if len(walk) == 1:
        return _without_steps(walk, optimal=optimal)
    steps, lengths = walk["step"].to_numpy(), walk["step_length"].to_numpy(np.float64)[1:]
    seen = _measured(walk)
    accuracy, seen_at = seen["accuracy"].to_numpy(np.float64), seen["step"].to_numpy()
    over, under = _differences(seen)
    highest, lowest, longest = int(over.argmax()), int(under.argmax()), 1 + int(lengths.argmax())
    broken = [] if optimal else [MISSES]
    bound, descent_bound = None, None
    if "error" in seen.columns:
        error = Z * seen["error"].to_numpy(np.float64)
        bound, descent_bound = float((over + error).max()), float((under + error).max())
        broken += _bounds_text(over, under, error, seen_at, rise)
    else:
        broken += _readings_text(over, under, seen_at, rise)
    if lengths[longest - 1] > step * norm:
        share = float(lengths[longest - 1] / norm)
        broken.append(
            f"the step to {int(steps[longest])} is {share:.1%} of the weights' norm, "
            f"more than {step:.1%}"
        )
    return Certificate(
        holds=not broken,
        rise=float(over[highest]),
        rise_at=int(seen_at[highest]),
        descent=float(under[lowest]),
        descent_at=int(seen_at[lowest]),
        longest=float(lengths[longest - 1] / norm),
        longest_at=int(steps[longest]),
        path=float(lengths.sum()),
        distance=float(walk["distance"].iloc[-1]),
        fall=max(0.0, float(accuracy[0] - np.nanmin(accuracy))),
        points=len(seen) - 1,
        every=int(max(np.diff(seen_at), default=0)),
        broken=tuple(broken),
        optimal=optimal,
        losses=_furthest(seen),
        bound=bound,
        descent_bound=descent_bound,
    )


def _without_steps(walk: pd.DataFrame, *, optimal: bool) -> Certificate:
    """The certificate of a walk that took every step back, because none kept within its room."""
    broken = ["no step kept within the room"] + ([] if optimal else [MISSES])
    bound = 0.0 if "error" in walk.columns else None
    return Certificate(
        holds=False,
        rise=0.0,
        rise_at=0,
        descent=0.0,
        descent_at=0,
        longest=0.0,
        longest_at=0,
        path=0.0,
        distance=0.0,
        fall=0.0,
        points=0,
        every=0,
        broken=tuple(broken),
        optimal=optimal,
        losses=(float(walk["loss"].iloc[0]),),
        bound=bound,
        descent_bound=bound,
    )


def _measured(walk: pd.DataFrame) -> pd.DataFrame:
    """The points of a walk at which the loss was measured."""
    if "measured" in walk.columns:
        return walk[walk["measured"]]
    return walk[walk["error"].notna()] if "error" in walk.columns else walk


def _differences(seen: pd.DataFrame) -> tuple[Floats, Floats]:
    """The rise and the fall of the loss at each measured point, in nats."""
    if "rise" in seen.columns:
        rises = seen["rise"].to_numpy(np.float64)
        return rises, -rises
    loss = seen["loss"].to_numpy(np.float64)
    finite = np.isfinite(loss)
    # A loss that is not a number is worse than any number, so it counts as infinite.
    return np.where(finite, loss - loss[0], np.inf), np.where(finite, loss[0] - loss, 0.0)


def _furthest(seen: pd.DataFrame) -> tuple[float, ...]:
    """By epoch, the measured loss that is furthest from the start's; NaN if none was measured."""
    start = float(seen["loss"].iloc[0])

    def away(loss: float) -> float:
        return abs(loss - start) if math.isfinite(loss) else math.inf

    epochs = range(int(seen["epoch"].max()) + 1)
    measured = [seen.loc[seen["epoch"] == epoch, "loss"] for epoch in epochs]
    return tuple(float(max(losses, key=away, default=math.nan)) for losses in measured)


def with_losses(walk: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """A walk whose loss was not recorded, with the loss at the end of each epoch added.

    Args:
        walk: as in `certify`; its loss and accuracy are NaN.
        history: one row per epoch, starting with the base, with columns epoch, train_loss and
            train_accuracy.

    Returns:
        The walk with a column measured, which is true at the end of each epoch.
    """
    ends = walk.groupby("epoch")["step"].transform("max") == walk["step"]
    by_epoch = history.set_index("epoch")
    return walk.assign(
        loss=walk["epoch"].map(by_epoch.train_loss),
        accuracy=walk["epoch"].map(by_epoch.train_accuracy),
        measured=ends,
    )


def _readings_text(over: Floats, under: Floats, at: Floats, limit: float) -> list[str]:
    """The limits that the readings exceed."""
    highest, lowest, broken = int(over.argmax()), int(under.argmax()), []
    if over[highest] > limit:
        broken.append(_rise_text(float(over[highest]), int(at[highest]), limit))
    if under[lowest] > limit:
        broken.append(
            f"the {LOSS} falls by {under[lowest]:.3f} at step {int(at[lowest])}, more than "
            f"{limit:g}"
        )
    return broken


def _bounds_text(over: Floats, under: Floats, error: Floats, at: Floats, limit: float) -> list[str]:
    """The limits that the upper bounds exceed."""
    broken = []
    for verb, readings in (("rises", over), ("falls", under)):
        bounds = readings + error
        worst = int(bounds.argmax())
        if not bounds[worst] <= limit:
            broken.append(
                f"the {LOSS} {verb} by {readings[worst]:.3f} at step {int(at[worst])}, with an "
                f"upper 95 % bound of {bounds[worst]:.3f}, more than {limit:g}"
            )
    return broken


def _rise_text(over: float, at: int, limit: float) -> str:
    if math.isinf(over):
        return f"the {LOSS} is no longer a number at step {at}"
    return f"the {LOSS} rises by {over:.3f} at step {at}, more than {limit:g}"


def _check(walk: pd.DataFrame, norm: float) -> None:
    """Raise an error unless a table is the table of a walk."""
    missing = [column for column in COLUMNS if column not in walk.columns]
    if missing:
        raise SkeletonsError(f"The table of a walk lacks {text.listed(missing)}.")
    if not len(walk):
        raise SkeletonsError("The table of a walk has no row; it needs the start.")
    if not (math.isfinite(norm) and norm > 0):
        raise SkeletonsError(f"A walk starts from weights of norm {norm}; it must be above 0.")
    if not math.isfinite(walk["loss"].iloc[0]):
        raise SkeletonsError("The loss at the start of a walk is not a number.")
    steps, distance = walk["step"].to_numpy(), walk["distance"].to_numpy(np.float64)
    lengths = walk["step_length"].to_numpy(np.float64)[1:]
    if (np.diff(steps) <= 0).any():
        raise SkeletonsError("The steps of a walk do not ascend.")
    if not (np.isfinite(distance).all() and np.isfinite(lengths).all()) or (lengths < 0).any():
        raise SkeletonsError("A walk has a distance or a step length that is not a number ≥ 0.")
    _check_triangles(steps, distance, lengths)


def _check_triangles(steps: Floats, distance: Floats, lengths: Floats) -> None:
    """Raise an error if a step changes the distance from the base by more than its length."""
    moved = np.abs(np.diff(distance))
    apart = moved - lengths > 1e-4 * np.maximum(distance[1:], distance[:-1])  # of single precision
    if apart.any():
        k = int(np.argmax(apart))
        raise SkeletonsError(
            f"A walk's step to {int(steps[k + 1])} is {lengths[k]:.4g} long but changes the "
            f"distance from the base by {moved[k]:.4g}, which is impossible."
        )


# --- in words -----------------------------------------------------------------------------------


def sentence(name: str, found: Certificate) -> str:
    """A certificate in one sentence.

    Args:
        name: of the model at the end of the walk.
        found: the certificate of the walk.
    """
    recorded = "step by step" if found.every == 1 else f"at most {found.every} steps apart"
    if found.holds:
        return (
            f"`{name}` is a continuous deformation of its base at constant loss: over "
            f"{text.counted(found.points, 'point')} recorded {recorded}, the {found.loss} rises by "
            f"at most {text.signed(found.rise, 3)} and falls by at most "
            f"{text.signed(found.descent, 3)}{_bounds(found)}, "
            f"and no step is longer than {found.longest:.2%} of the weights' norm."
        )
    leaves = "leaves the ridge" if found.optimal else "is not a walk along a ridge"
    return f"`{name}` {leaves}: {' and '.join(found.broken)}."


def _bounds(found: Certificate) -> str:
    if found.bound is None or found.descent_bound is None:
        return ""
    bounds = (text.signed(bound, 3) for bound in (found.bound, found.descent_bound))
    return f" (upper 95 % bounds {' and '.join(bounds)})"


def walks_markdown(
    found: Mapping[str, Certificate], *, rise: float = RISE, step: float = STEP
) -> str:
    """Certificates in Markdown: how many hold, which do not and why, and all numbers.

    Args:
        found: certificates by the name of the model at the end of the walk.
        rise: the limit of rise and fall that was applied, in nats.
        step: the limit of a step that was applied, as a share.
    """
    if not found:
        return "No walk was recorded."
    broken = [name for name, one in found.items() if not one.holds]
    parts = [
        f"Of {text.counted(len(found), 'walk')}, {len(found) - len(broken)} "
        f"{'is' if len(found) - len(broken) == 1 else 'are'} a continuous deformation at constant "
        f"loss: the {LOSS}, of images without augmentation and without the penalty, is never more "
        f"than {rise:g} nats above or below the start's, and no step is longer than {step:.0%} of "
        "the weights' norm. Only a walk from a base that reaches its target can be one."
    ]
    if broken:
        parts.append("\n".join(f"- {sentence(name, found[name])}" for name in broken))
    bounded = any(one.bound is not None for one in found.values())
    if bounded:
        parts.append(
            "Where the loss was measured image by image, the limits apply to upper bounds, which "
            "hold for all training images with 95 % confidence. In other walks (–), they apply to "
            "the readings."
        )
    rows = [_row(name, one, bounded=bounded) for name, one in found.items()]
    head = ["walk to", "holds", f"highest rise of the {LOSS}", "at step"]
    head += [f"deepest fall of the {LOSS}", "at step", "longest step", "to step"]
    head += ["upper bound of the rise", "upper bound of the fall"] if bounded else []
    head += ["accuracy lost, points", "path", "distance", "distance / path", "steps apart"]
    return "\n\n".join([*parts, text.table(head, rows)])


def _row(name: str, one: Certificate, *, bounded: bool) -> Sequence[str]:
    bounds = [one.bound, one.descent_bound] if bounded else []
    return [
        f"`{name}`",
        "yes" if one.holds else "**no**",
        "∞" if math.isinf(one.rise) else text.signed(one.rise, 4),
        str(one.rise_at),
        text.signed(one.descent, 4),
        str(one.descent_at),
        f"{one.longest:.3%}",
        str(one.longest_at),
        *("–" if bound is None else text.signed(bound, 4) for bound in bounds),
        text.points(one.fall, 2),
        f"{one.path:.2f}",
        f"{one.distance:.2f}",
        "–" if math.isnan(one.straightness) else f"{one.straightness:.2f}",
        "1" if one.every == 1 else f"≤ {one.every}",
    ]
