"""Images of any size and number of channels, and networks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CHAIN, Workflow
from PIL import Image

from skeletons import Experiment, SkeletonsError
from skeletons.alignment import matching, permutations
from skeletons.config.datasets import SECTIONS, kind_of
from skeletons.config.load import load
from skeletons.config.names import NETWORKS
from skeletons.data import build as building
from skeletons.data import shapes, sizes
from skeletons.data.files import Dataset, Form, read_info, read_split
from skeletons.data.folders import read_image
from skeletons.errors import ConfigError, DataError
from skeletons.inspection import exposure
from skeletons.networks import symmetries
from skeletons.networks.build import build, prepare
from skeletons.networks.describe import describe
from skeletons.networks.image_shape import of_network
from skeletons.store import artifacts, memory
from skeletons.training.base import train_base_stage
from skeletons.training.images import Images
from skeletons.training.job import tensors_of
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.targets import Targets

SHAPES = [(3, 16, 16), (1, 28, 28), (3, 64, 64), (1, 96, 96), (3, 45, 45)]
CPU = torch.device("cpu")


def made(form: Form, **values: Any) -> Dataset:
    section = SECTIONS[str(kind_of(values))].model_validate(values)
    return building.build(section.model_dump(), Path("nowhere"), form)


def network_of(name: str, shape: tuple[int, int, int], width: int = 2) -> torch.nn.Sequential:
    scale = ([0.5] * shape[0], [0.25] * shape[0])
    return build(name, width, 10, *scale, image_shape=shape)


def folder(root: Path, size: tuple[int, int], *classes: str, mode: str = "RGB") -> str:
    for k, name in enumerate(classes):
        for j in range(6):
            path = root / name / f"{j}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            channels = (3,) if mode == "RGB" else ()
            draw = np.random.default_rng(10 * k + j)
            pixels = draw.integers(0, 256, (*size[::-1], *channels), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return str(root)


# --- networks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_takes_images_of_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    network = network_of(name, shape)
    images = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    prepare(network, images)
    logits = network(images)
    assert logits.shape == (3, 10)
    logits.sum().backward()
    assert of_network(network) == shape
    first = describe(network)["layers"][0]["shape"]
    assert first[1] == shape[0]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_usual_shape_changes_no_tensor(name: str) -> None:
    given = ([0.5] * 3, [0.25] * 3)
    plain, said = build(name, 2, 10, *given), build(name, 2, 10, *given, image_shape=(3, 32, 32))
    assert all(torch.equal(t, said.state_dict()[k]) for k, t in plain.state_dict().items())


@pytest.mark.parametrize("name", ["resnet9", "resnet20", "speednet"])
def test_only_cnn_grows_with_the_images(name: str) -> None:
    sizes = [describe(network_of(name, (3, side, side)))["parameters"] for side in (32, 64)]
    assert sizes[0] == sizes[1]


def test_the_first_linear_layer_of_cnn_grows_with_the_area() -> None:
    for side, inputs in ((32, 2 * 4 * 64), (64, 2 * 4 * 256), (45, 2 * 4 * 121)):
        layers = describe(network_of("cnn", (3, side, side), width=4))["layers"]
        assert layers[4]["shape"][1] == inputs


def test_flops_are_those_of_the_size() -> None:
    small, large = (describe(network_of("resnet9", (3, side, side)))["flops"] for side in (32, 64))
    assert 3.9 < large / small <= 4


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 64, 64)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_skeletons_are_exposed_at_any_shape(name: str, shape: tuple[int, int, int]) -> None:
    exposure.check(network_of(name, shape, width=4))


@pytest.mark.parametrize("name", NETWORKS)
def test_units_are_aligned_at_another_size(name: str) -> None:
    network = network_of(name, (1, 40, 40), width=3)
    tensors = tensors_of(network)
    spec = permutations.specification(symmetries.find(network), tensors)
    draw = np.random.default_rng(0)
    mixed = {group: draw.permutation(size) for group, size in spec.sizes.items()}
    other = permutations.apply(tensors, spec, mixed)
    back = permutations.apply(other, spec, matching.match(tensors, other, spec))
    assert all(np.array_equal(tensors[key], back[key]) for key in tensors)


def test_a_users_network_may_ask_for_the_shape(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "from torch import nn\n\n"
        "def flat(width, classes, image_shape=(3, 32, 32)):\n"
        "    c, h, w = image_shape\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(c * h * w, classes))\n\n"
        "def grey(width, classes, channels=3):\n"
        "    first = nn.Conv2d(channels, width, 3), nn.AdaptiveAvgPool2d(1)\n"
        "    return nn.Sequential(*first, nn.Flatten(), nn.Linear(width, classes))\n"
    )
    for name in ("net.py:flat", "net.py:grey"):
        for shape in ((3, 32, 32), (1, 28, 28)):
            images = torch.zeros(2, *shape, dtype=torch.uint8)
            assert network_of(name, shape)(images).shape == (2, 10)


def test_a_users_network_of_another_size_is_one_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(
        "from torch import nn\n\n"
        "def flat(width, classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))\n"
    )
    with pytest.raises(SkeletonsError, match=r"net\.py:flat failed"):
        network_of("net.py:flat", (3, 64, 64))


# --- data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [28, 64, 96])
def test_what_is_drawn_is_drawn_at_the_size(side: int) -> None:
    for values in (
        {"kind": "shapes", "train": 20, "test": 20},
        {"kind": "digits"},
        {"kind": "noise", "images": 20},
    ):
        for channels in (1, 3):
            found = made(Form(side, channels), **values)
            assert found.test_images.shape[1:] == (channels, side, side)


def test_larger_shapes_are_the_same_in_proportion() -> None:
    """The share of the image that a shape covers does not depend on the size."""
    covered = []
    for side in (32, 64):
        images, labels = shapes.draw(400, 0, side=side)
        squares = images[labels == shapes.CLASSES.index("square")].astype(float)
        edges = np.abs(np.diff(squares.mean(axis=1), axis=2)).max(axis=1) > 20
        covered.append(edges.mean())
    assert covered[0] == pytest.approx(covered[1], rel=0.35)


def test_images_are_resized_without_aliases(tmp_path: Path) -> None:
    """Stripes of one pixel become grey when the image is made four times smaller."""
    stripes = np.zeros((128, 128), dtype=np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    small = read_image(tmp_path / "stripes.png", form=Form(32))
    inner = small[:, 2:-2, 2:-2].astype(int)
    assert abs(inner - 127).max() <= 3
    assert sizes.fit(stripes[None, None], 32)[0, 0] == pytest.approx(small[0], abs=0)


def test_grey_is_the_luma_that_pillow_computes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 20, 20), dtype=np.uint8)
    wanted = [np.asarray(Image.fromarray(p.transpose(1, 2, 0)).convert("L")) for p in pixels]
    grey = sizes.to_channels(pixels, 1)
    assert np.array_equal(grey[:, 0], np.stack(wanted))
    assert np.array_equal(sizes.to_channels(sizes.to_channels(grey, 3), 1), grey)


def test_a_users_images_are_brought_to_the_size(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.py").write_text(
        "import numpy as np\n\n"
        "def f():\n    return np.random.default_rng(0).integers(0, 256, (4, 1, 48, 48), 'u1')\n"
    )
    values = {"kind": "data.py:f"}
    assert made(Form(64), **values).test_images.shape == (4, 3, 64, 64)
    with pytest.raises(SkeletonsError, match=r"must return uint8 in shape \(N, 3, 32, 32\), N ≥ 1"):
        made(Form(exact=True), **values)


def test_info_describes_a_shape_that_is_not_usual(tmp_path: Path) -> None:
    for form, shape in ((Form(), None), (Form(40, 1), [1, 40, 40])):
        found = made(form, kind="shapes", train=20, test=10)
        building.write(found, tmp_path / "images.safetensors", tmp_path / "info.json")
        info = read_info(tmp_path / "info.json")
        assert info.get("image_shape") == shape
        assert len(info["mean"]) == form.channels


# --- which size ---------------------------------------------------------------------------------


def plan(**config: Any) -> Plan:
    return Plan(load(config))


def test_a_folder_keeps_its_size(tmp_path: Path) -> None:
    photos = {"kind": "imagefolder", "path": folder(tmp_path / "photos", (48, 48), "a", "b")}
    found = plan(
        dataset=photos, ood=[{"kind": "digits"}, {"kind": "corrupted", "corruption": "fog"}]
    )
    assert found.form.side == 48
    assert found.task == "imagefolder_photos_size=48"
    assert found.ood == ["corrupted_imagefolder_photos_size=48_fog=3", "digits_size=48"]


def test_a_size_that_is_given_needs_no_agreement(tmp_path: Path) -> None:
    photos = {"kind": "imagefolder", "path": folder(tmp_path / "photos", (50, 40), "a", "b")}
    found = plan(dataset=photos, ood=[{"kind": "cifar10"}], images={"size": 40})
    assert (found.task, found.ood) == ("imagefolder_photos_size=40", ["cifar10_size=40"])
    assert not found.form.exact


def test_the_usual_form_is_in_no_name_and_no_lineage() -> None:
    lineages = []
    for config in ({}, {"images": {"size": 32}}, {"network": {"channels": 3}}):
        found = plan(dataset={"kind": "cifar10"}, ood=[{"kind": "mnist"}], **config)
        assert (found.task, found.ood) == ("cifar10", ["mnist"])
        lineages.append(
            Lineages(Targets(found)).of("results/demo/models/seed=1/weights.safetensors")
        )
    assert len(set(lineages)) == 1
    other = plan(dataset={"kind": "cifar10"}, ood=[{"kind": "mnist"}], images={"size": 64})
    lineage = Lineages(Targets(other)).of("results/demo/models/seed=1/weights.safetensors")
    assert lineage not in lineages


def test_sizes_that_differ_are_refused_only_without_a_size(tmp_path: Path) -> None:
    path = folder(tmp_path / "photos", (50, 40), "a", "b")
    folder(tmp_path / "photos", (40, 50), "c")
    photos = {"kind": "imagefolder", "path": path}
    with pytest.raises(
        ConfigError, match=r"images\.size: found nothing, but dataset has images from"
    ):
        plan(dataset=photos)
    assert plan(dataset=photos, images={"size": 24}).form == Form(24)


def test_an_image_that_planning_overlooked_is_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "photos", (48, 48), "a", "b")
    Image.new("RGB", (50, 50)).save(tmp_path / "photos/a/odd.png")
    values = {"kind": "imagefolder", "path": path}
    with pytest.raises(DataError, match=r"odd\.png has 50×50 pixels, but images\.size is not set"):
        made(Form(48, exact=True), **values)
    assert made(Form(48), **values).test_images.shape[1:] == (3, 48, 48)


# --- data sets that are larger than half the memory ---------------------------------------------


def stored(folder: Path) -> tuple[Path, Path]:
    found = made(Form(), kind="shapes", train=200, test=100)
    places = folder / "images.safetensors", folder / "info.json"
    building.write(found, *places)
    return places


def test_a_large_file_is_mapped_and_has_the_same_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = stored(tmp_path)
    read = {split: read_split(path, split) for split in ("train", "test")}
    assert Images.read(path, "train", CPU).pixels.shape == (200, 3, 32, 32)
    monkeypatch.setattr(memory, "available", lambda: path.stat().st_size)
    for split, (images, labels) in read.items():
        mapped, mapped_labels = read_split(path, split)
        assert isinstance(mapped, np.memmap)
        assert np.array_equal(images, mapped)
        assert np.array_equal(labels, mapped_labels)
    mapped[0] = 0  # does not reach the file
    assert np.array_equal(read_split(path, "test")[0], read["test"][0])


def test_a_damaged_file_is_refused_when_it_is_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = stored(tmp_path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(memory, "available", lambda: 1_000)
    with pytest.raises(SkeletonsError, match="was changed after it was written"):
        read_split(path, "train")


def test_training_on_mapped_images_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, info = stored(tmp_path)
    weights = []
    settings = load({}).base.model_dump(exclude={"seeds", "target"})
    for available in (memory.available(), 1_000):
        monkeypatch.setattr(memory, "available", lambda available=available: available)
        to = tmp_path / f"results/{available}/models/seed=1"
        train_base_stage(
            dataset=str(path),
            info=str(info),
            weights=str(to / "weights.safetensors"),
            history=str(to / "history.parquet"),
            summary=str(to / "model.json"),
            seed=1,
            network={"name": "speednet", "width": 2},
            base={**settings, "epochs": 1},
            device="cpu",
            precision="fp32",
            threads=1,
        )
        weights.append((to / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_set_larger_than_the_memory_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(folder(tmp_path / "photos", (40, 40), "a", "b"))
    every = [
        {"kind": "shapes", "train": 30, "test": 20},
        {"kind": "imagefolder", "path": str(path)},
    ]
    written = []
    for available in (memory.available(), 1_000):
        monkeypatch.setattr(memory, "available", lambda available=available: available)
        monkeypatch.setattr(memory, "CHUNK", 20_000)  # of a few images
        for values in every:
            for channels in (1, 3):
                found = made(Form(40, channels), **values)
                assert isinstance(found.train_images, np.memmap) == (available == 1_000)
                building.write(found, tmp_path / "images.safetensors", tmp_path / "info.json")
                written.append((tmp_path / "images.safetensors").read_bytes())
    assert written[:4] == written[4:]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("tmp")]


def test_the_limit_of_a_group_of_processes_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = memory.available()
    assert whole > 2**20
    monkeypatch.setattr(memory, "_limits", lambda: [2**20])
    assert memory.available() == 2**20
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._limit(tmp_path / "memory.max") is None
    (tmp_path / "memory.max").write_text("4096\n")
    assert memory._limit(tmp_path / "memory.max") == 4096


# --- from the configuration to the report -------------------------------------------------------

INSPECT = {
    "variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.05},
    "expose": True,
    "importance": True,
    "images": 40,
    "epochs": 1,
    "points": 5,
}


def test_images_of_64_pixels(workflow: Workflow) -> None:
    ood = [{"kind": "digits"}, {"kind": "corrupted", "corruption": "fog", "severity": 2}]
    config = {**CHAIN, "images": {"size": 64}, "ood": ood, "inspect": INSPECT}
    jobs = workflow.jobs(config)
    assert jobs["dataset"] == 3
    task = "shapes_train=100_test=40_size=64"
    corrupted = f"corrupted_{task}_fog=2"
    images = {name: read_split(path, "test")[0] for name, path in data(workflow).items()}
    assert {shots.shape[1:] for shots in images.values()} == {(3, 64, 64)}
    assert len(images[corrupted]) == len(images[task])
    assert not np.array_equal(images[corrupted], images[task])
    summary = artifacts.read_json(workflow / "results/grid/models/seed=1/model.json")
    assert summary["network"]["image_shape"] == [3, 64, 64]
    experiment = Experiment(workflow / "results/grid")
    assert experiment.features("seed=1", images[task]).shape == (40, 8)
    with pytest.raises(SkeletonsError, match="allowed: uint8 N×3×64×64"):
        experiment.predictions("seed=1", np.zeros((1, 3, 32, 32), np.uint8))
    assert not workflow.planned(config)
    # another severity makes its own set, and what shows it; nothing is trained
    ood = [*ood, {"kind": "corrupted", "corruption": "fog", "severity": 4}]
    more = workflow.planned({**config, "ood": ood})
    assert more["dataset"] == 1
    assert not {"train_base", "regularize", "prune"} & set(more)


def test_grey_images_of_28_pixels(workflow: Workflow) -> None:
    folder(workflow / "photos", (28, 28), "a", "b", "c", mode="L")
    config = {
        **CHAIN,
        "dataset": {"kind": "imagefolder", "path": "photos"},
        "network": {"name": "resnet9", "width": 2, "channels": 1},
        "base": {**CHAIN["base"], "batch_size": 4},
        "ood": [{"kind": "digits"}, {"kind": "noise", "images": 20}],
    }
    workflow.jobs(config)
    assert {read_split(p, "test")[0].shape[1:] for p in data(workflow).values()} == {(1, 28, 28)}
    weights = artifacts.read_tensors(workflow / "results/grid/models/seed=1/weights.safetensors")
    assert weights["body.0.0.weight"].shape == (2, 1, 3, 3)
    assert (workflow / "results/grid/report.html").is_file()


def data(workflow: Workflow) -> dict[str, Path]:
    """The images of each data set, by its name in results."""
    found = (workflow / "results/data").glob("*/images.safetensors")
    return {path.parent.name: path for path in found}
