"""What is known from a network alone is said before anything trains, and costs a start nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import torch
from conftest import CHAIN, Workflow, said

from skeletons.config.load import load
from skeletons.errors import ConfigError
from skeletons.inspection import sameness
from skeletons.workflow import foresight
from skeletons.workflow.plan import Plan

NETWORK = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        self.a = nn.Conv2d(3, width, 3, padding=1)
        self.b = nn.Conv2d(2 * width, width, 3, padding=1)
        self.out = nn.Linear(width, classes)

    def forward(self, x):
        x = self.a(x)
        x = torch.cat([x, -x], 1)
        return self.out(self.b(x).mean((2, 3)))

def net(width, classes):
    return Net(width, classes)
"""
PLAIN = NETWORK.replace("2 * width", "width").replace("torch.cat([x, -x], 1)", "x.relu()")
SENTENCE = (
    "`inspect.expose` will not be available for mine.py:net, and all else is made without it: "
)


def config(**inspect: Any) -> dict[str, Any]:
    variant = {"l1": 1e-4, "epochs": 1, "threshold": 0.05}
    inspect = {"variant": variant, "expose": True, **inspect}
    return {**CHAIN, "network": {"name": "mine.py:net", "width": 4}, "inspect": inspect}


@pytest.fixture
def folder(workflow: Workflow, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    (workflow / "mine.py").write_text(NETWORK)
    monkeypatch.chdir(workflow.folder)
    return workflow


def test_a_look_that_cannot_be_had_is_foreseen_in_a_dry_run(folder: Workflow) -> None:
    for _ in range(2):
        done = folder.run(config(), "--dry-run")
        assert done.returncode == 0, done.stdout
        assert done.stdout.count(SENTENCE) == 1
        assert "cat" in done.stdout.split(SENTENCE)[1].splitlines()[0]
        assert "src/" not in done.stdout
    (reason,) = filter(None, json.loads((folder / foresight.MEMORY).read_text()).values())
    assert reason in done.stdout
    (folder / "mine.py").write_text(PLAIN)
    done = folder.run(config(), "--dry-run")
    assert done.returncode == 0, done.stdout
    assert "inspect.expose" not in done.stdout


def test_a_network_that_fails_on_the_images_ends_the_run_before_it_begins(folder: Workflow) -> None:
    made = "nn.Sequential(nn.Flatten(), nn.Linear(3 * 24**2, c))"
    (folder / "mine.py").write_text(f"from torch import nn\n\ndef net(w, c):\n    return {made}\n")
    asked = {key: value for key, value in config().items() if key != "inspect"}
    done = folder.run(asked, "--dry-run")
    assert done.returncode != 0
    assert "mine.py:net failed on images of 3×32×32, see images.size (RuntimeError: " in done.stdout
    assert "Traceback" not in done.stdout
    done = folder.run({**asked, "images": {"size": 24}}, "--dry-run")
    assert done.returncode == 0, done.stdout


def test_how_many_classes_there_are_is_not_guessed(folder: Workflow) -> None:
    """A data set that is not made yet may have four; its first job knows."""
    made = "nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))"
    (folder / "mine.py").write_text(f"from torch import nn\n\ndef net(w, c):\n    return {made}\n")
    (folder / "data.py").write_text("def made():\n    pass\n")
    own = {"kind": "data.py:made"}
    foresight.demand_network(Plan(load({**config(), "dataset": own})))
    with pytest.raises(ConfigError, match="whose output for two images is 2×4; it must return lo"):
        foresight.demand_network(Plan(load(config())))


def test_a_network_is_tried_once(folder: Workflow, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(load(config()))
    assert foresight.absent_looks(plan).startswith(SENTENCE)
    monkeypatch.setitem(foresight.LOOKS, "expose", None)
    assert foresight.absent_looks(plan).startswith(SENTENCE)
    assert foresight.absent_looks(Plan(load(config(expose=False, variant=None)))) == ""
    assert foresight.absent_looks(Plan(load({**config(), "network": CHAIN["network"]}))) == ""


def test_a_mistake_in_the_network_is_left_to_its_job(folder: Workflow) -> None:
    (folder / "mine.py").write_text("def net(width, classes):\n    return 1 / 0\n")
    assert foresight.absent_looks(Plan(load(config()))) == ""


def test_a_memory_that_is_broken_is_made_anew(folder: Workflow) -> None:
    foresight.MEMORY.parent.mkdir()
    foresight.MEMORY.write_text("[1]")
    assert foresight.absent_looks(Plan(load(config()))).startswith(SENTENCE)
    assert json.loads(foresight.MEMORY.read_text())


def test_a_start_that_knows_the_answer_does_not_import_torch(folder: Workflow) -> None:
    (folder / "mine.py").write_text(PLAIN)
    code = (
        "import sys; from skeletons.config.load import load; from skeletons.workflow.plan import "
        "Plan; from skeletons.workflow.foresight import absent_looks; import yaml; "
        "absent_looks(Plan(load(yaml.safe_load(open('a.yaml'))))); print('torch' in sys.modules)"
    )
    folder.write(config(), "a.yaml")
    command = [sys.executable, "-c", code]
    for imports in ("True\n", "False\n"):
        assert said(command, folder.folder, folder.environment()) == imports


GROUPED = PLAIN.replace("nn.Conv2d(width, width, 3", "nn.Conv2d(width, width, 3, groups=2")


def aligned() -> dict[str, Any]:
    found = {**config(), "compare": {"weights": ["mask_overlap_aligned"]}}
    return {**found, "base": {**CHAIN["base"], "seeds": [1, 2]}}


def test_units_that_cannot_be_followed_end_the_run_before_it_begins(folder: Workflow) -> None:
    (folder / "mine.py").write_text(GROUPED)
    done = folder.run(aligned(), "--dry-run")
    assert done.returncode != 0
    assert (
        "compare.weights: found 'mask_overlap_aligned', which aligns the units of different bases; "
        "allowed: mask_overlap, because this cannot be done for 'mine.py:net': The network has an "
        "operation, a convolution with groups of several channels," in done.stdout
    )
    (folder / "mine.py").write_text(PLAIN)
    done = folder.run(aligned(), "--dry-run")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("look", "match", "found"),
    [
        ("lines", "weights", "inspect.lines: found true"),
        ("plane", "activations", "alignment.match: found 'activations'"),
        ("plane", "weights", ""),
    ],
)
def test_units_whose_activations_cannot_be_seen_end_it_too(
    folder: Workflow, look: str, match: str, found: str
) -> None:
    looks = "x = self.a(x)\n        x = x + 0 if len(x) > 4 else x"
    more = PLAIN.replace("x = self.a(x)", looks)
    (folder / "mine.py").write_text(more)
    base = {**CHAIN["base"], "seeds": [1, 2]}
    own = {**config(expose=False, **{look: True}), "base": base, "alignment": {"match": match}}
    plan = Plan(load(own))
    if not found:
        foresight.demand_network(plan)
        return
    with pytest.raises(ConfigError, match="depend on the number of images") as raised:
        foresight.demand_network(plan)
    assert str(raised.value).startswith(f"{found}, which aligns units by their activations; ")


def test_an_option_that_a_package_does_not_know_ends_it_too(folder: Workflow) -> None:
    network: dict[str, Any] = {"name": "torchvision:resnet18", "options": {"depth": 3}}
    with pytest.raises(ConfigError, match=r"^network\.options: found depth, with which"):
        foresight.demand_network(Plan(load({**CHAIN, "network": network})))
    network["options"] = {"norm_layer": None}
    foresight.demand_network(Plan(load({**CHAIN, "network": network})))


VIT = {"patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 2}
FOREIGN: dict[str, tuple[dict[str, Any], str]] = {
    "timm:vit_tiny_patch16_224": ({"options": VIT}, "an unsupported operation"),
    "torchvision:mobilenet_v3_small": ({}, "convolutions without groups"),
    "torchvision:resnext50_32x4d": ({}, "convolutions without groups"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_looks_at_the_channels_of_a_package_s_network_are_foreseen(
    name: str, folder: Workflow
) -> None:
    """Both looks for one reason, in one sentence, also in a dry run."""
    more, reason = FOREIGN[name]
    found = {**config(importance=True), "network": {"name": name, **more}}
    done = folder.run(found, "--dry-run")
    assert done.returncode == 0, done.stdout
    sentence = (
        f"`inspect.expose` and `inspect.importance` will not be available for {name}, and all else "
        "is made without them: "
    )
    assert done.stdout.count(sentence) == 1
    assert reason in done.stdout.split(sentence)[1].splitlines()[0]
    assert done.stdout.index(sentence) < done.stdout.index("Job stats")


def test_importance_alone_is_foreseen_too(folder: Workflow) -> None:
    found = foresight.absent_looks(Plan(load(config(expose=False, importance=True))))
    assert found.startswith(SENTENCE.replace("expose", "importance"))


def test_a_resnext_is_not_aligned_and_says_so_before_it_trains(folder: Workflow) -> None:
    found = {**aligned(), "network": {"name": "torchvision:resnext50_32x4d"}}
    done = folder.run({**found, "inspect": {}}, "--dry-run")
    assert done.returncode != 0
    assert "allowed: mask_overlap, because this cannot be done for 'torchvision:resnext" in (
        done.stdout
    )
    assert "a convolution with groups of several channels" in done.stdout
    assert "Traceback" not in done.stdout
    assert "Job stats" not in done.stdout


def test_pretrained_weights_that_do_not_fit_end_the_run_before_it_begins(folder: Workflow) -> None:
    """A file that is replaced is tried again, and one that fits is not read a second time."""
    from skeletons.networks import library

    network = {"name": "torchvision:resnet18", "weights": "models/r18.pt"}
    found = {**CHAIN, "network": None, "networks": {"wide": network}}
    (folder / "models").mkdir()
    (folder / "models/r18.pt").write_text("no")
    done = folder.run(found, "--dry-run")
    assert done.returncode != 0
    assert "networks.wide.weights: models/r18.pt: found a file that torch and safetensors" in (
        done.stdout
    )
    assert "Traceback" not in done.stdout
    assert "Job stats" not in done.stdout
    torch.save(library.create("torchvision:resnet18", 4, {}).state_dict(), "models/r18.pt")
    plan = Plan(load(found))
    foresight.demand_network(plan)
    (folder / "models/r18.pt").touch()
    foresight.demand_network(plan)


def test_a_bridge_that_cannot_be_had_is_foreseen_too(folder: Workflow) -> None:
    two = {**config(expose=False, bridge=True), "base": {**CHAIN["base"], "seeds": [1, 2]}}
    sentence = "`inspect.bridge` will not be available for mine.py:net"
    done = folder.run(two, "--dry-run")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(sentence) == 1
    (folder / "mine.py").write_text(PLAIN)
    done = folder.run(two, "--dry-run")
    assert done.returncode == 0, done.stdout
    assert "inspect.bridge" not in done.stdout


def test_a_skeleton_that_would_compute_something_else_is_foreseen(
    folder: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be traced, but whether the small network is right is only known from its logits."""
    (folder / "mine.py").write_text(PLAIN)
    plan = Plan(load(config()))
    assert foresight.absent_looks(plan) == ""
    foresight.MEMORY.unlink()
    monkeypatch.setattr(sameness, "TOLERANCE", -1.0)
    monkeypatch.setattr(sameness, "ROUNDINGS", -1.0)
    found = foresight.absent_looks(plan)
    assert found.startswith(SENTENCE + "The exposed network computes other logits than the pruned")
