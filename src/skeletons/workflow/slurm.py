"""What SLURM knows: whether jobs can be sent to it from here, and why one of them failed.

Only its own commands are asked, and the logs it writes. What it remembers of a job is gone minutes
after the job's end where no database keeps it, so it must be asked when the failure is news.
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
PATIENCE = 60  # seconds to wait for an answer
SLOWEST = 180  # seconds between two looks at the jobs: the plugin looks less often while none ends
TAIL = 20_000  # characters at the end of a log that are looked at


class Cause(Enum):
    """Why a job failed; its value says whether another attempt can help."""

    CANCELLED = ("cancelled", False)  # someone wanted it so
    TIME = ("time", True)  # the next attempt has more
    MEMORY = ("memory", True)
    NODE = ("node", True)
    PREEMPTED = ("preempted", True)
    OTHER = ("other", True)  # its own log says more

    @property
    def helped_by_retry(self) -> bool:
        return self.value[1]


@dataclass(frozen=True)
class Verdict:
    """Why a job failed, and what SLURM says about it.

    Attributes:
        cause: the kind of failure.
        node: where it ran; empty if it never did, or nobody knows.
        limit: what it was allowed, in words, where it went over a limit; else empty.
        log: what SLURM wrote down of the job's output; empty if there is no such file.
        error: the last that SLURM itself had to say there; empty if nothing.
    """

    cause: Cause
    node: str = ""
    limit: str = ""
    log: str = ""
    error: str = ""


def check(status_command: str | None, interval: int, partitions: Collection[str] = ()) -> None:
    """Make sure that jobs can be submitted and that their end will be seen.

    Args:
        status_command: what the jobs' states are asked with: sacct or squeue.
        interval: seconds until they are first asked for.
        partitions: those that the jobs are meant for; empty for the site's default.

    Raises:
        ClusterError: something is not as it must be; says what to set.
    """
    settings, trouble = _ask("scontrol", "show", "config")
    if trouble:
        raise ClusterError(
            f"SLURM does not answer here ({trouble}): run this on a machine where `sbatch` works, "
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
    """Refuse a way to ask for states that would let a run wait for ever."""
    if command == "sacct":
        trouble = _ask("sacct", "--noheader", "--allocations", "--starttime=now")[1]
        if trouble:
            raise ClusterError(
                f"sacct cannot tell how jobs end ({trouble}), so the run would wait for ever: "
                f"set `slurm-status-command: squeue` in {PROFILE}."
            )
        return
    match = re.search(r"^MinJobAge\s*=\s*(\d+)", settings, re.M)
    needed = max(SLOWEST + 20, 3 * interval)
    if match and int(match[1]) < needed:
        raise ClusterError(
            f"SLURM forgets a job {match[1]} s after its end, before squeue is sure to be asked "
            f"again: set `slurm-status-command: sacct` in {PROFILE}, or have MinJobAge of "
            f"slurm.conf raised to {needed}."
        )


def examine(job: str, logs: Collection[str] = (), state: str = "") -> Verdict:
    """Find out why a job failed.

    Args:
        job: its number, as `17` or, in an array, `17_2`.
        logs: files that may hold what SLURM wrote of it.
        state: what is known of its state already, should SLURM have forgotten the job.
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
    return Verdict(
        cause,
        node="" if node in ("(null)", "None assigned") else node,
        limit=limits.get(cause, ""),
        log=_relative(log),
        error=next(reversed(re.findall(r"^(?:srun|slurm\w+): error: (.+)$", text, re.M)), ""),
    )


def _cause(record: Mapping[str, str], text: str) -> Cause:
    """The kind of failure, by the job's state, or where that says too little, by its log.

    A job killed for memory is called FAILED or CANCELLED unless the site uses cgroups.
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
    """What SLURM remembers of a job, in scontrol's words; empty if nothing."""
    told = _ask("scontrol", "--oneliner", "show", "job", job)[0]
    if told:
        return dict(re.findall(r"(\w+)=(\S*)", told))
    names = {"State": "JobState", "NodeList": "NodeList", "Timelimit": "TimeLimit"}
    names |= {"ReqMem": "MinMemoryNode"}
    told = _ask("sacct", "-j", job, "-n", "-P", "-X", f"--format={','.join(names)}")[0]
    values = told.splitlines()[0].split("|") if told else []
    return dict(zip(names.values(), values, strict=False))


def _ask(*command: str) -> tuple[str, str]:
    """What a command says on stdout, and if it failed, why; empty if it did not."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except FileNotFoundError:
        return "", f"there is no command {command[0]}"
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} said nothing for {PATIENCE} s"
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
    """A path as seen from the working directory, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if path and Path(path).is_relative_to(here) else path
