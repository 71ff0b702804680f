"""Networks of torchvision and timm: made by name, trained, pruned and compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CHAIN, SCIENCE, SHOWN, Workflow
from safetensors.torch import save_file
from torch import Tensor, nn

from skeletons.config.load import load
from skeletons.errors import ConfigError
from skeletons.networks import library
from skeletons.networks.build import build, rebuild
from skeletons.networks.describe import describe, prunable
from skeletons.networks.tensors import put, tensors
from skeletons.prediction import features, inference
from skeletons.pruning import prune_stage
from skeletons.store import artifacts
from skeletons.training.base import train_base_stage
from skeletons.training.job import tensors_of
from skeletons.training.walk import regularize_stage
from skeletons.user_code import packages
from skeletons.workflow.plan import Plan

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}
NETWORKS: dict[str, dict[str, Any]] = {
    "torchvision:resnet18": {},
    "torchvision:mobilenet_v3_small": {"dropout": 0.5},
    "timm:vit_tiny_patch16_224": VIT,
}
BASE = {
    "epochs": 1,
    "batch_size": 16,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "warmup": 0.2,
    "augment": {"flip": False, "shift": 0, "cutout": 0},
}
WALK = {
    "optimizer": "adam",
    "penalty": "subgradient",
    "learning_rate": 1e-3,
    "momentum": 0.9,
    "batch_size": 16,
    "trace": 0,
    "augment": {"flip": False, "shift": 0, "cutout": 0},
}
MEAN, STD = [0.5] * 3, [0.2] * 3


def made(name: str, **more: Any) -> nn.Sequential:
    return build(name, None, 4, MEAN, STD, **more)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty drawn images of four colours."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    found = {}
    for split in ("train", "test"):
        labels = np.arange(40) % 4
        pixels = draw.integers(0, 120, (40, 3, 32, 32)) + 40 * labels[:, None, None, None] // 2
        found |= {f"{split}_images": pixels.astype(np.uint8), f"{split}_labels": labels}
    artifacts.write_tensors(folder / "images.safetensors", found)
    about = {"classes": ["a", "b", "c", "d"], "mean": MEAN, "std": STD}
    artifacts.write_json(folder / "info.json", about)
    return folder


def trained(folder: Path, dataset: Path, network: dict[str, Any]) -> dict[str, str]:
    names = {"weights": "w.safetensors", "history": "h.parquet", "summary": "m.json"}
    files = {key: str(folder / name) for key, name in names.items()}
    train_base_stage(
        dataset=str(dataset / "images.safetensors"),
        info=str(dataset / "info.json"),
        **files,
        seed=1,
        network=network,
        base=BASE,
        device="cpu",
        precision="fp32",
        threads=1,
    )
    return files


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_trained_walked_pruned_and_predicts(
    name: str, dataset: Path, tmp_path: Path
) -> None:
    network = {"name": name, "options": NETWORKS[name]}
    base = trained(tmp_path, dataset, network)
    about = artifacts.read_json(base["summary"])
    assert about["network"] == {**network, "classes": 4}
    (tmp_path / "again").mkdir()
    again = trained(tmp_path / "again", dataset, network)
    assert Path(base["weights"]).read_bytes() == Path(again["weights"]).read_bytes()
    walk = {
        key: str(tmp_path / f"walk.{key}")
        for key in ("weights", "history", "walk", "summary", "optimizer")
    }
    regularize_stage(
        dataset=str(dataset / "images.safetensors"),
        base=base["weights"],
        parent_weights=base["weights"],
        parent_summary=base["summary"],
        **walk,
        seed=1,
        l1=1e-3,
        after=0,
        epochs=1,
        regularize=WALK,
        device="cpu",
        precision="fp32",
        threads=1,
    )
    pruned, sparsity = str(tmp_path / "p.safetensors"), str(tmp_path / "sparsity.json")
    prune_stage(
        regularized=walk["weights"],
        summary=walk["summary"],
        weights=pruned,
        sparsity=sparsity,
        threshold=0.5,
        scale="layer_rms",
        criterion="magnitude",
    )
    report = artifacts.read_json(sparsity)
    assert 0.3 < report["density"] < 0.95
    assert {row["name"] for row in report["layers"]} == {
        layer["name"] for layer in about["layers"] if layer["prunable"]
    }
    products = about["flops"] - sum(layer["flops"] for layer in about["layers"])
    assert report["flops"] == products + sum(row["flops"] for row in report["layers"])
    assert (products > 0) == name.startswith("timm")
    tables = {}
    for key, weights in (("base", base["weights"]), ("pruned", pruned)):
        table = str(tmp_path / f"{key}.parquet")
        inference.predict_stage(
            weights=weights,
            summary=base["summary"],
            dataset=str(dataset / "images.safetensors"),
            predictions=table,
            images=None,
            device="cpu",
        )
        tables[key] = artifacts.read_table(table)
    assert list(tables["base"])[1:] == [f"logit_{k}" for k in range(4)]
    assert np.isfinite(tables["pruned"].to_numpy()).all()
    assert not tables["base"].equals(tables["pruned"])
    restored = inference.restore(base["weights"], about).eval()
    pixels = torch.from_numpy(artifacts.read_tensors(dataset / "images.safetensors")["test_images"])
    seen = features.penultimate(restored, pixels)
    head = [module for module in restored.modules() if isinstance(module, nn.Linear)][-1]
    found = (seen @ head.weight.T + head.bias).detach().numpy()
    np.testing.assert_allclose(tables["base"].to_numpy()[:, 1:], found, atol=1e-4)


def test_sizes_are_the_published_ones() -> None:
    """ResNet-18 of torchvision: 11,689,512 parameters with 1,000 classes."""
    about = describe(build("torchvision:resnet18", None, 1000, MEAN, STD))
    assert about["parameters"] == 11_689_512
    assert about["prunable"] == about["parameters"] - 9_600 - 1_000  # norms, and the last bias


def test_flops_are_those_that_torch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for name, options in NETWORKS.items():
        network = made(name, options=options).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, 32, 32))
        assert describe(network)["flops"] == counter.get_total_flops(), name


class Attention(nn.Module):
    """All that multiplies without a layer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 8, 8)
        self.one = nn.MultiheadAttention(8, 2, batch_first=True)
        self.other = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)
        self.out = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = self.one(x, x, x, need_weights=False)[0]
        x = self.other(x, x[..., :6], value=x[..., :4], need_weights=False)[0]
        x = torch.matmul(torch.bmm(x, x.transpose(1, 2)).softmax(-1), x)
        logits: Tensor = self.out(x.mean(1))
        return logits


