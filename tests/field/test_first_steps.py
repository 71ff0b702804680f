"""What newcomers do in their first hour: near misses, and models of networks of their own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import ROOT

from skeletons.config.load import load
from skeletons.errors import CheckpointError, ConfigError
from skeletons.networks import source
from skeletons.networks.build import build
from skeletons.workflow import checkpoints
from skeletons.workflow.plan import Plan
from snakemake_logger_plugin_skeletons.messages import shown
from snakemake_logger_plugin_skeletons.sentences import sentence

NETWORKS = """
import torch
from torch import Tensor, nn


def grouped(width, classes):
    return nn.Sequential(
        *(nn.Conv2d(3, 2 * width, 3, stride=2), nn.GroupNorm(2, 2 * width), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8 * width, classes)),
    )


class Viewed(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, stride=4, padding=1)
        self.last = nn.Linear(64 * width, classes)

    def forward(self, x: "Tensor") -> "Tensor":
        x = torch.relu(self.first(x))
        return self.last(x.view(x.size(0), -1))


def viewed(width, classes):
    return Viewed(width, classes)
"""

ALONE = """
import sys
sys.modules["skeletons"] = None  # an import of it would fail
sys.path.insert(0, "out")
import network, torch
torch.save(network.load()(torch.load("images.pt")), "logits.pt")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(NETWORKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- export ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grouped", "viewed"])
def test_a_user_defined_network_becomes_a_file_that_runs_alone(name: str) -> None:
    network = build(f"mine.py:{name}", 2, 5, [0.5] * 3, [0.2] * 3, seed=1).eval()
    source.write(network, "A network.", Path("out"))
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    torch.save(images, "images.pt")
    subprocess.run([sys.executable, "-c", ALONE], check=True)
    with torch.inference_mode():
        torch.testing.assert_close(torch.load("logits.pt"), network(images), rtol=1e-4, atol=1e-5)


# --- configurations -------------------------------------------------------------------------------


def said(**config: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(config)
    return str(caught.value)


def test_a_file_without_its_function_is_one_sentence() -> None:
    wanted = "found 'mine.py'; allowed: a function of this file, mine.py:FUNCTION."
    assert said(network={"name": "mine.py"}) == f"network.name: {wanted}"
    assert said(dataset={"kind": "mine.py"}) == f"dataset.kind: {wanted}"
    assert said(ood=[{"kind": "mine.py"}]) == f"ood[0].kind: {wanted}"


def yaml_blocks(key: str) -> list[dict[str, Any]]:
    """The examples of configurations in the README that have a key."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```yaml\n(.*?)```|<<'END'\n(.*?)END\n", text, re.S)
    blocks = [yaml.safe_load(one or other) for one, other in found]
    return [block for block in blocks if key in block]


def test_the_readme_s_inspections_go_with_the_readme_s_experiments() -> None:
    (inspect,) = yaml_blocks("inspect")
    (own,) = yaml_blocks("base")
    for config in (inspect, {**own, **inspect}):
        plan = Plan(load(config))
        assert plan.variants


def test_a_problem_of_all_checkpoints_is_said_once() -> None:
    state = build("cnn", 2, 2, [0.5] * 3, [0.2] * 3, seed=1).get_submodule("body").state_dict()
    for name in ("alice", "bob", "carol"):
        Path("models").mkdir(exist_ok=True)
        torch.save(state, f"models/{name}.pt")
    for name in ("cat", "dog"):
        for k in range(2):
            image = Path("photos", name, f"{k}.png")
            image.parent.mkdir(parents=True, exist_ok=True)
            image.touch()
    network = {"name": "cnn", "width": 2, "checkpoints": "models", "classes": ["dog", "fish"]}
    dataset = {"kind": "imagefolder", "path": "photos"}
    with pytest.raises(CheckpointError) as caught:
        checkpoints.check(Plan(load({"network": network, "dataset": dataset})))
    assert str(caught.value) == (
        "network.classes: found no 'cat', which is a class of the data set; allowed: "
        "a list that has every class of the data set."
    )


def test_files_that_do_not_fit_alike_are_one_sentence() -> None:
    for name in ("alice", "bob", "carol"):
        saved(f"models/{name}.pt", width=3, classes=10)
    network = {"name": "cnn", "width": 2, "checkpoints": "models"}
    with pytest.raises(CheckpointError) as caught:
        checkpoints.check(Plan(load({"network": network, "dataset": {"kind": "shapes"}})))
    message = str(caught.value)
    assert message.startswith("network.checkpoints: models/alice.pt: found weights of another net")
    assert message.endswith("The same holds for models/bob.pt and models/carol.pt.")
    assert message.count("\n") == 0


@pytest.mark.parametrize(("classes", "has"), [(None, "the data set has"), (4 * ["?"], "names")])
def test_the_number_of_classes_is_checked_before_the_images_are_drawn(
    classes: list[str] | None, has: str
) -> None:
    saved("models/alice.pt", width=2, classes=3)
    network = {"name": "cnn", "width": 2, "checkpoints": "models"}
    if classes:
        network["classes"] = [f"class {k}" for k in range(len(classes))]
    with pytest.raises(CheckpointError) as caught:
        checkpoints.check(Plan(load({"network": network, "dataset": {"kind": "shapes"}})))
    count = len(classes or range(10))
    assert "models/alice.pt: found 3 outputs, but " in str(caught.value)
    assert f"{has} {count} classes; allowed: a model of {count} classes" in str(caught.value)


def saved(path: str, width: int, classes: int) -> None:
    Path(path).parent.mkdir(exist_ok=True)
    body = build("cnn", width, classes, [0.5] * 3, [0.2] * 3, seed=1).get_submodule("body")
    torch.save(body.state_dict(), path)


# --- the command snakemake ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        ("own.yaml", "own.yaml is not a target; to use it as the configuration, add --configfile "),
        ("made", "made is a folder, which cannot be a target; allowed: a rule, or a file in it."),
        ("reprot", "reprot is neither a rule nor a file of this configuration (did you mean repor"),
        ("absent.yaml", "absent.yaml is neither a rule nor a file of this configuration; "),
    ],
)
def test_a_target_that_is_none_is_one_sentence(target: str, wanted: str) -> None:
    Path("own.yaml").touch()
    Path("made").mkdir()
    message = f"MissingRuleException:\nNo rule to produce {target} (if you use input functions"
    found = sentence(message, "MissingRuleException", [], started=True)
    assert found.startswith(wanted)
    assert "\n" not in found


def test_results_that_were_moved_here_are_no_cause_for_alarm() -> None:
    message = (
        "46 jobs have missing provenance/metadata so that it in part cannot be used to trigger "
        "re-runs.\nRules with missing metadata: compare dataset"
    )
    assert shown(message, verbose=False) == ""
