"""Data sets: images of any source brought to one form, uint8 RGB of 32×32 pixels.

How other forms become that: grey images repeat their one channel; 28×28 images get a black border
of two pixels; scikit-learn's 8×8 digits are enlarged by bilinear interpolation; and a user's own
images are resized (bicubic, antialiased) so that the shorter side is 32, then cropped to the
centre, transparency laid over black. What a function of the user's gives must be in that form.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from skeletons.data import shapes
from skeletons.errors import DataError
from skeletons.store import artifacts
from skeletons.store.seals import unfit
from skeletons.user_code.load import call, refusal
from skeletons.user_code.references import is_reference

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

SIDE = 32
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Dataset:
    """Images uint8 N×3×32×32 and labels int64 N (numbers of `classes`), for training and test.

    Sets that are only ever compared on have no training images. Both splits are in a fixed random
    order, so that the first n images of either are a fair sample.
    """

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: tuple[str, ...]


def build(spec: Mapping[str, Any], data_root: Path) -> Dataset:
    """Make a data set.

    Args:
        spec: its section of the configuration, with all keys.
        data_root: where torchvision keeps or downloads.

    Raises:
        DataError: a source is missing or broken, or has fewer images than the section asks for.
        ExtensionError: the user's function cannot be used, or gives something else.
    """
    kind = spec["kind"]
    made = _own(spec) if is_reference(kind) else LOADERS[kind](spec, data_root)
    train, test = (made.train_images, made.train_labels), (made.test_images, made.test_labels)
    return Dataset(
        *_drawn(*train, 0, spec.get("train"), f"{kind} (train)"),
        *_drawn(*test, 1, spec.get("test"), f"{kind} (test)"),
        made.classes,
    )


def _drawn(
    images: Pixels, labels: Labels, seed: int, count: int | None, name: str
) -> tuple[Pixels, Labels]:
    """The images in a fixed random order, the first `count` of them or all."""
    if count is not None and count > len(labels):
        raise DataError(
            f"{name} has {len(labels)} images, but {count} are asked for; ask for fewer, "
            "or leave the key out to have all."
        )
    order = np.random.default_rng(seed).permutation(len(labels))[:count]
    return images[order], labels[order]


def _test_only(images: Pixels, labels: Labels, classes: Sequence[str]) -> Dataset:
    return Dataset(images[:0], labels[:0], images, labels, tuple(classes))


def _shapes(spec: Mapping[str, Any], _: Path) -> Dataset:
    train = shapes.draw(spec["train"], spec["seed"], 0)
    test = shapes.draw(spec["test"], spec["seed"], 1)
    return Dataset(*train, *test, shapes.CLASSES)


def _digits(_: Mapping[str, Any], __: Path) -> Dataset:
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
    size = (SIDE, SIDE)
    large = [np.asarray(Image.fromarray(g).resize(size, Image.Resampling.BILINEAR)) for g in grey]
    return _test_only(to_rgb(np.stack(large)), found.target.astype(np.int64), "0123456789")


def _noise(spec: Mapping[str, Any], _: Path) -> Dataset:
    shape = (spec["images"], 3, SIDE, SIDE)
    pixels = np.random.default_rng(spec["seed"]).integers(0, 256, shape, dtype=np.uint8)
    return _test_only(pixels, np.zeros(len(pixels), dtype=np.int64), ("noise",))


def to_rgb(grey: Pixels) -> Pixels:
    """Grey images N×H×W as RGB N×3×32×32: a black border around, and three equal channels."""
    border = (SIDE - grey.shape[1]) // 2
    grey = np.pad(grey, ((0, 0), (border, border), (border, border)))
    return np.repeat(grey[:, None], 3, axis=1)


# --- through torchvision ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Published:
    """A set that torchvision knows: its class there, the files it needs, and its class names."""

    name: str
    files: str
    classes: tuple[str, ...]


_DIGITS = tuple("0123456789")
_PUBLISHED = {
    "cifar10": _Published(
        "CIFAR10",
        "cifar-10-python.tar.gz or the folder cifar-10-batches-py",
        ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "mnist": _Published("MNIST", "the four files MNIST/raw/*-ubyte (or .gz)", _DIGITS),
    "fashionmnist": _Published(
        "FashionMNIST",
        "the four files FashionMNIST/raw/*-ubyte (or .gz)",
        (
            "top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "boot",
        ),
    ),
    "svhn": _Published("SVHN", "train_32x32.mat and test_32x32.mat", _DIGITS),
}


def _published(spec: Mapping[str, Any], data_root: Path) -> Dataset:
    about = _PUBLISHED[spec["kind"]]
    train, test = (_fetch(about, data_root, split) for split in SPLITS)
    return Dataset(*train, *test, about.classes)


def _fetch(about: _Published, data_root: Path, split: str) -> tuple[Pixels, Labels]:
    """One split, downloaded if it is not there."""
    import torchvision

    where: dict[str, Any] = (
        {"split": split} if about.name == "SVHN" else {"train": split == "train"}
    )
    remedy = (
        f"delete what is there and run again where there is a network, "
        f"or copy the files to {data_root.resolve()} from a machine that has them."
    )
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found = getattr(torchvision.datasets, about.name)(data_root, download=True, **where)
        images = np.asarray(found.data)
        labels = np.asarray(found.labels if about.name == "SVHN" else found.targets)
    except Exception as error:  # torchvision lets through whatever its parsers and urllib raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"{about.name} ({split}) could not be read: sought {about.files} in "
            f"{data_root.resolve()}, where they are absent, incomplete or broken, and they could "
            f"not be downloaded ({reason.rstrip('.')}); {remedy}"
        ) from None
    if len(images) != len(labels) or not len(images):
        raise DataError(
            f"{about.name} ({split}) in {data_root.resolve()} has {len(images)} images but "
            f"{len(labels)} labels; {remedy}"
        )
    return _to_channels_first(images), labels.astype(np.int64)


def _to_channels_first(images: npt.NDArray[Any]) -> Pixels:
    if images.ndim == 3:
        return to_rgb(images.astype(np.uint8))
    if images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(images, dtype=np.uint8)


# --- a user's own folders -----------------------------------------------------------------------

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
TEST_SHARE = 0.2


def _imagefolder(spec: Mapping[str, Any], _: Path) -> Dataset:
    root, share = Path(spec["path"]).expanduser(), spec["test_share"]
    if not root.is_dir():
        raise DataError(f"{root} is no folder; an imagefolder's path is a folder of images.")
    if (root / "train").is_dir() and (root / "test").is_dir():
        if share is not None:
            raise DataError(f"{root} has a train and a test folder, so test_share must not be set.")
        return _presplit(root)
    folders = _folders(root)
    if not folders:
        files = _image_files(root)
        return _test_only(_read_all(files), np.zeros(len(files), dtype=np.int64), ("images",))
    files_of = {folder.name: _image_files(folder) for folder in folders}
    share = TEST_SHARE if share is None else share
    lone = [name for name, files in files_of.items() if len(files) == 1]
    if lone and share < 1:
        raise DataError(
            f"{root / lone[0]} holds one image; allowed: two or more, as each class has some to "
            "train on and some to test; or, for a set that is only compared on, test_share: 1."
        )
    train, test = _split(files_of, share)
    return Dataset(*_labelled(train), *_labelled(test), tuple(files_of))


Files = Mapping[str, Sequence[Path]]


def _presplit(root: Path) -> Dataset:
    found = {
        split: {folder.name: _image_files(folder) for folder in _folders(root / split)}
        for split in SPLITS
    }
    odd = sorted(set(found["train"]) ^ set(found["test"]))
    if odd:
        has, lacks = ("train", "test") if odd[0] in found["train"] else ("test", "train")
        raise DataError(
            f"{root / has} has a class folder {odd[0]!r} that {root / lacks} lacks; "
            "both need the same classes."
        )
    if not found["train"]:
        raise DataError(f"{root / 'train'} has no class folders; it needs one for each class.")
    return Dataset(*_labelled(found["train"]), *_labelled(found["test"]), tuple(found["train"]))


def _split(files_of: Files, share: float) -> tuple[Files, Files]:
    """Each class's files, `share` of them for testing, drawn the same way every time.

    Below 1, a share leaves both splits one of them at least: a class of two files or more.
    """
    train, test = {}, {}
    for name, files in files_of.items():
        order = np.random.default_rng(len(files)).permutation(len(files))
        cut = round(share * len(files))
        cut = min(max(cut, 1), len(files) - 1) if share < 1 else cut
        test[name] = [files[k] for k in sorted(order[:cut])]
        train[name] = [files[k] for k in sorted(order[cut:])]
    return train, test


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    """The images in a folder and below, by name.

    Raises:
        DataError: there are none.
    """
    files = sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")
    )
    if not files:
        raise DataError(
            f"{folder} holds no images; names of images end in {', '.join(sorted(SUFFIXES))}."
        )
    return files


def _labelled(files_of: Files) -> tuple[Pixels, Labels]:
    files = [file for files in files_of.values() for file in files]
    labels = [label for label, files in enumerate(files_of.values()) for _ in files]
    return _read_all(files), np.array(labels, dtype=np.int64)


def _read_all(files: Sequence[Path]) -> Pixels:
    pixels = np.empty((len(files), 3, SIDE, SIDE), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        for k, image in enumerate(pool.map(read_image, files, chunksize=256)):
            pixels[k] = image
    return pixels


def read_image(path: Path) -> Pixels:
    """An image file of any size and mode as uint8 3×32×32.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            rgb = _to_rgb_mode(ImageOps.exif_transpose(image))
            if rgb.size != (SIDE, SIDE):
                rgb = ImageOps.fit(rgb, (SIDE, SIDE), Image.Resampling.BICUBIC)
            return np.asarray(rgb).transpose(2, 0, 1)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path} is not a whole image ({error}); repair or remove it.") from None


