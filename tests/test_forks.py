"""Forks share exactly the part of training that they are said to share, however they get it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skeletons.networks.build import build
from skeletons.training.base import Fork, train_base
from skeletons.training.forks import shared_steps
from skeletons.training.images import Images
from skeletons.training.resume import StateFile
from skeletons.training.settings import BaseSettings

EPOCHS, PER_EPOCH = 3, 4
SETTINGS: dict[str, Any] = {
    "epochs": EPOCHS,
    "batch_size": 10,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "warmup": 0.2,
    "augment": {"flip": True, "shift": 0, "cutout": 0},
}


def images(count: int) -> Images:
    generator = torch.Generator().manual_seed(count)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.arange(count) % 4)


def trained(order: int = 0, fork: Fork | None = None) -> dict[str, Tensor]:
    network = build("cnn", 2, 4, [0.5] * 3, [0.25] * 3, seed=1)
    settings = BaseSettings(**SETTINGS)
    state = StateFile()
    train_base(network, images(40), images(8), 1, settings, "fp32", order, state, fork)
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_a_child_that_shares_all_is_the_base() -> None:
    assert equal(trained(), trained(1, Fork(EPOCHS * PER_EPOCH)))


def test_a_child_that_shares_nothing_is_the_base_in_another_order() -> None:
    assert equal(trained(1), trained(1, Fork(0)))


@pytest.mark.parametrize("shared", [1, 4, 6, 11])
def test_children_differ_after_the_fork_and_not_before(shared: int) -> None:
    one, two = (trained(order, Fork(shared)) for order in (1, 2))
    assert not equal(one, two)
    assert not equal(one, trained())
    taken = 0

    def ends() -> bool:
        nonlocal taken
        taken += 1
        return taken == shared

    cut = []
    for order in (0, 1, 2):
        taken = 0
        cut.append(trained(order, Fork(shared, ends=ends)))
    assert equal(cut[0], cut[1])
    assert equal(cut[0], cut[2])


def test_a_child_that_begins_at_a_trunk_is_the_same_as_one_from_the_beginning(
    tmp_path: Path,
) -> None:
    trunk = str(tmp_path / "trunk.safetensors")
    trained(0, Fork(until=1, kept=trunk))
    assert equal(trained(2, Fork(6)), trained(2, Fork(6, trunk)))


def test_a_trunk_that_cannot_be_used_changes_nothing_but_the_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "trunk.safetensors"
    broken.write_bytes(b"nothing")
    assert equal(trained(2, Fork(6)), trained(2, Fork(6, str(broken))))
    assert "Training starts from the beginning" in capsys.readouterr().out


def test_the_last_epochs_alone_have_the_rate_of_the_last_epochs() -> None:
    network = build("cnn", 2, 4, [0.5] * 3, [0.25] * 3, seed=1)
    rows = train_base(
        *(network, images(40), images(8), 1, BaseSettings(**SETTINGS), "fp32"), fork=Fork(after=2)
    )
    whole = build("cnn", 2, 4, [0.5] * 3, [0.25] * 3, seed=1)
    every = train_base(whole, images(40), images(8), 1, BaseSettings(**SETTINGS), "fp32")
    assert [row["epoch"] for row in rows] == [3]
    assert rows[0]["learning_rate"] == every[-1]["learning_rate"]


def test_a_share_is_the_nearest_step() -> None:
    assert [shared_steps(share, 8, 157) for share in (0, 0.02, 1)] == [0, 25, 1256]
