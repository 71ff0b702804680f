"""The models that users bring, as files: what they hold, and whether their networks can take them.

Both are found when the rules are read, before anything runs. Reading a file takes seconds, so what
was found is remembered in `results/.checkpoints.json`, and only a file that has changed is read
again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeletons import image_folders
from skeletons.config.networks import Setup
from skeletons.data.files import Form
from skeletons.errors import ArtifactError, CheckpointError, DataError
from skeletons.store import artifacts, provenance
from skeletons.store.fingerprint import fingerprint
from skeletons.user_code import references

if TYPE_CHECKING:
    from skeletons.workflow.plan import Plan

MEMORY = Path("results/.checkpoints.json")


def digests(setups: Iterator[Setup]) -> dict[str, str]:
    """SHA-256 of every checkpoint by its path.

    Raises:
        CheckpointError: a file does not exist or cannot be read.
    """
    paths = [path for setup in setups for path in setup.checkpoints.values()]
    if not paths:
        return {}
    known = _recall()
    found = {path: _digest(path, known) for path in paths}
    if any(known.get(path) != facts for path, facts in found.items()):
        _keep({**known, **found})
    return {path: facts["digest"] for path, facts in found.items()}


def _digest(path: str, known: Mapping[str, Any]) -> dict[str, Any]:
    try:
        status = Path(path).stat()
        facts = {"bytes": status.st_size, "time": status.st_mtime_ns}
        before = known.get(path, {})
        if {key: before.get(key) for key in facts} == facts:
            return dict(before)
        return {**facts, "digest": provenance.file_digest(path), "fits": []}
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error.strerror or error}; allowed: a file of weights."
        ) from None
    except ArtifactError as error:
        raise CheckpointError(str(error)) from None


def check(plan: Plan) -> None:
    """Check that every checkpoint fits its network, before anything runs.

    Args:
        plan: of the experiment.

    Raises:
        CheckpointError: the sentences of all files that do not fit, one per line.
    """
    if not plan.digests:
        return
    known, problems, tried = _recall(), [], False
    classes = classes_of(plan)
    for setup in plan.setups.values():
        code = fingerprint("training.adopt", own=references.files_of(setup.network.name))
        about = setup.network.model_dump(include={"name", "width", "options", "classes"})
        for path in setup.checkpoints.values():
            form = (plan.form.side, plan.form.channels)
            fit = [code, json.dumps(about, sort_keys=True), classes, *form]
            facts = known.setdefault(path, _digest(path, {}))
            if fit in facts["fits"]:
                continue
            tried = True
            try:
                _try(setup, path, classes, plan.form)
            except CheckpointError as error:
                problems.append(f"{setup.key}.checkpoints: {error}")
            else:
                facts["fits"].append(fit)
    if tried:
        _keep(known)
    if problems:
        raise CheckpointError("\n".join(dict.fromkeys(problems)))  # one may hold for all files


def _try(setup: Setup, path: str, classes: list[str] | None, form: Form) -> None:
    from skeletons.networks import state_dict  # imports torch
    from skeletons.training import checkpoints
    from skeletons.training.adopt import adopted, order_of

    outputs = setup.network.classes
    if classes is not None:
        order_of(outputs, classes)
    # How many outputs there must be may be known only once the data set is made.
    count = len(outputs or classes or ())
    counts = [count] if count else checkpoints.outputs(state_dict.read(path))
    about = setup.network.model_dump(include={"name", "width", "options"})
    scale = ([0.0] * form.channels, [1.0] * form.channels)
    shape = (form.channels, form.side, form.side)
    problems = []
    for count in counts:
        try:
            adopted(path, {**about, "classes": count}, *scale, shape)
            return
        except CheckpointError as error:
            problems.append(error)
    raise problems[0]


def classes_of(plan: Plan) -> list[str] | None:
    """The classes of the task, if they are known before its data set is made."""
    with contextlib.suppress(ArtifactError):
        return list(artifacts.read_json(plan.info(plan.task), ["classes"])["classes"])
    folder = plan.where(plan.task).get("path")
    if folder is not None:
        with contextlib.suppress(DataError):
            return list(image_folders.layout(Path(folder)).classes)
    return None


def _recall() -> dict[str, Any]:
    try:
        found = json.loads(MEMORY.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(known: Mapping[str, Any]) -> None:
    """Remember what was found; without it, the next start finds it again."""
    with contextlib.suppress(ArtifactError, OSError):
        MEMORY.parent.mkdir(parents=True, exist_ok=True)
        artifacts.write_text(MEMORY, json.dumps(known))
