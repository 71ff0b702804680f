"""Data sets of torchvision by name, parquet files, and corruptions of the test set."""

from __future__ import annotations

import inspect
import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torchvision
from conftest import CHAIN, Workflow
from PIL import Image

from skeletons import Experiment, image_tables
from skeletons.config import torchvision_sets
from skeletons.config.datasets import CORRUPTIONS, SECTIONS, dataset_id, kind_of
from skeletons.config.load import load
from skeletons.data import build as building
from skeletons.data import corruptions, shapes
from skeletons.data.files import Dataset, Form, read_split
from skeletons.errors import DataError
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.targets import Targets


def section(**values: Any) -> Any:
    return SECTIONS[str(kind_of(values))].model_validate(values)


def made(root: Path = Path("nowhere"), form: Form = Form(), **values: Any) -> Dataset:  # noqa: B008
    return building.build(section(**values).model_dump(), root, form)


# --- torchvision --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", torchvision_sets.SETS)
def test_the_table_agrees_with_torchvision(name: str) -> None:
    """Each set exists there, takes these arguments, and can be downloaded if the table says so."""
    known, found = torchvision_sets.SETS[name], getattr(torchvision.datasets, name)
    parameters = {
        key: parameter
        for kind in found.__mro__
        if kind.__module__.startswith("torchvision")
        for key, parameter in inspect.signature(kind.__init__).parameters.items()
    }
    for argument in (*known.train, *known.test):
        assert argument in parameters
    code = inspect.getsource(found)
    if "split" in known.train:
        for wanted in (known.train["split"], known.test["split"]):
            assert f'"{wanted}"' in code or f"'{wanted}'" in code
    assert not known.download or "download" in parameters


@pytest.mark.parametrize("name", torchvision_sets.WITHOUT_SPLITS)
def test_sets_without_splits_have_none(name: str) -> None:
    parameters = inspect.signature(getattr(torchvision.datasets, name).__init__).parameters
    assert not {"train", "split"} & set(parameters)


def idx(path: Path, array: np.ndarray) -> None:
    """A file in the format of MNIST."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.astype(np.uint8).tobytes())


def kmnist(root: Path) -> tuple[np.ndarray, np.ndarray]:
    """The four files of KMNIST with random images; the test set is returned."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 40), ("t10k", 20)):
        images = draw.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count) % 10
        idx(root / f"KMNIST/raw/{split}-images-idx3-ubyte", images)
        idx(root / f"KMNIST/raw/{split}-labels-idx1-ubyte", labels)
    return images, labels


def test_a_set_is_read_by_its_name(tmp_path: Path) -> None:
    images, labels = kmnist(tmp_path)
    found = made(tmp_path, Form(28, 1), kind="torchvision:KMNIST")
    order = np.random.default_rng(1).permutation(20)
    assert np.array_equal(found.test_images[:, 0], images[order])
    assert np.array_equal(found.test_labels, labels[order])
    assert found.classes[0] == "o"  # a transcribed hiragana
    usual = made(tmp_path, kind="torchvision:KMNIST", test=5)
    assert usual.test_images.shape == (5, 3, 32, 32)
    assert np.array_equal(usual.test_images[:, 2, 2:-2, 2:-2], images[order][:5])
    assert made(tmp_path, Form(40, 1), kind="torchvision:KMNIST").test_images.shape[2:] == (40, 40)


class Fake:
    """A data set as torchvision has them: with images in one array, or read one by one."""

    classes = ("cat", ("dog", "hound"))

    def __init__(self, images: Any, labels: Sequence[int]) -> None:
        self.labels = labels
        self.pictures = images
        if isinstance(images, np.ndarray):
            self.data = images

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, k: int) -> tuple[Image.Image, int]:
        return self.pictures[k], self.labels[k]


PIXELS = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
PICTURES = [Image.fromarray(pixels.transpose(1, 2, 0)) for pixels in PIXELS]


