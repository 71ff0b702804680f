"""The ridge walk as a certificate: did a model change by small steps at constant loss?

The post calls what regularisation does a continuous deformation along the ridge. A walk recorded
step by step can show it: no point of it has a loss much above that of the start, and no step is
large against the weights. What lies between two recorded points is not seen; so a walk recorded
every hundredth step certifies less, and each certificate says how finely it was recorded.
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
RISE = 0.05  # nats: a base is called optimal below 0.1
STEP = 0.05  # of the length of the base's weights


@dataclass(frozen=True)
class Certificate:
    """What a walk was like, and whether it is a continuous deformation at constant loss.

    Attributes:
        holds: whether no limit is broken.
        rise: the highest loss over that of the start, in nats; 0 if it never rises, infinite if it
            is not a number somewhere.
        rise_at: the step of the walk at which the loss is highest, of those where it was measured.
        longest: the longest single step, as a share of the length of the base's weights.
        longest_at: the step of the walk that it leads to.
        path: the length of the walk, the sum of its steps, in units of the weights.
        distance: from the base at its end; at most `path`.
        fall: how far the accuracy at its lowest lies below that of the start, 0..1.
        points: points after the start at which the loss was measured.
        every: optimiser steps between two of them, at most.
        broken: a clause for each limit that is broken.
    """

    holds: bool
    rise: float
    rise_at: int
    longest: float
    longest_at: int
    path: float
    distance: float
    fall: float
    points: int
    every: int
    broken: tuple[str, ...]

    @property
    def straightness(self) -> float:
        """Distance over path, 0..1: 1 for a straight walk, NaN for one that does not move."""
        return self.distance / self.path if self.path else math.nan


def certify(
    walk: pd.DataFrame, norm: float, *, rise: float = RISE, step: float = STEP
) -> Certificate:
    """Judge a walk.

    Args:
        walk: one row a recorded point in the order walked, the first being the base, with columns
            step (of the optimiser, from 0), epoch, loss (nats, on the same images at every point:
            minibatches of their own would make it jump), accuracy (0..1), distance (L2, from the
            base) and step_length (L2, from the row before; not read in the first). A column
            measured may say at which points the loss was; without it, it was at all.
        norm: L2 length of the base's weights, the same ones that the distances are of.
        rise: how far the loss may lie above that of the start, in nats.
        step: how long a single step may be, as a share of `norm`.

    Raises:
        SkeletonsError: the table is not one of a walk, or contradicts itself.
    """
    _check(walk, norm)
    steps, lengths = walk["step"].to_numpy(), walk["step_length"].to_numpy(np.float64)[1:]
    seen = walk[walk["measured"]] if "measured" in walk.columns else walk
    loss, accuracy = (seen[key].to_numpy(np.float64) for key in ("loss", "accuracy"))
    seen_at = seen["step"].to_numpy()
    # A loss that is not a number is the worst there is, so it counts as infinite.
    over = np.where(np.isfinite(loss), loss - loss[0], np.inf)
    highest, longest = int(over.argmax()), 1 + int(lengths.argmax())
    broken = []
    if over[highest] > rise:
        broken.append(_rise_text(float(over[highest]), int(seen_at[highest]), rise))
    if lengths[longest - 1] > step * norm:
        share = float(lengths[longest - 1] / norm)
        broken.append(
            f"the step to {int(steps[longest])} is {share:.1%} of the weights' length, "
            f"more than {step:.1%}"
        )
    return Certificate(
        holds=not broken,
        rise=float(over[highest]),
        rise_at=int(seen_at[highest]),
        longest=float(lengths[longest - 1] / norm),
        longest_at=int(steps[longest]),
        path=float(lengths.sum()),
        distance=float(walk["distance"].iloc[-1]),
        fall=max(0.0, float(accuracy[0] - np.nanmin(accuracy))),
        points=len(seen) - 1,
        every=int(np.diff(seen_at).max()),
        broken=tuple(broken),
    )


def with_losses(walk: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """A walk whose loss was not recorded, with that at the end of each epoch.

    Args:
        walk: as in `certify`, its loss and accuracy not numbers.
        history: one row an epoch, the first being the base, with columns epoch, train_loss and
            train_accuracy.

    Returns:
        The walk with a column measured, which holds where an epoch ends.
    """
    ends = walk.groupby("epoch")["step"].transform("max") == walk["step"]
    by_epoch = history.set_index("epoch")
    return walk.assign(
        loss=walk["epoch"].map(by_epoch.train_loss),
        accuracy=walk["epoch"].map(by_epoch.train_accuracy),
        measured=ends,
    )


def _rise_text(over: float, at: int, limit: float) -> str:
    if math.isinf(over):
        return f"the loss is no longer a number at step {at}"
    return f"the loss rises by {over:.3f} at step {at}, more than {limit:g}"


def _check(walk: pd.DataFrame, norm: float) -> None:
    """Refuse a table that is not one of a walk."""
    missing = [column for column in COLUMNS if column not in walk.columns]
    if missing:
        raise SkeletonsError(f"A walk's table lacks {text.listed(missing)}.")
    if len(walk) < 2:
        raise SkeletonsError("A walk's table needs its start and at least one step after it.")
    if not (math.isfinite(norm) and norm > 0):
        raise SkeletonsError(f"A walk starts from weights of length {norm}; it must be above 0.")
    if not math.isfinite(walk["loss"].iloc[0]):
        raise SkeletonsError("A walk's loss is not a number at its start.")
    steps, distance = walk["step"].to_numpy(), walk["distance"].to_numpy(np.float64)
    lengths = walk["step_length"].to_numpy(np.float64)[1:]
    if (np.diff(steps) <= 0).any():
        raise SkeletonsError("A walk's steps do not ascend.")
    if not (np.isfinite(distance).all() and np.isfinite(lengths).all()) or (lengths < 0).any():
        raise SkeletonsError("A walk has a distance or a step length that is not a number ≥ 0.")
    _check_triangles(steps, distance, lengths)


def _check_triangles(steps: Floats, distance: Floats, lengths: Floats) -> None:
    """No step brings one further from the base, or nearer, than it is long."""
    moved = np.abs(np.diff(distance))
    apart = moved - lengths > 1e-4 * np.maximum(distance[1:], distance[:-1])  # of single precision
    if apart.any():
        k = int(np.argmax(apart))
        raise SkeletonsError(
            f"A walk's step to {int(steps[k + 1])} is {lengths[k]:.4g} long but changes the "
            f"distance from the base by {moved[k]:.4g}, more than it can."
        )


# --- in words -----------------------------------------------------------------------------------


def sentence(name: str, found: Certificate) -> str:
    """A walk's certificate in one sentence.

    Args:
        name: of the model at its end.
        found: its certificate.
    """
    recorded = "step by step" if found.every == 1 else f"every {found.every} steps at most"
    if found.holds:
        return (
            f"`{name}` is a continuous deformation of its base at constant loss: over "
            f"{text.counted(found.points, 'point')} recorded {recorded} the loss rises by "
            f"{found.rise:.3f} at most, and no step is longer than {found.longest:.2%} of the "
            "weights' length."
        )
    return f"`{name}` leaves the ridge: {' and '.join(found.broken)}."


def walks_markdown(
    found: Mapping[str, Certificate], *, rise: float = RISE, step: float = STEP
) -> str:
    """Certificates as a page section: how many hold, which do not and why, and all numbers.

    Args:
        found: certificates by the name of the model at the walk's end.
        rise: the limit that they were judged by, in nats.
        step: the limit that they were judged by, as a share.
    """
    if not found:
        return "No walk was recorded."
    broken = [name for name, one in found.items() if not one.holds]
    parts = [
        f"Of {text.counted(len(found), 'walk')}, {len(found) - len(broken)} "
        f"{'is' if len(found) - len(broken) == 1 else 'are'} a continuous deformation at constant "
        f"loss: nowhere a loss more than {rise:g} nats above the start's, and no step longer than "
        f"{step:.0%} of the weights' length."
    ]
    if broken:
        parts.append("\n".join(f"- {sentence(name, found[name])}" for name in broken))
    rows = [_row(name, one) for name, one in found.items()]
    head = ["walk to", "holds", "highest rise of the loss", "at step", "longest step", "to step"]
    head += ["accuracy lost, points", "path", "distance", "distance / path", "recorded"]
    return "\n\n".join([*parts, text.table(head, rows)])


def _row(name: str, one: Certificate) -> Sequence[str]:
    return [
        f"`{name}`",
        "yes" if one.holds else "**no**",
        "∞" if math.isinf(one.rise) else f"{one.rise:.4f}",
        str(one.rise_at),
        f"{one.longest:.3%}",
        str(one.longest_at),
        text.points(one.fall, 2),
        f"{one.path:.2f}",
        f"{one.distance:.2f}",
        "–" if math.isnan(one.straightness) else f"{one.straightness:.2f}",
        "every step" if one.every == 1 else f"every {one.every} at most",
    ]
