"""The names that the configuration knows, and the types of keys that take one of them."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, StrictStr, WithJsonSchema

from skeletons.config.types import (
    known_or_reference,
    known_or_reference_schema,
    network_name,
    network_name_schema,
)

NETWORKS = ("cnn", "resnet9", "resnet20", "speednet")
MEASURES = (
    "cosine_prob",
    "cosine_prob_flat",
    "cosine_logit",
    "cosine_logit_flat",
    "agreement",
    "disagreement",
    "jensen_shannon",
    "kappa",
    "cosine_logit_centred",
    "jensen_shannon_matched",
    "error_consistency",
    "capa",
    "capa_top",
)
# Measures that need labels of the images, which are classes of the task.
LABELLED_MEASURES = ("error_consistency", "capa", "capa_top")
CRITERIA = ("magnitude", "taylor", "fisher", "counterfactual")
DEFAULT_WIDTH = 8
LEAST_SIDE = 16  # of images in pixels; the built-in networks halve it up to three times
NetworkName = Annotated[
    StrictStr,
    BeforeValidator(network_name(NETWORKS)),
    WithJsonSchema(network_name_schema(NETWORKS)),
]
MeasureName = Annotated[
    StrictStr,
    BeforeValidator(known_or_reference(MEASURES)),
    WithJsonSchema(known_or_reference_schema(MEASURES)),
]
CriterionName = Annotated[
    StrictStr,
    BeforeValidator(known_or_reference(CRITERIA)),
    WithJsonSchema(known_or_reference_schema(CRITERIA)),
]
State = Literal["base", "regularized", "pruned"]
RepresentationName = Literal["linear_cka", "linear_cka_debiased", "procrustes", "mutual_knn"]
MaskMeasureName = Literal["mask_overlap", "mask_overlap_aligned"]
REPRESENTATIONS: tuple[str, ...] = get_args(RepresentationName)
MASK_MEASURES: tuple[str, ...] = get_args(MaskMeasureName)
# Keys of `inspect` that switch an inspection on, and those that align units of different bases.
INSPECTIONS = (
    *("lines", "plane", "curve", "bridge", "transfer", "expose", "importance", "probe"),
    *("takeover", "layers", "sparsest"),
)
ALIGNED_INSPECTIONS = ("lines", "plane", "curve", "importance", "transfer")