def test_projections_of_attention_are_prunable_and_counted() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network = nn.Sequential(Attention()).eval()
    about = describe(network)
    names = ("in_proj_weight", "out_proj.weight")
    others = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight")
    assert [layer["name"] for layer in about["layers"] if layer["prunable"]] == [
        "0.stem.weight",
        *(f"0.one.{name}" for name in names),
        *(f"0.other.{name}" for name in others),
        "0.out.weight",
    ]
    assert set(prunable(network)) == {layer["name"] for layer in about["layers"]}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 32, 32))
    assert about["flops"] == counter.get_total_flops()


class Shared(nn.Module):
    """One layer that runs twice and has two names, and two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.twice = nn.Conv2d(4, 4, 3, padding=1)
        self.again = self.twice
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)
        self.other.weight = self.one.weight
        self.out = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.twice(self.stem(x))).mean((2, 3))
        logits: Tensor = self.out(self.other(self.one(x)))
        return logits


def test_a_shared_weight_counts_once_and_is_one_tensor() -> None:
    network = nn.Sequential(Shared())
    about = describe(network)
    flops = {layer["name"]: layer["flops"] for layer in about["layers"]}
    assert list(flops) == [f"0.{name}.weight" for name in ("stem", "twice", "one", "out")]
    assert flops["0.twice.weight"] == 2 * (2 * 4 * 4 * 9 * 1024)
    assert flops["0.one.weight"] == 2 * (2 * 4 * 4)
    assert about["prunable"] == 4 * 27 + 4 * 36 + 16 + 20
    held = tensors_of(network)
    assert not [name for name in held if name.startswith("0.again") or name == "0.other.weight"]
    pruned = {name: np.where(np.abs(v) > 0.1, v, 0) for name, v in held.items()}
    put(network, {name: torch.from_numpy(values) for name, values in pruned.items()})
    module = network[0]
    assert isinstance(module, Shared)
    assert torch.equal(module.again.weight, torch.from_numpy(pruned["0.twice.weight"]))
    assert module.other.weight is module.one.weight
    assert set(tensors(network)) == set(held)


class Functional(nn.Module):
    """A layer that is applied by a function, as in torchvision's Swin Transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(3072, 6), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.linear(x.flatten(1), self.hidden.weight, self.hidden.bias)
        logits: Tensor = self.out(nn.functional.relu(x))
        return logits


