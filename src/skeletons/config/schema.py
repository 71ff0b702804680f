"""The configuration: one schema for validation, for defaults and for editors.

`load` turns what Snakemake read into a `Config`, or says in one sentence a problem what is wrong.
`python -m skeletons.config.schema PATH` writes the JSON Schema that editors check files against.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    Tag,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from skeletons.errors import ConfigError, ExtensionError
from skeletons.user_code import check
from skeletons.user_code import references as extensions

State = Literal["base", "regularized", "pruned"]
MeasureName = Literal[
    "cosine_prob",
    "cosine_prob_flat",
    "cosine_logit",
    "cosine_logit_flat",
    "agreement",
    "disagreement",
    "jensen_shannon",
]
RepresentationName = Literal["linear_cka", "linear_cka_debiased"]
WeightsName = Literal["mask_overlap", "mask_overlap_aligned"]
MEASURES: tuple[str, ...] = get_args(MeasureName)


def _number(value: object) -> object:
    """A number from its spelling: YAML 1.1 reads `1e-4`, without a dot, as a string."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "a number")
    return float(value)


def _distinct(values: tuple[Hashable, ...]) -> tuple[Hashable, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise PydanticCustomError("repeated", "{value}", {"value": repr(value)})
    return values


def _distinct_numbers(values: tuple[float, ...]) -> tuple[float, ...]:
    """In ascending order, so that the order in which they are listed changes nothing."""
    _distinct(values)
    return tuple(sorted(values))


def _reference(value: str) -> str:
    try:
        return extensions.canonical(value)
    except ValueError:
        raise PydanticCustomError("reference", "a reference") from None


def _whose(value: object) -> str:
    """Whether a name is one of ours or of the user's; no built-in name has a colon."""
    own = isinstance(value, str) and extensions.is_reference(value)
    return OWN_TAG if own else BUILT_IN_TAG


def _whose_kind(value: object) -> str:
    """The same of a data set's section."""
    kind = value.get("kind") if isinstance(value, Mapping) else getattr(value, "kind", None)
    return _whose(kind)


# pydantic names the choice in the places of errors; no key looks like that
OWN_TAG, BUILT_IN_TAG = ":own", ":built-in"
Own = Annotated[
    StrictStr,
    AfterValidator(_reference),
    WithJsonSchema({"type": "string", "pattern": extensions.PATTERN}),
]

Number = Annotated[float, BeforeValidator(_number), Field(allow_inf_nan=False)]
NotNegative = Annotated[Number, Field(ge=0)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Count = Annotated[StrictInt, Field(ge=1)]
Whole = Annotated[StrictInt, Field(ge=0)]
Numbers = Annotated[tuple[NotNegative, ...], Field(min_length=1), AfterValidator(_distinct_numbers)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1), AfterValidator(_distinct_numbers)]
Draws = Annotated[tuple[Count, ...], AfterValidator(_distinct_numbers)]
Wholes = Annotated[tuple[Whole, ...], Field(min_length=1), AfterValidator(_distinct_numbers)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Shapes(_Section):
    """Drawn images of ten classes, made here without a download."""

    kind: Literal["shapes"]
    train: Count = Field(10_000, description="number of training images")
    test: Count = Field(2_000, description="number of test images")
    seed: Whole = Field(0, description="seed of the drawing")


class Digits(_Section):
    """scikit-learn's 1,797 handwritten digits; out of distribution only."""

    kind: Literal["digits"]


class Noise(_Section):
    """Uniformly random pixels, a control; out of distribution only."""

    kind: Literal["noise"]
    images: Count = Field(2_000, description="number of images")
    seed: Whole = Field(0, description="seed of the noise")


class _Stored(_Section):
    """Images that exist already, of which fewer may be taken."""

    train: Count | None = Field(
        None, description="training images, drawn the same way every time; null for all"
    )
    test: Count | None = Field(
        None, description="test images, drawn the same way every time; null for all"
    )


class Cifar10(_Stored):
    """CIFAR-10, through torchvision."""

    kind: Literal["cifar10"]


class Mnist(_Stored):
    """MNIST, through torchvision."""

    kind: Literal["mnist"]


class FashionMnist(_Stored):
    """Fashion-MNIST, through torchvision."""

    kind: Literal["fashionmnist"]


class Svhn(_Stored):
    """Street View House Numbers, through torchvision."""

    kind: Literal["svhn"]


class ImageFolder(_Stored):
    """A user's own folders of images."""

    kind: Literal["imagefolder"]
    path: StrictStr = Field(
        description="folder of train/CLASS and test/CLASS, of CLASS, or of images"
    )
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] | None = Field(
        None, description="what results call it; by default the folder's name"
    )
    test_share: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        None,
        description="share of each class kept for testing, where there is no test folder; null for "
        "a fifth",
    )


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """In one order, so that the order in which they are written changes nothing."""
    for value in values.values():
        if not (value is None or isinstance(value, str | bool | int | float)):
            raise PydanticCustomError("option", "an option")
        if isinstance(value, float) and not math.isfinite(value):
            raise PydanticCustomError("option", "an option")
    return dict(sorted(values.items()))


