"""Bridges: two networks in one, paths at constant loss, and skeletons that fit side by side."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skeletons.data import shapes
from skeletons.errors import WiringError
from skeletons.findings import bridges, inspections, walk_certificates
from skeletons.inspection import absence, bridge, original_width
from skeletons.inspection.paths import Leg, Measurer, apart, follow, length_of
from skeletons.networks import channels, side_by_side
from skeletons.networks.build import build, prepare
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.inference import predict
from skeletons.report import tables
from skeletons.store import artifacts
from skeletons.training.base import train_base
from skeletons.training.held import hold
from skeletons.training.images import Images
from skeletons.training.job import tensors_of
from skeletons.training.ridge import Gauge
from skeletons.training.settings import BaseSettings

CLASSES = 10
PLAIN = {"flip": False, "shift": 0, "cutout": 0}  # images as they are
TRAINED = {  # images, epochs and rate that bring a small network to a low training loss
    "cnn": (80, 50, 0.03),
    "resnet9": (80, 20, 0.02),
    "speednet": (80, 30, 0.03),
    "resnet20": (40, 40, 0.01),
}


def images(name: str) -> Images:
    """The training images of a network."""
    return Images(*map(torch.from_numpy, shapes.draw(TRAINED[name][0], 0)))


def network(name: str, width: int = 4, seed: int = 0) -> nn.Sequential:
    return build(name, width, CLASSES, [0.5] * 3, [0.25] * 3, seed=seed).eval()


def train(made: nn.Sequential, name: str, seed: int) -> nn.Sequential:
    _, epochs, rate = TRAINED[name]
    settings = BaseSettings(epochs, 20, "adam", rate, 0.9, 0.0, 0.0, 0.2, PLAIN)
    prepare(made, images(name).pixels)
    train_base(made, images(name), images(name), seed, settings, "fp32")
    return made.eval()


# --- two networks in one -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "width"),
    [("cnn", 3), ("resnet9", 2), ("speednet", 2), ("resnet20", 2), ("resnet20", 3)],
)
def test_a_doubled_network_computes_either_network_and_their_mixture(name: str, width: int) -> None:
    a, b = (network(name, width, seed) for seed in (1, 2))
    for model in (a, b):
        for key, tensor in tensors(model).items():
            if key.startswith("body.") and tensor.ndim == 1 and tensor.is_floating_point():
                tensor.detach().uniform_(0.5, 1.5)
    holder, *places = side_by_side.doubled(a)
    laid = [holder.hold(model, own) for model, own in zip((a, b), places, strict=True)]
    shown = torch.from_numpy(shapes.draw(20, 3)[0])
    logits = [predict(model, shown) for model in (a, b)]
    for shares in ((1.0, 0.0), (0.0, 1.0), (0.25, 0.75)):
        put(holder.network, side_by_side.mixed(holder, laid, (1, 1), shares))
        wanted = shares[0] * logits[0] + shares[1] * logits[1]
        assert torch.allclose(predict(holder.network, shown), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cnn", "resnet9", "resnet20"])
def test_a_doubled_network_is_as_large_as_one_of_twice_the_width(name: str) -> None:
    large = side_by_side.doubled(network(name, 3))[0].network
    twice = network(name, 6)
    assert sorted(tuple(p.shape) for p in large.parameters()) == sorted(
        tuple(p.shape) for p in twice.parameters()
    )


def test_units_that_nobody_reads_change_nothing_at_all() -> None:
    a, b = (network("resnet9", 2, seed) for seed in (1, 2))
    holder, *places = side_by_side.doubled(a)
    laid = [holder.hold(model, own) for model, own in zip((a, b), places, strict=True)]
    shown = torch.from_numpy(shapes.draw(10, 3)[0])
    found = []
    for share in (0.0, 0.4, 1.0):
        put(holder.network, side_by_side.mixed(holder, laid, (1, share), (1, 0)))
        found.append(predict(holder.network, shown))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


class InputNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.norm(x)).relu().mean((2, 3)))


class LogitNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, CLASSES)
        self.norm = nn.BatchNorm1d(CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.head(self.conv(x).relu().mean((2, 3))))


class Probabilities(LogitNorm):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).relu().mean((2, 3))).tanh()


class Slope(LogitNorm):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.PReLU()  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (InputNorm, "normalises its images"),
        (LogitNorm, "normalises its images or logits"),
        (Probabilities, "something else than the mixture"),
        (Slope, "belong to no channel"),
    ],
)
def test_a_network_that_cannot_lie_beside_another_is_refused(
    kind: type[nn.Module], says: str
) -> None:
    whole = network("cnn", 2)
    whole.body = kind()
    with pytest.raises(WiringError, match=says):
        side_by_side.check(whole)


# --- paths ---------------------------------------------------------------------------------------


def test_a_path_goes_by_all_corners_in_steps_that_are_short_enough() -> None:
    a, b, c = (network("cnn", 2, seed) for seed in (1, 2, 3))
    corners = [{k: t.detach().clone() for k, t in tensors(m).items()} for m in (a, b, c)]
    measurer = Measurer(network("cnn", 2), Gauge(a, images("cnn"), "fp32"))
    norm = length_of(corners[0], measurer.parameters)
    legs = [Leg("one", corners[1]), Leg("none", corners[1]), Leg("two", corners[2], 50)]
    found = follow(measurer, corners[0], legs, 0.2, norm)
    assert found.rise.iloc[0] == 0
    assert found.error.iloc[0] == 0
    assert list(dict.fromkeys(found.part)) == ["start", "one", "two"]
    assert (found.part == "two").sum() == 50
    assert (found.step_length <= 0.2 * norm * (1 + 1e-9)).all()
    for part, corner in (("one", corners[1]), ("two", corners[2])):
        last = found[found.part == part].iloc[-1]
        assert last.distance == pytest.approx(apart(corner, corners[0], measurer.parameters))
    length = apart(corners[0], corners[1], measurer.parameters)
    assert found[found.part == "one"].step_length.sum() == pytest.approx(length)
    walk_certificates.certify(found, norm)  # a whole walk


# --- the bridge ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "resnet9", "speednet", "resnet20"])
def test_a_bridge_between_trained_networks_is_certified(name: str) -> None:
    a, b = (train(network(name, seed=seed), name, seed) for seed in (1, 2))
    holder, *places = side_by_side.doubled(a)
    laid = [holder.hold(model, own) for model, own in zip((a, b), places, strict=True)]
    crossing = bridge.Crossing(holder, laid)
    measurer = Measurer(holder.network, Gauge(a, images(name), "fp32"))
    begin = crossing.at((1, 0), (1, 0))
    norm = length_of(begin, measurer.parameters)
    found = follow(measurer, begin, crossing.legs(), 0.025, norm)
    certificate = walk_certificates.certify(found, norm)
    assert certificate.holds, certificate.broken
    losses = Gauge(b, images(name), "fp32").base.mean().item()
    assert found.loss.max() <= max(found.loss.iloc[0], losses) + 1e-5
    assert found.loss.iloc[-1] == pytest.approx(losses, abs=1e-5)
    free = found[found.part == bridge.PREPARE]
    assert (free.rise.abs() < 1e-6).all()
    assert len(free) > 10
    after = found[found.part == bridge.CLEAR]
    assert np.ptp(after.loss) < 1e-6
    assert len(after) > 10


# --- in the original width -----------------------------------------------------------------------


def half(name: str, seed: int, side: slice, width: int = 4) -> nn.Sequential:
    """A trained network of which some units of each hidden layer are dead: nothing enters them.

    Args:
        name: of the network.
        seed: of its training.
        side: the living ones, of as many units as `width`; the same share of wider layers.
        width: of the network.
    """
    made = network(name, width, seed)
    wires = channels.trace(made.get_submodule("body"))
    logits = wires.of[wires.logits()]
    masks = {}
    for layer in wires.layers():
        written, read = wires.written(layer), wires.read(layer)
        weight = made.get_parameter(f"body.{layer}.weight")
        mask = torch.ones(weight.shape, dtype=torch.bool)
        alive = {s: part(s.size, side, width) for s in wires.streams}
        if written is not logits:
            mask &= alive[written].view(-1, *[1] * (weight.ndim - 1))
        if read is not None and not read.given:
            block = weight.shape[1] // read.size
            mask &= alive[read].repeat_interleave(block).view(1, -1, *[1] * (weight.ndim - 2))
        masks[f"body.{layer}.weight"] = mask
    hold(made, masks)
    train(made, name, seed)
    return copied(made, network(name, width, seed))


def copied(model: nn.Sequential, into: nn.Sequential) -> nn.Sequential:
    predict(model, torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    put(into, tensors(model))
    return into.eval()


def part(size: int, side: slice, width: int) -> torch.Tensor:
    alive = torch.zeros(width, dtype=torch.bool)
    alive[side] = True
    return alive.repeat_interleave(size // width)


def noisy(model: nn.Sequential, seed: int) -> nn.Sequential:
    """The same function with small weights where there were none, in units that nobody reads."""
    changed = copy.deepcopy(model)
    torch.manual_seed(seed)
    for name, weight in changed.named_parameters():
        if name.endswith("weight") and weight.ndim > 1:
            empty = (weight == 0).flatten(1).all(1)
            weight.data[empty] = 0.1 * torch.randn_like(weight.data[empty])
    return changed


@pytest.mark.parametrize(("name", "width"), [("cnn", 8), ("resnet9", 4)])
def test_two_skeletons_that_fit_are_exchanged_in_the_original_width(
    name: str, width: int, tmp_path: Path
) -> None:
    # Both live in the same units, so one of the two has to move.
    pruned = [half(name, seed, slice(0, width // 2), width) for seed in (1, 2)]
    walked = [noisy(model, seed) for seed, model in enumerate(pruned)]
    rows = original_width.fit(*(original_width.Skeleton.of(model) for model in pruned))
    assert rows
    assert all(row["a"] + row["b"] == row["units"] for row in rows)
    begin, path = original_width.legs(*zip(walked, pruned, strict=True))
    measurer = Measurer(network(name, width), Gauge(walked[0], images(name), "fp32"))
    norm = length_of(begin, measurer.parameters)
    found = follow(measurer, begin, path, 0.025, norm)
    certificate = walk_certificates.certify(found, norm)
    assert certificate.holds, certificate.broken
    shown = torch.from_numpy(shapes.draw(20, 3)[0])
    end = predict(measurer.network, shown)
    assert torch.allclose(end, predict(walked[1], shown), rtol=1e-4, atol=1e-4)
    moved = dict(measurer.network.named_parameters())
    weights = dict(walked[1].named_parameters())
    assert any(not torch.equal(one, weights[key]) for key, one in moved.items())
    for key, one in moved.items():  # the same weights in another order
        ours, others = (w.detach().flatten().sort().values for w in (one, weights[key]))
        assert torch.allclose(ours, others, atol=1e-6)

    staged(tmp_path, name, width, list(zip(walked, walked, pruned, strict=True)))
    units = artifacts.read_json(tmp_path / "units.json")
    assert units["fits"]
    assert units["times"] == 1
    pd.testing.assert_frame_equal(artifacts.read_table(tmp_path / "points.parquet"), found)
    staged(tmp_path, name, width, [[network(name, width, seed)] * 3 for seed in (1, 2)])
    units = artifacts.read_json(tmp_path / "units.json")
    assert not units["fits"]
    assert units["times"] == 2
    assert len(artifacts.read_table(tmp_path / "points.parquet")) == 1


def staged(folder: Path, name: str, width: int, models: Sequence[Sequence[nn.Sequential]]) -> None:
    """Run the stage on two bases, each with the end of its walk and its pruned model."""
    paths: list[list[str]] = []
    for k, three in enumerate(models):
        paths.append([str(folder / f"{k}{j}.safetensors") for j in range(3)])
        for path, model in zip(paths[-1], three, strict=True):
            artifacts.write_tensors(path, tensors_of(model))
    about = {"network": {"name": name, "width": width, "classes": CLASSES}}
    artifacts.write_json(folder / "model.json", about)
    split = images(name)
    arrays = {"images": split.pixels.numpy(), "labels": split.labels.numpy()}
    artifacts.write_tensors(
        folder / "images.safetensors", {f"train_{key}": value for key, value in arrays.items()}
    )
    original_width.original_width_stage(
        a=paths[0],
        b=paths[1],
        summary=str(folder / "model.json"),
        dataset=str(folder / "images.safetensors"),
        points=str(folder / "points.parquet"),
        units=str(folder / "units.json"),
        stride=0.025,
        device="cpu",
        threads=1,
    )


def test_living_units_of_b_never_take_the_place_of_living_ones_of_a() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        size = int(draw.integers(1, 12))
        a = draw.random(size) < 0.4
        b = draw.random(size) < 0.4
        if a.sum() + b.sum() > size:
            continue
        places = original_width.places_beside(a, b)
        assert sorted(places) == list(range(size))
        assert not a[places[b]].any()
        stay = b & ~a
        assert (places[stay] == np.flatnonzero(stay)).all()


@pytest.mark.parametrize("name", ["cnn", "resnet20", "speednet"])
def test_whole_networks_do_not_fit_beside_each_other(name: str) -> None:
    whole = [original_width.Skeleton.of(network(name, 2, seed)) for seed in (1, 2)]
    rows = original_width.fit(*whole)
    assert max((row["a"] + row["b"]) / row["units"] for row in rows) == 2


def test_what_dead_units_add_becomes_a_part_of_the_biases() -> None:
    made = network("cnn", 4)
    body: Any = made.get_submodule("body")
    body[11].weight.data[8:] = 0  # half the units of a linear layer are dead, with constant outputs
    body[11].bias.data[8:] = 1.0
    skeleton = original_width.Skeleton.of(made)
    living = next(
        alive
        for s, alive in zip(skeleton.wires.streams, skeleton.alive, strict=True)
        if "11" in s.writers
    )
    assert living.sum() == 8
    emptied: Any = skeleton.emptied()
    emptied.body[13].weight.data[:, 8:] = 0  # nobody reads them any more
    shown = torch.from_numpy(shapes.draw(10, 3)[0])
    assert torch.allclose(predict(emptied, shown), predict(made, shown), atol=1e-4)
    assert not torch.equal(emptied.body[13].bias, body[13].bias)


# --- the judgement --------------------------------------------------------------------------------


def points(rises: Sequence[float]) -> pd.DataFrame:
    steps = range(len(rises))
    return pd.DataFrame(
        {
            "part": ["start", *["on the way"] * (len(rises) - 1)],
            "step": steps,
            "epoch": 0,
            "loss": [0.01 + rise for rise in rises],
            "accuracy": 1.0,
            "rise": rises,
            "error": 0.001,
            "distance": [0.1 * k for k in steps],
            "step_length": [0.0, *[0.1] * (len(rises) - 1)],
            "norm": 10.0,
        }
    )


def judged(
    folder: Path,
    *,
    doubled: Sequence[float] = (0.0, 0.01),
    between: Sequence[float] = (0.0, 0.02),
    walk: Sequence[float] = (0.0, 0.0),
    times: float = 1.0,
    optimal: bool = True,
    absent: str = "",
) -> dict[str, Any]:
    """The JSON of a bridge between two bases whose walks, and paths, rise as given."""
    paths = {
        name: str(folder / f"{name}.parquet")
        for name in ("points", "original", "walk", "history", "one", "other")
    }
    units, summary, score, found = (
        str(folder / name) for name in ("units.json", "model.json", "s.json", "seed=1--seed=2.json")
    )
    reason = pd.DataFrame({absence.KEY: [absent]})
    artifacts.write_table(paths["points"], reason if absent else points(doubled))
    artifacts.write_table(paths["original"], points(between))
    artifacts.write_table(paths["walk"], points(walk).drop(columns=["rise", "error"]))
    artifacts.write_table(paths["history"], pd.DataFrame({"epoch": [0], "train_loss": [0.0]}))
    for name, seed in (("one", 1), ("other", 2)):
        logits = np.random.default_rng(seed).standard_normal((30, 3)).astype(np.float32)
        columns = {f"logit_{k}": logits[:, k] for k in range(3)}
        artifacts.write_table(paths[name], pd.DataFrame({"label": np.zeros(30, int), **columns}))
    layers = [{"layer": "0", "units": 4, "a": 2, "b": round(4 * times) - 2}]
    artifacts.write_json(units, {"fits": times <= 1, "times": times, "layers": layers})
    artifacts.write_json(summary, {"network": {"name": "cnn", "width": 8}})
    artifacts.write_json(score, {"model": "seed=1", "optimal": optimal})
    bridges.judge_bridge_stage(
        points=paths["points"],
        original=paths["original"],
        units=units,
        walks=[paths["walk"]] * 2,
        histories=[paths["history"]] * 2,
        scores=[score] * 2,
        summary=summary,
        predictions_a=[paths["one"]],
        predictions_b=[paths["other"]],
        bridge=found,
        models=["seed=1", "seed=2"],
        ood=["digits"],
        labelled=[],
        measure="agreement",
        loss_rise=0.05,
        largest_step=0.05,
    )
    return bridges.read(found)


def test_a_bridge_has_its_numbers_and_the_likeness_of_its_ends(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert found["certified"]
    assert (found["points"], found["width"], found["doubled_width"]) == (2, 8, 16)
    assert found["highest_rise"] == pytest.approx(0.01)
    assert found["upper_bound"] == pytest.approx(0.01 + walk_certificates.Z * 0.001)
    assert found["longest_step"] == pytest.approx(0.01)
    agreement = found["similarity"]["digits"]
    assert agreement["measure"] == "agreement"
    assert 0 < agreement["value"] < 1
    assert found["original"]["fits"]
    assert found["original"]["certified"]
    text = bridges.in_words([found])
    for words in ("1 of 1 bridge is certified", "| yes | 0.", "0: 2 + 2 of 4", "8 (1.00 times)"):
        assert words in text


@pytest.mark.parametrize(
    ("case", "doubled", "original", "says"),
    [
        ({"doubled": (0.0, 0.06)}, False, True, "rises by 0.060"),
        ({"doubled": (0.0, -0.06)}, False, True, "falls by 0.060"),
        ({"doubled": (0.0, 0.0495)}, False, True, "upper 95 % bound of 0.051"),
        ({"between": (0.04, 0.06)}, True, False, "in the original width is not certified"),
        ({"walk": (0.0, 0.07)}, True, False, "the walk of a: the training loss rises by 0.070"),
        ({"optimal": False}, False, False, "its base misses `base.target`"),
        ({"times": 1.5}, True, False, "12 (1.50 times) | no | –"),
    ],
)
def test_what_exceeds_a_limit_is_not_certified_and_says_why(
    case: dict[str, Any], doubled: bool, original: bool, says: str, tmp_path: Path
) -> None:
    found = judged(tmp_path, **case)
    assert found["certified"] is doubled
    assert found["original"]["certified"] is original
    words = bridges.in_words([found])
    assert says in words
    assert ("can be exchanged for another continuously" in words) is doubled
    shown = tables.bridges({"inside": {"bridge": [found]}})
    fits = case.get("times", 1) <= 1
    assert [row["place"] for row in shown] == ["twice", *["original"] * fits]
    assert shown[0]["answer"] == ("yes" if doubled else "no")


def test_a_bridge_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    judged(tmp_path, absent="its channels cannot be followed")
    kinds = {"bridge": [str(tmp_path / "seed=1--seed=2.json")]}
    (section,) = inspections.inspection_sections(inspections.inspections(kinds))
    said = "Not available for `seed=1` with `seed=2`: its channels cannot be followed"
    assert section.text == said
