"""The catalogue of mistakes: each is made, and must be reported in one sentence.

A sentence names the problem, the place, the value found, and the allowed values or the remedy. `…`
stands for a variable part. `make errors` writes docs/errors.md from these tables.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from conftest import CHAIN, ROOT, Workflow, python
from PIL import Image

from skeletons import model_ids
from skeletons.commands import cli
from skeletons.config import yaml_file
from skeletons.config.datasets import SECTIONS, kind_of
from skeletons.config.load import load
from skeletons.config.sections import Base
from skeletons.data import build as building
from skeletons.data.files import Dataset, check_source
from skeletons.data.given import as_pixels
from skeletons.errors import SkeletonsError
from skeletons.measures import catalogue
from skeletons.networks import symmetries
from skeletons.networks.build import build as build_network
from skeletons.prediction import units
from skeletons.prediction.device import pick_device
from skeletons.prediction.inputs import guard
from skeletons.store import artifacts, seals
from skeletons.store.provenance import Recipe, making
from skeletons.training.base import train_base
from skeletons.training.images import Images
from skeletons.training.settings import BaseSettings
from skeletons.workflow import failures, lock, slurm
from skeletons.workflow.foresight import absent_looks, demand_layers, demand_network
from skeletons.workflow.plan import Plan
from snakemake_logger_plugin_skeletons import lines
from snakemake_logger_plugin_skeletons.reasons import explain
from snakemake_logger_plugin_skeletons.sentences import sentence

PAGE = ROOT / "docs" / "errors.md"


@dataclass(frozen=True)
class Scene:
    """The place of a mistake: an empty folder, which is the working directory."""

    folder: Path
    patch: pytest.MonkeyPatch

    def image(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (200, 10, 10)).save(path)
        return path

    def file(self, name: str, content: bytes | str = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@dataclass(frozen=True)
class Mistake:
    """A mistake or accident, a function that provokes it, and the expected message."""

    what: str
    says: str
    provoke: Callable[[Scene], Any]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.chdir(tmp_path)
    return Scene(tmp_path, monkeypatch)


def pattern(says: str) -> str:
    return ".*".join(re.escape(part) for part in says.split("…"))


def assert_says(said: str, says: str) -> None:
    """Check that a message contains the sentence, is one sentence, and shows no internals."""
    assert re.search(pattern(says), said), said
    assert said.endswith("."), said
    assert "\n" not in said
    for jargon in ("Traceback", "Input should", "pydantic", "value_error", "Exception"):
        assert jargon not in said


def raised(mistake: Mistake, scene: Scene) -> str:
    """The sentence that a mistake raises or returns."""
    try:
        returned = mistake.provoke(scene)
    except SkeletonsError as error:
        return str(error)
    assert isinstance(returned, str), "nothing was wrong"
    return returned


# --- configuration ------------------------------------------------------------------------------

CONFIG = {
    # unknown keys, at every level, with the nearest valid one
    "experimant: x": "experimant: unknown key; allowed here: experiment, dataset, ood, data_root, "
    "cache, images, network, networks, base, regularize, prune, compare, controls, alignment, inspect, "
    "findings, figures, compute (did you mean 'experiment'?).",
    "width: 3": "width: unknown key; allowed here: experiment, dataset, ood, data_root, "
    "cache, images, network, networks, base, regularize, prune, compare, controls, alignment, inspect, "
    "findings, figures, compute (did you mean 'network.width'?).",
    "base: {epoch: 1}": "(did you mean 'epochs'?)",
    "base: {augment: {flips: true}}": "base.augment.flips: unknown key; allowed here: flip, shift, "
    "cutout (did you mean 'flip'?).",
    "base: {target: {loss: 1}}": "base.target.loss: unknown key; allowed here: train_loss, train_accuracy",
    "regularize: {lambda: [1.0e-4]}": "(did you mean 'lambdas'?)",
    "dataset: {kind: shapes, tests: 3}": "dataset.tests: unknown key; allowed here: kind, train, test, "
    "seed (did you mean 'test'?).",
    "ood: [{kind: noise, image: 3}]": "ood[0].image: unknown key",
    "dataset: {kind: cifar10, seed: 5}": "dataset.seed: unknown key; allowed here: train, test, kind.",
    "inspect: {variant: {l1: 2.0e-4, epochs: 2, threshold: 0.5, lambda: 1}}": "inspect.variant.lambda: "
    "unknown key; allowed here: l1, epochs, threshold, density.",
    "dataset: {kind: cifar10, train: 0}": "dataset.train: found 0; allowed: a number ≥ 1.",
    # names from a list
    "network: {name: 3}": "network.name: found 3; allowed: cnn, resnet9, resnet20, speednet, "
    "torchvision:NAME, timm:NAME, or your own FILE.py:FUNCTION.",
    "network: {name: resnet18}": "network.name: found 'resnet18'; allowed: cnn, resnet9, resnet20, "
    "speednet, torchvision:NAME, timm:NAME (did you mean 'resnet",
    "network: {name: 'torchvision:resnet19'}": "network.name: found 'torchvision:resnet19', which "
    "torchvision does not have; allowed: one of its … networks, such as resnet18,",
    "network: {name: 'timm:vit_tinny'}": "network.name: found 'timm:vit_tinny', which timm does not have; "
    "allowed: one of its … networks, such as",
    "network: {name: 'torchvision:resnet18', width: 16}": "network.width: found 16, but the width of "
    "'torchvision:resnet18' is part of its name; allowed: no width (some networks have an option for it).",
    "network: {name: 'torchvision:resnet18', channels: 1}": "network.channels: found 1, but the networks of "
    "torchvision take colour images; allowed: 3, or a network of timm.",
    "network: {name: cnn, options: {depth: 3}}": "network.options: found depth, but 'cnn' has no options; "
    "allowed: an empty mapping.",
    "network: {name: 'timm:resnet18', options: {layers: [2, 2]}}": "network.options: found a mapping; allowed: "
    "options that are numbers, text, true, false or null.",
    "network: {name: cnn, weights: DEFAULT}": "network.weights: found 'DEFAULT', but 'cnn' has no pretrained "
    "weights; allowed: nothing, or a network of torchvision or timm.",
    "network: {name: 'torchvision:resnet18', weights: models/r18.pt}": "network.weights: found "
    "'models/r18.pt', which is not a file; allowed: a file of weights (.pt, .pth or .safetensors), or a name "
    "of weights without a slash.",
    "network: {name: my/network.py}": "network.name: found 'my/network.py'; allowed: a function of this "
    "file, my/network.py:FUNCTION.",
    "dataset: {kind: cifar}": "dataset.kind: found 'cifar'; allowed: shapes, cifar10, mnist, "
    "fashionmnist, svhn, torchvision:NAME, imagefolder, parquet (did you mean 'cifar10'?), or your own FILE.py:FUNCTION.",
    "dataset: {kind: digits}": "dataset.kind: found 'digits'; allowed: shapes, cifar10,",
    "dataset: {kind: 7}": "dataset.kind: found 7; allowed: shapes, cifar10,",
    "dataset: {path: x}": "dataset.kind: found nothing; allowed: shapes,",
    "ood: [{kind: nmist}]": "(did you mean 'mnist'?)",
    "figures: {measures: [cosine]}": "figures.measures[0]: found 'cosine'; allowed: cosine_prob,",
    "figures: {measures: [kappa, capa]}": "figures.measures[1]: found 'capa', which needs labels that "
    "are the task's classes, but digits_size=24 has none; allowed: a measure without labels,",
    "{compare: {permutations: 5}, inspect: {variant: {l1: 0.004, epochs: 8, density: 0.2}, layers: [procrustes]}}": "compare.permutations: found 5, but inspect.layers is on; "
    "allowed: 19 or more, because p is at least 1 / (permutations + 1).",
    "compare: {labelled: [mnist]}": "compare.labelled[0]: found 'mnist'; allowed: digits_size=24 (the names of "
    "the OOD sets in results).",
    "figures: {colormap: jet}": "figures.colormap: found 'jet'; allowed: viridis,",
    "regularize: {room: 0.05, lambdas: [0.001, 2]}": (
        "regularize.lambdas: found 2, but with `room`, λ is the share of a layer's root mean "
        "square by which its weights shrink in a step; allowed: numbers below 1."
    ),
    "prune: {densities: [0.1, 2]}": "prune.densities[1]: found 2; allowed: a number ≤ 1.",
    "prune: {retrain: -1}": "prune.retrain: found -1; allowed: a number ≥ 0.",
    "prune: {retrain_learning_rate: 0}": "prune.retrain_learning_rate: found 0; allowed: a number > 0.",
    "prune: {scale: relative}": "prune.scale: found 'relative'; allowed: absolute, layer_rms.",
    "regularize: {optimizer: adamw}": "regularize.optimizer: found 'adamw'; allowed: sgd, adam (did",
    "regularize: {penalty: l2}": "regularize.penalty: found 'l2'; allowed: subgradient, proximal.",
    "compare: {states: [bases]}": "compare.states[0]: found 'bases'; allowed: base, regularized, pruned "
    "(did you mean 'base'?).",
    "compute: {device: gpu}": "compute.device: found 'gpu'; allowed: auto, cpu, cuda (did you mean 'cpu'?).",
    "compute: {precision: fp16}": "compute.precision: found 'fp16'; allowed: auto, bf16, fp32",
    # numbers
    "regularize: {lambdas: [-0.1]}": "regularize.lambdas[0]: found -0.1; allowed: a number ≥ 0.",
    "regularize: {lambdas: [.nan]}": "regularize.lambdas[0]: found nan; allowed: a finite number.",
    "regularize: {lambdas: [much]}": "regularize.lambdas[0]: found 'much'; allowed: a number.",
    "regularize: {lambdas: [true]}": "regularize.lambdas[0]: found true; allowed: a number.",
    "regularize: {epochs: [0]}": "regularize.epochs[0]: found 0; allowed: a number ≥ 1.",
    "base: {epochs: 0}": "base.epochs: found 0; allowed: a number ≥ 1.",
    "findings: {primary: {measure: kapa}}": "findings.primary.measure: found 'kapa'; allowed: "
    "cosine_prob, …",
    "findings: {primary: {recipe: {l1: 0.004, epochs: 8, density: 0.5}}}": "findings.primary.recipe"
    ".density: found 0.5; allowed: 0.2 (the values of prune.densities).",
    "findings: {primary: {recipe: {l1: 0.004, epochs: 8}}}": "findings.primary.recipe: found neither "
    "of threshold and density; allowed: one of them, because a recipe prunes in one way.",
    "inspect: {variant: {l1: 0.004, epochs: 8, threshold: 0.1, density: 0.2}}": "inspect.variant: found "
    "both of threshold and density; allowed: one of them, because a recipe prunes in one way.",
    "inspect: {variant: {l1: 0.004, epochs: 8, threshold: 0.1}}": "inspect.variant.threshold: found 0.1; "
    "allowed: none (the values of prune.thresholds).",
    "inspect: {expose: true}": "inspect.variant: found nothing, but inspect.expose is on; allowed: "
    "{l1: …, epochs: …, threshold: …} or {l1: …, epochs: …, density: …} of one recipe of the grid.",
    "{regularize: {groups: units}, inspect: {sparsest: true, variant: "
    "{l1: 0.004, epochs: 8, density: 0.2}}}": "inspect.sparsest: found true, but "
    "regularize.groups is 'units', and the search prunes single weights; allowed: false, or "
    "regularize.groups: weights.",
    "{networks: {wide: {regularize: {lambdas: [1.0e-3]}, prune: {thresholds: [0.5]}}}, findings: "
    "{primary: {recipe: {l1: 0.004, epochs: 8, threshold: 0.5}}}}": "findings.primary.recipe: found "
    "l1 0.004, epochs 8, threshold 0.5, which are values of different networks; allowed: a recipe of "
    "one network's regularize and prune.",
    "findings: {not_below: 0.6}": "findings.not_below: found 0.6; allowed: at most "
    "findings.converges_above, which is 0.5.",
    "inspect: {variant: {l1: 0.004, epochs: 1, density: 0.2}}": "inspect.variant.epochs: found 1; "
    "allowed: 8 (the values of regularize.epochs).",
    "base: {epochs: 2.5}": "base.epochs: found 2.5; allowed: a whole number.",
    "base: {epochs: 12.0}": "base.epochs: found 12.0; allowed: a whole number.",
    "base: {epochs: twelve}": "base.epochs: found 'twelve'; allowed: a whole number.",
    "base: {momentum: 1}": "base.momentum: found 1; allowed: a number < 1.",
    "base: {learning_rate: 0}": "base.learning_rate: found 0; allowed: a number > 0.",
    "base: {learning_rate: .inf}": "base.learning_rate: found inf; allowed: a finite number.",
    "base: {warmup: 1.5}": "base.warmup: found 1.5; allowed: a number ≤ 1.",
    "base: {seeds: [-1]}": "base.seeds[0]: found -1; allowed: a number ≥ 0.",
    "base: {seeds: [18446744073709551616]}": "base.seeds[0]: found 18446744073709551616; allowed: a number "
    "≤ 9223372036854775807.",
    "base: {learning_rate: 1e300}": "base.learning_rate: found '1e300'; allowed: a number ≤ 1e+30.",
    "base: {augment: {flip: 1}}": "base.augment.flip: found 1; allowed: true or false.",
    "base: {augment: {shift: 20}}": "base.augment.shift: found 20; allowed: a number ≤ 16.",
    "network: {width: 0}": "network.width: found 0; allowed: a number ≥ 1.",
    "compute: {threads: 0}": "compute.threads: found 0; allowed: a number ≥ 1.",
    "compute: {jobs_per_gpu: 0}": "compute.jobs_per_gpu: found 0; allowed: a number ≥ 1.",
    "compare: {ood_images: 0}": "compare.ood_images: found 0; allowed: a number ≥ 1.",
    # lists
    "base: {seeds: []}": "base.seeds: found an empty list; allowed: a list with at least one entry.",
    "base: {seeds: 1}": "base.seeds: found 1; allowed: a list.",
    "base: {seeds: [1, 2, 1]}": "base.seeds: found 1 twice; allowed: each value once.",
    "prune: {thresholds: 0.1}": "prune.thresholds: found 0.1; allowed: a list.",
    "prune: {thresholds: [0.05, 5.0e-2]}": "prune.thresholds: found 0.05 twice; allowed: each value once.",
    "regularize: {lambdas: [1e-4, 0.0001]}": "regularize.lambdas: found 0.0001 twice;",
    "ood: []": "ood: found an empty list;",
    "ood: [{kind: digits}, {kind: digits}]": "ood[1]: found the data set 'digits' again, after ood[0]; "
    "allowed: each data set once.",
    "{dataset: {kind: shapes}, ood: [{kind: shapes}]}": "ood[0]: found the data set 'shapes' again, after "
    "dataset;",
    "{base: {seeds: [1]}, inspect: {variant: {l1: 0.004, epochs: 8, density: 0.2}, curve: true}}": "inspect.curve: found true, but "
    "base.seeds has one seed; allowed: false, or two or more seeds, because it needs two base models.",
    "{base: {seeds: [1]}, networks: {wide: {base: {seeds: [1, 2]}, prune: {thresholds: [0.5]}}}, inspect: "
    "{variant: {l1: 0.004, epochs: 8, density: 0.2}, plane: true}}": "inspect.plane: found true, but no "
    "network with inspect.variant has two base models; allowed: false, or two or more seeds, because it "
    "needs two base models.",
    "{base: {seeds: [1]}, controls: {orders: []}, compare: {states: [base]}}": "compare.states: found base, of which there is one "
    "model; allowed: states, seeds or controls of two or more models, because models are compared in pairs.",
    "{base: {seeds: [1]}, networks: {wide: {width: 12}}, controls: {forks: []}, compare: {weights: [mask_overlap]}}": "compare.weights: "
    "found mask_overlap, but no two pruned models of one network are compared; allowed: an empty list, or two pruned "
    "models or random controls of one network.",
    # controls
    "controls: {forks: [0.5, 2]}": "controls.forks[1]: found 2; allowed: a number ≤ 1.",
    "controls: {forks: [0.5, 0.50]}": "controls.forks: found 0.5 twice; allowed: each value once.",
    "{prune: {thresholds: []}, controls: {stopped: true}}": "controls.stopped: found true, but no model is "
    "pruned; allowed: false.",
    "{regularize: {lambdas: []}, controls: {plain: true}}": "controls.plain: found true, but no base is walked; "
    "allowed: false.",
    "{regularize: {lambdas: []}, controls: {random: [1]}}": "controls.random: found 1, but no model is pruned; "
    "allowed: an empty list.",
    "controls: {planted: true}": "controls.planted: found true; allowed: a whole number.",
    "controls: {planted: 8}": "controls.planted: found 8, but network.width is 8; allowed: a smaller width than "
    "that of the network, in which units are left over.",
    "{network: {name: speednet, width: 8}, controls: {planted: 4}}": "controls.planted: found 4, but network.name "
    "is 'speednet'; allowed: null, or the networks cnn, resnet9, resnet20.",
    # images
    "images: {side: 64}": "images.side: unknown key; allowed here: size",
    "images: {size: 8}": "images.size: found 8; allowed: a number ≥ 16.",
    "images: {size: big}": "images.size: found 'big'; allowed: a whole number.",
    "network: {channels: 2}": "network.channels: found 2; allowed: 1 or 3.",
    "dataset: {kind: 'torchvision:CIFAR1000'}": "dataset.kind: found 'torchvision:CIFAR1000'; allowed: "
    "torchvision:CIFAR10, torchvision:CIFAR100, … (did you mean 'torchvision:CIFAR100'?).",
    "ood: [{kind: 'torchvision:EuroSAT'}]": "ood[0].kind: found 'torchvision:EuroSAT'; allowed: a set that "
    "torchvision divides into training and test images (EuroSAT is not divided), or its images in folders, "
    "as imagefolder.",
    "dataset: 'torchvision:KMNIST'": "dataset: found 'torchvision:KMNIST'; allowed: a mapping, such as "
    "{kind: torchvision:KMNIST}.",
    "ood: [{kind: corrupted, corruption: fogg}]": "ood[0].corruption: found 'fogg'; allowed: gaussian_noise, … "
    "(did you mean 'fog'?).",
    "ood: [{kind: corrupted}]": "ood[0].corruption: found nothing; allowed: a value, because this key has no "
    "default.",
    "ood: [{kind: corrupted, corruption: fog, severity: 6}]": "ood[0].severity: found 6; allowed: a number ≤ 5.",
    "ood: [{kind: corrupted, corruption: fog, of: digits}]": "ood[0].of: found 'digits'; allowed: dataset.",
    "{network: {channels: 1}, ood: [{kind: corrupted, corruption: saturate}]}": "ood[0].corruption: found "
    "'saturate', which changes colours, but network.channels is 1; allowed: another corruption, or 3 channels.",
    "dataset: {kind: corrupted, corruption: fog}": "dataset.kind: found 'corrupted'; allowed: shapes,",
    "ood: [{kind: parquet, test: 'a-*.parquet'}]": "ood[0].test: found 'a-*.parquet', which no file matches; "
    "allowed: a parquet file or a glob.",
    "ood: [{kind: parquet}]": "ood[0].test: found nothing; allowed: a value, because this key has no default.",
    # sections, paths and names
    "base: 3": "base: found 3; allowed: a mapping of keys to values.",
    "base:": "base: found nothing; allowed: a mapping of keys to values.",
    "dataset: cifar10": "dataset: found 'cifar10'; allowed: a mapping, such as {kind: cifar10}.",
    "dataset: my_images": "dataset: found 'my_images'; allowed: a mapping, such as {kind: imagefolder, "
    "path: my_images}.",
    "ood: [digits]": "ood[0]: found 'digits'; allowed: a mapping, such as {kind: digits}.",
    "dataset: 3": "dataset: found 3; allowed: a mapping of keys to values.",
    "dataset: {kind: imagefolder}": "dataset.path: found nothing; allowed: a value, because this key has no default.",
    "dataset: {kind: imagefolder, path: no/such}": "dataset.path: found 'no/such', which is not a folder; "
    "allowed: an existing folder.",
    "ood: [{kind: imagefolder, path: no/such}]": "ood[0].path: found 'no/such', which is not a folder;",
    "dataset: {kind: imagefolder, path: ., name: a/b}": "dataset.name: found 'a/b'; allowed: letters, "
    "digits, '-' and '.', starting with a letter or digit.",
    "dataset: {kind: imagefolder, path: ., test_share: 1}": "dataset.test_share: found 1.0, which leaves",
    "networks: {a--b: {width: 4}}": "networks: found the key 'a--b'; allowed: keys of letters, digits, '-' "
    "and '.', starting with a letter or digit, without '--', which separates the models of a pair.",
    "experiment: a/b": "experiment: found 'a/b'; allowed: letters, digits, '_', '-' and '.', not starting "
    "with '.'.",
    "experiment: data": "experiment: found 'data'; allowed:",
    "experiment: 7": "experiment: found 7; allowed: text.",
    "data_root: [a]": "data_root: found a list; allowed: text.",
    "- a": "The configuration: found a list; allowed: a mapping of keys to values.",
    "": "The configuration: found nothing; allowed: a mapping of keys to values.",
    "1: 2": "1: unknown key;",
    "base: {1: 2}": "base.1: unknown key;",
    "ood: [{kind: 'a.py:f', options: {1: 2}}]": "ood[0].options: found the key 1; allowed: keys of "
    "text.",
}


@pytest.mark.parametrize(("text", "says"), CONFIG.items(), ids=list(CONFIG))
def test_a_configuration(text: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SkeletonsError) as caught:
        Plan(load(yaml.safe_load(text)))
    assert_says(str(caught.value), says)


def folder_of_one_class(scene: Scene) -> None:
    scene.image("photos/cats/1.png")
    load({"dataset": {"kind": "imagefolder", "path": "photos"}})


def folder_without_classes(scene: Scene) -> None:
    scene.image("photos/1.png")
    load({"dataset": {"kind": "imagefolder", "path": "photos"}})


def trained_on_and_compared_on(scene: Scene) -> None:
    for name in ("cats", "dogs"):
        scene.image(f"photos/{name}/1.png")
    spec = {"kind": "imagefolder", "path": "photos"}
    load({"dataset": spec, "ood": [{**spec, "name": "other"}]})


def folders_of(*names: str) -> Callable[[Scene], Any]:
    """A training folder with an image in each of these folders."""

    def provoke(scene: Scene) -> None:
        for name in names:
            scene.image(f"photos/{name}/1.png")
        load({"dataset": {"kind": "imagefolder", "path": "photos"}})

    return provoke


def read(content: bytes | str) -> Callable[[Scene], Any]:
    return lambda scene: yaml_file.read(scene.file("mine.yaml", content).relative_to(scene.folder))


def loaded(content: str) -> Callable[[Scene], Any]:
    return lambda scene: load(yaml_file.read(scene.file("mine.yaml", content)))


FOLDERS = [
    Mistake(
        "`dataset.path` is a folder of one class",
        "dataset.path: found one class, 'cats', in 'photos'; allowed: a folder for each of two or "
        "more classes.",
        folder_of_one_class,
    ),
    Mistake(
        "`dataset.path` is a folder of images without classes",
        "dataset.path: found no folders of classes in 'photos'; allowed: a folder for each of two "
        "or more classes.",
        folder_without_classes,
    ),
    Mistake(
        "the folder of training images is also an OOD set",
        "ood[0].path: found 'photos', the folder of dataset; allowed: another folder.",
        trained_on_and_compared_on,
    ),
]

FOLDERS += [
    Mistake(
        "the only folders are named like splits",
        "dataset.path: photos: found folders that are named like splits, test and val; allowed: "
        "train/CLASS and test/CLASS (or val/CLASS), or a folder for each class.",
        folders_of("val/cats", "test/cats"),
    ),
    Mistake(
        "there are folders of training images and of images without a name that is known",
        "dataset.path: photos: found a folder that is named like a split, train beside unlabelled; allowed: "
        "train/CLASS and test/CLASS (or val/CLASS), or a folder for each class.",
        folders_of("train/cats", "train/dogs", "unlabelled"),
    ),
    Mistake(
        "two folders could be the test set",
        "dataset.path: photos: found the folders val and valid; allowed: one of them.",
        folders_of("train/cats", "val/cats", "valid/cats"),
    ),
    Mistake(
        "splits are inside of the class folders",
        "dataset.path: photos: found splits inside of other folders, such as cats/train; allowed: "
        "the classes inside of the splits, such as train/CLASS (or the folder with the splits as "
        "path).",
        folders_of("cats/train", "cats/val", "dogs/train"),
    ),
    Mistake(
        "the name of a class folder has a line break",
        "dataset.path: photos: found the folder 'ca\\nts', whose name has a control character or "
        "is not UTF-8; allowed: another name.",
        folders_of("ca\nts", "dogs"),
    ),
]

FILES = [
    Mistake(
        "a configuration file is missing",
        "mine.yaml: No such file or directory; allowed: a YAML file, such as experiments/*.yaml.",
        lambda _: yaml_file.read("mine.yaml"),
    ),
    Mistake(
        "a configuration file is a folder",
        "mine.yaml: Is a directory; allowed: a YAML file",
        lambda scene: (scene.folder / "mine.yaml").mkdir() or yaml_file.read("mine.yaml"),
    ),
    Mistake(
        "a bracket is not closed",
        "mine.yaml, line 2: not YAML (while parsing a flow sequence, expected ',' or ']', but got "
        "…); correct it there or in the line above.",
        read("base: {seeds: [1, 2\nprune: 3\n"),
    ),
    Mistake(
        "a configuration is indented with a tab",
        "mine.yaml, line 2: found a tab; allowed: spaces as indentation.",
        read("base:\n\tseeds: [1]\n"),
    ),
    Mistake(
        "a key appears twice",
        "mine.yaml, line 3: found the key 'base' twice; allowed: once.",
        read("base: {seeds: [1]}\nnetwork: {width: 4}\nbase: {epochs: 3}\n"),
    ),
    Mistake(
        "a key appears twice in a section",
        "mine.yaml, line 3: found the key 'seeds' twice; allowed: once.",
        read("base:\n  seeds: [1]\n  seeds: [2]\n"),
    ),
    Mistake(
        "a seed is written `010`",
        "base.seeds[0]: found 010, which YAML reads as 8; allowed: a whole number without leading "
        "zeros or colons.",
        loaded("base: {seeds: [010]}\n"),
    ),
    Mistake(
        "an experiment is called `no`, without quotes",
        "experiment: found no, which YAML reads as false; allowed: text (for text, write 'no' in "
        "quotes).",
        loaded("experiment: no\n"),
    ),
    Mistake(
        "a configuration file is empty",
        "mine.yaml: found nothing; allowed: keys and values, such as `experiment: demo`.",
        read("# nothing yet\n"),
    ),
    Mistake("a configuration is a list", "mine.yaml: found a list; allowed:", read("- a\n")),
    Mistake("a configuration is a word", "mine.yaml: found 'demo'; allowed:", read("demo\n")),
    Mistake(
        "a configuration is not in UTF-8",
        "mine.yaml: byte 16 is not UTF-8; save the file in that encoding.",
        read(b"experiment: 'caf\xe9'\n"),
    ),
]

# --- data ---------------------------------------------------------------------------------------


def build(**values: Any) -> Dataset:
    section = SECTIONS[str(kind_of(values))]
    spec = section.model_validate(values).model_dump()
    return building.build(spec, Path("data"))


def photos(*images: str, empty: str = "", **values: Any) -> Callable[[Scene], Any]:
    """An image folder with images, and one without."""

    def provoke(scene: Scene) -> None:
        (scene.folder / "photos" / empty).mkdir(parents=True)
        for name in images:
            scene.image(f"photos/{name}")
        build(kind="imagefolder", path="photos", **values)

    return provoke


def broken_images(scene: Scene) -> None:
    for k in range(4):
        scene.image(f"photos/{('cats', 'dogs')[k % 2]}/{k}.png")
    for k in range(7):
        scene.file(f"photos/{'cats' if k < 4 else 'dogs'}/b{k}.png", b"no image")
    build(kind="imagefolder", path="photos", test_share=1.0)


def broken_image(scene: Scene) -> None:
    half = scene.image("photos/cats/1.png").read_bytes()[:50]
    for name in ("cats/2.png", "dogs/1.png"):
        scene.image(f"photos/{name}")
    scene.file("photos/dogs/2.png", half)
    build(kind="imagefolder", path="photos", test_share=0.5)


def link_to_nothing(scene: Scene) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        scene.image(f"photos/{name}")
    (scene.folder / "photos/dogs/2.png").symlink_to("nothing")
    build(kind="imagefolder", path="photos")


def huge_image(scene: Scene) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png"):
        Image.new("L", (9, 9)).save(scene.image(f"photos/{name}"))
    Image.new("L", (99, 99)).save(scene.image("photos/dogs/2.png"))
    scene.patch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    build(kind="imagefolder", path="photos")


def stage(**more: Any) -> None:
    """The job that makes a data set of the folder `photos`."""
    spec = {"kind": "imagefolder", "test_share": None}
    paths = {"images": "images.safetensors", "info": "info.json"}
    building.dataset_stage(**paths, spec=spec, data_root=None, where={"path": "photos"}, **more)


def one_colour(scene: Scene) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        scene.image(f"photos/{name}")
    stage()


def changed_image(scene: Scene) -> None:
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        scene.image(f"photos/{name}")
    stage(files="the digest of other files")


def data_of_another_experiment(_: Scene) -> None:
    images = Path("results/data/photos/images.safetensors")
    artifacts.write_tensors(images, {"test_images": np.zeros(1)})
    predictions = "results/demo/predictions/photos/seed=1.parquet"
    with making(Recipe("predict", {}, "c", {"photos/images.safetensors": "other"}, {}, 1, {})):
        artifacts.write_table(predictions, pd.DataFrame({"label": [1]}))
    check_source(predictions, images)


def offline(kind: str) -> Callable[[Scene], Any]:
    """A missing published data set, on a machine without a network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    def provoke(scene: Scene) -> None:
        scene.patch.setattr("urllib.request.urlopen", refuse)
        build(kind=kind)

    return provoke