class OwnDataset(_Stored):
    """What a function of the user's own gives."""

    kind: Own = Field(description="FILE.py:FUNCTION, a function of the options")
    options: Annotated[dict[StrictStr, Any], AfterValidator(_options)] = Field(
        {}, description="what the function is called with, by keyword"
    )
    name: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*$")] | None = Field(
        None, description="what results call it after the file's name; by default the function's"
    )


Trainable = Annotated[
    Annotated[
        Annotated[
            Shapes | Cifar10 | Mnist | FashionMnist | Svhn | ImageFolder,
            Field(discriminator="kind"),
        ],
        Tag(BUILT_IN_TAG),
    ]
    | Annotated[OwnDataset, Tag(OWN_TAG)],
    Discriminator(_whose_kind),
]
AnyDataset = Annotated[
    Annotated[
        Annotated[
            Shapes | Digits | Noise | Cifar10 | Mnist | FashionMnist | Svhn | ImageFolder,
            Field(discriminator="kind"),
        ],
        Tag(BUILT_IN_TAG),
    ]
    | Annotated[OwnDataset, Tag(OWN_TAG)],
    Discriminator(_whose_kind),
]
NetworkName = Literal["cnn", "resnet9", "resnet20", "speednet"]
AnyNetwork = Annotated[
    Annotated[NetworkName, Tag(BUILT_IN_TAG)] | Annotated[Own, Tag(OWN_TAG)],
    Discriminator(_whose),
]
AnyMeasure = Annotated[
    Annotated[MeasureName, Tag(BUILT_IN_TAG)] | Annotated[Own, Tag(OWN_TAG)],
    Discriminator(_whose),
]
AnyCriterion = Annotated[
    Annotated[Literal["magnitude"], Tag(BUILT_IN_TAG)] | Annotated[Own, Tag(OWN_TAG)],
    Discriminator(_whose),
]


class Network(_Section):
    """The network that every model of the experiment is an instance of."""

    name: AnyNetwork = Field(
        "cnn",
        description="architecture; cnn has no normalisation; or FILE.py:FUNCTION of your own",
    )
    width: Count = Field(8, description="channels of its first trained convolution")


class Augment(_Section):
    """Random changes to training images."""

    flip: StrictBool = Field(False, description="mirror left and right, half of the time")
    shift: Annotated[StrictInt, Field(ge=0, le=16)] = Field(
        0, description="move by up to this many pixels each way"
    )
    cutout: Annotated[StrictInt, Field(ge=0, le=32)] = Field(
        0, description="blacken a square with this side in pixels"
    )


class Target(_Section):
    """What a base model must reach on the whole training set to count as optimal."""

    train_loss: Positive = Field(0.1, description="mean cross-entropy in nats, at most")
    train_accuracy: Share = Field(0.97, description="share of images classified rightly, at least")


