"""Walks that stay within their room."""

import copy
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colours import PLAIN, images
from torch import nn

from skeletons import pruning
from skeletons.data import shapes
from skeletons.inspection.exposure import expose
from skeletons.networks import unit_groups
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import describe, prunable
from skeletons.networks.scale_free import scale_free
from skeletons.store import artifacts
from skeletons.training import ridge as room
from skeletons.training.base import train_base, train_base_stage
from skeletons.training.epochs import measure
from skeletons.training.images import Images
from skeletons.training.optimizers import walk_optimizer
from skeletons.training.penalties import Weights
from skeletons.training.positions import RidgeWalk, Walk
from skeletons.training.ridge import Gauge, Ridge, steps_between_looks
from skeletons.training.settings import BaseSettings, RegularizeSettings
from skeletons.training.unit_penalties import Units
from skeletons.training.walk import regularize_stage, walk_on

ROOM = 0.05
FILTERS = (1, 2, 3)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@functools.cache
def drawn() -> Images:
    pixels, labels = shapes.draw(320, 1)
    return Images(torch.from_numpy(pixels), torch.from_numpy(labels))


def network(name: str = "cnn", classes: int = 10) -> nn.Sequential:
    made = build(name, 4, classes, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), seed=1)
    prepare(made, drawn().pixels)
    return made


@functools.cache
def trained(name: str) -> nn.Sequential:
    """A base at a low training loss of the drawn images."""
    made, (epochs, rate) = network(name), (30, 0.2) if name == "cnn" else (20, 0.1)
    how = BaseSettings(epochs, 16, "sgd", rate, 0.9, 0.0, 0.0, 0.2, PLAIN)
    train_base(made, drawn(), drawn(), 1, how, "fp32")
    return made


def walked(
    name: str,
    *,
    within: float | None,
    rate: float,
    l1: float,
    epochs: int = 8,
    groups: str = "weights",
) -> tuple[nn.Sequential, nn.Sequential, list[Any], pd.DataFrame]:
    """Base, end, history and points of a walk with Adam in batches of 16."""
    base = trained(name)
    made, train = copy.deepcopy(base), drawn()
    how = RegularizeSettings("adam", "subgradient", rate, 0.9, 16, 0, PLAIN, within, groups)
    descent = walk_optimizer(made, how)
    origin = {key: p.detach().clone() for key, p in base.named_parameters()}
    ridge, walk = None, Walk(made, origin, train.spread(0), "fp32")
    if within is not None:
        ridge = ridge_of(made, base, descent, train, within=within, shrinkage=l1, groups=groups)
        walk = RidgeWalk(made, origin, train)
    numbers = range(1, epochs + 1)
    rows = walk_on(
        made, descent, origin, train, train, 1, l1, numbers, how, "fp32", walk, None, ridge
    )
    return base, made, rows, pd.DataFrame(walk.rows(1, lambda step: 0))


def ridge_of(
    made: nn.Sequential,
    base: nn.Sequential,
    descent: torch.optim.Optimizer,
    train: Images,
    *,
    within: float = ROOM,
    shrinkage: float = 0.01,
    groups: str = "weights",
) -> Ridge:
    penalty = Units(made) if groups == "units" else Weights(made)
    return Ridge(
        made,
        base,
        descent,
        train,
        shrinkage=shrinkage,
        room=within,
        batch_size=16,
        precision="fp32",
        penalty=penalty,
    )


def sgd(made: nn.Module) -> torch.optim.Optimizer:
    return walk_optimizer(made, RegularizeSettings("sgd", "", 0.01, 0.9, 16, 0, PLAIN, ROOM))


# --- the room -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "resnet9", "speednet"])
def test_a_walk_holds_its_room_where_one_with_a_constant_lambda_does_not(name: str) -> None:
    base, left, _, _ = walked(name, within=None, rate=0.01, l1=1e-2)
    start, _ = measure(base, drawn())
    assert measure(left, drawn())[0] > start + ROOM
    base, end, rows, points = walked(name, within=ROOM, rate=0.01, l1=0.01)
    assert measure(end, drawn())[0] <= start + ROOM
    assert points.rise.max() <= ROOM
    assert rows[-1]["train_loss"] == pytest.approx(measure(end, drawn())[0], abs=1e-5)
    assert _near_zero(end) > _near_zero(base) + 0.05