def sought(name: str, files: str) -> str:
    return (
        f"{name} (train) could not be read: {files} in …/data are absent, "
        "incomplete or broken, and could not be downloaded (…); delete what is there and run "
        "again with a network connection, or copy the files to …/data from a machine that has them."
    )


def no_place_for_data(scene: Scene) -> None:
    scene.file("data", "a file, where a folder should be")
    offline("mnist")(scene)


DATA = [
    Mistake(
        "an image folder is missing",
        "photos is not a folder; an imagefolder's path is a folder of images.",
        lambda _: build(kind="imagefolder", path="photos"),
    ),
    Mistake("an image folder is empty", "photos holds no images; names of images end in", photos()),
    Mistake(
        "a class has no images",
        "photos/train/dogs holds no images; names of images end in",
        photos("train/cats/1.png", "test/cats/1.png", "test/dogs/1.png", empty="train/dogs"),
    ),
    Mistake(
        "a class has one image, and there is no test folder",
        "photos/dogs holds one image; allowed: at least two, because each class needs training and "
        "test images; or test_share: 1 for a set that models are only compared on.",
        photos("cats/1.png", "cats/2.png", "dogs/1.png"),
    ),
    Mistake(
        "a class has only training images",
        "photos/train has a class folder 'cats' that photos/test lacks; both need the same classes.",
        photos("train/cats/1.png", "test/dogs/1.png"),
    ),
    Mistake(
        "a train folder holds images without classes",
        "photos/train has no class folders; it needs one for each class.",
        photos("train/1.png", "test/1.png"),
    ),
    Mistake(
        "`test_share` is set although there is a test folder",
        "photos has a train and a test folder, so test_share must not be set.",
        photos("train/cats/1.png", "test/cats/1.png", test_share=0.5),
    ),
    Mistake(
        "more images are requested than there are",
        "imagefolder (train) has 2 images, but 9 are requested; request fewer, or leave the key "
        "out to use all.",
        photos("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png", test_share=0.5, train=9),
    ),
    Mistake(
        "an image is broken",
        "photos/dogs/2.png is not a complete image (…); repair or remove it.",
        broken_image,
    ),
    Mistake(
        "several images are broken",
        "7 of 11 images are not complete: photos/cats/b0.png, photos/cats/b1.png, photos/cats/b2.png, "
        "photos/cats/b3.png and 3 more (the first: …); repair or remove them.",
        broken_images,
    ),
    Mistake(
        "an image is a link to nothing",
        "photos/dogs/2.png cannot be read (…); if it is a link, what it leads to is missing; "
        "repair or remove it.",
        link_to_nothing,
    ),
    Mistake(
        "an image has too many pixels",
        "photos/dogs/2.png has more than 200 pixels, the most that are read; make it smaller or "
        "remove it.",
        huge_image,
    ),
    Mistake(
        "all images are of one colour",
        "photos: found training images that are all of nearly one colour (red, green and blue are "
        "200 to 200, 10 to 10, 10 to 10 of 255); allowed: images that span at least 16 levels.",
        one_colour,
    ),
    Mistake(
        "an image is changed while the workflow runs",
        "Images in photos were changed while the workflow ran; run snakemake again, which plans "
        "again.",
        changed_image,
    ),
    Mistake(
        "another experiment made a data set of the same name",
        "results/data/photos/images.safetensors is not the file that results/demo/predictions/"
        "photos/seed=1.parquet was made from, perhaps because another experiment has a data set of "
        "the same name; give one of the two another `name`, or run snakemake for this experiment "
        "again.",
        data_of_another_experiment,
    ),
    Mistake(
        "from Python, images are neither uint8 nor from 0 to 1",
        "images: found float64 1×3×32×32 from 200 to 200; allowed: uint8 N×3×32×32 with values "
        "from 0 to 255, or floats from 0 to 1.",
        lambda _: as_pixels(np.full((1, 3, 32, 32), 200.0)),
    ),
    Mistake(
        "a loaded network is given floats from 0 to 1",
        "images: found floats from 0.5 to 0.5; allowed: values from 0 to 255, as uint8 or floats, "
        "because the network standardises them itself; multiply images in 0..1 by 255.",
        lambda _: guard(torch.nn.Sequential())(torch.full((1, 3, 32, 32), 0.5)),
    ),
    Mistake(
        "CIFAR-10 is missing, and there is no network",
        sought("CIFAR10", "cifar-10-python.tar.gz or the folder cifar-10-batches-py"),
        offline("cifar10"),
    ),
    Mistake(
        "MNIST is missing, and there is no network",
        sought("MNIST", "the four files MNIST/raw/*-ubyte (or .gz)"),
        offline("mnist"),
    ),
    Mistake(
        "Fashion-MNIST is missing, and there is no network",
        sought("FashionMNIST", "the four files FashionMNIST/raw/*-ubyte (or .gz)"),
        offline("fashionmnist"),
    ),
    Mistake(
        "SVHN is missing, and there is no network",
        sought("SVHN", "train_32x32.mat and test_32x32.mat"),
        offline("svhn"),
    ),
    Mistake(
        "`data_root` cannot be written to",
        sought("MNIST", "the four files MNIST/raw/*-ubyte (or .gz)"),
        no_place_for_data,
    ),
]

