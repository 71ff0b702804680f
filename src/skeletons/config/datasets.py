"""The sections that describe data sets, by their kind, and the names of data sets in results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, StrictStr, Tag
from pydantic_core import PydanticCustomError

from skeletons.config.ambiguous import Ambiguous
from skeletons.config.types import (
    USER_DEFINED,
    Count,
    Drawn,
    FilePath,
    Name,
    PositiveShare,
    Reference,
    Section,
    Seed,
)
from skeletons.user_code.references import file_of, is_reference, name_of


class Shapes(Section):
    """Drawn images of ten classes; nothing is downloaded."""

    kind: Literal["shapes"]
    train: Drawn = Field(10_000, description="number of training images")
    test: Drawn = Field(2_000, description="number of test images")
    seed: Seed = Field(0, description="seed of the drawing")


class Digits(Section):
    """scikit-learn's 1,797 handwritten digits; only as an OOD set."""

    kind: Literal["digits"]


class Noise(Section):
    """Uniformly random pixels, a control; only as an OOD set."""

    kind: Literal["noise"]
    images: Drawn = Field(2_000, description="number of images")
    seed: Seed = Field(0, description="seed of the noise")


class _Subset(Section):
    """Existing images, of which a random subset may be used; the subset is always the same."""

    train: Count | None = Field(None, description="number of training images; null for all")
    test: Count | None = Field(None, description="number of test images; null for all")


class Cifar10(_Subset):
    """CIFAR-10, through torchvision."""

    kind: Literal["cifar10"]


class Mnist(_Subset):
    """MNIST, through torchvision."""

    kind: Literal["mnist"]


class FashionMnist(_Subset):
    """Fashion-MNIST, through torchvision."""

    kind: Literal["fashionmnist"]


class Svhn(_Subset):
    """Street View House Numbers, through torchvision."""

    kind: Literal["svhn"]


class ImageFolder(_Subset):
    """Images in your own folders."""

    kind: Literal["imagefolder"]
    path: FilePath = Field(
        description="folder of train/CLASS and test/CLASS (or val/CLASS), of CLASS, or of images"
    )
    name: Name | None = Field(None, description="name in results; null for the folder's name")
    test_share: PositiveShare | None = Field(
        None,
        description="share of each class held out for testing if there is no test folder; null for "
        "a fifth",
    )


def plain_options(values: dict[str, Any]) -> dict[str, Any]:
    """Refuse values that are not plain and sort, so that the order in the file has no effect."""
    for key, value in values.items():
        if isinstance(value, Ambiguous):
            raise PydanticCustomError("ambiguous", "an option", {"key": key, "value": value})
        if not (value is None or isinstance(value, str | bool | int | float)):
            raise PydanticCustomError("option", "an option")
        if isinstance(value, float) and not math.isfinite(value):
            raise PydanticCustomError("option", "an option")
    return dict(sorted(values.items()))


class UserDataset(_Subset):
    """The images that a user-defined function returns."""

    kind: Reference = Field(description=f"{USER_DEFINED}, which is called with the options")
    options: Annotated[dict[StrictStr, Any], AfterValidator(plain_options)] = Field(
        {}, description="the function's arguments, by keyword"
    )
    name: Name | None = Field(
        None, description="name in results, after the file's name; null for the function's name"
    )


# --- which section a kind stands for --------------------------------------------------------------


def kind_of(section: object) -> str | None:
    """The tag of a data set's section: its kind, or `USER_DEFINED` for a reference.

    None if it is not a section or its kind is not text.
    """
    kind = section.get("kind") if isinstance(section, Mapping) else getattr(section, "kind", None)
    if not isinstance(kind, str):
        return None
    return USER_DEFINED if is_reference(kind) else kind


_Existing = (
    Annotated[Cifar10, Tag("cifar10")]
    | Annotated[Mnist, Tag("mnist")]
    | Annotated[FashionMnist, Tag("fashionmnist")]
    | Annotated[Svhn, Tag("svhn")]
    | Annotated[ImageFolder, Tag("imagefolder")]
    | Annotated[UserDataset, Tag(USER_DEFINED)]
)
TrainingSet = Annotated[Annotated[Shapes, Tag("shapes")] | _Existing, Discriminator(kind_of)]
OodSet = Annotated[
    Annotated[Shapes, Tag("shapes")]
    | Annotated[Digits, Tag("digits")]
    | Annotated[Noise, Tag("noise")]
    | _Existing,
    Discriminator(kind_of),
]
DatasetSection = (
    Shapes | Digits | Noise | Cifar10 | Mnist | FashionMnist | Svhn | ImageFolder | UserDataset
)

SECTIONS: Mapping[str, type[DatasetSection]] = {
    "shapes": Shapes,
    "digits": Digits,
    "noise": Noise,
    "cifar10": Cifar10,
    "mnist": Mnist,
    "fashionmnist": FashionMnist,
    "svhn": Svhn,
    "imagefolder": ImageFolder,
    USER_DEFINED: UserDataset,
}
DOWNLOADED = ("cifar10", "mnist", "fashionmnist", "svhn")
CONTROL_SETS = ("noise",)  # kinds whose likeness is shown, but is not evidence
BUILT_IN = tuple(kind for kind in SECTIONS if kind != USER_DEFINED)
TRAINABLE = tuple(kind for kind in BUILT_IN if kind not in ("digits", "noise"))


# --- names in results -----------------------------------------------------------------------------


def dataset_id(section: DatasetSection) -> str:
    """The name of a data set in results: its kind, and each option that is not at its default.

    For example `shapes`, `noise_seed=3`, `imagefolder_my-photos` or `my_function_size=2`.
    """
    parts: list[str] = [section.kind]
    if isinstance(section, UserDataset):
        file = file_of(section.kind)
        parts = [name_of(f"{file}:{section.name}" if section.name else section.kind)]
        parts += [f"{_safe(key)}={_safe(value)}" for key, value in section.options.items()]
    if isinstance(section, ImageFolder):
        folder = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(section.path).resolve().name).strip("-.")
        parts.append(section.name or folder or "root")
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if key not in ("kind", "path", "name", "options") and value != field.default:
            parts.append(f"{key.removesuffix('_share')}={value}")
    return "_".join(parts)


def _safe(value: object) -> str:
    """An option's name or value as a part of a path."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", str(value))
