"""Run training stages in separate processes, like the workflow's jobs but without Snakemake."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from skeletons.config.datasets import Shapes
from skeletons.config.sections import Base, Regularize
from skeletons.data.build import build, write
from skeletons.data.files import Form

# The peak resident memory in bytes of the process that evaluates this. The value from `resource`
# would be at least the memory of the process that started it.
PEAK = """next(
    1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")
)"""
# The program of a job: run one stage, then print its peak memory. A thread looks every 5 ms at the
# part that is not a mapped file, which the system could drop. With a limit, the library takes that
# for the memory of the machine, and maps a data set of more than half of it.
CALL = f"""
import importlib, json, sys, threading, time
module, stage, named, limit = json.loads(sys.argv[1])
from skeletons.store import memory
if limit:
    memory.available = lambda: limit
status, kept = open("/proc/self/status"), [0]
def look():
    while True:
        status.seek(0)
        own = next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))
        kept[0] = max(kept[0], 1024 * own)
        time.sleep(0.005)
threading.Thread(target=look, daemon=True).start()
getattr(importlib.import_module("skeletons.training." + module), stage)(**named)
print("PEAK", {PEAK}, kept[0])
"""


class Peak(NamedTuple):
    """The peak memory of a process in bytes: all of it, and without what is mapped from files."""

    resident: int
    own: int


def begin(
    module: str, stage: str, *, memory: int | None = None, **named: Any
) -> subprocess.Popen[str]:
    """Start a stage of a module of `skeletons.training` in a new process.

    Args:
        module: its name.
        stage: the function.
        memory: bytes that the library takes for the memory of the machine; None for all there is.
        named: the function's arguments.
    """
    call = json.dumps([module, stage, named, memory])
    command = [sys.executable, "-c", CALL, call]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> Peak:
    """Wait for a stage and return its peak memory; exit if it fails."""
    output, errors = process.communicate()
    if process.returncode:
        sys.exit(errors[-3000:])
    return Peak(*map(int, output.split("PEAK")[1].split()))


def shapes(folder: Path, train: int, test: int = 200, side: int = 32) -> tuple[str, str]:
    """Make a data set of shapes; return its two files, the images and the information on them."""
    spec = Shapes(kind="shapes", train=train, test=test).model_dump()
    files = str(folder / "images.safetensors"), str(folder / "info.json")
    write(build(spec, folder, Form(side)), *files)
    return files


def base(
    folder: Path, data: tuple[str, str], network: dict[str, Any], seed: int, **changed: Any
) -> subprocess.Popen[str]:
    """Start to train a base model into a folder; `changed` overrides the defaults of `base`.

    It may also hold `threads` and `memory`, see `begin`.
    """
    threads, memory = changed.pop("threads", 1), changed.pop("memory", None)
    settings = Base.model_validate(changed).model_dump(exclude={"seeds", "target"})
    folder.mkdir(parents=True, exist_ok=True)
    return begin(
        "base",
        "train_base_stage",
        memory=memory,
        dataset=data[0],
        info=data[1],
        **{key: str(folder / FILES[key]) for key in ("weights", "history", "summary")},
        seed=seed,
        network=network,
        base=settings,
        device="cpu",
        precision="auto",
        threads=threads,
    )


FILES = {
    "weights": "weights.safetensors",
    "summary": "model.json",
    "history": "history.parquet",
    "walk": "walk.parquet",
    "optimizer": "optimizer.safetensors",
}


def regularized(
    folder: Path, data: tuple[str, str], origin: Path, parent: Path, after: int, epochs: int
) -> subprocess.Popen[str]:
    """Start to train a checkpoint from its parent, in batches of 25."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = Regularize(batch_size=25, learning_rate=0.003)
    settings = chosen.model_dump(exclude={"lambdas", "epochs"})
    return begin(
        "walk",
        "regularize_stage",
        dataset=data[0],
        base=str(origin / FILES["weights"]),
        **{f"parent_{key}": str(parent / name) for key, name in FILES.items()},
        **{key: str(folder / name) for key, name in FILES.items()},
        seed=1,
        l1=2e-4,
        after=after,
        epochs=epochs,
        regularize=settings,
        device="cpu",
        precision="auto",
        threads=1,
    )


def seconds_since(begun: float) -> float:
    """Wall-clock seconds since a time of `time.perf_counter`."""
    return time.perf_counter() - begun
