"""What people's folders of images are like: layouts, leftovers, depths, names, and changes."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Workflow
from PIL import Image

from skeletons import Experiment, SkeletonsError, image_folders
from skeletons.config.datasets import SECTIONS
from skeletons.config.load import load
from skeletons.data import build as building
from skeletons.data import examine
from skeletons.data.files import Dataset, read_split
from skeletons.errors import ConfigError, DataError
from skeletons.store import artifacts
from skeletons.store.provenance import Recipe, making
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import Plan
from skeletons.workflow.targets import Targets


def build(folder: Path, **values: Any) -> Dataset:
    section = {"kind": "imagefolder", "path": str(folder), **values}
    spec = SECTIONS["imagefolder"].model_validate(section).model_dump()
    return building.build(spec, Path("nowhere"))


def save(path: Path, seed: int = 0) -> Path:
    """An image that no other seed gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def fill(folder: Path, *classes: str, count: int = 4, seed: int = 0) -> Path:
    """Class folders with images that are all different."""
    for k, name in enumerate(classes):
        for j in range(count):
            save(folder / name / f"{j}.png", seed + 100 * k + j)
    return folder


def counts(found: Dataset) -> tuple[int, int]:
    return len(found.train_labels), len(found.test_labels)


def digest(folder: Path) -> str:
    return image_folders.find(folder, None).digest()


def values(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


# --- layouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_validation_images_are_the_test_set_if_there_is_no_test_folder(
    tmp_path: Path, name: str
) -> None:
    fill(tmp_path / "train", "cats", "dogs")
    fill(tmp_path / name, "cats", "dogs", count=2, seed=1000)
    found = build(tmp_path)
    assert found.classes == ("cats", "dogs")
    assert counts(found) == (8, 4)


def test_splits_may_begin_with_a_capital(tmp_path: Path) -> None:
    fill(tmp_path / "Training", "cats", "dogs")
    fill(tmp_path / "Testing", "cats", "dogs", count=1, seed=1000)
    assert counts(build(tmp_path)) == (8, 2)


def test_validation_images_beside_a_test_folder_are_not_read_and_that_is_said(
    tmp_path: Path,
) -> None:
    for k, split in enumerate(("train", "val", "test")):
        fill(tmp_path / split, "cats", "dogs", count=3 - k, seed=1000 * k)
    found = build(tmp_path)
    assert counts(found) == (6, 2)
    assert found.notes == (f"{tmp_path}/val is not read, because train and test are.",)


@pytest.mark.parametrize("names", [("train",), ("val", "test"), ("Test",), ("train", "training")])
def test_folders_named_like_splits_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    fill(tmp_path, *names)
    spec = {"kind": "imagefolder", "path": str(tmp_path)}
    for config in ({"dataset": spec}, {"ood": [spec]}):
        with pytest.raises(ConfigError, match=r"\.path: .*found .*; allowed: "):
            load(config)
    with pytest.raises(DataError, match="allowed"):
        build(tmp_path)


@pytest.mark.parametrize("names", [("cats", "dogs"), ("photos",)])
def test_splits_inside_of_class_folders_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        fill(tmp_path / name, "train", "val")
    with pytest.raises(ConfigError, match="splits inside of other folders, such as"):
        load({"dataset": {"kind": "imagefolder", "path": str(tmp_path)}})


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert build(fill(tmp_path, "bus", "train")).classes == ("bus", "train")


# --- what a recursive walk meets ----------------------------------------------------------------

LEFTOVERS = [
    ".ipynb_checkpoints/0-checkpoint.png",
    "@eaDir/0.png/SYNOPHOTO_THUMB_XL.png",
    "__MACOSX/._0.png",
    ".thumbnails/deep/0.png",
    "._0.png",
]


@pytest.mark.parametrize("leftover", LEFTOVERS)
@pytest.mark.parametrize("place", ["train/cats", "train", ""])
def test_what_programs_leave_in_folders_is_skipped(
    tmp_path: Path, leftover: str, place: str
) -> None:
    fill(tmp_path / "train", "cats", "dogs")
    fill(tmp_path / "test", "cats", "dogs", seed=1000)
    before = digest(tmp_path)
    save(tmp_path / place / leftover)
    found = build(tmp_path)
    assert counts(found) == (8, 8)
    assert found.classes == ("cats", "dogs")
    assert found.notes == ()
    assert digest(tmp_path) == before


def test_a_folder_inside_of_a_hidden_one_is_read(tmp_path: Path) -> None:
    assert counts(build(fill(tmp_path / ".cache/photos", "cats", "dogs"))) == (6, 2)


