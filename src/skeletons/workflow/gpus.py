"""The GPU of each job, if there are several or if jobs share one.

A job in its own process takes a place on a GPU before torch initialises CUDA, and sees no other GPU
(CUDA_VISIBLE_DEVICES). A place is a locked file, which the system frees when the process ends,
however it ends. Places belong to a machine, not to a run: two experiments at once share its GPUs.
Which GPU a job gets is not part of its recipe.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from skeletons.workflow.lock import WAITING

CHOSEN = "CUDA_VISIBLE_DEVICES"
# Without this setting, cuBLAS may add in another order from run to run, and torch refuses to train:
# https://docs.nvidia.com/cuda/cublas/#results-reproducibility
REPEATABLE = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
PAUSE = 0.2  # seconds between two looks for a free place


def visible(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that jobs may use, as CUDA_VISIBLE_DEVICES names them; empty if there are none.

    These are the GPUs in that variable. If it is not set, they are all of the machine, and of a GPU
    that is divided (MIG), its parts.
    """
    if CHOSEN in environment:
        names = [name.strip() for name in environment[CHOSEN].split(",")]
        # CUDA ignores everything from the first invalid name on.
        return list(itertools.takewhile(lambda name: bool(name) and name[0] != "-", names))
    program = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if program is None:
        return []
    done = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)
    return _listed(done.stdout.splitlines()) if done.returncode == 0 else []


def _listed(lines: Iterable[str]) -> list[str]:
    """The GPUs in the output of `nvidia-smi -L`; parts follow the GPU that they belong to."""
    found: list[str] = []
    for line in lines:
        if name := re.search(r"UUID: ([\w/-]+)", line):
            if name[1].startswith("MIG") and found and found[-1].startswith("GPU"):
                found.pop()
            found.append(name[1])
    return found


def at_once(device: str, each: int | None) -> int | None:
    """How many jobs may use the GPUs of this machine at the same time.

    Args:
        device: `compute.device`.
        each: `compute.jobs_per_gpu`.

    Returns:
        None if nothing limits them: no GPU is used, or its number of jobs is not limited.
    """
    if each is None or device == "cpu":
        return None
    return each * len(visible()) or None


@contextlib.contextmanager
def own(device: str | None, each: int | None, say: Callable[[str], None]) -> Iterator[None]:
    """Give this process one of the GPUs in this block; nothing changes if there are none.

    It is the GPU with the fewest jobs. If all are full, the job waits. From then on, results on a
    GPU repeat.

    Args:
        device: `auto`, `cpu` or `cuda`; None for a job that runs no network.
        each: the largest number of jobs on a GPU; None for any number.
        say: is called with a sentence on the GPU, if there are several, and if the job waits.
    """
    names = [] if device in (None, "cpu") else visible()
    if not names:
        yield
        return
    os.environ.setdefault(*REPEATABLE)
    before = os.environ.get(CHOSEN)
    name, place = _take(names, each, say)
    with place:
        os.environ[CHOSEN] = name
        if len(names) > 1:
            say(f"{CHOSEN}={name}")
        try:
            yield
        finally:
            if before is None:
                del os.environ[CHOSEN]
            else:
                os.environ[CHOSEN] = before


def _take(names: list[str], each: int | None, say: Callable[[str], None]) -> tuple[str, TextIO]:
    """A GPU and the locked file of a place on it, as soon as one is free."""
    folder = _folder()
    for attempt in itertools.count():
        for number in itertools.count() if each is None else range(each):
            for name in names:
                if place := _locked(folder / f"{name.replace('/', '_')}.{number}"):
                    return name, place
        if attempt == 0:
            say(f"{WAITING}each GPU has {each} jobs (compute.jobs_per_gpu).")
        time.sleep(PAUSE)
    raise AssertionError  # the loop does not end


def _folder() -> Path:
    """The folder of the places. In SLURM, a GPU's number may mean another GPU in another job."""
    job = os.environ.get("SLURM_JOB_ID")
    name = "-".join(["skeletons-gpus", str(os.getuid()), *([job] if job else [])])
    folder = Path(tempfile.gettempdir()) / name
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _locked(path: Path) -> TextIO | None:
    """The file, locked until it is closed; None if another process holds it."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