def test_a_layer_that_a_function_applies_is_counted() -> None:
    layers = describe(nn.Sequential(Functional()))["layers"]
    assert {layer["name"]: layer["flops"] for layer in layers} == {
        "0.hidden.weight": 2 * 3072 * 6,
        "0.out.weight": 2 * 6 * 5,
    }
    assert all(layer["prunable"] for layer in layers)


# --- names and options ----------------------------------------------------------------------------


def test_the_names_are_those_that_the_packages_list() -> None:
    import timm
    from torchvision import models

    assert packages.networks_of("torchvision") == set(models.list_models(module=models))
    assert packages.networks_of("timm") == set(timm.list_models())


def problem(**network: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load({"network": network})
    return str(caught.value)


def test_a_package_that_is_not_installed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    packages.networks_of.cache_clear()
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    said = problem(name="timm:resnet18")
    packages.networks_of.cache_clear()
    assert said == (
        "network.name: found 'timm:resnet18', but timm is not installed; allowed: a built-in "
        "network, or pip install 'skeletons-on-rashomon-ridge[timm]', or make env, which installs "
        "it."
    )


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "torchvision:resnet18",
            {"depth": 3},
            "network.options: found depth, with which 'torchvis",
        ),
        (
            "timm:vit_tiny_patch16_224",
            {"img_size": 64},
            "which failed on the images of the data set (AssertionEr",
        ),
        ("torchvision:vit_b_16", {"image_size": 16}, "which failed on the images of the data set"),
    ],
)
def test_what_cannot_be_made_is_a_sentence(
    name: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        made(name, options=options)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("torchvision:vit_b_32", (3, 64, 64)),
        ("timm:vit_tiny_patch16_224", (1, 48, 48)),
        ("timm:resnet10t", (1, 32, 32)),
    ],
)
def test_a_network_is_made_for_the_images(name: str, shape: tuple[int, int, int]) -> None:
    channels = shape[0]
    unit = ([0.0] * channels, [1.0] * channels)
    network = build(name, None, 4, *unit, image_shape=shape).eval()
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8)
    assert network(images).shape == (2, 4)
    about = {"name": name, "classes": 4, "image_shape": list(shape)}
    assert describe(rebuild(about)) == describe(network)


def test_pretrained_weights_are_fitted_to_grey_images(tmp_path: Path) -> None:
    name, path = "timm:resnet10t", str(tmp_path / "weights.pt")
    donor = library.create(name, 4, {})
    torch.save(donor.state_dict(), path)
    grey = build(name, None, 4, [0.5], [0.2], weights=path, image_shape=(1, 32, 32))
    filters, given = (m.state_dict()["conv1.0.weight"] for m in (grey.get_submodule("body"), donor))
    torch.testing.assert_close(filters, given.sum(1, keepdim=True))
    mean = grey.get_buffer("standardize.mean").flatten() / 255
    assert mean.tolist() == pytest.approx([(0.485 + 0.456 + 0.406) / 3])


def test_the_seed_decides_the_initial_weights() -> None:
    for name, options in NETWORKS.items():
        torch.manual_seed(7)
        one, two, other = (
            made(name, options=options, seed=seed).state_dict() for seed in (0, 0, 1)
        )
        assert all(torch.equal(one[key], two[key]) for key in one)
        assert not all(torch.equal(one[key], other[key]) for key in one)


