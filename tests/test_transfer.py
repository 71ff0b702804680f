"""Transfer of masks: what is held at zero, which mask it is, and what is said of it."""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skeletons.alignment import permutations
from skeletons.data import shapes
from skeletons.figures.inspections import inspection_figures_stage
from skeletons.findings import modified_t, transfers
from skeletons.inspection import absence, transfer
from skeletons.networks import symmetries
from skeletons.networks.build import build
from skeletons.networks.describe import prunable
from skeletons.networks.tensors import put, tensors
from skeletons.prediction.inference import predict
from skeletons.store import artifacts
from skeletons.training.base import train_base
from skeletons.training.held import hold
from skeletons.training.images import Images
from skeletons.training.settings import BaseSettings

CLASSES = 10
PLAIN = {"flip": False, "shift": 0, "cutout": 0}  # images as they are


@pytest.fixture(scope="module")
def train() -> Images:
    return Images(*map(torch.from_numpy, shapes.draw(200, 0)))


def network(name: str, seed: int, width: int = 3) -> nn.Sequential:
    return build(name, width, CLASSES, [0.5] * 3, [0.25] * 3, seed=seed)


def arrays(model: nn.Module) -> dict[str, artifacts.Array]:
    return {name: tensor.detach().numpy().copy() for name, tensor in tensors(model).items()}


def some(model: nn.Module, density: float, seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=draw) < density
        for name, weight in prunable(model).items()
    }


def settings(optimizer: str, epochs: int = 2, rate: float = 0.01) -> BaseSettings:
    return BaseSettings(epochs, 25, optimizer, rate, 0.9, 1e-3, 0.0, 0.2, PLAIN)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
def test_masked_weights_stay_exactly_zero_and_the_others_move(
    optimizer: str, train: Images
) -> None:
    model = network("cnn", 1)
    masks = some(model, 0.5, 0)
    start = arrays(model)
    hold(model, masks)
    train_base(model, train, train, 1, settings(optimizer, 1), "fp32")
    for name, mask in masks.items():
        weight = model.get_parameter(name).detach()
        assert not weight[~mask].any()
        moved = weight[mask] != torch.from_numpy(start[name])[mask]
        assert moved.float().mean() > 0.5


