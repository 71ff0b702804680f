"""Copy the findings of an experiment to docs/results, small enough to commit.

python scripts/publish.py results/EXPERIMENT docs/results
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
import yaml

from skeletons.report import costs

WHOLE = ("findings.md", "findings.json", "verdict.json", "config.yaml", "versions.json")


def costs_of_models(folder: Path) -> pd.DataFrame:
    """The CPU seconds and peak memory (MB) of each job on a model, from its benchmark.

    Wall-clock time would also depend on other work on the machine.
    """
    models = set(pd.read_parquet(folder / "scores.parquet", columns=["model"]).model)
    jobs = costs.read(folder / "benchmarks", models)
    names = {"stage": "rule", "job": "model", "cpu_s": "cpu_s", "peak_mb": "mb"}
    return jobs[jobs.job.isin(models)][[*names]].rename(columns=names)


def without_own_folders(text: str, root: str) -> str:
    """A text in which the folder of data sets, `root`, is `data`, if it is one of this machine."""
    return text.replace(root, "data") if Path(root).is_absolute() else text


def publish(folder: Path, target: Path) -> None:
    """Copy figures, findings and configuration, and write the tables as CSV."""
    target.mkdir(parents=True, exist_ok=True)
    root = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["data_root"]
    for name in WHOLE:
        text = (folder / name).read_text(encoding="utf-8")
        (target / name).write_text(without_own_folders(text, root), encoding="utf-8")
    shutil.rmtree(target / "figures", ignore_errors=True)
    for stale in target.glob("similarity_*.csv"):  # of an earlier run, on other data sets
        stale.unlink()
    shutil.copytree(folder / "figures", target / "figures")
    pd.read_parquet(folder / "scores.parquet").to_csv(
        target / "scores.csv", index=False, float_format="%.6g"
    )
    for path in sorted((folder / "similarity").glob("*.parquet")):
        table = pd.read_parquet(path)
        table.to_csv(target / f"similarity_{path.stem}.csv", index=False, float_format="%.5g")
    for path in sorted((folder / "representations").glob("*/*.parquet")):
        name = f"{path.parent.name}_{path.stem}.csv"
        pd.read_parquet(path).to_csv(target / name, index=False, float_format="%.5g")
    for path in sorted((folder / "weights").glob("*.parquet")):
        pd.read_parquet(path).to_csv(target / f"{path.stem}.csv", index=False, float_format="%.5g")
    costs_of_models(folder).to_csv(target / "costs.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]))
