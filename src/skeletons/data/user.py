"""Data sets from user-defined functions, whose images must be uint8 of 1 or 3 channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skeletons.data.files import SPLITS, Dataset, Form, Labels, Pixels
from skeletons.data.sizes import fit
from skeletons.user_code.load import call, refusal

PARTS = ("train_images", "train_labels", "test_images", "test_labels", "classes")


def load_user(spec: Mapping[str, Any], form: Form) -> Dataset:
    """Call a user-defined function, which returns all five parts or only images to compare on.

    If the form is exact, the images must have its size.

    Raises:
        ExtensionError: the function cannot be used, or returns something else.
    """
    reference = spec["kind"]
    given = call(reference, **spec["options"])
    if isinstance(given, Dataset):
        given = tuple(getattr(given, part) for part in PARTS)
    if not isinstance(given, tuple):
        images = _images(reference, "images", given, form)
        return Dataset.without_training(images, np.zeros(len(images), dtype=np.int64), ("images",))
    if len(given) != len(PARTS):
        wanted = f"images alone, or ({', '.join(PARTS)})"
        raise refusal(reference, f"a tuple of {len(given)}", wanted)
    *arrays, names = given
    classes = _classes(reference, names)
    splits: list[npt.NDArray[Any]] = []
    for split, images, labels in zip(SPLITS, arrays[::2], arrays[1::2], strict=True):
        pixels = _images(reference, f"{split}_images", images, form)
        splits += [pixels, _labels(reference, f"{split}_labels", labels, pixels, classes)]
    train_images, train_labels, test_images, test_labels = splits
    return Dataset(train_images, train_labels, test_images, test_labels, classes)


def _images(reference: str, part: str, given: Any, form: Form) -> Pixels:
    images = np.asarray(given)
    fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] in (1, 3)
    fits = fits and (not form.exact or images.shape[2:] == (form.side, form.side))
    if not fits or 0 in images.shape[0 if part != "train_images" else 1 :]:
        found = f"{part} of {images.dtype} in shape {images.shape}"
        size = f"{form.side}, {form.side}" if form.exact else "height, width"
        other = ", or any size if images.size is set" if form.exact else ""
        raise refusal(reference, found, f"uint8 in shape (N, 3, {size}), N ≥ 1{other}")
    return np.ascontiguousarray(fit(images, form.side))


def _labels(
    reference: str, part: str, given: Any, images: Pixels, classes: Sequence[str]
) -> Labels:
    labels = np.asarray(given)
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        found = f"{part} of {labels.dtype} in shape {labels.shape}"
        wanted = f"integers in shape {images.shape[:1]}, one per image"
        raise refusal(reference, found, wanted)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        found = f"{part} from {labels.min()} to {labels.max()}"
        raise refusal(reference, found, f"numbers of its {len(classes)} classes, from 0")
    return labels.astype(np.int64)


def _classes(reference: str, given: Any) -> tuple[str, ...]:
    if not isinstance(given, Sequence) or not all(isinstance(name, str) for name in given):
        found = f"classes of type {type(given).__name__}"
        raise refusal(reference, found, "a list of the classes' names")
    if len(given) < 2:
        raise refusal(reference, f"{len(given)} classes", "two or more")
    return tuple(given)
