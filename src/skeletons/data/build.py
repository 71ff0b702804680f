"""Make a data set from any source, and write its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skeletons.config.torchvision_sets import PREFIX
from skeletons.data import corruptions, examine, shapes
from skeletons.data.files import (
    CHANNELS,
    SIDE,
    SPLITS,
    USUAL,
    Dataset,
    Form,
    Labels,
    Pixels,
    read_info,
    read_split,
)
from skeletons.data.folders import load_folder
from skeletons.data.parquet import load_parquet
from skeletons.data.published import PUBLISHED, load_digits, load_published, load_torchvision
from skeletons.data.sizes import to_channels
from skeletons.data.user import load_user
from skeletons.errors import DataError
from skeletons.store import artifacts, memory
from skeletons.user_code.references import is_reference


def load_shapes(spec: Mapping[str, Any], _: Path, form: Form) -> Dataset:
    """Draw coloured shapes."""
    train = shapes.draw(spec["train"], spec["seed"], 0, side=form.side)
    test = shapes.draw(spec["test"], spec["seed"], 1, side=form.side)
    return Dataset(*train, *test, shapes.CLASSES)


def load_noise(spec: Mapping[str, Any], _: Path, form: Form) -> Dataset:
    """Draw uniform noise, which is only used to compare models."""
    shape = (spec["images"], form.channels, form.side, form.side)
    pixels = np.random.default_rng(spec["seed"]).integers(0, 256, shape, dtype=np.uint8)
    return Dataset.without_training(pixels, np.zeros(len(pixels), dtype=np.int64), ("noise",))


USUAL_SHAPE = (CHANNELS, SIDE, SIDE)
LOADERS: Mapping[str, Callable[[Mapping[str, Any], Path, Form], Dataset]] = {
    "shapes": load_shapes,
    "digits": load_digits,
    "noise": load_noise,
    "imagefolder": load_folder,
    "parquet": load_parquet,
    **dict.fromkeys(PUBLISHED, load_published),
}


def build(spec: Mapping[str, Any], data_root: Path, form: Form = USUAL) -> Dataset:
    """Make a data set, but not one of corrupted images.

    Args:
        spec: its section of the configuration, with all keys.
        data_root: where torchvision finds its files or downloads them to.
        form: that all images are brought to.

    Raises:
        DataError: a source is missing or broken, has images that differ from an exact form, or has
            fewer images than the section asks for.
        ExtensionError: the user-defined function cannot be used, or returns something else.
    """
    kind = spec["kind"]
    made = _load(spec, data_root, form)
    counts = [spec.get("train"), spec.get("test")]
    if kind == "parquet":  # whose `train` and `test` name files
        counts = [spec["train_images"], spec["test_images"]]
    # One split after the other, so that only one is in memory twice.
    pixels = to_channels(made.train_images, form.channels)
    made = replace(made, train_images=pixels[:0])
    pixels, labels = _first(pixels, made.train_labels, 0, counts[0], f"{kind} (train)")
    made = replace(made, train_images=pixels, train_labels=labels)
    pixels = to_channels(made.test_images, form.channels)
    pixels, labels = _first(pixels, made.test_labels, 1, counts[1], f"{kind} (test)")
    made = replace(made, test_images=pixels, test_labels=labels)
    return replace(made, notes=(*made.notes, *examine.copies(made)))


def _load(spec: Mapping[str, Any], data_root: Path, form: Form) -> Dataset:
    kind = spec["kind"]
    if is_reference(kind):
        return load_user(spec, form)
    if kind.startswith(PREFIX):
        return load_torchvision(spec, data_root, form)
    return LOADERS[kind](spec, data_root, form)


def corrupt(spec: Mapping[str, Any], source: str | Path, info: str | Path) -> Dataset:
    """The test images of a data set with a corruption, in their order.

    Args:
        spec: the section of the configuration.
        source: the images.safetensors of the data set.
        info: its info.json.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    images, labels = read_split(source, "test")
    corrupted = corruptions.apply(images, spec["corruption"], spec["severity"], spec["seed"])
    return Dataset.without_training(corrupted, labels, read_info(info)["classes"])


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
    chosen = memory.array((len(order), *images.shape[1:]))
    for part in memory.chunks(chosen):
        chosen[part] = images[order[part]]
    return chosen, labels[order]


def write(dataset: Dataset, path: str | Path, info: str | Path) -> None:
    """Write a data set's images and labels to `path`, and a description as JSON to `info`.

    The JSON holds the classes, the number of images of each split, and each channel's mean and
    standard deviation in [0, 1] over the training images (over the test images, if there are none).
    If the images do not have the usual shape, it holds their channels, height and width as
    `image_shape`.
    If a user should know something about the source, it holds notes, which are sentences.
    """
    images = dataset.train_images if len(dataset.train_images) else dataset.test_images
    # Counts of the 256 values give exact sums, without a floating-point copy of the images.
    counts = np.zeros((images.shape[1], 256), dtype=np.int64)
    for part in memory.chunks(images):
        for channel, count in enumerate(counts):
            count += np.bincount(images[part, channel].reshape(-1), minlength=256)
    levels = np.arange(256) / 255
    mean = counts @ levels / counts.sum(axis=1)
    variance = counts @ levels**2 / counts.sum(axis=1) - mean**2
    deviation = np.sqrt(np.maximum(variance, 0.0))  # rounding may make that of one value negative
    artifacts.write_json(
        info,
        {
            "classes": list(dataset.classes),
            "train": len(dataset.train_labels),
            "test": len(dataset.test_labels),
            "mean": mean.tolist(),
            "std": np.maximum(deviation, 1e-3).tolist(),
            **({} if images.shape[1:] == USUAL_SHAPE else {"image_shape": list(images.shape[1:])}),
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
    side: int = SIDE,
    channels: int = CHANNELS,
    exact: bool = False,
    where: Mapping[str, str | None] | None = None,
    files: str | None = None,
    source: str | None = None,
    source_info: str | None = None,
) -> None:
    """Make a data set, write its files, and print what a user should know about its source.

    Args:
        images: the safetensors file to write.
        info: the JSON file to write, see `write`.
        spec: the data set's section of the configuration, without the keys of `where`.
        data_root: where torchvision keeps its files; None if the data set is not downloaded.
        side: height and width that the images are brought to.
        channels: that they are brought to.
        exact: whether images of another size are refused.
        where: the keys that say where the user's files are.
        files: the digest of these files, for which the run was planned.
        source: for corrupted images, the images.safetensors of the data set that they are of.
        source_info: its info.json.

    Raises:
        DataError: a source is missing, broken or was changed, or its images are of one colour.
        ExtensionError: the user-defined function cannot be used, or returns something else.
    """
    if source is not None and source_info is not None:
        write(corrupt(spec, source, source_info), images, info)
        return
    given = {**spec, **(where or {}), "files": files} if where else spec
    made = build(given, Path(data_root or "."), Form(side, channels, exact))
    examine.check_colours(made, given.get("path") or spec["kind"])
    for note in made.notes:
        print(f"Note: {note}")
    write(made, images, info)
