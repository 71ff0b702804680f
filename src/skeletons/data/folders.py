"""Data sets from a user's folders of images.

Each image is resized (bicubic, antialiased) so that its shorter side is 32, then cropped to the
centre. Transparent parts become black.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from skeletons.data.files import SIDE, SPLITS, Dataset, Labels, Pixels
from skeletons.errors import DataError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
TEST_SHARE = 0.2

Files = Mapping[str, Sequence[Path]]


def load_folder(spec: Mapping[str, Any], _: Path) -> Dataset:
    """Load an image folder: `train` and `test` folders, class folders, or images without classes.

    Raises:
        DataError: the folder is missing, has another structure, or holds a broken image.
    """
    root, share = Path(spec["path"]).expanduser(), spec["test_share"]
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; an imagefolder's path is a folder of images.")
    if (root / "train").is_dir() and (root / "test").is_dir():
        if share is not None:
            raise DataError(f"{root} has a train and a test folder, so test_share must not be set.")
        return _presplit(root)
    folders = _folders(root)
    if not folders:
        images = _read_all(_image_files(root))
        return Dataset.without_training(images, np.zeros(len(images), dtype=np.int64), ("images",))
    files_of = {folder.name: _image_files(folder) for folder in folders}
    share = TEST_SHARE if share is None else share
    lone = [name for name, files in files_of.items() if len(files) == 1]
    if lone and share < 1:
        raise DataError(
            f"{root / lone[0]} holds one image; allowed: at least two, because each class needs "
            "training and test images; or test_share: 1 for a set that models are only compared on."
        )
    train, test = _split(files_of, share)
    return Dataset(*_labelled(train), *_labelled(test), tuple(files_of))


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
    """Split each class's files, `share` of them for testing; the same files give the same split.

    If `share` is below 1, a class of two or more files has at least one in both splits.
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
    """The images in a folder and its subfolders, by name.

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
    """Read an image file of any size and mode as uint8 3×32×32.

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
        raise DataError(f"{path} is not a complete image ({error}); repair or remove it.") from None


def _to_rgb_mode(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 bits and more: scaled to 8; converting would clip
        values = np.asarray(image, dtype=np.float64)
        full = 65535.0 if image.mode.startswith("I") else max(float(values.max()), 1e-12)
        image = Image.fromarray(np.clip(values * 255 / full, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert(
            "RGB"
        )
    return image.convert("RGB")
