from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colours import PLAIN, images
from torch import Tensor, nn

from skeletons.inspection import second_skeleton
from skeletons.inspection.second_skeleton import (
    LEARNT,
    LOST,
    SHARED,
    STAYS,
    TAKES_OVER,
    WEAK,
)
from skeletons.networks.build import Standardize, build
from skeletons.networks.describe import prunable
from skeletons.store import artifacts
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.settings import RegularizeSettings

SGD = RegularizeSettings("sgd", "proximal", 0.1, 0.0, 12, 0, PLAIN)
ADAM = RegularizeSettings("adam", "subgradient", 1e-2, 0.9, 12, 0, PLAIN)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Halves(nn.Module):
    """Two separate networks whose logits are added."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = (
            nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.mean((2, 3))
        return self.one(x) + self.other(x)


@torch.no_grad()
def planted(second: bool) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """Two halves: the first solves the task, the second does too or is dead; the first's mask."""
    torch.manual_seed(0)
    body = Halves()
    made = nn.Sequential()
    made.add_module("standardize", Standardize([0.4] * 3, [0.25] * 3))
    made.add_module("body", body)
    for half in (body.one, body.other):
        if half is body.other and not second:
            for parameter in half.parameters():
                parameter.zero_()
            continue
        half[0].weight.copy_(torch.eye(3).repeat(3, 1)[:8] + 0.1 * torch.rand(8, 3))
        half[2].weight.copy_(half[0].weight.T)
        for layer in (half[0], half[2]):
            layer.bias.zero_()
    weights = prunable(made)
    return made, {name: torch.full(w.shape, ".one." in name) for name, w in weights.items()}


def run(second: bool, l1: float, settings: RegularizeSettings = SGD, epochs: int = 8) -> Any:
    made, skeleton = planted(second)
    rows = second_skeleton.probe(
        made,
        skeleton,
        images(),
        images(48, 1),
        seed=1,
        l1=l1,
        epochs=epochs,
        settings=settings,
        precision="fp32",
    )
    return made, skeleton, rows


def test_a_planted_second_skeleton_takes_over() -> None:
    _, _, rows = run(True, 1.0)
    found = second_skeleton.probe_verdict(rows, 0.02)
    assert found["verdict"] == TAKES_OVER
    assert found["took_over_at"] == 0  # it was there before
    last = rows.iloc[-1]
    assert last.skeleton_left < 0.05
    assert last.outside > 0.95
    assert last.skeleton_accuracy < 0.5  # none of it is left
    assert last.others_accuracy == last.test_accuracy == 1


def test_where_there_is_but_one_skeleton_the_loss_cannot_be_held() -> None:
    _, _, rows = run(False, 1.0)
    found = second_skeleton.probe_verdict(rows, 0.02)
    assert found["verdict"] == LOST
    assert found["took_over_at"] is None
    assert found["end_loss"] > found["start_loss"] + 0.5
    assert found["sentence"].startswith("The loss cannot be held: after 8 epochs ")


def test_a_penalty_that_leaves_the_skeleton_in_place_is_too_weak_to_tell() -> None:
    _, _, rows = run(False, 1e-3)
    found = second_skeleton.probe_verdict(rows, 0.02)
    assert found["verdict"] == WEAK
    assert found["sentence"].startswith("Too weak to tell: after 8 epochs ")
    assert found["skeleton_left"] > 0.9
    assert found["others_end_accuracy"] < 0.5


@pytest.mark.parametrize("settings", [SGD, ADAM])
def test_only_the_skeleton_is_penalised(settings: RegularizeSettings) -> None:
    """Without data loss, the others stay where they are."""
    made, skeleton = planted(True)
    weights = prunable(made)
    before = {name: w.detach().clone() for name, w in weights.items()}
    for w in weights.values():
        w.grad = torch.zeros_like(w)
    if settings.penalty == "subgradient":
        second_skeleton.add_skeleton_subgradient(weights, skeleton, 0.5)
        for name, w in weights.items():
            assert w.grad is not None
            assert torch.equal(w.grad, 0.5 * w.sign() * skeleton[name])
    else:
        optimizer = walk_optimizer(made, settings)  # without momentum, at a rate of 0.1
        second_skeleton.shrink_skeleton(optimizer, weights, skeleton, 0.5)
        for name, w in weights.items():
            less = torch.where(skeleton[name], 0.05, 0.0)
            expected = before[name].sign() * (before[name].abs() - less).clamp(min=0)
            assert torch.allclose(w, expected)


def test_both_penalties_drive_the_skeleton_down() -> None:
    for settings in (SGD, ADAM):
        _, _, rows = run(True, 0.5, settings, epochs=3)
        assert (np.diff(rows.skeleton_left) < 0).all()


