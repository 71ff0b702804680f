"""The sections that describe data sets, by their kind, and the names of data sets in results."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    StrictInt,
    StrictStr,
    Tag,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from skeletons.config import torchvision_sets
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

SIDE, CHANNELS = 32, 3  # of images that are not in names: those of the kinds that are built in
CorruptionName = Literal[
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "speckle_noise",
    "gaussian_blur",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "fog",
    "brightness",
    "contrast",
    "saturate",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
]
CORRUPTIONS: tuple[str, ...] = get_args(CorruptionName)


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


def _known_set(kind: str) -> str:
    """Refuse a data set that torchvision does not have, or does not divide."""
    name = torchvision_sets.name_of(kind)
    if name in torchvision_sets.WITHOUT_SPLITS:
        raise PydanticCustomError("without_splits", "a divided set", {"name": name})
    if name not in torchvision_sets.SETS:
        raise PydanticCustomError("unknown_set", "a set", {"names": TORCHVISION_KINDS})
    return kind


TORCHVISION = f"{torchvision_sets.PREFIX}NAME"  # stands for all of its sets where kinds are listed
TORCHVISION_KINDS = [f"{torchvision_sets.PREFIX}{name}" for name in torchvision_sets.SETS]
TorchvisionKind = Annotated[
    StrictStr,
    AfterValidator(_known_set),
    WithJsonSchema({"type": "string", "enum": TORCHVISION_KINDS}),
]


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


class Torchvision(_Subset):
    """A classification set of torchvision, by its name there."""

    kind: TorchvisionKind = Field(description="torchvision: and the name")
    options: Annotated[dict[StrictStr, Any], AfterValidator(plain_options)] = Field(
        {}, description="further arguments of its class, such as split of EMNIST"
    )


class Parquet(Section):
    """Images in parquet files, as data hubs ship them."""

    kind: Literal["parquet"]
    train: FilePath | None = Field(
        None, description="file or glob of the training images; null for a set to compare on"
    )
    test: FilePath = Field(description="file or glob of the test images")
    image: StrictStr = Field("image", description="column of the images, as the bytes of files")
    label: StrictStr | None = Field(
        "label", description="column of the labels, integers or text; null for none"
    )
    name: Name | None = Field(None, description="name in results; null for the folder's name")
    train_images: Count | None = Field(None, description="number of training images; null for all")
    test_images: Count | None = Field(None, description="number of test images; null for all")


class Corrupted(Section):
    """The task's test images with a corruption; only as an OOD set."""

    kind: Literal["corrupted"]
    of: Literal["dataset"] = Field("dataset", description="the data set whose test images they are")
    corruption: CorruptionName = Field(description="what is done to each image")
    severity: Annotated[StrictInt, Field(ge=1, le=5)] = Field(
        3, description="how strong it is, from 1 to 5"
    )
    seed: Seed = Field(0, description="seed of what is random in it")


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
    """The tag of a data set's section: its kind, or what stands for all kinds like it.

    None if it is not a section or its kind is not text.
    """
    kind = section.get("kind") if isinstance(section, Mapping) else getattr(section, "kind", None)
    if not isinstance(kind, str):
        return None
    if kind.startswith(torchvision_sets.PREFIX):
        return TORCHVISION
    return USER_DEFINED if is_reference(kind) else kind


_Existing = (
    Annotated[Cifar10, Tag("cifar10")]
    | Annotated[Mnist, Tag("mnist")]
    | Annotated[FashionMnist, Tag("fashionmnist")]
    | Annotated[Svhn, Tag("svhn")]
    | Annotated[Torchvision, Tag(TORCHVISION)]
    | Annotated[ImageFolder, Tag("imagefolder")]
    | Annotated[Parquet, Tag("parquet")]
    | Annotated[UserDataset, Tag(USER_DEFINED)]
)
TrainingSet = Annotated[Annotated[Shapes, Tag("shapes")] | _Existing, Discriminator(kind_of)]
OodSet = Annotated[
    Annotated[Shapes, Tag("shapes")]
    | Annotated[Digits, Tag("digits")]
    | Annotated[Noise, Tag("noise")]
    | Annotated[Corrupted, Tag("corrupted")]
    | _Existing,
    Discriminator(kind_of),
]
DatasetSection = (
    Shapes
    | Digits
    | Noise
    | Corrupted
    | Cifar10
    | Mnist
    | FashionMnist
    | Svhn
    | Torchvision
    | ImageFolder
    | Parquet
    | UserDataset
)