@pytest.mark.parametrize(
    ("name", "images", "options"),
    [
        ("STL10", PIXELS, {}),  # channels first
        ("CIFAR100", PIXELS.transpose(0, 2, 3, 1), {}),  # channels last
        ("Food101", PICTURES, {}),  # files
        ("DTD", PICTURES, {"partition": 2}),
    ],
)
def test_every_form_of_images_is_read(
    name: str, images: Any, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def make(root: Path, **arguments: Any) -> Fake:
        asked.append(arguments)
        return Fake(images, [0, 1, 1, 0])

    monkeypatch.setattr(torchvision.datasets, name, make)
    found = made(kind=f"torchvision:{name}", options=options)
    order = np.random.default_rng(0).permutation(4)
    assert np.array_equal(found.train_images, PIXELS[order])
    assert found.train_labels.tolist() == np.array([0, 1, 1, 0])[order].tolist()
    assert found.classes == ("cat", "dog")
    known = torchvision_sets.SETS[name]
    download = {"download": True}
    assert asked == [{**options, **known.train, **download}, {**options, **known.test, **download}]


def test_options_are_in_the_name() -> None:
    assert dataset_id(section(kind="torchvision:CIFAR100")) == "torchvision_CIFAR100"
    letters = section(kind="torchvision:EMNIST", options={"split": "letters"}, test=9)
    assert dataset_id(letters) == "torchvision_EMNIST_split=letters_test=9"


def test_a_picture_of_another_size_is_refused_without_a_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torchvision.datasets, "STL10", lambda *_, **__: Fake(PIXELS, [0] * 4))
    with pytest.raises(
        DataError, match=r"STL10 \(train\) has 32×32 pixels, but images.size is not"
    ):
        made(form=Form(96, exact=True), kind="torchvision:STL10")


# --- parquet files ------------------------------------------------------------------------------


