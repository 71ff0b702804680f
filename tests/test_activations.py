"""The activations of units: where they are seen, and that they undo a permutation."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from shuffled import random_permutations, specification_of, symmetries_of
from test_alignment import WIDTHS
from test_symmetries import drawn, made
from torch import Tensor, nn

from skeletons.alignment import frame, matching, permutations, stages
from skeletons.alignment.permutations import Array
from skeletons.errors import ArtifactError, WiringError
from skeletons.networks import architectures, symmetries
from skeletons.networks.tensors import put
from skeletons.prediction import inference, units
from skeletons.store import artifacts


def some_images(count: int = 40) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 32, 32), generator=draw, dtype=torch.uint8)


def seen(name: str, tensors: dict[str, Array], images: Tensor | None = None) -> dict[str, Array]:
    network = made(name, WIDTHS[name])
    put(network, {key: torch.from_numpy(values) for key, values in tensors.items()})
    shown = some_images() if images is None else images
    return dict(units.activations(network, symmetries_of(name, WIDTHS[name]), shown))


@pytest.mark.parametrize("name", architectures.REGISTRY)
@pytest.mark.parametrize("dead", [False, True])
def test_a_permuted_copy_is_recovered_by_activations(name: str, dead: bool) -> None:
    spec = specification_of(name, WIDTHS[name])
    tensors = drawn(made(name, WIDTHS[name]), 1)
    if dead:  # silent after the activation function, but not before
        for key in [key for key in tensors if key.endswith(".bias") and tensors[key].ndim == 1][:2]:
            tensors[key][:2] -= 100
    copied = permutations.apply(tensors, spec, random_permutations(spec, 1))
    one, two = seen(name, tensors), seen(name, copied)
    alike = permutations.of_activations(symmetries_of(name, WIDTHS[name]), one)
    found = matching.match(one, two, alike, restarts=1)
    aligned = permutations.apply(copied, spec, found)
    assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)


def test_activations_are_those_before_and_after_the_activation_function() -> None:
    network = made("cnn", 6)
    found = units.activations(network, symmetries_of("cnn", 6), some_images())
    values = units.find_values(network, symmetries_of("cnn", 6))
    assert {group: len(own) for group, own in values.items()} == dict.fromkeys(found, 2)
    body = network.get_submodule("body")
    with torch.no_grad():
        x = network.get_submodule("standardize")(some_images().float())
        for layer in list(body.children())[:12]:
            x = layer(x)
    assert x.shape == (40, 24)
    parts = [x, torch.relu(x)]
    with np.errstate(invalid="ignore"):  # a silent unit correlates with nothing
        wanted = [np.nan_to_num(np.corrcoef(p.numpy().T.astype(np.float64))) for p in parts]
    rows = found["body.11"]
    assert rows.shape == (24, 80)
    np.testing.assert_allclose(rows @ rows.T, sum(wanted) / 2, atol=1e-5)


def test_constant_units_match_anything_and_have_no_length() -> None:
    network = made("cnn", 6)
    with torch.no_grad():
        layer = network.get_submodule("body.11")
        layer.get_parameter("weight")[3] = 0
    rows = units.activations(network, symmetries_of("cnn", 6), some_images())["body.11"]
    assert (rows[3] == 0).all()
    lengths = np.linalg.norm(np.delete(rows, 3, axis=0), axis=1)
    silent = np.isclose(lengths, 0.5**0.5)  # after the activation function
    assert lengths[~silent] == pytest.approx(1)
    assert 0 < silent.sum() < len(lengths)


def test_positions_differ_from_image_to_image_and_each_counts() -> None:
    network = made("cnn", 6)
    value = units.find_values(network, symmetries_of("cnn", 6))["body.0"][0]
    ramp = np.arange(2 * 6 * 32 * 32, dtype=np.float32).reshape(2, 6, 32, 32)
    rows = units._rows(value, ramp, 2, 0, 2)
    assert rows.shape == (6, 2 * 4)
    places = rows[0].reshape(2, 4) - [[0], [6 * 1024]]
    assert (places[1] == places[0] + 1).all()
    assert np.ptp(places[0]) > 700
    assert (rows - rows[0] == np.arange(6)[:, None] * 1024).all(), "all units at the same places"


class Sized(nn.Module):
    """A network whose operations depend on the number of images."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        if len(x) == 40:
            x = x * 1.0 + 0.0
        y: Tensor = self.out(x.relu().mean((2, 3)))
        return y