def test_what_is_masked_has_no_part_in_training(train: Images) -> None:
    """Two networks that differ in masked weights alone are trained to the same."""
    masks = some(network("cnn", 1), 0.5, 0)
    ends = []
    for size in (0.0, 5.0):
        model = network("cnn", 1)
        with torch.no_grad():
            for name, mask in masks.items():
                model.get_parameter(name)[~mask] += size
        hold(model, masks)
        train_base(model, train, train, 1, settings("adam", 1), "fp32")
        ends.append(arrays(model))
    assert all(np.array_equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize("name", ["cnn", "resnet9"])
def test_a_mask_permuted_into_a_permuted_copy_is_its_own_and_trains_as_well(
    name: str, train: Images
) -> None:
    a = network(name, 1)
    mask = some(a, 0.6, 0)
    pruned = {**arrays(a)}
    for key, one in mask.items():
        pruned[key] = pruned[key] * one.numpy()
    spec = permutations.specification(symmetries.find(a), pruned)
    draw = np.random.default_rng(3)
    moved = {group: draw.permutation(size) for group, size in spec.sizes.items()}
    # Base b is a copy of base a with its units permuted. What aligns it to a undoes that.
    b = network(name, 1)
    put(b, {k: torch.from_numpy(v) for k, v in permutations.apply(arrays(a), spec, moved).items()})
    aligned = transfer.inverse(moved)
    carried = permutations.apply(pruned, spec, transfer.inverse(aligned))
    own = permutations.apply(pruned, spec, moved)
    masks = transfer.masks_of(carried, b)
    for key, one in transfer.masks_of(own, b).items():
        assert torch.equal(one, masks[key])
    for model, one in ((a, mask), (b, masks)):
        # In double precision, because batch norm enlarges differences from rounding step by step.
        hold(model.double(), one)
        train_base(model, train, train, 1, settings("sgd", 2), "fp32")
    logits = [predict(model, train.pixels) for model in (a, b)]
    scale = float(logits[0].abs().max())
    assert float((logits[0] - logits[1]).abs().max()) < 1e-3 * scale
    assert float(logits[0].std()) > 0.01


def test_a_random_mask_keeps_as_many_weights_in_each_layer(train: Images) -> None:
    masks = some(network("cnn", 1), 0.3, 0)
    one, other = (transfer.shuffled(masks, seed) for seed in (1, 2))
    for name, mask in masks.items():
        assert one[name].sum() == other[name].sum() == mask.sum()
    assert any(not torch.equal(one[name], other[name]) for name in masks)
    assert all(torch.equal(one[name], transfer.shuffled(masks, 1)[name]) for name in masks)


# --- the findings ---------------------------------------------------------------------------------


def written(folder: Path, accuracies: Mapping[tuple[str, str], float]) -> list[str]:
    paths = []
    for (base, mask), value in accuracies.items():
        path = folder / f"{base}_mask={mask}.json"
        artifacts.write_json(path, {"mask": mask, "density": 0.2, "test_accuracy": value})
        paths.append(str(path))
    return paths


def accuracies(
    seeds: int, rise: float, noise: float, *, draw_from: int = 0
) -> dict[tuple[str, str], float]:
    """Those with another's mask are `rise` above the own ones, on average."""
    draw = np.random.default_rng(draw_from)
    names = [f"seed={k + 1}" for k in range(seeds)]
    effects = dict(zip(names, noise * draw.standard_normal(seeds), strict=True))
    found = {}
    for a, b in itertools.combinations(names, 2):
        found[b, a] = 0.7 + rise + effects[a] + effects[b]
        found[b, "own"], found[b, "random"] = 0.7, 0.5
    return found


def test_differences_are_those_of_each_pair_with_an_interval_over_seeds(tmp_path: Path) -> None:
    rows = transfers.read(written(tmp_path, accuracies(6, -0.1, 0.01)))
    json.dumps(rows, allow_nan=False)
    own, random = rows
    assert (own["against"], random["against"]) == ("own", "random")
    assert len(own["pairs"]) == 15
    assert own["mean"] == pytest.approx(np.mean([pair["difference"] for pair in own["pairs"]]))
    assert random["mean"] == pytest.approx(own["mean"] + 0.2)
    assert own["low"] < own["mean"] < own["high"] < 0 < random["low"]
    text = transfers.in_words(rows)
    for words in ("its own mask", "a random mask", "| 15 |", "20.0% to 20.0%"):
        assert words in text


def test_the_interval_holds_the_mean_about_as_often_as_it_says() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        effects = draw.standard_normal(6)
        first, second = np.triu_indices(6, 1)
        low, high = modified_t.interval(effects[first] + effects[second] + 1.0)
        held += low <= 1.0 <= high
    assert 0.92 <= held / 400 <= 1.0


def test_few_bases_have_no_interval_and_a_missing_training_is_said(tmp_path: Path) -> None:
    paths = written(tmp_path, accuracies(3, 0.0, 0.01))
    artifacts.write_json(paths[0], {absence.KEY: "the loss was nan"})
    rows = transfers.read(paths)
    assert rows[0]["low"] is None
    assert len(rows[0]["pairs"]) == 2
    assert rows[-1] == {"model": "seed=2", absence.KEY: "the loss was nan"}
    assert "needs 5 bases" in transfers.in_words(rows[:-1])


def test_the_figure_says_why_no_pair_has_all_its_trainings(tmp_path: Path) -> None:
    paths = written(tmp_path, accuracies(2, 0.0, 0.01))
    own = next(path for path in paths if path.endswith("_mask=own.json"))
    artifacts.write_json(own, {absence.KEY: "the loss was nan"})
    inspection_figures_stage(folder=str(tmp_path), colormap="viridis", transfer=paths)
    assert "the loss was nan" in (tmp_path / "transfer.svg").read_text()
