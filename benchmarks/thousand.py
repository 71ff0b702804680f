"""A thousand models from their saved predictions to the report.

python benchmarks/thousand.py --write docs/performance.md
python benchmarks/thousand.py --bases 8

Each base has one walk for each of four λs and six thresholds, so 40 bases are 1,000 models and
499,500 pairs. Nothing is trained: the models' files are fabricated, with logits of 2,000 images
that have a part in common, a part of the base and a part of the model. Their origins are those of
the configuration, so Snakemake goes on from there: scores, every cheap measure of every pair, the
verdict and the findings, figures and the report. The driver is Snakemake's own process. With a
Chromium, the report is opened, and the seconds until its heatmap answers the pointer are measured.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sandbox import Sandbox, Workflow, machine, run
from timeline import Job, jobs_of, table_of

from skeletons import model_ids
from skeletons.config.load import load
from skeletons.model_ids import Model
from skeletons.store import artifacts, provenance
from skeletons.store.provenance import Recipe
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.model_files import FOLDERS
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES
from skeletons.workflow.targets import Targets

NAME = "thousand"
CLASSES = 10
LAMBDAS, THRESHOLDS = (1e-5, 2e-5, 5e-5, 1e-4), (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
WEIGHTS = 10_000  # that can be pruned, of each model


def config(bases: int, images: int) -> dict[str, Any]:
    """The configuration of so many bases; both sets have one kind of labels, for all measures."""
    return {
        "experiment": NAME,
        "cache": None,
        "dataset": {"kind": "mnist", "train": 100, "test": images},
        "ood": [{"kind": "svhn", "test": images}],
        "network": {"name": "cnn", "width": 2},
        "base": {"seeds": list(range(1, bases + 1)), "epochs": 1},
        "regularize": {"lambdas": list(LAMBDAS), "epochs": [1], "trace": 0},
        "prune": {"thresholds": list(THRESHOLDS)},
        "compare": {"states": ["base", "pruned"], "ood_images": images, "blocks_beyond": 0},
        "controls": {"orders": []},
    }


# --- the models -----------------------------------------------------------------------------------


class Fabricator:
    """Writes the files of a plan's models, as their jobs would, with invented content."""

    def __init__(self, plan: Plan, images: int) -> None:
        self.plan = plan
        self.targets = Targets(plan)
        self.lineages = Lineages(self.targets)
        draw = self._draw("shared")
        self.labels = draw.integers(0, CLASSES, images)
        self.shared = 3.0 * np.eye(CLASSES)[self.labels] + draw.normal(size=(images, CLASSES))

    @staticmethod
    def _draw(*names: object) -> np.random.Generator:
        return np.random.default_rng([*"/".join(map(str, names)).encode()])

    def write(self) -> None:
        """Write the data sets, and the files of every model: its folder, and its predictions."""
        names = [self.plan.task, *self.plan.ood]
        for name in names:
            self._write(self.targets.images(name))
            self._write(self.plan.info(name))
        for model in self.plan.models:
            state = model_ids.OWN if model.is_own_base else model.state
            for name in FOLDERS[state]:
                self._write(self.targets.model_file(model, name), model)
            for dataset in names if model in self.plan.compared else names[:1]:
                self._write(self.targets.predictions(dataset, model), model)

    def _write(self, path: str, model: Model | None = None) -> None:
        with provenance.making(self._recipe(path)):
            if model and "/predictions/" in path:
                artifacts.write_table(path, self._predictions(path, model))
            elif path.endswith(".safetensors"):
                artifacts.write_tensors(path, {"weight": np.zeros(1, np.float32)})
            elif path.endswith(".parquet"):
                artifacts.write_table(path, self._epochs(path))
            else:
                artifacts.write_json(path, self._about(model) if model else {})

    def _recipe(self, path: str) -> Recipe:
        """The recipe of the job that would make a file, without the digests of its inputs."""
        making = self.lineages.making(path)
        assert making is not None, path
        stage = STAGES[making.stage]
        settings = {**stage.settings(self.plan, making.wildcards), **making.wildcards}
        code = stage.code(self.plan, making.wildcards)
        parents = self.lineages.among(making.reads)
        return Recipe(making.stage, settings, code, {}, parents, 1, provenance.versions())

    def _predictions(self, path: str, model: Model) -> pd.DataFrame:
        """A base differs from the others, and a pruned model from its base by its threshold."""
        own = self._draw(path).normal(size=self.shared.shape)
        of_base = self._draw(path.split("/")[-2], model.base).normal(size=self.shared.shape)
        logits = self.shared + of_base + (0.3 + (model.threshold or 0.0)) * own
        columns = {f"logit_{k}": logits[:, k].astype(np.float32) for k in range(CLASSES)}
        return pd.DataFrame({"label": self.labels, **columns})

    @staticmethod
    def _epochs(path: str) -> pd.DataFrame:
        """A history or a walk of one epoch that leaves the loss where it was."""
        steps = np.arange(2)
        same = {"learning_rate": 0.1, "train_loss": 0.02, "train_accuracy": 0.99}
        same |= {"test_loss": 0.05, "test_accuracy": 0.98, "penalty": 1.0, "loss": 0.02}
        same |= {"accuracy": 0.99, "norm": 100.0}
        moved = {"distance": 0.1 * steps, "step": steps if "walk" in path else 0.1 * steps}
        return pd.DataFrame({"epoch": steps, **moved, "step_length": 0.1 * steps, **same})

    @staticmethod
    def _about(model: Model) -> dict[str, Any]:
        """The content of model.json, or of sparsity.json for a pruned model."""
        if model.threshold is not None:
            kept = round(WEIGHTS * (1 - model.threshold))
            return {"kept": kept, "dead_reason": None, "flops": kept}
        about = {"parameters": WEIGHTS, "prunable": WEIGHTS, "flops": WEIGHTS, "precision": "fp32"}
        return {**about, "network": {}, "train_loss": 0.02, "train_accuracy": 0.99}


