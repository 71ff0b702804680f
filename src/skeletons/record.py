"""What an experiment was run with: its whole configuration and the versions of the packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import yaml

from skeletons import artifacts

PACKAGES = (
    "skeletons-on-rashomon-ridge",
    "snakemake",
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "safetensors",
    "scikit-learn",
    "scipy",
    "seaborn",
)


def versions() -> dict[str, str]:
    """The versions of Python and of every package that shapes a result."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in PACKAGES
    }


def record_stage(config: str, versions_of: str, values: Mapping[str, Any]) -> None:
    """Write the configuration with all its defaults, as YAML, and the versions, as JSON."""
    artifacts.write_json(versions_of, versions())
    artifacts.write_text(config, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
