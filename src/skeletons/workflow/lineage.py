"""The lineage of every artifact: its identity by the configuration.

A lineage is a digest of the stage that makes an artifact, of that stage's settings, and of the
lineages of its inputs. It is computed from the plan alone, without reading any file. An artifact
with another lineage was made from other settings, so its readers refuse it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from skeletons import model_ids
from skeletons.model_ids import Model
from skeletons.store.provenance import lineage_of
from skeletons.workflow.plan import DATA, Plan
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets

Wildcards = Mapping[str, str]
Reads = Callable[[Targets, Wildcards], Iterable[str]]
_MODEL, _PAIR = r"(?P<model>[^/]+)", r"(?P<a>[^/]+)--(?P<b>[^/]+?)"
_TRAINERS = {  # the stage that makes a model in each state
    model_ids.BASE: "train_base",
    model_ids.REORDERED: "reorder",
    model_ids.UNTRAINED: "untrained",
    model_ids.REGULARIZED: "regularize",
    model_ids.PRUNED: "prune",
    model_ids.RANDOM: "prune_at_random",
}


def _of_data(targets: Targets, *names: str) -> list[str]:
    """Files of the task's data set."""
    return [f"{DATA}/{targets.plan.task}/{name}" for name in names]


def _of_network(targets: Targets, wildcards: Wildcards) -> list[str]:
    """The inputs of each stage that runs one network."""
    dataset = wildcards.get("dataset", targets.plan.task)
    model = wildcards["model"]
    return [targets.weights(model), targets.network(model), targets.images(dataset)]


def _bases(targets: Targets, wildcards: Wildcards) -> list[str]:
    """The inputs of each inspection of two models, without their alignment."""
    a, b = wildcards["a"], wildcards["b"]
    images = targets.images(targets.plan.task)
    return [targets.weights(a), targets.weights(b), targets.network(a), images]


def _of_score(targets: Targets, wildcards: Wildcards) -> list[str]:
    model = wildcards["model"]
    predictions = targets.predictions(targets.plan.task, model)
    return [predictions, targets.network(model), *targets.sparsity(model)]


