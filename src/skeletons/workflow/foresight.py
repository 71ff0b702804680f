"""What can be known from the network alone, before anything trains.

A look that cannot be had does not fail a run: the findings, figures and report are made, and say
what is missing (`inspection.absence`). Here the user reads it before the run, not after hours. A
network that cannot be made, or whose units are to be aligned or removed and cannot be followed,
ends the run before it begins.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from skeletons.config.names import ALIGNED_INSPECTIONS, CRITERIA
from skeletons.config.networks import Setup
from skeletons.errors import (
    ArtifactError,
    ConfigError,
    DifferenceError,
    SkeletonsError,
    WiringError,
)
from skeletons.model_ids import Model
from skeletons.store import artifacts, provenance
from skeletons.user_code.packages import is_file
from skeletons.user_code.references import PACKAGES, is_reference
from skeletons.workflow import checkpoints
from skeletons.workflow.architecture import trained_from
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES

MEMORY = Path("results/.foreseen")  # answers by everything that they depend on
KEPT = 100  # of them
Look = Callable[[Mapping[str, Any]], str]  # why a network, as in a model.json, cannot be had
CLASSES = 10  # of a network whose images do not exist yet; how channels flow hardly depends on them


def absent_looks(plan: Plan) -> str:
    """What a network that is not built in keeps from being looked at; empty if nothing.

    The network is built and tried with random weights. Its code is not run again until it
    changes, so a start with nothing to do does not import torch.
    """
    wanted = [key for key in LOOKS if getattr(plan.config.inspect, key)]
    first = {variant.net: variant for variant in reversed(plan.variants)}
    every = (_absent(plan, variant, wanted) for variant in first.values())
    return "\n".join(sentence for one in every for sentence in one)


def _absent(plan: Plan, variant: Model, wanted: Sequence[str]) -> Iterator[str]:
    """One sentence for each reason why looks at the network of a variant cannot be had."""
    setup = plan.setup_of(variant)
    network = setup.network
    if not _is_foreign(network.name):
        return
    reasons = {key: _remembered(key, plan, setup, LOOKS[key]) for key in wanted}
    for reason in dict.fromkeys(filter(None, reasons.values())):
        keys = [f"`inspect.{key}`" for key in wanted if reasons[key] == reason]
        them = "it" if len(keys) == 1 else "them"
        yield (
            f"{' and '.join(keys)} will not be available for {network.name}, and all else is made "
            f"without {them}: {reason}"
        )


def demand_network(plan: Plan) -> None:
    """Refuse a network that cannot be made or run, and one whose units are needed but unknown.

    How many classes a data set has may not be known yet. Then a user-defined network is tried by
    the first job that trains it.

    Raises:
        ConfigError: it cannot be made or run, or its units cannot be aligned or removed.
    """
    for setup in plan.setups.values():
        _demand(plan, setup)


def demand_layers(plan: Plan) -> None:
    """Check that the networks have the layers that are to be compared.

    This builds the networks, so it imports torch, if layers are named.

    Raises:
        ConfigError: one has no layer of a name.
        ExtensionError: a user-defined network cannot be used.
    """
    names = plan.config.inspect.layer_names
    if plan.config.inspect.layers and names:
        from skeletons.networks.build import rebuild
        from skeletons.prediction.layers import chosen

        for setup in plan.setups.values():
            chosen(rebuild(_about(plan, setup)), names)


def _demand(plan: Plan, setup: Setup) -> None:
    name, needing = setup.network.name, _aligning(plan, setup)
    if name.startswith(PACKAGES) or (
        is_reference(name) and checkpoints.count_of_classes(plan) is not None
    ):
        given = trained_from(setup) if is_file(setup.network.weights) else {}
        if reason := _remembered("untrained", plan, setup, _not_made, given):
            raise ConfigError(re.sub(r"^network\.", f"{setup.key}.", reason))
    if _is_foreign(name):
        _demand_groups(plan, setup)
    if not (_is_foreign(name) and needing):
        return
    key, found, allowed = needing
    if reason := _remembered("symmetries", plan, setup, _not_aligned):
        raise ConfigError(
            f"{key}: found {found}, which aligns the units of different bases; allowed: {allowed}, "
            f"because this cannot be done for {name!r}: {reason}"
        )
    if not _by_activations(plan):
        return
    if reason := _remembered("activations", plan, setup, _not_seen):
        if plan.config.alignment.match == "activations":
            key, found, allowed = "alignment.match", "'activations'", "weights"
        raise ConfigError(
            f"{key}: found {found}, which aligns units by their activations; allowed: {allowed}, "
            f"because this cannot be done for {name!r}: {reason}"
        )


def _by_activations(plan: Plan) -> bool:
    """Whether units are aligned by their activations; lines are measured in both ways."""
    return plan.config.alignment.match == "activations" or plan.config.inspect.lines


def _demand_groups(plan: Plan, setup: Setup) -> None:
    """Refuse keys that need to know the units of a network, if its channels cannot be followed."""
    keys = []
    if setup.regularize.groups == "units":
        keys += [("regularize.groups: found 'units', which removes whole units", "weights")]
    if setup.prune.criterion == "counterfactual":
        found = "prune.criterion: found 'counterfactual', which silences units one by one"
        keys += [(found, ", ".join(CRITERIA[:-1]))]
    if keys and (reason := _remembered("units", plan, setup, _not_grouped)):
        where = "" if setup.tag is None else f"networks.{setup.tag}."
        found, allowed = keys[0]
        raise ConfigError(
            f"{where}{found}; allowed: {allowed}, because this cannot be done for "
            f"{setup.network.name!r}: {reason}"
        )


def _is_foreign(name: str) -> bool:
    return is_reference(name) or name.startswith(PACKAGES)


def _aligning(plan: Plan, setup: Setup) -> tuple[str, str, str] | None:
    """The first key that aligns units, its value, and the value without it; None for none."""
    config = plan.config
    if len({model.base for model in plan.models if model.net == setup.tag}) < 2:
        return None
    if "mask_overlap_aligned" in config.compare.weights:
        return "compare.weights", "'mask_overlap_aligned'", "mask_overlap"
    looks = (key for key in ALIGNED_INSPECTIONS if getattr(config.inspect, key))
    key = next(looks, None) if plan.variants else None
    return None if key is None else (f"inspect.{key}", "true", "false")


def _remembered(
    stage: str, plan: Plan, setup: Setup, look: Look, given: Mapping[str, Any] | None = None
) -> str:
    """Why something cannot be had; empty if it can. It is found out once for a network's code."""
    about, known = {**_about(plan, setup), **(given or {})}, _recall()
    base = next(str(model.base) for model in plan.models if model.net == setup.tag)
    key = _digest(STAGES[stage].code(plan, {"base_id": base}), stage, about)
    if key not in known:
        known[key] = look(about)
        _keep(known)
    return known[key]


