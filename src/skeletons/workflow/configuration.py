"""From the files and entries that Snakemake was called with to the validated configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from snakemake.utils import update_config

from skeletons.config import yaml_file
from skeletons.config.load import load
from skeletons.config.sections import Config
from skeletons.workflow.internals import Run

DEFAULTS = Path("workflow_config.yaml")


def read(merged: dict[str, Any], run: Run) -> Config:
    """The configuration of a run.

    Args:
        merged: all files and entries, as merged by Snakemake; corrected in place where this
            workflow merges differently.
        run: the run.

    Raises:
        ConfigError: the configuration is not valid, one sentence per problem.
    """
    if DEFAULTS.exists():  # it does not if this workflow is used as a module
        yaml_file.read(DEFAULTS)
    # Snakemake merges an experiment's file into the defaults key by key. But a data set is replaced
    # as a whole: `{kind: cifar10}` must not inherit the options of another kind.
    for path in run.config_files():
        override = yaml_file.read(os.path.relpath(path))
        if "dataset" in override:
            merged["dataset"] = override["dataset"]
    # Snakemake reads the numbers in `--config 'base={seeds: [3]}'` as text:
    # https://github.com/snakemake/snakemake/issues/2374
    update_config(merged, yaml_file.typed(run.config_entries()))
    return load(merged)