def test_a_folder_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    fill(tmp_path, "cats", "dogs")
    (tmp_path / "cats/9.png").mkdir()
    save(tmp_path / "dogs/8.png/inside.png", 77)
    found = build(tmp_path)
    assert sum(counts(found)) == 9


def test_a_pipe_named_like_an_image_is_no_image(tmp_path: Path) -> None:
    fill(tmp_path, "cats", "dogs")
    os.mkfifo(tmp_path / "cats/9.png")
    assert sum(counts(build(tmp_path))) == 8


def test_links_are_followed_at_any_depth_and_never_in_circles(tmp_path: Path) -> None:
    photos = fill(tmp_path / "photos", "cats", "dogs")
    fill(tmp_path / "disk", "more", seed=500)
    (photos / "cats/a/b").mkdir(parents=True)
    (photos / "cats/a/b/linked").symlink_to(tmp_path / "disk/more")
    (photos / "birds").symlink_to(tmp_path / "disk/more")
    (photos / "dogs/up").symlink_to(photos / "dogs")
    (photos / "dogs/top").symlink_to(photos)
    found = image_folders.find(photos, None)
    assert {name: len(files) for name, files in found.train.items()} == {
        **{"birds": 4, "cats": 8},
        "dogs": 4,
    }


def test_a_link_to_nothing_is_one_sentence(tmp_path: Path) -> None:
    fill(tmp_path, "cats", "dogs")
    (tmp_path / "cats/9.png").symlink_to("not/there.png")
    with pytest.raises(DataError, match=r"cats/9\.png cannot be read .* link.*repair or remove"):
        build(tmp_path)


def test_copies_in_train_and_test_are_reported(tmp_path: Path) -> None:
    fill(tmp_path / "train", "cats", "dogs")
    fill(tmp_path / "test", "cats", "dogs", seed=1000)
    shutil.copy(tmp_path / "train/cats/0.png", tmp_path / "test/cats/copy.png")
    (note,) = build(tmp_path).notes
    assert note.startswith("1 of 9 test images are exact copies of training images")


# --- endings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jfif", "avif", "JPG", "jpe", "jp2"])
def test_images_with_less_common_endings_are_read(tmp_path: Path, ending: str) -> None:
    fill(tmp_path, "cats", "dogs", count=2)
    made = save(tmp_path / "new.jpg", 9)
    image = Image.open(made)
    formats = {"avif": "AVIF", "jp2": "JPEG2000"}
    image.save(tmp_path / f"cats/new.{ending}", formats.get(ending, "JPEG"))
    assert sum(counts(build(tmp_path))) == 5


def test_files_that_are_left_out_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "cats", "dogs")
    for name in ("cats/1.heic", "cats/2.heic", "dogs/labels.txt", "dogs/README"):
        (tmp_path / name).write_text("")
    save(tmp_path / "overview.png")
    (note,) = build(tmp_path).notes
    assert "5 files left out (2 .heic, 1 " in note
    for kind in ("1 .txt", "1 without an ending", "1 .png"):
        assert kind in note


# --- depth --------------------------------------------------------------------------------------

RAMP = np.arange(1024).reshape(32, 32)


def depth_folder(folder: Path, dim: np.ndarray, bright: np.ndarray) -> np.ndarray:
    """The 8-bit images that come of a dim and a bright image of any depth, in that order."""
    for name, array in (("bright", bright), ("dim", dim)):
        for k in range(2):
            values(folder / name / f"{k}.tif", array)
    found = build(folder, test_share=1)
    return np.stack([found.test_images[found.test_labels == k][0, 0] for k in (1, 0)])


