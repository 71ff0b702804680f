"""The answers to the two questions, and the limits that separate them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CONVERGES = "converges"
NOT = "does not converge"
IN_PART = "in part"
ADDS = "adds"
ADDS_NOT = "does not add"
UNDECIDED = "undecided"
NOT_TESTED = "not tested"  # what the question is about is not there, see `preconditions`

WALK, PRUNING = "walk", "pruning"  # the questions


@dataclass(frozen=True)
class Rules:
    """When an answer is given.

    Attributes:
        alpha: the level of an interval: 1 − alpha.
        converges_above: models converge if they close more than this share of the gap.
        not_below: models do not converge if they close less than this share.
        margin: the same, in units of the measure, for a rise of which the ceiling is not known.
        alive: the least share of seeds that must live.
        looks: how often the answer is looked at while seeds are added; each look spends an equal
            share of alpha.
    """

    alpha: float = 0.05
    converges_above: float = 0.5
    not_below: float = 0.25
    margin: float = 0.05
    alive: float = 0.9
    looks: int = 1

    @property
    def level(self) -> float:
        """The level of each one-sided test at this look."""
        return self.alpha / 2 / self.looks

    def level_of_any(self, comparisons: int) -> float:
        """The level of a test of which any one of several comparisons may decide.

        Bonferroni's correction would divide by their number. With skewed effects of seeds, tails
        are heavier the further out they are, so it is divided by one more.
        """
        return self.level / (1 if comparisons == 1 else comparisons + 1)


def level_in(settings: Mapping[str, Any]) -> float:
    """The level of each one-sided test, by the recorded settings of findings."""
    return Rules(alpha=settings["alpha"], looks=settings["looks"]).level
