"""All undocumented attributes of Snakemake that this workflow uses.

No other module of the library and no rule uses any. Each attribute is read through `_of`. If
another version of Snakemake has renamed it, the run ends with a sentence that names it. TOUCHED
lists all of them; `tests/test_internals.py` checks each in the installed Snakemake.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from types import SimpleNamespace
from typing import Any

from skeletons.errors import SkeletonsError

DEFAULT_LIMIT = (100, 1)  # jobs, seconds: Snakemake's default limit of started jobs
EVERYTHING = "*"  # in place of the names of all rules
# Each attribute, as a path: from Snakemake's `workflow`, its records of files, a job or a limit of
# its scheduler, the settings of its plugin for SLURM, the arguments of the function that runs a
# script, and the record that becomes a benchmark.
TOUCHED = (
    "workflow.is_main_process",
    "workflow.overwrite_configfiles",
    "workflow.config_settings.config",
    "workflow.dag_settings.forcerun",
    "workflow.dag_settings.forcetargets",
    "workflow.dag_settings.forceall",
    "workflow.dag_settings.targets",
    "workflow.cores",
    "workflow.nodes",
    "workflow.global_resources",
    "workflow.register_resource",
    "workflow.local_exec",
    "workflow.executor_plugin.name",
    "workflow.executor_settings",
    "workflow.dag.jobid",
    "workflow.dag.needrun_jobs",
    "workflow.dag.dependencies",
    "workflow.scheduler.running",
    "workflow.scheduler.remaining_jobs",
    "workflow.scheduler.subsample",
    "workflow.scheduler.job_rate_limiter",
    "limit.max_jobs",
    "limit.timespan",
    "job.rule.name",
    "job.threads",
    "job.wildcards",
    "job.output",
    "job.is_local",
    "job.resources",
    "job.attempt",
    "job.restart_times",
    "records.cleanup_metadata",
    "settings.status_command",
    "settings.init_seconds_before_status_checks",
    "workflow.globals",
    "script.path",
    "script.input",
    "script.output",
    "script.params",
    "script.wildcards",
    "script.threads",
    "script.resources",
    "script.log",
    "script.config",
    "script.rulename",
    "script.conda_env",
    "script.container_img",
    "script.env_modules",
    "script.bench_record",
    "script.bench_iteration",
    "script.shadow_dir",
    "record.running_time",
    "record.cpu_time",
    "record.cpu_usage",
    "record.max_rss",
    "record.max_vms",
    "record.max_uss",
    "record.max_pss",
    "record.io_in",
    "record.io_out",
    "record.data_collected",
)
STAGE_SCRIPT = "../scripts/stage.py"  # as rules name it
# The environment variables with which Snakemake gives a script its number of threads, and its
# folder for temporary files.
OF_THREADS = (
    *("OMP_NUM_THREADS", "GOTO_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"),
)
OF_TEMPORARY_FILES = ("TMPDIR", "TMP", "TEMPDIR", "TEMP")


class InternalsError(SkeletonsError):
    """The installed Snakemake lacks an attribute that this workflow needs."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that this run will do.

    Attributes:
        number: its number in Snakemake.
        rule: the name of its rule.
        threads: its number of threads.
        wildcards: the model, pair or data set that it is for.
        makes_files: whether it makes files; the rule `all` does not.
        on_cluster: whether it is submitted if the run uses a cluster.
        partition: the requested partition of the cluster; empty for the default one.
        after: the numbers of the jobs that it waits for.
    """

    number: int
    rule: str
    threads: int
    wildcards: dict[str, str]
    makes_files: bool
    on_cluster: bool
    partition: str
    after: tuple[int, ...]


@dataclass(frozen=True)
class Cluster:
    """How job states are queried: the command, and the seconds until the first query."""

    status_command: str | None
    interval: int


class Script:
    """A script that a rule runs, `STAGE_SCRIPT`, in a process of its own."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        """Take the arguments of Snakemake's function that runs scripts, by their names."""
        self._call = SimpleNamespace(**arguments)

    def _of(self, name: str) -> Any:
        return _of(f"script.{name}", self._call)

    @property
    def is_plain(self) -> bool:
        """Whether Snakemake would run it with this Python, in this environment."""
        others = ("conda_env", "container_img", "env_modules", "shadow_dir")
        return (
            str(self._of("path")) == STAGE_SCRIPT
            and not any(self._of(name) for name in others)
            and self._of("resources").get("shell_exec") is None
        )

    @property
    def stage(self) -> str:
        """The name of its stage."""
        return str(self._of("params").stage)

    @property
    def threads(self) -> int:
        """The number of its threads."""
        return int(self._of("threads"))

    @property
    def command(self) -> str:
        """The command that a message about its failure names."""
        return f"{sys.executable} {self._of('path')}"

    @property
    def described(self) -> bytes:
        """The variable `snakemake` that it gets, pickled."""
        from snakemake.iocontainers import Snakemake

        names = ("input", "output", "params", "wildcards", "threads", "resources", "log", "config")
        more = ("rulename", "bench_iteration")
        return pickle.dumps(Snakemake(*(self._of(name) for name in names + more)))

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables."""
        found = {**os.environ, **dict.fromkeys(OF_THREADS, str(self.threads))}
        if folder := self._of("resources").get("tmpdir"):
            found.update(dict.fromkeys(OF_TEMPORARY_FILES, str(folder)))
        return found

    def used(self, **numbers: float) -> None:
        """Put numbers into the benchmark, if the rule has one, in place of Snakemake's samples.

        Args:
            numbers: attributes of Snakemake's record, in seconds, MiB and, for `cpu_usage`,
                percent times seconds.
        """
        record = self._of("bench_record")
        if record is not None:
            for name, value in {**numbers, "data_collected": True}.items():
                _of(f"record.{name}", record)
                setattr(record, name, value)


class Run:
    """A run of Snakemake."""

    def __init__(self, workflow: Any) -> None:
        """Take the variable `workflow`, which every rule file has."""
        self._workflow = workflow

    def is_main(self) -> bool:
        """Whether this process plans the run; jobs on a cluster's nodes read the rules as well."""
        return bool(_of("workflow.is_main_process", self._workflow))

    def config_files(self) -> list[str]:
        """The files that were given with `--configfile`."""
        return [str(path) for path in _of("workflow.overwrite_configfiles", self._workflow)]

    def config_entries(self) -> dict[str, Any]:
        """The entries that were given with `--config`."""
        return dict(_of("workflow.config_settings.config", self._workflow))

    def forced(self) -> list[str]:
        """The rules and files that the user wants made again, with `-R` or `-f`; EVERYTHING for -F.

        Known once the run starts. On a cluster's node, each job is called with `-f`, whatever the
        user gave.
        """
        if not self.is_main():
            return []
        if _of("workflow.dag_settings.forceall", self._workflow):
            return [EVERYTHING]
        found = set(_of("workflow.dag_settings.forcerun", self._workflow))
        if _of("workflow.dag_settings.forcetargets", self._workflow):
            found |= set(_of("workflow.dag_settings.targets", self._workflow))
        return sorted(map(str, found))

    def forget(self, files: Collection[str]) -> None:
        """Remove Snakemake's records of files, as `snakemake --cleanup-metadata` does."""
        if files:
            from snakemake.io import IOFile
            from snakemake.persistence.file import FilePersistence

            records = FilePersistence(nolock=True)
            for path in files:
                _of("records.cleanup_metadata", records)(IOFile(path))

    def run_scripts(self, run: Callable[[Script], bool]) -> None:
        """Have a function run the scripts of the rules that are read from now on.

        Rules call Snakemake's function by its name in the variables of the rule files. Snakemake
        runs all jobs of a cluster itself, and those that another environment is chosen for.

        Args:
            run: runs a script, or returns False if Snakemake has to run it.
        """
        if not self.is_main():
            return
        names = _of("workflow.globals", self._workflow)
        original = names["script"]
        signature = inspect.signature(original)

        def script(*given: Any, **named: Any) -> None:
            call = Script(signature.bind(*given, **named).arguments)
            here = _of("workflow.local_exec", self._workflow)
            if not (here and call.is_plain and run(call)):
                original(*given, **named)

        names["script"] = script

    def limit(self, resource: str, total: int) -> bool:
        """Limit the sum of a resource over the jobs that run at once on this machine.

        A limit that the user set with `--resources` stays.

        Returns:
            Whether there is a limit; on a cluster, there is none.
        """
        # The plugin that runs jobs is not known yet while rules are read.
        if not self.is_main() or _of("workflow.nodes", self._workflow) is not None:
            return False
        if resource not in _of("workflow.global_resources", self._workflow):
            _of("workflow.register_resource", self._workflow)(resource, total)
        return True

    def planned(self) -> list[PlannedJob]:
        """The jobs that this run will do; known once the run starts."""
        needed = list(_of("workflow.dag.needrun_jobs", self._workflow)())
        number = _of("workflow.dag.jobid", self._workflow)
        cluster = self.cluster() is not None
        awaited = _of("workflow.dag.dependencies", self._workflow)
        numbers = {job: number(job) for job in needed}
        return [
            PlannedJob(
                number=numbers[job],
                rule=_of("job.rule.name", job),
                threads=_of("job.threads", job),
                wildcards=dict(_of("job.wildcards", job).items()),
                makes_files=bool(_of("job.output", job)),
                on_cluster=not _of("job.is_local", job),
                partition=_partition(job) if cluster else "",
                after=tuple(numbers[other] for other in awaited[job] if other in numbers),
            )
            for job in needed
        ]

    def cluster(self) -> Cluster | None:
        """How job states are queried in SLURM; None if jobs run on this machine."""
        if _of("workflow.executor_plugin.name", self._workflow) != "slurm":
            return None
        settings = _of("workflow.executor_settings", self._workflow)
        return Cluster(
            _of("settings.status_command", settings),
            _of("settings.init_seconds_before_status_checks", settings),
        )

    def give_up(self, number: int) -> None:
        """Prevent further attempts of a running job."""
        jobid = _of("workflow.dag.jobid", self._workflow)
        for job in list(_of("workflow.scheduler.running", self._workflow)):
            if jobid(job) == number:
                spent = _of("job.restart_times", job) + 1
                job.attempt = max(spent, _of("job.attempt", job))

    def pace(self) -> None:
        """Limit each round of the scheduler to as many ready jobs as can start.

        By default, Snakemake starts at most 100 jobs per second. Fewer start here, but the limit
        costs a thread, and a second round one second later. So it is removed, unless the user set
        another limit. Each round also lists all jobs that are left, see `_Left`.
        """
        scheduler = _of("workflow.scheduler", self._workflow)
        _of("workflow.scheduler.remaining_jobs", self._workflow)
        _list_late(scheduler)
        limit = _of("workflow.scheduler.job_rate_limiter", self._workflow)
        if limit and (_of("limit.max_jobs", limit), _of("limit.timespan", limit)) == DEFAULT_LIMIT:
            scheduler.job_rate_limiter = None
        sample = _of("workflow.scheduler.subsample", self._workflow)
        if sample and _of("workflow.local_exec", self._workflow):
            scheduler.subsample = max(sample, 2 * _of("workflow.cores", self._workflow))


