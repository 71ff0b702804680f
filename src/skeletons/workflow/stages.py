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

from skeletons import model_ids
from skeletons.config.datasets import CHANNELS, SIDE, location_keys
from skeletons.config.networks import Setup
from skeletons.model_ids import Model
from skeletons.store.fingerprint import fingerprint
from skeletons.user_code import references
from skeletons.workflow import exchange, retraining, shown
from skeletons.workflow.architecture import architecture, trained_from
from skeletons.workflow.control_models import planted_epochs
from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]
Settings = Callable[[Plan, Wildcards], dict[str, Any]]
TOLERANCE = 0.02  # of accuracy that a skeleton may lose, as in the findings
TIMED_BATCH = 500  # images in a batch when inference is timed
MATCHED_IMAGES = 1_000  # training images whose activations are matched
ORDERS = {"seed": 0}  # in which groups of units are visited


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
        if self.user_code not in (_network, _criterion):
            return self.code(plan, {})
        bases = {model.net: {"base_id": str(model.base)} for model in plan.models}
        of = {tag: self.code(plan, wildcards) for tag, wildcards in bases.items()}
        return lambda wildcards: of[_setup(plan, wildcards).tag]

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


# --- slices of the configuration ------------------------------------------------------------------


def _numbers(wildcards: Wildcards) -> dict[str, int | float]:
    """The wildcards that are parts of a model id, as numbers; those of its root by one number."""
    base = {"seed": Model.parse(wildcards["base_id"]).number} if "base_id" in wildcards else {}
    return {**base, **model_ids.numbers(wildcards)}


def _setup(plan: Plan, wildcards: Wildcards) -> Setup:
    """The network of a rule's model, or of the first of its two models."""
    if "net" in wildcards:
        return plan.setup_of_net(wildcards["net"])
    named = (wildcards[key] for key in ("base_id", "model", "a") if key in wildcards)
    model = next(named, None)
    if model is None:  # one network has this look, see `Plan.first_bases`
        return plan.setup_of(plan.first_bases()[0][0] if plan.first_bases() else plan.models[0])
    return plan.setup_of(model)


def _machine(plan: Plan) -> dict[str, Any]:
    """The device and the precision of a stage that trains."""
    return {"device": plan.config.compute.device, "precision": plan.config.compute.precision}


def _network(plan: Plan, wildcards: Wildcards) -> list[str]:
    return [_setup(plan, wildcards).network.name]


def _criterion(plan: Plan, wildcards: Wildcards) -> list[str]:
    return [_setup(plan, wildcards).prune.criterion]


def _pair(wildcards: Wildcards) -> list[str]:
    return [wildcards["a"], wildcards["b"]]


def _base_settings(setup: Setup) -> dict[str, Any]:
    return setup.base.model_dump(exclude={"seeds", "target"})


def _walk_settings(setup: Setup) -> dict[str, Any]:
    return setup.regularize.model_dump(exclude={"lambdas", "epochs"})


