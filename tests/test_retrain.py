"""Retraining after pruning: what was pruned stays zero to the bit, and the rest is trained on."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from colours import PLAIN, images
from conftest import CHAIN, Workflow, ended
from test_lineage import check
from torch import nn

from skeletons import Experiment, pruning, unit_masks
from skeletons.config.load import load
from skeletons.measures import magnitude_masks, masks
from skeletons.model_ids import Model
from skeletons.networks.build import build
from skeletons.networks.describe import describe, prunable
from skeletons.networks.tensors import put
from skeletons.store import artifacts, provenance
from skeletons.store.provenance import Recipe
from skeletons.training import optimizers, resume, retrain
from skeletons.training.job import tensors_of
from skeletons.training.ranks import scores_of
from skeletons.training.retrain import Mask, judged
from skeletons.training.ridge import Gauge
from skeletons.training.settings import RegularizeSettings
from skeletons.workflow.hooks import Hooks
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets

WALK = Model(3, l1=1e-3, epochs=2)
AUGMENT = {"flip": True, "shift": 2, "cutout": 8}
RETRAINED: dict[str, Any] = {
    **CHAIN,
    "prune": {"thresholds": [0.05], "densities": [0.3], "retrain": 2},
    "controls": {"orders": [], "random": [1]},
    "compute": {"precision": "fp32"},
}
PRUNED = "seed=1_l1=0.0001_ep=1_d=0.3"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def settings(optimizer: str = "sgd", rate: float = 0.01, **changes: Any) -> RegularizeSettings:
    values = {"augment": PLAIN, "batch_size": 20} | changes
    return RegularizeSettings(
        optimizer=optimizer,
        penalty="subgradient",
        learning_rate=rate,
        momentum=0.9,
        trace=0,
        **values,
    )


def cut(name: str, density: float = 0.3) -> nn.Sequential:
    """A network pruned to a density."""
    network = build(name, 4, 3, [0.3] * 3, [0.2] * 3, seed=1)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():  # speednet begins with many zeros
        for weight in prunable(network).values():
            weight += 0.02 * torch.randn(weight.shape, generator=draw)
    scores = {k: v.numpy() for k, v in scores_of(network, images(), "magnitude").items()}
    layers = describe(network)["layers"]
    tensors, _ = pruning.prune_to_density(tensors_of(network), layers, density, "magnitude", scores)
    put(network, {key: torch.from_numpy(value) for key, value in tensors.items()})
    return network


def zeros(network: nn.Module) -> dict[str, Any]:
    return {name: (w == 0).numpy() for name, w in prunable(network).items()}


@pytest.mark.parametrize("name", ["cnn", "resnet9", "resnet20", "speednet"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_pruned_weights_stay_zero_and_all_others_are_trained(name: str, optimizer: str) -> None:
    network = cut(name)
    before = zeros(network)
    start = {key: value.copy() for key, value in tensors_of(network).items()}
    kept = sum(int((~gone).sum()) for gone in before.values())
    size = sum(gone.size for gone in before.values())
    assert kept == round(0.3 * size)  # to the weight
    rows = retrain.retrain(network, images(), images(48, 1), WALK, 3, settings(optimizer), "bf16")
    after = zeros(network)
    assert all(np.array_equal(before[key], after[key]) for key in before)
    signs = [np.signbit(w.detach().numpy()[before[key]]) for key, w in prunable(network).items()]
    assert not any(sign.any() for sign in signs)  # +0, also where a weight was negative
    moved = {key: (start[key] != value).mean() for key, value in tensors_of(network).items()}
    assert all(moved[key] > 0.5 * (~gone).mean() for key, gone in before.items())
    if name != "cnn":  # statistics of batch norm follow
        assert all(share == 1 for key, share in moved.items() if key.endswith("running_var"))
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_the_mask_holds_whatever_moves_the_weights() -> None:
    """Momentum from before, and decay: here the weights are moved by hand."""
    network = cut("cnn")
    before, mask = zeros(network), Mask(network)
    with torch.no_grad():
        for weight in prunable(network).values():
            weight.add_(torch.randn_like(weight))
    mask.hold()
    assert all(np.array_equal(before[key], gone) for key, gone in zeros(network).items())


def test_the_rate_falls_from_its_peak_to_nearly_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []
    original = optimizers.PlainSGD.step

    def step(self: Any, *arguments: Any, **keywords: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return original(self, *arguments, **keywords)

    monkeypatch.setattr(optimizers.PlainSGD, "step", step)
    retrain.retrain(cut("cnn"), images(), images(48, 1), WALK, 2, settings(rate=0.02), "fp32")
    assert len(rates) == 10
    assert rates[0] == 0.02
    assert np.allclose(np.diff(rates[1:]), np.diff(rates[1:])[0])  # linear
    assert 0 < rates[-1] <= 0.02 / 9


def test_the_images_come_in_the_order_of_the_walk() -> None:
    """So a random control sees what its pruned model sees, and another walk's model does not."""
    ends = []
    for walk in (WALK, WALK, Model(3, l1=2e-3, epochs=2), Model(3, l1=1e-3, epochs=1)):
        network = cut("cnn")
        retrain.retrain(network, images(), images(48, 1), walk, 1, settings(), "fp32")
        ends.append(tensors_of(network)["body.0.weight"])
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], ends[2])
    assert not np.array_equal(ends[0], ends[3])


