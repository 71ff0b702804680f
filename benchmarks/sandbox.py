"""Copies of the workflow to run, disturb and measure; and the command line of every benchmark."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from conftest import Workflow  # noqa: E402

from skeletons.marked import renewed  # noqa: E402
from skeletons.prediction.device import pick_precision  # noqa: E402

Answer = TypeVar("Answer")
SEALED = (".parquet", ".json", ".safetensors")


class Sandbox(Workflow):
    """A copy of the workflow that can be started, cleared, and compared with another copy."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)

    def start(self) -> subprocess.Popen[str]:
        """Start a run in its own process group; its output goes to run.log."""
        with (self.folder / "run.log").open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def finish(self) -> None:
        """Run to completion; exit if the run fails."""
        if self.start().wait() != 0:
            sys.exit(f"A run failed:\n{(self.folder / 'run.log').read_text()[-3000:]}")

    def clear(self) -> None:
        """Remove everything that runs made."""
        for part in ("results", "logs", ".snakemake"):
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def artifacts(self) -> dict[str, str]:
        """SHA-256 of every sealed artifact, by its path in results, without the run cache."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(results.rglob("*"))
            if path.suffix in SEALED and ".cache" not in path.parts
        }


def in_a_process(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call a function in a new process, which no earlier call has changed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def machine() -> str:
    """The hardware and the versions that were measured, in one line."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    versions = ", ".join(
        f"{name} {metadata.version(name)}" for name in ("snakemake", "torch", "numpy", "pyarrow")
    )
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    bf16 = pick_precision("auto", torch.device("cpu")) == "bf16"
    processor = f"{processor}, {'with' if bf16 else 'without'} bf16"
    return f"{os.cpu_count()} cores ({processor}), Python {platform.python_version()}, {versions}"


def run(
    page: str | None,
    name: str,
    measure: Callable[[argparse.Namespace, Path], str],
    **defaults: Any,
) -> None:
    """Run a benchmark as a command: measure, print the figures, and with `--write` publish them.

    Args:
        page: the docstring of the benchmark's module, `__doc__`.
        name: the name of the benchmark's place in the page; see `publish`.
        measure: returns the figures as Markdown, given the options and a folder to work in. The
            folder is removed at the end.
        defaults: further options with their defaults. An option has the type of its default; a
            tuple takes several values, and a default of None means text.
    """
    parser = argparse.ArgumentParser(description=str(page).splitlines()[0])
    for key, value in defaults.items():
        several = isinstance(value, tuple)
        kind = str if value is None else type(value[0] if isinstance(value, tuple) else value)
        parser.add_argument(
            f"--{key.replace('_', '-')}", type=kind, default=value, nargs="+" if several else None
        )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the figures to this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as folder:
        text = measure(options, Path(folder))
    print(text)
    if options.write:
        publish(options.write, name, text)


def publish(page: Path, name: str, text: str) -> None:
    """Write a benchmark's figures to a page, between `<!-- name -->` and `<!-- end name -->`."""
    try:
        made = renewed(page.read_text(encoding="utf-8"), name, text)
    except ValueError as error:
        sys.exit(f"{page} has no place for the figures: {error}.")
    page.write_text(made, encoding="utf-8")


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """The smallest and largest value, as text; by default, large values have fewer digits."""
    if digits is None:
        digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"
