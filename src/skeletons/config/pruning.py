"""The section `prune`, and a recipe of the grid, with every key's type, default and description."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from skeletons.config.names import CriterionName
from skeletons.config.types import (
    Count,
    Densities,
    NotNegative,
    Numbers,
    Positive,
    PositiveShare,
    Section,
    Whole,
)


class Prune(Section):
    """Permanent removal of small weights."""

    thresholds: Numbers = Field((), description="weights of a smaller magnitude become zero")
    densities: Densities = Field(
        (0.2,),
        description="shares of all prunable weights to keep: the largest as they are applied, in "
        "all layers together; none where `thresholds` is named and `densities` is not",
    )
    criterion: CriterionName = Field(
        "magnitude",
        description="score of a weight; fisher is the diagonal of Optimal Brain Damage, "
        "counterfactual the rise of the loss without its unit; or your own FILE.py:FUNCTION, for "
        "thresholds",
    )
    scale: Literal["absolute", "layer_rms"] = Field(
        "absolute",
        description="unit of the thresholds: 1, or the root mean square weight of the layer",
    )
    retrain: Whole = Field(
        4,
        description="epochs of training after pruning, without a penalty, with the optimiser, "
        "batch size and augmentation of `regularize`; pruned weights stay zero; random controls "
        "are retrained too; 0 where `thresholds` or `densities` is named and `retrain` is not",
    )
    retrain_learning_rate: Positive | None = Field(
        0.01,
        description="rate at the start, which falls to 0; null for regularize.learning_rate, also "
        "where `thresholds`, `densities` or `retrain` is named and this is not",
    )


class Variant(Section):
    """One recipe of the grid."""

    l1: Positive = Field(description="its λ, one of regularize.lambdas")
    epochs: Count = Field(description="its epochs, one of regularize.epochs")
    threshold: NotNegative | None = Field(
        None, description="its threshold, one of prune.thresholds; null if it has a density"
    )
    density: PositiveShare | None = Field(
        None, description="its density, one of prune.densities; null if it has a threshold"
    )

    @property
    def parts(self) -> dict[str, Any]:
        """The parts of its models' ids that it names."""
        return self.model_dump(exclude_none=True)
