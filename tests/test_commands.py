"""`skeletons compare` and `skeletons export`: files without the workflow, and out of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Workflow
from torch import nn

from skeletons import Experiment
from skeletons.commands import compare as command
from skeletons.commands.cli import main
from skeletons.errors import DifferenceError, ExportError, SavedOutputError
from skeletons.figures import named_heatmap
from skeletons.measures import behaviour
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions
from skeletons.networks import source
from skeletons.networks.build import build

IDS = [f"image {k}" for k in range(40)]
DRAW = np.random.default_rng(0)
LOGITS = {name: DRAW.normal(size=(40, 5)) for name in ("alice", "bob", "carol")}


def frame(name: str) -> pd.DataFrame:
    table = pd.DataFrame(LOGITS[name], columns=[f"logit_{k}" for k in range(5)])
    return table.assign(id=IDS, label=[k % 5 for k in range(40)])


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three models, each in a file of its own kind, the images of one in another order."""
    frame("alice").to_parquet(tmp_path / "alice.parquet")
    order = np.random.default_rng(1).permutation(40)
    np.savez(
        tmp_path / "bob.npz",
        logits=LOGITS["bob"][order],
        id=np.array(IDS)[order],
        label=np.arange(40)[order] % 5,
    )
    frame("carol").sample(frac=1, random_state=2).to_csv(tmp_path / "carol.csv", index=False)
    return [str(tmp_path / name) for name in ("alice.parquet", "bob.npz", "carol.csv")]


# --- compare --------------------------------------------------------------------------------------


def test_saved_logits_are_compared_image_by_image(files: list[str]) -> None:
    table = command.compare(files)
    assert list(zip(table.a, table.b, strict=True)) == [
        *(("alice", "bob"), ("alice", "carol"), ("bob", "carol")),
    ]
    labels = np.arange(40) % 5
    known = {name: Predictions(logits, labels) for name, logits in LOGITS.items()}
    for row in table.to_dict("records"):
        expected = behaviour.compare(known[row["a"]], known[row["b"]], labelled=True)
        for measure in command.measures(table):
            assert row[measure.name] == pytest.approx(expected[measure.name], nan_ok=True)


def test_ids_may_be_the_index_of_a_table(tmp_path: Path) -> None:
    table = frame("alice").set_index("id")
    table.to_parquet(tmp_path / "a.parquet")
    table[::-1].to_parquet(tmp_path / "b.parquet")
    found = command.compare([str(tmp_path / f"{name}.parquet") for name in "ab"])
    assert found.agreement.item() == 1


def test_a_heatmap_shows_names_as_they_are_and_has_an_ending_of_images(tmp_path: Path) -> None:
    for name in ("a", r"y$\frac$"):
        frame("alice").to_csv(tmp_path / f"{name}.csv", index=False)
    paths = [str(path) for path in sorted(tmp_path.glob("*.csv"))]
    assert main(["compare", *paths, "--heatmap", str(tmp_path / "map.svg")]) == 0
    with pytest.raises(SavedOutputError, match=r"map.v2: found the ending 'v2'; allowed: .*png"):
        named_heatmap.save(command.compare(paths), MEASURES["kappa"], tmp_path / "map.v2")


def test_features_may_have_other_sizes(tmp_path: Path) -> None:
    x = DRAW.normal(size=(40, 6))
    np.savez(tmp_path / "a.npz", features=x)
    np.savez(tmp_path / "b.npz", features=np.concatenate([x, x], axis=1))
    table = command.compare([str(tmp_path / "a.npz"), str(tmp_path / "b.npz")], features=True)
    assert table.linear_cka.item() == pytest.approx(1)