class Base(_Section):
    """Training of the base models."""

    seeds: Wholes = Field((1, 2), description="one base model each")
    epochs: Count = Field(5, description="passes over the training images")
    batch_size: Count = Field(50, description="images a step")
    optimizer: Literal["sgd", "adam", "muon"] = Field(
        "sgd", description="sgd with momentum; adam; or muon, with adam for what is no weight"
    )
    learning_rate: Positive = Field(0.7, description="the highest; it rises to it, then falls to 0")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.9, description="Nesterov momentum of sgd and muon"
    )
    weight_decay: NotNegative = Field(3e-6, description="decay of weights, times the learning rate")
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="share of a label that all classes get alike"
    )
    warmup: Share = Field(0.2, description="share of all steps in which the learning rate rises")
    augment: Augment = Field(Augment(flip=True), description="random changes to training images")
    target: Target = Field(Target(), description="a base model that misses it is flagged")


class Regularize(_Section):
    """The push along the ridge: training on L(w) + λ‖w‖₁."""

    lambdas: Numbers = Field((2e-4,), description="the λ of the L1 penalty, one walk each")
    epochs: Counts = Field((1, 2), description="after how many epochs a walk's models are taken")
    optimizer: Literal["sgd", "adam"] = Field("adam", description="its rate is constant")
    trace: Whole = Field(
        0, description="training images that the loss is measured on after every step; 0 for none"
    )
    penalty: Literal["subgradient", "proximal"] = Field(
        "subgradient", description="proximal is a soft threshold each step, which makes exact zeros"
    )
    learning_rate: Positive = Field(0.01, description="constant, so that no epoch looks ahead")
    momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(0.9, description="of sgd only")
    batch_size: Count = Field(100, description="images a step")
    augment: Augment = Field(Augment(flip=True), description="random changes to training images")


class Prune(_Section):
    """Permanent removal of small weights."""

    thresholds: Numbers = Field(
        (0.02, 0.05, 0.1, 0.2, 0.5, 1.0), description="weights of a smaller magnitude go"
    )
    criterion: AnyCriterion = Field(
        "magnitude", description="which weights a threshold spares; or FILE.py:FUNCTION of your own"
    )
    scale: Literal["absolute", "layer_rms"] = Field(
        "absolute", description="unit of the thresholds: 1, or the layer's root mean square weight"
    )


class Controls(_Section):
    """Models that the similarity of pruned ones is held against; they take part in all pairs."""

    untrained: StrictBool = Field(False, description="each base as it was before training")
    orders: Draws = Field((), description="numbers of other orders of images to train bases in")
    random: Draws = Field(
        (), description="numbers of random drawings; as sparse a layer as the pruned model"
    )


class Compare(_Section):
    """Which models are compared, pair by pair, and on how many images."""

    states: Annotated[tuple[State, ...], Field(min_length=1), AfterValidator(_distinct)] = Field(
        ("base", "pruned"), description="which models take part"
    )
    ood_images: Count | None = Field(
        2_000, description="images of each OOD set, from the first; null for all"
    )
    measures: Annotated[tuple[Own, ...], AfterValidator(_distinct)] = Field(
        (), description="FILE.py:FUNCTION, measures of your own beside the built-in ones"
    )
    test_set: StrictBool = Field(False, description="compare on the task's own test set as well")
    blocks_beyond: Whole = Field(
        100, description="beyond so many models a file holds all pairs of two bases, not one pair"
    )
    representations: Annotated[tuple[RepresentationName, ...], AfterValidator(_distinct)] = Field(
        (), description="measures of penultimate features, on each OOD set; costly"
    )
    weights: Annotated[tuple[WeightsName, ...], AfterValidator(_distinct)] = Field(
        (), description="measures of which weights are left, with units aligned or not; costly"
    )


