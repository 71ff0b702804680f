"""Networks in one grid, and trained models that users bring: from their files to the findings."""

from __future__ import annotations

import copy
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SHOWN, Workflow, ended
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from test_lineage import check

from skeletons import Experiment
from skeletons.config.load import load
from skeletons.config.networks import as_they_are, completed, setups
from skeletons.errors import CheckpointError, ConfigError, SkeletonsError
from skeletons.findings import post_claims
from skeletons.findings.page import MEASURED_ON
from skeletons.model_ids import Model
from skeletons.networks import state_dict
from skeletons.networks.build import build
from skeletons.store import artifacts, provenance
from skeletons.training import checkpoints
from skeletons.training.adopt import adopted, near_chance, order_of
from skeletons.workflow import checkpoints as brought
from skeletons.workflow.plan import Plan

LAST = {"scores": 1, "verdict": 1, **SHOWN}
NAMES = ("alice", "bob", "carol", "dave", "erin")
TINY: dict[str, Any] = {
    "experiment": "grid",
    "dataset": {"kind": "shapes", "train": 80, "test": 40},
    "ood": [{"kind": "noise", "images": 40}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "learning_rate": 0.05},
    "regularize": {"lambdas": [1e-3], "epochs": [1]},
    "prune": {"thresholds": [0.1]},
    "compare": {"states": ["base", "pruned"], "weights": ["mask_overlap_aligned"]},
    "controls": {"orders": []},
}


def body(seed: int, width: int = 2) -> dict[str, torch.Tensor]:
    """The state dict of a network that somebody trained elsewhere."""
    made = build("cnn", width, 10, [0.5] * 3, [0.2] * 3, seed=seed)
    state = made.get_submodule("body").state_dict()
    return {key: tensor.contiguous() for key, tensor in state.items()}


def saved(folder: Path) -> dict[str, str]:
    """Two models, each in a file of its own kind."""
    folder.mkdir(exist_ok=True)
    wrapped = {"epoch": 3, "state_dict": {f"module.{k}": t for k, t in body(7).items()}}
    torch.save(wrapped, folder / "alice.pt")
    save_file(body(8), folder / "bob.safetensors")
    return {"alice": str(folder / "alice.pt"), "bob": str(folder / "bob.safetensors")}