def test_a_model_is_judged_by_its_rise_above_the_base() -> None:
    base, network, train = build("cnn", 4, 3, [0.3] * 3, [0.2] * 3, seed=1), cut("cnn"), images()
    found = judged(network, Gauge(base, train, "fp32"), train)

    def losses(net: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            logits = net.eval()(train.pixels).double()
        return nn.functional.cross_entropy(logits, train.labels, reduction="none")

    assert found["train_loss"] == pytest.approx(float(losses(network).mean()), abs=1e-6)
    assert found["rise"] == pytest.approx(float((losses(network) - losses(base)).mean()), abs=1e-6)
    assert found["bound"] == found["rise"]  # all images were measured, so nothing is uncertain


# --- the stage ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a retraining reads."""
    folder = tmp_path_factory.mktemp("retrain")
    train, test = images(), images(48, 1)
    artifacts.write_tensors(
        folder / "images.safetensors",
        {
            "train_images": train.pixels.numpy(),
            "train_labels": train.labels.numpy(),
            "test_images": test.pixels.numpy(),
            "test_labels": test.labels.numpy(),
        },
    )
    network = build("resnet9", 2, 3, [0.3] * 3, [0.2] * 3, seed=1)
    about = {
        "network": {"name": "resnet9", "width": 2, "classes": 3},
        **describe(network),
    }
    artifacts.write_json(folder / "model.json", about)
    artifacts.write_tensors(folder / "base.safetensors", tensors_of(network))
    pruned, report = pruning.prune(tensors_of(network), about["layers"], 0.3, "layer_rms")
    artifacts.write_tensors(folder / "cut.safetensors", pruned)
    artifacts.write_json(folder / "sparsity.json", report)
    return folder


def run_stage(results: Path, data: Path, optimizer: str = "sgd") -> dict[str, bytes]:
    """Retrain as a job does; the bytes of its files."""
    name = "seed=3_l1=0.001_ep=2_t=0.3"
    folder = results / "models" / name
    about = {"epochs": 4, "regularize": vars(settings(optimizer, augment=AUGMENT))}
    recipe = Recipe("retrain", {**about, "device": "cpu"}, "code", {}, {}, 1, provenance.versions())
    with provenance.making(recipe):
        retrain.retrain_stage(
            cut=str(data / "cut.safetensors"),
            cut_sparsity=str(data / "sparsity.json"),
            summary=str(data / "model.json"),
            base=str(data / "base.safetensors"),
            dataset=str(data / "images.safetensors"),
            weights=str(folder / "weights.safetensors"),
            sparsity=str(folder / "sparsity.json"),
            history=str(folder / "history.parquet"),
            model=name,
            **about,
            device="cpu",
            precision="fp32",
            threads=1,
        )
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class StoppedError(Exception):
    """What interrupts a retraining."""


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_retraining_interrupted_twice_ends_in_the_same_bytes(
    tmp_path: Path, data: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(resume, "FREE", 1e9)
    undisturbed = run_stage(tmp_path / "results/a", data, optimizer)
    results, original = tmp_path / "results/b", retrain.run_epoch
    for epoch in (3, 2):
        begun = 0

        def run_epoch(*arguments: Any, **keywords: Any) -> None:
            nonlocal begun
            begun += 1
            original(*arguments, **keywords)
            if begun == epoch:  # noqa: B023 - called within this turn of the loop
                raise StoppedError

        monkeypatch.setattr(retrain, "run_epoch", run_epoch)
        with pytest.raises(StoppedError):
            run_stage(results, data, optimizer)
    monkeypatch.setattr(retrain, "run_epoch", original)
    capsys.readouterr()
    assert run_stage(results, data, optimizer) == undisturbed
    assert "Resumed after epoch 3 of 4." in capsys.readouterr().out
    report = artifacts.read_json(
        results / "models/seed=3_l1=0.001_ep=2_t=0.3/sparsity.json", ["retrained"]
    )
    assert report["retrained"]["epochs"] == 4
    assert report["kept"] == artifacts.read_json(data / "sparsity.json", ["kept"])["kept"]


# --- the workflow ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return ended(tmp_path_factory, "retrained", RETRAINED)


def test_every_pruned_model_and_control_is_retrained(retrained: Workflow) -> None:
    results = retrained / "results/grid"
    names = sorted(path.name for path in (results / "cut").iterdir())
    walk = "seed=1_l1=0.0001_ep=1"
    assert names == [
        f"{walk}_d=0.3",
        f"{walk}_d=0.3_random=1",
        f"{walk}_t=0.05",
        f"{walk}_t=0.05_random=1",
    ]
    for name in names:
        before, after = (
            artifacts.read_tensors(results / folder / name / "weights.safetensors")
            for folder in ("cut", "models")
        )
        report = artifacts.read_json(results / "models" / name / "sparsity.json", ["layers"])
        layers = [row["name"] for row in report["layers"]]
        assert all(np.array_equal(before[key] == 0, after[key] == 0) for key in layers)
        assert any(not np.array_equal(before[key], after[key]) for key in layers)
        assert sum(int((after[key] != 0).sum()) for key in layers) == report["kept"]
        scores = artifacts.read_json(results / f"scores/{name}.json", ["train_loss"])
        assert scores["train_loss"] == report["retrained"]["train_loss"]
        assert scores["loss_bound"] == report["retrained"]["bound"]
    assert len(Experiment(results).history(PRUNED)) == 3
    assert "distance" in Experiment(results).history(walk)


def test_each_file_has_the_lineage_of_the_plan(retrained: Workflow) -> None:
    assert check(retrained.folder, RETRAINED) >= {"cut", "models"}
    assert (retrained / "results/grid/cut" / PRUNED / "sparsity.json").is_file()
    assert retrained.planned(RETRAINED) == {}


def test_again_from_nothing_gives_the_same_bytes(retrained: Workflow, tmp_path: Path) -> None:
    again = retrained.copy(tmp_path / "again")
    shutil.rmtree(again / "results/.cache")
    folders = [again / "results/grid/models" / PRUNED, again / "results/grid/cut" / PRUNED]
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    for folder in folders:
        shutil.rmtree(folder)
    done = again.jobs({**RETRAINED, "cache": None}, "--until", "retrain")
    assert {"retrain", "cut_to_density"} <= done.keys()
    assert {path: path.read_bytes() for path in before} == before


def test_the_plan_says_what_is_retrained_by_network() -> None:
    config = copy.deepcopy(RETRAINED)
    config["networks"] = {
        "wide": {"name": "cnn", "width": 3, "prune": {"retrain": 0}},
        "w.2": {"name": "cnn", "width": 4, "prune": {"retrain": 3, "retrain_learning_rate": 0.5}},
    }
    plan = Plan(load(config))
    targets = Targets(plan)
    files = targets.artifacts()
    for tag, is_retrained in (("", True), ("net=wide_", False), ("net=w.2_", True)):
        name = f"{tag}{PRUNED}"
        assert (f"results/grid/cut/{name}/weights.safetensors" in files) is is_retrained
        assert (f"results/grid/models/{name}/history.parquet" in files) is is_retrained
    rates = {}
    for tag in ("", "net=w.2_"):
        chosen = STAGES["retrain"].settings(plan, {"model": f"{tag}{PRUNED}"})
        rates[tag] = chosen["epochs"], chosen["regularize"]["learning_rate"]
    assert rates == {"": (2, 0.005), "net=w.2_": (3, 0.5)}


def test_networks_that_are_and_are_not_retrained_run_together(
    retrained: Workflow, tmp_path: Path
) -> None:
    workflow = retrained.copy(tmp_path / "two")
    config = {
        **RETRAINED,
        "networks": {"w.2": {"name": "cnn", "width": 3, "prune": {"retrain": 0}}},
    }
    jobs = workflow.jobs(config)
    assert jobs["prune"] == jobs["prune_to_density"] == 1
    assert jobs["prune_at_random"] == jobs["prune_at_random_to_density"] == 1
    assert "retrain" not in jobs
    assert "cut" not in jobs
    assert (workflow / f"results/grid/models/net=w.2_{PRUNED}/weights.safetensors").is_file()
    assert not (workflow / f"results/grid/cut/net=w.2_{PRUNED}").exists()


def test_whole_units_stay_away_while_models_are_retrained(
    retrained: Workflow, tmp_path: Path
) -> None:
    workflow = retrained.copy(tmp_path / "units")
    config = {
        **RETRAINED,
        "base": {**RETRAINED["base"], "seeds": [1, 2]},
        "regularize": {**RETRAINED["regularize"], "groups": "units"},
        "compare": {**RETRAINED["compare"], "weights": ["mask_overlap"]},
    }
    jobs = workflow.jobs(config)
    assert jobs["units"] == 1
    assert {jobs[rule] for rule in ("cut", "cut_at_random", "cut_at_random_to_density")} == {2}
    assert jobs["retrain"] == 8
    results = workflow / "results/grid"
    for name in (PRUNED, f"{PRUNED}_random=1"):
        cut = artifacts.read_json(results / "cut" / name / "sparsity.json", ["units"])
        report = artifacts.read_json(results / "models" / name / "sparsity.json", ["units"])
        assert report["units"] == cut["units"]
        assert report["kept"] == cut["kept"]
    assert check(workflow.folder, config) >= {"cut", "models", "units", "weights"}
    assert workflow.planned(config) == {}
    # The bases without a walk lose whole units, too.
    other = PRUNED.replace("seed=1", "seed=2")
    streams = unit_masks.read(str(results / "units/units.json"))
    controls = []
    for name in (PRUNED, other):
        pruned, base = (
            artifacts.read_tensors(results / "models" / one / "weights.safetensors")
            for one in (name, name.partition("_l1=")[0])
        )
        kept = {key: pruned[key] for key in pruned if key.endswith("weight")}
        controls.append(magnitude_masks.like(base, kept, streams))
    table = pd.read_parquet(results / f"weights/mask_overlap/{PRUNED}--{other}.parquet")
    assert table.base_jaccard[0] == masks.overlap_of(*controls, controls[0]).jaccard[0]


def test_without_retraining_again_the_cut_models_are_what_they_were(
    retrained: Workflow, tmp_path: Path
) -> None:
    workflow = retrained.copy(tmp_path / "w")
    config = {**RETRAINED, "prune": {**RETRAINED["prune"], "retrain": 0}}
    assert workflow.jobs(config)["prune_to_density"] == 1
    results = workflow / "results/grid"
    one, two = (
        artifacts.read_tensors(results / folder / PRUNED / "weights.safetensors")
        for folder in ("cut", "models")
    )
    assert all(np.array_equal(one[key], two[key]) for key in one)
    assert workflow.planned(config) == {}
    assert "distance" in Experiment(results).history(PRUNED)  # that of its walk


def test_the_time_left_knows_the_epochs(retrained: Workflow) -> None:
    hooks = object.__new__(Hooks)
    hooks._plan = Plan(load(RETRAINED))
    job: Any = SimpleNamespace(rule="retrain", wildcards={"model": PRUNED})
    assert hooks._epochs(job) == (1, 2)
    log = (retrained / f"logs/grid/retrain/{PRUNED}.log").read_text()
    assert log.count(", epoch ") == 2
    assert f"Retraining of {PRUNED}, epoch 2, training loss " in log
