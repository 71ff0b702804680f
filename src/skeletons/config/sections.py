"""The configuration's sections, with every key's type, default and description."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from skeletons.config.alignment import Alignment
from skeletons.config.datasets import Digits, OodSet, Shapes, TrainingSet, plain_options
from skeletons.config.inspecting import Inspect
from skeletons.config.names import (
    DEFAULT_WIDTH,
    LEAST_SIDE,
    MaskMeasureName,
    MeasureName,
    NetworkName,
    RepresentationName,
    State,
)
from skeletons.config.pruning import Prune, Variant
from skeletons.config.types import (
    EXPERIMENT_PATTERN,
    Count,
    Counts,
    Draws,
    FilePath,
    Flag,
    Name,
    NotNegative,
    Number,
    Numbers,
    OwnName,
    Positive,
    PositiveShare,
    Reference,
    Section,
    Seeds,
    Share,
    ShareBelowOne,
    Shares,
    Whole,
    distinct,
)
from skeletons.user_code.references import is_reference


class Images(Section):
    """The form of all images."""

    size: Annotated[StrictInt, Field(ge=LEAST_SIDE, le=1_024)] | None = Field(
        24,
        description="height and width in pixels that all images are brought to; null, also where "
        "`dataset` is named and `size` is not: the size that the data sets have, if all agree",
    )


Channels = Annotated[tuple[Share, ...], Field(min_length=1, max_length=4)]
Deviations = Annotated[tuple[PositiveShare, ...], Field(min_length=1, max_length=4)]


class Network(Section):
    """The architecture of all models, and trained models of it that stand in place of the bases."""

    name: NetworkName = Field(
        "cnn",
        description="cnn has no normalisation; or torchvision:NAME, timm:NAME, FILE.py:FUNCTION",
    )
    width: Annotated[StrictInt, Field(ge=1, le=65_536)] = Field(
        DEFAULT_WIDTH,
        description="channels of the first trained convolution; not for torchvision and timm",
    )
    options: Annotated[dict[StrictStr, Any], AfterValidator(plain_options)] = Field(
        {}, description="further arguments of the network, by keyword; not for built-in ones"
    )
    weights: FilePath | None = Field(
        None,
        description="pretrained weights that all bases start from: a file, or a name to download; "
        "for torchvision and timm",
    )
    channels: Literal[1, 3] = Field(
        3, description="channels of the images: 3 for RGB, 1 for grey; all images are brought to it"
    )
    checkpoints: FilePath | dict[OwnName, FilePath] | None = Field(
        None,
        description="trained models that stand in place of trained bases: a folder of state dicts, "
        "or a file by name; .pt, .pth, .bin or .safetensors",
    )
    mean: Channels | None = Field(
        None,
        description="channel means that the checkpoints' images were standardised with, 0 to 1; "
        "null for those of the data set",
    )
    std: Deviations | None = Field(None, description="the same for the standard deviations")
    classes: Annotated[tuple[StrictStr, ...], AfterValidator(distinct)] | None = Field(
        None,
        description="classes in the order of the checkpoints' outputs; null for the data set's",
    )
    accuracy: Share | None = Field(
        None, description="test accuracy that each checkpoint must reach, or the run stops"
    )


class Augment(Section):
    """Random changes to training images."""

    flip: Flag = Field(False, description="mirror left to right, with probability 0.5")
    shift: Annotated[StrictInt, Field(ge=0, le=16)] = Field(
        0, description="shift by up to this many pixels in each direction"
    )
    cutout: Annotated[StrictInt, Field(ge=0, le=32)] = Field(
        0, description="side in pixels of a square that is blackened"
    )


class Target(Section):
    """Loss and accuracy on the whole training set that a base model must reach to be optimal."""

    train_loss: Positive = Field(0.1, description="highest mean cross-entropy, in nats")
    train_accuracy: Share = Field(0.97, description="lowest accuracy")


class Base(Section):
    """Training of the base models to optimality."""

    seeds: Seeds = Field((1, 2, 3, 4, 5, 6), description="one base model per seed")
    epochs: Count = Field(10, description="passes over the training images")
    batch_size: Count = Field(32, description="images per step")
    optimizer: Literal["sgd", "adam", "muon"] = Field(
        "sgd", description="sgd with momentum; adam; or muon, with adam for biases and norms"
    )
    learning_rate: Positive = Field(
        0.7, description="peak: the rate rises to it during warmup, then falls to 0"
    )
    momentum: ShareBelowOne = Field(0.9, description="Nesterov momentum of sgd and muon")
    weight_decay: NotNegative = Field(
        3e-6, description="decay of the weights, multiplied by the learning rate"
    )
    label_smoothing: ShareBelowOne = Field(
        0.0, description="share of a label that is spread evenly over all classes"
    )
    warmup: Share = Field(0.2, description="share of all steps during which the rate rises")
    augment: Augment = Field(Augment(), description="random changes to training images")
    target: Target = Field(
        Target(), description="a base model that misses this is flagged as not optimal"
    )


class Regularize(Section):
    """The walk along the ridge: training on L(w) + λ‖w‖₁."""

    lambdas: Numbers = Field(
        (4e-3,),
        description="λ of the L1 penalty, or within a room the rate at which weights shrink; one "
        "walk for each value; none if empty",
    )
    epochs: Counts = Field((8,), description="numbers of epochs after which a model is saved")
    optimizer: Literal["sgd", "adam"] = Field("adam", description="with a constant learning rate")
    trace: Whole = Field(
        200,
        description="training images for measuring the loss after every step, if `room` is "
        "null; 0 to measure it once per epoch",
    )
    room: Positive | None = Field(
        0.05,
        description="by how much the training loss may rise above the base's, in nats; the weights "
        "then shrink by λ of their layer's root mean square in a step while there is room; null "
        "for a constant λ, also where `lambdas` is named and `room` is not",
    )
    penalty: Literal["subgradient", "proximal"] = Field(
        "subgradient",
        description="proximal is soft thresholding, which makes exact zeros; unused within a room",
    )
    groups: Literal["weights", "units"] = Field(
        "weights",
        description="what the penalty and pruning remove: single weights, or whole channels and "
        "neurons (group lasso)",
    )
    learning_rate: Positive = Field(
        0.005, description="constant, so that an epoch does not depend on how many follow"
    )
    momentum: ShareBelowOne = Field(0.9, description="for sgd only")
    batch_size: Count = Field(50, description="images per step")
    augment: Augment = Field(Augment(), description="random changes to training images")


class NamedNetwork(Network):
    """A further network of the grid. It may have its own `base`, `regularize` and `prune`."""

    base: Base | None = Field(None, description="keys of `base` that differ for this network")
    regularize: Regularize | None = Field(
        None, description="keys of `regularize` that differ for this network"
    )
    prune: Prune | None = Field(None, description="keys of `prune` that differ for this network")


class Compare(Section):
    """Which models are compared, pair by pair, and on how many images."""

    states: Annotated[tuple[State, ...], Field(min_length=1), AfterValidator(distinct)] = Field(
        ("base", "regularized", "pruned"), description="models to compare"
    )
    ood_images: Count | None = Field(
        2_000, description="number of images of each OOD set, the first ones; null for all"
    )
    measures: Annotated[tuple[Reference, ...], AfterValidator(distinct)] = Field(
        (), description="FILE.py:FUNCTION, in addition to the built-in measures"
    )
    test_set: Flag = Field(False, description="also compare on the test set of the task")
    labelled: Annotated[tuple[StrictStr, ...], AfterValidator(distinct)] = Field(
        (),
        description="names in results of OOD sets whose labels are the task's classes, where the "
        "workflow cannot know",
    )
    blocks_beyond: Whole = Field(
        100,
        description="number of models above which one file holds all pairs of two bases, not one "
        "pair",
    )
    representations: Annotated[tuple[RepresentationName, ...], AfterValidator(distinct)] = Field(
        (), description="measures of penultimate features, on each OOD set; costly"
    )
    permutations: Whole = Field(
        99, description="shuffles of the images that measures of features are compared with"
    )
    weights: Annotated[tuple[MaskMeasureName, ...], AfterValidator(distinct)] = Field(
        (), description="measures of pruned models' masks, with or without aligned units; costly"
    )


class Controls(Section):
    """Models to compare the similarities of pruned models with; they take part in all pairs."""

    untrained: Flag = Field(False, description="each base before its training")
    orders: Draws = Field(
        (), description="numbers of further image orders; each base is trained in each"
    )
    random: Draws = Field(
        (), description="numbers of random prunings, each as dense per layer as the model"
    )
    plain: Flag = Field(
        False, description="the same walk with λ = 0, which within a room shrinks no weight"
    )
    forks: Shares = Field(
        (0.9,),
        description="shares of the first base's training that children share, 0 to 1, before each "
        "goes on with its own order of the images; the children that share most, but not all, are "
        "also walked and pruned; none where `orders` is named and `forks` is not",
    )
    labels: Flag = Field(
        False, description="bases that learn permuted classes, others for each seed"
    )
    planted: Count | None = Field(
        None,
        description="width of a small network that is laid into one of the full width for each "
        "seed, among units that hardly matter; null for none",
    )
    stopped: Flag = Field(
        False, description="each base stopped at the training loss of its pruned model"
    )


class Primary(Section):
    """The primary question, named before looking; everything else is exploratory."""

    measure: MeasureName = Field(
        "kappa", description="measure of similarity; or your own FILE.py:FUNCTION"
    )
    recipe: Variant | None = Field(
        None,
        description="recipe of the pruned models; null for the one with the most skeletons, and of "
        "several the sparsest",
    )


class Findings(Section):
    """The primary question, and the levels and limits of the statements in the findings."""

    primary: Primary = Field(Primary(), description="the question that the verdict answers")
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = Field(
        0.05, description="level of the verdict: its intervals have the level 1 − alpha"
    )
    converges_above: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.5,
        description="models converge if they close more than this share of the gap from the bases "
        "to the ceiling",
    )
    not_below: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.25, description="models do not converge if they close less than this share"
    )
    margin: Positive = Field(
        0.05, description="smallest rise of similarity that matters, if there is no ceiling"
    )
    alive: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.9, description="least share of seeds whose models must live for a decision"
    )
    looks: Annotated[StrictInt, Field(ge=1, le=100)] = Field(
        1, description="how often the verdict is looked at while seeds are added; alpha is divided"
    )
    control_drop: NotNegative = Field(
        0.05, description="accuracy that a control may lack beside the pruned models, 0 to 1"
    )
    sparsity: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.8, description="least share of weights that a skeleton has lost"
    )
    drop: NotNegative = Field(
        0.02, description="most accuracy that a skeleton has lost against its base, 0 to 1"
    )
    loss_rise: Positive = Field(
        0.05, description="how far the training loss may rise or fall on a walk, in nats"
    )
    largest_step: Positive = Field(
        0.05, description="longest step allowed on a walk, as a share of the weights' norm"
    )


class Figures(Section):
    """What the figures show."""

    measures: Annotated[tuple[MeasureName, ...], Field(min_length=1), AfterValidator(distinct)] = (
        Field(
            ("kappa",),
            description="measures of similarity to draw; or your own FILE.py:FUNCTION",
        )
    )
    colormap: Literal["viridis", "cividis", "magma", "inferno", "plasma", "mako", "rocket"] = Field(
        "viridis", description="colours of the heatmap, all safe for colour-blind readers"
    )


class Compute(Section):
    """Where and how training runs."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="auto takes a GPU if there is one"
    )
    precision: Literal["auto", "bf16", "fp32"] = Field(
        "auto",
        description="of training; auto is bf16 if the hardware multiplies in it, else fp32; "
        "weights and predictions are always fp32",
    )
    threads: Annotated[StrictInt, Field(ge=1, le=4_096)] = Field(
        1, description="CPU threads per training job"
    )
    jobs_per_gpu: Annotated[StrictInt, Field(ge=1, le=4_096)] | None = Field(
        None,
        description="most jobs at once on each GPU of a machine; null for as many as there are "
        "cores, evenly on all GPUs",
    )


