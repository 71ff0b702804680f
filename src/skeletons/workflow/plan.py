"""The plan of an experiment: the models, pairs and data sets that its configuration asks for."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from skeletons import image_folders, model_ids
from skeletons.config import networks
from skeletons.config.datasets import CONTROL_SETS, DOWNLOADED, dataset_id
from skeletons.config.sections import user_measures
from skeletons.model_ids import Model
from skeletons.user_code import references
from skeletons.workflow import checkpoints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from skeletons.config.networks import Setup
    from skeletons.config.sections import Config

DATA = "results/data"  # shared by all experiments
# An empty file, older than every artifact: the input of rules that read nothing else (see `stale`).
BEGINNING = "results/.beginning"


class Plan:
    """The parts of an experiment; `Targets` lists the files of each.

    Attributes:
        config: the validated configuration.
        results, logs, figures: the experiment's folders.
        datasets: the configuration of every data set, by its id.
        setups: the networks, by tag, each with the settings of its models; that of the unnamed
            network is None.
        task: the id of the data set that the models are trained on.
        ood: ids of the sets that all models are compared on, sorted.
        sets: the same, with the test set of the task if it is requested.
        control_sets: those of `sets` that are controls: the test set, and random pixels.
        models: all models, controls among them, in canonical order.
        compared: those that take part in pairs.
        masked: the compared models in which some weights are permanently zero.
        pairs: every pair of compared models.
        blocks: whether one file holds all pairs of two bases, because there are too many models for
            one file per pair.
        measures: the measures that are drawn, by their names in results.
        user_measures: references to the user-defined measures of all pairs.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.results = f"results/{config.experiment}"
        self.logs = f"logs/{config.experiment}"
        self.figures = f"{self.results}/figures"
        specs = (config.dataset, *config.ood)
        self.datasets = {dataset_id(spec): spec.model_dump() for spec in specs}
        self.task = dataset_id(config.dataset)
        self.ood = sorted(dataset_id(spec) for spec in config.ood)
        self.sets = sorted([*self.ood, *([self.task] if config.compare.test_set else [])])
        self.control_sets = [name for name in self.sets if self._is_control(name)]
        self.setups = {setup.tag: setup for setup in networks.setups(config)}
        self.models = self._models()
        self.compared = [model for model in self.models if self._is_compared(model)]
        self.masked = [model for model in self.compared if model.state in model_ids.MASKED]
        self.pairs = list(model_ids.pairs(self.compared))
        self.blocks = len(self.compared) > config.compare.blocks_beyond
        self.measures = [references.name_of(measure) for measure in config.figures.measures]
        self.user_measures = user_measures(config)

    def _models(self) -> list[Model]:
        controls = self.config.controls
        models = [model for setup in self.setups.values() for model in _grid(setup)]
        added = model_ids.controls(models, controls.untrained, controls.orders, controls.random)
        return sorted([*models, *added], key=lambda model: model.sort_key)

    def setup_of(self, model: Model | str) -> Setup:
        """The network of a model, and the settings that it is made with."""
        return self.setups[(Model.parse(model) if isinstance(model, str) else model).net]

    def checkpoint_of(self, base: Model | str) -> str:
        """The file of a base model that a user brought."""
        model = Model.parse(str(base))
        assert model.own is not None
        return self.setup_of(model).checkpoints[model.own]

    def _is_control(self, dataset: str) -> bool:
        """Whether likeness on a data set is no evidence: the task decides it, or nothing does."""
        return dataset not in self.ood or self.datasets[dataset]["kind"] in CONTROL_SETS

    def _is_compared(self, model: Model) -> bool:
        return model.control is not None or model.state in self.config.compare.states

    @functools.cached_property
    def bases(self) -> list[Model]:
        """The base models."""
        return [model for model in self.models if model.state == model_ids.BASE]

    @functools.cached_property
    def variants(self) -> list[Model]:
        """The variant of each base that `inspect` analyses; none if it analyses nothing."""
        recipe = self.config.inspect.variant
        if recipe is None:
            return []
        known = set(self.models)
        parts = {"l1": recipe.l1, "epochs": recipe.epochs, "threshold": recipe.threshold}
        return [found for base in self.bases if (found := base.of(**parts)) in known]

    def variant_of(self, base: Model | str) -> Model:
        """The inspected variant of a base."""
        return next(variant for variant in self.variants if str(variant.base) == str(base))

    def within_networks(self, models: Iterable[Model]) -> list[tuple[Model, Model]]:
        """The pairs of models that have the same network."""
        return [(a, b) for a, b in model_ids.pairs(models) if a.net == b.net]

    def line_pairs(self) -> list[tuple[Model, Model]]:
        """The pairs of models between which the loss is measured on a line."""
        if self.config.inspect.lines:
            own = [(variant.base, variant) for variant in self.variants]
            bases = [variant.base for variant in self.variants]
            return [*self.within_networks(bases), *own, *self.within_networks(self.variants)]
        return self.first_bases() if self.config.inspect.curve else []

    def first_bases(self) -> list[tuple[Model, Model]]:
        """The first two inspected bases of the first network that has two; none otherwise."""
        inspected = [variant.base for variant in self.variants]
        return self.within_networks(inspected)[:1]

    def plane_models(self) -> list[Model]:
        """The three models that span the plane, and those that are shown on it."""
        first, second = self.first_bases()[0]
        walk = [
            model
            for model in self.models
            if model.state == model_ids.REGULARIZED and model.base == first
        ]
        variants = (self.variant_of(first), self.variant_of(second))
        return [first, second, variants[0], *walk, variants[1]]

    def images_of(self, dataset: str) -> int | None:
        """The number of test images of a data set that models run on; None for all."""
        return None if dataset == self.task else self.config.compare.ood_images

    def download_folder(self, dataset: str) -> str | None:
        """The folder in which torchvision keeps a data set; None if it is not downloaded."""
        downloaded = self.datasets[dataset]["kind"] in DOWNLOADED
        return self.config.data_root if downloaded else None

    def folder_of(self, dataset: str) -> str | None:
        """The user's folder of images that a data set is made from; None if it has none."""
        spec = self.datasets[dataset]
        return spec["path"] if spec["kind"] == "imagefolder" else None

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """A digest of the files of each data set that is made from a folder of images.

        The folders are read once for each run.

        Raises:
            DataError: a folder has another structure, holds no images, or cannot be read.
        """
        folders = {name: self.folder_of(name) for name in self.datasets}
        return {
            name: image_folders.find(Path(folder), self.datasets[name]["test_share"]).digest()
            for name, folder in folders.items()
            if folder is not None
        }

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """A digest of each trained model that a user brings, by its path.

        Raises:
            CheckpointError: a file cannot be read.
        """
        return checkpoints.digests(iter(self.setups.values()))

    def info(self, dataset: str) -> str:
        """The description of a data set."""
        return f"{DATA}/{dataset}/info.json"


def _grid(setup: Setup) -> list[Model]:
    """The base models of a network, their walks and their pruned models."""
    own = [Model(net=setup.tag, own=name) for name in setup.checkpoints]
    trained = [Model(seed, net=setup.tag) for seed in setup.base.seeds]
    walks = setup.regularize
    return model_ids.grid(own or trained, walks.lambdas, walks.epochs, setup.prune.thresholds)