def _about(plan: Plan, setup: Setup) -> dict[str, Any]:
    """What a network is built from, as in a model.json."""
    network = setup.network
    return {
        "name": network.name,
        "width": network.width,
        "options": network.options,
        "classes": _classes(plan),
        "image_shape": [plan.form.channels, plan.form.side, plan.form.side],
    }


def _fault(attempt: Callable[[], object]) -> str:
    """Why an attempt with a network fails, if its channels or units cannot be followed; or empty.

    Other errors end the first job that runs the network, such as a mistake in the user's code.
    """
    try:
        attempt()
    except (WiringError, DifferenceError) as error:
        return str(error)
    except SkeletonsError:
        return ""
    return ""


def _not_exposed(about: Mapping[str, Any]) -> str:
    from skeletons.inspection import exposure  # with torch
    from skeletons.networks.build import rebuild

    return _fault(lambda: exposure.check(rebuild(about)))


def _not_traced(about: Mapping[str, Any]) -> str:
    from skeletons.networks import channels  # with torch
    from skeletons.networks.build import rebuild
    from skeletons.networks.image_shape import of_network

    def trace() -> None:
        network = rebuild(about)
        channels.trace(network.get_submodule("body"), of_network(network))

    return _fault(trace)


def _not_bridged(about: Mapping[str, Any]) -> str:
    from skeletons.networks import side_by_side  # with torch
    from skeletons.networks.build import rebuild

    return _fault(lambda: side_by_side.check(rebuild(about)))


# Looks whose channels are traced, by the key of `inspect`, which is the name of their stage.
LOOKS: dict[str, Look] = {
    "expose": _not_exposed,
    "importance": _not_traced,
    "bridge": _not_bridged,
}


def _not_made(about: Mapping[str, Any]) -> str:
    from skeletons.networks.build import build  # with torch
    from skeletons.networks.image_shape import of_summary

    shape = of_summary(about)
    try:
        build(
            about["name"],
            about["width"],
            about["classes"],
            [0.0] * shape[0],
            [1.0] * shape[0],
            options=about["options"],
            weights=about.get("weights"),
            image_shape=shape,
        )
    except SkeletonsError as error:
        return str(error)
    return ""


def _not_aligned(about: Mapping[str, Any]) -> str:
    from skeletons.networks import symmetries  # with torch

    return _fault(lambda: symmetries.of(about))


def _not_grouped(about: Mapping[str, Any]) -> str:
    from skeletons.networks import unit_groups  # with torch

    return _fault(lambda: unit_groups.of(about))


def _not_seen(about: Mapping[str, Any]) -> str:
    from skeletons.networks import symmetries  # with torch
    from skeletons.networks.build import rebuild
    from skeletons.prediction import units

    def see() -> None:
        network = rebuild(about)
        units.try_on_blank_images(network, symmetries.find(network))

    return _fault(see)


def _classes(plan: Plan) -> int:
    return checkpoints.count_of_classes(plan) or CLASSES


def _digest(code: str, stage: str, about: Mapping[str, Any]) -> str:
    name = str(about["name"])
    package = metadata.version(name.partition(":")[0]) if name.startswith(PACKAGES) else ""
    known = [code, stage, about, package, provenance.versions()]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:32]


def _recall() -> dict[str, str]:
    try:
        found = json.loads(MEMORY.read_text(encoding="utf-8"))
        return {str(key): str(reason) for key, reason in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _keep(known: dict[str, str]) -> None:
    """Keep the newest answers; without them, the next start looks again."""
    with contextlib.suppress(ArtifactError):
        artifacts.write_text(MEMORY, json.dumps(dict(list(known.items())[-KEPT:]), indent=1))
