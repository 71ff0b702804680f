"""Which jobs run, which are done, and how long the rest will take.

The time of a job is estimated from the time per unit of work of its rule in this run, or in an
earlier run if no job of the rule is done yet. For jobs that train, a unit is an epoch, so half of a
long job already gives an estimate. For all other jobs, it is the job.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from skeletons.workflow.jobs import TAKEN
from snakemake_logger_plugin_skeletons.job_log import JobLog, Progress


@dataclass(frozen=True)
class Work:
    """A job to do.

    Attributes:
        rule: the name of its rule.
        threads: its cores.
        units: of its work: the epochs that it trains; 1 for any other job.
        after: the numbers of the jobs that it waits for.
        last_epoch: the number of the last epoch that it trains; 0 for any other job.
        may_wait: whether it may have to wait for another run, which its log says.
        summary: the model.json of a base model, which may miss its target; else empty.
        target: of a base model.
    """

    rule: str
    threads: int = 1
    units: int = 1
    after: tuple[int, ...] = ()
    last_epoch: int = 0
    may_wait: bool = False
    summary: str = ""
    target: Mapping[str, float] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        return self.last_epoch > 0

    @property
    def watched(self) -> bool:
        """Whether its log tells of its progress."""
        return self.trains or self.may_wait


@dataclass(frozen=True)
class Running:
    """A running job: its rule, its subject, when it began (seconds since the epoch), its logs."""

    rule: str
    subject: str
    began: float
    logs: tuple[str, ...] = ()

    @functools.cached_property
    def _log(self) -> JobLog | None:
        return JobLog(self.logs[0], self.began) if self.logs else None

    def progress(self) -> Progress:
        """How far it has come, according to its log."""
        return self._log.look() if self._log else Progress()

    def from_cache(self) -> bool:
        """Whether this finished job took its result from the run cache, according to its log."""
        # The log is from this run: every job overwrites it when it begins.
        for log in self.logs[:1]:
            with contextlib.suppress(OSError):
                return (
                    f"\n{TAKEN}" in f"\n{Path(log).read_text(encoding='utf-8', errors='replace')}"
                )
        return False


@dataclass(frozen=True)
class Left:
    """The time left in seconds, and whether it includes the jobs of every rule."""

    seconds: float
    whole: bool


@dataclass
class Book:
    """The account of a run.

    Attributes:
        work: every job to do, by Snakemake's number.
        earlier: the seconds per unit of each rule's jobs in earlier runs.
        slots: the number of cores, or on a cluster the number of jobs at once.
        running: the running jobs.
        done: the numbers of the finished jobs.
        planned: the number of jobs of each rule.
        finished: how many of them are done.
        taken: how many of those took their result from the run cache.
        began: when each rule's first job began.
    """

    work: Mapping[int, Work] = field(default_factory=dict)
    earlier: Mapping[str, float] = field(default_factory=dict)
    slots: int = 1
    running: dict[int, Running] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    planned: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    began: dict[str, float] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _units: Counter[str] = field(default_factory=Counter)

    def begin(self, job: int, running: Running) -> bool:
        """Record that a job begins; return whether it is the first of its rule."""
        self.running[job] = running
        first = running.rule not in self.began
        self.began.setdefault(running.rule, running.began)
        return first

    def finish(self, job: int, now: float) -> str | None:
        """Record that a job is done; return its rule if it was the last job of the rule."""
        running = self.running.pop(job, None)
        if running is None or job in self.done:
            return None
        rule = running.rule
        self.done.add(job)
        self.finished[rule] += 1
        taken = running.from_cache()
        self.taken[rule] += taken
        if job in self.work and not taken:  # a copy says nothing about how long training takes
            self._seconds[rule] += now - running.began
            self._units[rule] += self._units_now(job, running)
        return rule if self.finished[rule] == self.planned[rule] else None

    def fail(self, job: int) -> None:
        """Record that a job failed: it no longer runs, but may begin again."""
        self.running.pop(job, None)

    def rates(self, now: float) -> dict[str, float]:
        """The seconds per unit by rule: in this run, else in earlier ones.

        A rule that trains, and of which nothing is known, is taken to need as long for an epoch as
        the others. So the first epochs of a run give an estimate for all of its training.
        """
        seconds, units = defaultdict(float, self._seconds), Counter(self._units)
        for job, running in list(self.running.items()):
            if not (job in self.work and self.work[job].trains):
                continue
            progress = running.progress()
            if epochs := progress.epochs - progress.resumed:
                # Until its last epoch ended: the next one may be half done.
                seconds[running.rule] += max(progress.at - running.began, 0.0)
                units[running.rule] += epochs
        units = +units  # a job that resumed after its last epoch trained none
        measured = {rule: seconds[rule] / units[rule] for rule in units}
        training = {work.rule for work in self.work.values() if work.trains}
        like_others: dict[str, float] = {}
        if known := training & units.keys():
            typical = sum(seconds[rule] for rule in known) / sum(units[rule] for rule in known)
            like_others = dict.fromkeys(training, typical)
        return {**like_others, **self.earlier, **measured}

    def left(self, now: float) -> Left | None:
        """An estimate of the remaining time; None if it cannot be estimated.

        No schedule is shorter than the longest chain of jobs that wait for each other, nor than all
        the work spread over all cores. A good one is not much longer than the longer of the two
        (Graham, Bounds on multiprocessing timing anomalies, 1969).
        """
        rates = self.rates(now)
        rest = {job: work for job, work in self.work.items() if job not in self.done}
        seconds = {
            job: self._seconds_left(
                job, self._units_now(job, self.running.get(job)) * rates[work.rule], now
            )
            for job, work in rest.items()
            if work.rule in rates
        }
        unknown = [work for job, work in rest.items() if job not in seconds]
        if not seconds or any(work.trains for work in unknown):
            return None  # training takes most of the time
        effort = sum(each * rest[job].threads for job, each in seconds.items())
        longest = max(_chains(rest, seconds).values())
        return Left(max(longest, effort / self.slots), whole=not unknown)

    def _units_now(self, job: int, running: Running | None) -> int:
        """The units of a job's work, without the epochs that it does not train again."""
        work = self.work[job]
        return work.units - running.progress().resumed if running and work.trains else work.units

    def _seconds_left(self, job: int, whole: float, now: float) -> float:
        """The seconds left of a job that takes `whole` seconds."""
        running = self.running.get(job)
        return whole if running is None else max(0.0, whole - (now - running.began))