def test_the_same_probe_gives_the_same_rows() -> None:
    one, two = (run(True, 0.5, ADAM, epochs=2)[2] for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_restricting_a_network_leaves_it_as_it_was() -> None:
    made, skeleton = planted(True)
    before = {name: p.detach().clone() for name, p in made.named_parameters()}
    with second_skeleton.only(made, skeleton):
        assert float(made.get_parameter("body.other.0.weight").detach().abs().sum()) == 0
        assert torch.equal(made.get_parameter("body.one.0.weight"), before["body.one.0.weight"])
    assert all(torch.equal(before[name], p) for name, p in made.named_parameters())


def rows_of(accuracy: list[float], others: list[float], end: float) -> pd.DataFrame:
    count = len(accuracy)
    return pd.DataFrame(
        {
            "epoch": range(count),
            "test_accuracy": accuracy,
            "test_loss": [1 - a for a in accuracy],
            "others_accuracy": others,
            "skeleton_accuracy": np.linspace(0.85, end, count),
            "skeleton_left": np.linspace(1, 0.1, count),
        }
    )


@pytest.mark.parametrize(
    ("accuracy", "others", "end", "verdict", "since"),
    [
        ([0.9, 0.89, 0.9], [0.1, 0.5, 0.89], 0.1, TAKES_OVER, 2),
        ([0.9, 0.5, 0.9], [0.1, 0.5, 0.9], 0.1, LEARNT, 2),
        ([0.9, 0.89, 0.9], [0.1, 0.1, 0.6], 0.84, STAYS, None),
        ([0.9, 0.89, 0.9], [0.1, 0.1, 0.6], 0.3, SHARED, None),
        ([0.9, 0.89, 0.8], [0.1, 0.1, 0.8], 0.1, LOST, None),
        ([0.9, 0.89, 0.885], [0.9, 0.9, 0.88], 0.85, TAKES_OVER, 0),
    ],
)
def test_the_verdict_goes_by_what_is_held(
    accuracy: list[float], others: list[float], end: float, verdict: str, since: int | None
) -> None:
    rows = rows_of(accuracy, others, end)
    found = second_skeleton.probe_verdict(rows, 0.02 + 1e-9)
    assert (found["verdict"], found["took_over_at"]) == (verdict, since)
    assert found["least_accuracy"] == min(accuracy)
    assert "10.0% of the skeleton's weight is left" in found["sentence"]
    # With more of it left, only what the others do without it says anything.
    rows["skeleton_left"] = [1, 0.5, 0.11]
    weak = WEAK if verdict in (STAYS, SHARED) else verdict
    assert second_skeleton.probe_verdict(rows, 0.02 + 1e-9)["verdict"] == weak


@torch.no_grad()
def test_the_largest_weights_of_each_layer_are_counted_in_the_skeleton() -> None:
    made = nn.Sequential(nn.Linear(4, 1), nn.Linear(2, 1))
    made.get_parameter("0.weight")[:] = torch.tensor([4.0, -3.0, 2.0, 1.0])
    made.get_parameter("1.weight")[:] = torch.tensor([9.0, 8.0])
    skeleton = {
        "0.weight": torch.tensor([[True, False, True, False]]),
        "1.weight": torch.tensor([[False, True]]),
    }
    # of the two largest of the first layer one, of the largest of the second none
    assert second_skeleton._largest(prunable(made), skeleton) == pytest.approx(1 / 3)


def test_an_empty_skeleton_has_no_share_left() -> None:
    made, skeleton = planted(True)
    none = {name: torch.zeros_like(mask) for name, mask in skeleton.items()}
    row = second_skeleton.probe_row(made, none, images(), images(), 0.0, 0, "fp32")
    assert np.isnan(row["skeleton_left"])
    assert row["others_accuracy"] == row["test_accuracy"]
    assert row["outside"] == 1


def test_the_stage_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    made = build("cnn", 4, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
    tensors = {name: t.numpy() for name, t in made.state_dict().items()}
    pruned = {n: np.where(np.abs(t) < 1, 0, t) if t.ndim > 1 else t for n, t in tensors.items()}
    about = {"network": {"name": "cnn", "width": 4, "classes": 3}}
    artifacts.write_json(tmp_path / "model.json", about)
    artifacts.write_tensors(tmp_path / "weights.safetensors", tensors)
    artifacts.write_tensors(tmp_path / "pruned.safetensors", pruned)
    splits = {"train": images(24), "test": images(12, 1)}
    data = {f"{split}_images": some.pixels.numpy() for split, some in splits.items()}
    data |= {f"{split}_labels": some.labels.numpy() for split, some in splits.items()}
    artifacts.write_tensors(tmp_path / "images.safetensors", data)
    names = {
        "dataset": "images.safetensors",
        "regularized": "weights.safetensors",
        "summary": "model.json",
        "pruned": "pruned.safetensors",
    }
    files = {"rows": "probe.parquet", "verdict": "probe.json", "weights": "probed.safetensors"}
    output = {key: str(tmp_path / name) for key, name in files.items()}
    written = []
    for _ in range(2):
        second_skeleton.probe_stage(
            **{key: str(tmp_path / name) for key, name in names.items()},
            **output,
            seed=1,
            l1=1e-3,
            epochs=1,
            regularize=ADAM.__dict__,
            tolerance=0.02,
            device="cpu",
            precision="bf16",
            threads=1,
        )
        written.append([Path(path).read_bytes() for path in output.values()])
    assert written[0] == written[1]
    rows = artifacts.read_table(output["rows"])
    assert list(rows.epoch) == [0, 1]
    verdict = artifacts.read_json(output["verdict"])
    assert verdict["verdict"] in (LEARNT, LOST, SHARED, STAYS, TAKES_OVER, WEAK)
    assert not np.array_equal(
        artifacts.read_tensors(output["weights"])["body.0.weight"], tensors["body.0.weight"]
    )
