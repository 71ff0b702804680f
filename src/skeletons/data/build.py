"""Make a data set from any source, and write its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skeletons.data import examine, shapes
from skeletons.data.files import SIDE, SPLITS, Dataset, Labels, Pixels
from skeletons.data.folders import load_folder
from skeletons.data.published import PUBLISHED, load_digits, load_published
from skeletons.data.user import load_user
from skeletons.errors import DataError
from skeletons.store import artifacts
from skeletons.user_code.references import is_reference


def load_shapes(spec: Mapping[str, Any], _: Path) -> Dataset:
    """Draw coloured shapes."""
    train = shapes.draw(spec["train"], spec["seed"], 0)
    test = shapes.draw(spec["test"], spec["seed"], 1)
    return Dataset(*train, *test, shapes.CLASSES)


def load_noise(spec: Mapping[str, Any], _: Path) -> Dataset:
    """Draw uniform noise, which is only used to compare models."""
    shape = (spec["images"], 3, SIDE, SIDE)
    pixels = np.random.default_rng(spec["seed"]).integers(0, 256, shape, dtype=np.uint8)
    return Dataset.without_training(pixels, np.zeros(len(pixels), dtype=np.int64), ("noise",))


LOADERS: Mapping[str, Callable[[Mapping[str, Any], Path], Dataset]] = {
    "shapes": load_shapes,
    "digits": load_digits,
    "noise": load_noise,
    "imagefolder": load_folder,
    **dict.fromkeys(PUBLISHED, load_published),
}


def build(spec: Mapping[str, Any], data_root: Path) -> Dataset:
    """Make a data set.

    Args:
        spec: its section of the configuration, with all keys.
        data_root: where torchvision finds its files or downloads them to.

    Raises:
        DataError: a source is missing or broken, or has fewer images than the section asks for.
        ExtensionError: the user-defined function cannot be used, or returns something else.
    """
    kind = spec["kind"]
    made = load_user(spec) if is_reference(kind) else LOADERS[kind](spec, data_root)
    train, test = (made.train_images, made.train_labels), (made.test_images, made.test_labels)
    chosen = Dataset(
        *_first(*train, 0, spec.get("train"), f"{kind} (train)"),
        *_first(*test, 1, spec.get("test"), f"{kind} (test)"),
        made.classes,
    )
    return replace(chosen, notes=(*made.notes, *examine.copies(chosen)))


def _first(
    images: Pixels, labels: Labels, seed: int, count: int | None, name: str
) -> tuple[Pixels, Labels]:
    """The images in a fixed random order, the first `count` of them or all."""
    if count is not None and count > len(labels):
        raise DataError(
            f"{name} has {len(labels)} images, but {count} are requested; request fewer, "
            "or leave the key out to use all."
        )
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    return images[order], labels[order]


def write(dataset: Dataset, path: str | Path, info: str | Path) -> None:
    """Write a data set's images and labels to `path`, and a description as JSON to `info`.

    The JSON holds the classes, the number of images of each split, and each channel's mean and
    standard deviation in [0, 1] over the training images (over the test images, if there are none).
    If a user should know something about the source, it holds notes, which are sentences.
    """
    images = dataset.train_images if len(dataset.train_images) else dataset.test_images
    # Counts of the 256 values give exact sums, without a floating-point copy of the images.
    counts = np.stack([np.bincount(images[:, c].reshape(-1), minlength=256) for c in range(3)])
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(axis=1)
    deviation = np.sqrt(counts @ levels**2 / counts.sum(axis=1) - mean**2)
    artifacts.write_json(
        info,
        {
            "classes": list(dataset.classes),
            "train": len(dataset.train_labels),
            "test": len(dataset.test_labels),
            "mean": mean.tolist(),
            "std": np.maximum(deviation, 1e-3).tolist(),
            **({"notes": list(dataset.notes)} if dataset.notes else {}),
        },
    )
    names = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    artifacts.write_tensors(path, {name: getattr(dataset, name) for name in names})


def dataset_stage(
    *,
    images: str,
    info: str,
    spec: Mapping[str, Any],
    data_root: str | None,
    folder: str | None = None,
    files: str | None = None,
) -> None:
    """Make a data set, write its files, and print what a user should know about its source.

    Args:
        images: the safetensors file to write.
        info: the JSON file to write, see `write`.
        spec: the data set's section of the configuration, with all keys but the path of a folder.
        data_root: where torchvision keeps its files; None if the data set is not downloaded.
        folder: the user's folder of images; None if the data set has none.
        files: the digest of the files in it, for which the run was planned.

    Raises:
        DataError: a source is missing, broken or was changed, or its images are of one colour.
        ExtensionError: the user-defined function cannot be used, or returns something else.
    """
    where = {} if folder is None else {"path": folder, "files": files}
    made = build({**spec, **where}, Path(data_root or "."))
    examine.check_colours(made, folder or spec["kind"])
    for note in made.notes:
        print(f"Note: {note}")
    write(made, images, info)
