"""Levels and limits: the values of the configuration's section `findings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skeletons.findings import pair_tables, walk_certificates
from skeletons.findings.rules import Rules

CONTROL_DROP = 0.05


@dataclass(frozen=True)
class Settings:
    """The section `findings`.

    This is not the section's own class: importing it would make the whole configuration part of the
    fingerprint of the findings, so that any new key would rerun them.

    Attributes:
        primary: measure, and recipe with l1, epochs, and threshold or density; None if a rule
            chooses one.
        alpha: level of the intervals.
        converges_above: see `rules.Rules`, as for the next four.
        not_below: see there.
        margin: see there.
        alive: see there.
        looks: see there.
        control_drop: how much less accurate than the pruned models a control may be, 0..1.
        sparsity: the least share of weights that a skeleton has lost.
        drop: the most accuracy that a skeleton has lost, 0..1.
        loss_rise: by how much the loss may rise on a walk, in nats.
        largest_step: the longest allowed step of a walk, as a share of the norm of the weights.
    """

    primary: Mapping[str, Any] | None = None
    alpha: float = Rules.alpha
    converges_above: float = Rules.converges_above
    not_below: float = Rules.not_below
    margin: float = Rules.margin
    alive: float = Rules.alive
    looks: int = Rules.looks
    control_drop: float = CONTROL_DROP
    sparsity: float = pair_tables.SPARSE
    drop: float = pair_tables.MAX_DROP
    loss_rise: float = walk_certificates.RISE
    largest_step: float = walk_certificates.STEP

    @property
    def rules(self) -> Rules:
        """Those that the answers depend on."""
        return Rules(
            self.alpha, self.converges_above, self.not_below, self.margin, self.alive, self.looks
        )

    @property
    def recipe(self) -> Mapping[str, float] | None:
        """The primary recipe; None if a rule chooses it."""
        return (self.primary or {}).get("recipe")