def test_the_command_prints_a_table_and_writes_a_heatmap(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heatmap, table = tmp_path / "map.svg", tmp_path / "pairs.csv"
    assert main(["compare", *files, "--heatmap", str(heatmap), "--to", str(table)]) == 0
    said = capsys.readouterr().out
    assert "agreement" in said
    assert said.count("alice") == 2
    assert "<svg" in heatmap.read_text(encoding="utf-8")
    assert len(pd.read_csv(table)) == 3


def changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        change(frame("bob")).to_csv(path / "other.csv", index=False)
        return str(path / "other.csv")

    return write


def written(name: str, content: bytes) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        (path / name).write_bytes(content)
        return str(path / name)

    return write


def archive(**arrays: np.ndarray) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        np.savez(path / "other.npz", **arrays)
        return str(path / "other.npz")

    return write


def stored(
    name: str, change: Callable[[pd.DataFrame], pd.DataFrame], **more: Any
) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        table = change(frame("bob"))
        if name.endswith(".csv"):
            table.to_csv(path / name, **more)
        else:
            table.to_parquet(path / name)
        return str(path / name)

    return write


BAD: dict[str, tuple[Callable[[Path], str], str]] = {
    "an image is missing": (
        changed(lambda table: table.iloc[1:]),
        "found other images than in .* it lacks image 'image 0' \\(1 missing, 0 more\\)",
    ),
    "an image is twice": (
        changed(lambda table: pd.concat([table, table.iloc[:1]])),
        "found image 'image 0' twice",
    ),
    "ids are missing": (changed(lambda table: table.drop(columns="id")), "found no column of ids"),
    "another number of classes": (
        changed(lambda table: table.drop(columns="logit_4")),
        "found logits of 4 classes, but of 5",
    ),
    "text": (changed(lambda t: t.assign(name="x")), "found column 'name', which is not of numbers"),
    "NaN": (changed(lambda table: table.assign(logit_0=np.nan)), "found NaN or infinite values"),
    "no values": (changed(lambda table: table[["id"]]), "found no column of values"),
    "another ending": (written("a.txt", b""), "found the ending '.txt'; allowed: .parquet, .csv"),
    "a broken file": (written("a.parquet", b"x"), "cannot be read: "),
    "an empty file": (written("a.csv", b""), "cannot be read: "),
    "a broken archive": (written("a.npz", b"x"), "cannot be read: "),
    "a text label": (changed(lambda t: t.assign(label="cat")), "found label 'cat'; allowed: whole"),
    "no label of one image": (
        changed(lambda t: t.assign(label=[np.nan, *range(39)])),
        "found label 'nan'; allowed: whole numbers",
    ),
    "a fraction as label": (changed(lambda t: t.assign(label=0.5)), "found label '0.5'; allowed"),
    "labels of other images": (
        changed(lambda t: t.assign(label=(np.arange(40) + 1) % 5)),
        r"found label 1 of image 1 of 40, but 0 in .*alice.parquet; allowed: the same images",
    ),
    "fewer labels": (
        archive(logits=LOGITS["bob"], label=np.arange(39), id=np.array(IDS)),
        r"found 'label' of shape \(39,\) for 40 images; allowed: one for each image",
    ),
    "more ids": (
        archive(logits=LOGITS["bob"], id=np.array([*IDS, "more"])),
        r"found 'id' of shape \(41,\) for 40 images",
    ),
    "one number": (archive(logits=np.array(1.0)), "logits is a single number, not N×K"),
    "an array of something else": (
        archive(logits=LOGITS["bob"], id=np.array(IDS), epoch=np.arange(40)),
        "beside logits, it holds epoch, which is neither label nor the ids",
    ),
    "an index without a name": (
        stored("other.parquet", lambda t: t.set_index("id").rename_axis(None)),
        "it has an index without a name; allowed: one named id",
    ),
    "an index of another name": (
        stored("other.parquet", lambda t: t.set_index("label")),
        "it has an index label; allowed: one named id",
    ),
    "a column without a name": (
        stored("other.csv", lambda t: t, index=True),
        "it has a column without a name \\(Unnamed: 0\\), probably an index; write it with index=",
    ),
    "no such file": (lambda path: str(path / "none.csv"), "is not a file; allowed: "),
}


@pytest.mark.parametrize("row", BAD)
def test_a_file_that_does_not_fit_is_one_sentence(row: str, tmp_path: Path) -> None:
    frame("alice").to_parquet(tmp_path / "alice.parquet")
    write, sentence = BAD[row]
    path = write(tmp_path)
    with pytest.raises(SavedOutputError, match=sentence) as caught:
        command.compare([str(tmp_path / "alice.parquet"), path])
    assert "\n" not in str(caught.value)


def test_one_file_is_not_enough(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", files[0]]) == 1
    assert "found 1 file; allowed: two or more." in capsys.readouterr().err


def test_an_unknown_measure_is_refused(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *files, "--measure", "x"]) == 1
    assert "--measure: found 'x'; allowed: cosine_prob," in capsys.readouterr().err


# --- export ---------------------------------------------------------------------------------------

ALONE = """
import sys
sys.modules["skeletons"] = None  # an import of it would fail
sys.path.insert(0, sys.argv[1])
import network, torch
torch.manual_seed(0)
images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
torch.save(network.load()(images), sys.argv[2])
"""


@pytest.mark.parametrize("name", ["seed=1", "seed=1_l1=0.0001_ep=1_t=0.2"])
def test_an_exported_model_runs_without_this_package(
    chain: Workflow, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = Experiment(chain / "results/grid")
    folder = chain / f"results/grid/models/{name}"
    if not folder.exists():
        name = next(m for m in experiment.models("pruned").model)
        folder = chain / f"results/grid/models/{name}"
    assert main(["export", str(folder), "--to", str(tmp_path / "out"), "--onnx"]) == 0
    assert "differ from the model's by at most" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        *("network.py", "weights.safetensors", "model.onnx"),
    }
    logits = tmp_path / "logits.pt"
    command = [sys.executable, "-c", ALONE, str(tmp_path / "out"), str(logits)]
    subprocess.run(command, check=True)
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8)
    expected = experiment.load(name)(images)
    torch.testing.assert_close(torch.load(logits), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["cnn", "resnet9", "resnet20", "speednet"])