@pytest.mark.parametrize(
    ("what", "dim", "bright"),
    [
        ("8-bit values in 16 bits", RAMP // 8, RAMP // 4),
        ("12-bit values in 16 bits", RAMP * 2, RAMP * 4),
        ("16-bit values", RAMP * 32, RAMP * 64),
        ("values far from 0", 29_000 + RAMP // 2, 29_000 + RAMP),
        ("whole numbers of 32 bits", RAMP * 1_000, RAMP * 2_000),
        ("negative whole numbers", RAMP // 2 - 512, RAMP - 512),
        ("floats from 0 to 1", RAMP / 2046, RAMP / 1023),
        ("negative floats", RAMP / 2046 - 7, RAMP / 1023 - 7),
    ],
)
def test_the_range_of_a_data_set_decides(
    tmp_path: Path, what: str, dim: np.ndarray, bright: np.ndarray
) -> None:
    kind = np.float32 if "floats" in what else np.uint16
    if "32 bits" in what or "negative whole" in what:
        kind = np.int32
    made = depth_folder(tmp_path, dim.astype(kind), bright.astype(kind)).astype(int)
    assert abs(made[1] - RAMP / 1023 * 255).max() <= 2
    assert abs(made[0] - RAMP / 1023 * 127.5).max() <= 2  # half as bright, as it was


def test_missing_values_of_a_raster_are_black_and_change_nothing_else(tmp_path: Path) -> None:
    bright = (RAMP / 1023).astype(np.float32)
    dim = bright / 2
    dim[0, 5], dim[3, 3] = np.nan, np.inf
    made = depth_folder(tmp_path, dim, bright).astype(int)
    assert made[0, 0, 5] == made[0, 3, 3] == 0
    assert abs(made[1] - RAMP / 1023 * 255).max() <= 1


def test_the_number_that_a_raster_names_for_missing_values_is_no_value(tmp_path: Path) -> None:
    array = (RAMP / 1023).astype(np.float32)
    array[0, :4] = -9999
    for name in ("a", "b"):
        for k in range(2):
            values(tmp_path / f"{name}/{k}.tif", array)
            image = Image.open(tmp_path / f"{name}/{k}.tif")
            image.load()
            image.save(tmp_path / f"{name}/{k}.tif", tiffinfo={42113: "-9999"})
    made = build(tmp_path).train_images[0, 0].astype(int)
    assert abs(made[1:] - RAMP[1:] / 1023 * 255).max() <= 2
    assert (made[0, :4] == 0).all()


def test_images_of_16_bits_stay_as_they_were(tmp_path: Path) -> None:
    array = (RAMP * 60).astype(np.uint16)
    made = depth_folder(tmp_path, array, array)
    assert (made[0] == (array * (255 / 65535)).astype(np.uint8)).mean() > 0.99


# --- broken, huge, empty ------------------------------------------------------------------------


def stage(folder: Path, made: Path, **more: Any) -> None:
    section = {"kind": "imagefolder", "path": str(folder), **more}
    spec = SECTIONS["imagefolder"].model_validate(section).model_dump()
    building.dataset_stage(
        images=str(made / "images.safetensors"),
        info=str(made / "info.json"),
        spec={key: value for key, value in spec.items() if key != "path"},
        data_root=None,
        where={"path": str(folder)},
    )


@pytest.mark.parametrize("levels", [1, 15])
def test_images_of_nearly_one_colour_are_one_sentence(tmp_path: Path, levels: int) -> None:
    for name in ("cats", "dogs"):
        for k in range(4):
            array = np.full((32, 32, 3), 7, dtype=np.uint8) + np.uint8(k % levels)
            array[0, 0] = 7 + levels - 1
            values(tmp_path / name / f"{k}.png", array)
    with pytest.raises(DataError, match="training images that are all of nearly one colour"):
        stage(tmp_path, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_user_defined_set_of_floats_made_integers_is_one_sentence() -> None:
    pixels = np.random.default_rng(0).random((8, 3, 32, 32)).astype(np.uint8)
    found = Dataset.without_training(pixels, np.zeros(8, np.int64), ("a",))
    with pytest.raises(DataError, match="test images that are all of nearly one colour"):
        examine.check_colours(found, "my/data.py:floats")


def test_an_image_with_too_many_pixels_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "cats", "dogs")
    Image.new("L", (300, 300)).save(tmp_path / "cats/huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40_000)
    with pytest.raises(DataError, match=r"cats/huge\.png has more than 80,000 pixels, .* remove"):
        build(tmp_path)


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), RuntimeError("line\nline")])
def test_whatever_a_decoder_raises_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    fill(tmp_path, "cats", "dogs")

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("skeletons.data.folders.ImageOps.exif_transpose", fail)
    with pytest.raises(DataError, match=r"images are not complete: .* \(the first: .*\)") as caught:
        build(tmp_path)
    assert "\n" not in str(caught.value)


# --- names --------------------------------------------------------------------------------------

ODD = ("{cats}", "<b>", "a b", "*", "$x$", "[1]", "köter", "日本 猫", "a|b", "%(x)s", "~", "-n")


def test_class_folders_may_have_any_name_that_text_can_hold(
    workflow: Workflow, tmp_path: Path
) -> None:
    photos = fill(tmp_path / "my {photos} & co", *ODD, count=5)
    config = {"dataset": {"kind": "imagefolder", "path": str(photos)}}
    done = workflow.run(config, "--", "results/data/imagefolder_my-photos-co/info.json")
    assert done.returncode == 0, done.stdout
    info = artifacts.read_json(workflow / "results/data/imagefolder_my-photos-co/info.json")
    assert info["classes"] == sorted(ODD)


@pytest.mark.parametrize("name", [b"line\nbreak", b"caf\xe9"])
def test_names_that_text_cannot_hold_are_refused(tmp_path: Path, name: bytes) -> None:
    fill(tmp_path, "cats", "dogs")
    os.rename(tmp_path / "cats", os.path.join(os.fsencode(tmp_path), name))  # noqa: PTH104, PTH118
    with pytest.raises(ConfigError, match=r"found the folder '.*\\.*allowed: another name") as said:
        load({"dataset": {"kind": "imagefolder", "path": str(tmp_path)}})
    str(said.value).encode()


# --- changes ------------------------------------------------------------------------------------


def replaced(folder: Path, image: Path) -> None:
    save(image, 4321)


def added(folder: Path, image: Path) -> None:
    save(image.parent / "sub/deeper/new.png", 4321)


def removed(folder: Path, image: Path) -> None:
    image.unlink()


def renamed(folder: Path, image: Path) -> None:
    image.rename(image.with_name("other.png"))


LAYOUTS = {
    "splits": ["train/cats", "train/dogs", "test/cats", "test/dogs"],
    "classes": ["cats", "dogs"],
    "images": ["."],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("change", [replaced, added, removed, renamed])
def test_a_changed_image_is_another_data_set(tmp_path: Path, layout: str, change: Any) -> None:
    photos = fill(tmp_path / "photos", *(f"{place}/deep/er" for place in LAYOUTS[layout]))
    if layout == "images":
        shutil.rmtree(photos)
        for k in range(4):
            save(photos / f"{k}.png", k)
    config = {"images": {"size": None}, "ood": [{"kind": "imagefolder", "path": str(photos)}]}
    path = "results/data/imagefolder_photos/images.safetensors"
    before = Lineages(Targets(Plan(load(config)))).of(path)
    if change is added and layout == "images":
        save(photos / "new.png", 4321)
    else:
        change(photos, next(photos.rglob("1.png")))
    assert Lineages(Targets(Plan(load(config)))).of(path) != before


def test_a_folder_that_is_moved_with_its_times_is_the_same(tmp_path: Path) -> None:
    photos = fill(tmp_path / "here/photos", "cats", "dogs")
    found = []
    for folder in (photos, Path(shutil.copytree(photos, tmp_path / "there/photos"))):
        config = load({"dataset": {"kind": "imagefolder", "path": str(folder)}})
        plan = Plan(config)
        found.append(Lineages(Targets(plan)).of(f"results/data/{plan.task}/info.json"))
    assert found[0] == found[1]


def test_a_file_that_is_not_read_changes_nothing(tmp_path: Path) -> None:
    before = digest(fill(tmp_path, "cats", "dogs"))
    (tmp_path / "cats/notes.txt").write_text("cats")
    (tmp_path / "notes.txt").write_text("both")
    assert digest(tmp_path) == before


# --- results ------------------------------------------------------------------------------------

T: dict[str, Any] = {
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "batch_size": 10, "learning_rate": 0.05},
    "regularize": {"lambdas": [1e-3], "epochs": [1], "batch_size": 10},
    "prune": {"thresholds": [0.5]},
    "compare": {"states": ["base", "pruned"]},
    "controls": {"orders": []},
}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, list[dict[str, Any]]]:
    """Two experiments that ran one after the other, with other images in folders of one name."""
    workflow = Workflow(tmp_path_factory.mktemp("two"))
    configs = []
    for k, name in enumerate(("first", "second")):
        photos = fill(workflow / name / "photos", "a/deep", "b", count=12, seed=1000 * k)
        other = fill(workflow / name / "ood", "a", "b", count=6, seed=1000 * k + 500)
        sets = {
            "dataset": {"kind": "imagefolder", "path": str(photos)},
            "ood": [{"kind": "imagefolder", "path": str(other), "test_share": 1}],
        }
        configs.append({"experiment": name, **T, **sets})
        done = workflow.run(configs[-1])
        assert done.returncode == 0, done.stdout
    return workflow, configs


