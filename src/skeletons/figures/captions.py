"""Captions of the report's figures, and how each figure's file carries its own.

A stage that draws a figure writes the caption into the metadata of the SVG file, with the keys that
matplotlib documents for `savefig(metadata=…)`. They are stored as Dublin Core elements. The report
reads them back from there. This module does not import matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from skeletons.errors import ArtifactError
from skeletons.measures.measure import Measure

PAIRS = "Similarity of every pair"
ALIKE = "Do different bases become similar?"
PRUNING = "What pruning changes"
WALK = "The walk along the ridge"
RIDGE = "Is the ridge connected?"
INSIDE = "Inside the skeleton"
SECTIONS = (PAIRS, ALIKE, PRUNING, WALK, RIDGE, INSIDE)


@dataclass(frozen=True)
class Caption:
    """The caption of one kind of figure.

    Attributes:
        section: the section of the report that shows the figure.
        title: of the figure.
        text: an explanation of what the figure shows.
    """

    section: str
    title: str
    text: str


@dataclass(frozen=True)
class Drawn:
    """What one figure shows.

    Attributes:
        kind: a key of `CAPTIONS`.
        section: the section of the report that shows the figure.
        title: of the figure.
        of: the data set, the model or the measure that the figure is about; may be empty.
        text: an explanation of what the figure shows.
        measure: the name of the measure that the figure is about, if there is one.
    """

    kind: str
    section: str
    title: str
    of: str
    text: str
    measure: str | None


CAPTIONS: Mapping[str, Caption] = {
    "heatmap": Caption(
        PAIRS,
        "Predictions of every pair",
        "All pairs of compared models. Each cell is the similarity of two models' predictions on "
        "the images named in the title; the diagonal compares each model with itself. Models are "
        "grouped by base, and white lines separate the groups, so blocks off the diagonal compare "
        "models of different bases. A label names what was done to the base: “λ 1e-05, 4 epochs, "
        "pruned at 0.05” was regularised with λ = 1e-5 for 4 epochs, and its weights below 0.05 "
        "were removed. What all models share is written once, below the labels. Controls are a "
        "base before training, a base trained on the images in another order (“image order 1”), "
        "and a model that lost as many weights at random (“at random like 0.05”). The strips on "
        "the left show each model's test accuracy and sparsity. Grey cells have no value, mostly "
        "because one model of the pair gives the same answer for every image; the column "
        "“reason” of the table says why.",
    ),
    "heatmap_of_features": Caption(
        PAIRS,
        "Features of every pair",
        "All pairs of compared models. Each cell is the similarity of the features that enter the "
        "two models' last linear layers, on the images named in the title. The order and the "
        "rotation of the features do not matter, and the diagonal is 1. Models, lines and strips "
        "are the same as in the heatmap of predictions. Grey cells have no value, because one "
        "model of the pair has the same features for every image.",
    ),
    "heatmap_of_masks": Caption(
        PAIRS,
        "Masks of every pair",
        "All pairs of pruned models, including the models pruned at random. Each cell is how much "
        "the two masks of remaining weights overlap. 0 is the overlap of two independent masks "
        "with the same density in each layer; 1 is the largest overlap that the densities allow, "
        "so a mask that lies within the other has 1. For aligned units, the units of the second "
        "base are first reordered to fit the first base, by the bases' own weights before any "
        "pruning. Grey cells have no value; the column “reason” of the table says why.",
    ),
    "rises": Caption(
        ALIKE,
        "The gap closed, recipe by recipe",
        "How much more similar pruned models of different bases are than the models they are "
        "compared with: their unpruned bases and, if the experiment has them, controls and the "
        "same models before pruning. If a ceiling was measured, this is the share of the gap from "
        "the bases to the ceiling that is closed; otherwise it is the rise itself. Lines are "
        "confidence intervals over seeds; with fewer than five seeds there are none. Models "
        "converge if every interval of a recipe, but that beyond the models before pruning, lies "
        "to the right of the dashed line. They do not converge if one of them lies to the left of "
        "the dotted line, or of the dashed one if there is none.",
    ),
    "kinds_of_pairs": Caption(
        ALIKE,
        "What a similarity means",
        "How large similarities on these images are for pairs that share much, little or nothing. "
        "Each point is a pair; boxes show quartiles. Networks before training share only the "
        "images. Bases of one seed also share their initial weights. Models of different bases "
        "share only what training, regularisation or pruning gave them. The number in brackets "
        "counts the pairs that have a similarity.",
    ),
    "cross_base": Caption(
        ALIKE,
        "Different bases, pruned in the same way",
        "Similarity of models of different bases that were regularised and pruned in the same way, "
        "against the threshold or the density of pruning. If pruning exposed a shared skeleton, the"
        " lines would rise above the grey band, which is the similarity of the unpruned bases.",
    ),
    "similarity_to_base": Caption(
        PRUNING,
        "Similarity to the own base",
        "Similarity of each pruned model to its own unpruned base, against the threshold or the "
        "density of pruning (left) and the epochs of regularisation (right). Points are means over "
        "bases; bars extend from the smallest to the largest value. The grey band is the similarity"
        " of the unpruned bases to each other. A model below it differs from its own base more than"
        " two independent bases differ.",
    ),
    "accuracy_vs_sparsity": Caption(
        PRUNING,
        "Accuracy against sparsity",
        "What pruning costs, after retraining if there is any: test accuracy against the share of "
        "prunable weights that are zero. Stars are the unpruned bases. If they have one network, "
        "the dashed line is their mean, and models above the dotted line on the right lost most "
        "of their weights and kept their accuracy (findings.drop). Crosses are dead models: a "
        "layer is empty, or every image gets the same answer.",
    ),
    "ridge_walk": Caption(
        WALK,
        "Loss, accuracy and distance along the walk",
        "The walk along the ridge by epoch: the loss without the penalty, the accuracy, the L2 "
        "distance of all parameters to the base model, and the L2 step of each epoch. On a flat "
        "ridge the loss stays the same while the distance grows.",
    ),
    "lines": Caption(
        RIDGE,
        "The loss on straight lines",
        "Training loss on the straight lines between models: between bases, between each base and "
        "its variant, and between variants of different bases. Thin lines are single pairs, thick "
        "lines their mean. For models of different bases, b is also shown with its hidden units in "
        "the order that brings its weights, or the activations of its units, nearest to those of "
        "a. Repaired: at each point, the mean and deviation of each unit are set to what lies "
        "between those of a and b. A barrier that remains then comes neither from the order of the "
        "units nor from a lack of variance. A line without a barrier stays on the ridge.",
    ),
    "curve": Caption(
        RIDGE,
        "A trained curve between two bases",
        "Training loss and accuracy between two bases, with the units of the second aligned to the "
        "first: on the straight line, and on a quadratic Bézier curve with a trained control "
        "point. If the loss stays low on the curve and rises on the line, the two bases lie on one "
        "connected ridge that bends.",
    ),
    "plane": Caption(
        RIDGE,
        "The loss on a plane",
        "Training loss on the plane through the first two bases and the variant of the first base, "
        "in units of L2 distance between weights. The units of the second base are aligned to "
        "those of the first. Filled marks are bases, the line that starts at a base is its walk of "
        "regularisation, and hollow marks are pruned models. All models but the three that span "
        "the plane are shown at their nearest point on it, and may lie off the plane.",
    ),
    "bridge": Caption(
        WALK,
        "From one base to another at constant loss",
        "The rise of the training loss above the first base, point by point on the bridge to the "
        "second one, against the place on the path. In twice the width, the two lie side by side: "
        "first the units of the second get their weights, then it is turned on while the first is "
        "turned off (grey), then the units of the first lose their weights. In the original width, "
        "if the skeletons fit, the path leads from the end of one walk to the end of the other. "
        "Each line is a pair of bases.",
    ),
    "transfer": Caption(
        INSIDE,
        "A base trained with another base's mask",
        "Test accuracy of bases that are trained again from their own initial weights, with all "
        "weights outside of a mask held at zero: the mask of another base, with units aligned, "
        "their own, and a random one that keeps as many weights in each layer. Each line is a pair "
        "of bases. If bases share a skeleton, the lines are level from another's mask to the own "
        "one.",
    ),
    "layers": Caption(
        INSIDE,
        "Every layer against every layer",
        "How similar what each layer of one model sees is to what each layer of another sees, on "
        "the images named above, as the mean over pairs of models. 0 is the similarity with the "
        "images of one model shuffled, which keeps the widths of the layers and the number of "
        "images; 1 is the largest possible one. Numbers in brackets are not above chance in every "
        "pair (p > 0.05 among the shuffles). The activations of convolutions are "
        "means over positions, so where in the image something is does not count.",
    ),
    "exposure": Caption(
        INSIDE,
        "The skeleton as a smaller network",
        "Parameters, and FLOPs per image, of the variant of each base: as it was pruned, and as an "
        "exposed skeleton. The exposed skeleton is a smaller dense network without the dead units "
        "that computes the same function.",
    ),
    "importance": Caption(
        INSIDE,
        "What each unit is worth",
        "Each hidden unit of the regularised model, by layer: how much the training loss rises "
        "(or, by divergence, how far the answers move) when this unit alone is silenced, against "
        "the size of its weights. Hollow marks are "
        "units that pruning kills. If pruning by magnitude keeps the important units, importance "
        "increases with size.",
    ),
    "sparsest": Caption(
        INSIDE,
        "How sparse a skeleton can be",
        "The search for the sparsest skeleton of each base. The end of its walk is pruned to "
        "various densities, and retrained if the configuration asks for it. Left: the upper 95 % "
        "bound of the rise of the training loss above the base's. Right: the test accuracy lost. "
        "Filled marks are within both limits (dashed), hollow ones are not.",
    ),
    "probe": Caption(
        INSIDE,
        "A second skeleton?",
        "One skeleton or two? The regularised model is trained further with a penalty on the "
        "weights of its skeleton alone, so that from left to right less of these weights is left. "
        "If the accuracy without the skeleton rises to that of the whole network, other weights "
        "have taken over its work.",
    ),
    "takeover": Caption(
        INSIDE,
        "Can another skeleton take over?",
        "The weights of the skeleton are scaled to zero, from left to right, while all other "
        "weights are trained and the training loss stays within its room. If the line arrives at "
        "zero, the network works without the skeleton, and has come there along the ridge. If it "
        "comes to a halt before, the skeleton is needed.",
    ),
}
_HEATMAPS = {"representation": "heatmap_of_features", "weights": "heatmap_of_masks"}

_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
_WORK = "{http://creativecommons.org/ns#}Work"


def drawn(kind: str, of: str = "", measure: Measure | None = None) -> Drawn:
    """What a figure shows.

    Args:
        kind: a key of `CAPTIONS`; the heatmap of a costly measure gets the caption of its kind.
        of: the data set or the model that the figure is about; empty for none.
        measure: the measure that the figure is about, if there is one.
    """
    if kind == "heatmap" and measure is not None:
        kind = _HEATMAPS.get(measure.kind, kind)
    caption = CAPTIONS[kind]
    name, label = ("", "") if measure is None else (measure.name, measure.label)
    about = ", ".join(part for part in (of, label) if part)
    return Drawn(kind, caption.section, caption.title, about, caption.text, name or None)


def metadata(shown: Drawn) -> dict[str, Any]:
    """What a figure shows, by the keys of matplotlib's `savefig(metadata=…)` for SVG files."""
    return {
        "Identifier": shown.kind,
        "Title": shown.title,
        "Coverage": shown.of,
        "Description": shown.text,
        "Keywords": [shown.section, *([shown.measure] if shown.measure else [])],
    }