class Variant(_Section):
    """One recipe of the grid."""

    l1: Positive = Field(description="its λ, one of regularize.lambdas")
    epochs: Count = Field(description="its epochs, one of regularize.epochs")
    threshold: NotNegative = Field(description="its threshold, one of prune.thresholds")


class Inspect(_Section):
    """Costly looks inside, at one variant of each base."""

    variant: Variant | None = Field(None, description="the recipe that is looked at; null for none")
    lines: StrictBool = Field(
        False, description="loss along the lines between pairs, with units aligned and not"
    )
    plane: StrictBool = Field(
        False, description="loss on the plane through two bases and a variant"
    )
    curve: StrictBool = Field(False, description="a curve of low loss between two bases, trained")
    expose: StrictBool = Field(False, description="the skeleton as a smaller dense network")
    importance: StrictBool = Field(
        False, description="what the loss loses with each unit, and whether pruning keeps those"
    )
    probe: Annotated[tuple[Positive, ...], AfterValidator(_distinct_numbers)] = Field(
        (), description="λs with which the skeleton's own weights are penalised"
    )
    epochs: Count = Field(4, description="of training a curve, and of a probe")
    points: Annotated[StrictInt, Field(ge=3)] = Field(
        21, description="where the loss is measured along a line, both ends among them"
    )
    images: Count = Field(2_000, description="test images that losses are measured on")


class Findings(_Section):
    """What counts: the levels of tests, and tolerances."""

    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = Field(
        0.05, description="level of the verdicts' tests, after correction for their number"
    )
    margin: Positive = Field(0.05, description="the smallest rise of similarity that matters")
    loss_rise: Positive = Field(
        0.05, description="how far the loss may rise on a walk along the ridge, in nats"
    )
    largest_step: Positive = Field(
        0.05, description="the largest step of a walk, as a share of the weights' norm"
    )


class Figures(_Section):
    """What the figures show."""

    measures: Annotated[tuple[AnyMeasure, ...], Field(min_length=1), AfterValidator(_distinct)] = (
        Field(
            ("cosine_prob",),
            description="measures of similarity that are drawn; or FILE.py:FUNCTION of your own",
        )
    )
    colormap: Literal["viridis", "cividis", "magma", "inferno", "plasma", "mako", "rocket"] = Field(
        "viridis", description="colours of the heatmap, all safe for the colour-blind"
    )


