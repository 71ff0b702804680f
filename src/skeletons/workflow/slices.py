"""Slices of the configuration: what each stage depends on, for the wildcards of its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skeletons import model_ids
from skeletons.config.datasets import CHANNELS, SIDE, location_keys
from skeletons.config.networks import Setup
from skeletons.model_ids import Model
from skeletons.workflow.architecture import architecture, trained_from
from skeletons.workflow.control_models import planted_epochs
from skeletons.workflow.plan import Plan

Wildcards = Mapping[str, str]
Settings = Callable[[Plan, Wildcards], dict[str, Any]]
SMALL_SEED = 1  # of the small network that is laid into planted ones
TIMED_BATCH = 500  # images in a batch when inference is timed
MATCHED_IMAGES = 1_000  # training images whose activations are matched
ORDERS = {"seed": 0}  # in which groups of units are visited
STRIDE = 0.025  # longest step, as a share of the norm of the weights
USED = {"optimizer", "learning_rate", "momentum", "batch_size", "augment"}  # of `regularize`


def numbers_of(wildcards: Wildcards) -> dict[str, int | float]:
    """The wildcards that are parts of a model id, as numbers; those of its root by one number."""
    base = {"seed": Model.parse(wildcards["base_id"]).number} if "base_id" in wildcards else {}
    return {**base, **model_ids.numbers(wildcards)}


def setup_of(plan: Plan, wildcards: Wildcards) -> Setup:
    """The network of a rule's model, or of the first of its two models."""
    if "net" in wildcards:
        return plan.setup_of_net(wildcards["net"])
    named = (wildcards[key] for key in ("base_id", "model", "a") if key in wildcards)
    model = next(named, None)
    if model is None:  # one network has this look, see `Plan.first_bases`
        return plan.setup_of(plan.first_bases()[0][0] if plan.first_bases() else plan.models[0])
    return plan.setup_of(model)


def machine_of(plan: Plan) -> dict[str, Any]:
    """The device and the precision of a stage that trains."""
    return {"device": plan.config.compute.device, "precision": plan.config.compute.precision}


def user_network(plan: Plan, wildcards: Wildcards) -> list[str]:
    return [setup_of(plan, wildcards).network.name]


def user_criterion(plan: Plan, wildcards: Wildcards) -> list[str]:
    return [setup_of(plan, wildcards).prune.criterion]


def pair_of(wildcards: Wildcards) -> list[str]:
    return [wildcards["a"], wildcards["b"]]


def base_settings(setup: Setup) -> dict[str, Any]:
    return setup.base.model_dump(exclude={"seeds", "target"})


def walk_settings(setup: Setup) -> dict[str, Any]:
    """Groups are left out for single weights: walks from before there were groups stay valid."""
    groups = setup.regularize.groups
    found = setup.regularize.model_dump(exclude={"lambdas", "epochs", "groups"})
    return found if groups == "weights" else {**found, "groups": groups}


