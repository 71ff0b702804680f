import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from colours import PLAIN, images

from skeletons.errors import TrainingError
from skeletons.networks import architectures
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.store import artifacts, fingerprint
from skeletons.training import stopped
from skeletons.training.augmentation import augment
from skeletons.training.base import train_base, train_base_stage
from skeletons.training.epochs import run_epoch
from skeletons.training.optimizers import scheduled_rate, walk_optimizer
from skeletons.training.penalties import add_subgradient, shrink, shrink_proximally
from skeletons.training.settings import BaseSettings, RegularizeSettings
from skeletons.training.walk import regularize_stage, walk_on

ALL = {"flip": True, "shift": 2, "cutout": 8}
ADAM = RegularizeSettings("adam", "subgradient", 1e-3, 0.9, 32, 16, ALL)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def network(name: str = "cnn") -> torch.nn.Sequential:
    return build(name, 4, 3, (0.3, 0.3, 0.3), (0.2, 0.2, 0.2))


def settings(**changes: Any) -> BaseSettings:
    values: dict[str, Any] = {
        "epochs": 6,
        "batch_size": 16,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "label_smoothing": 0.0,
        "warmup": 0.2,
        "augment": PLAIN,
    }
    return BaseSettings(**(values | changes))


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_network_learns_an_easy_task(name: str, precision: str) -> None:
    net = network(name)
    rows = train_base(net, images(), images(seed=1), 1, settings(epochs=4), precision)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["train_accuracy"] > 0.9
    assert rows[-1]["test_accuracy"] > 0.9
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_adam_trains_a_base_as_well_and_decays_its_weights() -> None:
    adam = settings(optimizer="adam", learning_rate=0.01)
    norms = []
    for decay in (0.0, 1.0):
        net = network("cnn")
        chosen = dataclasses.replace(adam, weight_decay=decay)
        rows = train_base(net, images(), images(seed=1), 1, chosen, "fp32")
        norms.append(sum(float(w.detach().norm()) for w in prunable(net).values()))
        if not decay:
            assert rows[-1]["train_accuracy"] > 0.9
    assert norms[1] < norms[0]


def test_label_smoothing_descends_the_mixed_cross_entropy() -> None:
    """Compared with the written-out loss: 0.7 of a label, and 0.1 for each of three classes."""
    found, data = [], images(16)
    for written_out in (False, True):
        net = network("cnn")
        if written_out:
            log_p = torch.log_softmax(net(data.pixels), 1)
            target = torch.nn.functional.one_hot(data.labels, 3) * 0.7 + 0.1
            (-(target * log_p).sum(1)).mean().backward()
        else:
            batch = iter([(data.pixels, data.labels)])
            layers = torch.Generator()
            run_epoch(
                net,
                batch,
                lambda: None,
                layers=layers,
                precision="fp32",
                where="",
                label_smoothing=0.3,
            )
        found.append([w.grad for w in net.parameters()])
    for ours, wanted in zip(*found, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-7)


def test_a_base_model_trained_with_smoothed_labels_is_less_sure() -> None:
    losses = []
    for smoothing in (0.0, 0.3):
        chosen = settings(epochs=10, label_smoothing=smoothing)
        rows = train_base(network(), images(), images(seed=1), 1, chosen, "fp32")
        assert rows[-1]["test_accuracy"] > 0.9
        losses.append(rows[-1]["train_loss"])
    assert losses[0] < 0.1 < losses[1]


def test_the_rate_rises_to_its_peak_and_falls_to_nothing() -> None:
    rates = [scheduled_rate(step, 100, 0.5, 0.2) for step in range(100)]
    assert max(rates) == pytest.approx(0.5)
    assert rates.index(max(rates)) in (19, 20)
    assert all(a < b for a, b in itertools.pairwise(rates[:20]))
    assert all(a > b for a, b in itertools.pairwise(rates[20:]))
    assert 0 < rates[-1] < 0.01


@pytest.mark.parametrize("warmup", [0.0, 1.0])
def test_the_schedule_has_no_hole_at_its_ends(warmup: float) -> None:
    assert all(0 < scheduled_rate(s, 10, 1.0, warmup) <= 1 for s in range(10))


def test_divergence_is_an_error_that_names_epoch_and_step() -> None:
    with pytest.raises(TrainingError, match=r"seed=1, epoch \d+, diverged.* at step \d+ of 6"):
        train_base(
            network(), images(), images(), 1, settings(learning_rate=1e6, weight_decay=0.0), "fp32"
        )


def test_diverged_training_leaves_no_artifact(tmp_path: Path, dataset: Path) -> None:
    with pytest.raises(TrainingError):
        train_base_files(tmp_path, dataset, learning_rate=1e6)
    assert list(tmp_path.glob("base*")) == []


