"""Base models that users bring: a trained network takes the place of a trained base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from skeletons.data.files import read_info
from skeletons.errors import CheckpointError
from skeletons.networks import state_dict
from skeletons.networks.build import build
from skeletons.networks.image_shape import USUAL, Shape, described, of_summary
from skeletons.store import artifacts
from skeletons.training import checkpoints
from skeletons.training.images import Images
from skeletons.training.job import start, summarize, tensors_of

NEAR = 0.1  # of the way from chance to all images right
CHECK = (
    "check the standardisation (mean, std), the order of the classes, and the size of the images"
)


def order_of(outputs: Sequence[str] | None, classes: Sequence[str]) -> list[int] | None:
    """The output of a model for each class of a data set; None if they have the same order.

    Args:
        outputs: the classes of the model's outputs, in order; None for those of the data set.
        classes: of the data set.

    Raises:
        CheckpointError: a class of the data set is not among the outputs.
    """
    if outputs is None or list(outputs) == list(classes):
        return None
    missing = [name for name in classes if name not in outputs]
    if missing:
        raise CheckpointError(
            f"classes: found no {missing[0]!r}, which is a class of the data set; allowed: a list "
            "that has every class of the data set."
        )
    return [list(outputs).index(name) for name in classes]


def near_chance(accuracy: float, classes: int) -> str | None:
    """A sentence for a model that is right hardly more often than by guessing; else None.

    Args:
        accuracy: on the test set, 0 to 1.
        classes: number of classes.
    """
    chance = 1 / classes
    if accuracy >= chance + NEAR * (1 - chance):
        return None
    return f"its test accuracy of {accuracy:.3f} is near chance ({chance:.3g}): {CHECK}"


def adopted(
    path: str,
    about: Mapping[str, Any],
    mean: Sequence[float],
    std: Sequence[float],
    image_shape: Shape = USUAL,
) -> nn.Sequential:
    """The network with the weights of a file.

    Args:
        path: of the file.
        about: what the network is built from: name, width, classes, and the order of its outputs.
        mean: the channel means, in [0, 1], unless the file has its own.
        std: the same for the standard deviations.
        image_shape: channels, height and width of the images.

    Raises:
        CheckpointError: the file cannot be used, or holds the weights of another network.
        ExtensionError: a user-defined network cannot be built.
    """
    tensors = state_dict.read(path)
    mean, std = checkpoints.standardization(tensors) or (mean, std)
    known = {key: value for key, value in about.items() if key != "version"}  # of a package
    parts = {"width": None, **known}
    network = build(**parts, mean=mean, std=std, image_shape=image_shape)
    body = network.get_submodule("body")
    body.load_state_dict(checkpoints.fit(body, tensors, path, repr(about["name"]), image_shape))
    return network


def adopt_stage(
    *,
    checkpoint: str,
    dataset: str,
    info: str,
    weights: str,
    summary: str,
    name: str,
    network: Mapping[str, Any],
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    outputs: Sequence[str] | None,
    accuracy: float | None,
    digest: str,
    device: str,
    threads: int,
) -> None:
    """Write a user's model as a base model: its weights and description.

    Args:
        checkpoint: the user's file.
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        weights: the safetensors file to write.
        summary: the model.json to write.
        name: the model id.
        network: name and width of the network.
        mean: channel means in [0, 1]; None for those of the file or the data set.
        std: the same for the standard deviations.
        outputs: the classes of the model's outputs; None for those of the data set.
        accuracy: on the test set, that it must reach; None for any.
        digest: of the file; its content decides whether the result is current.
        device: `auto`, `cpu` or `cuda`.
        threads: CPU threads.

    Raises:
        CheckpointError: see `adopted`; or the model's accuracy is lower than it must be.
    """
    place = start(0, threads, device)
    data = read_info(info)
    order = order_of(outputs, data["classes"])
    about = {**network, "classes": len(outputs or data["classes"])}
    if order is not None:
        about["order"] = order
    scale, shape = (mean or data["mean"], std or data["std"]), of_summary(data)
    net = adopted(checkpoint, about, *scale, shape).to(place)
    train, test = (Images.read(dataset, split, place) for split in ("train", "test"))
    result = summarize(net, {**about, **described(shape)}, train, test)
    reached = result["test_accuracy"]
    if accuracy is not None and reached < accuracy:
        raise CheckpointError(
            f"{name}: found a test accuracy of {reached:.4f}; allowed: {accuracy:g} or more "
            f"(accuracy in the configuration); {CHECK}."
        )
    doubt = near_chance(reached, len(data["classes"]))
    if doubt:
        print(f"Doubtful: {name}: {doubt}.", flush=True)
        result["doubt"] = doubt
    artifacts.write_json(summary, result)
    artifacts.write_tensors(weights, tensors_of(net))