def several(folder: Path) -> dict[str, Any]:
    networks = {
        "wide": {"name": "cnn", "width": 4, "base": {"seeds": [1, 2, 3], "learning_rate": 0.1}},
        "mine": {"name": "cnn", "width": 2, "checkpoints": saved(folder)},
    }
    return {**TINY, "networks": networks}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the trained models, at a place that does not depend on the worker."""
    folder = tmp_path_factory.getbasetemp().parent / "brought"
    saved(folder)
    return folder


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory, files: Path) -> Workflow:
    return ended(tmp_path_factory, "networks", several(files))


# --- the workflow ---------------------------------------------------------------------------------


def test_a_brought_model_has_the_weights_of_its_file(networks: Workflow, files: Path) -> None:
    for name, seed in (("alice", 7), ("bob", 8)):
        folder = networks / f"results/grid/models/net=mine_own={name}"
        made = load_file(folder / "weights.safetensors")
        own = {key: tensor for key, tensor in made.items() if key.startswith("body.")}
        assert own.keys() == {f"body.{key}" for key in body(seed)}
        assert all(torch.equal(own[f"body.{key}"], tensor) for key, tensor in body(seed).items())
        assert not (folder / "history.parquet").exists()


def test_models_of_all_networks_are_compared_and_masks_within_one(networks: Workflow) -> None:
    results = networks / "results/grid"
    table = artifacts.read_table(results / "similarity/noise_images=40.parquet")
    assert len(table) == 14 * 13 // 2
    assert {"net=mine_own=alice", "net=wide_seed=3", "seed=1"} <= {*table.a, *table.b}
    order = [Model.parse(name).sort_key for name in dict.fromkeys([*table.a, *table.b])]
    assert order == sorted(order)
    overlaps = artifacts.read_table(results / "weights/mask_overlap_aligned.parquet")
    nets = {
        (Model.parse(a).net, Model.parse(b).net)
        for a, b in zip(overlaps.a, overlaps.b, strict=True)
    }
    assert nets == {(tag, tag) for tag in (None, "mine", "wide")}


def test_every_network_has_its_own_verdict_and_settings(networks: Workflow) -> None:
    results = networks / "results/grid"
    found = artifacts.read_json(results / "findings.json")
    assert [one["title"] for one in found["networks"]] == ["network", "mine", "wide"]
    assert [len(one["bases"]) for one in found["networks"]] == [2, 2, 3]
    rows = found["between"]["noise_images=40"]["kappa"]
    assert {(row["a"], row["b"]) for row in rows if row["state"] == "base"} == {
        *(("mine", "mine"), ("mine", "network"), ("mine", "wide")),
        *(("network", "network"), ("network", "wide"), ("wide", "wide")),
    }
    made = artifacts.read_seal(results / "models/net=wide_seed=1/weights.safetensors")
    assert made is not None
    assert made["made"]["settings"]["base"]["learning_rate"] == 0.1
    words = (results / "findings.md").read_text(encoding="utf-8")
    for explained in (MEASURED_ON, post_claims.METHOD):
        assert words.count(explained) == 1, "explanations stand once, not once per network"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "net=wide_seed=3" in page
    for title in ("network", "mine", "wide"):
        assert f"{title}: Do models of different bases converge?" in page


def test_figures_from_python_are_of_one_network(networks: Workflow) -> None:
    experiment = Experiment(networks / "results/grid")
    for figure in ("cross_base", "kinds_of_pairs", "rises", "similarity_to_base"):
        with pytest.raises(SkeletonsError, match=r"several networks .*: network, mine, wide"):
            experiment.plot(figure, Figure().add_subplot())
        with pytest.raises(SkeletonsError, match="no network 'narrow' here"):
            experiment.plot(figure, Figure().add_subplot(), network="narrow")
        experiment.plot(figure, Figure().add_subplot(), network="wide")
    ax = Figure().add_subplot()
    experiment.plot("kinds_of_pairs", ax, network="wide")
    assert len(ax.collections[0].get_offsets()) == 3  # pairs of its three bases
    walked = Figure().add_subplot()
    experiment.plot("ridge_walk", walked)


def test_lineages_follow_from_the_plan(networks: Workflow, files: Path) -> None:
    check(networks.folder, several(files))


REPLACED = "a trained model of yours is replaced"
CHANGES: dict[str, tuple[Callable[[dict[str, Any]], None], dict[str, int]]] = {
    "networks are reordered": (
        lambda config: config.update(networks=dict(reversed(config["networks"].items()))),
        {},
    ),
    "a network is added": (
        lambda config: config["networks"].update(more={"name": "cnn", "width": 3}),
        {
            **{"train_base": 2, "regularize": 2, "prune": 2, "predict": 10, "score": 6},
            **{"compare": 4 * 14 + 6, "symmetries": 1, "align": 1, "compare_masks": 1},
            **{"similarity": 1, "weights": 1, "heatmap_of_masks": 1, "record": 1, **LAST},
        },
    ),
    "a network is removed": (
        lambda config: config["networks"].pop("wide"),
        {"similarity": 1, "weights": 1, "heatmap_of_masks": 1, "record": 1, **LAST},
    ),
    "a network's own setting is changed": (
        lambda config: config["networks"]["wide"].update(prune={"scale": "layer_rms"}),
        {
            **{"prune": 3, "predict": 6, "score": 3, "compare": 3 * 11 + 3, "compare_masks": 3},
            **{"similarity": 1, "weights": 1, "heatmap_of_masks": 1, "record": 1, **LAST},
        },
    ),
}


ROWS = [*CHANGES, REPLACED]


@pytest.mark.parametrize("row", CHANGES)
def test_a_change_of_one_network_recomputes_nothing_of_the_others(
    row: str, networks: Workflow, files: Path, tmp_path: Path
) -> None:
    change, expected = CHANGES[row]
    config = copy.deepcopy(several(files))
    change(config)
    assert networks.copy(tmp_path / "copy").planned(config) == expected


def test_a_replaced_file_is_noticed_and_only_its_models_are_made_again(
    networks: Workflow, files: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own"
    config = several(own)
    workflow = networks.copy(tmp_path / "copy")
    assert workflow.planned(config)["train_base"] == 0  # moved, with the same content
    save_file(body(9), own / "bob.safetensors")
    jobs = workflow.planned(config)
    assert (jobs["adopt"], jobs["regularize"], jobs["train_base"]) == (2, 2, 0)


def test_five_files_and_a_short_configuration_reach_a_report(
    workflow: Workflow, tmp_path: Path
) -> None:
    folder = tmp_path / "five"
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        torch.save(body(seed), folder / f"{name}.pt")
    config = {
        "experiment": "mine",
        "dataset": {"kind": "shapes", "train": 40, "test": 40},
        "ood": [{"kind": "noise", "images": 40}],
        "network": {"name": "cnn", "width": 2, "checkpoints": str(folder)},
    }
    done = workflow.run(config)
    assert done.returncode == 0, done.stdout
    jobs = {
        rule for rule in ("train_base", "regularize", "prune") if f"{rule} begins" in done.stdout
    }
    assert not jobs
    found = json.loads((workflow / "results/mine/findings.json").read_text())
    assert [base["model"] for base in found["bases"]] == [f"own={name}" for name in NAMES]
    assert found["pairs"] == 10
    assert found["verdict"]["answer"].startswith("not tested")
    page = (workflow / "results/mine/findings.md").read_text(encoding="utf-8")
    assert "5 of 5 base models have an accuracy near chance" in page
    assert "miss `base.target`" not in page
    log = (workflow / "logs/mine/adopt/own=alice.log").read_text()
    assert "near chance" in log
    assert "standardisation" in log


STRIDED = """
from torch import nn

