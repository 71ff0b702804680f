"""A look inside that cannot be had: its artifacts hold the reason in place of results.

A look may fail because of what the network or the model is: its channels cannot be followed, its
skeleton computes other logits once it is smaller, or training it further diverges. The findings,
figures and report do not depend on that, so the job ends well and writes the reason into each of
its files: JSON with the key `absent`, a table with one row and the column `absent`, or safetensors
without a tensor. Whoever reads a look asks `reason` first. A look that is made from another one
hands its reason on.

What has nothing to do with the network or the model, such as a broken file, still fails the job.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from skeletons.errors import DifferenceError, ExposureError, TrainingError, WiringError
from skeletons.store import artifacts

KEY = "absent"  # of JSON, and column of a table, with the reason in a sentence
CAUSES = (DifferenceError, ExposureError, WiringError, TrainingError)

Stage = Callable[..., None]


def look(*outputs: str, made_from: Iterable[str] = ()) -> Callable[[Stage], Stage]:
    """A decorator of a stage that looks inside: if the look cannot be had, it writes the reason.

    Args:
        outputs: the names of the stage's arguments that are files to write.
        made_from: the names of those that are artifacts of other looks.
    """

    def decorate(stage: Stage) -> Stage:
        @functools.wraps(stage)
        def run(**keywords: Any) -> None:
            because = first_reason(*(path for name in made_from for path in _paths(keywords[name])))
            if not because:
                try:
                    stage(**keywords)
                except CAUSES as error:
                    because = str(error)
            if because:
                print(f"Not available: {because}", flush=True)
                for name in outputs:
                    _write(keywords[name], because)

        return run

    return decorate


def _paths(value: Any) -> list[str]:
    """An argument as a list of paths: it is one path, several, or None."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _write(path: str, because: str) -> None:
    if path.endswith(".json"):
        artifacts.write_json(path, {KEY: because})
    elif path.endswith(".parquet"):
        artifacts.write_table(path, pd.DataFrame({KEY: [because]}))
    else:
        artifacts.write_tensors(path, {})


def reason(path: str | Path) -> str:
    """Why a look cannot be had, from its JSON or its table; empty if the look is there.

    Raises:
        ArtifactError: the file is missing or broken.
    """
    if str(path).endswith(".json"):
        return str(artifacts.read_json(path).get(KEY) or "")
    table = artifacts.read_table(path)
    return str(table[KEY].iloc[0]) if KEY in table else ""


def first_reason(*paths: str) -> str:
    """The first reason of several artifacts; empty if all are there."""
    return next(filter(None, map(reason, paths)), "")
