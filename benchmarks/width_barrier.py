"""The barrier between bases by the width of their network, aligned in each way and repaired.

python benchmarks/width_barrier.py --write docs/method.md

It runs experiments/width_barrier.yaml, and reads the lines between bases. The intervals treat seeds
as the sample, because pairs that share a seed are not independent.
"""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sandbox import Sandbox, run

from skeletons import text
from skeletons.findings.inspections import COLUMNS, PATHS
from skeletons.findings.modified_t import effects
from skeletons.findings.seed_values import mean_interval
from skeletons.inspection import barriers
from skeletons.store import artifacts

EXPERIMENT = Path(__file__).parents[1] / "experiments/width_barrier.yaml"


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Run the experiment, and give its table."""
    config = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
    if options.results:
        results = Path(options.results)
    else:
        workflow = Sandbox(folder)
        workflow.write(config)
        workflow.finish()
        results = folder / f"results/{config['experiment']}"
    rows = [
        row
        for tag, network in config["networks"].items()
        for row in _rows(results, tag, network["width"], config["base"]["seeds"])
    ]
    head = ["width", "units", "barrier", "repaired", "accuracy lost, points", "repaired"]
    return text.table(head, rows)


def _rows(results: Path, tag: str, width: int, seeds: list[int]) -> list[list[str]]:
    """The rows of one width: a mean over pairs of seeds with its 95 % interval."""
    bases = [f"net={tag}_seed={seed}" for seed in seeds]
    found = pd.concat(
        [
            barriers.by_path(artifacts.read_table(results / f"lines/{a}--{b}.parquet", COLUMNS))
            for a, b in itertools.combinations(bases, 2)
        ]
    )
    rows = []
    for path, words in PATHS.items():
        cells = [
            _interval(
                found[(found.path == path) & (found.repaired == repaired)], column, scale, form
            )
            for column, scale, form in (("barrier", 1, ".2f"), ("accuracy_drop", 100, ".0f"))
            for repaired in (False, True)
        ]
        rows.append([str(width), words, *cells])
    return rows


def _interval(rows: pd.DataFrame, column: str, scale: float, form: str) -> str:
    """A mean over pairs, in their order, with its interval by one jackknife value per seed."""
    found = effects(scale * rows[column].to_numpy(np.float64))
    low, high = mean_interval(found.mean + found.own, bounds=(0.0, math.inf))
    return f"{float(found.mean):{form}} ({low:{form}} to {high:{form}})"


if __name__ == "__main__":
    run(__doc__, "width_barrier", measure, results=None)