# --- sizes, and parquet files --------------------------------------------------------------------


OWN_SIZE = {"images": {"size": None}}


def planned(config: dict[str, Any], *sides: tuple[str, tuple[int, int]]) -> Callable[[Scene], Any]:
    """A run is planned, with folders of two images each, of these widths and heights."""

    def provoke(scene: Scene) -> None:
        for name, size in sides:
            for k in range(2):
                path = scene.folder / f"{name}/{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", size).save(path)
        Plan(load(config))

    return provoke


def folder(name: str) -> dict[str, Any]:
    return {"kind": "imagefolder", "path": name}


def of_another_size(scene: Scene) -> None:
    """An image that planning did not look at has another size."""
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "dogs/2.png"):
        scene.image(f"photos/{name}")
    stage(side=64, exact=True)


def table(scene: Scene, name: str = "test.parquet", **columns: Any) -> Path:
    """A parquet file with an image in each row; `columns` replace or follow the usual two."""
    image = scene.image("one.png").read_bytes()
    content = {"image": [{"bytes": image, "path": None}] * 2, "label": [0, 1], **columns}
    pq.write_table(pa.table({key: value for key, value in content.items() if value}), name)
    return Path(name)


def tables(values: dict[str, Any] | None = None, **columns: Any) -> Callable[[Scene], Any]:
    """A data set of parquet files with these columns, which a run is planned for, and then made."""

    def provoke(scene: Scene) -> None:
        table(scene, **columns)
        section = {"kind": "parquet", "test": "test.parquet", **(values or {})}
        Plan(load({"ood": [section]}))
        build(**section)

    return provoke


