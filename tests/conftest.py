"""Copies of the workflow, each in its own folder, and small configurations to run in them."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from threadpoolctl import threadpool_limits
from warm import Warm

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "workflow_config.yaml", "rules", "scripts", "profiles", "envs")

TINY: dict[str, Any] = {
    "experiment": "tiny",
    "dataset": {"kind": "shapes", "train": 300, "test": 120},
    "ood": [{"kind": "digits"}, {"kind": "noise", "images": 60}],
    "network": {"name": "cnn", "width": 4},
    "base": {"seeds": [1, 2], "epochs": 2, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4], "epochs": [1, 2], "batch_size": 50, "trace": 0},
    "prune": {"thresholds": [0.02, 0.05]},
    "compare": {"states": ["base", "pruned"], "ood_images": 80},
    "controls": {"orders": []},
}


# Two values of each list that makes models, for tests that remove one; no change trains much.
GRID: dict[str, Any] = {
    "experiment": "grid",
    "dataset": {"kind": "shapes", "train": 100, "test": 40},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4, 2e-4], "epochs": [1, 2], "batch_size": 50, "trace": 0},
    "prune": {"thresholds": [0.05, 0.1]},
    "compare": {"states": ["base", "pruned"], "ood_images": 40},
    "controls": {"orders": []},
}
# One value of each list, for tests that train everything again.
CHAIN: dict[str, Any] = {
    **GRID,
    "base": {**GRID["base"], "seeds": [1]},
    "regularize": {**GRID["regularize"], "lambdas": [1e-4], "epochs": [1]},
    "prune": {"thresholds": [0.05]},
}

# Everything that is off by default, at the smallest useful size.
SCIENCE: dict[str, Any] = {
    "experiment": "science",
    "dataset": {"kind": "shapes", "train": 200, "test": 100},
    "ood": [{"kind": "digits"}],
    "network": {"name": "cnn", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 2, "batch_size": 50, "learning_rate": 0.3},
    "regularize": {"lambdas": [1e-4], "epochs": [1], "batch_size": 50, "trace": 20},
    "prune": {"thresholds": [0.2]},
    "controls": {"untrained": True, "orders": [1], "random": [1]},
    "compare": {
        "states": ["base", "regularized", "pruned"],
        "ood_images": 50,
        "test_set": True,
        "representations": ["linear_cka"],
        "weights": ["mask_overlap", "mask_overlap_aligned"],
    },
    "inspect": {
        "variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.2},
        **dict.fromkeys(("lines", "plane", "curve", "expose", "importance", "sparsest"), True),
        **dict.fromkeys(("bridge", "transfer", "takeover"), True),
        "probe": [1e-3],
        "layers": ["mutual_knn"],
        "epochs": 1,
        "points": 5,
        "grid": 5,
        "images": 50,
    },
    "compute": {"precision": "fp32"},  # so that the verdict does not depend on the processor
}


# The final stages, which run after every change of a result.
SHOWN = {"findings": 1, "figures": 1, "report": 1}


# The slowest files begin first, so that the workers end at about the same time.
LONG = (
    *("caching", "slurm", "readme", "workflow", "reliability", "library_networks", "experiment"),
    *("report_browser", "inspect_workflow", "trained_models", "images", "errors"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


def said(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    """The output of a command (stdout and stderr), which must succeed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def as_on_a_terminal() -> None:
    """Let Ctrl-C interrupt a program even if the tests run in the background."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Keep bytecode from one program to the next, which is the default, because many run here.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cold",
        action="store_true",
        help="start every program in a new Python instead of a fork of a running one (slower)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the warm Python before pytest starts its workers, which share it."""
    warm = hasattr(os, "pidfd_open") and not config.getoption("cold")
    if "PYTEST_XDIST_WORKER" not in os.environ and warm:
        server = Warm()
        os.environ["WARM_PYTHON"] = str(server.python)
        config.add_cleanup(server.stop)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[Any]) -> None:
    """Start the workers from the warm Python, too."""
    for spec in specs:
        spec.python = os.environ.get("WARM_PYTHON")


def python() -> str:
    """The warm Python, which has imported the packages.

    With `--cold`, on systems other than Linux and outside of tests, it is Python itself.
    """
    return os.environ.get("WARM_PYTHON", sys.executable)