def build(width, classes, image_shape=(3, 32, 32)):
    channels, side, _ = image_shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, 2, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 2, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(width * (side // 4) ** 2, classes),
    )
"""


def of_size(side: int, channels: int, folder: Path) -> dict[str, Any]:
    """Networks of each kind for images of a size, each with two trained models."""
    kinds: dict[str, dict[str, Any]] = {
        "cnn": {"name": "cnn", "width": 2},
        "mine": {"name": "mine.py:build", "width": 3},
        "package": {"name": "timm:resnet10t"},
    }
    if channels == 3:
        kinds["r18"] = {"name": "torchvision:resnet18"}
    unit = ([0.5] * channels, [0.2] * channels)
    for tag, about in kinds.items():
        (folder / tag).mkdir(parents=True)
        shape = (channels, side, side)
        for seed in (1, 2):
            parts = (about["name"], about.get("width"), 10)
            network = build(*parts, *unit, seed=seed, image_shape=shape)
            state = network.get_submodule("body").state_dict()
            torch.save(state, folder / f"{tag}/m{seed}.pt")
        about["checkpoints"] = str(folder / tag)
        if channels != 3:
            about["channels"] = channels
    return kinds


@pytest.mark.parametrize(("side", "channels"), [(48, 3), (28, 1)])
def test_trained_models_take_images_of_any_size(
    side: int, channels: int, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are compared, walked on and pruned; their weights and images are as given."""
    (workflow / "mine.py").write_text(STRIDED)
    monkeypatch.chdir(workflow.folder)
    networks = of_size(side, channels, workflow / "given")
    config = {
        **TINY,
        "images": {"size": side},
        "network": None,
        "networks": networks,
        "compare": {"states": ["base", "pruned"], "representations": ["linear_cka"]},
    }
    done = workflow.run(config)
    assert done.returncode == 0, done.stdout
    results = workflow / "results/grid"
    for tag in networks:
        given = torch.load(workflow / f"given/{tag}/m1.pt", weights_only=True)
        made = load_file(results / f"models/net={tag}_own=m1/weights.safetensors")
        assert all(torch.equal(made[f"body.{key}"], tensor) for key, tensor in given.items())
        about = artifacts.read_json(results / f"models/net={tag}_own=m1/model.json")["network"]
        assert about["image_shape"] == [channels, side, side]
    (table,) = (results / "similarity").glob("noise_*.parquet")
    pairs = artifacts.read_table(table)
    count = 4 * len(networks)
    assert len(pairs) == count * (count - 1) // 2
    # A network that was never trained may answer every image alike, once its weights shrink.
    assert (pairs.cosine_prob.notna() == (pairs.reason == "")).all()
    assert set(pairs.a[pairs.reason == ""]) >= {f"net={tag}_own=m1" for tag in ("cnn", "mine")}
    assert workflow.planned(config) == {}


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ((3, 48, 48), "the file fits network {name: cnn, width: 2} with images: {size: 48}."),
        ((1, 32, 32), "the file fits network {name: cnn, width: 2, channels: 1}."),
    ],
)
def test_weights_for_images_of_another_kind_say_for_which(
    shape: tuple[int, int, int], sentence: str, tmp_path: Path
) -> None:
    unit = ([0.5] * shape[0], [0.2] * shape[0])
    network = build("cnn", 2, 10, *unit, image_shape=shape)
    torch.save(network.get_submodule("body").state_dict(), tmp_path / "m.pt")
    about = {"name": "cnn", "width": 2, "classes": 10}
    with pytest.raises(CheckpointError) as caught:
        adopted(str(tmp_path / "m.pt"), about, [0.5] * 3, [0.2] * 3)
    assert sentence in str(caught.value)
    adopted(str(tmp_path / "m.pt"), about, *unit, shape)


