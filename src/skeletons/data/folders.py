"""Data sets from a user's folders of images.

Each image is brought to the wanted size as in `data.sizes`. Transparent parts become black. Of an
animation or a file of several pages, the first picture is read.

Images of more than 8 bits (16-bit, 32-bit and floating-point greys) do not say which value is
white. The range of their values over the whole data set decides: its lowest value becomes black and
its highest white. 16-bit values that use at least half of 0 to 65,535 keep that range. A missing
value (NaN or infinite) becomes black.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from skeletons import image_folders, text
from skeletons.data.files import USUAL, Dataset, Form, Labels, Pixels
from skeletons.data.sizes import demand_size, fit_picture
from skeletons.errors import DataError
from skeletons.image_folders import shown
from skeletons.store import memory

TEST_SHARE = 0.2
FULL = 65535.0  # the highest 16-bit value

Files = Mapping[str, Sequence[Path]]


class Range(NamedTuple):
    """The lowest and the highest value of images of more than 8 bits, which become 0 and 255."""

    low: float
    high: float


class Source(NamedTuple):
    """An image file: what it is called in errors, and its path or content."""

    name: str
    file: Path | BinaryIO


class _BrokenImageError(DataError):
    """An image file whose content cannot be decoded."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} is not a complete image ({reason}); repair or remove it.")
        self.name, self.reason = name, reason


SIXTEEN_BITS = Range(0.0, FULL)
NOTHING = Range(np.inf, -np.inf)  # of no value
NO_DATA = 42113  # the TIFF tag in which rasters name the number that stands for a missing value
T = TypeVar("T")


def load_folder(spec: Mapping[str, Any], _: Path, form: Form) -> Dataset:
    """Load an image folder: `train` and `test` folders, class folders, or images without classes.

    Args:
        spec: its section of the configuration, with all keys; and `files`, if it is known, the
            digest of the files that the run was planned for.
        form: of the images.

    Raises:
        DataError: the folder is missing, has another structure, holds a broken image, or was
            changed after the run was planned.
    """
    root, share = Path(spec["path"]), spec["test_share"]
    found = image_folders.find(root, share)
    if spec.get("files") not in (None, found.digest()):
        raise DataError(
            f"Images in {shown(root)} were changed while the workflow ran; run snakemake again, "
            "which plans again."
        )
    train, test = _split(found, TEST_SHARE if share is None else share)
    (train_files, train_labels), (test_files, test_labels) = _labelled(train), _labelled(test)
    images = read_sources([Source(shown(f), f) for f in (*train_files, *test_files)], form)
    cut = len(train_files)
    splits = (images[:cut], train_labels, images[cut:], test_labels)
    return Dataset(*splits, tuple(found.train), tuple(found.notes()))


def _split(found: image_folders.Folder, share: float) -> tuple[Files, Files]:
    """The training and the test files of each class; images without classes are all for testing.

    If there is no test folder, `share` of each class is for testing. The same files give the same
    split. If `share` is below 1, a class of two or more files has at least one in both splits.
    """
    all_train, all_test = (
        {name: [found.root.joinpath(*file.place) for file in files] for name, files in of.items()}
        for of in (found.train, found.test)
    )
    if found.layout.train:
        return all_train, all_test
    if not found.layout.classes:
        return {}, all_train
    train, test = {}, {}
    for name, files in all_train.items():
        order = np.random.default_rng(len(files)).permutation(len(files))
        cut = round(share * len(files))
        cut = min(max(cut, 1), len(files) - 1) if share < 1 else cut
        test[name] = [files[k] for k in sorted(order[:cut])]
        train[name] = [files[k] for k in sorted(order[cut:])]
    return train, test


def _labelled(files_of: Files) -> tuple[list[Path], Labels]:
    files = [file for files in files_of.values() for file in files]
    labels = [label for label, files in enumerate(files_of.values()) for _ in files]
    return files, np.array(labels, dtype=np.int64)


# --- pixels ---------------------------------------------------------------------------------------


def read_sources(sources: Sequence[Source], form: Form) -> Pixels:
    """Read image files as uint8 N×3×S×S, with one range for all that have more than 8 bits.

    Raises:
        DataError: some cannot be read.
    """
    pixels = memory.array((len(sources), 3, form.side, form.side))
    deep: dict[int, tuple[str, Range]] = {}  # kind of numbers and range, by the image's position
    broken: list[_BrokenImageError] = []
    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        for k, seen in enumerate(pool.map(lambda source: _tried(source, form), sources)):
            if isinstance(seen, _BrokenImageError):
                broken.append(seen)
            elif isinstance(seen, tuple):
                deep[k] = seen
            else:
                pixels[k] = seen
        if broken:
            raise _all_broken(broken, len(sources))
        ranges = {kind: _common(deep, kind) for kind in ("I", "F")}
        again = [(sources[k], ranges[kind], form) for k, (kind, _) in deep.items()]
        for k, image in zip(deep, pool.map(lambda one: _read(*one), again), strict=True):
            pixels[k] = image
    return pixels


