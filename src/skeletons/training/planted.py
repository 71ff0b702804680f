"""Planted skeletons: wide networks of which it is known which subnetwork does the work.

One small network is laid into a wide one per seed, each time in other places and among other inert
units (`networks.laying`). The inert units are as loud as the training loss allows: it rises by at
most `ROOM`. On other images they change the answers, so the wide networks of different seeds are
not alike there. After the last part of a base's training, each is walked and pruned as a base is. A
workflow that finds skeletons must find that they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from skeletons.errors import TrainingError, WiringError
from skeletons.networks import laying
from skeletons.networks.generators import generator_for
from skeletons.networks.tensors import put
from skeletons.prediction.device import pick_precision
from skeletons.prediction.inference import predict, restore
from skeletons.store import artifacts
from skeletons.training.base import Fork, begun, train_base
from skeletons.training.epochs import measure
from skeletons.training.images import Images
from skeletons.training.job import summarize, tensors_of
from skeletons.training.resume import StateFile
from skeletons.training.settings import BaseSettings

ROOM = 0.02  # nats, by which inert units may raise the training loss
IMAGES = 2_000  # training images on which it is measured
LOUDEST = 16.0  # times the weights of an untrained network
HALVINGS = 18  # of the interval in which the loudness is looked for


def plant(small: nn.Module, wide: nn.Module, train: Images, seed: int) -> dict[str, float]:
    """Lay a small network into a wide one, with inert units as loud as the loss allows.

    Args:
        small: a trained network.
        wide: the same architecture with more units and initial weights; changed in place.
        train: training images.
        seed: draws the places.

    Returns:
        small_loss, of the small network (nats); loudness, see `laying.softened`; and laid_loss, of
        the wide network.

    Raises:
        TrainingError: the wide network does not repeat the small one.
    """
    try:
        found = places_of(small, wide, seed)
    except WiringError as error:
        sentence = f"controls.planted: the small network cannot be laid: {error}"
        raise TrainingError(sentence) from None
    images = train.spread(IMAGES)
    own, _ = measure(small, images)
    laid = laying.lay(small, wide, found)

    def loss(loudness: float) -> float:
        put(wide, laying.softened(laid, found, loudness))
        return measure(wide, images)[0]

    loss(0.0)
    _demand_same(small, wide, images)
    low, high = 0.0, LOUDEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if loss(middle) <= own + ROOM else (low, middle)
    return {"small_loss": own, "loudness": low, "laid_loss": loss(low)}


def places_of(small: nn.Module, wide: nn.Module, seed: int) -> dict[str, laying.Place]:
    """The places that a seed draws, see `laying.places`; the weights of both do not matter.

    Raises:
        WiringError: the units of the two do not correspond.
    """
    draws = np.random.default_rng(generator_for("planted", seed).initial_seed())
    return laying.places(small, wide, draws)


def _demand_same(small: nn.Module, wide: nn.Module, images: Images) -> None:
    logits = [predict(network, images.pixels[:100]) for network in (small, wide)]
    span = float(logits[0].max() - logits[0].min())
    if not float((logits[0] - logits[1]).abs().max()) <= laying.CLOSE * span:
        raise TrainingError(
            "controls.planted: the wide network does not compute what the small one does; allowed: "
            "the networks cnn, resnet9 and resnet20."
        )


def planted_stage(
    *,
    dataset: str,
    info: str,
    small: str,
    small_summary: str,
    weights: str,
    history: str,
    summary: str,
    seed: int,
    last: int,
    network: Mapping[str, Any],
    base: Mapping[str, Any],
    device: str,
    precision: str,
    threads: int,
) -> None:
    """Make a planted network, and write its weights, history and description.

    Args:
        dataset: the data set's images.safetensors.
        info: the data set's info.json.
        small: the small network's weights.safetensors.
        small_summary: its model.json.
        weights: the safetensors file to write.
        history: the parquet file to write, with the rows of `train_base`.
        summary: the model.json to write, with what `plant` returns as `planted`.
        seed: of the inert units, the places and the order of images.
        last: how many of a base's epochs follow, the last ones.
        network: of the wide network, as in `train_base_stage`.
        base: the fields of `BaseSettings`.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto`, `bf16` or `fp32`.
        threads: CPU threads.
    """
    place, net, about, train, test = begun(dataset, info, network, seed, threads, device)
    laid = restore(small, artifacts.read_json(small_summary, ["network"])).to(place)
    planted = plant(laid, net, train, seed)
    print(
        f"A network of {sum(p.numel() for p in laid.parameters()):,} parameters is laid in one of "
        f"{sum(p.numel() for p in net.parameters()):,}: training loss {planted['small_loss']:.4f}, "
        f"with inert units {planted['laid_loss']:.4f}.",
        flush=True,
    )
    settings = BaseSettings(**base)
    begin = Fork(after=settings.epochs - last)
    state = StateFile.of_job(weights, place, precision)
    rows = train_base(net, train, test, seed, settings, precision, 0, state, begin)
    result = {**summarize(net, about, train, test), "planted": planted}
    artifacts.write_table(history, pd.DataFrame(rows))
    artifacts.write_json(summary, {**result, "precision": pick_precision(precision, place)})
    artifacts.write_tensors(weights, tensors_of(net))
