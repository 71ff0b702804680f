"""Scaling a skeleton to zero while the loss is held."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colours import PLAIN, images
from test_probe import planted
from torch import nn

from skeletons.findings import inspections
from skeletons.inspection import takeover as module
from skeletons.inspection.second_skeleton import EMPTY
from skeletons.inspection.takeover import (
    NEEDED,
    TAKES_OVER,
    UNFINISHED,
    Fading,
    takeover,
    takeover_verdict,
)
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.store import artifacts
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.settings import RegularizeSettings

ROOM = 0.05


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def settings(rate: float) -> RegularizeSettings:
    return RegularizeSettings("adam", "subgradient", rate, 0.9, 12, 0, PLAIN)


def run(second: bool, rate: float, epochs: int = 8) -> tuple[nn.Sequential, Any, pd.DataFrame]:
    made, skeleton = planted(second)
    for name, p in made.named_parameters():  # the second one can only hold what it is given
        p.requires_grad_(rate > 0 or "one.0" in name)
    rows = takeover(
        made,
        skeleton,
        images(),
        images(48, 1),
        seed=1,
        epochs=epochs,
        room=ROOM,
        settings=settings(rate or 1e-12),
        precision="fp32",
    )
    return made, skeleton, rows


def test_a_planted_second_skeleton_takes_over_with_the_loss_held() -> None:
    made, skeleton, rows = run(True, 0.02, epochs=16)
    found = takeover_verdict(rows, ROOM)
    assert found["verdict"] == TAKES_OVER
    assert found["gone_at"] == rows.epoch.iloc[-1]
    assert rows.left.iloc[-1] == 0
    assert rows.bound.max() <= ROOM
    for name, w in prunable(made).items():
        assert not w.detach()[skeleton[name]].any()
    last = rows.iloc[-1]
    assert last.others_accuracy == last.test_accuracy == 1


def test_without_a_second_one_that_can_learn_the_skeleton_is_needed() -> None:
    _, _, rows = run(False, 0.0)
    found = takeover_verdict(rows, ROOM)
    assert found["verdict"] == NEEDED
    assert found["left"] > 0.3
    assert found["returns"] > 0
    assert found["gone_at"] is None
    assert rows.bound.max() <= ROOM
    assert rows.test_accuracy.min() > 0.9
    assert found["sentence"].startswith("The skeleton is needed: after 8 epochs, ")


def test_the_skeleton_fades_as_a_whole_whatever_the_optimiser_does() -> None:
    made, skeleton = planted(True)
    before = {name: w.detach().clone() for name, w in prunable(made).items()}
    descent = walk_optimizer(made, settings(0.05))
    fading = Fading(
        made,
        skeleton,
        0.1,
        optimizer=descent,
        train=images(),
        room=1e9,
        batch_size=12,
        precision="fp32",
    )
    for p in made.parameters():
        p.grad = torch.randn_like(p)
    for left in (0.9, 0.8):
        descent.step()
        fading.fade()
        assert float(fading.left) == pytest.approx(left)
        for name, w in prunable(made).items():
            inside = skeleton[name]
            assert torch.allclose(w[inside], float(fading.left) * before[name][inside])
            assert not torch.allclose(w[~inside], before[name][~inside]) or inside.all()
    assert fading.look()
    good = {name: w.detach().clone() for name, w in prunable(made).items()}
    fading.room = -1.0  # whatever the loss is, it is too high
    descent.step()
    fading.fade()
    assert not fading.look()
    assert float(fading.left) == pytest.approx(0.8)
    assert all(torch.equal(w, good[name]) for name, w in prunable(made).items())
    assert fading.state[:2].tolist() == [0.5, 0.5]


def rows_of(left: list[float], mass: float = 1.0) -> pd.DataFrame:
    count = len(left)
    columns = ("rise", "bound", "test_accuracy", "others_accuracy", "skeleton_accuracy")
    return pd.DataFrame(
        {"epoch": range(count), "left": left, "returns": 1, "skeleton_left": mass}
        | dict.fromkeys(columns, 0.5)
    )


@pytest.mark.parametrize(
    ("left", "mass", "verdict", "gone"),
    [
        ([1, 0.4, 0], 1.0, TAKES_OVER, 2),
        ([1, 0.405, 0.4], 1.0, NEEDED, None),
        ([1, 0.6, 0.4], 1.0, UNFINISHED, None),
        ([1, 0.4, 0], float("nan"), EMPTY, 2),
    ],
)
def test_the_verdict_goes_by_what_is_left(
    left: list[float], mass: float, verdict: str, gone: int | None
) -> None:
    found = takeover_verdict(rows_of(left, mass), ROOM)
    assert (found["verdict"], found["gone_at"], found["returns"]) == (verdict, gone, 3)
    assert found["sentence"].startswith(verdict.capitalize())


def test_the_stage_writes_the_same_bytes_each_time(tmp_path: Path) -> None:
    made = build("resnet9", 2, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
    tensors = {name: t.numpy() for name, t in made.state_dict().items()}
    pruned = {n: np.where(np.abs(t) < 0.1, 0, t) if t.ndim > 1 else t for n, t in tensors.items()}
    about = {"network": {"name": "resnet9", "width": 2, "classes": 3}}
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
    files = {"rows": "rows.parquet", "verdict": "found.json", "weights": "left.safetensors"}
    output = {key: str(tmp_path / name) for key, name in files.items()}
    written = []
    for _ in range(2):
        module.takeover_stage(
            **{key: str(tmp_path / name) for key, name in names.items()},
            **output,
            seed=1,
            epochs=2,
            room=ROOM,
            regularize=settings(0.01).__dict__,
            device="cpu",
            precision="fp32",
            threads=1,
        )
        written.append([Path(path).read_bytes() for path in output.values()])
    assert written[0] == written[1]
    rows = artifacts.read_table(output["rows"])
    assert list(rows.epoch) == list(range(len(rows)))
    assert rows.bound.max() <= ROOM
    assert artifacts.read_json(output["verdict"])["epochs"] == len(rows) - 1


@pytest.mark.parametrize("missed", [(), ("seed=1",)])
def test_what_takes_over_from_a_base_off_its_optimum_shows_nothing(
    missed: tuple[str, ...], tmp_path: Path
) -> None:
    """At chance, any weights are as good as the skeleton's."""
    paths = {
        "takeover": tmp_path / "takeover/seed=1_l1=0.0001_ep=1_d=0.3.json",
        "probe": tmp_path / "probe/seed=1_l1=0.001.json",
    }
    for path in paths.values():
        words = {"verdict": "x", "sentence": "Another takes over.", "l1": 1e-3, "room": 0.05}
        artifacts.write_json(path, words)
    found = inspections.inspections(
        {kind: [str(path)] for kind, path in paths.items()}, missed=missed
    )
    said = " Its base misses `base.target`, so this shows nothing." if missed else ""
    for section in inspections.inspection_sections(found):
        assert section.text.endswith(f": Another takes over.{said}")
