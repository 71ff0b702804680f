"""Kill the workflow at random moments, run it to completion, and compare with an undisturbed run.

python benchmarks/faults.py --kills 100 --write docs/reliability.md

Each round starts from nothing and ends with a complete experiment. In between, SIGKILL hits the
driver, a training job, or the whole process group. A job counts as lost if it had finished before a
kill and runs again anyway. At the end of a round, every parquet, JSON and safetensors file is
compared with that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml
from sandbox import ROOT, Sandbox, machine, run

KINDS = ("driver", "training job", "process group")
GAP = 16.0  # seconds; the longest wait before a kill, which comes after a random time


@dataclass
class Tally:
    """The counts over all rounds."""

    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    running: int = 0  # jobs that had started but not finished when their run ended
    redone: int = 0  # jobs that ran more than once
    lost: int = 0  # of those, jobs that had finished before
    files: int = 0
    differing: list[str] = field(default_factory=list)
    leftovers: int = 0
    failures: list[str] = field(default_factory=list)


def jobs_of(log: Path) -> tuple[set[str], set[str]]:
    """The jobs that started and those that finished in one run, named by their outputs."""
    text = log.read_text(encoding="utf-8")
    names = {
        jobid: outputs
        for outputs, jobid in re.findall(
            r"^ +output: (.*)$(?:\n +(?!jobid).*)*\n +jobid: (\d+)$", text, re.M
        )
    }
    ended = set(re.findall(r"^Finished jobid: (\d+)", text, re.M))
    return set(names.values()), {names[jobid] for jobid in ended & names.keys()}


def newest_log(sandbox: Sandbox, known: set[Path]) -> Path | None:
    """The log of the run that has just ended, if it wrote one."""
    new = set((sandbox.folder / ".snakemake" / "log").glob("*.log")) - known
    known |= new
    return max(new, default=None)


def kill(kind: str, driver: subprocess.Popen[str]) -> str:
    """Kill the driver, one of its training jobs, or all; return what was really killed."""
    if kind == "training job":
        with contextlib.suppress(psutil.Error):
            jobs = [
                process
                for process in psutil.Process(driver.pid).children(recursive=True)
                if process.name() in ("train_base", "regularize")
            ]
            if jobs:
                random.choice(jobs).send_signal(signal.SIGKILL)
                return kind
        kind = "driver"
    if kind == "driver":
        driver.send_signal(signal.SIGKILL)
    else:
        os.killpg(driver.pid, signal.SIGKILL)
    return kind


def one_round(sandbox: Sandbox, undisturbed: dict[str, str], tally: Tally, kills: int) -> None:
    """Run from nothing to completion, with kills in between until there are `kills` in total."""
    sandbox.clear()
    known: set[Path] = set()
    began: Counter[str] = Counter()
    ended_before: set[str] = set()
    while True:
        driver = sandbox.start()
        killed = False
        # After a training job is killed, its driver continues and may be killed next.
        while driver.poll() is None and sum(tally.kills.values()) < kills:
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(random.uniform(0.2, GAP))
            if driver.poll() is None:
                tally.kills[kill(random.choice(KINDS), driver)] += 1
                killed = True
        status = driver.wait()
        log = newest_log(sandbox, known)
        began_now, ended_now = jobs_of(log) if log else (set(), set())
        tally.lost += len(began_now & ended_before)
        tally.redone += sum(1 for job in began_now if began[job])
        tally.running += len(began_now - ended_now) if killed else 0
        began.update(began_now)
        ended_before |= ended_now
        if status == 0:
            break
        if not killed:
            tally.failures.append((sandbox.folder / "run.log").read_text()[-2000:])
            break
    tally.rounds += 1
    # Processes that a killed driver left behind may still write for a moment.
    time.sleep(1)
    made = sandbox.artifacts()
    tally.files += len(made)
    tally.differing += [
        name for name in undisturbed.keys() | made.keys() if undisturbed.get(name) != made.get(name)
    ]
    tally.leftovers += len(list((sandbox.folder / "results").rglob(".*.tmp")))


def report(tally: Tally, name: str, seconds: float) -> str:
    """The counts as a table."""
    kinds = ", ".join(f"{tally.kills[kind]} of the {kind}" for kind in KINDS)
    rows = [
        ("kills (SIGKILL)", f"{sum(tally.kills.values())}: {kinds}"),
        ("experiments run to completion", str(tally.rounds)),
        ("runs that failed without a kill", str(len(tally.failures))),
        ("jobs running when they or their driver were killed", str(tally.running)),
        ("jobs that ran again", str(tally.redone)),
        ("of those, jobs that had finished before the kill", str(tally.lost)),
        ("parquet, JSON and safetensors files compared at the end", f"{tally.files:,}"),
        ("files that differ from the undisturbed run's", str(len(tally.differing))),
        ("half-written files left behind", str(tally.leftovers)),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in [("", ""), ("---", "---"), *rows])
    return f"{table}\n\n`{name}`, undisturbed {seconds:.0f} s; {machine()}."


def measure(options: argparse.Namespace, folder: Path) -> str:
    """Run rounds until there are as many kills as requested, and return the table."""
    random.seed(options.seed)
    config = yaml.safe_load(Path(options.configfile).read_text(encoding="utf-8"))
    sandbox = Sandbox(folder)
    sandbox.write(config)
    begun = time.monotonic()
    sandbox.finish()
    seconds = time.monotonic() - begun
    undisturbed = sandbox.artifacts()
    tally = Tally()
    while sum(tally.kills.values()) < options.kills:
        one_round(sandbox, undisturbed, tally, options.kills)
        done = sum(tally.kills.values())
        print(f"{done} kills, {tally.lost} lost, {len(tally.differing)} differ", flush=True)
    print(*tally.differing[:10], *tally.failures[:1], sep="\n")
    return report(tally, config["experiment"], seconds)


if __name__ == "__main__":
    run(
        __doc__,
        "faults",
        measure,
        kills=100,
        seed=0,
        configfile=str(ROOT / "workflow_config.yaml"),
    )
