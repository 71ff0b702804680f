"""`skeletons export`: a model as files that load without this package."""

from __future__ import annotations

from pathlib import Path

from skeletons.errors import ArtifactError
from skeletons.experiment import Experiment
from skeletons.workflow import lookup

IMAGES = 16  # random images on which the files and the model must agree
READERS = (".json", ".safetensors")


def export(model: str, folder: str | Path, *, onnx: bool = False) -> float:
    """Write `network.py` and `weights.safetensors`, and with `onnx` also `model.onnx`.

    Each must compute the model's logits on random images, or nothing is written.

    Args:
        model: the id of a model that only one experiment has, or its folder.
        folder: to write into; it is created if need be.
        onnx: whether to write an ONNX file, which takes a batch of any size.

    Returns:
        The largest difference of a logit.

    Raises:
        ArtifactError: there is no such model, or a file cannot be written.
        ExportError: the network cannot be written as a file.
        DifferenceError: a file computes something else.
    """
    from skeletons.networks import source  # imports torch

    weights = next(
        (p for p in lookup.files_at(model, READERS) if p.name.startswith("weights")), None
    )
    if weights is None or len(weights.parents) < 3 or weights.parents[1].name != "models":
        raise ArtifactError(f"{model} is not a model; allowed: a model id or its folder.")
    experiment = Experiment(weights.parents[2])
    network = experiment.load(weights.parent.name)
    return source.write(
        network, f"{weights.parent.name} of {weights.parents[2]}.", Path(folder), onnx
    )
