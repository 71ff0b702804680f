"""From the files and entries that Snakemake was called with to the validated configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.config import layers, yaml_file
from skeletons.config.companions import decided
from skeletons.config.load import load
from skeletons.config.networks import as_they_are
from skeletons.config.sections import Config
from skeletons.config.sentences import PATTERNS
from skeletons.config.types import EXPERIMENT_PATTERN
from skeletons.errors import ConfigError
from skeletons.workflow.internals import Run

DEFAULTS = Path("workflow_config.yaml")


def read(merged: dict[str, Any], run: Run) -> Config:
    """The configuration of a run.

    All files are read again: Snakemake merges every section key by key, and does not refuse what
    `yaml_file` refuses.

    Args:
        merged: what Snakemake made of all files and entries. Only a workflow that uses this one as
            a module decides what it is.
        run: the run.

    Raises:
        ConfigError: the configuration is not valid, one sentence per problem.
    """
    paths = [os.path.relpath(path) for path in run.config_files()]
    files = {path: yaml_file.read(path) for path in paths}
    # Snakemake reads the numbers in `--config 'base={seeds: [3]}'` as text:
    # https://github.com/snakemake/snakemake/issues/2374
    entries = yaml_file.typed(run.config_entries())
    if not DEFAULTS.exists():  # a module: of other files, what they have in common with it
        shared = ({key: file[key] for key in file if key in merged} for file in files.values())
        return load(layers.merged([merged, *shared, entries]))
    given = layers.merged([*files.values(), entries])
    named = _named(list(files)) if files and "experiment" not in given else {}
    found = layers.merged([yaml_file.read(DEFAULTS), decided(given), named])
    return load({**found, **_walks(found, given)})


def _walks(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """No walks of trained models, if nothing but the defaults speaks of walks."""
    return {} if given.keys() & {"regularize", "prune"} else as_they_are(found)


def _named(files: Sequence[str]) -> Mapping[str, str]:
    """The experiment's name if nothing names it: that of its file, or of all of its files.

    Without it, the results would replace those of the experiment that has the default name.

    Raises:
        ConfigError: the file's name is not the name of an experiment.
    """
    name = "_".join(Path(file).stem for file in files)
    if not re.fullmatch(EXPERIMENT_PATTERN, name):
        raise ConfigError(
            f"experiment: found {name!r}, from the name of {' and '.join(files)}; allowed: "
            f"{PATTERNS[EXPERIMENT_PATTERN]}, so rename the file or give the key in it."
        )
    return {"experiment": name}