def test_folders_of_one_name_are_two_data_sets(two: Any) -> None:
    workflow, _ = two
    second = Experiment(workflow / "results/second")
    assert len(second.images("imagefolder_photos")) == 4
    assert len(second.features("seed=1", "imagefolder_ood_test=1.0")) == 12
    first = Experiment(workflow / "results/first")
    for data in ("imagefolder_photos", "imagefolder_ood_test=1.0"):
        with pytest.raises(SkeletonsError, match=r"same name; give one of the two another `name`"):
            first.images(data)
        with pytest.raises(SkeletonsError, match="another experiment"):
            first.features("seed=1", data)


def test_the_first_experiment_makes_its_data_set_again(two: Any, tmp_path: Path) -> None:
    workflow, configs = two[0].copy(tmp_path / "w"), two[1]
    planned = workflow.planned(configs[0])
    assert planned["dataset"] == 2
    done = workflow.run(configs[0])
    assert done.returncode == 0, done.stdout
    first = Experiment(workflow / "results/first")
    assert len(first.images("imagefolder_photos")) == 4
    assert workflow.planned(configs[0]) == {}


def test_a_job_refuses_the_data_set_of_another_experiment(tmp_path: Path) -> None:
    def recipe(parents: dict[str, str]) -> Recipe:
        return Recipe("dataset", {"files": "one"}, "c", {}, parents, 1, {})

    path = tmp_path / "results/data/photos/images.safetensors"
    with making(recipe({})):
        artifacts.write_tensors(path, {"test_images": np.zeros(1), "test_labels": np.zeros(1)})
    with (
        making(recipe({"photos/images.safetensors": "another"})),
        pytest.raises(SkeletonsError, match="another `name`, or run snakemake again"),
    ):
        read_split(path, "test")


