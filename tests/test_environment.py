"""The environment is pinned completely, and is the same however it is made."""

import hashlib
import re
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def entries() -> dict[str, list[str]]:
    """The locked packages, each with its hashes."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"\n(?=[a-z])", LOCK):
        if match := re.match(r"([a-z0-9._-]+)==(\S+)", block):
            found[f"{match[1]}=={match[2]}"] = re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
    return found


def test_every_package_has_a_hash_and_none_an_address() -> None:
    assert len(entries()) > 50
    assert all(entries().values())
    assert not re.search(r"https?:|--index-url|--find-links|file:", LOCK)


def wanted() -> list[str]:
    return [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]


@pytest.mark.parametrize("requirement", wanted())
def test_what_the_project_needs_is_locked_and_installed(requirement: str) -> None:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    name = match[0].lower()
    versions = {entry.split("==")[1] for entry in entries() if entry.split("==")[0] == name}
    assert metadata.version(name) in versions


def environments() -> list[Path]:
    return sorted((ROOT / "envs").glob("*.yaml"))


@pytest.mark.parametrize("path", environments(), ids=lambda path: path.name)
def test_a_conda_environment_is_made_anew_when_the_lock_file_changes(path: Path) -> None:
    digest = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    assert f"requirements.lock sha256:{digest}\n" in path.read_text()
    parts = yaml.safe_load(path.read_text())["dependencies"]
    python = next(part for part in parts if part.startswith("python "))
    assert python.split("=")[1] == PROJECT["requires-python"].removeprefix(">=")


@pytest.mark.parametrize("path", environments(), ids=lambda path: path.name)
def test_a_conda_environment_installs_what_make_does(path: Path) -> None:
    """Snakemake copies the YAML file elsewhere, so only its script can name project files."""
    assert "requirements.lock" not in str(yaml.safe_load(path.read_text()))
    script = path.with_suffix(".post-deploy.sh").read_text()
    make = (ROOT / "Makefile").read_text()
    installs = [line.split("pip install")[1] for line in script.splitlines() if "pip " in line]
    assert len(installs) == 2
    for options in installs:
        assert options.removeprefix(" --quiet") in make.replace(" --disable-pip-version-check", "")


def test_every_rule_that_names_an_environment_names_one_that_exists() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        for name in re.findall(r"\.\./envs/([\w.-]+)", path.read_text()):
            assert (ROOT / "envs" / name).is_file()
