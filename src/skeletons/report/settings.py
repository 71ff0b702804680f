"""What an experiment was run with: its whole configuration and the versions of the packages."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from markupsafe import escape

from skeletons import text
from skeletons.errors import ArtifactError
from skeletons.report import colours
from skeletons.store import artifacts

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
    artifacts.write_text(config, _text(values))


def _text(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def outdated(folder: str | Path, values: Mapping[str, Any]) -> str:
    """A sentence on a report that shows another configuration, as one does after a run that failed.

    config.yaml is written when a run begins and the report when it ends, so the two may differ. The
    report holds its configuration; findings do not, but those that are older than it belong to it.

    Args:
        folder: results/EXPERIMENT.
        values: the whole configuration of the run, as in `record_stage`.

    Returns:
        Nothing if there is no report, or it shows this configuration.
    """
    page = Path(folder) / "report.html"
    try:
        if str(escape(_text(values))) in page.read_text(encoding="utf-8", errors="replace"):
            return ""
        made = page.stat().st_mtime
    except OSError:
        return ""
    findings = [Path(folder) / name for name in ("findings.md", "findings.json")]
    old = [page, *(path for path in findings if path.exists() and path.stat().st_mtime <= made)]
    named = text.listed([str(path) for path in old])
    are = "is" if len(old) == 1 else "are"
    return f"{named} {are} from before this run, of another configuration."


def measures_in(config: str | Path) -> list[str]:
    """The measures that a recorded configuration names, the user's own among them, each once.

    Raises:
        ArtifactError: it cannot be read.
    """
    named = (_section(config, key).get("measures", []) for key in ("compare", "figures"))
    return list(dict.fromkeys(measure for measures in named for measure in measures))


def colormap_in(config: str | Path) -> str:
    """The colour map that a recorded configuration names, a key of `colours.SCALES`.

    Raises:
        ArtifactError: it cannot be read, or names none of these.
    """
    found = _section(config, "figures").get("colormap")
    if found not in colours.SCALES:
        raise ArtifactError(
            f"{config}: figures.colormap: found {found!r}; allowed: {', '.join(colours.SCALES)}; "
            "delete it and run snakemake again."
        )
    return str(found)


def _section(config: str | Path, key: str) -> Mapping[str, Any]:
    """A section of a recorded configuration; an empty one if there is none."""
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(f"Cannot read {config}: {error}.") from None
    found = settings.get(key) if isinstance(settings, Mapping) else None
    return found if isinstance(found, Mapping) else {}
