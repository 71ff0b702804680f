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
        ArtifactError: it cannot be read, or is none.
    """
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
        named = [settings[section]["measures"] for section in ("compare", "figures")]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{config} is no configuration that a run recorded ({error!r}); delete it and run "
            "snakemake again."
        ) from None
    return list(dict.fromkeys(measure for measures in named for measure in measures))
