"""A copy of the workflow in a folder of its own, to be run, disturbed and measured there."""

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

from skeletons.prediction.device import pick_precision  # noqa: E402

Answer = TypeVar("Answer")
SEALED = (".parquet", ".json", ".safetensors")


class Sandbox(Workflow):
    """A copy of the workflow that can be begun, cleared, and compared with another run of it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(folder)

    def start(self) -> subprocess.Popen[str]:
        """Begin a run in a process group of its own; what it says goes to run.log."""
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
        """Run to the end, which must be a good one."""
        if self.start().wait() != 0:
            sys.exit(f"A run failed:\n{(self.folder / 'run.log').read_text()[-3000:]}")

    def clear(self) -> None:
        """Remove all that runs made."""
        for part in ("results", "logs", ".snakemake"):
            shutil.rmtree(self.folder / part, ignore_errors=True)

    def artifacts(self) -> dict[str, str]:
        """SHA-256 of every sealed artifact, by its path in results; the run cache is left out."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(results.rglob("*"))
            if path.suffix in SEALED and ".cache" not in path.parts
        }


def in_a_process(function: Callable[..., Answer], *arguments: Any) -> Answer:
    """What a function gives in a fresh process, which no call before it has changed."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(function, *arguments).result()


def machine() -> str:
    """The hardware and the versions that figures are of, in a line."""
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
    """A benchmark as a command: measure, print the figures, and with `--write` publish them.

    Args:
        page: what the benchmark says of itself, its module's `__doc__`.
        name: of its place in the page.
        measure: gives the figures as Markdown, from the options and a folder to work in, which is
            removed at the end.
        defaults: further options, each of its default's type; that of a list takes several, and a
            default of None is text.
    """
    parser = argparse.ArgumentParser(description=str(page).splitlines()[0])
    for key, value in defaults.items():
        several = isinstance(value, tuple)
        kind = str if value is None else type(value[0] if isinstance(value, tuple) else value)
        parser.add_argument(
            f"--{key.replace('_', '-')}", type=kind, default=value, nargs="+" if several else None
        )
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix=f"{name}-", ignore_cleanup_errors=True) as folder:
        text = measure(options, Path(folder))
    print(text)
    if options.write:
        publish(options.write, name, text)


def publish(page: Path, name: str, text: str) -> None:
    """Put a benchmark's figures into a page, between `<!-- name -->` and `<!-- end name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    old = page.read_text(encoding="utf-8")
    if begin not in old or end not in old:
        sys.exit(f"{page} has no place for these figures; it needs a line {begin} and one {end}.")
    head, rest = old.split(begin, 1)
    page.write_text(f"{head}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}", "utf-8")


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """The least and the most of some values, in words; by default the larger, the fewer digits."""
    if digits is None:
        digits = 0 if max(values) >= 100 else 1 if max(values) >= 10 else 2
    return f"{min(values):,.{digits}f} to {max(values):,.{digits}f}"
