"""Commands that a reader can paste into a shell, from the root folder of the repository."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import yaml

RUN = "snakemake --cores all --configfile"


def repeat(experiment: str) -> str:
    """The command that runs an experiment again from its recorded configuration.

    Args:
        experiment: its name.
    """
    return f"{RUN} {shlex.quote(f'results/{experiment}/config.yaml')}"


def changed(experiment: str, values: Mapping[str, Any]) -> str:
    """The same with other values of some keys.

    Args:
        experiment: its name.
        values: new values by key, with dots, such as `base.seeds`.
    """
    sections: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        section = sections
        for part in path:
            section = section.setdefault(part, {})
        section[last] = value
    entries = [shlex.quote(f"{key}={_inline(value)}") for key, value in sections.items()]
    return f"{repeat(experiment)} --config {' '.join(entries)}"


def _inline(value: Any) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
