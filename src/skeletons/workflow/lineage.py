"""The lineage of every artifact: its identity by the configuration.

A lineage is a digest of the stage that makes an artifact, of that stage's settings, and of the
lineages of its inputs. It is computed from the plan alone, without reading any file. An artifact
with another lineage was made from other settings, so its readers refuse it.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from skeletons import model_ids
from skeletons.model_ids import Model
from skeletons.store.provenance import lineage_of, origin_of
from skeletons.workflow.model_files import CUT, PRUNED
from skeletons.workflow.plan import DATA, Plan
from skeletons.workflow.reads import MADE, Wildcards, of_data
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets

_TRAINERS = {  # the stage that makes a model in each state
    model_ids.BASE: "train_base",
    model_ids.REORDERED: "reorder",
    model_ids.UNTRAINED: "untrained",
    model_ids.REGULARIZED: "regularize",
    model_ids.PRUNED: "prune",
    model_ids.RANDOM: "prune_at_random",
    model_ids.STOPPED: "stop",
    model_ids.FORKED: "fork",
    model_ids.LABELS: "relabel",
    model_ids.PLANTED: "plant",
}
_PATTERNS = tuple((re.compile(pattern), rule, reads) for pattern, rule, reads in MADE)


@dataclass(frozen=True)
class Making:
    """How an artifact is made: the stage, its wildcards, and the files that it reads."""

    stage: str
    wildcards: Wildcards
    reads: tuple[str, ...]


def _figures(targets: Targets) -> Iterator[tuple[str, Making]]:
    """How each figure is made."""
    for path, stage, wildcards in targets.figures():
        yield path, Making(stage, wildcards, ())
    looks = tuple(path for paths in targets.inspections().values() for path in paths)
    for path in targets.inspection_figures():
        yield path, Making("inspection_figures", {}, looks)


class Lineages:
    """The lineages of a plan's artifacts."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._plan: Plan = targets.plan
        self.of = functools.cache(self._of)
        self.making = functools.cache(self._making)
        self._of_model = functools.cache(self._made_model)
        self._figures = dict(_figures(targets))

    def among(self, paths: Iterable[Any]) -> dict[str, str]:
        """The lineages of a job's inputs by path; inputs that no stage makes are left out."""
        found = {str(path): self.of(str(path)) for path in paths}
        return {path: lineage for path, lineage in found.items() if lineage is not None}

    def origin(self, path: str) -> str | None:
        """The origin (`provenance.origin_of`) of a file by this plan and today's code."""
        making, lineage = self.making(path), self.of(path)
        if making is None or lineage is None:
            return None
        code = STAGES[making.stage].code(self._plan, making.wildcards)
        return origin_of(making.stage, lineage, code)

    def _of(self, path: str) -> str | None:
        """The lineage of a file; None if it is a source, such as an image."""
        place = path.removeprefix(f"{self._plan.results}/")
        if place != path and place.startswith(("models/", f"{CUT}/")):
            return self._of_model(*place.split("/")[:2])
        making = self.making(path)
        return None if making is None else self._lineage(making)

    def _made_model(self, folder: str, name: str) -> str:
        return self._lineage(self._model(Model.parse(name), is_cut=folder == CUT))

    def _lineage(self, making: Making) -> str:
        settings = STAGES[making.stage].settings(self._plan, making.wildcards)
        parents = self.among(making.reads).values()
        return lineage_of(making.stage, {**settings, **making.wildcards}, parents)

    def _making(self, path: str) -> Making | None:
        """How a file is made; None for a source."""
        if path.startswith(f"{DATA}/"):
            name = path.split("/")[2]
            return Making("dataset", {"dataset": name}, self._sources(name))
        if path in self._figures:
            return self._figures[path]
        if not path.startswith(f"{self._plan.results}/"):
            return None
        place = path.removeprefix(f"{self._plan.results}/")
        if place.startswith(("models/", f"{CUT}/")):
            folder, name = place.split("/")[:2]
            return self._model(Model.parse(name), is_cut=folder == CUT)
        for pattern, stage, reads in _PATTERNS:
            if match := pattern.fullmatch(place):
                found = match.groupdict()
                # The wildcards of importance are the parts of a model.
                named = parts(Model.parse(found["model"])) if stage == "importance" else found
                return Making(stage, named, tuple(reads(self._targets, found)))
        return None

    def _sources(self, dataset: str) -> tuple[str, ...]:
        """The artifacts that a data set is made from."""
        known = dataset in self._plan.datasets
        return tuple(self._plan.source_of(dataset).values()) if known else ()

    def _model(self, model: Model, *, is_cut: bool = False) -> Making:
        """How a model is made; with `is_cut`, its state before retraining."""
        if self._plan.is_retrained(model) and not is_cut:
            return Making("retrain", {"model": str(model)}, tuple(self._retrain_reads(model)))
        stage = "adopt" if model.is_own_base else _TRAINERS[model.stage]
        return Making(stage, parts(model), tuple(self._model_reads(model)))

    def _retrain_reads(self, model: Model) -> list[str]:
        """The inputs of the stage that retrains a pruned model."""
        targets = self._targets
        return [
            *(targets.cut_file(model, name) for name in PRUNED),
            targets.network(model),
            targets.weights(model.root),
            targets.images(self._plan.task),
        ]

    def _model_reads(self, model: Model) -> list[str]:
        """The inputs of the stage that makes a model."""
        targets = self._targets
        data = of_data(targets, "images.safetensors", "info.json")
        if model.stage in model_ids.MASKED:
            like = dataclasses.replace(model, draw=None)
            random = model.stage == model_ids.RANDOM
            more = [targets.cut_file(like, "sparsity.json")] if random else targets.ranks(model)
            more = [*more, *targets.units(model)]
            return [targets.weights(model.parent), targets.network(model.parent), *more]
        if model.stage == model_ids.REGULARIZED:
            start = targets.parent_files(model).values()
            images = targets.images(self._plan.task)
            return [*start, images, targets.weights(model.root)]
        if model.stage == model_ids.STOPPED:
            like = dataclasses.replace(model, stopped=False)
            return [*data, targets.weights(like), targets.network(like)]
        if model.stage == model_ids.FORKED:
            return [*data, *targets.trunk(model)]
        if model.stage == model_ids.PLANTED:
            return [*data, *targets.small(model).values()]
        return data


def parts(model: Model) -> dict[str, str]:
    """The wildcards of the rule that makes a model: the parts of its id as text."""
    walked = model.l1 is not None
    found = {"base_id": str(model.root if walked else model.base)}
    if model.l1 is not None:
        found |= {"l1": model_ids.spell(model.l1), "epochs": str(model.epochs)}
    if model.threshold is not None:
        found["threshold"] = model_ids.spell(model.threshold)
    if model.density is not None:
        found["density"] = model_ids.spell(model.density)
    if model.fork is not None and not walked:
        found["fork"] = model_ids.spell(model.fork)
    if model.order is not None and not walked:
        found["order"] = str(model.order)
    if model.draw is not None:
        found["draw"] = str(model.draw)
    return found
