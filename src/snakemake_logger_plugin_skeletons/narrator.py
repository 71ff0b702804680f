"""Turns the events of a run into its account, its picture and the lines that are printed."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from logging import LogRecord
from typing import Any

from rich.console import Console
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import OutputSettingsLoggerInterface

from skeletons.errors import SkeletonsError
from skeletons.store import artifacts
from skeletons.workflow import failures, phrases
from snakemake_logger_plugin_skeletons import book, lines
from snakemake_logger_plugin_skeletons.book import Book, Running, Work
from snakemake_logger_plugin_skeletons.failed import Failed
from snakemake_logger_plugin_skeletons.messages import shown
from snakemake_logger_plugin_skeletons.picture import Picture
from snakemake_logger_plugin_skeletons.pulse import Pulse
from snakemake_logger_plugin_skeletons.screen import Screen
from snakemake_logger_plugin_skeletons.sentences import sentence
from snakemake_logger_plugin_skeletons.stats import job_stats

Fields = Mapping[str, Any]  # of a record

# Events that --verbose also shows in Snakemake's own words.
DETAILS = {
    *(LogEvent.WORKFLOW_STARTED, LogEvent.JOB_INFO, LogEvent.JOB_STARTED, LogEvent.JOB_FINISHED),
    *(LogEvent.GROUP_INFO, LogEvent.GROUP_ERROR, LogEvent.RESOURCES_INFO, LogEvent.PROGRESS),
}


class Narrator:
    """Follows a run by its records.

    The failures of a cluster's jobs are only counted here. Only the cluster knows their causes, and
    another attempt may succeed. `skeletons.workflow.failures` reports them when the run ends.
    """

    def __init__(
        self,
        console: Console,
        settings: OutputSettingsLoggerInterface,
        words: Callable[[LogRecord], str],
        errors: Console | None = None,
    ) -> None:
        """Begin.

        Args:
            console: where the run is shown.
            settings: of Snakemake's output.
            words: formats a record in Snakemake's own words.
            errors: where warnings and errors are shown, if not on the same console.
        """
        quiet = {kind.item_to_choice() for kind in settings.quiet or ()}
        self.settings = settings
        self.silent = "all" in quiet and not settings.dryrun
        self.shows_header = not self.silent and "host" not in quiet
        self.shows_stages = not settings.dryrun and not quiet & {"rules", "progress", "all"}
        self.book = Book()
        self.picture = Picture(self.book)
        self.screen = Screen(console, self.picture, errors)
        self._words = words
        self._memory: str | None = None  # the file that stores the times of jobs for the next run
        self._started = False
        self._interrupted = False
        self._failed = Failed()
        self._pulse = Pulse(self.book, self.screen.say)
        self._actions: dict[str, Callable[[Fields], None]] = {
            LogEvent.WORKFLOW_STARTED: self._start,
            LogEvent.RESOURCES_INFO: self._count_slots,
            LogEvent.RUN_INFO: self._plan,
            LogEvent.JOB_INFO: self._begin,
            LogEvent.JOB_FINISHED: self._finish,
            LogEvent.JOB_ERROR: self._fail,
            LogEvent.SHELLCMD: self._show_command,
        }

    def tell(self, record: LogRecord) -> None:
        """Process a record and show what it means for the run."""
        event, fields = getattr(record, "event", None), vars(record)
        if event == LogEvent.DEBUG_DAG or (self.settings.verbose and event in DETAILS):
            self.screen.say(self._words(record))
        if "plan" in fields:
            self._take_plan(**fields["plan"])
        elif event == LogEvent.ERROR:
            self._take_error(record.getMessage(), fields.get("exception"))
        elif event is None:
            self._take_message(record.getMessage(), record.levelno)
        elif event in self._actions:
            self._actions[event](fields)

    def close(self) -> None:
        """End the picture and store the times of jobs. Snakemake calls this more than once."""
        self._pulse.close()
        self.screen.close()
        for exception in self._failed.leftover():
            if not self._interrupted:
                self.screen.warn(exception, "red")
        if self._memory and self.book.done:
            book.remember(self._memory, self.book.rates(time.time()))

    # --- the run as a whole ---

    def _take_plan(self, work: dict[int, dict[str, Any]], memory: str) -> None:
        """Take what `hooks` sends: the jobs, and the file of earlier times."""
        self.book.work = {job: Work(**about) for job, about in work.items()}
        self.book.earlier = book.recall(memory)
        self._memory = memory

    def _start(self, _: Fields) -> None:
        self._started = True
        if self.shows_header:
            self.screen.heading(f"Workflow start {time.strftime('%d %b %Y @ %H:%M')}")
        if not self.silent:
            self.screen.spin("Building workflow graph...")

    def _count_slots(self, fields: Fields) -> None:
        self.book.slots = fields.get("cores") or fields.get("nodes") or self.book.slots

    def _plan(self, fields: Fields) -> None:
        planned = Counter({r: n for r, n in fields["stats"].items() if r != "total"})
        again = planned == self.book.planned  # a dry run prints its table twice
        self.book.planned = planned
        if not planned or (again and not self.settings.verbose):
            return
        if self.shows_stages or self.settings.dryrun:
            self.screen.show(job_stats(planned))
        if self.shows_stages:
            self.screen.start_picture()
            self.screen.redraw()
            if not self.screen.is_terminal:
                self._pulse.start()

    # --- jobs ---

    def _begin(self, fields: Fields) -> None:
        if self.settings.dryrun:
            return
        rule, logs = fields["rule_name"], tuple(fields.get("log") or ())
        running = Running(rule, failures.subject(rule, logs), time.time(), logs)
        first = self.book.begin(fields["jobid"], running)
        if first and rule != "all" and self.shows_stages:
            self._say_begun(rule)

    def _say_begun(self, rule: str) -> None:
        if self.screen.is_terminal:
            self.screen.redraw()
        else:
            self.screen.say(lines.begun(self.book, rule))

    def _finish(self, fields: Fields) -> None:
        job, now = fields["job_id"], time.time()
        self._failed.discard(job)
        self.picture.failed = len(self._failed.jobs)
        running = self.book.running.get(job)
        rule = self.book.finish(job, now)
        if running and not self.silent:
            self._judge(running, self.book.work.get(job))
        if rule and rule != "all" and self.shows_stages:
            picture = self.screen.is_terminal  # the picture shows the time left
            self.screen.say(lines.done(self.book, rule, now, with_left=not picture), "green")

    def _judge(self, job: Running, work: Work | None) -> None:
        """Report a base model that misses its target."""
        if work is None or not work.summary:
            return
        with contextlib.suppress(SkeletonsError):  # a broken file fails the jobs that read it
            measured = artifacts.read_json(work.summary, ["train_loss", "train_accuracy"])
            target = work.target
            if "doubt" in measured:
                self.screen.warn(lines.doubtful(job.subject, measured["doubt"]), "yellow")
            elif (
                measured["train_loss"] > target["train_loss"]
                or measured["train_accuracy"] < target["train_accuracy"]
            ):
                self.screen.warn(lines.missed(job.subject, measured, target), "yellow")

    def _fail(self, fields: Fields) -> None:
        job = fields["jobid"]
        self.book.fail(job)
        if failures.of_cluster(fields):
            self._failed.add_of_cluster(job)
        elif not self._interrupted:
            self._say_failure(job, fields["rule_name"], list(fields.get("log") or ()))
        self.picture.failed = len(self._failed.jobs)

    def _say_failure(self, job: int, rule: str, logs: list[str]) -> None:
        if new := self._failed.add(job, logs):
            self.screen.warn(lines.failed(failures.job_name(rule, logs), *new), "yellow")

    def _show_command(self, fields: Fields) -> None:
        command = fields.get("cmd") or fields.get("shellcmd")
        if command and self.settings.printshellcmds:
            self.screen.say(command)

    # --- errors and messages ---

    def _take_error(self, message: str, exception: str | None) -> None:
        if exception == phrases.JOB_EXCEPTION:
            self._failed.expect(message)
        elif self._interrupted:
            return
        elif self._failed.jobs and phrases.UNDONE.find(message):
            self.screen.warn(self._failed.closing(), "red")
        else:
            command = sys.argv[1:]
            self.screen.warn(sentence(message, exception, command, self._started), "red")

    def _take_message(self, message: str, level: int) -> None:
        if phrases.INTERRUPTED.find(message):
            self._interrupted = True
            self.screen.warn(lines.INTERRUPTED, "yellow")
        elif self._interrupted and phrases.TRACEBACK.find(message):
            return
        elif text := shown(message, verbose=self.settings.verbose):
            self._say_message(text, level)

    def _say_message(self, text: str, level: int) -> None:
        if level >= logging.ERROR:
            self.screen.warn(text, "red")
        elif not self.silent and level >= logging.WARNING:
            self.screen.warn(text, "yellow")
        elif not self.silent:
            self.screen.say(text)