# --- pretrained weights ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_weights_of_a_file_are_loaded_but_for_the_last_layer(
    name: str, ending: str, tmp_path: Path
) -> None:
    options = NETWORKS[name]
    donor = library.create(name, 9, options)
    path = str(tmp_path / f"weights.{ending}")
    if ending == "pt":
        wrapped = {f"module.{key}": value for key, value in donor.state_dict().items()}
        torch.save({"state_dict": wrapped, "epoch": 3}, path)
    else:
        save_file({k: v.contiguous() for k, v in donor.state_dict().items()}, path)
    network = made(name, options=options, weights=path)
    again = made(name, options=options, weights=path)
    own, given = network.get_submodule("body").state_dict(), donor.state_dict()
    fresh = again.get_submodule("body").state_dict()
    head = {key for key in own if own[key].shape != given[key].shape}
    assert len(head) == 2
    assert all(torch.equal(own[key], given[key]) for key in set(own) - head)
    assert all(torch.equal(own[key], fresh[key]) for key in head), "the head is drawn by the seed"
    mean = (network.get_buffer("standardize.mean") / 255).flatten().tolist()
    wanted = [0.5] * 3 if name.startswith("timm") else [0.485, 0.456, 0.406]
    assert mean == pytest.approx(wanted)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_last_layer_of_the_same_classes_is_loaded(name: str, tmp_path: Path) -> None:
    donor, path = library.create(name, 4, NETWORKS[name]), str(tmp_path / "weights.pt")
    torch.save(donor.state_dict(), path)
    body = made(name, options=NETWORKS[name], weights=path).get_submodule("body")
    given = donor.state_dict()
    assert all(torch.equal(value, given[key]) for key, value in body.state_dict().items())


def test_a_trained_model_says_which_weights_it_started_from(dataset: Path, tmp_path: Path) -> None:
    name, path = "torchvision:resnet18", str(tmp_path / "weights.pt")
    torch.save(library.create(name, 4, {}).state_dict(), path)
    network = {"name": name, "weights": path, "digest": "abc"}
    about = artifacts.read_json(trained(tmp_path, dataset, network)["summary"])["network"]
    assert about == {"name": name, "weights": "abc", "classes": 4}
    Path(path).unlink()
    assert describe(rebuild(about))["parameters"] == describe(made(name))["parameters"]


def _code(path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> Any:
            return (Path.touch, (path.with_suffix(".harm"),))

    torch.save({"conv1.weight": Harmful()}, path)


WRONG = {
    "code": (_code, "found a pickle that would run code when it is read"),
    "text": (lambda path: path.write_text("no"), "that torch and safetensors cannot read"),
    "a list": (lambda path: torch.save([1, 2], path), "found list and no state dict"),
    "NaN": (
        lambda path: torch.save({"conv1.weight": torch.full((64, 3, 7, 7), torch.nan)}, path),
        "found NaN or infinite values in 'conv1.weight'",
    ),
    "another network": (
        lambda path: torch.save(library.create("torchvision:resnet34", 4, {}).state_dict(), path),
        "which has another or an unknown tensor 'layer1.2.bn1.bias'",
    ),
    "too few": (
        lambda path: torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path),
        "which has no tensor 'bn1.bias'",
    ),
}


@pytest.mark.parametrize("row", WRONG)
def test_weights_that_do_not_fit_are_a_sentence(row: str, tmp_path: Path) -> None:
    write, sentence = WRONG[row]
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(ConfigError) as caught:
        made("torchvision:resnet18", weights=str(path))
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("network.weights: ")
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(".")
    assert not path.with_suffix(".harm").exists()


def test_a_name_of_weights_that_torchvision_has_not_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"found 'V9', which torchvision does not .* IMAGENET1K"):
        made("torchvision:resnet18", weights="V9")


def test_weights_that_cannot_be_downloaded_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet18_Weights

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", no_network)
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(OSError: no route to host\);"):
        made("torchvision:resnet18", weights="DEFAULT")


# --- in the workflow ------------------------------------------------------------------------------