def read(path: str | Path) -> Drawn:
    """What a figure shows, from the metadata of its SVG file.

    Raises:
        ArtifactError: the file cannot be read, or has no caption.
    """
    try:
        found = _elements(path)
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ElementTree.ParseError as error:
        raise ArtifactError(
            f"{path} is not a whole SVG file ({error}); delete it and run snakemake again."
        ) from None
    kind, title, of, text = (
        found.get(name, [""])[0] for name in ("identifier", "title", "coverage", "description")
    )
    section, *measures = found.get("subject", [""])
    if not (kind and title and text and section):
        raise ArtifactError(
            f"{path} has no caption in its metadata; delete it and run snakemake again."
        )
    return Drawn(kind, section, title, of, text, measures[0] if measures else None)


def _elements(path: str | Path) -> dict[str, list[str]]:
    """The texts of each Dublin Core element that describes a file, by the element's name."""
    with Path(path).open("rb") as file:
        for _, element in ElementTree.iterparse(file):
            if element.tag == _WORK:  # of the metadata, which come first
                return {part.tag.removeprefix(_DUBLIN_CORE): _texts(part) for part in element}
    return {}


def _texts(element: ElementTree.Element) -> list[str]:
    """The text of an element, or those of its list."""
    return [part.text or "" for part in element.iter(f"{_RDF}li")] or [element.text or ""]