def _near_zero(made: nn.Module) -> float:
    """The share of weights below a fifth of their layer's root mean square."""
    small = [(w.abs() < 0.2 * w.square().mean().sqrt()).flatten() for w in prunable(made).values()]
    return torch.cat(small).float().mean().item()


def test_beyond_the_limit_a_walk_goes_back_to_its_last_good_point() -> None:
    base = trained("resnet9")
    made = copy.deepcopy(base)
    descent = sgd(made)
    for p in made.parameters():
        p.grad = torch.full_like(p, 1e-3)
    descent.step()
    ridge = ridge_of(made, base, descent, drawn())
    good = [t.clone() for t in (*made.parameters(), *made.buffers())]
    moments = [descent.state[p]["momentum_buffer"].clone() for p in made.parameters()]
    reading = ridge.reading
    with torch.no_grad():
        for p in made.parameters():
            p.mul_(-3)
    descent.step()
    made.train()(drawn().pixels[:32])  # the statistics of batch norm move as well
    assert not ridge.look()
    assert all(map(torch.equal, good, (*made.parameters(), *made.buffers())))
    after = [descent.state[p]["momentum_buffer"] for p in made.parameters()]
    assert all(map(torch.equal, moments, after))
    assert (ridge.reading, ridge.returns) == (reading, 1)
    assert ridge.state[:2].tolist() == [0.5, 0.5]
    assert descent.param_groups[0]["lr"] == 0.005


def test_a_loss_that_is_not_a_number_is_beyond_the_limit() -> None:
    base = trained("cnn")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn())
    with torch.no_grad():
        next(iter(prunable(made).values())).fill_(torch.nan)
    assert not ridge.look()
    assert all(p.isfinite().all() for p in made.parameters())


def test_the_less_room_is_left_the_more_slowly_weights_shrink() -> None:
    base = trained("cnn")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn())
    speeds = []
    for rise in (-1.0, 0.0, 0.01, 0.03, 0.041, 0.05):
        ridge.gauge.read = lambda network, rise=rise: room.Reading(1, 1, rise, 0)  # type: ignore[method-assign, misc]
        assert ridge.look()
        speeds.append(float(ridge.state[1] * ridge.state[2]))
    assert speeds == pytest.approx([room.FASTEST, 1, 0.75, 0.25, 0, 0])


def test_glances_set_the_speed_between_looks_that_are_rare() -> None:
    base = trained("cnn")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn())
    ridge.every, ridge.glances = room.SELDOM, 10
    numbers = []

    def glance(network: nn.Module, number: int) -> float:
        numbers.append(number)
        return [0.0, 0.03, 0.05, torch.nan][number % 4]

    ridge.gauge.glance = glance  # type: ignore[method-assign]
    speeds = []
    for step in range(1, room.SELDOM + 1):
        assert ridge.due() == (step == room.SELDOM)
        speeds.append(ridge.speed)
    assert numbers == [1, 2, 3, 4]
    assert speeds[8::10] == pytest.approx([1, 0.25, 0, 0, 1])
    assert ridge.returns == 0
    ridge.every = room.SELDOM - 1
    assert [ridge.due() for _ in range(40)].count(True) == 0
    assert len(numbers) == 4


def test_each_glance_is_at_other_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "GLANCED", 30)
    base, train = network("cnn"), drawn()
    gauge, other = Gauge(base, train, "fp32"), trained("cnn")
    parts = -(-len(train.labels) // 30)
    found = [gauge.glance(other, number) for number in range(parts + 1)]
    assert len(set(found)) == parts
    assert found[-1] == found[0]
    sizes = torch.tensor([30.0] * (parts - 1) + [len(train.labels) - 30.0 * (parts - 1)])
    mean = (torch.tensor(found[:-1]) * sizes).sum() / sizes.sum()
    assert float(mean) == pytest.approx(gauge.read(other).rise, abs=1e-5)


def test_weights_shrink_by_a_share_of_their_layer_in_the_base() -> None:
    base = trained("cnn")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn(), shrinkage=0.5)
    ridge.shrink()
    ridge.shrink()
    for name, w in prunable(base).items():
        expected = nn.functional.softshrink(w, w.square().mean().sqrt().item())
        assert torch.allclose(prunable(made)[name], expected, atol=1e-6)


