"""The part of the configuration that the bridges between bases depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]
STRIDE = 0.025  # longest step, as a share of the norm of the weights


def bridge(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of a bridge: the longest step, well below what its certificate allows, and the device."""
    stride = min(STRIDE, plan.config.findings.largest_step / 2)
    return {"stride": stride, "device": plan.config.compute.device}


def judge_bridge(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the judgement of a bridge: the limits of a walk, and the primary measure."""
    limits = plan.config.findings
    return {
        "models": [wildcards["a"], wildcards["b"]],
        "ood": plan.ood,
        "labelled": [ood for ood in plan.ood if ood in plan.labelled],
        "measure": plan.judged[0],
        "loss_rise": limits.loss_rise,
        "largest_step": limits.largest_step,
    }