SECTIONS: Mapping[str, type[DatasetSection]] = {
    "shapes": Shapes,
    "digits": Digits,
    "noise": Noise,
    "corrupted": Corrupted,
    "cifar10": Cifar10,
    "mnist": Mnist,
    "fashionmnist": FashionMnist,
    "svhn": Svhn,
    TORCHVISION: Torchvision,
    "imagefolder": ImageFolder,
    "parquet": Parquet,
    USER_DEFINED: UserDataset,
}
DOWNLOADED = ("cifar10", "mnist", "fashionmnist", "svhn", TORCHVISION)
CONTROL_SETS = ("noise",)  # kinds whose likeness is shown, but is not evidence
BUILT_IN = tuple(kind for kind in SECTIONS if kind != USER_DEFINED)
TRAINABLE = tuple(kind for kind in BUILT_IN if kind not in ("digits", "noise", "corrupted"))


# --- names in results -----------------------------------------------------------------------------


def dataset_id(
    section: DatasetSection, side: int = SIDE, channels: int = CHANNELS, of: str = "dataset"
) -> str:
    """The name of a data set in results: its kind, and each option that is not at its default.

    For example `shapes`, `noise_seed=3`, `imagefolder_my-photos`, `my_function_size=2`,
    `shapes_size=64` or `corrupted_shapes_fog=3`.

    Args:
        section: of the configuration.
        side: height and width that its images are brought to.
        channels: that its images are brought to.
        of: the name of the task's data set, for a corrupted one.
    """
    if isinstance(section, Corrupted):
        seed = [f"seed={section.seed}"] if section.seed else []
        return "_".join([section.kind, of, f"{section.corruption}={section.severity}", *seed])
    parts: list[str] = [section.kind]
    if isinstance(section, Torchvision):
        parts = [section.kind.replace(":", "_")]
        parts += [f"{_safe(key)}={_safe(value)}" for key, value in section.options.items()]
    if isinstance(section, UserDataset):
        file = file_of(section.kind)
        parts = [name_of(f"{file}:{section.name}" if section.name else section.kind)]
        parts += [f"{_safe(key)}={_safe(value)}" for key, value in section.options.items()]
    if isinstance(section, ImageFolder | Parquet):
        parts.append(section.name or _folder_name(section))
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if key not in _unnamed(section) and value != field.default:
            parts.append(f"{key.removesuffix('_share')}={_safe(value)}")
    for key, value, usual in (("size", side, SIDE), ("channels", channels, CHANNELS)):
        if value != usual:
            parts.append(f"{key}={value}")
    return "_".join(parts)


def _folder_name(section: ImageFolder | Parquet) -> str:
    """The name of the folder that images are in, as a part of a path."""
    if isinstance(section, ImageFolder):
        folder = Path(section.path).resolve()
    else:
        folder = Path(section.test).resolve().parent
    return re.sub(r"[^A-Za-z0-9.-]+", "-", folder.name).strip("-.") or "root"


def _unnamed(section: DatasetSection) -> tuple[str, ...]:
    """The keys that are in a name in another way, or say where files are."""
    return ("kind", "path", "name", "options", *location_keys(section.kind))


def location_keys(kind: str) -> tuple[str, ...]:
    """The keys of a kind that say where its files are, and not which."""
    return {"imagefolder": ("path",), "parquet": ("train", "test")}.get(kind, ())


def _safe(value: object) -> str:
    """An option's name or value as a part of a path."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", str(value))