def no_table(scene: Scene) -> None:
    scene.file("test.parquet", "not one")
    load({"ood": [{"kind": "parquet", "test": "test.parquet"}]})


def changed_table(scene: Scene) -> None:
    table(scene)
    spec = {**SECTIONS["parquet"].model_validate({"kind": "parquet", "test": "t"}).model_dump()}
    where = {"train": None, "test": "test.parquet"}
    paths = {"images": "images.safetensors", "info": "info.json"}
    building.dataset_stage(**paths, spec=spec, data_root=None, where=where, files="another")


def nothing_to_train_on(scene: Scene) -> None:
    table(scene)
    load({"dataset": {"kind": "parquet", "test": "test.parquet"}})


def text_and_numbers(scene: Scene) -> None:
    table(scene, "train.parquet", label=["cat", "dog"])
    table(scene)
    build(kind="parquet", train="train.parquet", test="test.parquet")


SIZES = [
    Mistake(
        "images of a folder differ in size, and `images.size` is null",
        "images.size: found nothing, but ood[0] has images from 64×48 to 90×90 pixels; allowed: a "
        "number of pixels ≥ 16, such as 32, to which all images are brought.",
        planned(
            {**OWN_SIZE, "ood": [folder("photos")]}, ("photos/a", (64, 48)), ("photos/b", (90, 90))
        ),
    ),
    Mistake(
        "images are not square, and `images.size` is null",
        "images.size: found nothing, but ood[0] has images of 64×48 pixels; allowed:",
        planned({**OWN_SIZE, "ood": [folder("photos")]}, ("photos", (64, 48))),
    ),
    Mistake(
        "data sets have images of different sizes, and `images.size` is null",
        "images.size: found nothing, but dataset has images of 28×28 pixels and ood[1] of 32×32; "
        "allowed:",
        planned(
            {
                "dataset": {"kind": "torchvision:KMNIST"},
                "ood": [{"kind": "digits"}, {"kind": "mnist"}],
            }
        ),
    ),
    Mistake(
        "a data set of torchvision has images of several sizes, and `images.size` is null",
        "images.size: found nothing, but dataset has images of several sizes; allowed:",
        planned({"dataset": {"kind": "torchvision:Food101"}}),
    ),
    Mistake(
        "images are too small for the networks",
        "images.size: found nothing, but ood[0] has images of 8×8 pixels; allowed: a number of "
        "pixels ≥ 16,",
        planned({**OWN_SIZE, "ood": [folder("photos")]}, ("photos", (8, 8))),
    ),
    Mistake(
        "a square that is blackened is larger than the images",
        "base.augment.cutout: found 20, but images have 16×16 pixels; allowed: a number ≤ 16.",
        planned({"images": {"size": 16}, "base": {"augment": {"cutout": 20}}}),
    ),
    Mistake(
        "an image among many has another size, and `images.size` is null",
        "photos/…png has 32×32 pixels, but images.size is not set and others have 64×64; set "
        "images.size to bring all images to one size.",
        of_another_size,
    ),
    Mistake(
        "a file is not a parquet file",
        "ood[0].test: found 'test.parquet', which is not a whole parquet file (…); allowed: a "
        "parquet file.",
        no_table,
    ),
    Mistake(
        "a parquet file does not have the column of images",
        "ood[0].image: found 'img', but test.parquet has no such column; allowed: one of image, "
        "label.",
        tables({"image": "img"}),
    ),
    Mistake(
        "the column of images holds no bytes",
        "ood[0].image: found 'image', whose type in test.parquet is string; allowed: a column with "
        "the bytes of image files, or with structs of bytes and path.",
        tables(image=["a.png", "b.png"]),
    ),
    Mistake(
        "the column of labels holds fractions",
        "ood[0].label: found 'label', whose type in test.parquet is double; allowed: a column of "
        "integers or text.",
        tables(label=[0.5, 1.5]),
    ),
    Mistake(
        "parquet files to train on are not named",
        "dataset.train: found nothing; allowed: a value, to train on.",
        nothing_to_train_on,
    ),
    Mistake(
        "a row of a parquet file has no image",
        "Row 0 of test.parquet has nothing in column 'image'; remove the row.",
        tables(image=[None, {"bytes": b"", "path": None}]),
    ),
    Mistake(
        "an image in a parquet file is broken",
        "Row 1 of test.parquet is not a complete image (…); repair or remove it.",
        lambda scene: tables(image=[scene.image("one.png").read_bytes(), b"broken"])(scene),
    ),
    Mistake(
        "labels are text in one parquet file and numbers in another",
        "test.parquet: found labels that are text in column 'label' and integers in other files, or "
        "the reverse; allowed: one of both.",
        text_and_numbers,
    ),
    Mistake(
        "parquet files are changed while the workflow runs",
        "Files of test.parquet were changed while the workflow ran; run snakemake again, which "
        "plans again.",
        changed_table,
    ),
    Mistake(
        "a data set of torchvision is missing, and there is no network",
        sought("KMNIST", "the files that torchvision.datasets.KMNIST reads"),
        offline("torchvision:KMNIST"),
    ),
]