class Compute(_Section):
    """Where and how training runs."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU if there is one"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="of training; auto is bf16 where the hardware multiplies in it, else fp32; "
        "weights and predictions are always fp32",
    )
    threads: Count = Field(1, description="CPU threads of a training job")


class Config(_Section):
    """An experiment."""

    experiment: Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")] = Field(
        "demo", description="its results are in results/EXPERIMENT"
    )
    dataset: Trainable = Field(Shapes(kind="shapes"), description="what the models are trained on")
    ood: Annotated[tuple[AnyDataset, ...], Field(min_length=1)] = Field(
        (Digits(kind="digits"),), description="what they are compared on, out of distribution"
    )
    data_root: StrictStr = Field(
        "data", description="where torchvision keeps or downloads data sets"
    )
    cache: StrictStr | None = Field(
        "results/.cache",
        description="folder of the run cache, which experiments share; null for none",
    )
    network: Network = Field(Network(), description="what is trained")
    base: Base = Field(Base(), description="training of the base models")
    regularize: Regularize = Field(Regularize(), description="the push along the ridge")
    prune: Prune = Field(Prune(), description="removal of small weights")
    compare: Compare = Field(Compare(), description="which models are compared")
    controls: Controls = Field(Controls(), description="models to hold similarities against")
    inspect: Inspect = Field(Inspect(), description="costly looks inside, at one variant")
    findings: Findings = Field(Findings(), description="levels of tests, and tolerances")
    figures: Figures = Field(Figures(), description="what the figures show")
    compute: Compute = Field(Compute(), description="where and how training runs")


ALIGNED_LOOKS = ("lines", "plane", "curve", "importance")  # that hold bases against each other
LOOKS = ("lines", "plane", "curve", "expose", "importance", "probe")
DatasetSpec = (
    Shapes | Digits | Noise | Cifar10 | Mnist | FashionMnist | Svhn | ImageFolder | OwnDataset
)
TRAINABLE = ("shapes", "cifar10", "mnist", "fashionmnist", "svhn", "imagefolder")
DOWNLOADED = ("cifar10", "mnist", "fashionmnist", "svhn")
KINDS: dict[str, type[BaseModel]] = {
    "shapes": Shapes,
    "digits": Digits,
    "noise": Noise,
    "cifar10": Cifar10,
    "mnist": Mnist,
    "fashionmnist": FashionMnist,
    "svhn": Svhn,
    "imagefolder": ImageFolder,
}


def dataset_id(spec: DatasetSpec) -> str:
    """What results call a data set: its kind, and each option that is not at its default.

    For example `shapes`, `noise_seed=3`, `imagefolder_my-photos` or `my_function_size=2`.
    """
    parts: list[str] = [spec.kind]
    if isinstance(spec, OwnDataset):
        file = extensions.file_of(spec.kind)
        parts = [extensions.name_of(f"{file}:{spec.name}" if spec.name else spec.kind)]
        parts += [f"{_safe(key)}={_safe(value)}" for key, value in spec.options.items()]
    if isinstance(spec, ImageFolder):
        folder = re.sub(r"[^A-Za-z0-9.-]+", "-", Path(spec.path).resolve().name).strip("-.")
        parts.append(spec.name or folder or "root")
    for key, field in type(spec).model_fields.items():
        value = getattr(spec, key)
        if key not in ("kind", "path", "name", "options") and value != field.default:
            parts.append(f"{key.removesuffix('_share')}={value}")
    return "_".join(parts)


def _safe(value: object) -> str:
    """An option's name or value as a part of a path."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", str(value))


def own_measures(config: Config) -> list[str]:
    """References to the user's measures that all pairs are compared by, each once and sorted."""
    drawn = filter(extensions.is_reference, config.figures.measures)
    return sorted({*config.compare.measures, *drawn})


def canonical(config: Config) -> dict[str, Any]:
    """A configuration as plain values, with OOD sets by name: their order means nothing."""
    values = config.model_dump(mode="json")
    order = sorted(range(len(config.ood)), key=lambda k: dataset_id(config.ood[k]))
    return {**values, "ood": [values["ood"][k] for k in order]}


