"""docs/your_models.md, followed as a page: five small trained networks, from files to a report."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
import yaml
from conftest import ROOT, Workflow, python, said
from PIL import Image
from torch import nn

from skeletons.store import artifacts

PAGE = (ROOT / "docs/your_models.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)
CLASSES = ("bird", "cat", "dog")  # in the order of the folders
NAMES = ("alice", "bob", "carol", "dave", "erin")
NETWORK = """
from torch import nn

def build(width, classes):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 4), nn.ReLU(), nn.Flatten(), nn.Linear(64 * width, classes)
    )
"""


def block(kind: str, part: str) -> str:
    """The block of a language that has a part in it; there is one."""
    (found,) = (text for language, text in BLOCKS if language == kind and part in text)
    return found


def filled(text: str, **keys: Any) -> Any:
    """A block of YAML whose `…` stands for the keys that were shown before."""
    shown = yaml.safe_dump(keys, default_flow_style=True, width=1000).strip().strip("{}")
    return yaml.safe_load(text.replace("…", shown))


def photos(folder: Path) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Images of three classes, each of a hue, as files; and as tensors in [0, 1]."""
    draw, found = np.random.default_rng(0), {}
    for split, count in (("train", 20), ("test", 10)):
        pixels, labels = [], []
        for label, name in enumerate(CLASSES):
            for k in range(count):
                values = draw.integers(0, 120, (32, 32, 3))
                values[..., label] += 90
                path = folder / split / name / f"{k}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values.astype(np.uint8)).save(path)
                pixels.append(values.transpose(2, 0, 1) / 255)
                labels.append(label)
        found[split] = (torch.tensor(np.array(pixels)).float(), torch.tensor(labels))
    return found