def test_every_built_in_network_becomes_a_file(name: str) -> None:
    network = build(name, 4, 10, [0.5] * 3, [0.2] * 3, seed=1).eval()
    page = source.source(network, "A network.", (3, 32, 32), 10)
    assert "skeletons" not in page
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert source.check(page, network, images) < 1e-4


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] if x.sum() > 0 else x.flatten(1)[:, 10:20]


def test_a_network_that_branches_on_its_input_is_refused() -> None:
    with pytest.raises(ExportError, match="does not branch on its input"):
        source.source(nn.Sequential(Branching()), "", (3, 32, 32), 10)


def test_a_file_that_computes_something_else_is_refused() -> None:
    network = build("cnn", 2, 10, [0.5] * 3, [0.2] * 3, seed=1).eval()
    page = source.source(network, "", (3, 32, 32), 10).replace("nn.ReLU()", "nn.Tanh()", 1)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with pytest.raises(DifferenceError, match="nothing was written"):
        source.check(page, network, images)


def test_the_folder_of_a_model_in_another_state_is_refused(
    chain: Workflow, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model as it was cut or exposed has the name of the model, but is another one."""
    folder = tmp_path / "results/grid"
    shutil.copytree(chain / "results/grid", folder)
    shutil.copytree(folder / "models/seed=1", folder / "cut/seed=1")
    assert main(["export", str(folder / "cut/seed=1"), "--to", str(tmp_path / "out")]) == 1
    assert (
        "cut/seed=1 is not a model; allowed: a model id or its folder." in capsys.readouterr().err
    )
    assert not (tmp_path / "out").exists()


def test_what_is_not_a_model_is_refused(capsys: pytest.CaptureFixture[Any], tmp_path: Path) -> None:
    assert main(["export", str(tmp_path), "--to", str(tmp_path / "out")]) == 1
    assert str(tmp_path) in capsys.readouterr().err