def test_a_replaced_image_and_a_folder_moved_with_its_times(two: Any, tmp_path: Path) -> None:
    workflow, configs = two[0].copy(tmp_path / "w"), two[1]
    moved = Path(shutil.copytree(workflow / "second/photos", tmp_path / "moved/photos"))
    config = {**configs[1], "dataset": {"kind": "imagefolder", "path": str(moved)}}
    assert set(workflow.planned(config)) == {"record", "report"}  # which show the path
    save(moved / "a/deep/3.png", 99)
    planned = workflow.planned(config)
    assert planned["dataset"] == 1
    assert planned["train_base"] == 2
    save(moved / "b/new/er/3.png", 98)
    assert workflow.planned(config)["dataset"] == 1


# --- from Python --------------------------------------------------------------------------------


def test_floats_from_0_to_1_are_the_same_images(two: Any) -> None:
    second = Experiment(two[0] / "results/second")
    images = second.images("imagefolder_photos")
    for floats in (images / 255, (images / 255).astype(np.float32)):
        found = second.predictions("seed=1", floats)
        np.testing.assert_array_equal(found.logits, second.predictions("seed=1", images).logits)
    pair = ("linear_cka", "seed=1", "seed=2")
    assert second.measure(*pair, images / 255) == second.measure(*pair, images)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.full((2, 3, 32, 32), 200.0), "float64 2×3×32×32 from 200 to 200"),
        (np.full((2, 3, 32, 32), -0.5, np.float32), "float32 2×3×32×32 from -0.5 to -0.5"),
        (np.full((2, 3, 32, 32), np.nan), "float64 2×3×32×32 from nan to nan"),
        (np.zeros((2, 32, 32, 3)), "float64 2×32×32×3"),
        (np.zeros((2, 3, 32, 32), np.int64), "int64 2×3×32×32"),
    ],
)
def test_other_images_are_refused(two: Any, images: np.ndarray, found: str) -> None:
    second = Experiment(two[0] / "results/second")
    for call in (second.predictions, second.features):
        with pytest.raises(SkeletonsError, match=rf"images: found {found}; allowed: uint8 N×3×32"):
            call("seed=1", images)


def test_a_loaded_network_refuses_scaled_floats(two: Any) -> None:
    second = Experiment(two[0] / "results/second")
    network = second.load("seed=1")
    pixels = torch.from_numpy(second.images("imagefolder_photos"))
    with torch.no_grad():
        torch.testing.assert_close(network(pixels.float()), network(pixels))
        for scaled in (pixels / 255, (pixels / 255 - 0.5) / 0.25, (pixels / 255).half()):
            with pytest.raises(SkeletonsError, match=r"images: found floats .*by 255"):
                network(scaled)
        network(torch.zeros(1, 3, 32, 32))
        copy.deepcopy(network)(pixels)