def test_augmentation_moves_mirrors_and_cuts() -> None:
    one = torch.arange(3 * 32 * 32, dtype=torch.int64).remainder(251).add(1).to(torch.uint8)
    batch = one.view(1, 3, 32, 32).repeat(200, 1, 1, 1)
    draw = torch.Generator().manual_seed(0)
    assert torch.equal(augment(batch, draw, **PLAIN), batch)
    flipped = augment(batch, draw, flip=True, shift=0, cutout=0)
    mirrored = (flipped == batch.flip(3)).flatten(1).all(dim=1)
    assert ((flipped == batch).flatten(1).all(dim=1) ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140
    moved = augment(batch, draw, flip=False, shift=2, cutout=0)
    inner = {tuple(image[0, 5, 5:8].tolist()) for image in moved}
    assert len(inner) == 25
    cut = augment(batch, draw, flip=False, shift=0, cutout=8)
    assert ((cut == 0).sum(dim=(1, 2, 3)) == 3 * 64).all()


def test_the_last_step_of_a_stopped_base_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    network = build("cnn", 2, 3, [0.5] * 3, [0.2] * 3)
    losses = iter([2.0, 1.0, 0.5])
    monkeypatch.setattr(stopped, "measure", lambda *_: (next(losses), 0.5))
    watch = stopped.Watch(network, images(), 0.1, every=3)
    for _ in range(5):
        assert not watch.after_step()
    assert (watch.reached, watch.step) == (1.0, 3)
    watch.look()
    assert (watch.reached, watch.step) == (0.5, 5)


def test_the_subgradient_is_lambda_times_the_sign() -> None:
    w = torch.nn.Parameter(torch.tensor([2.0, -3.0, 0.0]))
    w.grad = torch.ones(3)
    add_subgradient([w], 0.25)
    assert w.grad.tolist() == [1.25, 0.75, 1.0]
    unused, alone = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.tensor([-4.0]))
    alone.grad = torch.zeros(1)
    add_subgradient([unused, alone], 0.25)  # a layer that a step left out has no gradient
    assert unused.grad is None
    assert alone.grad.tolist() == [-0.25]


def test_the_proximal_step_makes_exact_zeros() -> None:
    w = torch.nn.Parameter(torch.tensor([2.0, -3.0, 0.1, -0.2]))
    shrink([w], 0.25)
    assert w.tolist() == [1.75, -2.75, 0.0, 0.0]


@pytest.mark.parametrize(("optimizer", "momentum"), [("adam", 0.9), ("sgd", 0.0), ("sgd", 0.9)])
def test_the_proximal_step_minimises_what_it_says(optimizer: str, momentum: float) -> None:
    """Of ½‖w − c‖² + λ‖w‖₁, the minimum is the soft threshold of c at λ, for every optimiser."""
    settings = RegularizeSettings(optimizer, "proximal", 1e-2, momentum, 1, 0, ALL)
    layer = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.zero_()
    descent, noise = walk_optimizer(layer, settings), torch.Generator().manual_seed(0)
    c, mean = torch.tensor([[0.5, 0.2, -0.4, 0.05]]), torch.zeros(1, 4)
    for step in range(6_000):
        layer.weight.grad = layer.weight.detach() - c + 0.1 * torch.randn(1, 4, generator=noise)
        descent.step()
        shrink_proximally(descent, [layer.weight], 0.3)
        mean += layer.weight.detach() / 3_000 * (step >= 3_000)
    assert mean.flatten().tolist() == pytest.approx([0.2, 0.0, -0.1, 0.0], abs=0.006)


def walk(net: torch.nn.Sequential, optimizer: Any, epochs: range, l1: float = 1e-2) -> list[Any]:
    origin = {name: p.detach().clone() for name, p in network().named_parameters()}
    return walk_on(net, optimizer, origin, images(), images(), 1, l1, epochs, ADAM, "bf16")


def test_a_walk_records_where_it_goes() -> None:
    net = network()
    rows = walk(net, walk_optimizer(net, ADAM), range(1, 4))
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert rows[0]["distance"] == pytest.approx(rows[0]["step"])
    assert rows[2]["distance"] <= sum(row["step"] for row in rows) + 1e-9
    magnitudes = torch.cat([w.abs().flatten() for w in prunable(net).values()])
    assert rows[2]["penalty"] == pytest.approx(1e-2 * float(magnitudes.sum()), rel=1e-6)
    assert rows[2]["penalty"] < rows[0]["penalty"]


# --- the chain of checkpoints, through files ---------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """A data set's folder, with the files that `data.build.write` writes."""
    folder = tmp_path / "data"
    train, test = images(), images(48, 1)
    artifacts.write_tensors(
        folder / "images.safetensors",
        {
            "train_images": train.pixels.numpy(),
            "train_labels": train.labels.numpy(),
            "test_images": test.pixels.numpy(),
            "test_labels": test.labels.numpy(),
        },
    )
    about = {"classes": ["r", "g", "b"], "mean": [0.3] * 3, "std": [0.2] * 3}
    artifacts.write_json(folder / "info.json", about)
    return folder