def test_shrinking_changes_no_norm_that_is_free() -> None:
    base = trained("resnet9")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn(), shrinkage=0.3)
    ridge.shrink()
    free = scale_free(base, drawn().pixels[:32])
    for name, w in prunable(made).items():
        now, then = (x.flatten(1).norm(dim=1) for x in (w, prunable(base)[name]))
        assert torch.allclose(now, then, rtol=1e-5) == (name in free)
        assert (w == 0).float().mean() > 0.15


def test_units_shrink_as_a_whole_and_change_no_norm_that_is_free() -> None:
    base = trained("resnet9")
    made = copy.deepcopy(base)
    ridge = ridge_of(made, base, sgd(made), drawn(), shrinkage=0.9, groups="units")
    ridge.shrink()
    free = scale_free(base, drawn().pixels[:32])
    owned = {name for stream in unit_groups.find(made) for name in stream["readers"]}
    gone = 0
    for name, w in prunable(made).items():
        now, then = (x.flatten(1).norm(dim=1) for x in (w, prunable(base)[name]))
        if name in free:
            assert torch.allclose(now, then, rtol=1e-5)
        if name in owned and name in free:  # the filters' inputs go as wholes
            zero = (w == 0).transpose(0, 1).flatten(1)
            assert (zero.all(dim=1) | ~zero.any(dim=1)).all()
            gone += int(zero.all(dim=1).sum())
    assert gone > 0


def test_a_walk_by_units_halves_the_flops_and_keeps_the_accuracy() -> None:
    """On drawn images."""
    base, end, _, points = walked(
        "resnet9", within=ROOM, rate=0.004, l1=0.01, epochs=24, groups="units"
    )
    assert points.rise.max() <= ROOM
    about, streams = describe(end), unit_groups.find(end)
    tensors = {name: t.detach().numpy() for name, t in end.state_dict().items()}
    kept, report = pruning.prune_units(
        tensors, about["layers"], streams, threshold=0.3, scale="layer_rms"
    )
    end.load_state_dict({name: torch.as_tensor(t) for name, t in kept.items()})
    small = expose(end).network
    assert sum(report["units"]) < sum(stream["units"] for stream in streams)
    assert describe(small)["flops"] <= 0.5 * about["flops"]
    assert describe(small)["parameters"] < 0.6 * about["parameters"]
    accuracy = measure(small, drawn())[1]
    assert accuracy >= measure(base, drawn())[1] - 0.02
    assert accuracy == measure(end, drawn())[1]


# --- which scales are free ------------------------------------------------------------------------


def test_batch_norm_frees_the_scale_of_each_filter_before_it() -> None:
    assert scale_free(network("cnn"), drawn().pixels[:16]) == {}
    for name in ("resnet9", "resnet20", "speednet"):
        made = network(name)
        before = {key: t.clone() for key, t in made.state_dict().items()}
        convolutions = {key: FILTERS for key, w in prunable(made).items() if w.ndim == 4}
        assert scale_free(made, drawn().pixels[:16]) == convolutions
        assert all(torch.equal(t, before[key]) for key, t in made.state_dict().items())


def test_layer_norm_frees_the_common_scale_of_a_layer() -> None:
    made = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 6, bias=False), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 3)
    )
    assert scale_free(made, torch.randn(8, 3, 2, 2)) == {"1.weight": (0, 1)}


# --- what is measured -----------------------------------------------------------------------------


def test_a_rise_is_measured_image_by_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MEASURED", 80)
    base, other = network("cnn"), trained("cnn")
    reading = Gauge(base, drawn(), "fp32").read(other)
    sample = drawn().spread(80)
    with torch.no_grad():
        losses = [
            nn.functional.cross_entropy(made.eval()(sample.pixels), sample.labels, reduction="none")
            for made in (base, other)
        ]
    rises = (losses[1] - losses[0]).double().numpy()
    assert reading.rise == pytest.approx(rises.mean(), abs=1e-5)
    # 80 of 320 images are known, so a quarter of the variance is missing.
    error = rises.std(ddof=1) / np.sqrt(80) * np.sqrt(3 / 4)
    assert reading.error == pytest.approx(error, rel=1e-4)
    assert reading.bound == pytest.approx(reading.rise + 1.645 * reading.error)
    assert reading.loss == pytest.approx(measure(other, sample)[0], abs=1e-5)


