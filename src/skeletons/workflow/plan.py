"""The plan of an experiment: the models, pairs and data sets that its configuration asks for."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeletons import image_folders, image_tables, model_ids
from skeletons.config import labels, networks
from skeletons.config.datasets import CONTROL_SETS, DOWNLOADED, dataset_id, kind_of, location_keys
from skeletons.config.sections import judged_measures, user_measures
from skeletons.errors import ConfigError
from skeletons.model_ids import Model
from skeletons.user_code import references
from skeletons.workflow import checkpoints, control_models
from skeletons.workflow.image_form import form_of

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
        form: of all images.
        results, logs, figures: the experiment's folders.
        datasets: the configuration of every data set, by its id.
        setups: the networks, by tag, each with the settings of its models; that of the unnamed
            network is None.
        task: the id of the data set that the models are trained on.
        ood: ids of the sets that all models are compared on, sorted.
        sets: the same, with the test set of the task if it is requested.
        control_sets: those of `sets` that are controls: the test set, and random pixels.
        labelled: those of `sets` whose labels are classes of the task.
        models: all models, controls among them, in canonical order.
        compared: those that take part in pairs.
        masked: the compared models in which some weights are permanently zero.
        pairs: every pair of compared models.
        blocks: whether one file holds all pairs of two bases, because there are too many models for
            one file per pair.
        judged: the measures that are drawn and that answers are given by, the primary one first.
        measures: the same, by their names in results.
        user_measures: references to the user-defined measures of all pairs.
    """

    def __init__(self, config: Config) -> None:
        """Plan an experiment; a user's images are looked at.

        Raises:
            ConfigError: the data sets do not agree on a size of images, or labels are missing.
            DataError: a folder has another structure, holds no images, or cannot be read.
        """
        self.config = config
        self.results = f"results/{config.experiment}"
        self.logs = f"logs/{config.experiment}"
        self.figures = f"{self.results}/figures"
        self._folders: dict[tuple[str, float | None], image_folders.Folder] = {}
        self.form = form_of(config, lambda section: self._find(section.path, section.test_share))
        names = self._dataset_names()
        if problems := list(labels.problems(config, names)):
            raise ConfigError("\n".join(problems))
        self.task = names[0]
        self.ood = sorted(names[1:])
        specs = (config.dataset, *config.ood)
        self.datasets = {name: spec.model_dump() for name, spec in zip(names, specs, strict=True)}
        self.sets = sorted([*self.ood, *([self.task] if config.compare.test_set else [])])
        self.control_sets = [name for name in self.sets if self._is_control(name)]
        self.labelled = labels.labelled_sets(config, names)
        self.setups = {setup.tag: setup for setup in networks.setups(config)}
        self.models = self._models()
        self.compared = [model for model in self.models if self._is_compared(model)]
        self.masked = [model for model in self.compared if model.state in model_ids.MASKED]
        self.pairs = list(model_ids.pairs(self.compared))
        self.blocks = len(self.compared) > config.compare.blocks_beyond
        self.judged = judged_measures(config)
        self.measures = [references.name_of(measure) for measure in self.judged]
        self.user_measures = user_measures(config)

    def _dataset_names(self) -> list[str]:
        """The ids of the task's data set and of the OOD sets, in the order of the configuration."""
        form = (self.form.side, self.form.channels)
        task = dataset_id(self.config.dataset, *form)
        return [task, *(dataset_id(spec, *form, of=task) for spec in self.config.ood)]

    def _models(self) -> list[Model]:
        controls, recipe = self.config.controls, self.config.findings.primary.recipe
        found: list[Model] = []
        for setup in self.setups.values():
            models = _grid(setup)
            found += models
            found += model_ids.controls(
                models, controls.untrained, controls.orders, controls.random
            )
            found += control_models.of_setup(setup, models, controls, recipe)
        return sorted(dict.fromkeys(found), key=lambda model: model.sort_key)

    def setup_of(self, model: Model | str) -> Setup:
        """The network of a model, and the settings that it is made with."""
        return self.setups[(Model.parse(model) if isinstance(model, str) else model).net]

    def setup_of_net(self, net: str) -> Setup:
        """The network of a file, by the beginning of its name: `net=TAG_`, or nothing."""
        return self.setups[net.removeprefix("net=").removesuffix("_") or None]

    def is_retrained(self, model: Model) -> bool:
        """Whether a model is pruned, and its remaining weights are trained on."""
        return model.stage in model_ids.MASKED and self.setup_of(model).prune.retrain > 0

    def base_ids(self, *, retrained: bool) -> str:
        """A pattern of the bases of networks whose pruned models are retrained, or are not."""
        tags = [tag for tag, one in self.setups.items() if (one.prune.retrain > 0) == retrained]
        starts = "|".join("" if tag is None else re.escape(f"net={tag}_") for tag in tags)
        return rf"(?:{starts}){model_ids.ROOT}" if tags else r"(?!)"

    def checkpoint_of(self, base: Model | str) -> str:
        """The file of a base model that a user brought."""
        model = Model.parse(str(base))
        assert model.own is not None
        return self.setup_of(model).checkpoints[model.own]

    def _is_control(self, dataset: str) -> bool:
        """Whether likeness on a data set is no evidence: the task decides it, or nothing does."""
        return dataset not in self.ood or self.datasets[dataset]["kind"] in CONTROL_SETS

    def _is_compared(self, model: Model) -> bool:
        walked = model.family is not None and model.stage == model_ids.REGULARIZED
        state = model.stage if walked else model.state
        return (model.control is not None and not walked) or state in self.config.compare.states

    @functools.cached_property
    def bases(self) -> list[Model]:
        """The base models."""
        return [model for model in self.models if model.state == model_ids.BASE]

    def bases_of(self, prefix: str) -> list[Model]:
        """The base models of a network, which is given by the beginning of its files' names."""
        tag = prefix.removeprefix("net=").removesuffix("_") or None
        return [base for base in self.bases if base.net == tag]

    @functools.cached_property
    def variants(self) -> list[Model]:
        """The variant of each base that `inspect` analyses; none if it analyses nothing."""
        recipe = self.config.inspect.variant
        if recipe is None:
            return []
        known = set(self.models)
        return [found for base in self.bases if (found := base.of(**recipe.parts)) in known]

    def variant_of(self, base: Model | str) -> Model:
        """The inspected variant of a base."""
        return next(variant for variant in self.variants if str(variant.base) == str(base))

    def within_networks(self, models: Iterable[Model]) -> list[tuple[Model, Model]]:
        """The pairs of models that have the same network."""
        return [(a, b) for a, b in model_ids.pairs(models) if a.net == b.net]

    def line_pairs(self) -> list[tuple[Model, Model]]:
        """The pairs of models between which the loss is measured on a line."""
        return self.inspected_pairs() if self.config.inspect.lines else []

    def inspected_pairs(self) -> list[tuple[Model, Model]]:
        """Pairs of inspected bases, of each base and its variant, and of variants."""
        own = [(variant.base, variant) for variant in self.variants]
        bases = [variant.base for variant in self.variants]
        return [*self.within_networks(bases), *own, *self.within_networks(self.variants)]

    def first_bases(self) -> list[tuple[Model, Model]]:
        """The first two inspected bases of the first network that has two; none otherwise."""
        inspected = [variant.base for variant in self.variants]
        return self.within_networks(inspected)[:1]

    def bridge_pairs(self) -> list[tuple[Model, Model]]:
        """The pairs of inspected bases of one network."""
        return self.within_networks(variant.base for variant in self.variants)

    def transfers(self) -> list[tuple[Model, str]]:
        """The bases that are trained again, each with the base or kind that its mask is of.

        Of every two bases, the later one gets the mask of the earlier one.
        """
        pairs = [(b, str(a)) for a, b in self.bridge_pairs()]
        getting = dict.fromkeys(b for b, _ in pairs)
        return [*pairs, *((b, kind) for b in getting for kind in ("own", "random"))]

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
        downloaded = kind_of(self.datasets[dataset]) in DOWNLOADED
        return self.config.data_root if downloaded else None

    def where(self, dataset: str) -> dict[str, str | None]:
        """The keys of a data set that say where the user's files are; empty if it has none."""
        spec = self.datasets[dataset]
        return {key: spec[key] for key in location_keys(spec["kind"])}

    def unrecorded(self, dataset: str) -> dict[str, Any]:
        """What a data set's job needs to know, and what shapes no result.

        If all images must have one size, those that are of another are refused. So the same images
        follow whether `images.size` is given or not.
        """
        where = self.where(dataset)
        return {"exact": self.form.exact, **({"where": where} if where else {})}

    def source_of(self, dataset: str) -> dict[str, str]:
        """The files of the data set whose images are corrupted; empty for other data sets."""
        if self.datasets[dataset]["kind"] != "corrupted":
            return {}
        folder = f"{DATA}/{self.task}"
        return {"source": f"{folder}/images.safetensors", "source_info": f"{folder}/info.json"}

    @functools.cached_property
    def files(self) -> dict[str, str]:
        """A digest of the files of each data set that is made from a user's files.

        The folders are read once for each run.

        Raises:
            DataError: a folder has another structure, holds no images, or cannot be read.
        """
        found = {name: self._digest(spec) for name, spec in self.datasets.items()}
        return {name: digest for name, digest in found.items() if digest is not None}

    def _digest(self, spec: Mapping[str, Any]) -> str | None:
        if spec["kind"] == "imagefolder":
            return self._find(spec["path"], spec["test_share"]).digest()
        if spec["kind"] == "parquet":
            patterns = [spec["train"], spec["test"]]
            return image_tables.digest(*(image_tables.files(p) if p else [] for p in patterns))
        return None

    def _find(self, path: str, share: float | None) -> image_folders.Folder:
        """A folder of images, which is looked at once."""
        if (path, share) not in self._folders:
            self._folders[path, share] = image_folders.find(Path(path), share)
        return self._folders[path, share]

    @functools.cached_property
    def digests(self) -> dict[str, str]:
        """A digest of each trained model that a user brings, by its path.

        Raises:
            CheckpointError: a file cannot be read.
        """
        return checkpoints.digests(iter(self.setups.values()))

    @property
    def packages(self) -> list[str]:
        """The packages that networks come from, by the names of their modules."""
        names = {setup.network.name for setup in self.setups.values()}
        return sorted({n.partition(":")[0] for n in names if n.startswith(references.PACKAGES)})

    def info(self, dataset: str) -> str:
        """The description of a data set."""
        return f"{DATA}/{dataset}/info.json"


def _grid(setup: Setup) -> list[Model]:
    """The base models of a network, their walks and their pruned models."""
    own = [Model(net=setup.tag, own=name) for name in setup.checkpoints]
    trained = [Model(seed, net=setup.tag) for seed in setup.base.seeds]
    walks, cuts = setup.regularize, setup.prune
    return model_ids.grid(
        own or trained,
        walks.lambdas,
        walks.epochs,
        cuts.thresholds,
        densities=cuts.densities,
    )