def trained(seed: int, images: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    """A network that somebody trains elsewhere, as the page's example standardises its images."""
    scope: dict[str, Any] = {}
    exec(NETWORK, scope)
    torch.manual_seed(seed)
    network: nn.Module = scope["build"](CONFIG["network"]["width"], len(CLASSES))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    mean, std = (torch.tensor(CONFIG["network"][key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    for _ in range(30):
        optimizer.zero_grad()
        F.cross_entropy(network((images - mean) / std), labels).backward()
        optimizer.step()
    return network


CONFIG: dict[str, Any] = yaml.safe_load(block("yaml", "ood: ["))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A folder in which the first section was followed."""
    torch.set_num_threads(1)
    made = Workflow(tmp_path_factory.mktemp("page"))
    for name in ("my", "models", "experiments"):
        (made / name).mkdir()
    (made / "my/network.py").write_text(NETWORK)
    images, labels = photos(made / "photos")["train"]
    for seed, name in enumerate(NAMES):
        torch.save(trained(seed, images, labels).state_dict(), made / f"models/{name}.pt")
    (made / "experiments/trained.yaml").write_text(block("yaml", "ood: ["))
    says(made, block("bash", "snakemake"))
    return made


def says(workflow: Workflow, command: str) -> str:
    """The output of a command of the page, which must succeed."""
    shell = f'snakemake() {{ {python()} -m snakemake "$@"; }}\n{command}'
    call = ["bash", "-euo", "pipefail", "-c", shell]
    return said(call, workflow.folder, workflow.environment())


def run(workflow: Workflow, change: dict[str, Any], *arguments: str) -> str:
    """Change sections of the file, and run the command of the page."""
    (workflow / "experiments/trained.yaml").write_text(yaml.safe_dump({**CONFIG, **change}))
    return says(workflow, f"{block('bash', 'snakemake').strip()} {' '.join(arguments)}")


def test_every_block_is_followed_here() -> None:
    """A block that is added needs a test."""
    kinds = [language for language, _ in BLOCKS]
    assert kinds == ["yaml", "bash", *["yaml"] * 4, "bash", "python"]


def test_five_models_reach_one_report(page: Workflow) -> None:
    found = artifacts.read_json(page / "results/trained/findings.json")
    assert [base["model"] for base in found["bases"]] == [f"own={name}" for name in NAMES]
    assert found["pairs"] == 10
    assert all(base["accuracy"] > 0.9 for base in found["bases"])
    html = (page / "results/trained/report.html").read_text(encoding="utf-8")
    assert "own=erin" in html
    assert "near chance" not in html


def test_walks_and_pruning_are_added(page: Workflow, tmp_path: Path) -> None:
    workflow = page.copy(tmp_path / "w")
    sections = yaml.safe_load(block("yaml", "regularize: {lambdas: [1.0e-5], epochs"))
    jobs = run(workflow, sections, "--dry-run")
    assert re.search(r"^ *regularize +15 *$", jobs, re.M)
    assert re.search(r"^ *prune +30 *$", jobs, re.M)
    assert not re.search(r"^ *adopt ", jobs, re.M)
    model = "results/trained/models/own=alice_l1=1e-05_ep=1_t=0.2/sparsity.json"
    run(workflow, sections, "--", model)
    assert artifacts.read_json(workflow / model)["density"] < 1


def test_outputs_in_another_order_are_mapped(page: Workflow, tmp_path: Path) -> None:
    workflow = page.copy(tmp_path / "w")
    about = CONFIG["network"]
    change = filled(block("yaml", "classes: [dog"), **{**about, "checkpoints": "turned"})
    order = [CLASSES.index(name) for name in change["network"]["classes"]]
    state = torch.load(workflow / "models/alice.pt", weights_only=True)
    turned = {key: value[order] if key.startswith("3.") else value for key, value in state.items()}
    (workflow / "turned").mkdir()
    for name in ("alice", "bob"):  # of two models, because models are compared in pairs
        torch.save(turned, workflow / f"turned/{name}.pt")
    (score,) = (workflow / "results/trained/scores").glob("own=alice.json")
    before = artifacts.read_json(score)["accuracy"]
    run(workflow, change, "--", "results/trained/scores/own=alice.json")
    assert artifacts.read_json(score)["accuracy"] == before
    model = artifacts.read_json(workflow / "results/trained/models/own=alice/model.json")
    assert model["network"]["order"] == [order.index(k) for k in range(3)]


def test_several_networks_are_planned(page: Workflow, tmp_path: Path) -> None:
    workflow = page.copy(tmp_path / "w")
    change = yaml.safe_load(block("yaml", "wide:"))
    one = {"base": {"seeds": [1, 2]}}
    jobs = run(workflow, {**change, **one}, "--dry-run")
    assert re.search(r"^ *adopt +5 *$", jobs, re.M)
    assert re.search(r"^ *train_base +4 *$", jobs, re.M)
    walks = re.search(r"^ *regularize +(\d+) *$", jobs, re.M)
    assert walks
    own = filled(block("yaml", "mine: {…"), name="my/network.py:build")
    change["networks"]["mine"] = {**change["networks"]["mine"], **own["mine"]}
    more = run(workflow, {**change, **one}, "--dry-run")
    found = re.search(r"^ *regularize +(\d+) *$", more, re.M)
    assert found
    assert int(found[1]) > int(walks[1])


def test_saved_outputs_are_compared_without_the_workflow(page: Workflow) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 20, 4))
    tables = [pd.DataFrame(one, columns=list("wxyz")).assign(id=range(20)) for one in logits]
    tables[0].to_parquet(page / "alice.parquet")
    np.savez(page / "bob.npz", logits=logits[1], id=np.arange(20))
    tables[2].to_csv(page / "carol.csv", index=False)
    assert "agreement" in says(page, block("bash", "skeletons compare"))
    assert (page / "pairs.svg").is_file()


def test_an_exported_model_computes_the_same_logits(page: Workflow, tmp_path: Path) -> None:
    workflow = page.copy(tmp_path / "w")
    says(workflow, "skeletons export results/trained/models/own=alice --to DIR")
    code = block("python", "network.load()")
    images, _ = photos(tmp_path / "photos")["test"]
    torch.save(images * 255, workflow / "images.pt")
    check = "import torch; torch.save(model.eval()(torch.load('images.pt')), 'logits.pt')"
    (workflow / "example.py").write_text(f"{code}\n{check}\n")
    says(workflow, "python example.py")
    tables = (workflow / "results/trained/predictions").glob("*/own=alice.parquet")
    (table,) = (path for path in tables if not path.parent.name.startswith(("digits", "noise")))
    wanted = artifacts.read_table(table).filter(like="logit").to_numpy()
    found = torch.load(workflow / "logits.pt").detach().numpy()
    found, wanted = (rows[np.lexsort(rows.T)] for rows in (found, wanted))  # in any order
    np.testing.assert_allclose(found, wanted, atol=1e-3)
