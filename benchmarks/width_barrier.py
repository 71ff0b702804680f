"""The barrier between bases by the width of their network, aligned in each way and repaired.

python benchmarks/width_barrier.py --write docs/method.md

It runs experiments/width_barrier.yaml, and reads the lines between bases. The intervals treat seeds
as the sample, because pairs that share a seed are not independent.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from sandbox import Sandbox, run
from scipy import stats

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings.inspections import COLUMNS, PATHS
from skeletons.findings.modified_t import effects
from skeletons.findings.seed_values import mean_interval
from skeletons.inspection import barriers
from skeletons.store import artifacts

TRAINED = 8  # the narrowest width whose bases learn the task
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
    seeds = config["base"]["seeds"]
    lines = {
        network["width"]: _lines(results, tag, seeds) for tag, network in config["networks"].items()
    }
    rows = [row for width, found in lines.items() for row in _rows(found, width)]
    head = ["width", "units", "barrier", "repaired", "accuracy lost, points", "repaired"]
    falls = " ".join(_fall(lines, path) for path in PATHS)
    return f"{text.table(head, rows)}\n\n{falls}"


def _lines(results: Path, tag: str, seeds: list[int]) -> pd.DataFrame:
    """What the lines between the bases of one width show, pair by pair."""
    bases = [f"net={tag}_seed={seed}" for seed in seeds]
    return pd.concat(
        [
            barriers.by_path(artifacts.read_table(results / f"lines/{a}--{b}.parquet", COLUMNS))
            for a, b in itertools.combinations(bases, 2)
        ]
    )


def _rows(found: pd.DataFrame, width: int) -> list[list[str]]:
    """The rows of one width: a mean over pairs of seeds with its 95 % interval."""
    rows = []
    for path, words in PATHS.items():
        cells = [
            _interval(scale * _of_seeds(found, path, repaired, column), form)
            for column, scale, form in (("barrier", 1, ".2f"), ("accuracy_drop", 100, ".0f"))
            for repaired in (False, True)
        ]
        rows.append([str(width), words, *cells])
    return rows


def _of_seeds(found: pd.DataFrame, path: str, repaired: bool, column: str) -> Floats:
    """One jackknife value per seed of a mean over pairs; their mean is that mean."""
    values = found[(found.path == path) & (found.repaired == repaired)][column]
    by_seed = effects(values.to_numpy(np.float64))
    return by_seed.mean + by_seed.own


def _interval(values: Floats, form: str) -> str:
    low, high = mean_interval(values, bounds=(0.0, math.inf))
    return f"{values.mean():{form}} ({low:{form}} to {high:{form}})"


def _fall(lines: Mapping[int, pd.DataFrame], path: str) -> str:
    """By how much the repaired barrier falls from width 8 to the widest (Welch 1947)."""
    narrow, wide = (_of_seeds(lines[w], path, True, "barrier") for w in (TRAINED, max(lines)))
    low, high = stats.ttest_ind(narrow, wide, equal_var=False).confidence_interval()
    return (
        f"Units {PATHS[path]}, repaired: the barrier falls by "
        f"{narrow.mean() - wide.mean():.2f} from width {TRAINED} to width {max(lines)} "
        f"(95 % interval {low:.2f} to {high:.2f}).".replace("-", "−")
    )


if __name__ == "__main__":
    run(__doc__, "width_barrier", measure, results=None)
