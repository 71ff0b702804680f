"""The primary question: one measure and one recipe, fixed before looking.

Everything else is exploratory. If no recipe is named, a rule chooses one that looks at sparsity and
accuracy only, never at similarity: the recipe with the most skeletons, and of several the sparsest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from skeletons.findings import pair_tables
from skeletons.findings.model_pairs import named
from skeletons.model_ids import Model


@dataclass(frozen=True)
class Primary:
    """The primary question.

    Attributes:
        measure: its name in results.
        recipe: in words; empty if there is none.
        fixed: whether the configuration names the recipe; otherwise a rule chose it.
    """

    measure: str
    recipe: str
    fixed: bool


def choose(
    measure: str,
    wanted: Mapping[str, float] | None,
    groups: Mapping[str, Sequence[Model]],
    scores: pd.DataFrame,
    sparsity: float,
    drop: float,
    rise: float,
) -> Primary:
    """The primary question of an experiment.

    Args:
        measure: its name in results.
        wanted: l1, epochs, and threshold or density of the recipe; None if the rule chooses.
        groups: the compared pruned models by recipe.
        scores: of all models.
        sparsity: the least of a skeleton.
        drop: the most accuracy that a skeleton may lose.
        rise: by how much the training loss of a retrained skeleton may rise, in nats.
    """
    if wanted is not None:
        return Primary(measure, named(Model(0).of(**wanted)), True)
    if not groups:
        return Primary(measure, "", False)
    known = set(pair_tables.skeletons(scores, sparsity, drop, rise).model)
    sparse = scores.set_index("model").sparsity

    def rank(recipe: str) -> tuple[int, float]:
        names = [str(model) for model in groups[recipe]]
        return len(known.intersection(names)), float(sparse.reindex(names).mean())

    return Primary(measure, max(groups, key=rank), False)
