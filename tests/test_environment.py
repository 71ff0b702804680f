"""The environment is pinned completely, and is the same however it is made."""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
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
    found = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    return [name for name in found if not name.startswith(f"{PROJECT['name']}[")]  # its own extras


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


STUB = """#!/bin/sh
case "$*" in
    *venv*) mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo "$*" >> made ;;
esac
"""


@pytest.mark.parametrize(
    ("made_for", "made"),
    [
        (None, "-m venv .venv"),  # a fresh clone
        ("{}", ""),
        ("", ""),  # by hand, as without CUDA
        ("/elsewhere", "-m venv --clear .venv"),
        ("{}{}", "-m venv --clear .venv"),
    ],
)
@pytest.mark.parametrize("folder", ["plain", "with a space"])
def test_an_environment_is_made_once_for_each_folder(
    folder: str, made_for: str | None, made: str, tmp_path: Path
) -> None:
    """With a stub for Python, which makes a stub of an environment."""
    here = tmp_path / folder
    (here / ".venv").mkdir(parents=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, here)
    stub, ready = tmp_path / "python", here / ".venv/.ready"
    stub.write_text(STUB)
    stub.chmod(0o755)
    if made_for is not None:
        ready.write_text(made_for.replace("{}", str(here)))
    said = ""
    for _ in range(2):  # the second one has nothing to do
        done = subprocess.run(
            ["make", "env", f"PYTHON={stub}"],
            cwd=here,
            env={**os.environ, "MAKEFLAGS": ""},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    assert ((here / "made").read_text().strip() if made else "") == made
    assert (here / "made").exists() == bool(made)
    assert ("The folder was moved or copied. Its environment is made again." in said) == (
        "clear" in made
    )
    assert not made or ready.read_text().strip() == str(here)


def test_an_environment_of_another_checkout_is_left_alone(tmp_path: Path) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    ready = tmp_path / "theirs/.ready"
    ready.parent.mkdir()
    ready.write_text("/elsewhere")
    (tmp_path / ".venv").symlink_to(ready.parent)
    done = subprocess.run(
        ["make", "--dry-run", "env"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert "venv" not in done.stdout


# --- progress while it is installed ---------------------------------------------------------------

INSTALL = ROOT / "scripts/install.py"
PIP = """\
Ignoring appnope: markers 'sys_platform == "darwin"' don't match your environment
Collecting idna==3.20 (from -r a.lock (line 1))
  Downloading idna-3.20-py3-none-any.whl (64 kB)
Requirement already satisfied: nvidia-cublas==13.4 in ./lib
Processing /wheels/nvidia_nvtx-13.2.86-py3-none-any.whl (from -r a.lock (line 4))
Installing collected packages: idna, nvidia-nvtx
Successfully installed idna-3.20
"""
SMALL = """\
appnope==1 ; sys_platform == 'darwin' \\
    --hash=sha256:0
idna==3.20 \\
    --hash=sha256:1
nvidia-cublas==13.4
nvidia-nvtx==13.2.86
"""


def test_what_pip_does_is_counted() -> None:
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    progress, said = module.Progress(SMALL), []
    for line in PIP.splitlines(keepends=True):
        progress.follow([line])
        said.append(progress.words(installed=2))
    assert said == [
        "Reading the lock file",
        "Downloading package 1 of 3: idna",
        "Downloading package 1 of 3: idna (64 kB)",
        "Downloading package 2 of 3: nvidia-cublas",
        "Downloading package 3 of 3: nvidia_nvtx",
        "Unpacked 2 of 3 packages",
        "Unpacked 2 of 3 packages",
    ]


def install(folder: Path, lock: str) -> subprocess.CompletedProcess[str]:
    """Install from a folder of wheels into another, without a network."""
    (folder / "a.lock").write_text(lock)
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_TARGET": str(folder / "there")}
    return subprocess.run(
        [sys.executable, str(INSTALL), "--require-hashes", "-r", str(folder / "a.lock")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_lock_file_is_installed_in_few_lines(tmp_path: Path) -> None:
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("tiny.py", "A = 1\n")
        about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        file.writestr("tiny-1.0.dist-info/METADATA", about)
        file.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    done = install(tmp_path, f"tiny==1.0 \\\n    --hash=sha256:{digest}\n")
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "there/tiny.py").exists()
    assert done.stdout.splitlines()[0].startswith("Installing the packages of ")
    assert done.stdout.splitlines()[-1] == "Installed 1 packages."
    assert len(done.stdout.splitlines()) < 6
    assert "\x1b" not in done.stdout
    done = install(tmp_path, f"tiny==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    assert done.returncode == 1
    assert "DO NOT MATCH THE HASHES" in done.stdout
