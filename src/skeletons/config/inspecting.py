"""The section `inspect`, with every key's type, default and description."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from skeletons.config.names import RepresentationName
from skeletons.config.pruning import Variant
from skeletons.config.types import Count, Flag, Penalties, Section, distinct


class Inspect(Section):
    """Costly inspections of one variant of each base."""

    variant: Variant | None = Field(None, description="recipe to inspect; null for none")
    lines: Flag = Field(
        False,
        description="loss on the lines between pairs, with units as they are and aligned, and with "
        "their statistics repaired",
    )
    plane: Flag = Field(False, description="loss on the plane through two bases and a variant")
    curve: Flag = Field(False, description="train a curve of low loss between two bases")
    bridge: Flag = Field(
        False,
        description="turn one base on while another is turned off, in twice the width, and with "
        "skeletons that fit in the width itself",
    )
    transfer: Flag = Field(
        False,
        description="train each base again with another base's mask, its own and a random one",
    )
    expose: Flag = Field(False, description="convert the skeleton to a smaller dense network")
    importance: Flag = Field(
        False,
        description="how much the loss rises without each unit, and whether pruning keeps the "
        "important ones",
    )
    importance_by: Literal["loss", "divergence"] = Field(
        "loss",
        description="what importance measures: the training loss, or the divergence "
        "(Kullback-Leibler) from the intact model",
    )
    probe: Penalties = Field(
        (), description="λs to penalise the skeleton's weights with, in search of a second skeleton"
    )
    takeover: Flag = Field(
        False,
        description="scale the skeleton to zero while the rest is trained with the loss held, in "
        "search of a second skeleton",
    )
    layers: Annotated[tuple[RepresentationName, ...], AfterValidator(distinct)] = Field(
        (),
        description="measures of features to compare every two layers with, of bases and variants, "
        "on each OOD set",
    )
    sparsest: Flag = Field(
        False,
        description="find the lowest density at which the end of the variant's walk, pruned and "
        "retrained as `prune` says, keeps its loss (findings.loss_rise) and accuracy "
        "(findings.drop)",
    )
    layer_names: (
        Annotated[tuple[StrictStr, ...], Field(min_length=1), AfterValidator(distinct)] | None
    ) = Field(None, description="layers of the network; null for the last one of each stage")
    epochs: Count = Field(4, description="epochs to train a curve, a probe or a takeover")
    points: Annotated[StrictInt, Field(ge=3, le=10_001)] = Field(
        11, description="points on a line at which the loss is measured, including both ends"
    )
    grid: Annotated[StrictInt, Field(ge=3, le=1_001)] = Field(
        31, description="points along each side of the plane"
    )
    images: Count = Field(
        2_000, description="training and test images on which losses are measured"
    )