SMALL = {"patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 2}
PRETRAINED: dict[str, Any] = {
    **CHAIN,
    "experiment": "pretrained",
    "network": {"name": "timm:vit_tiny_patch16_224", "options": SMALL, "weights": "models/v.pt"},
    "base": {**CHAIN["base"], "learning_rate": 0.01},
    "prune": {"thresholds": [0.2], "scale": "layer_rms"},
}
AGAIN = {
    **{"train_base": 1, "regularize": 1, "prune": 1, "predict": 5, "score": 3, "compare": 1},
    **{"similarity": 1, "scores": 1, "verdict": 1, **SHOWN},
}


def give_weights(folder: Path, seed: int) -> None:
    (folder / "models").mkdir(exist_ok=True)
    network = build(PRETRAINED["network"]["name"], None, 10, MEAN, STD, options=SMALL, seed=seed)
    torch.save(network.get_submodule("body").state_dict(), folder / "models/v.pt")


def another_option(config: dict[str, Any], _: Path) -> None:
    config["network"] = {**config["network"], "options": {**SMALL, "drop_rate": 0.1}}


# Rows of the table in docs/caching.md.
ROWS: dict[str, tuple[Callable[[dict[str, Any], Path], None], dict[str, int]]] = {
    "an option of the network changes": (another_option, {**AGAIN, "record": 1}),
    "a file of pretrained weights is replaced": (
        lambda _, folder: give_weights(folder, seed=2),
        AGAIN,
    ),
    "a file of pretrained weights is copied back, with the same content": (
        lambda _, folder: give_weights(folder, seed=1),
        {},
    ),
}


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("pretrained"))
    give_weights(made.folder, seed=1)
    assert made.jobs(PRETRAINED)["train_base"] == 1
    return made


@pytest.mark.parametrize("row", ROWS)
def test_what_a_changed_network_reruns(row: str, pretrained: Workflow, tmp_path: Path) -> None:
    change, expected = ROWS[row]
    workflow, config = pretrained.copy(tmp_path / "w"), dict(PRETRAINED)
    change(config, workflow.folder)
    assert workflow.jobs(config) == Counter(expected)
    assert workflow.planned(config) == {}


def test_a_transformer_runs_through_the_workflow_and_aligns(workflow: Workflow) -> None:
    config = {
        **SCIENCE,
        "experiment": "vit",
        "network": {"name": "timm:vit_tiny_patch16_224", "options": VIT},
        "base": {**SCIENCE["base"], "learning_rate": 0.01},
        "prune": {"thresholds": [0.2], "scale": "layer_rms"},
    }
    config["compare"] = {**SCIENCE["compare"], "weights": ["mask_overlap_aligned"]}
    result = workflow.run(config)
    assert result.returncode == 0, result.stderr
    folder = workflow / "results/vit"
    groups = artifacts.read_json(folder / "alignment/symmetries.json")["groups"]
    assert [group["blocks"] for group in groups] == [1, 3, 3, 1, 3, 3, 1]
    gains = artifacts.read_json(next((folder / "alignment").glob("seed=*.json")))
    assert gains["cosine_after"] > gains["cosine_before"]
    assert set(gains["moved"]) == {group["name"] for group in groups}
    assert (
        artifacts.read_table(folder / "weights/mask_overlap_aligned.parquet").jaccard.notna().all()
    )
    assert workflow.planned(config) == {}


QUICK: dict[str, Any] = {
    "dataset": {"kind": "shapes", "train": 20, "test": 20},
    "ood": [{"kind": "noise", "images": 20}],
    "base": {"seeds": [1, 2], "epochs": 1, "batch_size": 10, "learning_rate": 0.01},
    "regularize": {"lambdas": [1e-3], "epochs": [1], "batch_size": 10},
    "prune": {"thresholds": [0.2], "scale": "layer_rms"},
    "controls": {"orders": []},
    "compare": {"states": ["base", "pruned"]},
}


def test_a_plan_names_the_packages_of_its_networks() -> None:
    names = {"a": "torchvision:resnet18", "b": "timm:resnet10t", "c": "resnet9"}
    networks = {tag: {"name": name} for tag, name in names.items()}
    raw = {**QUICK, "experiment": "packages"}
    assert Plan(load({**raw, "networks": networks})).packages == ["timm", "torchvision"]
    assert Plan(load(raw)).packages == []


