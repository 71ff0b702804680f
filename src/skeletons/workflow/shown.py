"""The part of the configuration that the findings, the figures and the record depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skeletons.config.load import canonical

if TYPE_CHECKING:
    from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]


def heatmap_of_features(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of a heatmap of features on one OOD set."""
    return {
        "measure": wildcards["representation"],
        "title": f"What every pair of models sees of {wildcards['ood']}",
        "colormap": plan.config.figures.colormap,
    }


def heatmap_of_masks(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of a heatmap of masks."""
    return {
        "measure": wildcards["overlap"],
        "title": "Which weights every pair of pruned models keeps",
        "colormap": plan.config.figures.colormap,
    }


def verdict(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the answers."""
    return {
        "measures": plan.judged,
        "ood": plan.sets,
        "controls": plan.control_sets,
        "settings": _findings(plan),
    }


def findings(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the findings."""
    return {
        "experiment": plan.config.experiment,
        "measures": plan.judged,
        "drawn": plan.config.figures.measures,
        "ood": plan.sets,
        "controls": plan.control_sets,
        "settings": _findings(plan),
    }


def _findings(plan: Plan) -> dict[str, Any]:
    """The section `findings`, in which a recipe has only the parts that it names."""
    chosen = plan.config.findings
    recipe = chosen.primary.recipe
    values = chosen.model_dump()
    values["primary"]["recipe"] = None if recipe is None else recipe.parts
    return values


def figures(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the figures that no inspection draws."""
    return {
        "ood": plan.sets,
        "measures": plan.judged,
        "folder": plan.figures,
        "colormap": plan.config.figures.colormap,
    }


def inspection_figures(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the figures of inspections."""
    return {"folder": plan.figures, "colormap": plan.config.figures.colormap}


def record(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the record: the whole configuration."""
    return {"values": canonical(plan.config)}