def _tried(source: Source, form: Form) -> Pixels | tuple[str, Range] | _BrokenImageError:
    """What `_look` sees, or why the image is broken: so that all broken ones are found at once."""
    try:
        return _look(source, form)
    except _BrokenImageError as error:
        return error


def _all_broken(found: Sequence[_BrokenImageError], images: int) -> DataError:
    """One error for all broken images among a number of images."""
    if len(found) == 1:
        return found[0]
    return DataError(
        f"{len(found):,} of {images:,} images are not complete: "
        f"{text.listed([error.name for error in found])} (the first: {found[0].reason}); repair or "
        "remove them."
    )


def _common(deep: Mapping[int, tuple[str, Range]], kind: str) -> Range:
    """The range of all images whose numbers are whole (`I`) or floating-point (`F`)."""
    ranges = [found for of, found in deep.values() if of == kind] or [NOTHING]
    low, high = min(found.low for found in ranges), max(found.high for found in ranges)
    wide = low >= 0 and high <= FULL and high - low >= FULL / 2
    return SIXTEEN_BITS if kind == "I" and wide else Range(low, high)


def _look(source: Source, form: Form) -> Pixels | tuple[str, Range]:
    """The pixels of an image of 8 bits; of one of more, the kind of its numbers and their range."""

    def look(image: Image.Image) -> Pixels | tuple[str, Range]:
        if not _is_deep(image):
            return _pixels(source, image, NOTHING, form)
        values = _values(image, _missing(image))
        finite = values[np.isfinite(values)]
        found = Range(float(finite.min()), float(finite.max())) if finite.size else NOTHING
        return image.mode[0], found

    return _opened(source, look)


def read_image(path: Path, of: Range | None = None, form: Form = USUAL) -> Pixels:
    """Read an image file of any size and mode as uint8 3×S×S.

    Args:
        path: the file.
        of: the range of the data set's values, if the image has more than 8 bits. For None it is 0
            to 65,535 for whole numbers, and 0 to the highest value for floating-point numbers.
        form: the size that it is brought to.

    Raises:
        DataError: it cannot be read.
    """
    return _read(Source(shown(path), path), of, form)


def _read(source: Source, of: Range | None, form: Form) -> Pixels:
    def read(image: Image.Image) -> Pixels:
        if of is not None or image.mode != "F":
            return _pixels(source, image, of or SIXTEEN_BITS, form)
        highest = float(np.nanmax(np.asarray(image)))
        return _pixels(source, image, Range(0.0, highest), form)

    return _opened(source, read)


def _opened(source: Source, use: Callable[[Image.Image], T]) -> T:
    """What a function makes of an opened image.

    Raises:
        DataError: the image cannot be read.
    """
    try:
        with Image.open(source.file) as image:
            return use(image)
    except DataError:
        raise
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise DataError(
            f"{source.name} has more than {limit:,} pixels, the most that are read; make it "
            "smaller or remove it."
        ) from None
    except Exception as error:  # decoders raise whatever a broken file leads them to
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _BrokenImageError(source.name, reason.rstrip(".")) from None


def _pixels(source: Source, image: Image.Image, of: Range, form: Form) -> Pixels:
    upright = ImageOps.exif_transpose(image)
    if _is_deep(upright):  # converting would clip
        upright = _scaled(_values(upright, _missing(image)), of)
    rgb = _to_rgb_mode(upright)
    demand_size(rgb.size, form, source.name)
    return np.asarray(fit_picture(rgb, form.side)).transpose(2, 0, 1)


def _is_deep(image: Image.Image) -> bool:
    """Whether an image has more than 8 bits for each value: whole or floating-point numbers."""
    return image.mode.startswith(("I", "F"))


def _missing(image: Image.Image) -> float:
    """The number that stands for a missing value in an image's file; NaN if it names none."""
    named = str(getattr(image, "tag_v2", {}).get(NO_DATA, "nan"))
    try:
        return float(named.strip("\0 "))
    except ValueError:
        return math.nan


def _values(image: Image.Image, missing: float) -> npt.NDArray[np.float64]:
    """The values of an image of more than 8 bits, with NaN for those that are missing."""
    values = np.asarray(image, dtype=np.float64)
    return values if math.isnan(missing) else np.where(values == missing, np.nan, values)


def _scaled(values: npt.NDArray[np.float64], of: Range) -> Image.Image:
    """Values as an image of 8 bits, in which the range becomes 0 to 255."""
    scaled = (values - of.low) * 255 / max(of.high - of.low, np.finfo(np.float64).tiny)
    scaled = np.where(np.isfinite(scaled), scaled, 0)
    return Image.fromarray(np.clip(scaled, 0, 255).astype(np.uint8))


def _to_rgb_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image).convert(
            "RGB"
        )
    return image.convert("RGB")