def trained_elsewhere(seed: int) -> nn.Module:
    """A ResNet-18 that somebody trains for a few steps, by torch alone."""
    torch.manual_seed(seed)
    network = library.create("torchvision:resnet18", 10, {})
    optimizer = torch.optim.SGD(network.parameters(), 0.01)
    images, labels = torch.randn(20, 3, 32, 32), torch.arange(20) % 10
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


def test_five_trained_resnets_reach_a_report_with_pruned_variants(
    workflow: Workflow, tmp_path: Path
) -> None:
    names, folder = ("alice", "bob", "carol", "dave", "erin"), tmp_path / "five"
    folder.mkdir()
    for seed, name in enumerate(names):
        torch.save(trained_elsewhere(seed).state_dict(), folder / f"{name}.pt")
    network = {"name": "torchvision:resnet18", "checkpoints": str(folder)}
    result = workflow.run({**QUICK, "experiment": "five", "network": network})
    assert result.returncode == 0, result.stdout
    results = workflow / "results/five"
    for name in names:
        given = torch.load(folder / f"{name}.pt", weights_only=True)
        made = artifacts.read_tensors(results / f"models/own={name}/weights.safetensors")
        own = {key.removeprefix("body."): tensor for key, tensor in made.items()}
        assert {key for key in own if not key.startswith("standardize.")} == set(given)
        assert all(np.array_equal(own[key], tensor.numpy()) for key, tensor in given.items())
    table = artifacts.read_table(results / "similarity/noise_images=20.parquet")
    assert len(table) == 10 * 9 // 2
    assert table.cosine_prob.notna().all()
    pruned = {f"own={name}_l1=0.001_ep=1_t=0.2" for name in names}
    assert pruned < {*table.a, *table.b}
    for model in pruned:
        density = artifacts.read_json(results / f"models/{model}/sparsity.json")["density"]
        assert 0.1 < density < 0.99
    found = artifacts.read_json(results / "findings.json")
    assert found["verdict"]["answer"].startswith("not tested: ")
    assert "5 of 5 base models have an accuracy near" in found["verdict"]["answer"]
    assert found["verdict"]["recipe"] == "λ = 0.001, 1 epoch, threshold 0.2"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "own=alice" in page


def test_networks_of_all_kinds_share_an_experiment(workflow: Workflow) -> None:
    """Widths, depths and packages, on images of a size that no package has as its default."""
    small = {key: value for key, value in VIT.items() if key != "img_size"}
    networks = {
        "wide": {"name": "cnn", "width": 8},
        "wider": {"name": "cnn", "width": 16},
        "deep": {"name": "resnet9", "width": 4},
        "r18": {"name": "torchvision:resnet18", "base": {"seeds": [1]}},
        "vit": {"name": "timm:vit_tiny_patch16_224", "options": small},
    }
    config = {
        **QUICK,
        "experiment": "kinds",
        "images": {"size": 24},
        "network": {"name": "cnn", "width": 4},
        "networks": networks,
        "compare": {
            **QUICK["compare"],
            "representations": ["linear_cka"],
            "weights": ["mask_overlap_aligned"],
        },
    }
    result = workflow.run(config)
    assert result.returncode == 0, result.stdout
    results = workflow / "results/kinds"
    noise = "noise_images=20_size=24"
    table = artifacts.read_table(results / f"similarity/{noise}.parquet")
    assert len(table) == 22 * 21 // 2
    assert table.cosine_prob.notna().all()
    features = artifacts.read_table(results / f"representations/linear_cka/{noise}.parquet")
    assert len(features) == len(table)
    masks = artifacts.read_table(results / "weights/mask_overlap_aligned.parquet")
    assert len(masks) == 5  # one for each network with two bases
    assert masks.jaccard.between(0, 1).all()
    found = artifacts.read_json(results / "findings.json")
    assert [one["title"] for one in found["networks"]] == ["network", *sorted(networks)]
    about = artifacts.read_json(results / "models/net=vit_seed=1/model.json")["network"]
    assert about["image_shape"] == [3, 24, 24]
    assert about["options"] == small
    page = (results / "report.html").read_text(encoding="utf-8")
    assert all(f"net={tag}_seed=1" in page for tag in networks)
    assert workflow.planned(config) == {}
