"""A small network that is laid into a wide one: the same function, in other places by seed."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from skeletons.errors import TrainingError, WiringError
from skeletons.networks import laying
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.inference import predict
from skeletons.training import planted
from skeletons.training.images import Images

WIDTHS = {"cnn": (3, 8), "resnet9": (2, 5), "resnet20": (2, 4)}


def network(name: str, width: int, seed: int) -> nn.Sequential:
    made = build(name, width, 4, [0.5] * 3, [0.25] * 3, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    for module in made.modules():  # as after training: no statistic is at its start
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features, generator=generator)
            module.running_var = 1 + torch.rand(module.num_features, generator=generator)
    return made


def images() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (60, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(60) % 4)


def drawn(name: str, seed: int) -> tuple[nn.Sequential, nn.Sequential, dict[str, laying.Place]]:
    small, wide = (network(name, width, n) for n, width in enumerate(WIDTHS[name]))
    return small, wide, laying.places(small, wide, np.random.default_rng(seed))


@pytest.mark.parametrize("name", WIDTHS)
def test_silent_inert_units_change_nothing(name: str) -> None:
    small, wide, found = drawn(name, 1)
    before = predict(wide, images().pixels)
    put(wide, laying.softened(laying.lay(small, wide, found), found, 0.0))
    torch.testing.assert_close(
        predict(wide, images().pixels), predict(small, images().pixels), rtol=1e-4, atol=1e-4
    )
    assert not torch.allclose(before, predict(wide, images().pixels), atol=0.01)


@pytest.mark.parametrize("name", WIDTHS)
def test_inert_units_that_are_heard_change_it(name: str) -> None:
    small, wide, found = drawn(name, 1)
    put(wide, laying.softened(laying.lay(small, wide, found), found, 1.0))
    moved = predict(wide, images().pixels) - predict(small, images().pixels)
    assert float(moved.abs().max()) > 0.01


def test_each_seed_draws_other_places() -> None:
    places = [drawn("cnn", seed)[2]["body.2.weight"].axes[0].tolist() for seed in (1, 2, 3)]
    assert all(a != b for a, b in itertools.combinations(places, 2))
    assert all(len(set(place)) == WIDTHS["cnn"][0] for place in places)


def test_the_weights_of_the_small_network_are_in_their_places() -> None:
    small, wide, found = drawn("cnn", 1)
    laid = laying.softened(laying.lay(small, wide, found), found, 0.5)
    for name, weight in prunable(small).items():
        place = found[name]
        block = laid[name][tuple(torch.from_numpy(a) for a in np.ix_(*place.axes))]
        torch.testing.assert_close(block, weight.detach() * place.factor)
    assert tensors(wide).keys() == laid.keys()


def test_inert_units_are_as_loud_as_the_loss_allows() -> None:
    small, wide = (network("cnn", width, n) for n, width in enumerate(WIDTHS["cnn"]))
    found = planted.plant(small, wide, images(), 5)
    assert found["small_loss"] < found["laid_loss"] <= found["small_loss"] + planted.ROOM
    assert found["laid_loss"] > found["small_loss"] + 0.9 * planted.ROOM
    assert found["loudness"] > 0


def test_a_network_that_scales_its_answer_by_its_width_is_refused() -> None:
    small, wide = (build("speednet", w, 4, [0.5] * 3, [0.25] * 3, seed=w) for w in (2, 4))
    with pytest.raises(TrainingError, match="does not compute what the small one does"):
        planted.plant(small, wide, images(), 1)


def test_networks_that_do_not_correspond_are_refused() -> None:
    with pytest.raises(WiringError, match="fewer units or parts"):
        laying.places(network("cnn", 8, 0), network("cnn", 3, 1), np.random.default_rng(0))
