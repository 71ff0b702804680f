"""The stages of the workflow, each named once: its function, and what it depends on.

The rule of a stage lists what it reads and makes. This module defines the rest: the function, the
part of the configuration that it depends on, and the user-defined code that it runs. The function
is called by keywords: the names of the rule's inputs and outputs, and of the settings.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from skeletons.store.fingerprint import fingerprint
from skeletons.user_code import references
from skeletons.workflow import shown, slices
from skeletons.workflow.architecture import architecture
from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]
Settings = Callable[[Plan, Wildcards], dict[str, Any]]


@dataclass(frozen=True)
class Stage:
    """A stage, which a rule runs.

    Attributes:
        function: `module:function` within this package.
        settings: the part of the configuration that the stage depends on, for a rule's wildcards.
        user_code: names in the configuration that may refer to user-defined code that it runs.
        computes: whether the function takes a number of threads.
        cached: whether its results are kept in the run cache.
        shared: whether its results belong to all experiments, so that several runs may make them.
    """

    function: str
    settings: Settings
    user_code: Callable[[Plan, Wildcards], list[str]] = lambda plan, wildcards: []
    computes: bool = False
    cached: bool = False
    shared: bool = False

    @property
    def module(self) -> str:
        """The module of the function, whose code the fingerprint covers."""
        return self.function.partition(":")[0]

    def codes(self, plan: Plan) -> str | Callable[[Wildcards], str]:
        """The fingerprint of the code that the stage runs, taken now, as the param of its rule.

        It depends on the wildcards of data sets and of networks, each of which may be user-defined.

        Raises:
            FingerprintError: an import cannot be followed.
            ExtensionError: a user's file cannot be read.
        """
        if self is STAGES["dataset"]:
            known = {name: self.code(plan, {"dataset": name}) for name in plan.datasets}
            return lambda wildcards: known[wildcards["dataset"]]
        if self.user_code not in (slices.user_network, slices.user_criterion):
            return self.code(plan, {})
        bases = {model.net: {"base_id": str(model.base)} for model in plan.models}
        of = {tag: self.code(plan, wildcards) for tag, wildcards in bases.items()}
        return lambda wildcards: of[slices.setup_of(plan, wildcards).tag]

    def code(self, plan: Plan, wildcards: Wildcards) -> str:
        """The fingerprint of the code that the stage runs.

        Raises:
            FingerprintError: an import cannot be followed.
            ExtensionError: a user's file cannot be read.
        """
        return _code(self.module, tuple(references.files_of(*self.user_code(plan, wildcards))))


@functools.cache
def _code(module: str, own: tuple[str, ...]) -> str:
    return fingerprint(module, own=own)


_trains = functools.partial(Stage, user_code=slices.user_network, computes=True, cached=True)
STAGES: Mapping[str, Stage] = {
    "dataset": Stage(
        "data.build:dataset_stage",
        slices.dataset,
        lambda plan, wildcards: [plan.datasets[wildcards["dataset"]]["kind"]],
        shared=True,
    ),
    "train_base": _trains("training.base:train_base_stage", slices.train_base),
    "reorder": _trains("training.base:train_base_stage", slices.train_base),
    "relabel": _trains("training.base:train_base_stage", slices.relabel),
    "trunk": _trains("training.forks:trunk_stage", slices.train_base),
    "fork": _trains("training.forks:fork_stage", slices.train_base),
    "small": _trains("training.base:train_base_stage", slices.small),
    "plant": _trains("training.planted:planted_stage", slices.plant),
    "stop": _trains("training.stopped:stopped_stage", slices.stop),
    "adopt": Stage(
        "training.adopt:adopt_stage", slices.adopt, slices.user_network, computes=True, cached=True
    ),
    "untrained": Stage(
        "training.base:untrained_stage", slices.untrained, slices.user_network, computes=True
    ),
    "regularize": Stage(
        "training.walk:regularize_stage",
        slices.regularize,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "rank": Stage(
        "training.ranks:rank_stage", slices.rank, slices.user_network, computes=True, cached=True
    ),
    "prune": Stage("pruning:prune_stage", slices.prune, slices.user_criterion),
    "prune_at_random": Stage("pruning:random_stage", slices.prune_at_random),
    "retrain": Stage(
        "training.retrain:retrain_stage",
        slices.retrain,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "predict": Stage(
        "prediction.inference:predict_stage", slices.predict, slices.user_network, cached=True
    ),
    "score": Stage("findings.scores:score_stage", slices.score),
    "scores": Stage("findings.scores:collect_scores_stage", slices.named()),
    "compare": Stage(
        "measures.behaviour:compare_stage",
        slices.compare,
        lambda plan, wildcards: plan.user_measures,
    ),
    "compare_bases": Stage(
        "measures.behaviour:compare_block_stage",
        slices.compare_bases,
        lambda plan, wildcards: plan.user_measures,
    ),
    "similarity": Stage("measures.behaviour:collect_pairs_stage", slices.named()),
    "features": Stage(
        "prediction.features:features_stage", slices.predict, slices.user_network, cached=True
    ),
    "compare_features": Stage(
        "measures.representations:compare_representations_stage", slices.compare_features
    ),
    "layers": Stage(
        "prediction.layers:layers_stage", slices.layers, slices.user_network, cached=True
    ),
    "compare_layers": Stage("measures.layers:compare_layers_stage", slices.compare_features),
    "representations": Stage(
        "measures.representations:collect_representations_stage", slices.named("representation")
    ),
    "compare_masks": Stage(
        "measures.masks:compare_masks_stage",
        lambda plan, wildcards: {"models": slices.pair_of(wildcards)},
    ),
    "weights": Stage("measures.masks:collect_masks_stage", slices.named("overlap")),
    "symmetries": Stage(
        "networks.symmetries:symmetries_stage",
        lambda plan, wildcards: {"network": architecture(slices.setup_of(plan, wildcards))},
        slices.user_network,
    ),
    "units": Stage(
        "networks.unit_groups:unit_groups_stage",
        lambda plan, wildcards: {"network": architecture(slices.setup_of(plan, wildcards))},
        slices.user_network,
    ),
    "align": Stage(
        "alignment.stages:align_stage",
        lambda plan, wildcards: {"by": "weights", "restarts": 3, **slices.ORDERS},
        cached=True,
    ),
    "activations": Stage(
        "prediction.units:activations_stage", slices.activations, slices.user_network, cached=True
    ),
    "align_activations": Stage(
        "alignment.stages:align_stage",
        lambda plan, wildcards: {"by": "activations", "restarts": 1, **slices.ORDERS},
    ),
    "align_together": Stage("alignment.stages:align_together_stage", slices.together, cached=True),
    "align_through_frame": Stage(
        "alignment.stages:align_through_frame_stage",
        lambda plan, wildcards: {"by": wildcards["by"], "bases": slices.pair_of(wildcards)},
    ),
    "line": Stage(
        "inspection.lines:line_stage", slices.line, slices.user_network, computes=True, cached=True
    ),
    "plane": Stage(
        "inspection.plane:plane_stage",
        slices.plane,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "curve": Stage(
        "inspection.curve:curve_stage",
        slices.curve,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "bridge": Stage(
        "inspection.bridge:bridge_stage",
        slices.bridge,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "original_width": Stage(
        "inspection.original_width:original_width_stage",
        slices.bridge,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "judge_bridge": Stage(
        "findings.bridges:judge_bridge_stage",
        slices.judge_bridge,
        lambda plan, wildcards: plan.judged[:1],
    ),
    "transfer": Stage(
        "inspection.transfer:transfer_stage",
        slices.transfer,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "expose": Stage(
        "inspection.exposure:expose_stage",
        slices.expose,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    # Never from the run cache: times on another machine do not apply to this one.
    "time_exposed": Stage(
        "inspection.timing:timing_stage", slices.time_exposed, slices.user_network, computes=True
    ),
    "importance": Stage(
        "inspection.importance:importance_stage",
        slices.importance,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "match_importance": Stage("inspection.matched_units:match_importance_stage", slices.named()),
    "probe": Stage(
        "inspection.second_skeleton:probe_stage",
        slices.probe,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "sparsest": Stage(
        "inspection.sparsest:sparsest_stage",
        slices.sparsest,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "takeover": Stage(
        "inspection.takeover:takeover_stage",
        slices.takeover,
        slices.user_network,
        computes=True,
        cached=True,
    ),
    "heatmap_of_features": Stage("figures.stages:heatmap_stage", shown.heatmap_of_features),
    "heatmap_of_masks": Stage("figures.stages:heatmap_stage", shown.heatmap_of_masks),
    "verdict": Stage(
        "findings.judged:judge_stage",
        shown.verdict,
        lambda plan, wildcards: plan.judged,
    ),
    "findings": Stage(
        "findings.stage:findings_stage",
        shown.findings,
        lambda plan, wildcards: plan.judged,
    ),
    "figures": Stage(
        "figures.stages:figures_stage",
        shown.figures,
        lambda plan, wildcards: plan.judged,
    ),
    "inspection_figures": Stage(
        "figures.inspections:inspection_figures_stage", shown.inspection_figures
    ),
    "record": Stage("report.settings:record_stage", shown.record),
    "report": Stage(
        "report.stage:report_stage", slices.named(), lambda plan, wildcards: plan.user_measures
    ),
}
