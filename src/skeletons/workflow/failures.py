"""Failed jobs of a cluster, one sentence per job: its rule, its subject, the cause and its log.

Snakemake reports a failure as a log record when it happens. `Watch` listens to these records, asks
SLURM for the cause while SLURM still remembers the job, and sums up when the run ends.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeletons.workflow import phrases, slurm
from skeletons.workflow.jobs import FAILED
from skeletons.workflow.slurm import Cause, Diagnosis


@dataclass(frozen=True)
class Failure:
    """A job that failed.

    Attributes:
        name: its rule and its subject, for example `train_base of seed=1`.
        what: what happened to it: the end of a sentence that begins with its name.
        advice: which setting to change: another part of that sentence, or empty.
        logs: the files with details.
        hopeless: whether another attempt would fail in the same way.
    """

    name: str
    what: str
    advice: str
    logs: tuple[str, ...]
    hopeless: bool

    def sentence(self, attempts: int = 1) -> str:
        """The failure in one sentence, with the number of attempts if there were several."""
        tried = f", in the last of {attempts} attempts" if attempts > 1 else ""
        see = f"; see {' and '.join(self.logs)}" if self.logs else ""
        return f"{self.name} {self.what}{tried}{self.advice}{see}."


class Watch(logging.Handler):
    """Listens to Snakemake's log and collects failures.

    Attributes:
        failures: all failures of each job in order, by Snakemake's number of the job.
    """

    def __init__(self, give_up: Callable[[int], None]) -> None:
        """Listen; `give_up` is called with the number of a job that another attempt cannot help."""
        super().__init__()
        self.failures: dict[int, list[Failure]] = {}
        self._give_up = give_up
        self._finished: set[int] = set()
        self._began = time.time()

    def emit(self, record: logging.LogRecord) -> None:
        """Process a record; most are ignored."""
        event = str(getattr(record, "event", None) or "")
        told = vars(record)
        if event == "job_error" and of_cluster(told):
            failure = explain(told, self._began)
            self.failures.setdefault(told["jobid"], []).append(failure)
            if failure.hopeless:
                self._give_up(told["jobid"])
        elif event == "job_finished":
            self._finished.add(told["job_id"])

    def summary(self) -> list[str]:
        """One sentence for each job that failed finally, then for each that succeeded later."""
        lost = [
            failures[-1].sentence(len(failures))
            for job, failures in self.failures.items()
            if job not in self._finished
        ]
        saved = [
            f"{failures[-1].name} {failures[-1].what}, and was done in another attempt."
            for job, failures in self.failures.items()
            if job in self._finished
        ]
        return [*sorted(lost), *sorted(saved)]


def of_cluster(told: Mapping[str, Any]) -> bool:
    """Whether a failed job ran on a cluster, or should have."""
    return "external_jobid" in told["aux"] or bool(phrases.SEE_CLUSTER.find(told["rule_msg"] or ""))


def explain(told: Mapping[str, Any], since: float = 0.0) -> Failure:
    """Find out why a job failed.

    Args:
        told: the fields of Snakemake's record: `rule_name`, `rule_msg`, `log`, and in `aux` the
            `external_jobid` of a cluster's job.
        since: when the run began, in seconds since the epoch; an older log is ignored.
    """
    logs = list(told["log"])
    own, others = logs[:1], logs[1:]
    message = phrases.SEE_CLUSTER.removed(told["rule_msg"] or "")
    job = told["aux"].get("external_jobid")
    name = job_name(told["rule_name"], own)
    if job is None and (refused := _refused(message)):
        return Failure(name, f"could not be submitted: {refused}", "", (), hopeless=False)
    verdict = Diagnosis(Cause.OTHER)
    if job is not None:
        state = phrases.STATUS.find(message)
        verdict = slurm.examine(str(job), others, state[1] if state else "")
    sentence, crashed, _ = last_words(own[0], since) if own else ("", "", "")
    by_itself = verdict.cause is Cause.OTHER and (sentence or crashed)
    return Failure(
        name,
        _what(verdict, sentence or crashed or verdict.error or _line(message)),
        _advice(verdict.cause, told["rule_name"]),
        (*(own if by_itself else ()), *((verdict.log,) if verdict.log else ())),
        hopeless=bool(by_itself and sentence) or not verdict.cause.helped_by_retry,
    )


def job_name(rule: str, logs: Sequence[str]) -> str:
    """A rule and its subject, for example `train_base of seed=1`."""
    about = subject(rule, logs)
    return f"{rule} of {about}" if about else rule


def subject(rule: str, logs: Sequence[str]) -> str:
    """The model, pair or data set of a job, after which its log is named; else empty."""
    if not logs:
        return ""
    parts = Path(logs[0]).parts
    start = parts.index(rule) + 1 if rule in parts[:-1] else len(parts) - 1
    about = "/".join(parts[start:]).removesuffix(".log")
    return "" if about == rule else about


def _refused(message: str) -> str:
    """Why the cluster refused a job; the whole message if it has another form."""
    known = (phrases.REFUSED, phrases.REFUSED_UNQUOTED, phrases.NOT_SUBMITTED)
    found = next((match for phrase in known if (match := phrase.find(message))), None)
    return _line(found[1] if found else message)


def _line(message: str) -> str:
    """A message in one line, without its full stop."""
    return " ".join(message.split()).rstrip(".")


def _what(verdict: Diagnosis, last: str) -> str:
    where = f" on {verdict.node}" if verdict.node else ""
    had = f" of {verdict.limit}" if verdict.limit else ""
    return {
        Cause.CANCELLED: f"was cancelled{where}",
        Cause.TIME: f"exceeded its time limit{had}{where}",
        Cause.MEMORY: f"exceeded its memory limit{had}{where}",
        Cause.NODE: f"was lost because its node {verdict.node} went down".replace("  ", " "),
        Cause.PREEMPTED: f"was preempted by a more urgent job{where}",
        Cause.OTHER: f"failed{where}" + (f": {last.rstrip('.')}" if last else ""),
    }[verdict.cause]


def _advice(cause: Cause, rule: str) -> str:
    """The setting that gives a job more time or memory; empty for other causes."""
    key = {Cause.TIME: "runtime", Cause.MEMORY: "mem_mb"}.get(cause)
    return f"; raise `{key}` of {rule} in {slurm.PROFILE}" if key else ""


def last_words(log: str | Path, since: float = 0.0) -> tuple[str, str, str]:
    """Why a job failed according to its log: its sentence, a bare error, and the last line.

    Each is empty if the log lacks it, does not exist, or is older than `since` (seconds since the
    epoch).
    """
    path = Path(log)
    try:
        if path.stat().st_mtime < since:
            return "", "", ""
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return "", "", ""
    for line in reversed(lines):
        if line.startswith(FAILED):
            return line.removeprefix(FAILED), "", line
    crashed = any(line.startswith("Traceback") for line in lines)
    last = lines[-1] if lines else ""
    return "", plainly(last) if crashed else "", last


def plainly(crash: str) -> str:
    """The last line of a traceback; for a known error, a sentence with advice."""
    if match := phrases.NO_MODULE.find(crash):
        return missing_package(match[1])
    if re.match(r"(torch\.)?OutOfMemoryError: CUDA", crash):
        return (
            "The GPU's memory is full; run fewer jobs at once (--cores), or set a smaller "
            "batch_size."
        )
    if re.match(r"(\S*\.)?_?(Array)?MemoryError|RuntimeError: .*can't allocate memory", crash):
        return "The memory of this machine is full; run fewer jobs at once (--cores)."
    return crash


def ended_by(signal: str) -> str:
    """A clause about a process that a signal ended without an error message."""
    if signal == "SIGKILL":
        return (
            "its process was killed (SIGKILL), possibly because memory was full; if so, run fewer "
            "jobs at once (--cores)."
        )
    return f"another process ended it ({signal}); run snakemake again to continue."


def missing_package(name: str) -> str:
    """A sentence about a missing package, and how to install it."""
    return (
        f"The package {name} is not installed; run `make env` to install all packages into .venv, "
        "then activate it with `source .venv/bin/activate`."
    )