def _of_masks(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    matched = targets.alignment(a, b) if wildcards["overlap"] == "mask_overlap_aligned" else []
    return [targets.weights(a), targets.weights(b), targets.network(a), *matched]


def _of_alignment(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    return [targets.weights(a), targets.weights(b), targets.network(a)]


def _of_plane(targets: Targets, wildcards: Wildcards) -> list[str]:
    plan = targets.plan
    return [
        *(targets.weights(model) for model in plan.plane_models()),
        targets.network(plan.bases[0]),
        targets.images(plan.task),
        *targets.alignment(*plan.bases[:2]),
    ]


def _of_timing(targets: Targets, wildcards: Wildcards) -> list[str]:
    folder = f"{targets.results}/exposed/{wildcards['model']}"
    exposed = [f"{folder}/weights.safetensors", f"{folder}/exposed.json"]
    return [*_of_network(targets, wildcards), *exposed]


def _of_importance(targets: Targets, wildcards: Wildcards) -> list[str]:
    parent = Model.parse(wildcards["model"]).parent
    return [targets.weights(parent), *_of_network(targets, wildcards)]


def _of_match(targets: Targets, wildcards: Wildcards) -> list[str]:
    a, b = wildcards["a"], wildcards["b"]
    tables = [f"{targets.results}/importance/{model}.parquet" for model in (a, b)]
    return [*tables, targets.weights(b), targets.network(b), *targets.alignment(a, b)]


def _of_probe(targets: Targets, wildcards: Wildcards) -> list[str]:
    variant = targets.plan.variant_of(int(wildcards["seed"]))
    return [
        targets.images(targets.plan.task),
        targets.weights(variant.parent),
        targets.network(variant),
        targets.weights(variant),
    ]


def _of_block(targets: Targets, wildcards: Wildcards) -> list[str]:
    seeds = dict.fromkeys((int(wildcards["one"]), int(wildcards["two"])))
    return [path for seed in seeds for path in targets.predictions_of_base(wildcards["ood"], seed)]


def _pair_in(folder: str) -> Reads:
    """A pair of files of two models, in a folder that may be named by a wildcard."""

    def reads(targets: Targets, wildcards: Wildcards) -> list[str]:
        place = f"{targets.results}/{folder.format(**wildcards)}"
        suffix = "safetensors" if folder.startswith("features") else "parquet"
        return [f"{place}/{wildcards[name]}.{suffix}" for name in ("a", "b")]

    return reads


# By the path of an artifact in its experiment: the stage that makes it, and that stage's inputs.
_MADE: tuple[tuple[str, str, Reads], ...] = (
    (rf"predictions/(?P<dataset>[^/]+)/{_MODEL}\.parquet", "predict", _of_network),
    (rf"features/(?P<dataset>[^/]+)/{_MODEL}\.safetensors", "features", _of_network),
    (rf"scores/{_MODEL}\.json", "score", _of_score),
    (
        r"similarity/(?P<ood>[^/]+)/bases/seed=(?P<one>\d+)--seed=(?P<two>\d+)\.parquet",
        "compare_bases",
        _of_block,
    ),
    (rf"similarity/(?P<ood>[^/]+)/{_PAIR}\.parquet", "compare", _pair_in("predictions/{ood}")),
    (
        rf"representations/(?P<representation>[^/]+)/(?P<ood>[^/]+)/{_PAIR}\.parquet",
        "compare_features",
        _pair_in("features/{ood}"),
    ),
    (rf"weights/(?P<overlap>[^/]+)/{_PAIR}\.parquet", "compare_masks", _of_masks),
    (rf"alignment/{_PAIR}\.(safetensors|json)", "align", _of_alignment),
    (
        rf"lines/{_PAIR}\.parquet",
        "line",
        lambda targets, pair: [
            *_bases(targets, pair),
            *targets.alignment(pair["a"], pair["b"]),
        ],
    ),
    (rf"curve/{_PAIR}\.(parquet|safetensors)", "curve", _bases),
    (r"plane/(plane|located)\.parquet", "plane", _of_plane),
    (rf"exposed/{_MODEL}/(weights\.safetensors|exposed\.json)", "expose", _of_network),
    (rf"exposed/{_MODEL}/timing\.json", "time_exposed", _of_timing),
    (rf"importance/matched/{_PAIR}\.json", "match_importance", _of_match),
    (rf"importance/{_MODEL}\.(parquet|json)", "importance", _of_importance),
    (
        r"probe/seed=(?P<seed>\d+)_l1=(?P<l1>[^_/]+)\.(parquet|json|safetensors)",
        "probe",
        _of_probe,
    ),
)
_PATTERNS = tuple((re.compile(pattern), rule, reads) for pattern, rule, reads in _MADE)


class Lineages:
    """The lineages of a plan's artifacts."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._plan: Plan = targets.plan
        self.of = functools.cache(self._of)

    def among(self, paths: Iterable[Any]) -> dict[str, str]:
        """The lineages of a job's inputs by path; inputs that no stage makes are left out."""
        found = {str(path): self.of(str(path)) for path in paths}
        return {path: lineage for path, lineage in found.items() if lineage is not None}

    def _of(self, path: str) -> str | None:
        """The lineage of a file; None for a source, such as an image, or a table of all pairs."""
        if path.startswith(f"{DATA}/"):
            dataset = path.split("/")[2]
            return self._made_by("dataset", {"dataset": dataset}, [])
        if not path.startswith(f"{self._plan.results}/"):
            return None
        place = path.removeprefix(f"{self._plan.results}/")
        if place.startswith("models/"):
            return self._of_model(place.split("/")[1])
        for pattern, rule, reads in _PATTERNS:
            if match := pattern.fullmatch(place):
                wildcards = self._wildcards(rule, match.groupdict())
                return self._made_by(rule, wildcards, reads(self._targets, match.groupdict()))
        return None

    def _wildcards(self, rule: str, found: dict[str, str]) -> dict[str, str]:
        """A rule's wildcards from those of a path: for `importance`, the parts of the model id."""
        return parts(Model.parse(found["model"])) if rule == "importance" else found

    @functools.cached_property
    def _of_model(self) -> Callable[[str], str]:
        return functools.cache(self._model)

    def _model(self, name: str) -> str:
        model = Model.parse(name)
        return self._made_by(_TRAINERS[model.state], parts(model), self._model_reads(model))

    def _model_reads(self, model: Model) -> list[str]:
        """The inputs of the stage that makes a model."""
        targets = self._targets
        if model.state in model_ids.MASKED:
            like = Model(model.seed, model.l1, model.epochs, model.threshold)
            drawn = targets.sparsity(str(like)) if model.state == model_ids.RANDOM else []
            return [targets.weights(model.parent), targets.network(model.parent), *drawn]
        if model.state == model_ids.REGULARIZED:
            start = targets.parent_files(model).values()
            images = targets.images(self._plan.task)
            return [*start, images, targets.weights(model.base)]
        return _of_data(targets, "images.safetensors", "info.json")

    def _made_by(self, rule: str, wildcards: Wildcards, reads: Iterable[str]) -> str:
        settings = STAGES[rule].settings(self._plan, wildcards)
        parents = self.among(reads).values()
        return lineage_of(rule, {**settings, **wildcards}, parents)


def parts(model: Model) -> dict[str, str]:
    """The wildcards of the rule that makes a model: the parts of its id as text."""
    found = {"seed": str(model.seed)}
    if model.l1 is not None:
        found |= {"l1": model_ids.spell(model.l1), "epochs": str(model.epochs)}
    if model.threshold is not None:
        found["threshold"] = model_ids.spell(model.threshold)
    found |= {
        name: str(number)
        for name, number in (("order", model.order), ("draw", model.draw))
        if number is not None
    }
    return found
