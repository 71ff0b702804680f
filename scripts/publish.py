"""Copy what an experiment found to docs/results, small enough to commit.

python scripts/publish.py results/EXPERIMENT docs/results
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd

WHOLE = ("findings.md", "findings.json", "config.yaml", "versions.json")


def costs(folder: Path) -> pd.DataFrame:
    """What each training job cost: CPU seconds and largest memory (MB), from its benchmark.

    Wall time says as much about what else the machine did.
    """
    rows = []
    models = set(pd.read_parquet(folder / "scores.parquet", columns=["model"]).model)
    paths = sorted((folder / "benchmarks").glob("*/*.tsv"))
    for path in (path for path in paths if path.stem in models):
        row = pd.read_csv(path, sep="\t").iloc[0]
        rows.append(
            {"rule": path.parent.name, "model": path.stem, "cpu_s": row.cpu_time, "mb": row.max_rss}
        )
    return pd.DataFrame(rows)


def publish(folder: Path, target: Path) -> None:
    """Write figures, findings, configuration, and the tables as CSV."""
    target.mkdir(parents=True, exist_ok=True)
    for name in WHOLE:
        shutil.copy(folder / name, target / name)
    shutil.rmtree(target / "figures", ignore_errors=True)
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
    costs(folder).to_csv(target / "costs.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    publish(Path(sys.argv[1]), Path(sys.argv[2]))
