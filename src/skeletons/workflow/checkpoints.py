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

from skeletons import image_folders, text
from skeletons.config.datasets import Cifar10, FashionMnist, Mnist, Shapes, Svhn
from skeletons.config.networks import Setup
from skeletons.data.files import Form
from skeletons.errors import ArtifactError, CheckpointError, DataError, ExtensionError
from skeletons.store import artifacts, provenance
from skeletons.store.fingerprint import fingerprint
from skeletons.user_code import references

if TYPE_CHECKING:
    from skeletons.workflow.plan import Plan

MEMORY = Path("results/.checkpoints.json")
OF_TEN = (Shapes, Cifar10, Mnist, FashionMnist, Svhn)  # data sets of ten classes


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
    classes, count = classes_of(plan), count_of_classes(plan)
    for setup in plan.setups.values():
        if problem := _unnamed(setup, classes):
            problems.append(problem)
            continue
        code = fingerprint("training.adopt", own=references.files_of(setup.network.name))
        about = setup.network.model_dump(include={"name", "width", "options", "classes"})
        faults: dict[str, list[str]] = {}  # files by why they do not fit
        for path in setup.checkpoints.values():
            form = (plan.form.side, plan.form.channels)
            fit = [code, json.dumps(about, sort_keys=True), classes, count, *form]
            if path not in known:
                known[path] = _digest(path, known)
            facts = known[path]
            if fit in facts["fits"]:
                continue
            tried = True
            try:
                _try(setup, path, count, plan.form)
            except CheckpointError as error:
                faults.setdefault(str(error).removeprefix(f"{path}: "), []).append(path)
            else:
                facts["fits"].append(fit)
        problems += [_sentence(setup, reason, paths) for reason, paths in faults.items()]
    if tried:
        _keep(known)
    if problems:
        raise CheckpointError("\n".join(problems))


def _sentence(setup: Setup, reason: str, paths: list[str]) -> str:
    """Why files do not fit, once."""
    first, *others = paths
    more = f" The same holds for {text.listed(others)}." if others else ""
    return f"{setup.key}.checkpoints: {first}: {reason}{more}"


def _unnamed(setup: Setup, classes: list[str] | None) -> str:
    """That a class of the data set is none of the models' outputs; empty if all are known."""
    if classes is None or setup.network.classes is None:
        return ""
    from skeletons.training.adopt import order_of  # imports torch

    try:
        order_of(setup.network.classes, classes)
    except CheckpointError as error:
        return f"{setup.key}.{error}"
    return ""


def _try(setup: Setup, path: str, count: int | None, form: Form) -> None:
    """Fit a file to its network.

    Raises:
        CheckpointError: it does not fit.
    """
    from skeletons.networks import state_dict  # imports torch
    from skeletons.training import checkpoints
    from skeletons.training.adopt import adopted

    about = setup.network.model_dump(include={"name", "width", "options"})
    scale = ([0.0] * form.channels, [1.0] * form.channels)
    shape = (form.channels, form.side, form.side)

    def problem(classes: int) -> CheckpointError | None:
        try:
            adopted(path, {**about, "classes": classes}, *scale, shape)
        except CheckpointError as error:
            return error
        return None

    def outputs() -> list[int]:
        return checkpoints.outputs(state_dict.read(path))

    named = len(setup.network.classes or ())
    # How many outputs there must be may be known only once the data set is made.
    given = named or count
    wanted, errors = [given] if given else outputs(), []
    for classes in wanted:
        if (error := problem(classes)) is None:
            return
        errors.append(error)
    for classes in set(outputs()) - set(wanted):
        # A user's network need not be one for this number of classes.
        with contextlib.suppress(ExtensionError):
            if problem(classes):
                continue
            of = "`classes` names" if named else "the data set has"
            raise CheckpointError(
                f"{path}: found {classes} outputs, but {of} {wanted[0]} classes; allowed: a model "
                f"of {wanted[0]} classes, or all classes of its outputs, in order, in "
                f"{setup.key}.classes."
            )
    raise errors[0]


def count_of_classes(plan: Plan) -> int | None:
    """The number of classes of the task, if it is known before its data set is made."""
    known = classes_of(plan)
    if known is None and isinstance(plan.config.dataset, OF_TEN):
        return 10
    return None if known is None else len(known)


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
