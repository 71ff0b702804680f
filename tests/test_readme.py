"""Every command in the README is run, or planned if it needs a cluster or hours.

They run in a clone of the repository whose `workflow_config.yaml` has fewer images, a narrower
network, fewer epochs and a smaller grid. Sizes written in the README itself are not changed.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, Workflow, python, said
from PIL import Image
from torchvision.models import resnet18

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", README, re.M | re.S)
INLINE = re.findall(r"`((?:make|snakemake|skeletons|python|pytest)(?: [^`\n]+)+)`", README)
COMMANDS = list(dict.fromkeys([*(block.strip() for block in BLOCKS), *INLINE]))
FOLDERS = ("docs", "experiments", "src")
FILES = ("Makefile", "pyproject.toml", "requirements.lock", "workflow_config.schema.json")


class Clone(Workflow):
    """The repository with the present environment, and with fewer and smaller drawn images."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        for part in FOLDERS:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("_build"))
        for part in FILES:
            shutil.copy(ROOT / part, folder / part)
        self.library = folder / "src"
        (folder / ".venv").symlink_to(sys.prefix)
        path = folder / "workflow_config.yaml"
        config = yaml.safe_load(path.read_text())
        config["dataset"] |= {"train": 400, "test": 100}
        config["network"]["width"] = 4
        config["base"]["seeds"], config["base"]["epochs"] = [1], 2
        config["prune"]["thresholds"] = [0.05, 0.5]
        path.write_text(yaml.safe_dump(config))
        # Plans for folders of images need an image in each, which is not opened.
        for split in ("train", "test"):
            for kind in ("cat", "dog"):
                image = folder / "data/cifar10-jpeg" / split / kind / "1.jpg"
                image.parent.mkdir(parents=True)
                image.touch()
        (folder / "ready").touch()

    def says(self, command: str) -> str:
        """The output of a command, which must succeed."""
        # READY tells `make` that the environment exists. Under `make test`, this `make` must not
        # act as the child of another one.
        made = {"MAKEFLAGS": f"READY={self.folder / 'ready'} CORES=2", "MAKELEVEL": "0"}
        call = ["bash", "-euo", "pipefail", "-c", command]
        return said(call, self.folder, {**self.environment(), **made})

    def warmly_says(self, command: str) -> str:
        """The same, by the warm Python; `make demo` uses Python itself."""
        return self.says(f'snakemake() {{ {python()} -m snakemake "$@"; }}\n{command}')


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def demo(clone: Clone, command: str) -> None:
    """The report exists, and a second run has nothing to do."""
    assert "The report is results/demo/report.html" in clone.says(command)
    assert (clone / "results/demo/report.html").stat().st_size > 100_000
    assert "Nothing to be done" in clone.says(command)


def own_experiment(clone: Clone, command: str) -> None:
    """At its full size, as written."""
    clone.warmly_says(command)
    assert (clone / "results/mine/report.html").is_file()
    config = yaml.safe_load((clone / "results/mine/config.yaml").read_text())
    assert config["dataset"] == {"kind": "shapes", "train": 1000, "test": 300, "seed": 0}
    bases = [
        json.loads(path.read_text()) for path in (clone / "results/mine/scores").glob("*.json")
    ]
    assert [base["optimal"] for base in bases if base.get("optimal") is not None] == [True, True]


def activated(clone: Clone, command: str) -> None:
    assert "/.venv/bin/snakemake" in clone.says(f"{command} && command -v snakemake")


