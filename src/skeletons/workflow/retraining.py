"""The part of the configuration that retraining after pruning depends on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeletons.config.networks import Setup
    from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]
USED = {"optimizer", "learning_rate", "momentum", "batch_size", "augment"}  # of `regularize`


def retrain(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the retraining of a pruned model or a random control."""
    model = wildcards["model"]
    return {"model": model, **_training(plan, plan.setup_of(model))}


def sparsest(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the search for the sparsest skeleton of a base, in which models are retrained as well."""
    base, findings = wildcards["base_id"], plan.config.findings
    setup = plan.setup_of(base)
    return {
        "model": str(plan.variant_of(base).parent),
        "criterion": setup.prune.criterion,
        "rise": findings.loss_rise,
        "drop": findings.drop,
        **_training(plan, setup),
    }


def _training(plan: Plan, setup: Setup) -> dict[str, Any]:
    """How the weights that are left of a pruned model are trained on, without a penalty."""
    walk, chosen = setup.regularize.model_dump(include=USED), setup.prune
    rate = chosen.retrain_learning_rate or walk["learning_rate"]
    return {
        "epochs": chosen.retrain,
        "regularize": {**walk, "learning_rate": rate, "penalty": "subgradient", "trace": 0},
        "device": plan.config.compute.device,
        "precision": plan.config.compute.precision,
    }
