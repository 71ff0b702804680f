"""What can be known from the network alone, before anything trains: whether it can be exposed.

A look that cannot be had does not fail a run: the findings, figures and report are made, and say
what is missing (`inspection.absence`). Here the user reads it before the run, not after hours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from pathlib import Path

from skeletons.errors import ArtifactError, SkeletonsError, WiringError
from skeletons.store import artifacts, provenance
from skeletons.user_code.references import is_reference
from skeletons.workflow.plan import DATA, Plan
from skeletons.workflow.stages import STAGES

MEMORY = Path("results/.foreseen")  # answers by everything that they depend on
KEPT = 100  # of them
CLASSES = 10  # of a network whose images do not exist yet; how channels flow hardly depends on them


def absent_looks(plan: Plan) -> str:
    """What a user-defined network keeps from being looked at, in sentences; empty if nothing.

    The network is built and exposed with random weights. Its code is not run again until it
    changes, so a start with nothing to do does not import torch.
    """
    network = plan.config.network
    if not (plan.variants and plan.config.inspect.expose and is_reference(network.name)):
        return ""
    classes = _classes(plan)
    known = _recall()
    key = _digest(STAGES["expose"].code(plan, {}), network.width, classes)
    if key not in known:
        known[key] = _reason(network.name, network.width, classes)
        _keep(known)
    if not known[key]:
        return ""
    return (
        f"`inspect.expose` will not be available for {network.name}, and all else is made without "
        f"it: {known[key]}"
    )


def _reason(name: str, width: int, classes: int) -> str:
    """Why a network cannot be exposed; empty if it can, or if its job has to say what is wrong."""
    from skeletons.inspection import exposure  # with torch
    from skeletons.networks.build import build

    try:
        exposure.check(build(name, width, classes, [0.0] * 3, [1.0] * 3))
    except WiringError as error:
        return str(error)
    except SkeletonsError:
        return ""  # such as a mistake in the user's code, which ends the first job that runs it
    return ""


def _classes(plan: Plan) -> int:
    """The number of classes of the task, if its images exist."""
    with contextlib.suppress(ArtifactError):
        return len(artifacts.read_json(f"{DATA}/{plan.task}/info.json", ["classes"])["classes"])
    return CLASSES


def _digest(code: str, width: int, classes: int) -> str:
    known = [code, width, classes, provenance.versions()]
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