def test_an_accuracy_that_is_missed_stops_the_run(workflow: Workflow, files: Path) -> None:
    network = {**TINY["network"], "checkpoints": str(files), "accuracy": 0.9}
    done = workflow.run({**TINY, "network": network, "compare": {}})
    assert done.returncode != 0
    assert re.search(
        r"own=\w+: found a test accuracy of 0\.\d+; allowed: 0\.9 or more", done.stdout
    )
    assert "Traceback" not in done.stdout


# --- bad files, found before anything runs --------------------------------------------------------


class _Own:
    """An object that a pickle would make by running code."""

    def __reduce__(self) -> Any:
        return print, ("this runs when the pickle is read",)


def _nan() -> dict[str, torch.Tensor]:
    state = body(1)
    next(iter(state.values())).flatten()[0] = float("nan")
    return state


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another width": (
        lambda path: torch.save(body(1, width=4), path),
        r"has shape 4×3×3×3, not 2×3×3×3 \(and \d+ more\); allowed: a state dict of this network; "
        r"the file fits network {name: cnn, width: 4}\.",
    ),
    "other keys": (
        lambda path: torch.save({f"old.{key}": t for key, t in body(1).items()}, path),
        r"are missing and 'old\..* are left over",
    ),
    "a pickle that runs code": (
        lambda path: torch.save({"model": _Own()}, path),
        r"found a pickle that would run code",
    ),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps(_Own())),
        r"found a (pickle|file)",
    ),
    "NaN": (lambda path: torch.save(_nan(), path), r"found NaN or infinite values in"),
    "an empty file": (lambda path: path.write_bytes(b""), r"torch and safetensors cannot read"),
    "no tensors": (lambda path: torch.save({"epoch": 3}, path), r"'epoch' and no state dict"),
    "a list": (lambda path: torch.save([1, 2], path), r"found list and no state dict"),
}


@pytest.mark.parametrize("row", BAD)
def test_a_bad_file_is_one_sentence(row: str, tmp_path: Path) -> None:
    write, sentence = BAD[row]
    path = tmp_path / "bad.pt"
    write(path)
    about = {"name": "cnn", "width": 2, "classes": 10}
    with pytest.raises(CheckpointError, match=sentence) as caught:
        adopted(str(path), about, [0.5] * 3, [0.2] * 3)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_bytes_of_a_known_file_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    network = {**TINY["network"], "checkpoints": saved(tmp_path / "files")}
    plan = Plan(load({**TINY, "network": network}))
    brought.check(plan)
    monkeypatch.setattr(provenance, "file_digest", None)
    again = Plan(load({**TINY, "network": network}))
    assert again.digests == plan.digests
    brought.check(again)


def test_a_bad_file_is_found_before_anything_runs(workflow: Workflow, tmp_path: Path) -> None:
    torch.save({f"old.{key}": t for key, t in body(1).items()}, tmp_path / "bad.pt")
    network = {**TINY["network"], "checkpoints": {"x": str(tmp_path / "bad.pt")}}
    done = workflow.run({**TINY, "network": network, "compare": {}}, "--dry-run")
    assert done.returncode != 0
    assert "network.checkpoints: " in done.stdout
    assert "left over" in done.stdout
    assert "Job stats" not in done.stdout
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"networks": {"a_b": {}}},
            "networks: found the key 'a_b'; allowed: keys of letters, digits",
        ),
        ({"networks": {"a": {"base": {"epochs": 0}}}}, "networks.a.base.epochs: found 0"),
        ({"network": None}, "network: found nothing, and networks is empty"),
        ({"network": {"checkpoints": "none"}}, "network.checkpoints: found 'none', which is not a"),
        ({"network": {"checkpoints": {}}}, "network.checkpoints: found an empty mapping"),
        (
            {"network": {"checkpoints": {"a": "no.pt"}}},
            "checkpoints.a: found 'no.pt', which is not",
        ),
        ({"network": {"checkpoints": {"a": "setup.txt"}}}, "ends in .pt, .pth, .bin and"),
        ({"network": {"checkpoints": {"a--b": "m.pt"}}}, "found the name 'a--b'"),
        (
            {"network": {"checkpoints": {"a_untrained": "m.pt"}}},
            "not ending in '-' or '_untrained'",
        ),
        ({"network": {"checkpoints": {"a-": "m.pt"}}}, "found the name 'a-'"),
        ({"network": {"mean": [0.5] * 3}}, "network.mean: found a value, but there are no"),
        ({"network": {"checkpoints": {"a": "m.pt"}, "mean": [0.5] * 3}}, "network.std: found noth"),
    ],
)
def test_what_is_wrong_in_the_configuration_is_one_sentence(
    change: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("m.pt", "setup.txt"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError) as caught:
        load({**TINY, **change})
    assert sentence in str(caught.value)


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, *state_dict.WRAPPERS])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes_are_seen_through(
    key: str | None, prefix: str, tmp_path: Path
) -> None:
    state = {f"{prefix}{name}": tensor for name, tensor in body(1).items()}
    torch.save(state if key is None else {key: state, "epoch": 1}, tmp_path / "m.pt")
    found = state_dict.read(tmp_path / "m.pt")
    assert found.keys() == body(1).keys()