def _chains(rest: Mapping[int, Work], seconds: Mapping[int, float]) -> dict[int, float]:
    """The least time until each job is done: its own and that of the longest chain before it."""
    ends: dict[int, float] = {}
    stack = list(rest)
    while stack:
        job = stack[-1]
        awaited = [other for other in rest[job].after if other in rest and other not in ends]
        if awaited and job not in ends:
            stack += awaited
            continue
        stack.pop()
        before = max((ends[other] for other in rest[job].after if other in ends), default=0.0)
        ends[job] = before + seconds.get(job, 0.0)
    return ends


def words(seconds: float) -> str:
    """A duration to about two digits: `40 s`, `12 min`, `2 h 10 min`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    minutes = round(minutes / 10) * 10
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def remember(path: str | Path, rates: Mapping[str, float]) -> None:
    """Keep the seconds of a unit of each rule for the next run; a failure to write is ignored."""
    with contextlib.suppress(OSError):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        rounded = {rule: round(seconds, 3) for rule, seconds in sorted(rates.items())}
        Path(path).write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf-8")


def recall(path: str | Path) -> dict[str, float]:
    """The seconds stored by an earlier run; empty if the file is missing or broken."""
    try:
        kept = json.loads(Path(path).read_text(encoding="utf-8"))
        return {str(rule): float(seconds) for rule, seconds in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