# --- artifacts ----------------------------------------------------------------------------------

REMAKE = "; delete it and run snakemake again to remake it."
MODEL = "results/demo/models/seed=1"
WEIGHTS, HISTORY, SUMMARY = (
    f"{MODEL}/{name}" for name in ("weights.safetensors", "history.parquet", "model.json")
)
READ: dict[str, Callable[..., Any]] = {
    WEIGHTS: artifacts.read_tensors,
    HISTORY: artifacts.read_table,
    SUMMARY: artifacts.read_json,
}


def write(value: float = 1.0) -> None:
    artifacts.write_tensors(WEIGHTS, {"a": np.full(100, value)})
    artifacts.write_table(HISTORY, pd.DataFrame({"x": np.arange(100)}))
    artifacts.write_json(SUMMARY, {"x": list(range(100))})


def damaged(path: str, content: Callable[[bytes], bytes]) -> Callable[[Scene], Any]:
    def provoke(_: Scene) -> None:
        write()
        Path(path).write_bytes(content(Path(path).read_bytes()))
        READ[path](path)

    return provoke


def reading(path: str, *wanted: list[str], value: float = 1.0) -> Callable[[Scene], Any]:
    def provoke(_: Scene) -> None:
        write(value)
        READ[path](path, *wanted)

    return provoke


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "overwritten": lambda content: b"\x93" * 99,
}
WHOLE = {WEIGHTS: "safetensors file", HISTORY: "parquet file", SUMMARY: "JSON"}


def older_format(scene: Scene) -> None:
    write()
    scene.patch.setattr(seals, "FORMAT", 2)
    artifacts.read_json(SUMMARY)


def anothers_place(_: Scene) -> None:
    write()
    other = Path(SUMMARY.replace("seed=1", "seed=2"))
    other.parent.mkdir()
    shutil.copy(SUMMARY, other)
    artifacts.read_json(other)


def other_settings(_: Scene) -> None:
    write()
    place = "models/seed=1/model.json"
    with making(Recipe("prune", {}, "code", {}, {place: "another lineage"}, 1, {})):
        artifacts.read_json(SUMMARY)


def no_object(scene: Scene) -> None:
    artifacts.read_json(scene.file("scores.json", "[1]"))


def no_rows(_: Scene) -> None:
    artifacts.write_table(HISTORY, pd.DataFrame({"x": []}))
    artifacts.read_table(HISTORY)


def file_for_a_folder(scene: Scene) -> None:
    scene.file(MODEL)
    write()


ARTIFACTS = [
    *(
        Mistake(
            f"`{Path(path).name}` is missing",
            f"{path} does not exist; run snakemake to make it.",
            lambda _, path=path: READ[path](path),
        )
        for path in READ
    ),
    *(
        Mistake(
            f"`{Path(path).name}` is {damage}",
            f"{path} is not whole JSON (…){REMAKE}"
            if path == SUMMARY
            else f"{path} is not a whole {WHOLE[path]} (…){REMAKE}",
            damaged(path, change),
        )
        for path in READ
        for damage, change in DAMAGES.items()
    ),
    Mistake(
        "a JSON file was edited by hand",
        f"{SUMMARY} was changed after it was written{REMAKE}",
        damaged(SUMMARY, lambda content: content.replace(b"99", b"98")),
    ),
    Mistake(
        "the seal was removed from a file",
        f"{SUMMARY} was not written by this workflow, or was changed since (it has no seal){REMAKE}",
        damaged(SUMMARY, lambda content: b'{"x": 1}'),
    ),
    Mistake(
        "a file has an older format",
        f"{SUMMARY} is in format 1, but this version reads 2{REMAKE}",
        older_format,
    ),
    Mistake(
        "one model's file was copied over another's",
        f"seed=2/model.json holds another artifact, models/seed=1/model.json{REMAKE}",
        anothers_place,
    ),
    Mistake(
        "a file was copied from an experiment with other settings",
        f"{SUMMARY} was made from other settings than this experiment's{REMAKE}",
        other_settings,
    ),
    Mistake(
        "weights are not finite",
        f"{WEIGHTS} holds a value that is not finite in tensor 'a'{REMAKE}",
        reading(WEIGHTS, value=float("nan")),
    ),
    Mistake(
        "weights lack a layer",
        f"{WEIGHTS} holds no tensor named 'b'{REMAKE}",
        reading(WEIGHTS, ["b"]),
    ),
    Mistake(
        "a table lacks a column", f"{HISTORY} has no column 'y'{REMAKE}", reading(HISTORY, ["y"])
    ),
    Mistake("a table has no rows", f"{HISTORY} has no rows{REMAKE}", no_rows),
    Mistake("JSON lacks a key", f"{SUMMARY} has no key 'y'{REMAKE}", reading(SUMMARY, ["y"])),
    Mistake("JSON is a list", f"scores.json is not a JSON object{REMAKE}", no_object),
    Mistake(
        "a file is where a folder should be",
        f"Cannot write {WEIGHTS}: …",
        file_for_a_folder,
    ),
    Mistake(
        "the id of a model is not valid",
        "'seed=1_ep=4' is not a model id; one looks like seed=1_l1=1e-05_ep=4_t=0.05.",
        lambda _: model_ids.Model.parse("seed=1_ep=4"),
    ),
]

# --- a run and its environment ------------------------------------------------------------------


def crashed(line: str) -> Callable[[Scene], Any]:
    """The message about a job that left a traceback."""

    def provoke(scene: Scene) -> str:
        scene.file("logs/job.log", f"Traceback (most recent call last):\n  File …\n{line}\n")
        reason, log = explain(["logs/job.log"], "")
        assert log == "more in logs/job.log"
        return reason

    return provoke


def ended_by(signal: str) -> Callable[[Scene], Any]:
    """The message about a training job that a signal ended."""

    def provoke(scene: Scene) -> str:
        scene.file("logs/job.log", "Base model seed=1, epoch 1, training loss 2.3\n")
        said = (
            f"RuleException:\nCalledProcessError …\nCommand 'python' died with <Signals.{signal}>."
        )
        return explain(["logs/job.log"], said)[0]

    return provoke


def network_of(name: str, **more: Any) -> torch.nn.Sequential:
    return build_network(name, None, 10, [0.5] * 3, [0.2] * 3, **more)


def weights_with_code(scene: Scene) -> None:
    torch.save({"conv1.weight": scene}, scene.folder / "r18.pt")
    network_of("torchvision:resnet18", weights=str(scene.folder / "r18.pt"))


def weights_of_another(scene: Scene) -> None:
    donor = network_of("torchvision:mobilenet_v3_small").get_submodule("body")
    torch.save(donor.state_dict(), scene.folder / "r18.pt")
    network_of("torchvision:resnet18", weights=str(scene.folder / "r18.pt"))


