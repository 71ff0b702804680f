"""Where a job keeps what it has done so far, so that it can go on after an interruption.

Each experiment has a folder `unfinished`, with one file per interrupted job. The file is named by
the key of the job's recipe, so a job never finds the state of other settings, code, inputs,
versions or threads. Snakemake does not know these files, and leaves them when it removes the
outputs of a failed job.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from skeletons.store import provenance

FOLDER = "unfinished"
RESUMED = "Resumed after epoch"  # begins the line of a log that follows the epochs from before


def state_of(output: str | os.PathLike[str], key: str) -> Path:
    """The file that holds the state of a job.

    Args:
        output: one of the job's output files.
        key: of its recipe.
    """
    depth = len(Path(provenance.place(output)).parts)
    return Path(output).parents[depth - 1] / FOLDER / f"{key}.safetensors"


def running(output: str | os.PathLike[str]) -> Path | None:
    """The file for the state of the running job; None outside a job."""
    key = provenance.key()
    return None if key is None else state_of(output, key)


def sweep(results: str | os.PathLike[str]) -> None:
    """Remove all states of an experiment; none of its jobs may be running."""
    shutil.rmtree(Path(results) / FOLDER, ignore_errors=True)