def test_a_network_that_looks_at_the_number_of_images_is_refused() -> None:
    network = made("cnn", 4)
    body = nn.Sequential(copy.deepcopy(network.get_submodule("standardize")), Sized())
    whole = nn.Sequential()
    whole.add_module("standardize", body[0])
    whole.add_module("body", body[1])
    found = symmetries.find(whole)
    assert units.activations(whole, found, some_images(50)).keys() == {"body.a"}
    with pytest.raises(WiringError, match="depend on the number of images"):
        units.activations(whole, found, some_images(40))


@pytest.mark.parametrize("name", ["torchvision:vit_b_32", "torchvision:densenet121"])
def test_units_of_library_networks_can_be_seen(name: str) -> None:
    network = made(name, None)
    found = symmetries.find(network)
    values = units.find_values(network, found)
    assert set(values) == {group["name"] for group in found["groups"]}
    assert all(own for own in values.values())


def test_the_stages_align_by_activations(tmp_path: Path) -> None:
    name = "resnet9"
    spec = specification_of(name, WIDTHS[name])
    tensors = drawn(made(name, WIDTHS[name]), 1)
    copied = permutations.apply(tensors, spec, random_permutations(spec, 3))
    about, data, alike = (str(tmp_path / n) for n in ("m.json", "d", "s.json"))
    artifacts.write_json(about, {"network": {"name": name, "width": WIDTHS[name], "classes": 5}})
    images = some_images().numpy()
    labels = np.zeros(len(images), dtype=np.int64)
    artifacts.write_tensors(
        data,
        {
            "train_images": images,
            "train_labels": labels,
            "test_images": images,
            "test_labels": labels,
        },
    )
    artifacts.write_json(alike, symmetries_of(name, WIDTHS[name]))
    held = []
    for letter, one in (("a", tensors), ("b", copied)):
        artifacts.write_tensors(tmp_path / letter, one)
        held.append(str(tmp_path / f"{letter}.units"))
        units.activations_stage(
            weights=str(tmp_path / letter),
            summary=about,
            dataset=data,
            symmetries=alike,
            units=held[-1],
            images=30,
            device="cpu",
        )
    network = inference.restore(tmp_path / "a", artifacts.read_json(about))
    wanted = units.activations(network, symmetries_of(name, WIDTHS[name]), some_images()[:30])
    for group, rows in artifacts.read_tensors(held[0]).items():
        np.testing.assert_allclose(rows, wanted[group], atol=1e-6)
    out, gains = str(tmp_path / "p"), str(tmp_path / "g.json")
    stages.align_stage(
        a=held[0],
        b=held[1],
        symmetries=alike,
        permutations=out,
        gains=gains,
        by="activations",
        seed=0,
        restarts=1,
    )
    aligned = permutations.read_aligned(str(tmp_path / "b"), alike, out)
    assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)
    said = artifacts.read_json(gains)
    assert said["by"] == "activations"
    assert said["cosine_before"] < 0.9 < said["cosine_after"] == pytest.approx(1)
    artifacts.write_tensors(held[1], {"body.0": np.zeros((2, 3))})
    with pytest.raises(ArtifactError, match=r"cannot be aligned to .*: these are not the activ"):
        stages.align_stage(
            a=held[1],
            b=held[0],
            symmetries=alike,
            permutations=out,
            gains=gains,
            by="activations",
            seed=0,
            restarts=1,
        )


def test_activations_of_several_models_meet_in_one_frame() -> None:
    name = "cnn"
    spec = specification_of(name, WIDTHS[name])
    tensors = drawn(made(name, WIDTHS[name]), 1)
    copies = [permutations.apply(tensors, spec, random_permutations(spec, k)) for k in (1, 2)]
    held = [seen(name, one) for one in (tensors, *copies)]
    alike = permutations.of_activations(symmetries_of(name, WIDTHS[name]), held[0])
    found = frame.common_frame(held, alike)
    for k, copied in enumerate(copies, start=1):
        step = frame.through_frame(found[0], found[k])
        aligned = permutations.apply(copied, spec, step)
        assert all(np.array_equal(aligned[key], tensors[key]) for key in tensors)