def png(seed: int, side: int = 32) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def table(
    path: Path,
    labels: Sequence[Any],
    names: Sequence[str] = (),
    *,
    plain: bool = False,
    seed: int = 0,
) -> None:
    """A file as data hubs ship them, with a random image for each label."""
    contents = [png(1000 * seed + k) for k in range(len(labels))]
    images = contents if plain else [{"bytes": content, "path": "x.png"} for content in contents]
    found = pa.table({"img": images, "fine_label": labels})
    if names:
        about = {"info": {"features": {"fine_label": {"names": names, "_type": "ClassLabel"}}}}
        found = found.replace_schema_metadata({"huggingface": json.dumps(about)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found, path, row_group_size=7)


COLUMNS = {"image": "img", "label": "fine_label"}


def tables(root: Path, **values: Any) -> dict[str, Any]:
    return {
        "kind": "parquet",
        "train": str(root / "train-*.parquet"),
        "test": str(root / "test.parquet"),
        **COLUMNS,
        **values,
    }


def test_all_files_of_a_glob_are_read_in_order(tmp_path: Path) -> None:
    for k in range(2):
        table(tmp_path / f"train-{k}.parquet", [0, 1, 2], seed=k)
    table(tmp_path / "test.parquet", [2, 0], seed=5)
    found = made(**tables(tmp_path))
    wanted = [np.asarray(Image.open(io.BytesIO(png(s)))) for s in (0, 1, 2, 1000, 1001, 1002)]
    order = np.random.default_rng(0).permutation(6)
    assert np.array_equal(found.train_images, np.stack(wanted).transpose(0, 3, 1, 2)[order])
    assert found.train_labels.tolist() == np.array([0, 1, 2, 0, 1, 2])[order].tolist()
    assert found.classes == ("0", "1", "2")
    fewer = made(**tables(tmp_path, train_images=4, test_images=1))
    assert (len(fewer.train_labels), len(fewer.test_labels)) == (4, 1)


@pytest.mark.parametrize("plain", [False, True])
def test_classes_have_the_names_that_the_file_gives(tmp_path: Path, plain: bool) -> None:
    table(tmp_path / "train-0.parquet", [1, 0], ["apple", "baby", "crab"], plain=plain)
    table(tmp_path / "test.parquet", [2, 0], ["apple", "baby", "crab"], plain=plain)
    found = made(**tables(tmp_path))
    assert found.classes == ("apple", "baby", "crab")
    assert sorted(found.test_labels) == [0, 2]


def test_a_label_that_the_metadata_does_not_name_is_refused(tmp_path: Path) -> None:
    """Data hubs give −1 to the images of a test set whose classes they keep to themselves."""
    table(tmp_path / "train-0.parquet", [0, 1], ["cat", "dog"])
    table(tmp_path / "test.parquet", [-1, -1], ["cat", "dog"])
    with pytest.raises(DataError, match=r"found label -1 in .*'fine_label'.* classes 0 to 1"):
        made(**tables(tmp_path))


def test_sets_of_one_kind_need_not_have_the_same_classes(tmp_path: Path) -> None:
    for folder, names in (("task", "ab"), ("same", "ab"), ("other", "ac"), ("bare", "")):
        table(tmp_path / folder / "train-0.parquet", [0, 1], list(names))
        table(tmp_path / folder / "test.parquet", [0, 1], list(names))
    sets = [
        {**tables(tmp_path / folder), "name": folder}
        for folder in ("task", "same", "other", "bare")
    ]
    none = {**tables(tmp_path / "same", label=None, train=None), "name": "none"}
    plan = Plan(load({"dataset": sets[0], "ood": [*sets[1:], none]}))
    assert [name.split("_")[1] for name in plan.labelled] == ["same"]
    letters = {"kind": "torchvision:EMNIST", "options": {"split": "letters"}}
    digits = {"kind": "torchvision:EMNIST", "options": {"split": "digits"}}
    few = {**letters, "test": 90}
    plan = Plan(load({"dataset": letters, "ood": [digits, few]}))
    assert [("digits" in name, "letters" in name) for name in plan.labelled] == [(False, True)]


def test_labels_may_be_text_or_any_integers(tmp_path: Path) -> None:
    for labels, classes in ((["dog", "cat"], ("cat", "dog")), ([7, 3], ("3", "7"))):
        table(tmp_path / "train-0.parquet", labels)
        table(tmp_path / "test.parquet", labels[:1])
        found = made(**tables(tmp_path))
        assert found.classes == classes
        assert found.test_labels.tolist() == [1]


def test_a_set_to_compare_on_needs_no_labels(tmp_path: Path) -> None:
    table(tmp_path / "test.parquet", [0, 0])
    found = made(**tables(tmp_path, train=None, label=None))
    assert (found.classes, len(found.train_labels)) == (("images",), 0)


def test_what_the_files_hold_decides_and_not_where_they_are(tmp_path: Path) -> None:
    for k in (0, 1):
        table(tmp_path / "a" / f"train-{k}.parquet", [0, 1], seed=k)
    table(tmp_path / "a/test.parquet", [0, 1], seed=9)

    def lineage(folder: str, name: str = "cifar") -> str | None:
        values = tables(tmp_path / folder, name=name)
        targets = Targets(Plan(load({"dataset": values})))
        images = f"results/data/{targets.plan.task}/images.safetensors"
        return Lineages(targets).of(images)

    before = lineage("a")
    (tmp_path / "a").rename(tmp_path / "b")
    assert lineage("b") == before
    table(tmp_path / "b/test.parquet", [1, 1], seed=9)
    assert lineage("b") != before


def test_the_size_is_that_of_the_images(tmp_path: Path) -> None:
    content = pa.table({"img": [png(k, 48) for k in range(3)], "fine_label": [0, 1, 0]})
    for name in ("train-0", "test"):
        pq.write_table(content, tmp_path / f"{name}.parquet")
    found = Plan(load({"dataset": tables(tmp_path, name="photos")}))
    assert found.task == "parquet_photos_image=img_label=fine_label_size=48"


def test_rows_are_counted_over_row_groups(tmp_path: Path) -> None:
    table(tmp_path / "t.parquet", list(range(20)))
    for count in (None, 3, 10, 50):
        rows = list(image_tables.rows(tmp_path / "t.parquet", ["fine_label"], count))
        assert [value for (value,) in rows] == list(range(20 if count is None else min(20, count)))


def test_files_in_the_form_of_cifar100(workflow: Workflow) -> None:
    names = [f"class {k}" for k in range(100)]
    for k in range(2):
        table(workflow / f"cifar100/train-{k}.parquet", [*range(100)], names, seed=k)
    table(workflow / "cifar100/test.parquet", [*range(100)], names, seed=7)
    config = {
        **CHAIN,
        "dataset": {
            "kind": "parquet",
            "train": "cifar100/train-*.parquet",
            "test": "cifar100/test.parquet",
            **COLUMNS,
        },
        "network": {"name": "resnet9", "width": 2},
        "ood": [{"kind": "corrupted", "corruption": "contrast"}],
    }
    workflow.jobs(config)
    folder = workflow / "results/data/parquet_cifar100_image=img_label=fine_label"
    assert read_split(folder / "images.safetensors", "train")[0].shape == (200, 3, 32, 32)
    found = Experiment(workflow / "results/grid")
    assert found.predictions("seed=1", found.predicted_on[0]).logits.shape[1] == 100
    assert not workflow.planned(config)


# --- corruptions --------------------------------------------------------------------------------

IMAGES = shapes.draw(60, 0)[0]


def distance(images: np.ndarray, others: np.ndarray) -> float:
    return float(np.sqrt(np.mean((images.astype(float) - others) ** 2)))


def test_every_corruption_of_the_configuration_exists() -> None:
    assert tuple(corruptions.CORRUPTIONS) == CORRUPTIONS


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_corruption_changes_images_of_any_shape(name: str, channels: int) -> None:
    for side, severity in ((16, 1), (24, 5), (28, 3), (32, 3), (45, 3)):
        images = shapes.draw(6, 0, side=side)[0][:, :channels]
        found = corruptions.apply(images, name, severity, 0)
        assert (found.shape, found.dtype) == (images.shape, np.uint8)
        assert name == "saturate" or severity < 3 or distance(images, found) > 2


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_images(name: str) -> None:
    found = corruptions.apply(IMAGES, name, 2, 0)
    assert np.array_equal(found[:10], corruptions.apply(IMAGES[:10], name, 2, 0))
    random = name not in (
        *("gaussian_blur", "defocus_blur", "zoom_blur", "brightness", "contrast", "saturate"),
        *("pixelate", "jpeg_compression"),
    )
    assert random != np.array_equal(found, corruptions.apply(IMAGES, name, 2, 1))


# glass_blur, saturate and elastic_transform change what they do from one severity to the next
@pytest.mark.parametrize(
    "name", sorted({*CORRUPTIONS} - {"glass_blur", "saturate", "elastic_transform"})
)
def test_a_higher_severity_changes_more(name: str) -> None:
    changed = [distance(IMAGES, corruptions.apply(IMAGES, name, s, 0)) for s in range(1, 6)]
    assert changed == sorted(changed)
    assert changed[4] > 1.3 * changed[0]


def test_noise_has_the_declared_strength() -> None:
    grey = np.full((200, 3, 32, 32), 128, dtype=np.uint8)
    noisy = corruptions.apply(grey, "gaussian_noise", 3, 0) / 255
    assert noisy.std() == pytest.approx(0.08, rel=0.02)
    hit = corruptions.apply(grey, "impulse_noise", 5, 0)
    assert np.isin(hit, (0, 255)).mean() == pytest.approx(0.07, rel=0.05)
    shot = corruptions.apply(grey, "shot_noise", 5, 0) / 255
    assert shot.var() == pytest.approx(128 / 255 / 50, rel=0.03)


def test_colours_change_as_hue_saturation_and_value_say() -> None:
    import matplotlib.colors

    pixels = IMAGES.transpose(0, 2, 3, 1) / 255
    hsv = matplotlib.colors.rgb_to_hsv(pixels)
    for name, severity, part, change in (
        ("brightness", 4, 2, lambda v: np.clip(v + 0.2, 0, 1)),
        ("saturate", 1, 1, lambda s: np.clip(0.3 * s, 0, 1)),
        ("saturate", 5, 1, lambda s: np.clip(2.5 * s + 0.2, 0, 1)),
    ):
        wanted = hsv.copy()
        wanted[..., part] = change(hsv[..., part])
        wanted = matplotlib.colors.hsv_to_rgb(wanted).transpose(0, 3, 1, 2) * 255
        found = corruptions.apply(IMAGES, name, severity, 0)
        assert abs(found - wanted).max() <= 0.51


def test_a_blur_keeps_the_brightness_and_lowers_the_contrast() -> None:
    draw = np.random.default_rng(0)
    noise = draw.integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    for name in ("gaussian_blur", "defocus_blur", "motion_blur", "zoom_blur", "glass_blur"):
        found = corruptions.apply(noise, name, 5, 0)
        assert found.mean() == pytest.approx(noise.mean(), rel=0.03), name
        assert found.std() < 0.8 * noise.std(), name
        flat = np.full_like(noise, 90)
        assert np.array_equal(corruptions.apply(flat, name, 5, 0), flat), name


def test_lengths_grow_with_the_images() -> None:
    """The same picture at twice the size is blurred over twice the pixels."""
    small = shapes.draw(40, 0)[0]
    large = np.repeat(np.repeat(small, 2, axis=2), 2, axis=3)
    for name in ("gaussian_blur", "motion_blur", "zoom_blur"):
        one = distance(small, corruptions.apply(small, name, 4, 0))
        other = distance(large, corruptions.apply(large, name, 4, 0))
        assert one == pytest.approx(other, rel=0.25), name


def test_corrupted_sets_have_the_task_in_their_names() -> None:
    fog = {"kind": "corrupted", "corruption": "fog"}
    first = Plan(load({"dataset": {"kind": "shapes"}, "ood": [fog]}))
    second = Plan(load({"dataset": {"kind": "cifar10", "test": 90}, "ood": [{**fog, "seed": 3}]}))
    assert first.ood == ["corrupted_shapes_fog=3"]
    assert second.ood == ["corrupted_cifar10_test=90_fog=3_seed=3"]


def test_a_corrupted_set_is_made_again_with_its_source() -> None:
    lineages = []
    for seed in (0, 1):
        dataset = {"kind": "shapes", "seed": seed}
        ood = [{"kind": "corrupted", "corruption": "fog"}]
        targets = Targets(Plan(load({"dataset": dataset, "ood": ood})))
        lineages.append(Lineages(targets).of(targets.images(targets.plan.ood[0])))
    assert None not in lineages
    assert len(set(lineages)) == 2