NETWORKS = [
    Mistake(
        "an option that a network does not take",
        "network.options: found depth, with which 'torchvision:resnet18' cannot be made (TypeError: "
        "ResNet.__init__() got an unexpected keyword argument 'depth'); allowed: the arguments of this "
        "network as its package documents them.",
        lambda _: network_of("torchvision:resnet18", options={"depth": 3}),
    ),
    Mistake(
        "a network for images of another size",
        "network.name: found 'torchvision:vit_b_16', which failed on the images of the data set "
        "(AssertionError: Wrong image height! Expected 224 but got 32!); allowed: a network that takes "
        "them, with network.options where it needs them, such as img_size or image_size.",
        lambda _: network_of("torchvision:vit_b_16", options={"image_size": 224}),
    ),
    Mistake(
        "pretrained weights that would run code",
        "network.weights: …r18.pt: found a pickle that would run code when it is read (…); allowed: a "
        "state dict, written by torch.save(model.state_dict(), path) or as safetensors.",
        weights_with_code,
    ),
    Mistake(
        "pretrained weights of another network",
        "network.weights: found '…r18.pt', which has no tensor 'bn1.bias'; allowed: weights of the network "
        "that network.name and network.options describe.",
        weights_of_another,
    ),
    Mistake(
        "pretrained weights that torchvision does not have",
        "network.weights: found 'V9', which torchvision does not have for 'resnet18'; allowed: "
        "IMAGENET1K_V1, DEFAULT, or a file (with a slash, or .pt, .pth or .safetensors).",
        lambda _: network_of("torchvision:resnet18", weights="V9"),
    ),
    Mistake(
        "units of different bases are to be aligned, and cannot be followed",
        "The network has an operation, a convolution with groups of several channels, through which its "
        "units cannot be followed; allowed for aligning units: convolutions without groups or with one "
        "for each channel, linear layers, norms, torch's scaled_dot_product_attention, pooling, "
        "operations on single values such as activations and sums, and those that move values.",
        lambda _: symmetries.find(network_of("torchvision:resnext50_32x4d")),
    ),
    Mistake(
        "units are to be aligned by their activations, which depend on the number of images",
        "The operations of the network depend on the number of images, so the activations of its "
        "units cannot be seen; allowed for aligning by activations: networks that treat each image "
        "alike.",
        lambda _: seen_in_batches(),
    ),
    Mistake(
        "units are to be aligned by their activations, which are nowhere together",
        "The activations of the units of body.0 cannot be seen in one place; allowed for aligning by "
        "activations: networks in which all units of a layer are in one result of an operation.",
        lambda scene: seen_nowhere(scene),
    ),
]


def seen_in_batches() -> None:
    """Activations of a network that has one more operation if there are five images."""
    network = build_network("cnn", 4, 10, [0.5] * 3, [0.2] * 3)
    found = symmetries.find(network)
    images = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)
    network.get_submodule("body.0").register_forward_pre_hook(
        lambda module, given: (given[0] + 0,) if len(given[0]) == len(images) else None
    )
    units.activations(network, found, images)


def seen_nowhere(scene: Scene) -> None:
    network = build_network("cnn", 4, 10, [0.5] * 3, [0.2] * 3)
    scene.patch.setattr(units, "_values", lambda *_: {})  # no value has all units of a group
    units.find_values(network, symmetries.find(network))


def diverged(**changes: Any) -> Callable[[Scene], Any]:
    def provoke(_: Scene) -> None:
        torch.manual_seed(0)
        random = torch.Generator().manual_seed(0)
        pixels = torch.randint(0, 256, (100, 3, 32, 32), dtype=torch.uint8, generator=random)
        images = Images(pixels, torch.arange(100) % 10)
        network = build_network("cnn", 2, 10, [0.5] * 3, [0.2] * 3)
        settings = Base(**changes).model_dump(exclude={"seeds", "target"})
        train_base(network, images, images, 1, BaseSettings(**settings), "fp32")

    return provoke


def no_gpu(scene: Scene) -> None:
    scene.patch.setattr(torch.cuda, "is_available", lambda: False)
    pick_device("cuda")


def two_runs(scene: Scene) -> None:
    with scene.file("results/demo/.lock", "process 7 on node1\n").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        lock.hold("results/demo")


