"""What an experiment was run with: its whole configuration and the versions of the packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from skeletons import artifacts
from skeletons.errors import ArtifactError

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


def measures_in(config: str | Path) -> list[str]:
    """The measures that a recorded configuration names, the user's own among them, each once.

    Raises:
        ArtifactError: it cannot be read.
    """
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(f"Cannot read {config}: {error}.") from None
    sections = settings if isinstance(settings, Mapping) else {}
    named = (sections.get(key, {}).get("measures", []) for key in ("compare", "figures"))
    return list(dict.fromkeys(measure for measures in named for measure in measures))
