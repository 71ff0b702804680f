"""Different experiments that run at the same time in one folder, and the data sets they share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import CHAIN, Workflow, python

from skeletons.workflow import lock

# A data set that takes as long as a test wants, and counts how often it is made.
SLOW = """
import time
from pathlib import Path

import numpy as np

def slow(size):
    with Path("made.txt").open("a") as file:
        file.write(f"{size}\\n")
    while not Path(f"go-{size}").exists():
        time.sleep(0.1)
    draw = np.random.default_rng(size)
    images = draw.integers(0, 256, (2 * size, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(2 * size) % 2
    return images[:size], labels[:size], images[size:], labels[size:], ["even", "odd"]
"""
SET = "slow_slow_size=40"


def experiment(name: str, size: int = 40) -> dict[str, Any]:
    dataset = {"kind": "slow.py:slow", "options": {"size": size}}
    return {**CHAIN, "experiment": name, "dataset": dataset}


@pytest.fixture
def folder(workflow: Workflow) -> Workflow:
    (workflow / "slow.py").write_text(SLOW)
    return workflow


def begin(
    workflow: Workflow, config: dict[str, Any], *arguments: str, group: bool = False
) -> subprocess.Popen[str]:
    name = f"{config['experiment']}.yaml"
    workflow.write(config, name)
    program = sys.executable if group else python()
    return workflow.begun([*workflow.command(name, program=program), *arguments], alone=group)


def end(running: subprocess.Popen[str], code: int = 0) -> str:
    out, _ = running.communicate(timeout=300)
    assert running.returncode == code, out
    return out


def results(workflow: Workflow, experiment: str) -> dict[str, bytes]:
    """The models and their predictions, which do not contain the experiment's name."""
    folder = workflow / "results" / experiment
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for part in ("models", "predictions", "similarity")
        for path in sorted((folder / part).rglob("*"))
        if path.suffix in (".parquet", ".safetensors", ".json")
    }


def wait_for(path: Path, text: str = "") -> None:
    for _ in range(600):
        if path.exists() and text in path.read_text():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path} does not come, or lacks {text!r}")


def test_two_experiments_make_their_common_data_set_once(folder: Workflow) -> None:
    runs = [begin(folder, experiment(name)) for name in ("one", "two")]
    for name in ("one", "two"):
        wait_for(folder / f"logs/{name}/dataset/{SET}.log")
    wait_for(folder / "made.txt")
    time.sleep(2)
    (folder / "go-40").touch()
    said = "".join(map(end, runs))
    assert (folder / "made.txt").read_text() == "40\n"
    assert said.count(f"… dataset of {SET}: Waiting: another run is making results/data/{SET}") == 1
    found = results(folder, "one")
    assert len(found) > 15
    assert results(folder, "two") == found
    for name in ("one", "two"):
        assert "Nothing to be done" in end(begin(folder, experiment(name)))
    assert not list((folder / "results").rglob("*.tmp"))


def test_two_experiments_with_data_sets_of_their_own(folder: Workflow) -> None:
    slow = begin(folder, experiment("slow"))
    wait_for(folder / "made.txt")
    (folder / "go-50").touch()
    quick = end(begin(folder, experiment("quick", size=50)))
    assert "Waiting" not in quick
    assert slow.poll() is None  # it makes its data set still
    (folder / "go-40").touch()
    end(slow)
    assert {name.replace("=40", "=50") for name in results(folder, "slow")} == {
        *results(folder, "quick")
    }


def test_two_runs_of_one_experiment_are_refused(folder: Workflow) -> None:
    first = begin(folder, experiment("one"), "--until", "dataset")
    wait_for(folder / "made.txt")
    said = end(begin(folder, experiment("one")), code=1)
    assert said.count("Another run is using results/one (process ") == 1
    (folder / "go-40").touch()
    end(first)


def test_a_data_set_outlives_those_who_wait_for_it_and_those_who_make_it(folder: Workflow) -> None:
    until = ("--until", "train_base")
    maker = begin(folder, experiment("one"), *until, group=True)
    wait_for(folder / "made.txt")
    log = folder / f"logs/two/dataset/{SET}.log"
    for number in (signal.SIGINT, signal.SIGKILL):
        waiting = begin(folder, experiment("two"), *until, group=True)
        wait_for(log, lock.WAITING)
        os.killpg(waiting.pid, number)
        waiting.communicate(timeout=60)
        log.unlink(missing_ok=True)
    waiting = begin(folder, experiment("two"), *until)
    wait_for(log, lock.WAITING)
    os.killpg(maker.pid, signal.SIGKILL)
    maker.communicate(timeout=60)
    (folder / "go-40").touch()
    end(waiting)
    assert (folder / "made.txt").read_text() == "40\n40\n"
    end(begin(folder, experiment("one"), *until))
    assert (folder / "made.txt").read_text() == "40\n40\n"
    assert results(folder, "one") == results(folder, "two")
    assert not list((folder / "results").rglob("*.tmp"))


def test_a_forced_data_set_is_made_again(folder: Workflow) -> None:
    (folder / "go-40").touch()
    end(begin(folder, experiment("one"), "--until", "dataset"))
    path = folder / f"results/data/{SET}/images.safetensors"
    kept, again = path.read_bytes(), ("--until", "dataset", "-R", "dataset")
    path.write_bytes(kept[:-1])  # which a job that trains would refuse
    end(begin(folder, experiment("two"), *again))
    assert (folder / "made.txt").read_text() == "40\n40\n"
    assert path.read_bytes() == kept


def test_a_data_set_that_cannot_be_made_keeps_the_old_one(folder: Workflow) -> None:
    (folder / "go-40").touch()
    end(begin(folder, experiment("one"), "--until", "dataset"))
    path = folder / f"results/data/{SET}/images.safetensors"
    kept = path.read_bytes()
    (folder / "slow.py").write_text(SLOW.replace("draw = ", "draw = 1 / 0, "))
    said = end(begin(folder, experiment("one"), "--until", "dataset"), code=1)
    assert said.count("slow.py:slow failed at line 12 (ZeroDivisionError") == 1
    assert "estore" not in said
    assert path.read_bytes() == kept
    (folder / "slow.py").write_text(SLOW.replace("draw = ", "other = "))
    said = end(begin(folder, experiment("one"), "--until", "dataset"), code=1)
    assert "NameError" in said  # what was restored does not pass for new


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    code = (
        "import sys, time; from skeletons.workflow import lock\n"
        "with lock.alone(sys.argv[1], print): print(1, flush=True); time.sleep(2)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "1\n"
        said: list[str] = []
        with lock.alone(tmp_path, said.append):
            assert other.wait(timeout=10) == 0
    assert len(said) == 1
    assert said[0].startswith(f"Waiting: another run is making {tmp_path} (process {other.pid} on ")
    with lock.alone(tmp_path, said.append):
        pass
    assert len(said) == 1