def load(raw: object) -> Config:
    """Validate a configuration as read from YAML.

    Raises:
        ConfigError: with one sentence, on a line of its own, for each problem.
    """
    if not isinstance(raw, Mapping):
        found = "nothing" if raw is None else _show(raw)
        raise ConfigError(
            f"The configuration: found {found}; allowed: a mapping of keys to values."
        )
    try:
        config = Config.model_validate(dict(raw))
    except ValidationError as error:
        sentences = [
            _sentence(problem, raw)
            for problem in error.errors(include_url=False)
            # pydantic counts only valid entries: a list with a bad one is not short as well
            if not (problem["type"] == "too_short" and problem["input"])
        ]
        raise ConfigError("\n".join(dict.fromkeys(sentences))) from None
    problems = [
        *_taken_name(config),
        *_missing_folders(config),
        *_clashes(config),
        *_variant_not_there(config),
        *_no_masks(config),
        *_too_few_seeds(config),
        *_too_few_classes(config),
        *_same_folder(config),
        *_own_functions(config),
        *_own_names(config),
        *_no_alignment(config),
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def _specs(config: Config) -> Iterator[tuple[str, DatasetSpec]]:
    yield "dataset", config.dataset
    for index, spec in enumerate(config.ood):
        yield f"ood[{index}]", spec


def _taken_name(config: Config) -> Iterator[str]:
    if config.experiment == "data":
        yield "experiment: found 'data'; allowed: another name, as results/data holds data sets."


def _missing_folders(config: Config) -> Iterator[str]:
    for place, spec in _specs(config):
        if isinstance(spec, ImageFolder) and not Path(spec.path).expanduser().is_dir():
            found = f"{place}.path: found {spec.path!r}, which is no folder"
            yield f"{found}; allowed: an existing folder."
    spec = config.dataset
    if isinstance(spec, ImageFolder) and spec.test_share == 1:
        yield (
            "dataset.test_share: found 1.0, which leaves nothing to train on; "
            "allowed: a number above 0 and below 1."
        )


def _variant_not_there(config: Config) -> Iterator[str]:
    variant = config.inspect.variant
    looks = [key for key in LOOKS if getattr(config.inspect, key)]
    if variant is None:
        if looks:
            yield (
                f"inspect.variant: found nothing, but inspect.{looks[0]} is on; allowed: "
                "{l1: …, epochs: …, threshold: …} of one recipe of the grid."
            )
        return
    for key, value, listed, place in (
        ("l1", variant.l1, config.regularize.lambdas, "regularize.lambdas"),
        ("epochs", variant.epochs, config.regularize.epochs, "regularize.epochs"),
        ("threshold", variant.threshold, config.prune.thresholds, "prune.thresholds"),
    ):
        if value not in listed:
            allowed = ", ".join(f"{number:g}" for number in listed)
            yield f"inspect.variant.{key}: found {value:g}; allowed: {allowed}, as in {place}."


def _no_masks(config: Config) -> Iterator[str]:
    """Measures of masks need two compared models that have one."""
    grid = len(config.base.seeds) * len(config.regularize.lambdas) * len(config.regularize.epochs)
    drawn = len(config.controls.random) + ("pruned" in config.compare.states)
    if config.compare.weights and grid * len(config.prune.thresholds) * drawn < 2:
        yield (
            f"compare.weights: found {', '.join(config.compare.weights)}, but no two pruned models "
            "are compared; allowed: an empty list, or two pruned models or random controls."
        )


def _too_few_seeds(config: Config) -> Iterator[str]:
    if len(config.base.seeds) > 1:
        return
    for key in ("plane", "curve"):
        if getattr(config.inspect, key):
            yield (
                f"inspect.{key}: found true, but base.seeds has one seed; allowed: two or more "
                "seeds, as it takes two bases, or false."
            )


def _too_few_classes(config: Config) -> Iterator[str]:
    """A folder to train on needs two folders of classes; one that is not there was told already."""
    spec = config.dataset
    if not isinstance(spec, ImageFolder) or not (root := Path(spec.path).expanduser()).is_dir():
        return
    root = root / "train" if (root / "train").is_dir() and (root / "test").is_dir() else root
    classes = [p for p in root.glob("*/") if not p.name.startswith(".")]
    if len(classes) < 2:
        found = f"one class, {classes[0].name!r}," if classes else "no folders of classes"
        half = {"train", "test"} & {path.name for path in classes}
        beside = " (train counts as a class unless test is beside it)" if half == {"train"} else ""
        yield (
            f"dataset.path: found {found} in {str(root)!r}{beside}; "
            "allowed: a folder for each of two or more classes."
        )


def _same_folder(config: Config) -> Iterator[str]:
    """Images that were trained on are not out of distribution, whatever they are called."""
    spec = config.dataset
    for index, other in enumerate(config.ood):
        if (
            isinstance(spec, ImageFolder)
            and isinstance(other, ImageFolder)
            and dataset_id(spec) != dataset_id(other)
            and Path(spec.path).expanduser().resolve() == Path(other.path).expanduser().resolve()
        ):
            yield (
                f"ood[{index}].path: found {other.path!r}, the folder of dataset; "
                "allowed: another folder."
            )


def _clashes(config: Config) -> Iterator[str]:
    seen: dict[str, str] = {}
    for place, spec in _specs(config):
        name = dataset_id(spec)
        if name in seen:
            hint = "; give one of them another name" if isinstance(spec, ImageFolder) else ""
            yield (
                f"{place}: found the data set {name!r} again, after {seen[name]}; "
                f"allowed: each data set once{hint}."
            )
        seen[name] = place


# --- what is the user's own ---------------------------------------------------------------------


def _own_functions(config: Config) -> Iterator[str]:
    """Each function must be there, and must be one that can be called as it will be."""
    uses: list[tuple[str, str, str, list[str], dict[str, Any]]] = [
        ("network.name", config.network.name, "of width and classes", ["width", "classes"], {}),
        *(
            (f"{place}.kind", spec.kind, "of the options", [], dict(spec.options))
            for place, spec in _specs(config)
            if isinstance(spec, OwnDataset)
        ),
        *(
            (f"{section}.measures[{k}]", name, "of two models' logits", ["p", "q"], {})
            for section, names in (
                ("compare", config.compare.measures),
                ("figures", config.figures.measures),
            )
            for k, name in enumerate(names)
        ),
        (
            "prune.criterion",
            config.prune.criterion,
            "of weights and threshold",
            ["weights", "threshold"],
            {},
        ),
    ]
    sound = []
    for place, name, arguments, positional, options in uses:
        if extensions.is_reference(name):
            try:
                check.check(name, *positional, **options)
                sound.append(name)
            except ExtensionError as error:
                allowed = f"FILE.py:FUNCTION, a function {arguments}"
                yield f"{place}: found {name!r}, but {error}; allowed: {allowed}."
    for clash in check.clashes(sound):
        yield f"Functions of your own: {clash}; allowed: one module of each name, so rename one."
    if extensions.is_reference(config.prune.criterion) and config.prune.scale != "absolute":
        yield (
            f"prune.scale: found {config.prune.scale!r}, but a criterion of your own gets the "
            "thresholds as they are; allowed: absolute."
        )


def _own_names(config: Config) -> Iterator[str]:
    """A measure's name in results must not be another's, nor that of another's spread."""
    taken: dict[str, str] = {}
    for name in (*MEASURES, *get_args(RepresentationName), *get_args(WeightsName)):
        taken |= {name: name, f"{name}_std": name}
    for reference in own_measures(config):
        name = extensions.name_of(reference)
        other = next((taken[n] for n in (name, f"{name}_std") if n in taken), None)
        if other:
            yield (
                f"compare.measures: found {reference!r}, which results would call {name!r}, as "
                f"they do {other!r} or its spread; allowed: another name of the file or function."
            )
        taken |= {name: reference, f"{name}_std": reference}


def _no_alignment(config: Config) -> Iterator[str]:
    """Of a network of the user's it is not known which units may change places."""
    if not extensions.is_reference(config.network.name) or len(config.base.seeds) < 2:
        return
    needing = [
        (f"inspect.{key}", "true", "false") for key in ALIGNED_LOOKS if getattr(config.inspect, key)
    ]
    if "mask_overlap_aligned" in config.compare.weights:
        needing.append(("compare.weights", "'mask_overlap_aligned'", "mask_overlap"))
    for place, found, allowed in needing:
        yield (
            f"{place}: found {found}, which aligns the units of different bases, but for "
            f"{config.network.name!r} it is not known which may change places; allowed: {allowed}, "
            f"or as network.name one of {', '.join(get_args(NetworkName))}."
        )


# --- from pydantic's errors to sentences --------------------------------------------------------


def _show(value: object) -> str:
    """A found value as the user may have written it, shortened."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "an empty list" if not value else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _among(values: Iterable[str], found: object = None) -> str:
    """The allowed values, and the nearest of them to what was found."""
    names = list(values)
    close = difflib.get_close_matches(str(found), names, n=1, cutoff=0.6)
    near = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{', '.join(names)}{near}"


def _place(location: Sequence[int | str], raw: Any) -> tuple[str, list[int | str]]:
    """A location as text, `regularize.lambdas[0]`, and as steps into `raw`.

    Where there is a choice, as between kinds of data sets, pydantic puts what was chosen into the
    location; it is no step.
    """
    text = ""
    steps: list[int | str] = []
    for step in location:
        if step in (OWN_TAG, BUILT_IN_TAG):
            continue
        if step in KINDS and steps in (["dataset"], ["ood", steps[-1] if steps else None]):
            continue
        steps.append(step)
        text += f"[{step}]" if isinstance(raw, list | tuple) else f".{step}" if text else str(step)
        try:
            raw = raw[step]
        except (KeyError, IndexError, TypeError):
            raw = None
    return text, steps


def _section(steps: Sequence[int | str], raw: Any) -> type[BaseModel]:
    """The section of the schema that the key at the end of `steps` is in."""
    inside = steps[:-1]
    if inside and inside[0] in ("dataset", "ood"):
        for step in inside:
            raw = raw[step]
        return KINDS.get(raw["kind"], OwnDataset)
    section: type[BaseModel] = Config
    for step in inside:
        kind = section.model_fields[str(step)].annotation
        assert isinstance(kind, type)
        section = kind
    return section


_BOUNDS = {
    "greater_than_equal": ("ge", "≥"),
    "greater_than": ("gt", ">"),
    "less_than_equal": ("le", "≤"),
    "less_than": ("lt", "<"),
}

OR_OWN = ", or FILE.py:FUNCTION of your own"
_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "text",
    "number": "a number",
    "finite_number": "a finite number",
    "tuple_type": "a list",
    "too_short": "a list with at least one entry",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "option": "options that are numbers, text, true, false or null",
    "reference": "FILE.py:FUNCTION",
}


def _sentence(error: ErrorDetails, raw: object) -> str:
    place, steps = _place(error["loc"], raw)
    kind, found, context = error["type"], error["input"], error.get("ctx", {})
    if kind in ("extra_forbidden", "invalid_key"):
        allowed = list(_section(steps, raw).model_fields)
        return f"{place}: unknown key; allowed here: {_among(allowed, steps[-1])}."
    if kind == "missing":
        return f"{place}: found nothing; allowed: a value, as this key has no default."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        kinds = TRAINABLE if steps[0] == "dataset" else tuple(KINDS)
        tag = found.get("kind") if isinstance(found, Mapping) else None
        return f"{place}.kind: found {_show(tag)}; allowed: {_among(kinds, tag)}{OR_OWN}."
    if kind == "repeated":
        return f"{place}: found {context['value']} twice; allowed: each value once."
    if kind in _BOUNDS:
        limit, sign = _BOUNDS[kind]
        return f"{place}: found {_show(found)}; allowed: a number {sign} {context[limit]:g}."
    if kind == "literal_error":
        expected = re.findall(r"'([^']*)'", str(context["expected"]))
        own = OR_OWN if BUILT_IN_TAG in error["loc"] else ""
        return f"{place}: found {_show(found)}; allowed: {_among(expected, found)}{own}."
    if kind == "string_pattern_mismatch":
        return (
            f"{place}: found {_show(found)}; allowed: letters, digits, '-', '.' and (in an "
            "experiment's name) '_', not beginning with '.'."
        )
    wanted = _WANTED.get(kind, "another value")
    if kind == "model_attributes_type" and isinstance(found, str):  # only of data sets
        wanted = _as_section(found)
    if kind == "reference" and found in MEASURES:
        wanted += (
            " of your own, as the built-in measures are always there; name in figures.measures "
            "those to be drawn"
        )
    return f"{place}: found {_show(found)}; allowed: {wanted}."


def _as_section(found: str) -> str:
    """How to write the data set that someone gave as a word: a kind, a function, or a folder."""
    kind = found in KINDS or extensions.is_reference(found)
    return f"a mapping, as {{kind: {found if kind else f'imagefolder, path: {found}'}}}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema that editors check and complete a configuration with."""
    schema = Config.model_json_schema()
    schema["title"] = "Configuration of Skeletons on Rashomon Ridge"
    return schema


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(
        json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
