"""What the report says of each figure: its title, its caption, and among which others it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skeletons.measures.catalogue import MEASURES

PAIRS = "Similarity of every pair"
ALIKE = "Do different bases grow alike?"
PRUNING = "What pruning changes"
WALK = "The walk along the ridge"
RIDGE = "Is the ridge connected?"
INSIDE = "Inside the skeleton"
SECTIONS = (PAIRS, ALIKE, PRUNING, WALK, RIDGE, INSIDE)


@dataclass(frozen=True)
class Caption:
    """A kind of figure: the section it stands in, its title, and what one sees on it."""

    section: str
    title: str
    text: str


CAPTIONS: Mapping[str, Caption] = {
    "heatmap": Caption(
        PAIRS,
        "Predictions of every pair",
        "Every pair of compared models; each cell is the similarity of their predictions on the "
        "images named in the title, and on the diagonal that of a model with itself. Models are "
        "in the order seed, λ, epochs, threshold; a label such as “λ1e-05 ·4 <0.05” is a model "
        "regularised with λ = 1e-5 for 4 epochs and pruned at 0.05. Controls stand below the "
        "models that they are of: a base as it was before training (“untrained”) or trained in "
        "another order, a pruned model pruned at random. White lines part the bases: blocks off "
        "the diagonal compare models of different bases. The strips at the left show each model's "
        "test accuracy and sparsity. Grey cells have no similarity, because a model in the pair "
        "answers every image alike.",
    ),
    "heatmap_of_features": Caption(
        PAIRS,
        "Features of every pair",
        "Every pair of compared models; each cell is how alike the features are that their last "
        "linear layers get of the images named in the title, whatever order or rotation they are "
        "in: 1 on the diagonal. Models, lines and strips are as in the heatmap of predictions. "
        "Grey cells have no value, because a model in the pair sees every image alike.",
    ),
    "heatmap_of_masks": Caption(
        PAIRS,
        "Masks of every pair",
        "Every pair of pruned models, and of those pruned at random; each cell is how many of the "
        "weights that are left the two share: 0 is what two independent masks as dense in each "
        "layer share by chance, 1 the most that their densities allow, so a mask that lies within "
        "the other has 1. With units aligned, those of two bases are first put into the order in "
        "which the bases' own weights, before any pruning, fit best. Grey cells have no value: see "
        "the column reason of the table.",
    ),
    "rises": Caption(
        ALIKE,
        "The rise, recipe by recipe",
        "How much more alike pruned models of different bases are than what they are held against: "
        "their unpruned bases and, where the experiment has them, the same models before pruning "
        "and models pruned at random. Lines are intervals over seeds; with fewer than three seeds "
        "there are none. Models converge where every interval of a recipe lies right of 0, after a "
        "correction for the number of recipes; they do not where one lies left of the margin, the "
        "dashed line.",
    ),
    "kinds_of_pairs": Caption(
        ALIKE,
        "What a similarity means",
        "What a similarity means on these images: that of pairs that have much, little or nothing "
        "in common. A point is a pair; boxes are quartiles. Networks before training have nothing "
        "in common but the task's images; bases of one seed have their start in common; models of "
        "different bases only what training, regularisation or pruning gave them. In brackets, the "
        "number of pairs that have a similarity.",
    ),
    "cross_base": Caption(
        ALIKE,
        "Different bases, pruned alike",
        "Models of different bases that were regularised and pruned in the same way, against the "
        "pruning threshold. If pruning exposed a shared skeleton, the lines would rise above the "
        "grey band, which is the similarity of the unpruned bases.",
    ),
    "similarity_to_base": Caption(
        PRUNING,
        "Similarity to the own base",
        "How like its own unpruned base each pruned model is: against the pruning threshold (left) "
        "and against the epochs of regularisation (right). Points are means over bases, bars run "
        "from the least to the largest. The grey band is the similarity of the unpruned bases "
        "among each other: a model below it differs from its own base more than two independent "
        "bases do.",
    ),
    "accuracy_vs_sparsity": Caption(
        PRUNING,
        "Accuracy against sparsity",
        "What pruning costs: accuracy on the test set against the share of prunable weights that "
        "are zero. Stars are the unpruned bases; the dotted line is two points under their mean. "
        "Models above it on the right have lost most of their weights and kept their accuracy. "
        "Crosses are dead models: a layer is left empty, or every image gets the same answer.",
    ),
    "ridge_walk": Caption(
        WALK,
        "Loss, accuracy and distance along the walk",
        "The walk along the ridge, epoch by epoch: the loss without the penalty, the accuracy, the "
        "L2 distance of all parameters to the base model, and the L2 step of each epoch. On a flat "
        "ridge the loss stays where it was while the distance grows.",
    ),
    "lines": Caption(
        RIDGE,
        "The loss on straight lines",
        "The test loss on the straight lines between models: between bases, between each base and "
        "its variant, and between the variants of different bases. Thin lines are single pairs, "
        "thick ones their mean. Of models of different bases, b is also taken with its hidden "
        "units in the order that brings its weights nearest those of a: what is left of a barrier "
        "then is none of the order's making. A line without a barrier stays on the ridge.",
    ),
    "curve": Caption(
        RIDGE,
        "A trained curve between two bases",
        "Loss and accuracy on the test set from one base to another: on the straight line, with "
        "the second base's units as they are and aligned to the first's, and on a quadratic Bézier "
        "curve whose control point was trained. A curve that stays low where the line rises shows "
        "that the two bases lie on one connected ridge that bends.",
    ),
    "plane": Caption(
        RIDGE,
        "The loss on a plane",
        "The test loss on the plane through the first two bases and the variant of the first, in "
        "units of L2 distance between weights; the second base's units are aligned to the first's. "
        "Filled marks are bases, the line from one is its walk of regularisation, and hollow marks "
        "are pruned models. All but the three that span the plane are drawn where the plane comes "
        "nearest to them, and may lie off it.",
    ),
    "exposure": Caption(
        INSIDE,
        "The skeleton as a smaller network",
        "Parameters and FLOPs of an image of each base's variant as it was pruned, and as an "
        "exposed skeleton: a smaller dense network without the dead units, which computes the "
        "same.",
    ),
    "importance": Caption(
        INSIDE,
        "What each unit is worth",
        "Each hidden unit of the regularised model, layer by layer: by how much the test loss "
        "rises when the unit alone is silenced, against the size of its weights. Hollow marks are "
        "units that pruning takes the life of. Where pruning by magnitude keeps the units that "
        "matter, importance rises with size.",
    ),
    "probe": Caption(
        INSIDE,
        "A second skeleton?",
        "One skeleton or two? The regularised model is trained on with a penalty on its skeleton's "
        "own weights alone. From left to right less and less of these is left. If the accuracy of "
        "all but the skeleton rises to that of the whole, other weights have taken its work over.",
    ),
}
_OF_MEASURES = {"representation": "heatmap_of_features", "weights": "heatmap_of_masks"}


def caption_of(name: str) -> tuple[Caption, str]:
    """The caption of a figure, and what its name says beyond the kind of figure it is.

    Args:
        name: of its file, without suffix: `heatmap_digits_cosine_prob` is a heatmap, and the rest
            `digits, cosine of probabilities, mean over images`.

    Raises:
        KeyError: no kind of figure begins the name.
    """
    kinds = [kind for kind in CAPTIONS if f"{name}_".startswith(f"{kind}_")]
    if not kinds:
        raise KeyError(name)
    kind = max(kinds, key=len)
    rest = name[len(kind) + 1 :]
    measures = [m for m in MEASURES if f"_{rest}".endswith(f"_{m}")]
    if not measures:
        return CAPTIONS[kind], rest
    measure = MEASURES[max(measures, key=len)]
    if kind == "heatmap":
        kind = _OF_MEASURES.get(measure.kind, kind)
    data = rest[: -len(measure.name)].rstrip("_")
    return CAPTIONS[kind], ", ".join(part for part in (data, measure.label) if part)
