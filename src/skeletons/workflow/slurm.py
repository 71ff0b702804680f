"""Whether jobs can be sent to SLURM from here, and why one of them failed.

The sources are SLURM's own commands and the logs that it writes. Without a database, SLURM forgets
a job minutes after its end, so it is asked as soon as a failure is reported.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from skeletons.errors import ClusterError

PROFILE = "profiles/slurm/config.yaml"
PATIENCE = 60  # seconds to wait for a command
SLOWEST = 180  # seconds between two status checks: the plugin checks less often while no job ends
TAIL = 20_000  # characters at the end of a log that are read


class Cause(Enum):
    """Why a job failed; its value says whether another attempt can help."""

    CANCELLED = ("cancelled", False)  # a person cancelled it
    TIME = ("time", True)  # the next attempt has more
    MEMORY = ("memory", True)
    NODE = ("node", True)
    PREEMPTED = ("preempted", True)
    OTHER = ("other", True)  # the job's own log has the reason

    @property
    def helped_by_retry(self) -> bool:
        return self.value[1]


@dataclass(frozen=True)
class Diagnosis:
    """Why a job failed, and what SLURM reports about it.

    Attributes:
        cause: the kind of failure.
        node: where it ran; empty if it never started, or if the node is unknown.
        limit: the limit that it exceeded, in words; empty for other causes.
        log: the file of the job's output that SLURM wrote; empty if there is no such file.
        error: the last error of SLURM itself in that file; empty if there is none.
    """

    cause: Cause
    node: str = ""
    limit: str = ""
    log: str = ""
    error: str = ""


def check(status_command: str | None, interval: int, partitions: Collection[str] = ()) -> None:
    """Check that jobs can be submitted and that their end will be noticed.

    Args:
        status_command: the command that reports the states of jobs: sacct or squeue.
        interval: seconds until the first status check.
        partitions: those that the jobs ask for; empty for the site's default.

    Raises:
        ClusterError: a check fails; the sentence names the setting to change.
    """
    settings, trouble = _ask("scontrol", "show", "config")
    if trouble:
        raise ClusterError(
            f"SLURM does not respond here ({trouble}): run this on a machine where `sbatch` works, "
            "or without `--workflow-profile profiles/slurm`."
        )
    _check_status(status_command, interval, settings)
    known = _ask("sinfo", "--noheader", "--format=%R")[0].split()
    for name in sorted({part for given in partitions for part in given.split(",")}):
        if known and name not in known:
            raise ClusterError(
                f"slurm_partition in {PROFILE}: found {name!r}; "
                f"allowed here: {', '.join(sorted(set(known)))}."
            )


def _check_status(command: str | None, interval: int, settings: str) -> None:
    """Refuse a status command with which a run would never finish.

    See https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/38.
    """
    if command == "sacct":
        trouble = _ask("sacct", "--noheader", "--allocations", "--starttime=now")[1]
        if trouble:
            raise ClusterError(
                f"sacct cannot report how jobs end ({trouble}), so the run would never finish: "
                f"set `slurm-status-command: squeue` in {PROFILE}."
            )
        return
    match = re.search(r"^MinJobAge\s*=\s*(\d+)", settings, re.M)
    needed = max(SLOWEST + 20, 3 * interval)
    if match and int(match[1]) < needed:
        raise ClusterError(
            f"SLURM forgets a job {match[1]} s after its end, possibly before squeue is asked for "
            f"its status: set `slurm-status-command: sacct` in {PROFILE}, or ask your "
            f"administrator to raise MinJobAge in slurm.conf to {needed}."
        )


def examine(job: str, logs: Collection[str] = (), state: str = "") -> Diagnosis:
    """Find out why a job failed.

    Args:
        job: its number, for example `17` or, in an array, `17_2`.
        logs: files that may hold the job's output.
        state: its last known state, in case SLURM has forgotten the job.
    """
    record = _record(job) or {"JobState": state}
    log = next((path for path in (record.get("StdOut", ""), *logs) if Path(path).is_file()), "")
    text = _tail(log)
    cause = _cause(record, text)
    node = record.get("NodeList", "")
    limits = {
        Cause.TIME: record.get("TimeLimit", ""),
        Cause.MEMORY: record.get("MinMemoryNode", "") or record.get("MinMemoryCPU", ""),
    }
    return Diagnosis(
        cause,
        node="" if node in ("(null)", "None assigned") else node,
        limit=limits.get(cause, ""),
        log=_relative(log),
        error=next(reversed(re.findall(r"^(?:srun|slurm\w+): error: (.+)$", text, re.M)), ""),
    )


def _cause(record: Mapping[str, str], text: str) -> Cause:
    """The kind of failure, from the job's state, or from its log if the state is not specific.

    A job killed for memory is reported as FAILED or CANCELLED unless the site uses cgroups.
    """
    state = record.get("JobState", "")
    if state == "OUT_OF_MEMORY" or re.search(r"memory limit|oom[-_ ]kill|Out Of Memory", text):
        return Cause.MEMORY
    if state in ("TIMEOUT", "DEADLINE") or "DUE TO TIME LIMIT" in text:
        return Cause.TIME
    if state in ("NODE_FAIL", "BOOT_FAIL") or "DUE TO NODE FAILURE" in text:
        return Cause.NODE
    if state == "PREEMPTED" or "DUE TO PREEMPTION" in text:
        return Cause.PREEMPTED
    return Cause.CANCELLED if state.startswith("CANCELLED") else Cause.OTHER


def _record(job: str) -> dict[str, str]:
    """SLURM's record of a job, with scontrol's names; empty if it has none."""
    answer = _ask("scontrol", "--oneliner", "show", "job", job)[0]
    if answer:
        return dict(re.findall(r"(\w+)=(\S*)", answer))
    names = {"State": "JobState", "NodeList": "NodeList", "Timelimit": "TimeLimit"}
    names |= {"ReqMem": "MinMemoryNode"}
    answer = _ask("sacct", "-j", job, "-n", "-P", "-X", f"--format={','.join(names)}")[0]
    values = answer.splitlines()[0].split("|") if answer else []
    return dict(zip(names.values(), values, strict=False))


def _ask(*command: str) -> tuple[str, str]:
    """A command's stdout, and the reason if it failed; empty if it did not fail."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError:
        return "", f"there is no command {command[0]}"
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} gave no answer within {PATIENCE} s"
    if done.returncode == 0:
        return done.stdout, ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return "", lines[-1].rstrip(".") if lines else f"{command[0]} ended with {done.returncode}"


def _tail(path: str) -> str:
    """The end of a log; empty if it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")[-TAIL:] if path else ""
    except OSError:
        return ""


def _relative(path: str) -> str:
    """A path relative to the working directory, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if path and Path(path).is_relative_to(here) else path
