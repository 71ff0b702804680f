"""Processes that outlive a job, for jobs that take less time than the start of a process.

There are as many as there are jobs at once. A job is a line of JSON on a worker's standard input,
and its outcome is a line on the standard output. A worker ends when its input does, so it ends with
Snakemake's process, however that ends.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skeletons.errors import SkeletonsError
from skeletons.store.provenance import Recipe
from skeletons.workflow.jobs import Job
from skeletons.workflow.stages import STAGES

LARGEST = 1 << 30  # bytes of memory beyond which a worker ends after its job

_lock = threading.Lock()
_idle: list[Worker] = []


class Worker:
    """A process that runs one job after the other."""

    def __init__(self) -> None:
        """Start the process; Ctrl-C does not reach it.

        Nor do modules in the working directory: a user's random.py is not Python's.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "skeletons.workflow.workers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
            text=True,
            process_group=0,
        )

    def answer(self, job: Job) -> dict[str, Any]:
        """Run a job and return its outcome.

        Raises:
            SkeletonsError: the process ended during the job.
        """
        asked = {"keywords": dict(job.keywords), "recipe": asdict(job.recipe)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{json.dumps(asked)}\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SkeletonsError(
                f"The process of this job ended with status {self._process.wait()} and without an "
                "error message; run snakemake again."
            )
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> None:
        """End the process."""
        self._process.communicate()


def run(job: Job) -> None:
    """Run a job in a worker; a stage that is cached or shared cannot run there.

    Raises:
        SkeletonsError: from the stage, or because the worker ended.
        RuntimeError: any other error of the stage, with its traceback.
    """
    assert not job.stage.cached
    assert not job.stage.shared
    with _lock:
        worker = _idle.pop() if _idle else None
    worker = worker or Worker()
    found = worker.answer(job)
    if found["last"]:
        worker.end()
    else:
        with _lock:
            _idle.append(worker)
    if found["said"]:
        job.say(found["said"])
    if found["sentence"]:
        raise SkeletonsError(found["sentence"])
    if found["traceback"]:
        raise RuntimeError(found["traceback"])


def outcome(keywords: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Run a job in this process: what it printed, and the sentence or traceback of an error."""
    found: dict[str, Any] = {"sentence": None, "traceback": None}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            Job(STAGES[recipe["stage"]], keywords, Recipe(**recipe), (), None).compute()
        except SkeletonsError as error:
            found["sentence"] = str(error)
        except Exception:
            found["traceback"] = traceback.format_exc().rstrip("\n")
    return {**found, "said": said.getvalue().rstrip("\n"), "last": _resident() > LARGEST}


def _resident() -> int:
    """The memory of this process in bytes; 0 where it is not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:  # not Linux
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Run jobs until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints does not get between the answers
    for line in sys.stdin:
        found = outcome(**json.loads(line))
        print(json.dumps(found), file=answers, flush=True)
        if found["last"]:
            return


if __name__ == "__main__":
    main()