def dataset(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
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


def train_base(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    setup = setup_of(plan, wildcards)
    return {
        **numbers_of(wildcards),
        "network": trained_from(setup),
        "base": base_settings(setup),
        **machine_of(plan),
    }


def plant(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    found = train_base(plan, wildcards)
    return {**found, "last": planted_epochs(found["base"]["epochs"])}


def relabel(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**train_base(plan, wildcards), "labels": True}


def small(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The small network of planted ones: a base of another width.

    Its seed is always the same, so that it does not depend on which bases there are.
    """
    found = train_base(plan, {"base_id": str(Model(SMALL_SEED, net=setup_of(plan, wildcards).tag))})
    return {**found, "network": {**found["network"], "width": int(wildcards["width"])}}


def adopt(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    network = setup_of(plan, wildcards).network
    return {
        "name": wildcards["base_id"],
        "network": architecture(setup_of(plan, wildcards)),
        "mean": network.mean,
        "std": network.std,
        "outputs": network.classes,
        "accuracy": network.accuracy,
        "digest": plan.digests[plan.checkpoint_of(wildcards["base_id"])],
        "device": plan.config.compute.device,
    }


def untrained(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        **numbers_of(wildcards),
        "network": trained_from(setup_of(plan, wildcards)),
        "device": plan.config.compute.device,
    }


def regularize(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    numbers = numbers_of(wildcards)
    base = Model.parse(wildcards["base_id"])
    parent = base.of(l1=numbers["l1"], epochs=int(numbers["epochs"])).parent
    return {
        **numbers,
        "after": parent.epochs or 0,
        "regularize": walk_settings(setup_of(plan, wildcards)),
        **machine_of(plan),
    }


def stop(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The recipe of the pruned model is none of the settings: its files are inputs."""
    return train_base(plan, {"base_id": wildcards["base_id"]})


def prune(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    chosen = setup_of(plan, wildcards).prune
    if "density" in wildcards:
        return {"density": float(wildcards["density"]), "criterion": chosen.criterion}
    return {
        "threshold": float(wildcards["threshold"]),
        "scale": chosen.scale,
        "criterion": chosen.criterion,
    }


def rank(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"criterion": wildcards["criterion"], "device": plan.config.compute.device}


def prune_at_random(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """The id of the control names its random numbers."""
    return {"name": str(Model.parse(wildcards["base_id"]).of(**model_ids.numbers(wildcards)))}


def predict(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "images": plan.images_of(wildcards["dataset"]),
        "device": plan.config.compute.device,
    }


def score(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    target = setup_of(plan, wildcards).base.target.model_dump()
    return {"model": wildcards["model"], "target": target}


def compare(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"models": pair_of(wildcards), **compare_bases(plan, wildcards)}


def compare_bases(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    ood = wildcards["ood"]
    return {"ood": ood, "measures": plan.user_measures, "labelled": ood in plan.labelled}


def compare_features(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "representation": wildcards["representation"],
        "ood": wildcards["ood"],
        "models": pair_of(wildcards),
        "permutations": plan.config.compare.permutations,
    }


def layers(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**predict(plan, wildcards), "names": plan.config.inspect.layer_names}


def measured(plan: Plan) -> dict[str, Any]:
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


def activations(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"images": MATCHED_IMAGES, "device": plan.config.compute.device}


def together(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    bases = plan.bases_of(wildcards["net"])
    return {"by": wildcards["by"], "bases": [str(base) for base in bases], **ORDERS}


def line(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"points": plan.config.inspect.points, **measured(plan)}


def plane(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    models = plan.plane_models()
    return {
        "models": [str(model) for model in models],
        "aligned": [str(model) for model in models if model.base != models[0]],
        "points": plan.config.inspect.grid,
        "margin": 0.2,
        **measured(plan),
    }


def curve(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "seed": Model.parse(wildcards["a"]).number,
        "base": {**base_settings(setup_of(plan, wildcards)), "epochs": plan.config.inspect.epochs},
        "points": plan.config.inspect.points,
        **measured(plan),
        "precision": plan.config.compute.precision,
    }


def transfer(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {**train_base(plan, wildcards), "mask": wildcards["mask"]}


def expose(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {"images": plan.config.inspect.images}


def time_exposed(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        "batch": min(plan.config.inspect.images, TIMED_BATCH),
        "repeats": 10,
        "device": plan.config.compute.device,
    }


def importance(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    looks = plan.config.inspect
    device = plan.config.compute.device
    return {"images": looks.images, "by": looks.importance_by, "device": device}


def probe(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    return {
        **numbers_of(wildcards),
        "epochs": plan.config.inspect.epochs,
        "regularize": _further(setup_of(plan, wildcards)),
        "tolerance": plan.config.findings.drop,
        **machine_of(plan),
    }


def takeover(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    setup = setup_of(plan, wildcards)
    room = setup.regularize.room
    return {
        "seed": Model.parse(wildcards["model"]).number,
        "epochs": plan.config.inspect.epochs,
        "room": plan.config.findings.loss_rise if room is None else room,
        "regularize": {**_further(setup), "penalty": "subgradient"},  # nothing is penalised
        **machine_of(plan),
    }


def _further(setup: Setup) -> dict[str, Any]:
    """How a regularised model is trained on: what only walks use changes nothing."""
    found = {**walk_settings(setup), "trace": 0, "room": None}
    found.pop("groups", None)
    return found


def named(*names: str) -> Settings:
    """The settings that have the name of a wildcard."""
    return lambda plan, wildcards: {name: wildcards[name] for name in names}


def retrain(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the retraining of a pruned model or a random control."""
    model = wildcards["model"]
    return {"model": model, **retraining(plan, plan.setup_of(model))}


def sparsest(plan: Plan, wildcards: Wildcards) -> dict[str, Any]:
    """Of the search for the sparsest skeleton of a base, in which models are retrained as well."""
    base, findings = wildcards["base_id"], plan.config.findings
    setup = plan.setup_of(base)
    return {
        "model": str(plan.variant_of(base).parent),
        "criterion": setup.prune.criterion,
        "rise": findings.loss_rise,
        "drop": findings.drop,
        **retraining(plan, setup),
    }


def retraining(plan: Plan, setup: Setup) -> dict[str, Any]:
    """How the weights that are left of a pruned model are trained on, without a penalty."""
    walk, chosen = setup.regularize.model_dump(include=USED), setup.prune
    rate = chosen.retrain_learning_rate or walk["learning_rate"]
    return {
        "epochs": chosen.retrain,
        "regularize": {**walk, "learning_rate": rate, "penalty": "subgradient", "trace": 0},
        "device": plan.config.compute.device,
        "precision": plan.config.compute.precision,
    }


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