def _dataset(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    name = wildcards["dataset"]
    spec, data_root = plan.datasets[name], plan.download_folder(name)
    form = {
        key: value
        for key, value, usual in (
            ("side", plan.form.side, SIDE),
            ("channels", plan.form.channels, CHANNELS),
        )
        if value != usual and not plan.source_of(name)
    }
    if name not in plan.files:
        return {"spec": spec, "data_root": data_root, **form}
    # Which files there are decides, not where: they may be moved. A name is in the id.
    unused = ("name", *location_keys(spec["kind"]))
    spec = {key: value for key, value in spec.items() if key not in unused}
    return {"spec": spec, "data_root": data_root, **form, "files": plan.files[name]}


def _train_base(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    setup = _setup(plan, wildcards)
    return {
        **_numbers(wildcards),
        "network": trained_from(setup),
        "base": _base_settings(setup),
        **_machine(plan),
    }


def _plant(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    found = _train_base(plan, wildcards)
    return {**found, "last": planted_epochs(found["base"]["epochs"])}


def _relabel(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**_train_base(plan, wildcards), "labels": True}


def _small(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The small network of planted ones: a base of another width, of the first seed."""
    setup = _setup(plan, wildcards)
    first = f"net={setup.tag}_seed=" if setup.tag else "seed="
    found = _train_base(plan, {"base_id": f"{first}{setup.base.seeds[0]}"})
    return {**found, "network": {**found["network"], "width": int(wildcards["width"])}}


def _adopt(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    network = _setup(plan, wildcards).network
    return {
        "name": wildcards["base_id"],
        "network": architecture(_setup(plan, wildcards)),
        "mean": network.mean,
        "std": network.std,
        "outputs": network.classes,
        "accuracy": network.accuracy,
        "digest": plan.digests[plan.checkpoint_of(wildcards["base_id"])],
        "device": plan.config.compute.device,
    }


def _untrained(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        **_numbers(wildcards),
        "network": trained_from(_setup(plan, wildcards)),
        "device": plan.config.compute.device,
    }


def _regularize(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    numbers = _numbers(wildcards)
    base = Model.parse(wildcards["base_id"])
    parent = base.of(l1=numbers["l1"], epochs=int(numbers["epochs"])).parent
    return {
        **numbers,
        "after": parent.epochs or 0,
        "regularize": _walk_settings(_setup(plan, wildcards)),
        **_machine(plan),
    }


def _stop(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The recipe of the pruned model is none of the settings: its files are inputs."""
    return _train_base(plan, {"base_id": wildcards["base_id"]})


def _prune(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    chosen = _setup(plan, wildcards).prune
    if "density" in wildcards:
        return {"density": float(wildcards["density"]), "criterion": chosen.criterion}
    return {
        "threshold": float(wildcards["threshold"]),
        "scale": chosen.scale,
        "criterion": chosen.criterion,
    }


def _rank(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"criterion": wildcards["criterion"], "device": plan.config.compute.device}


def _prune_at_random(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The id of the control names its random numbers."""
    return {"name": str(Model.parse(wildcards["base_id"]).of(**model_ids.numbers(wildcards)))}


def _predict(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "images": plan.images_of(wildcards["dataset"]),
        "device": plan.config.compute.device,
    }


def _score(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    target = _setup(plan, wildcards).base.target.model_dump()
    return {"model": wildcards["model"], "target": target}


def _compare(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"models": _pair(wildcards), **_compare_bases(plan, wildcards)}


def _compare_bases(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    ood = wildcards["ood"]
    return {"ood": ood, "measures": plan.user_measures, "labelled": ood in plan.labelled}


def _compare_features(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "representation": wildcards["representation"],
        "ood": wildcards["ood"],
        "models": _pair(wildcards),
        "permutations": plan.config.compare.permutations,
    }


def _layers(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**_predict(plan, wildcards), "names": plan.config.inspect.layer_names}


def _measured(plan: Plan) -> dict[str, Any]:
    """The images, the precision and the device for measuring a loss between models."""
    images = plan.config.inspect.images
    return {
        "measured": {
            "images": images,
            "norm_images": images,
            "precision": "fp32",
        },
        "device": plan.config.compute.device,
    }


def _activations(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"images": MATCHED_IMAGES, "device": plan.config.compute.device}


def _together(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    bases = plan.bases_of(wildcards["net"])
    return {"by": wildcards["by"], "bases": [str(base) for base in bases], **ORDERS}


def _line(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"points": plan.config.inspect.points, **_measured(plan)}


def _plane(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    models = plan.plane_models()
    return {
        "models": [str(model) for model in models],
        "aligned": [str(model) for model in models if model.base != models[0]],
        "points": plan.config.inspect.grid,
        "margin": 0.2,
        **_measured(plan),
    }


def _curve(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "seed": Model.parse(wildcards["a"]).number,
        "base": {**_base_settings(_setup(plan, wildcards)), "epochs": plan.config.inspect.epochs},
        "points": plan.config.inspect.points,
        **_measured(plan),
        "precision": plan.config.compute.precision,
    }


def _transfer(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**_train_base(plan, wildcards), "mask": wildcards["mask"]}


def _expose(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"images": plan.config.inspect.images}


def _time_exposed(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "batch": min(plan.config.inspect.images, TIMED_BATCH),
        "repeats": 10,
        "device": plan.config.compute.device,
    }


def _importance(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"images": plan.config.inspect.images, "device": plan.config.compute.device}


def _probe(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        **_numbers(wildcards),
        "epochs": plan.config.inspect.epochs,
        # How finely walks are recorded, and their room, change no probe.
        "regularize": {**_walk_settings(_setup(plan, wildcards)), "trace": 0, "room": None},
        "tolerance": TOLERANCE,
        **_machine(plan),
    }


def _named(*names: str) -> Settings:
    """The settings that have the name of a wildcard."""
    return lambda plan, wildcards: {name: wildcards[name] for name in names}


# --- the table ------------------------------------------------------------------------------------

_trains = functools.partial(Stage, user_code=_network, computes=True, cached=True)
STAGES: Mapping[str, Stage] = {
    "dataset": Stage(
        "data.build:dataset_stage",
        _dataset,
        lambda plan, wildcards: [plan.datasets[wildcards["dataset"]]["kind"]],
        shared=True,
    ),
    "train_base": _trains("training.base:train_base_stage", _train_base),
    "reorder": _trains("training.base:train_base_stage", _train_base),
    "relabel": _trains("training.base:train_base_stage", _relabel),
    "trunk": _trains("training.forks:trunk_stage", _train_base),
    "fork": _trains("training.forks:fork_stage", _train_base),
    "small": _trains("training.base:train_base_stage", _small),
    "plant": _trains("training.planted:planted_stage", _plant),
    "stop": _trains("training.stopped:stopped_stage", _stop),
    "adopt": Stage("training.adopt:adopt_stage", _adopt, _network, computes=True, cached=True),
    "untrained": Stage("training.base:untrained_stage", _untrained, _network, computes=True),
    "regularize": Stage(
        "training.walk:regularize_stage", _regularize, _network, computes=True, cached=True
    ),
    "rank": Stage("training.ranks:rank_stage", _rank, _network, computes=True, cached=True),
    "prune": Stage("pruning:prune_stage", _prune, _criterion),
    "prune_at_random": Stage("pruning:random_stage", _prune_at_random),
    "retrain": Stage(
        "training.retrain:retrain_stage", retraining.retrain, _network, computes=True, cached=True
    ),
    "predict": Stage("prediction.inference:predict_stage", _predict, _network, cached=True),
    "score": Stage("findings.scores:score_stage", _score),
    "compare": Stage(
        "measures.behaviour:compare_stage", _compare, lambda plan, wildcards: plan.user_measures
    ),
    "compare_bases": Stage(
        "measures.behaviour:compare_block_stage",
        _compare_bases,
        lambda plan, wildcards: plan.user_measures,
    ),
    "similarity": Stage("measures.behaviour:collect_pairs_stage", _named()),
    "features": Stage("prediction.features:features_stage", _predict, _network, cached=True),
    "compare_features": Stage(
        "measures.representations:compare_representations_stage", _compare_features
    ),
    "layers": Stage("prediction.layers:layers_stage", _layers, _network, cached=True),
    "compare_layers": Stage("measures.layers:compare_layers_stage", _compare_features),
    "representations": Stage(
        "measures.representations:collect_representations_stage", _named("representation")
    ),
    "compare_masks": Stage(
        "measures.masks:compare_masks_stage",
        lambda plan, wildcards: {"models": _pair(wildcards)},
    ),
    "weights": Stage("measures.masks:collect_masks_stage", _named("overlap")),
    "symmetries": Stage(
        "networks.symmetries:symmetries_stage",
        lambda plan, wildcards: {"network": architecture(_setup(plan, wildcards))},
        _network,
    ),
    "align": Stage(
        "alignment.stages:align_stage",
        lambda plan, wildcards: {"by": "weights", "restarts": 3, **ORDERS},
        cached=True,
    ),
    "activations": Stage("prediction.units:activations_stage", _activations, _network, cached=True),
    "align_activations": Stage(
        "alignment.stages:align_stage",
        lambda plan, wildcards: {"by": "activations", "restarts": 1, **ORDERS},
    ),
    "align_together": Stage("alignment.stages:align_together_stage", _together, cached=True),
    "align_through_frame": Stage(
        "alignment.stages:align_through_frame_stage",
        lambda plan, wildcards: {"by": wildcards["by"], "bases": _pair(wildcards)},
    ),
    "line": Stage("inspection.lines:line_stage", _line, _network, computes=True, cached=True),
    "plane": Stage("inspection.plane:plane_stage", _plane, _network, computes=True, cached=True),
    "curve": Stage("inspection.curve:curve_stage", _curve, _network, computes=True, cached=True),
    "bridge": Stage(
        "inspection.bridge:bridge_stage", exchange.bridge, _network, computes=True, cached=True
    ),
    "original_width": Stage(
        "inspection.original_width:original_width_stage",
        exchange.bridge,
        _network,
        computes=True,
        cached=True,
    ),
    "judge_bridge": Stage(
        "findings.bridges:judge_bridge_stage",
        exchange.judge_bridge,
        lambda plan, wildcards: plan.judged[:1],
    ),
    "transfer": Stage(
        "inspection.transfer:transfer_stage", _transfer, _network, computes=True, cached=True
    ),
    "expose": Stage(
        "inspection.exposure:expose_stage", _expose, _network, computes=True, cached=True
    ),
    # Never from the run cache: times on another machine do not apply to this one.
    "time_exposed": Stage("inspection.timing:timing_stage", _time_exposed, _network, computes=True),
    "importance": Stage(
        "inspection.importance:importance_stage", _importance, _network, computes=True, cached=True
    ),
    "match_importance": Stage("inspection.matched_units:match_importance_stage", _named()),
    "probe": Stage(
        "inspection.second_skeleton:probe_stage", _probe, _network, computes=True, cached=True
    ),
    "sparsest": Stage(
        "inspection.sparsest:sparsest_stage",
        retraining.sparsest,
        _network,
        computes=True,
        cached=True,
    ),
    "heatmap_of_features": Stage("figures.stages:heatmap_stage", shown.heatmap_of_features),
    "heatmap_of_masks": Stage("figures.stages:heatmap_stage", shown.heatmap_of_masks),
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
        "report.stage:report_stage", _named(), lambda plan, wildcards: plan.user_measures
    ),
}