def brought(clone: Clone, command: str) -> None:
    """Of five models and a few photos that are made for it."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for k in range(20):
            path = clone / f"photos/{split}/{('cat', 'dog')[k % 2]}/{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(path)
    (clone / "my_models").mkdir()
    names = ("alice", "bob", "carol", "dave", "erin")
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        state = resnet18(num_classes=2).state_dict()
        torch.save(state, clone / f"my_models/{name}.pt")
    path = clone / "workflow_config.yaml"
    small = path.read_text()
    shutil.copy(ROOT / path.name, path)  # whose width is that of no network of a package
    clone.warmly_says(command)
    path.write_text(small)
    assert (clone / "results/compare/report.html").is_file()
    found = json.loads((clone / "results/compare/findings.json").read_text())
    assert [base["model"] for base in found["bases"]] == [f"own={name}" for name in names]
    assert len(yaml.safe_load(command.split("END")[1].partition("\n")[2])) == 4
    assert command.count("\n") <= 15


def the_tests(clone: Clone, command: str) -> None:
    """These are the tests: they do not run themselves."""
    assert clone.says(f"{command} --dry-run").rstrip().endswith("pytest")


def pages(clone: Clone, command: str) -> None:
    """The generated pages equal the committed ones; the tests are not run here."""
    assert "pytest" in clone.says(f"{command} --dry-run")
    targets = [word for word in command.split() if word in ("schema", "measures", "configuration")]
    clone.says(f"make {' '.join(targets)}")
    for page in ("workflow_config.schema.json", "docs/measures.md", "docs/configuration.md"):
        assert (clone / page).read_bytes() == (ROOT / page).read_bytes()


def planned(clone: Clone, command: str) -> None:
    """Only planned: it needs a download and hours, or a cluster (run by tests/slurm)."""
    said = clone.warmly_says(
        f"{command} --dry-run --cores 2" if "--cores" not in command else f"{command} -n"
    )
    assert re.search(r"train_base|Nothing to be done", said), said


def site(clone: Clone, command: str) -> None:
    """Not run: tests/test_docs.py builds the site equally strictly."""
    assert "sphinx-build -W --keep-going" in clone.says(f"{command} --dry-run")


def template(clone: Clone, command: str) -> None:
    """Not run: `N` and `NAME` are placeholders in other commands."""
    assert {"N", "NAME"} & set(re.split(r"[ /.=]", command))


def nothing_to_be_done(clone: Clone, command: str) -> None:
    assert "Nothing to be done" in clone.says(command)


def removal(clone: Clone, command: str) -> None:
    """Not run to its end: other commands need the results. Without an answer it deletes nothing."""
    said = clone.says(f"{command.replace('NAME', 'demo')} < /dev/null || true")
    assert "Nothing was deleted" in said
    assert (clone.folder / "results/demo/report.html").exists()


def shown(clone: Clone, command: str) -> None:
    said = clone.says(command)
    assert "made by   train_base" in said
    assert "current   yes" in said


def compared(clone: Clone, command: str) -> None:
    """Of files made for it."""
    logits = np.random.default_rng(0).normal(size=(3, 20, 4))
    tables = [pd.DataFrame(one, columns=list("wxyz")).assign(id=range(20)) for one in logits]
    tables[0].to_parquet(clone / "alice.parquet")
    np.savez(clone / "bob.npz", logits=logits[1], id=np.arange(20))
    tables[2].to_csv(clone / "carol.csv", index=False)
    assert "kappa" in clone.says(command)
    assert (clone / "heatmap.svg").is_file()


def exported(clone: Clone, command: str) -> None:
    clone.says(command)
    assert (clone / "DIR/network.py").is_file()


def cached(clone: Clone, command: str) -> None:
    assert "results/.cache holds" in clone.says(command)


def judged(clone: Clone, command: str) -> None:
    """Of a table with the columns that docs/statistics.md names."""
    pairs = [(a, b) for b in range(6) for a in range(b)]
    rows = [
        f"{a},{b},{kind},,{value + (a + b) / 1000}"
        for kind, value in {"base": 0.3, "pruned": 0.8, "ceiling": 0.9}.items()
        for a, b in pairs
    ]
    text = "\n".join(["seed_a,seed_b,kind,recipe,value", *rows])
    (clone / "similarities.csv").write_text(text, encoding="utf-8")
    assert "Models of different bases converge on the walk" in clone.says(command)


def cloning(clone: Clone, command: str) -> None:
    """Not run: the address is a placeholder."""
    assert command == "git clone ADDRESS skeletons && cd skeletons"


HOW: dict[str, Callable[[Clone, str], None]] = {
    "git clone": cloning,
    "make demo": demo,
    "make env": nothing_to_be_done,  # because the environment of the tests is used
    "make test": the_tests,
    "source .venv/bin/activate": activated,
    "cat > experiments/compare.yaml": brought,
    "cat > experiments/mine.yaml": own_experiment,
    "snakemake -n": nothing_to_be_done,
    "skeletons show": shown,
    "skeletons remove": removal,
    "skeletons verdict": judged,
    "skeletons compare": compared,
    "skeletons export": exported,
    "skeletons cache": cached,
    "snakemake --cores all --configfile experiments/": planned,
    "snakemake --workflow-profile profiles/slurm": planned,
    "snakemake --cores N": template,
    "make schema": pages,
    "make docs": site,
}


def test_the_readme_has_commands() -> None:
    assert {"make demo", "make test", "snakemake -n"} <= set(COMMANDS)
    assert any("cat > experiments/mine.yaml" in command for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.splitlines()[0])
def test_a_command_of_the_readme_does_what_it_says(clone: Clone, command: str) -> None:
    how = [run for start, run in HOW.items() if command.startswith(start)]
    assert how, f"Say in HOW how `{command}` is run."
    how[0](clone, command)


def test_every_experiment_it_names_is_there() -> None:
    names = set(re.findall(r"experiments/(\w+)\.yaml", README)) - {"mine", "compare"}
    assert names <= {path.stem for path in (ROOT / "experiments").glob("*.yaml")}
    assert len(names) >= 3
