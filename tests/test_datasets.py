import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier

from skeletons.config.datasets import SECTIONS
from skeletons.data import build as building
from skeletons.data import files, shapes
from skeletons.data.folders import read_image
from skeletons.data.sizes import fit_published, to_channels
from skeletons.errors import ArtifactError, DataError

NOWHERE = Path("no-data")


def spec(**values: Any) -> dict[str, Any]:
    return SECTIONS[values["kind"]].model_validate(values).model_dump()


def build(root: Path = NOWHERE, **values: Any) -> files.Dataset:
    return building.build(spec(**values), root)


def save(path: Path, colour: tuple[int, int, int] = (200, 10, 10), size: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (size, size), colour).save(path)


# --- drawn and embedded -------------------------------------------------------------------------


def test_shapes_are_balanced_and_the_same_every_time() -> None:
    one, two = (build(kind="shapes", train=200, test=100) for _ in range(2))
    assert np.array_equal(one.train_images, two.train_images)
    assert one.train_images.shape == (200, 3, 32, 32)
    assert one.train_images.dtype == np.uint8
    assert np.bincount(one.train_labels).tolist() == [20] * 10
    assert np.bincount(one.test_labels).tolist() == [10] * 10
    assert not np.array_equal(one.train_images[:100], one.test_images)
    other = build(kind="shapes", train=200, test=100, seed=1)
    assert not np.array_equal(one.train_images, other.train_images)


def test_a_linear_classifier_does_not_learn_shapes() -> None:
    images, labels = shapes.draw(4000, 0)
    flat = images.reshape(len(images), -1).astype(np.float32) / 255
    linear = RidgeClassifier(alpha=300).fit(flat[:3000], labels[:3000])
    assert linear.score(flat[3000:], labels[3000:]) < 0.6