def _to_rgb_mode(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits and more: scaled to 8, as converting would clip
        values = np.asarray(image, dtype=np.float64)
        full = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1e-12)
        image = Image.fromarray(np.clip(values * 255 / full, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert(
            "RGB"
        )
    return image.convert("RGB")


LOADERS: Mapping[str, Callable[[Mapping[str, Any], Path], Dataset]] = {
    "shapes": _shapes,
    "digits": _digits,
    "noise": _noise,
    "imagefolder": _imagefolder,
    **dict.fromkeys(_PUBLISHED, _published),
}


# --- a function of the user's -------------------------------------------------------------------

PARTS = ("train_images", "train_labels", "test_images", "test_labels", "classes")


def _own(spec: Mapping[str, Any]) -> Dataset:
    """What the user's function gives: all five parts, or just images to compare on."""
    reference = spec["kind"]
    given = call(reference, **spec["options"])
    if isinstance(given, Dataset):
        given = tuple(getattr(given, part) for part in PARTS)
    if not isinstance(given, tuple):
        images = _own_images(reference, "images", given)
        return _test_only(images, np.zeros(len(images), dtype=np.int64), ("images",))
    if len(given) != len(PARTS):
        wanted = f"images alone, or ({', '.join(PARTS)})"
        raise refusal(reference, f"a tuple of {len(given)}", wanted)
    *arrays, names = given
    classes = _own_classes(reference, names)
    splits: list[npt.NDArray[Any]] = []
    for split, images, labels in zip(SPLITS, arrays[::2], arrays[1::2], strict=True):
        pixels = _own_images(reference, f"{split}_images", images)
        splits += [pixels, _own_labels(reference, f"{split}_labels", labels, pixels, classes)]
    train_images, train_labels, test_images, test_labels = splits
    return Dataset(train_images, train_labels, test_images, test_labels, classes)


def _own_images(reference: str, part: str, given: Any) -> Pixels:
    images = np.asarray(given)
    form = images.dtype == np.uint8 and images.shape[1:] == (3, SIDE, SIDE)
    if not form or (len(images) == 0 and part != "train_images"):
        found = f"{part} of {images.dtype} in shape {images.shape}"
        raise refusal(reference, found, f"uint8 in shape (N, 3, {SIDE}, {SIDE}), N ≥ 1")
    return np.ascontiguousarray(images)


def _own_labels(
    reference: str, part: str, given: Any, images: Pixels, classes: Sequence[str]
) -> Labels:
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        found = f"{part} of {labels.dtype} in shape {labels.shape}"
        wanted = f"whole numbers in shape {images.shape[:1]}, one an image"
        raise refusal(reference, found, wanted)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        found = f"{part} from {labels.min()} to {labels.max()}"
        raise refusal(reference, found, f"numbers of its {len(classes)} classes, from 0")
    return labels.astype(np.int64)


def _own_classes(reference: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        found = f"classes of type {type(given).__name__}"
        raise refusal(reference, found, "a list of the classes' names")
    if len(given) < 2:
        raise refusal(reference, f"{len(given)} classes", "two or more")
    return tuple(given)


# --- files --------------------------------------------------------------------------------------


def write(dataset: Dataset, path: str | Path, info: str | Path) -> None:
    """Write a data set's images and labels, and beside them what is known of it as JSON.

    The JSON holds its classes, the number of images of each split, and each channel's mean and
    standard deviation in [0, 1] over the training images (over the test images, if none are).
    """
    images = dataset.train_images if len(dataset.train_images) else dataset.test_images
    # By counts of the 256 values: exact, and needs no copy of the images as numbers with a point.
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
        },
    )
    names = [f"{split}_{part}" for split in SPLITS for part in ("images", "labels")]
    artifacts.write_tensors(path, {name: getattr(dataset, name) for name in names})


def dataset_stage(spec: Mapping[str, Any], data_root: str | None, path: str, info: str) -> None:
    """Make a data set's file; `data_root` is None if the data set is not downloaded."""
    write(build(spec, Path(data_root or ".")), path, info)


def read_info(path: str | Path) -> dict[str, Any]:
    """What is known of a data set: classes, train, test, mean and std."""
    return artifacts.read_json(path, ["classes", "mean", "std"])


def read_split(path: str | Path, split: str) -> tuple[Pixels, Labels]:
    """Images uint8 N×3×32×32 and labels int64 N of one split, `train` or `test`.

    Raises:
        ArtifactError: the file is missing or broken, or holds something else.
    """
    images, labels = artifacts.read_tensors(path, [f"{split}_images", f"{split}_labels"]).values()
    good = (
        images.dtype == np.uint8
        and images.shape[1:] == (3, SIDE, SIDE)
        and labels.dtype == np.int64
        and labels.shape == images.shape[:1]
    )
    if not good:
        raise unfit(path, f"does not hold images of 3×{SIDE}×{SIDE} with a label each")
    return images, labels