class Config(Section):
    """An experiment."""

    experiment: Annotated[StrictStr, Field(pattern=EXPERIMENT_PATTERN)] = Field(
        "demo", description="name; results go to results/EXPERIMENT"
    )
    dataset: TrainingSet = Field(
        Shapes(kind="shapes", train=5_000, test=1_000), description="training data"
    )
    ood: Annotated[tuple[OodSet, ...], Field(min_length=1)] = Field(
        (Digits(kind="digits"),),
        description="out-of-distribution (OOD) data that the models are compared on",
    )
    data_root: FilePath = Field(
        "data", description="folder for data sets that torchvision reads or downloads"
    )
    cache: FilePath | None = Field(
        "results/.cache",
        description="folder of the run cache, shared by all experiments; null for none",
    )
    images: Images = Field(Images(), description="form of all images")
    network: Network | None = Field(
        Network(), description="architecture of the models; null for `networks` alone"
    )
    networks: dict[Name, NamedNetwork] = Field(
        {}, description="further networks by a tag, which is a part of their models' ids"
    )
    base: Base = Field(Base(), description="training of the base models")
    regularize: Regularize = Field(Regularize(), description="the walk along the ridge")
    prune: Prune = Field(Prune(), description="removal of small weights")
    compare: Compare = Field(Compare(), description="which models are compared")
    controls: Controls = Field(Controls(), description="models to compare similarities with")
    alignment: Alignment = Field(Alignment(), description="how units of bases are aligned")
    inspect: Inspect = Field(Inspect(), description="costly inspections of one variant")
    findings: Findings = Field(Findings(), description="the primary question, levels and limits")
    figures: Figures = Field(Figures(), description="what the figures show")
    compute: Compute = Field(Compute(), description="where and how training runs")


def judged_measures(config: Config) -> list[str]:
    """The measures that answers are given by: the primary one, then those that are drawn."""
    return list(dict.fromkeys([config.findings.primary.measure, *config.figures.measures]))


def user_measures(config: Config) -> list[str]:
    """References to the user-defined measures of all pairs, each once and sorted."""
    return sorted({*config.compare.measures, *filter(is_reference, judged_measures(config))})
