"""Actions at the start and at the end of a run."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from pathlib import Path

from skeletons import model_ids
from skeletons.config.load import canonical
from skeletons.errors import SkeletonsError
from skeletons.model_ids import Model
from skeletons.report import settings
from skeletons.store import artifacts, unfinished
from skeletons.store.cache import RunCache
from skeletons.workflow import lock, slurm
from skeletons.workflow.control_models import planted_epochs
from skeletons.workflow.failures import Watch
from skeletons.workflow.internals import PlannedJob, Run
from skeletons.workflow.lineage import Lineages
from skeletons.workflow.plan import DATA
from skeletons.workflow.stages import STAGES
from skeletons.workflow.stale import remember
from skeletons.workflow.targets import Targets

# Rules that train for as many epochs as a base.
AS_BASES = ("train_base", "reorder", "relabel", "fork", "stop", "stop_at_density", "transfer")


class Hooks:
    """The hooks of one run."""

    def __init__(
        self, run: Run, targets: Targets, lineages: Lineages, logger: logging.Logger
    ) -> None:
        """Prepare the hooks, and listen for failures.

        Args:
            run: the run.
            targets: the files of its experiment.
            lineages: of these files.
            logger: Snakemake's logger.
        """
        self._run, self._plan, self._logger = run, targets.plan, logger
        self._targets, self._lineages = targets, lineages
        self._watch = Watch(run.give_up)
        self._complete = False  # whether this run completes the experiment
        if run.is_main():
            logger.addHandler(self._watch)
        # Everything loaded so far is needed until the end. Without looking for garbage in it, a run
        # with nothing to do ends sooner.
        gc.freeze()

    def start(self) -> None:
        """Check that the run can work, and pass its plan to the logger.

        Raises:
            SkeletonsError: another run uses the folder, the folder cannot be written to, or the
                cluster is not set up as the profile assumes.
        """
        jobs = self._run.planned()
        self._check_cluster(jobs)
        self._keep_others_out()
        work = {job.number: self._work(job) for job in jobs if job.makes_files}
        memory = f"{self._plan.logs}/seconds.json"
        self._complete = any(job.rule == "report" for job in jobs)
        self._logger.info("", extra={"plan": {"work": work, "memory": memory}})
        self._run.pace()

    def success(self) -> None:
        """Remove unfinished states; print failures, notes on images, the cache and the verdict."""
        if self._complete:
            unfinished.sweep(self._plan.results)
        remember(self._targets, self._lineages)
        self._print_failures()
        self._print_notes()
        self._print_cache()
        self._print_verdict()

    def error(self) -> None:
        """Print why jobs failed, and whether the report is from an earlier run."""
        remember(self._targets, self._lineages)
        self._print_failures()
        self._print_outdated()

    def _check_cluster(self, jobs: list[PlannedJob]) -> None:
        cluster = self._run.cluster()
        if cluster is not None:
            partitions = {job.partition for job in jobs if job.on_cluster} - {""}
            slurm.check(cluster.status_command, cluster.interval, partitions)

    def _keep_others_out(self) -> None:
        """Lock the experiment, and keep the data sets from being removed.

        Experiments can run at the same time. A job that makes a data set locks that set.
        """
        lock.hold(self._plan.results)
        artifacts.sweep(self._plan.results)
        lock.hold(DATA, shared=True)

    def _work(self, job: PlannedJob) -> dict[str, object]:
        """What the logger needs to know about a job, see `Work` there."""
        first, last = self._epochs(job)
        about = self._target(job) if job.rule in ("train_base", "adopt") else {}
        return {
            **about,
            "rule": job.rule,
            "threads": job.threads,
            "units": last - first + 1 if last else 1,
            "after": job.after,
            "last_epoch": last,
            "may_wait": job.rule in STAGES and STAGES[job.rule].shared,
        }

    def _target(self, job: PlannedJob) -> dict[str, object]:
        """What a base model has to reach, and the file that says whether it does."""
        base = Model.parse(job.wildcards["base_id"])
        target = self._plan.setup_of(base).base.target
        return {"summary": self._targets.network(base), "target": target.model_dump()}

    def _epochs(self, job: PlannedJob) -> tuple[int, int]:
        """The numbers of the first and the last epoch that a job trains; 0 if it trains none."""
        if job.rule in ("curve", "probe", "takeover"):
            return 1, self._plan.config.inspect.epochs
        if job.rule == "small":
            return 1, self._plan.setup_of_net(job.wildcards["net"]).base.epochs
        if job.rule == "retrain":
            return 1, self._plan.setup_of(job.wildcards["model"]).prune.retrain
        if "base_id" not in job.wildcards:
            return 0, 0
        base = Model.parse(job.wildcards["base_id"])
        trained = self._plan.setup_of(base).base.epochs
        if job.rule in AS_BASES:
            return 1, trained
        if job.rule == "trunk":
            return 1, int(job.wildcards["epochs"])
        if job.rule == "plant":
            return trained - planted_epochs(trained) + 1, trained
        if job.rule == "regularize":
            model = base.of(**model_ids.numbers(job.wildcards))
            return (model.parent.epochs or 0) + 1, model.epochs or 0
        return 0, 0

    def _print_failures(self) -> None:
        """Print one sentence per failed job."""
        for sentence in self._watch.summary():
            _print(sentence)

    def _print_notes(self) -> None:
        """What a user should know about the images, such as files that were left out."""
        for name in self._plan.datasets:
            with contextlib.suppress(SkeletonsError):  # not made, after `--until` another rule
                found = artifacts.read_json(f"{DATA}/{name}/info.json")
                for note in found.get("notes", []):
                    _print(f"{name}: {note}")

    def _print_cache(self) -> None:
        """Print the size of the run cache, and how to prune it."""
        folder = self._plan.config.cache
        if folder is None:
            return
        entries = RunCache(folder).entries()
        size = sum(entry.size for entry in entries)
        _print(
            f"The run cache {folder} holds {len(entries)} results in {size / 1e6:,.0f} MB; "
            "`skeletons cache --limit 1GB` removes the oldest."
        )

    def _print_verdict(self) -> None:
        """Print the verdict and the path of the report."""
        page = f"{self._plan.results}/report.html"
        # After `--until RULE`, there may be no report or an old one.
        if self._print_outdated() or not Path(page).exists():
            return
        try:
            found = artifacts.read_json(f"{self._plan.results}/findings.json", ["verdict"])
            _print(f"The verdict: {found['verdict']['answer']}. The report is {page}.")
            for step in found.get("next", [])[:1]:
                _print(f"Next: {step['change'].replace('`', '')}.")
        except SkeletonsError as error:
            _print(str(error))

    def _print_outdated(self) -> bool:
        """Whether the report is from an earlier run with another configuration; if so, print it."""
        sentence = settings.outdated(self._plan.results, canonical(self._plan.config))
        if sentence:
            _print(sentence)
        return bool(sentence)


def _print(sentence: str) -> None:
    print(sentence, file=sys.stderr)
