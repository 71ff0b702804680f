"""Each job has its own GPU, or its share of one; with faked GPUs, on the CPU."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import CHAIN, ROOT, Workflow

from skeletons.workflow import gpus
from skeletons.workflow.stages import STAGES

SEES = gpus.CHOSEN
LISTED = """GPU 0: NVIDIA H100 (UUID: GPU-1a)
GPU 1: NVIDIA H100 (UUID: GPU-2b)
  MIG 1g.10gb     Device  0: (UUID: MIG-3c)
  MIG 1g.10gb     Device  1: (UUID: MIG-GPU-2b/7/0)
GPU 2: NVIDIA H100 (UUID: GPU-4d)
"""


@pytest.fixture(autouse=True)
def _own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other test takes a place there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(SEES, "0,1")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def ignore(sentence: str) -> None:
    """Does nothing with what a job says."""


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0,1", ["0", "1"]),
        ("3", ["3"]),
        (" 2 , GPU-5", ["2", "GPU-5"]),
        ("", []),
        ("0,-1,2", ["0"]),
    ],
)
def test_the_gpus_of_a_run_are_those_that_it_may_see(value: str, found: list[str]) -> None:
    assert gpus.visible({SEES: value}) == found


@pytest.mark.parametrize(
    ("status", "found"), [(0, ["GPU-1a", "MIG-3c", "MIG-GPU-2b/7/0", "GPU-4d"]), (9, [])]
)
def test_without_a_choice_they_are_all_that_the_driver_lists(
    tmp_path: Path, status: int, found: list[str]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{LISTED}'\nexit {status}\n")
    program.chmod(0o755)
    assert gpus.visible({"PATH": f"{tmp_path}:{os.environ['PATH']}"}) == found
    program.unlink()
    assert gpus.visible({"PATH": str(tmp_path)}) == []


def taken(stack: ExitStack, each: int | None, say: object = ignore) -> str:
    """The GPU of one more job; on the way back the process sees all again."""
    held = gpus.own("auto", each, say)  # type: ignore[arg-type]
    stack.enter_context(held)
    found = os.environ[SEES]
    os.environ[SEES] = "0,1"
    return found


def test_jobs_are_spread_evenly_and_a_free_place_is_taken_again() -> None:
    with ExitStack() as all_, ExitStack() as first:
        assert taken(first, None) == "0"
        assert [taken(all_, None) for _ in range(4)] == ["1", "0", "1", "0"]
        first.close()
        assert [taken(all_, None) for _ in range(2)] == ["0", "1"]


def test_a_job_waits_until_a_place_is_free_and_says_so() -> None:
    said: list[str] = []
    got: list[str] = []

    def third() -> None:
        with gpus.own("cuda", 1, said.append):
            got.append(os.environ[SEES])

    with ExitStack() as one, ExitStack() as two:
        assert (taken(one, 1), taken(two, 1)) == ("0", "1")
        waiting = threading.Thread(target=third)
        waiting.start()
        waiting.join(3 * gpus.PAUSE)
        assert waiting.is_alive()
        two.close()
        os.environ[SEES] = "0,1"
        waiting.join(20)
    assert got == ["1"]
    assert said == ["Waiting: each GPU has 1 jobs (compute.jobs_per_gpu).", f"{SEES}=1"]


def test_the_place_of_a_killed_job_is_free_again(tmp_path: Path) -> None:
    code = (
        "import os, signal, tempfile\nfrom skeletons.workflow import gpus\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        f"with gpus.own('auto', 1, print): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, env={**os.environ, SEES: "0"})
    assert done.returncode == -9
    with gpus.own("auto", 1, ignore):
        assert os.environ[SEES] == "0"
    assert len(list(tmp_path.glob("skeletons-gpus-*/0.0"))) == 1


@pytest.mark.parametrize(("device", "sees"), [("cpu", "0,1"), (None, "0,1"), ("auto", "")])
def test_a_job_without_a_gpu_takes_no_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, device: str | None, sees: str
) -> None:
    monkeypatch.setenv(SEES, sees)
    with gpus.own(device, 1, ignore):
        assert os.environ[SEES] == sees
    assert not list(tmp_path.iterdir())
    assert gpus.at_once(device or "cpu", 1) is None


def test_the_number_of_jobs_is_limited_only_if_it_is_configured() -> None:
    assert gpus.at_once("auto", None) is None
    assert gpus.at_once("auto", 3) == 6


def test_in_slurm_places_belong_to_the_job_that_has_the_gpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with gpus.own("auto", 1, ignore), ExitStack() as other:
        monkeypatch.setenv(SEES, "0,1")
        monkeypatch.setenv("SLURM_JOB_ID", "18")
        assert taken(other, 1) == "0"
    assert sorted(p.name.rsplit("-", 1)[1] for p in tmp_path.iterdir()) == ["17", "18"]


def test_every_rule_that_runs_a_network_in_its_own_process_counts_as_a_job_of_a_gpu() -> None:
    rules = "".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))
    for rule in re.split(r"^rule ", rules, flags=re.M)[1:]:
        if (found := re.search(r'\*\*process\("(\w+)"\)', rule)) and STAGES[found[1]].computes:
            assert ("gpu_jobs=GPU_JOBS" in rule) == (found[1] != "expose"), rule


def test_a_run_starts_no_more_training_jobs_than_its_gpus_have_places(workflow: Workflow) -> None:
    """Two cores and one GPU with one place: the jobs run one after the other."""
    config = {
        **CHAIN,
        "cache": None,
        "base": {**CHAIN["base"], "seeds": [1, 2, 3]},
        "compute": {"jobs_per_gpu": 1},
    }
    made = [f"results/grid/models/seed={seed}/weights.safetensors" for seed in (1, 2, 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SEES, "0")
        patch.setenv("TMPDIR", str(workflow.folder))
        done = workflow.run(config, "--", *made)
    assert done.returncode == 0, done.stdout
    spans: dict[str, tuple[float, float]] = {}
    for path in (workflow / ".snakemake/metadata").rglob("*"):
        record = json.loads(path.read_text()) if path.is_file() else {}
        if record.get("rule") == "train_base":
            log, begin, end = record["log"][0], record["starttime"], record["endtime"]
            known = spans.get(log, (begin, end))  # there is a record of each output
            spans[log] = (min(begin, known[0]), max(end, known[1]))
    in_turn = sorted(spans.values())
    assert len(in_turn) == 3
    for (_, end), (begin, _) in itertools.pairwise(in_turn):
        assert end <= begin
    logs = [workflow / f"logs/grid/train_base/seed={seed}.log" for seed in (1, 2, 3)]
    assert all(gpus.WAITING not in log.read_text() for log in logs)
