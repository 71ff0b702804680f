"""Checks of a valid configuration: keys against each other, and the folders and files it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from skeletons import image_folders, image_tables
from skeletons.config import network_keys, planted, recipes, trained_models
from skeletons.config.datasets import (
    Corrupted,
    DatasetSection,
    ImageFolder,
    Parquet,
    UserDataset,
    dataset_id,
)
from skeletons.config.names import MASK_MEASURES, MEASURES, REPRESENTATIONS
from skeletons.config.networks import Setup, setups
from skeletons.config.sections import Config, user_measures
from skeletons.errors import DataError, ExtensionError
from skeletons.user_code.check import check, clashes
from skeletons.user_code.references import is_reference, name_of


def problems(config: Config) -> Iterator[str]:
    """One sentence per problem."""
    return chain(
        _reserved_name(config),
        _missing_folders(config),
        _repeated_datasets(config),
        trained_models.problems(config),
        recipes.problems(config),
        _limits_of_answers(config),
        _too_few_models(config),
        _no_masks(config),
        planted.problems(config),
        _controls_of_nothing(config),
        _too_few_seeds(config),
        _no_shuffles(config),
        _transfer_to_trained(config),
        _unclear_folders(config),
        _same_folder(config),
        _unfit_tables(config),
        _grey_colours(config),
        _user_functions(config),
        _user_criterion_scale(config),
        _shrinkage(config),
        _user_criterion_density(config),
        _measure_names(config),
        network_keys.problems(config),
    )


# --- data sets ------------------------------------------------------------------------------------


def _datasets(config: Config) -> Iterator[tuple[str, DatasetSection]]:
    """All data sets, with the keys that describe them."""
    yield "dataset", config.dataset
    for index, section in enumerate(config.ood):
        yield f"ood[{index}]", section


def _missing_folders(config: Config) -> Iterator[str]:
    for key, section in _datasets(config):
        if isinstance(section, ImageFolder) and not Path(section.path).is_dir():
            found = f"{key}.path: found {section.path!r}, which is not a folder"
            yield f"{found}; allowed: an existing folder."
    section = config.dataset
    if isinstance(section, ImageFolder) and section.test_share == 1:
        yield (
            "dataset.test_share: found 1.0, which leaves no training images; "
            "allowed: a number above 0 and below 1."
        )


def _repeated_datasets(config: Config) -> Iterator[str]:
    seen: dict[str, str] = {}
    for key, section in _datasets(config):
        name = dataset_id(section)
        if name in seen:
            named = isinstance(section, ImageFolder | Parquet)
            hint = "; give one of them another name" if named else ""
            yield (
                f"{key}: found the data set {name!r} again, after {seen[name]}; "
                f"allowed: each data set once{hint}."
            )
        seen[name] = key


def _unclear_folders(config: Config) -> Iterator[str]:
    """Folders must have a known structure, and a training folder two classes.

    `_missing_folders` reports a missing folder.
    """
    for key, section in _datasets(config):
        root = Path(getattr(section, "path", ""))
        if not isinstance(section, ImageFolder) or not root.is_dir():
            continue
        try:
            classes = image_folders.layout(root).classes
        except DataError as error:
            yield f"{key}.path: {error}"
            continue
        if key == "dataset" and len(classes) < 2:
            found = f"one class, {classes[0]!r}," if classes else "no folders of classes"
            yield (
                f"dataset.path: found {found} in {str(root)!r}; "
                "allowed: a folder for each of two or more classes."
            )


def _same_folder(config: Config) -> Iterator[str]:
    """Training images are not out of distribution, whatever name they have."""
    section = config.dataset
    for index, other in enumerate(config.ood):
        if (
            isinstance(section, ImageFolder)
            and isinstance(other, ImageFolder)
            and dataset_id(section) != dataset_id(other)
            and Path(section.path).resolve() == Path(other.path).resolve()
        ):
            yield (
                f"ood[{index}].path: found {other.path!r}, the folder of dataset; "
                "allowed: another folder."
            )


def _unfit_tables(config: Config) -> Iterator[str]:
    """Parquet files must exist, and have the columns; those to train on must have labels."""
    for key, section in _datasets(config):
        if not isinstance(section, Parquet):
            continue
        if key == "dataset":
            for name in ("train", "label"):
                if getattr(section, name) is None:
                    yield f"dataset.{name}: found nothing; allowed: a value, to train on."
        for name in ("train", "test"):
            if pattern := getattr(section, name):
                yield from _unfit_table(key, name, pattern, section)


def _unfit_table(key: str, split: str, pattern: str, section: Parquet) -> Iterator[str]:
    name = split  # of the key that is looked at
    try:
        paths = image_tables.files(pattern)
        for path in paths:
            image_tables.check_whole(path)
        name = "image"
        for path in paths:
            image_tables.check_image(path, section.image)
        name = "label"
        for path in paths:
            if section.label is not None:
                image_tables.check_label(path, section.label)
    except DataError as error:
        yield f"{key}.{name}: {error}."


def _grey_colours(config: Config) -> Iterator[str]:
    """Grey images have no colours to change."""
    for key, section in _datasets(config):
        if (
            isinstance(section, Corrupted)
            and section.corruption == "saturate"
            and any(setup.network.channels == 1 for setup in setups(config))
        ):
            yield (
                f"{key}.corruption: found 'saturate', which changes colours, but network.channels "
                "is 1; allowed: another corruption, or 3 channels."
            )


# --- keys that must fit each other ----------------------------------------------------------------


def _reserved_name(config: Config) -> Iterator[str]:
    if config.experiment == "data":
        yield (
            "experiment: found 'data'; allowed: another name, because results/data holds the data "
            "sets."
        )


def _limits_of_answers(config: Config) -> Iterator[str]:
    upper, lower = config.findings.converges_above, config.findings.not_below
    if lower > upper:
        yield (
            f"findings.not_below: found {lower:g}; allowed: at most findings.converges_above, "
            f"which is {upper:g}."
        )


def _counts(config: Config) -> dict[str, int]:
    """The number of models in each state; `trained` are the bases that are trained here."""
    found = [_counts_of(one) for one in setups(config)]
    return {
        key: sum(one[key] for one in found) for key in ("base", "trained", "regularized", "pruned")
    }


def _counts_of(one: Setup) -> dict[str, int]:
    """The same of one network."""
    bases = _bases(one)
    walked = bases * len(one.regularize.lambdas) * len(one.regularize.epochs)
    return {
        "base": bases,
        "trained": 0 if one.checkpoints else bases,
        "regularized": walked,
        "pruned": walked * (len(one.prune.thresholds) + len(one.prune.densities)),
    }


def _bases(setup: Setup) -> int:
    return len(setup.checkpoints) or len(setup.base.seeds)


def _too_few_models(config: Config) -> Iterator[str]:
    """Tables of pairs need two compared models."""
    models, controls = _counts(config), config.controls
    compared = sum(models[state] for state in config.compare.states)
    own = controls.untrained + len(controls.orders) + controls.labels
    compared += models["trained"] * (own + (controls.planted is not None))
    compared += sum(share < 1 for share in controls.forks) * (models["trained"] > 0)
    compared += models["base"] * controls.plain * (models["regularized"] > 0)
    compared += models["pruned"] * len(controls.random)
    if compared < 2:
        yield (
            f"compare.states: found {', '.join(config.compare.states)}, of which there is one "
            "model; allowed: states, seeds or controls of two or more models, because models are "
            "compared in pairs."
        )


# What a control is made of: models in a state, and what there is none of without them.
MADE_OF = {
    "untrained": ("trained", "no base is trained here"),
    "orders": ("trained", "no base is trained here"),
    "labels": ("trained", "no base is trained here"),
    "planted": ("trained", "no base is trained here"),
    "plain": ("regularized", "no base is walked"),
    "random": ("pruned", "no model is pruned"),
    "stopped": ("pruned", "no model is pruned"),
}


def _controls_of_nothing(config: Config) -> Iterator[str]:
    """Controls that would be left out without a word. The default ones may be."""
    models = _counts(config)
    for key, (state, none) in MADE_OF.items():
        value = getattr(config.controls, key)
        if value and not models[state]:
            off = "false" if value is True else "null" if key == "planted" else "an empty list"
            found = ", ".join(map(str, value if isinstance(value, tuple) else [value])).lower()
            yield f"controls.{key}: found {found}, but {none}; allowed: {off}."


def _no_masks(config: Config) -> Iterator[str]:
    """Measures of masks need at least two compared models of one network that have a mask."""
    per_pruned = len(config.controls.random) + ("pruned" in config.compare.states)
    most = max((_counts_of(one)["pruned"] for one in setups(config)), default=0)
    if config.compare.weights and most * per_pruned < 2:
        yield (
            f"compare.weights: found {', '.join(config.compare.weights)}, but no two pruned models "
            "of one network are compared; allowed: an empty list, or two pruned models or random "
            "controls of one network."
        )


def _too_few_seeds(config: Config) -> Iterator[str]:
    inspected = recipes.inspected(config)
    if not inspected or any(_bases(one) > 1 for one in inspected):
        return
    few = "base.seeds has one seed"
    if len(list(setups(config))) > 1:
        few = "no network with inspect.variant has two base models"
    for key in ("plane", "curve", "bridge", "transfer"):
        if getattr(config.inspect, key):
            yield (
                f"inspect.{key}: found true, but {few}; allowed: false, or two "
                "or more seeds, because it needs two base models."
            )


def _no_shuffles(config: Config) -> Iterator[str]:
    if config.inspect.layers and config.compare.permutations < 19:
        yield (
            f"compare.permutations: found {config.compare.permutations}, but inspect.layers is on; "
            "allowed: 19 or more, because p is at least 1 / (permutations + 1)."
        )


def _transfer_to_trained(config: Config) -> Iterator[str]:
    """Masks are transferred to networks that are trained from their initial weights."""
    own = [setup.key for setup in recipes.inspected(config) if setup.checkpoints]
    if config.inspect.transfer and own:
        yield (
            f"inspect.transfer: found true, but {own[0]}.checkpoints has trained models, whose "
            "initial weights are not known; allowed: false, or bases that are trained here."
        )


# --- user-defined functions -----------------------------------------------------------------------


class _Use(NamedTuple):
    """A key that may name a user-defined function, and how that function is called.

    Attributes:
        key: the full name of the key.
        name: its value, a reference or a built-in name.
        takes: the arguments, in words.
        arguments: passed by position.
        options: passed by keyword.
    """

    key: str
    name: str
    takes: str
    arguments: Sequence[str] = ()
    options: Mapping[str, Any] | None = None


def _uses(config: Config) -> Iterator[_Use]:
    for one in setups(config):
        takes = "width and classes" + (" and the options" if one.network.options else "")
        arguments, options = ["width", "classes"], one.network.options
        yield _Use(f"{one.key}.name", one.network.name, takes, arguments, options)
    for key, section in _datasets(config):
        if isinstance(section, UserDataset):
            yield _Use(f"{key}.kind", section.kind, "the options", options=section.options)
    for key, names in (
        ("compare.measures", config.compare.measures),
        ("figures.measures", config.figures.measures),
    ):
        for index, name in enumerate(names):
            yield _Use(f"{key}[{index}]", name, "two models' logits", ["p", "q"])
    yield _Use(
        "findings.primary.measure",
        config.findings.primary.measure,
        "two models' logits",
        ["p", "q"],
    )
    for key, section in _of_each("prune", config):
        takes, arguments = "weights and threshold", ["weights", "threshold"]
        yield _Use(f"{key}.criterion", section.criterion, takes, arguments)


def _of_each(name: str, config: Config) -> Iterator[tuple[str, Any]]:
    """A section that each network may have, with the key of each."""
    yield name, getattr(config, name)
    for tag, network in config.networks.items():
        if (own := getattr(network, name)) is not None:
            yield f"networks.{tag}.{name}", own


def _user_functions(config: Config) -> Iterator[str]:
    """Each function must exist, and accept the arguments that it will be called with."""
    usable = []
    for use in _uses(config):
        if is_reference(use.name):
            try:
                check(use.name, *use.arguments, **(use.options or {}))
                usable.append(use.name)
            except ExtensionError as error:
                allowed = f"FILE.py:FUNCTION, a function of {use.takes}"
                yield f"{use.key}: found {use.name!r}, but {error}; allowed: {allowed}."
    for clash in clashes(usable):
        yield (
            f"User-defined functions: {clash}; allowed: one module of each name, so rename one of "
            "them."
        )


def _user_criterion_scale(config: Config) -> Iterator[str]:
    for key, section in _of_each("prune", config):
        if is_reference(section.criterion) and section.scale != "absolute":
            yield (
                f"{key}.scale: found {section.scale!r}, but a user-defined criterion takes the "
                "thresholds unscaled; allowed: absolute."
            )


def _user_criterion_density(config: Config) -> Iterator[str]:
    for key, section in _of_each("prune", config):
        if is_reference(section.criterion) and section.densities:
            yield (
                f"{key}.densities: found {', '.join(f'{d:g}' for d in section.densities)}, but a "
                "user-defined criterion takes thresholds; allowed: [], or criterion: magnitude, "
                "taylor, fisher or counterfactual."
            )


def _shrinkage(config: Config) -> Iterator[str]:
    """Within a room, λ is a share of the weights."""
    for key, section in _of_each("regularize", config):
        large = [l1 for l1 in section.lambdas if l1 >= 1]
        if section.room is not None and large:
            yield (
                f"{key}.lambdas: found {large[0]:g}, but with `room`, λ is the share of a layer's "
                "root mean square by which its weights shrink in a step; allowed: numbers below 1."
            )


def _measure_names(config: Config) -> Iterator[str]:
    """A measure's name in results must differ from all other names, and from those of spreads."""
    taken: dict[str, str] = {}
    for name in (*MEASURES, *REPRESENTATIONS, *MASK_MEASURES):
        taken |= {name: name, f"{name}_std": name}
    for reference in user_measures(config):
        name = name_of(reference)
        other = next((taken[n] for n in (name, f"{name}_std") if n in taken), None)
        if other:
            yield (
                f"compare.measures: found {reference!r}, whose name in results, {name!r}, is also "
                f"that of {other!r} or of its spread; allowed: another name of the file or "
                "function."
            )
        taken |= {name: reference, f"{name}_std": reference}