def test_digits_are_the_real_ones_enlarged() -> None:
    found = build(kind="digits")
    assert found.test_images.shape == (1797, 3, 32, 32)
    assert len(found.train_images) == 0
    assert sorted(found.test_labels) == sorted(load_digits().target)
    assert found.test_images.max() == 255
    assert np.array_equal(found.test_images[:, 0], found.test_images[:, 2])
    # averaging an enlarged digit gives the small one
    small = found.test_images[:, 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    originals = load_digits().images * (255 / 16)
    assert abs(np.sort(small.mean(axis=(1, 2))) - np.sort(originals.mean(axis=(1, 2)))).max() < 2


def test_noise_is_uniform() -> None:
    found = build(kind="noise", images=50)
    assert found.test_images.shape == (50, 3, 32, 32)
    assert abs(found.test_images.mean() - 127.5) < 1


def test_grey_images_get_a_border_and_three_channels() -> None:
    grey = np.full((2, 28, 28), 9, dtype=np.uint8)
    rgb = to_channels(fit_published(grey[:, None], files.Form(), "grey"), 3)
    assert rgb.shape == (2, 3, 32, 32)
    assert (rgb[:, :, 2:30, 2:30] == 9).all()
    assert rgb.sum() == 2 * 3 * 28 * 28 * 9


# --- a user's own folders -----------------------------------------------------------------------


def test_train_and_test_folders(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        for k in range(count):
            save(tmp_path / split / "cats" / f"{k}.png", (k, 0, 0))
            save(tmp_path / split / "dogs" / f"{k}.png", (0, k, 9))
    (tmp_path / "train" / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "cats" / ".hidden.png").write_text("nor this")
    found = build(kind="imagefolder", path=str(tmp_path))
    assert found.classes == ("cats", "dogs")
    assert np.bincount(found.train_labels).tolist() == [3, 3]
    assert np.bincount(found.test_labels).tolist() == [2, 2]
    assert (found.test_images[found.test_labels == 1][:, 2] == 9).all()


def test_class_folders_are_split_within_each_class(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for k in range(20):
            save(tmp_path / name / f"{k}.png", (k, 0, 0))
    one, two = (build(kind="imagefolder", path=str(tmp_path)) for _ in range(2))
    assert np.bincount(one.test_labels).tolist() == [4, 4]
    assert np.array_equal(one.test_images, two.test_images)
    both = np.concatenate([one.train_images, one.test_images])[:, 0, 0, 0]
    assert np.bincount(both).tolist() == [2] * 20
    every = build(kind="imagefolder", path=str(tmp_path), test_share=1)
    assert len(every.test_labels) == 40
    assert len(every.train_labels) == 0


@pytest.mark.parametrize("share", [None, 0.01, 0.99])
def test_no_class_is_without_images_to_train_on_or_to_test(
    tmp_path: Path, share: float | None
) -> None:
    for name, count in (("a", 2), ("b", 10)):
        for k in range(count):
            save(tmp_path / name / f"{k}.png")
    found = build(kind="imagefolder", path=str(tmp_path), test_share=share)
    for labels in (found.train_labels, found.test_labels):
        assert set(labels.tolist()) == {0, 1}


def test_a_class_of_one_image_can_be_compared_on(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(tmp_path / name / "1.png")
    found = build(kind="imagefolder", path=str(tmp_path), test_share=1)
    assert found.test_labels.tolist().count(1) == 1


def test_fewer_images_are_the_first_of_all_in_their_fixed_order(tmp_path: Path) -> None:
    for name, level in (("a", 10), ("b", 200)):
        (tmp_path / name).mkdir()
        for k in range(10):
            Image.new("RGB", (32, 32), (level + k, 0, 0)).save(tmp_path / name / f"{k}.png")
    every = build(kind="imagefolder", path=str(tmp_path))
    fewer = build(kind="imagefolder", path=str(tmp_path), train=5, test=2)
    assert (fewer.train_images == every.train_images[:5]).all()
    assert (fewer.test_labels == every.test_labels[:2]).all()


def test_a_folder_of_images_is_for_comparing_only(tmp_path: Path) -> None:
    for k in range(3):
        save(tmp_path / f"{k}.jpg")
    found = build(kind="imagefolder", path=str(tmp_path))
    assert len(found.test_labels) == 3
    assert len(found.train_labels) == 0


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
@pytest.mark.parametrize("size", [(32, 32), (100, 40), (5, 9)])
def test_any_mode_and_size_becomes_rgb_of_32(
    tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    path = tmp_path / ("x.tif" if mode in ("CMYK", "F", "I") else "x.png")
    if mode == "I;16":
        image = Image.fromarray(np.full(size[::-1], 32896, dtype=np.uint16))
    elif mode == "I":
        image = Image.fromarray(np.full(size[::-1], 32896, dtype=np.int32))
    else:
        image = Image.new("RGB", size, (255, 255, 255)).convert(mode)
    image.save(path)
    pixels = read_image(path)
    assert pixels.shape == (3, 32, 32)
    assert pixels.dtype == np.uint8
    expected = 128 if mode.startswith("I") else 255
    assert abs(pixels.astype(int) - expected).max() <= 2


def test_transparency_is_laid_over_black(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), (255, 255, 255, 0)).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").max() == 0


def test_the_middle_of_a_wide_image_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((32, 96, 3), dtype=np.uint8)
    wide[:, 32:64] = 255
    Image.fromarray(wide).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png").min() == 255


# --- through torchvision, without a network -----------------------------------------------------


@pytest.fixture
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads fail in tests, as on a machine without a network."""
    from urllib.error import URLError

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


def write_idx(folder: Path, count: int = 20) -> None:
    """A small MNIST in its distributed form."""
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        pixels = np.arange(count * 28 * 28, dtype=np.uint32).astype(np.uint8).tobytes()
        images = struct.pack(">IIII", 2051, count, 28, 28) + pixels
        labels = struct.pack(">II", 2049, count) + bytes(k % 10 for k in range(count))
        (folder / f"{split}-images-idx3-ubyte").write_bytes(images)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)


@pytest.mark.usefixtures("_offline")
def test_mnist_is_read_where_it_lies(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST" / "raw")
    found = build(tmp_path, kind="mnist")
    assert found.train_images.shape == found.test_images.shape == (20, 3, 32, 32)
    assert sorted(found.test_labels) == sorted(k % 10 for k in range(20))
    assert found.test_images[:, :, :2].max() == 0


@pytest.mark.usefixtures("_offline")
@pytest.mark.parametrize("damage", ["truncated", "half an archive", "no gzip"])
def test_a_broken_download_is_one_sentence(tmp_path: Path, damage: str) -> None:
    raw = tmp_path / "MNIST" / "raw"
    write_idx(raw)
    victim = raw / "train-images-idx3-ubyte"
    content = victim.read_bytes()
    if damage == "truncated":
        victim.write_bytes(content[:3000])
    else:
        victim.unlink()
        packed = gzip.compress(content)
        half = packed[: len(packed) // 2] if damage == "half an archive" else b"<html>not found"
        (raw / "train-images-idx3-ubyte.gz").write_bytes(half)
    with pytest.raises(DataError, match=r"MNIST \(train\) could not be read"):
        build(tmp_path, kind="mnist")


@pytest.mark.usefixtures("_offline")
def test_a_half_downloaded_cifar_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(gzip.compress(b"half")[:-4])
    with pytest.raises(DataError, match=r"CIFAR10 \(train\) could not be read"):
        build(tmp_path, kind="cifar10")


# --- files --------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = build(kind="shapes", train=60, test=40)
    building.write(made, tmp_path / "images.safetensors", tmp_path / "info.json")
    images, labels = files.read_split(tmp_path / "images.safetensors", "test")
    assert np.array_equal(images, made.test_images)
    assert np.array_equal(labels, made.test_labels)
    info = files.read_info(tmp_path / "info.json")
    assert info["classes"] == list(shapes.CLASSES)
    assert (info["train"], info["test"]) == (60, 40)
    scaled = made.train_images / 255
    assert info["mean"] == pytest.approx(scaled.mean(axis=(0, 2, 3)))
    assert info["std"] == pytest.approx(scaled.std(axis=(0, 2, 3)))


@pytest.mark.parametrize("value", [25, 0, 255])
def test_a_channel_of_one_value_has_a_deviation(value: int, tmp_path: Path) -> None:
    """Rounding can make its variance negative."""
    made = build(kind="shapes", train=60, test=40)
    made.train_images[:, 2] = value
    building.write(made, tmp_path / "images.safetensors", tmp_path / "info.json")
    assert files.read_info(tmp_path / "info.json")["std"][2] == 1e-3


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    from skeletons.store import artifacts

    path = tmp_path / "images.safetensors"
    artifacts.write_tensors(
        path,
        {"test_images": np.zeros((4, 3, 8, 9), np.uint8), "test_labels": np.zeros(4, np.int64)},
    )
    with pytest.raises(ArtifactError, match=r"images\.safetensors does not hold square images"):
        files.read_split(path, "test")