def python_too_old(scene: Scene) -> str:
    shutil.copy(ROOT / "Makefile", scene.folder)
    for name in ("requirements.lock", "pyproject.toml"):
        scene.file(name)
    old = scene.file("python3.9", '#!/bin/sh\n[ "$1" = -c ] && exit 1\necho Python 3.9.2\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "env", "PYTHON=./python3.9"], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stderr.splitlines()[0]


def linked(scene: Scene) -> None:
    scene.file("results")
    lock.hold("results/demo")


def not_exposable(scene: Scene) -> str:
    network = "nn.Sequential(nn.Conv2d(3, w, 3), nn.Softmax(1), nn.Conv2d(w, c, 22), nn.Flatten())"
    scene.file("mine.py", f"from torch import nn\n\ndef net(w, c):\n    return {network}\n")
    variant = {"l1": 0.004, "epochs": 8, "density": 0.2}
    inspect = {"variant": variant, "expose": True}
    return absent_looks(Plan(load({"network": {"name": "mine.py:net"}, "inspect": inspect})))


def of_another_shape(scene: Scene) -> None:
    network = "nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, c))"
    scene.file("mine.py", f"from torch import nn\n\ndef net(w, c):\n    return {network}\n")
    demand_network(Plan(load({"network": {"name": "mine.py:net"}})))


def ungrouped(section: str, **keys: Any) -> Callable[[Scene], Any]:
    """A run with a network whose channels cannot be followed, where its units are to be removed."""

    def provoke(scene: Scene) -> None:
        network = "nn.Sequential(nn.Conv2d(3, w, 3), nn.Softmax(1), nn.Conv2d(w, c, 22))"
        flat = f"nn.Sequential({network}, nn.Flatten())"
        scene.file("mine.py", f"from torch import nn\n\ndef net(w, c):\n    return {flat}\n")
        demand_network(Plan(load({"network": {"name": "mine.py:net"}, section: keys})))

    return provoke


def no_bridge(scene: Scene) -> str:
    network = "nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, w, 24), nn.Flatten(), nn.Linear(w, c))"
    scene.file("mine.py", f"from torch import nn\n\ndef net(w, c):\n    return {network}\n")
    variant = {"l1": 0.004, "epochs": 8, "density": 0.2}
    inspect = {"variant": variant, "bridge": True}
    return absent_looks(Plan(load({"network": {"name": "mine.py:net"}, "inspect": inspect})))


def off_target(_: Scene) -> str:
    measured = {"train_loss": 0.4305, "train_accuracy": 0.8476}
    return lines.missed("seed=1", measured, {"train_loss": 0.1, "train_accuracy": 0.97})


def unknown_layer(_: Scene) -> None:
    look = {"variant": {"l1": 0.004, "epochs": 8, "density": 0.2}, "layers": ["procrustes"]}
    demand_layers(Plan(load({"inspect": {**look, "layer_names": ["body.3", "body.99"]}})))


def transfer_to_trained(scene: Scene) -> None:
    files = {name: str(scene.file(f"{name}.pt")) for name in ("one", "two")}
    variant = {"l1": 0.004, "epochs": 8, "density": 0.2}
    load({"network": {"checkpoints": files}, "inspect": {"variant": variant, "transfer": True}})


RUN = [
    Mistake(
        "masks are to be transferred to trained models",
        "inspect.transfer: found true, but network.checkpoints has trained models, whose initial "
        "weights are not known; allowed: false, or bases that are trained here.",
        transfer_to_trained,
    ),
    Mistake(
        "a layer to compare is not in the network",
        "inspect.layer_names[1]: found 'body.99'; allowed: body.0, body.1, … (the layers of the "
        "network up to the one that runs last).",
        unknown_layer,
    ),
    Mistake(
        "a user-defined network does not take images of the size",
        "mine.py:net failed on images of 3×24×24, see images.size (RuntimeError: …); correct it and run snakemake "
        "again.",
        of_another_shape,
    ),
    Mistake(
        "a user-defined network cannot be exposed, with `inspect.expose`",
        "`inspect.expose` will not be available for mine.py:net, and all else is made without it: "
        "….",
        not_exposable,
    ),
    Mistake(
        "whole units are to be removed from a network whose channels cannot be followed",
        "regularize.groups: found 'units', which removes whole units; allowed: weights, because "
        "this cannot be done for 'mine.py:net': The network has an unsupported operation, …: its "
        "channels cannot be followed; allowed: ….",
        ungrouped("regularize", groups="units"),
    ),
    Mistake(
        "the units of a network whose channels cannot be followed are to be silenced",
        "prune.criterion: found 'counterfactual', which silences units one by one; allowed: "
        "magnitude, taylor, fisher, because this cannot be done for 'mine.py:net': The network has "
        "an unsupported operation, …: its channels cannot be followed; allowed: ….",
        ungrouped("prune", criterion="counterfactual"),
    ),
    Mistake(
        "two of a user-defined network cannot lie side by side, with `inspect.bridge`",
        "`inspect.bridge` will not be available for mine.py:net, and all else is made without it: "
        "The network normalises its images or logits, which both networks would share; allowed for "
        "two networks side by side: ….",
        no_bridge,
    ),
    Mistake(
        "a base model is not trained to optimality",
        "▲ base model seed=1 misses `base.target`: found training loss 0.4305 and training "
        "accuracy 0.8476; wanted at most 0.1 and at least 0.97.",
        off_target,
    ),
    Mistake(
        "training diverges",
        "diverged: the loss was … at step … of …; a lower learning rate or a longer warm-up may "
        "help.",
        diverged(learning_rate=1e6, epochs=6, batch_size=10),
    ),
    Mistake(
        "training diverges in its last step",
        "Base model seed=1, epoch 1, diverged: the loss was … on training and … on test images "
        "after its last step; a lower learning rate or a longer warm-up may help.",
        diverged(learning_rate=1e30, epochs=1, batch_size=100),
    ),
    Mistake(
        "`compute.device: cuda` without a GPU",
        "compute.device: found cuda, but no CUDA device is available; allowed: auto, cpu.",
        no_gpu,
    ),
    Mistake(
        "two runs of one experiment at once",
        "Another run is using results/demo (process 7 on node1); wait until it ends, or stop "
        "it, and run snakemake again.",
        two_runs,
    ),
    Mistake("`results` cannot be written to", "Cannot write to results/demo: ….", linked),
    Mistake(
        "the system kills a job, for example because memory is full",
        "its process was killed (SIGKILL), possibly because memory was full; if so, run fewer jobs "
        "at once (--cores).",
        ended_by("SIGKILL: 9"),
    ),
    Mistake(
        "someone ends a job",
        "another process ended it (SIGTERM); run snakemake again to continue.",
        ended_by("SIGTERM: 15"),
    ),
    Mistake(
        "a job runs out of memory",
        "The memory of this machine is full; run fewer jobs at once (--cores).",
        crashed("numpy._core._exceptions._ArrayMemoryError: Unable to allocate 9 GiB"),
    ),
    Mistake(
        "a job runs out of memory on the GPU",
        "The GPU's memory is full; run fewer jobs at once (--cores), or set a smaller batch_size.",
        crashed("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."),
    ),
    Mistake(
        "a package is missing",
        "The package torch is not installed; run `make env` to install all packages into .venv, "
        "then activate it with `source .venv/bin/activate`.",
        crashed("ModuleNotFoundError: No module named 'torch'"),
    ),
    Mistake(
        "Python is too old",
        "Python 3.11 or newer is needed; ./python3.9 is Python 3.9.2. Try make PYTHON=python3.12 env.",
        python_too_old,
    ),
]

# --- cluster ------------------------------------------------------------------------------------

SETTINGS = "MessageTimeout          = 10 sec\nMinJobAge               = {} sec\n"
JOB = (
    "JobId=7 JobState={state} Reason={state} TimeLimit=00:01:00 NodeList=node2 "
    "MinMemoryNode=1500M StdOut=gone"
)


def checked(
    *, command: str = "squeue", age: int = 300, **answers: tuple[str, str]
) -> Callable[[Scene], Any]:
    """A cluster that gives these answers when a run begins."""

    def provoke(scene: Scene) -> None:
        said = {"scontrol": (SETTINGS.format(age), ""), "sacct": ("", ""), "sinfo": ("main\n", "")}
        said |= answers
        scene.patch.setattr(slurm, "_ask", lambda *words: said[words[0]])
        slurm.check(command, 20, {"main"})

    return provoke


def lost(state: str = "", message: str = "", job: str | None = "7") -> Callable[[Scene], Any]:
    """A job that the cluster ended with this state."""

    def provoke(scene: Scene) -> str:
        record = (JOB.format(state=state), "")
        scene.patch.setattr(
            slurm, "_ask", lambda *words: record if words[0] == "scontrol" else ("", "")
        )
        told = {
            "rule_name": "train_base",
            "rule_msg": message,
            "log": ["logs/demo/train_base/seed=2.log"],
            "aux": {} if job is None else {"external_jobid": job},
        }
        return failures.explain(told).sentence()

    return provoke


CLUSTER = [
    Mistake(
        "the SLURM profile on a machine without SLURM",
        "SLURM does not respond here (there is no command scontrol): run this on a machine where "
        "`sbatch` works, or without `--workflow-profile profiles/slurm`.",
        checked(scontrol=("", "there is no command scontrol")),
    ),
    Mistake(
        "SLURM has no database, but the profile uses one",
        "sacct cannot report how jobs end (Connection refused), so the run would never finish: set "
        "`slurm-status-command: squeue` in profiles/slurm/config.yaml.",
        checked(command="sacct", sacct=("", "Connection refused")),
    ),
    Mistake(
        "SLURM forgets jobs too early",
        "SLURM forgets a job 60 s after its end, possibly before squeue is asked for its status: set "
        "`slurm-status-command: sacct` in profiles/slurm/config.yaml, or ask your administrator to "
        "raise MinJobAge in slurm.conf to 200.",
        checked(age=60),
    ),
    Mistake(
        "an unknown partition",
        "slurm_partition in profiles/slurm/config.yaml: found 'main'; allowed here: short.",
        checked(sinfo=("short\n", "")),
    ),
    Mistake(
        "an unknown account",
        "train_base of seed=2 could not be submitted: sbatch: error: Invalid account.",
        lost(
            message="SLURM sbatch failed. The error message was 'sbatch: error: Invalid account'.\n",
            job=None,
        ),
    ),
    Mistake(
        "a job is cancelled", "train_base of seed=2 was cancelled on node2.", lost("CANCELLED")
    ),
    Mistake(
        "a job exceeds its time limit",
        "train_base of seed=2 exceeded its time limit of 00:01:00 on node2; raise `runtime` of "
        "train_base in profiles/slurm/config.yaml.",
        lost("TIMEOUT"),
    ),
    Mistake(
        "a job exceeds its memory limit",
        "train_base of seed=2 exceeded its memory limit of 1500M on node2; raise `mem_mb` of "
        "train_base in profiles/slurm/config.yaml.",
        lost("OUT_OF_MEMORY"),
    ),
    Mistake(
        "a node goes down",
        "train_base of seed=2 was lost because its node node2 went down.",
        lost("NODE_FAIL"),
    ),
    Mistake(
        "a more urgent job takes the node",
        "train_base of seed=2 was preempted by a more urgent job on node2.",
        lost("PREEMPTED"),
    ),
]

# --- the command `skeletons` --------------------------------------------------------------------


def command(*words: str) -> Callable[[Scene], Any]:
    """The message of a `skeletons` command that must end with an error."""

    def provoke(scene: Scene) -> str:
        done = subprocess.run(
            [python(), "-m", "skeletons.commands.cli", *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert done.returncode != 0
        return done.stderr.strip().splitlines()[-1]

    return provoke


def other_folder(scene: Scene) -> str:
    scene.file("notes/a.txt")
    scene.file("notes/.git/HEAD")
    said = command("cache", "--folder", "notes", "--limit", "1MB")(scene)
    assert (scene.folder / "notes/.git/HEAD").exists()
    return str(said)


def show_elsewhere(scene: Scene) -> str:
    scene.file("notes.json", "{}")
    return command("show", "notes.json")(scene)


def show_typo(scene: Scene) -> str:
    scene.file("results/first/models/seed=1/model.json", "{}")
    return command("show", "results/frist/models/seed=1")(scene)


def show_ambiguous(scene: Scene) -> str:
    for experiment in ("first", "second"):
        scene.file(f"results/{experiment}/models/seed=1/model.json", "{}")
    return command("show", "seed=1")(scene)


def remove_typo(scene: Scene) -> str:
    scene.file("results/first/report.html")
    return command("remove", "frist", "--yes")(scene)


def remove_in_use(scene: Scene) -> str:
    with scene.file("results/first/.lock", "process 7 on node1\n").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        return command("remove", "first", "--yes")(scene)


def remove_unasked(scene: Scene) -> str:
    scene.file("results/first/report.html")
    return command("remove", "first")(scene)


HEADER = "seed_a,seed_b,kind,recipe,value\n"
TWO = f"{HEADER}1,2,base,,1.5\n1,2,pruned,r,0.6\n"


def verdict_of(content: str | bytes, *options: str, name: str = "t.csv") -> Callable[[Scene], Any]:
    """The message of `skeletons verdict` of a table with this content."""

    def provoke(scene: Scene) -> str:
        scene.file(name, content)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            assert cli.main(["verdict", name, *options]) == 1
        return said.getvalue().strip()

    return provoke


COMMAND = [
    Mistake(
        "`skeletons show` of a missing file",
        "results/demo/nothing is neither an artifact nor a folder of artifacts.",
        command("show", "results/demo/nothing"),
    ),
    Mistake(
        "`skeletons show` of a misspelt path",
        "results/frist/models/seed=1 is neither an artifact nor a folder of artifacts; the nearest is "
        "results/first/models/seed=1.",
        show_typo,
    ),
    Mistake(
        "`skeletons show` of a model that several experiments have",
        "seed=1 is a model of 2 experiments; name one of results/first/models/seed=1 and "
        "results/second/models/seed=1.",
        show_ambiguous,
    ),
    Mistake(
        "`skeletons show` of a file outside of `results`",
        "notes.json is not in results/EXPERIMENT, so it is not an artifact.",
        show_elsewhere,
    ),
    Mistake(
        "`skeletons cache --folder nowhere`",
        "nowhere is not a folder; allowed: the folder of a run cache, which a run makes (`cache` in "
        "the configuration).",
        command("cache", "--folder", "nowhere"),
    ),
    Mistake(
        "`skeletons cache` of another folder",
        "notes is not a run cache: found '.git' in it; allowed: the folder that `cache` names in the "
        "configuration.",
        other_folder,
    ),
    Mistake(
        "`skeletons cache --limit abc`",
        "argument --limit: found 'abc'; allowed: a number and a unit, for example 500MB or 1GB.",
        command("cache", "--limit", "abc"),
    ),
    Mistake(
        "`skeletons cache --limit 10`",
        "argument --limit: found '10'; allowed: a number and a unit, for example 500MB or 1GB.",
        command("cache", "--limit", "10"),
    ),
    Mistake(
        "`skeletons remove` of an experiment with a slip in it",
        "There is no experiment 'frist' here; there is: first (did you mean first?).",
        remove_typo,
    ),
    Mistake(
        "`skeletons remove` of the data sets",
        "results/data is shared by all experiments; `skeletons remove --all` deletes it with them, "
        "and `skeletons cache --limit SIZE` makes the run cache smaller.",
        command("remove", "data"),
    ),
    Mistake(
        "`skeletons remove` of an experiment that is in use",
        "A run is using results/first (process 7 on node1); wait until it ends, or stop it, and remove "
        "again.",
        remove_in_use,
    ),
    Mistake(
        "`skeletons remove`, and no answer to its question",
        "Nothing was deleted; answer y, or add --yes.",
        remove_unasked,
    ),
    Mistake(
        "`skeletons verdict` of a file that does not exist",
        "absent.csv is not a file; name a table in CSV or parquet.",
        command("verdict", "absent.csv"),
    ),
    Mistake(
        "`skeletons verdict` of a file that is not a table",
        "t.parquet cannot be read as a table in CSV or parquet (",
        verdict_of(b"no parquet", name="t.parquet"),
    ),
    Mistake(
        "`skeletons verdict` of a table without a column",
        "t.csv: found no column kind and recipe; needed: seed_a, seed_b, kind, recipe, value.",
        verdict_of("seed_a,seed_b,value\n1,2,0.5\n"),
    ),
    Mistake(
        "`skeletons verdict` of a table without pruned models",
        "t.csv: found no row of the kind pruned; an answer needs pairs of base and pruned.",
        verdict_of(f"{HEADER}1,2,base,,0.5\n"),
    ),
    Mistake(
        "`skeletons verdict` of an unknown kind",
        "t.csv, row 3: found the kind 'bases'; allowed: base, pruned, regularized, plain, stopped, "
        "random, ceiling.",
        verdict_of(f"{HEADER}1,2,base,,0.5\n1,3,bases,,0.5\n"),
    ),
    Mistake(
        "`skeletons verdict` of a value in words",
        "t.csv, row 2: found the value 'high'; allowed: a number, or nothing for a pair with a dead "
        "model.",
        verdict_of(f"{HEADER}1,2,base,,high\n"),
    ),
    Mistake(
        "`skeletons verdict` of a pair that is there twice",
        "t.csv, row 3: found the pair 2, 1 of kind pruned of recipe 'r' twice; allowed: each pair once.",
        verdict_of(f"{HEADER}1,2,pruned,r,0.5\n2,1,pruned,r,0.6\n"),
    ),
    Mistake(
        "`skeletons verdict` of a seed with itself",
        "t.csv, row 2: found the seed 1 with itself; allowed: two seeds (one seed twice only for the "
        "kind ceiling).",
        verdict_of(f"{HEADER}1,1,base,,0.5\n"),
    ),
    Mistake(
        "`skeletons verdict` of a pair of one seed",
        "t.csv, row 2: found no seed_b; every pair has two.",
        verdict_of(f"{HEADER}1,,base,,0.5\n"),
    ),
    Mistake(
        "`skeletons verdict` of a value beyond its measure",
        "t.csv, row 2: found the value 1.5; allowed: 0 to 1, the range of the measure.",
        verdict_of(TWO, "--measure", "agreement"),
    ),
    Mistake(
        "`skeletons verdict --recipe` of a recipe that is not there",
        "--recipe: found 's'; allowed: 'r', the recipes of pruned models.",
        verdict_of(TWO, "--recipe", "s"),
    ),
    Mistake(
        "`skeletons verdict --measure` of an unknown measure",
        "--measure: found 'cosine'; allowed: cosine_prob, …",
        verdict_of(TWO, "--measure", "cosine"),
    ),
    Mistake(
        "`skeletons verdict --margin 0`",
        "--margin: found 0; allowed: a number > 0.",
        verdict_of(TWO, "--margin", "0"),
    ),
    Mistake(
        "`skeletons verdict --looks 0`",
        "--looks: found 0; allowed: a number ≥ 1.",
        verdict_of(TWO, "--looks", "0"),
    ),
    Mistake(
        "`make measures` without the page of measures",
        "docs/measures.md does not exist; name the page of measures.",
        lambda _: catalogue.main("docs/measures.md"),
    ),
]

GROUPS = {
    "Folders of images": FOLDERS,
    "Files of configurations": FILES,
    "Data": DATA,
    "Networks of packages": NETWORKS,
    "Sizes of images, and parquet files": SIZES,
    "Artifacts": ARTIFACTS,
    "A run and its environment": RUN,
    "A cluster": CLUSTER,
    "The command skeletons": COMMAND,
}
EVERY = [mistake for group in GROUPS.values() for mistake in group]


@pytest.mark.parametrize("mistake", EVERY, ids=lambda mistake: mistake.what)
def test_a_mistake(mistake: Mistake, scene: Scene) -> None:
    assert_says(raised(mistake, scene), mistake.says)


# --- the command snakemake ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("mistakes"))
    (made / "twice.yaml").write_text("experiment: one\nexperiment: two\n")
    (made / "open.yaml").write_text("base: {seeds: [1\n")
    (made / "latin.yaml").write_bytes(b"experiment: caf\xe9\n")
    return made


# By the arguments added to a dry run.
SNAKEMAKE: dict[str, str] = {
    "--configfile absent.yaml": "absent.yaml: No such file or directory; allowed: a YAML file",
    "--configfile open.yaml": "open.yaml, line 2: not YAML (",
    "--configfile latin.yaml": "latin.yaml: byte 15 is not UTF-8; save the file in that encoding.",
    "--configfile twice.yaml": "twice.yaml, line 2: found the key 'experiment' twice; allowed: "
    "once.",
    "--config base.seeds=3": "--config: found 'base.seeds=3'; allowed: KEY=VALUE with a key of the "
    "configuration's first level, such as --config 'base={seeds: [3]}'.",
    "--config base": "--config: found 'base'; allowed: KEY=VALUE",
    "--config base=3": "base: found 3; allowed: a mapping of keys to values.",
    "--config seeds=3": "seeds: unknown key; allowed here: experiment, dataset,",
    "results/grid/models/seed=9/model.txt": "results/grid/models/seed=9/model.txt is neither a rule "
    "nor a file of this configuration; `snakemake --summary` with the same --configfile lists its "
    "files.",
    "twice.yaml": "twice.yaml is not a target; to use it as the configuration, add --configfile "
    "twice.yaml.",
    "results": "results is a folder, which cannot be a target; allowed: a rule, or a file in it.",
    "reprot": "reprot is neither a rule nor a file of this configuration (did you mean report?); "
    "`snakemake --summary` with the same --configfile lists its files.",
    "train_base": "A rule that makes one file per model cannot be a target; name a file, such as "
    "results/demo/models/seed=1/weights.safetensors, or run it with `--until RULE`.",
}


@pytest.mark.parametrize(("arguments", "says"), SNAKEMAKE.items(), ids=list(SNAKEMAKE))
def test_a_command(arguments: str, says: str, workflow: Workflow) -> None:
    extra = [] if "--configfile" in arguments else ["--"] * (not arguments.startswith("--"))
    done = workflow.run(CHAIN, "--dry-run", *extra, *arguments.split())
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert_says(done.stdout.strip().splitlines()[-1], says)


def test_numbers_on_the_command_line_are_numbers(workflow: Workflow) -> None:
    done = workflow.planned(CHAIN, "--until", "train_base", "--config", "base={seeds: [7, 8]}")
    assert done["train_base"] == 2


def test_another_folder(workflow: Workflow, tmp_path: Path) -> None:
    done = subprocess.run(
        workflow.command()[:5],
        cwd=tmp_path,
        env=workflow.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert_says(done.stderr.strip(), "Error: No Snakefile found, tried Snakefile,")


@pytest.mark.parametrize(
    ("exception", "message", "says"),
    [
        (
            "WorkflowError",
            'WorkflowError in file "Snakefile", line 5:\nExpecting Snakemake version 9.0 or higher '
            "(you are currently using 8.1).\n",
            "Expecting Snakemake version 9.0 or higher (you are currently using 8.1); `make env` "
            "installs it.",
        ),
        (
            "ModuleNotFoundError",
            "ModuleNotFoundError in file \"rules/common.smk\", line 3:\nNo module named 'yaml'",
            "The package yaml is not installed; run `make env`",
        ),
        (
            "PermissionError",
            "Traceback (most recent call last):\n  File …\n"
            "PermissionError: [Errno 13] Permission denied: '/x/.snakemake'\n",
            "Cannot use /x/.snakemake: Permission denied.",
        ),
    ],
)
@pytest.mark.parametrize("started", [False, True])
def test_what_snakemake_says_before_it_begins(
    exception: str, message: str, says: str, started: bool
) -> None:
    assert_says(sentence(message, exception, [], started), says)


UNKNOWN = "WorkflowError:\nSomething new.\n  File x, line 3"


def test_what_nobody_has_thought_of_is_left_as_it_is() -> None:
    assert sentence(UNKNOWN, "WorkflowError", [], started=False) == UNKNOWN
    entries = ["--config", "base={seeds: [1]}"]
    assert sentence(UNKNOWN, "ValueError", entries, started=False) == UNKNOWN


def test_a_broken_configuration_is_blamed_only_before_the_start(scene: Scene) -> None:
    command = ["--configfile", str(scene.file("open.yaml", "base: {seeds: [1\n")), "--config", "x"]
    said = sentence(UNKNOWN, "WorkflowError", command, started=False)
    assert_says(said, "open.yaml, line 2: not YAML (")
    assert sentence(UNKNOWN, "WorkflowError", command, started=True) == UNKNOWN
    entry = sentence(UNKNOWN, "ValueError", command[2:], started=False)
    assert_says(entry, "--config: found 'x'; allowed: KEY=VALUE")
    assert sentence(UNKNOWN, "WorkflowError", command[2:], started=False) == UNKNOWN
    absent = ["--configfile", "absent.yaml"]  # in another folder, as with --directory
    assert sentence(UNKNOWN, "WorkflowError", absent, started=False) == UNKNOWN


# --- the page -----------------------------------------------------------------------------------


def page() -> str:
    """The catalogue for readers."""
    tables = {
        "Configuration": {f"`{text}`": says for text, says in CONFIG.items() if text},
        "The command snakemake": {f"`{text}`": says for text, says in SNAKEMAKE.items()},
        **{title: {m.what: m.says for m in group} for title, group in GROUPS.items()},
    }
    sections = [
        f"## {title}\n\n"
        + "\n\n".join(f"{what}\n\n> {_whole(says)}" for what, says in rows.items())
        for title, rows in tables.items()
    ]
    return "\n\n".join([HEAD, *sections]) + "\n"


HEAD = """# Error messages

Each mistake below is made by a test in `tests/test_errors.py`; `make errors` writes this page from
these tests. A message is one sentence: what is wrong, where, what was found, and what is allowed or
what to do. `…` stands for a variable part."""


def _whole(says: str) -> str:
    before = "" if re.match(r"[\w'.-]", says) else "… "
    return f"{before}{says}{'' if says.endswith(('.', '…')) else ' …'}".replace("<", "&lt;")


def test_the_page_is_that_of_these_tables() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make errors`"


def test_there_are_many() -> None:
    assert len(CONFIG) + len(EVERY) + len(SNAKEMAKE) >= 60
    assert len({mistake.what for mistake in EVERY}) == len(EVERY)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