def files(folder: Path, name: str) -> dict[str, str]:
    endings = {
        "weights": "safetensors",
        "history": "parquet",
        "walk": "parquet",
        "summary": "json",
        "optimizer": "opt.safetensors",
    }
    return {key: str(folder / name / f"{key}.{ending}") for key, ending in endings.items()}


def train_base_files(folder: Path, dataset: Path, network: str = "resnet9", **changes: Any) -> None:
    base = files(folder, "base")
    train_base_stage(
        dataset=str(dataset / "images.safetensors"),
        info=str(dataset / "info.json"),
        weights=base["weights"],
        history=base["history"],
        summary=base["summary"],
        seed=1,
        network={"name": network, "width": 2},
        base=vars(settings(**changes)),
        device="cpu",
        precision="bf16",
        threads=1,
    )


def checkpoint(
    folder: Path, dataset: Path, after: int, epochs: int, optimizer: str, to: str
) -> None:
    parent = files(folder, f"ep{after}" if after else "base")
    names = parent if after else ("weights", "summary")
    regularize_stage(
        dataset=str(dataset / "images.safetensors"),
        base=files(folder, "base")["weights"],
        **{f"parent_{name}": parent[name] for name in names},
        **files(folder, to),
        seed=1,
        l1=1e-3,
        after=after,
        epochs=epochs,
        regularize=vars(ADAM) | {"optimizer": optimizer},
        device="cpu",
        precision="bf16",
        threads=1,
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_checkpoint_is_the_same_bytes_whichever_way_it_was_reached(
    tmp_path: Path, dataset: Path, optimizer: str
) -> None:
    train_base_files(tmp_path, dataset, epochs=1)
    checkpoint(tmp_path, dataset, 0, 1, optimizer, "ep1")
    checkpoint(tmp_path, dataset, 1, 2, optimizer, "ep2")
    checkpoint(tmp_path, dataset, 2, 4, optimizer, "ep4")
    checkpoint(tmp_path, dataset, 0, 4, optimizer, "direct")
    steps, direct = files(tmp_path, "ep4"), files(tmp_path, "direct")
    for kind, path in steps.items():
        assert Path(path).read_bytes() == Path(direct[kind]).read_bytes(), kind
    history = artifacts.read_table(steps["history"])
    assert history.epoch.tolist() == [0, 1, 2, 3, 4]
    assert isinstance(history, pd.DataFrame)
    assert history.distance[0] == history.step[0] == 0


def test_a_trained_model_says_in_which_precision(tmp_path: Path, dataset: Path) -> None:
    train_base_files(tmp_path, dataset, epochs=1)
    checkpoint(tmp_path, dataset, 0, 1, "adam", "ep1")
    for name in ("base", "ep1"):
        assert artifacts.read_json(files(tmp_path, name)["summary"])["precision"] == "bf16"


def test_training_twice_gives_the_same_bytes(tmp_path: Path, dataset: Path) -> None:
    for name in ("one", "two"):
        train_base_files(tmp_path / name, dataset, epochs=2)
    one, two = (files(tmp_path / name, "base") for name in ("one", "two"))
    for kind, path in one.items():
        if kind not in ("optimizer", "walk"):
            assert Path(path).read_bytes() == Path(two[kind]).read_bytes()


DROPOUT = """
from torch import nn

def net(width, classes):
    hidden = nn.Linear(3072, 8 * width)
    return nn.Sequential(nn.Flatten(), hidden, nn.Dropout(), nn.Linear(8 * width, classes))
"""


def test_a_checkpoint_with_dropout_is_the_same_bytes_whichever_way_it_was_reached(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dropping.py").write_text(DROPOUT)
    train_base_files(tmp_path, dataset, "dropping.py:net", epochs=1)
    checkpoint(tmp_path, dataset, 0, 1, "sgd", "ep1")
    checkpoint(tmp_path, dataset, 1, 3, "sgd", "ep3")
    torch.manual_seed(7)
    checkpoint(tmp_path, dataset, 0, 3, "sgd", "direct")
    steps, direct = files(tmp_path, "ep3"), files(tmp_path, "direct")
    for kind, path in steps.items():
        assert Path(path).read_bytes() == Path(direct[kind]).read_bytes(), kind


def test_training_leaves_torch_s_global_generator_alone() -> None:
    net = network()
    net.get_submodule("body").insert(1, torch.nn.Dropout())
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train_base(net, images(), images(), 1, settings(epochs=1), "fp32")
    assert torch.equal(torch.rand(2), expected)


def test_a_base_model_does_not_depend_on_code_that_it_does_not_run() -> None:
    code = fingerprint.closure_of(["training.base"])
    assert "data.files" in code
    assert not code & {"training.walk", "data.build", "data.shapes", "config"}
    assert "training.base" not in fingerprint.closure_of(["training.walk"])