class _Left(Collection[Any]):
    """The jobs that a scheduler has left, listed only when something looks at them.

    Snakemake lists them whenever a job has ended, which takes time quadratic in their number. The
    greedy scheduler, which chooses the next jobs, does not look at the list.
    """

    def __init__(self, listed: Callable[[], list[Any]]) -> None:
        self._listed = listed

    def __iter__(self) -> Iterator[Any]:
        return iter(self._listed())

    def __len__(self) -> int:
        return len(self._listed())

    def __contains__(self, job: object) -> bool:
        return job in self._listed()


def _list_late(scheduler: Any) -> None:
    """Give a scheduler `_Left` in place of a list of its remaining jobs."""
    known = type(scheduler)
    listed = known.remaining_jobs.fget
    late = property(lambda self: _Left(lambda: listed(self)))
    scheduler.__class__ = type(known.__name__, (known,), {"remaining_jobs": late})


def _partition(job: Any) -> str:
    """The partition that a job asks for; looked up on a cluster alone, because it takes a while."""
    return str(_of("job.resources", job).get("slurm_partition") or "")


def _of(path: str, start: Any) -> Any:
    """The value at the end of a path of attributes.

    Args:
        path: one of TOUCHED, or the beginning of one.
        start: the object that its first name stands for.

    Raises:
        InternalsError: Snakemake has no such attribute.
    """
    found = start
    name, *attributes = path.split(".")
    for attribute in attributes:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise InternalsError(
                f"Snakemake {metadata.version('snakemake')} has no attribute {attribute!r} of "
                f"{name}, which this workflow needs ({path}); `make env` installs a version that "
                "has it."
            ) from None
        name = f"{name}.{attribute}"
    return found


def missing(starts: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each missing attribute of TOUCHED; for the contract test.

    Args:
        starts: the object that the first name of each path stands for.
    """
    for path in TOUCHED:
        try:
            _of(path, starts[path.partition(".")[0]])
        except InternalsError as error:
            yield str(error)
