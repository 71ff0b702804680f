"""A copy of the workflow in a folder of its own, run as a user runs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow_config.yaml", "rules", "scripts", "profiles", "report", "envs")

TINY: dict[str, Any] = {
    "experiment": "tiny",
    "dataset": {"kind": "shapes", "train": 300, "test": 120},
    "ood": [{"kind": "digits"}, {"kind": "noise", "images": 60}],
    "network": {"name": "cnn", "width": 4},
    "base": {"seeds": [1, 2], "epochs": 2, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4], "epochs": [1, 2], "batch_size": 50},
    "prune": {"thresholds": [0.02, 0.05]},
    "compare": {"ood_images": 80},
}


class Workflow:
    """A folder with the workflow in it and a configuration to run it with."""

    def __init__(self, folder: Path, *, library: bool = False) -> None:
        """Copy the workflow; with `library`, the package as well, for tests that change it."""
        self.folder = folder
        for part in (*PARTS, *(["src"] if library else [])):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part)
            else:
                shutil.copy(source, folder / part)

    def copy(self, folder: Path) -> Workflow:
        """The same in another folder, with its results, their times, and Snakemake's records."""
        shutil.copytree(self.folder, folder, symlinks=True)
        made = object.__new__(Workflow)
        made.folder = folder
        return made

    def run(self, config: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on two cores; stdout and stderr come back as one."""
        (self.folder / "experiment.yaml").write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "snakemake", "--cores", "2"]
        return subprocess.run(
            [*command, "--configfile", "experiment.yaml", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=600,
        )

    def environment(self, **variables: str) -> dict[str, str]:
        """What a run of this copy needs: the programs and the library, its own if it has one."""
        own = {**os.environ, **variables}
        path = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
        library = os.pathsep.join([str(self.folder / "src"), str(ROOT / "src")])
        return {**own, "PATH": path, "PYTHONPATH": library}

    def planned(self, config: dict[str, Any], *arguments: str) -> Counter[str]:
        """How many jobs of each rule a run would do; the rule `all` does nothing."""
        return self.jobs(config, "--dry-run", *arguments)

    def jobs(self, config: dict[str, Any], *arguments: str) -> Counter[str]:
        """How many jobs of each rule a run, which must end well, does."""
        done = self.run(config, *arguments)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return Counter()
        table = done.stdout.split("Job stats")[1].split("total")[0]
        rows = re.findall(r"^ *(\w+(?: \w+)*) +(\d+) *$", table, re.M)  # train_base is train base
        jobs = Counter({rule.replace(" ", "_"): int(n) for rule, n in rows})
        assert jobs, f"No table of jobs in:\n{done.stdout}"
        del jobs["all"]
        return jobs

    def __truediv__(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A fresh copy, in which nothing has run."""
    return Workflow(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """A copy in which the tiny experiment has run to its end; tests must leave it as it is."""
    made = Workflow(tmp_path_factory.mktemp("finished"))
    done = made.run(TINY)
    assert done.returncode == 0, done.stdout
    return made