def test_half_precision_becomes_single(tmp_path: Path) -> None:
    save_file({key: tensor.half() for key, tensor in body(1).items()}, tmp_path / "m.safetensors")
    assert {t.dtype for t in state_dict.read(tmp_path / "m.safetensors").values()} == {torch.float}


def test_files_of_this_package_bring_their_standardisation() -> None:
    network = build("cnn", 2, 10, [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    found = checkpoints.standardization(network.state_dict())
    assert found is not None
    assert found[0] == pytest.approx([0.1, 0.2, 0.3])
    assert found[1] == pytest.approx([0.4, 0.5, 0.6])


def test_outputs_are_brought_to_the_order_of_the_classes() -> None:
    order = order_of(["dog", "cat", "bird"], ["cat", "dog"])
    assert order == [1, 0]
    plain = build("cnn", 2, 3, [0.5] * 3, [0.2] * 3, seed=1)
    chosen = build("cnn", 2, 3, [0.5] * 3, [0.2] * 3, seed=1, order=order)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(chosen(images), plain(images)[:, [1, 0]])
    assert chosen.state_dict().keys() == plain.state_dict().keys()
    with pytest.raises(CheckpointError, match="found no 'fish'"):
        order_of(["dog", "cat"], ["cat", "fish"])


@pytest.mark.parametrize(
    ("accuracy", "classes", "near"),
    [(0.1, 10, True), (0.18, 10, True), (0.2, 10, False), (0.5, 2, True), (0.6, 2, False)],
)
def test_near_chance_depends_on_the_number_of_classes(
    accuracy: float, classes: int, near: bool
) -> None:
    assert (near_chance(accuracy, classes) is not None) == near


def test_a_network_overrides_keys_and_keeps_the_others() -> None:
    config = load({**TINY, "networks": {"wide": {"width": 4, "base": {"learning_rate": 0.1}}}})
    plain, wide = setups(config)
    assert (wide.base.learning_rate, wide.base.epochs) == (0.1, plain.base.epochs)
    assert wide.regularize == plain.regularize
    assert wide.key == "networks.wide"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"a": 0, "b": 1, "c": 0}),
        ({"regularize": {"lambdas": [1e-5, 2e-5]}}, {"a": 2, "b": 1, "c": 0}),
    ],
)
def test_trained_models_walk_only_if_it_is_asked_for(
    own: dict[str, Any], expected: dict[str, int]
) -> None:
    """Whatever the other networks are."""
    networks = {
        "a": {"name": "cnn", "checkpoints": {"x": "x.pt"}, **own},
        "b": {"name": "cnn"},
        "c": {"name": "cnn", "checkpoints": {"x": "x.pt"}},
    }
    raw = {"network": {"name": "cnn"}, "networks": networks, "regularize": {"lambdas": [1e-4]}}
    found = completed({**raw, **as_they_are(raw)})
    walks = {
        tag: one.get("regularize", raw["regularize"]) for tag, one in found["networks"].items()
    }
    assert {tag: len(one["lambdas"]) for tag, one in walks.items()} == expected
    brought = {**raw, "network": {"name": "cnn", "checkpoints": "folder"}}
    found = completed({**brought, **as_they_are(brought)})
    assert found["regularize"]["lambdas"] == []
    assert found["networks"]["b"]["regularize"]["lambdas"] == [1e-4]


def test_ids_do_not_depend_on_the_order_of_networks() -> None:
    tags = {tag: {"width": 3} for tag in ("b", "a")}
    one = Plan(load({**TINY, "networks": tags}))
    other = Plan(load({**TINY, "networks": dict(reversed(tags.items()))}))
    assert one.models == other.models
    assert one.pairs == other.pairs


def test_the_unnamed_network_can_be_left_out() -> None:
    plan = Plan(load({**TINY, "network": None, "networks": {"a": {"width": 3}}}))
    assert {model.net for model in plan.models} == {"a"}
    assert str(plan.bases[0]) == "net=a_seed=1"