def fabricate(workflow: Workflow, bases: int, images: int) -> Plan:
    """Write the data sets and the files of all models into a copy of the workflow."""
    with contextlib.chdir(workflow.folder):
        plan = Plan(load(config(bases, images)))
        Fabricator(plan, images).write()
    return plan


# --- the run --------------------------------------------------------------------------------------


def peak(process: int) -> int:
    """The peak resident memory of a running process so far, in bytes; 0 if it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024 * int(line.split()[1])
    return 0


def driven(workflow: Sandbox) -> tuple[float, int]:
    """Run to completion; return the seconds, and the peak memory of the driver in bytes."""
    begun, highest = time.perf_counter(), 0
    process = workflow.start()
    while process.poll() is None:
        highest = max(highest, peak(process.pid))
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"The run failed:\n{(workflow / 'run.log').read_text()[-3000:]}")
    return time.perf_counter() - begun, highest


def answered(jobs: Sequence[Job]) -> float:
    """Seconds from the first job that measures pairs to the end of the findings."""
    measuring = [job.begin for job in jobs if job.rule == "compare_bases"]
    return next(job.end for job in jobs if job.rule == "findings") - min(measuring)


# --- the report -----------------------------------------------------------------------------------


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium; None if there is none."""
    programs = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, programs)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        yield None
        return
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def opened(report: Path) -> tuple[float, float, float] | None:
    """Seconds to open a report, then to draw its heatmap, and then to answer the pointer."""
    with browser() as chromium:
        if chromium is None:
            return None
        page = chromium.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        begun = time.perf_counter()
        page.goto(report.as_uri())
        page.locator("h1").first.wait_for()
        ready = time.perf_counter()
        page.click("nav a[href='#heatmap']")
        page.locator("#map .nsewdrag").first.wait_for()
        drawn = time.perf_counter()
        box = page.locator("#map .nsewdrag").first.bounding_box()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.2 * box["height"])
        page.locator("#map .hoverlayer .hovertext").first.wait_for()
        return ready - begun, drawn - ready, time.perf_counter() - drawn


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Fabricate the models, run the workflow from there, open the report; return the tables."""
    place = Path(options.folder) if options.folder else folder
    workflow = Sandbox(place)
    workflow.write(config(options.bases, options.images))
    plan = fabricate(workflow, options.bases, options.images)
    seconds, memory = driven(workflow)
    report = workflow / plan.results / "report.html"
    jobs = jobs_of(workflow.folder, NAME)
    rows = [
        ("models", f"{len(plan.compared):,}"),
        ("pairs", f"{len(plan.pairs):,}"),
        ("from the predictions to the report", f"{seconds:,.0f} s"),
        ("of that, all measures, verdict and findings", f"{answered(jobs):,.1f} s"),
        ("for one pair", f"{1000 * seconds / len(plan.pairs):.2f} ms"),
        ("peak memory of the driver", f"{memory / 1e6:,.0f} MB"),
        ("size of the report", f"{report.stat().st_size / 1e6:,.0f} MB"),
    ]
    if looks := opened(report):
        ready, drawn, pointed = looks
        rows += [
            ("the report opens in", f"{ready:.1f} s"),
            ("its heatmap is drawn in", f"{drawn:.1f} s"),
            ("a cell answers the pointer in", f"{pointed:.2f} s"),
        ]
    table = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return (
        f"| measured | |\n|---|---:|\n{table}\n\nWhere the time went:\n\n{table_of(jobs)}\n\n"
        f"{options.images:,} images, two cores, n = 1; {machine()}."
    )


if __name__ == "__main__":
    run(__doc__, "thousand", measure, bases=40, images=2000, folder=None)