class Workflow:
    """A folder with a copy of the workflow, in which experiments run."""

    def __init__(self, folder: Path, *, library: bool = False) -> None:
        """Copy the workflow; with `library`, the package as well, for tests that change it.

        If the folder already has the workflow, nothing is copied.
        """
        self.folder = folder
        self.library = (folder if library else ROOT) / "src"
        if (folder / "Snakefile").exists():
            return
        for part in (*PARTS, *(["src"] if library else [])):
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part)
            else:
                shutil.copy(source, folder / part)

    def copy(self, folder: Path) -> Workflow:
        """A copy in another folder, with results, their times, and Snakemake's records."""
        shutil.copytree(self.folder, folder, symlinks=True)
        made = object.__new__(Workflow)
        made.folder = folder
        made.library = folder / "src" if self.library == self.folder / "src" else self.library
        return made

    def write(self, config: dict[str, Any], name: str = "experiment.yaml") -> None:
        """Write a configuration into the folder."""
        (self.folder / name).write_text(yaml.safe_dump(config))

    def command(
        self, name: str = "experiment.yaml", cores: int = 2, program: str = sys.executable
    ) -> list[str]:
        """The command that runs Snakemake with a configuration, by Python or the warm Python."""
        call = [program, "-m", "snakemake", "--cores", str(cores)]
        return [*call, "--configfile", name]

    def environment(self, **variables: str) -> dict[str, str]:
        """The environment in which the package of this copy is imported."""
        own = {**os.environ, **variables}
        path = os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]])
        return {**own, "PATH": path, "PYTHONPATH": str(self.library)}

    def run(self, config: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake on two cores; stdout and stderr come back as one."""
        self.write(config)
        return subprocess.run(
            [*self.command(program=python()), *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=1200,
        )

    def begun(self, command: Sequence[str], *, alone: bool = True) -> subprocess.Popen[str]:
        """Start a command; `alone` in its own session, which Ctrl-C interrupts as on a terminal."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=alone,
            preexec_fn=as_on_a_terminal if alone else None,
        )

    def planned(self, config: dict[str, Any], *arguments: str) -> Counter[str]:
        """The number of jobs of each rule in a dry run, without the rule `all`."""
        return self.jobs(config, "--dry-run", *arguments)

    def jobs(self, config: dict[str, Any], *arguments: str) -> Counter[str]:
        """The number of jobs of each rule in a run, which must succeed."""
        done = self.run(config, *arguments)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return Counter()
        table = done.stdout.split("Job stats")[1].split("total")[0]
        rows = re.findall(r"^ *(\w+) +(\d+) *$", table, re.M)
        jobs = Counter({rule: int(n) for rule, n in rows})
        assert jobs, f"No table of jobs in:\n{done.stdout}"
        del jobs["all"]
        return jobs

    def __truediv__(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """Compute in one thread: the workers share the cores, and idle threads wait by computing.

    A stage may have chosen another number in the test before.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _libraries_in_one_thread() -> None:
    """The same for NumPy and SciPy, and for fixtures that several tests share."""
    threadpool_limits(1)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture
def workflow(tmp_path: Path) -> Workflow:
    """A new copy, in which nothing has run."""
    return Workflow(tmp_path)


def ended(
    factory: pytest.TempPathFactory, name: str, config: dict[str, Any], *, library: bool = False
) -> Workflow:
    """A copy in which an experiment has finished; tests must not change it.

    It runs once for all of pytest's workers: the first one runs it, and the others wait.
    """
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / name).exists():
            fresh = base / f"{name}.unfinished"
            fresh.mkdir(exist_ok=True)
            done = Workflow(fresh, library=library).run(config)
            assert done.returncode == 0, done.stdout
            fresh.rename(base / name)
    return Workflow(base / name, library=library)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return ended(tmp_path_factory, "finished", TINY)


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = ended(tmp_path_factory, "chain", CHAIN, library=True)
    assert len(list((made / "results/grid/similarity/digits").glob("*.parquet"))) == 1
    return made


def artifacts_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "results/grid").rglob("*"))
        if path.suffix in (".parquet", ".json", ".safetensors")
    }


def trained(workflow: Workflow, experiment: str = "grid") -> set[str]:
    """The training jobs that trained according to their logs, without the run cache."""
    logs = (workflow / "logs" / experiment).glob("*/*.log")
    return {
        f"{path.parent.name}/{path.stem}"
        for path in logs
        if path.parent.name in ("train_base", "regularize") and "training loss" in path.read_text()
    }


@pytest.fixture(scope="session")
def science(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return ended(tmp_path_factory, "science", SCIENCE)