def test_nothing_is_uncertain_if_all_training_images_are_measured() -> None:
    reading = Gauge(network("cnn"), drawn(), "fp32").read(trained("cnn"))
    assert reading.error == 0


@pytest.mark.parametrize("batch", [8, 25, 100, 250, 500, 1000])
@pytest.mark.parametrize("count", [5_000, 50_000])
def test_looks_take_little_of_a_walk(batch: int, count: int) -> None:
    steps = -(-count // batch)
    looks = -(-steps // steps_between_looks(room.MEASURED, batch, steps))
    assert room.MEASURED * looks <= 0.1 * room.STEP * count
    assert looks > 0.5 * 0.09 * room.STEP * count / room.MEASURED
    glances = -(-steps // steps_between_looks(room.GLANCED, batch, steps, room.GLANCES))
    assert room.GLANCED * glances <= 0.055 * room.STEP * count or glances == 1


# --- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    train, test = images(), images(48, 1)
    tensors = {"train_images": train.pixels, "train_labels": train.labels}
    tensors |= {"test_images": test.pixels, "test_labels": test.labels}
    artifacts.write_tensors(
        folder / "images.safetensors", {key: tensor.numpy() for key, tensor in tensors.items()}
    )
    about = {"classes": ["r", "g", "b"], "mean": [0.3] * 3, "std": [0.2] * 3}
    artifacts.write_json(folder / "info.json", about)
    return folder


def files(folder: Path, name: str) -> dict[str, str]:
    kinds = ("weights", "history", "walk", "summary", "optimizer")
    return {kind: str(folder / name / kind) for kind in kinds}


def train(folder: Path, dataset: Path) -> None:
    base = files(folder, "base")
    train_base_stage(
        dataset=str(dataset / "images.safetensors"),
        info=str(dataset / "info.json"),
        weights=base["weights"],
        history=base["history"],
        summary=base["summary"],
        seed=1,
        network={"name": "resnet9", "width": 2},
        base=vars(BaseSettings(3, 16, "sgd", 0.05, 0.9, 0.0, 0.0, 0.2, PLAIN)),
        device="cpu",
        precision="fp32",
        threads=1,
    )


def checkpoint(
    folder: Path, dataset: Path, after: int, epochs: int, to: str, optimizer: str
) -> None:
    parent = files(folder, f"ep{after}" if after else "base")
    names = parent if after else ("weights", "summary")
    how = RegularizeSettings(optimizer, "subgradient", 0.02, 0.9, 16, 0, PLAIN, 0.02)
    regularize_stage(
        dataset=str(dataset / "images.safetensors"),
        base=files(folder, "base")["weights"],
        **{f"parent_{name}": parent[name] for name in names},
        **files(folder, to),
        seed=1,
        l1=0.03,
        after=after,
        epochs=epochs,
        regularize=vars(how),
        device="cpu",
        precision="fp32",
        threads=1,
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_checkpoint_within_its_room_is_the_same_bytes_whichever_way_it_was_reached(
    tmp_path: Path, dataset: Path, optimizer: str
) -> None:
    train(tmp_path, dataset)
    for after, epochs in ((0, 1), (1, 2), (2, 4), (4, 6)):
        checkpoint(tmp_path, dataset, after, epochs, f"ep{epochs}", optimizer)
    checkpoint(tmp_path, dataset, 0, 6, "direct", optimizer)
    for kind, path in files(tmp_path, "ep6").items():
        assert Path(path).read_bytes() == Path(files(tmp_path, "direct")[kind]).read_bytes(), kind
    history = artifacts.read_table(files(tmp_path, "direct")["history"])
    walk = artifacts.read_table(files(tmp_path, "direct")["walk"])
    assert history.returns.sum() > 0  # so that this is a test of the state after a return, too
    assert walk.step.tolist() == list(range(len(walk)))
    assert walk.epoch.is_monotonic_increasing
    assert walk.rise.max() <= 0.02
    assert walk.rise.notna().sum() == walk.loss.notna().sum() >= 2
