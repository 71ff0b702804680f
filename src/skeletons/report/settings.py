"""The record of a run: the complete configuration, and the versions of the packages."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from skeletons import text
from skeletons.errors import ArtifactError
from skeletons.report import colours
from skeletons.store import artifacts, provenance

# Beside those that influence a result, see `provenance.PACKAGES`.
PACKAGES = ("skeletons-on-rashomon-ridge", "snakemake", "torchvision", "seaborn")
DIGEST = "skeletons-config"  # the name of the report's <meta> element with the digest
HEAD = 8192  # bytes of the report in which that element stands


def package_versions(config: Mapping[str, Any]) -> dict[str, str]:
    """The versions of Python and of every package that affects a result or its page.

    Args:
        config: the complete configuration; networks of `timm` need its version.
    """
    networks = [config.get("network"), *config.get("networks", {}).values()]
    timm = ["timm"] if any(one and one["name"].startswith("timm:") for one in networks) else []
    names = sorted({*PACKAGES, *provenance.PACKAGES, *timm})
    return {"python": platform.python_version(), **{one: metadata.version(one) for one in names}}


def record_stage(*, config: str, versions: str, values: Mapping[str, Any]) -> None:
    """Write the configuration with all its defaults as YAML, and the versions as JSON.

    Args:
        config: config.yaml to write.
        versions: versions.json to write.
        values: the complete configuration, in canonical form.
    """
    artifacts.write_json(versions, package_versions(values))
    artifacts.write_text(config, _as_yaml(values))


def _as_yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)


def digest(config: str) -> str:
    """The digest of a configuration, from the content of its config.yaml."""
    return f"sha256:{hashlib.sha256(config.encode()).hexdigest()}"


def outdated(folder: str | Path, values: Mapping[str, Any]) -> str:
    """A sentence if the report shows another configuration, for example after a failed run.

    config.yaml is written when a run begins and the report when it ends, so the two may differ. The
    report holds a digest of its configuration. Findings hold none, but those that are older than
    config.yaml belong to an earlier one.

    Args:
        folder: results/EXPERIMENT.
        values: the complete configuration of the run, as in `record_stage`.

    Returns:
        An empty text if there is no report, or if it shows this configuration.
    """
    page = Path(folder) / "report.html"
    try:
        if _digest_in(page) == digest(_as_yaml(values)):
            return ""
        recorded = Path(folder) / "config.yaml"
        begun = (recorded if recorded.exists() else page).stat().st_mtime
    except OSError:
        return ""
    findings = [Path(folder) / name for name in ("findings.md", "findings.json")]
    old = [page, *(path for path in findings if path.exists() and path.stat().st_mtime < begun)]
    named = text.listed([str(path) for path in old])
    were = "was" if len(old) == 1 else "were"
    return f"{named} {were} made by an earlier run with another configuration."


def _digest_in(page: Path) -> str:
    """The digest of the configuration that a report shows; empty if it has none."""
    with page.open("rb") as file:
        head = file.read(HEAD).decode(errors="replace")
    found = re.search(f'<meta name="{DIGEST}" content="([^"]*)">', head)
    return found[1] if found else ""


def measures_in(config: str | Path) -> list[str]:
    """The measures that a recorded configuration names, including user-defined ones, each once.

    Raises:
        ArtifactError: it cannot be read.
    """
    primary = _section(config, "findings").get("primary", {}).get("measure")
    named = (_section(config, key).get("measures", []) for key in ("compare", "figures"))
    listed = [measure for measures in named for measure in measures]
    return list(dict.fromkeys([*([primary] if primary else []), *listed]))


def colormap_in(config: str | Path) -> str:
    """The colour map that a recorded configuration names, a key of `colours.SCALES`.

    Raises:
        ArtifactError: it cannot be read, or names no such colour map.
    """
    found = _section(config, "figures").get("colormap")
    if found not in colours.SCALES:
        raise ArtifactError(
            f"{config}: figures.colormap: found {found!r}; allowed: {', '.join(colours.SCALES)}; "
            "delete it and run snakemake again."
        )
    return str(found)


def target_in(config: str | Path) -> Mapping[str, float]:
    """What a base must reach to count as optimal, as a recorded configuration has it.

    Returns:
        The target of all networks; empty if they have different ones.

    Raises:
        ArtifactError: it cannot be read.
    """
    shared = _section(config, "base")
    networks = _section(config, "networks").values()
    bases = [one.get("base") or shared for one in networks if isinstance(one, Mapping)]
    if _section(config, "network") or not bases:
        bases.append(shared)
    first, *others = (base.get("target") for base in bases)
    if not isinstance(first, Mapping) or any(one != first for one in others):
        return {}
    return first


def variant_in(config: str | Path) -> Mapping[str, float]:
    """The λ, epochs, and threshold or density of the variant that inspections are of; or empty.

    Raises:
        ArtifactError: it cannot be read.
    """
    variant = _section(config, "inspect").get("variant")
    if not isinstance(variant, Mapping):
        return {}
    return {key: value for key, value in variant.items() if value is not None}


def alignment_in(config: str | Path) -> Mapping[str, str]:
    """How units of different bases are aligned, as a recorded configuration has it.

    Raises:
        ArtifactError: it cannot be read.
    """
    return _section(config, "alignment")


def _section(config: str | Path, key: str) -> Mapping[str, Any]:
    """A section of a recorded configuration; empty if it does not exist."""
    try:
        settings = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ArtifactError(f"Cannot read {config}: {error}.") from None
    found = settings.get(key) if isinstance(settings, Mapping) else None
    return found if isinstance(found, Mapping) else {}
