"""What a run says on the terminal: a picture of its progress, and a sentence for what fails.

A Snakemake logger plugin (`logger: [skeletons]` in the profiles), built on
snakemake-logger-plugin-rich. On a terminal there is one bar, the time left, and what runs now;
where there is none, a line when a stage begins and when it is done. Snakemake reports a failed job
as an exception of its own, with the command that ended badly; here a job is reported by its model
and by the sentence that it left in its log, and an interrupted run does not report the jobs that it
ended.
"""

from __future__ import annotations

import re
import sys
import time
from logging import LogRecord
from typing import Any

from rich.live import Live
from rich.text import Text
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_rich import LogHandler as RichLogHandler
from snakemake_logger_plugin_rich import events
from snakemake_logger_plugin_rich.event_handler import EventHandler

from skeletons.workflow import failures
from snakemake_logger_plugin_skeletons import book
from snakemake_logger_plugin_skeletons.book import Book, Running, Work
from snakemake_logger_plugin_skeletons.picture import Picture, left_words
from snakemake_logger_plugin_skeletons.sentences import sentence

INTERRUPTED = "Terminating processes on user request"
UNDONE = "At least one job did not complete successfully."
# What only repeats the command line, or what a job's own sentence says better.
NOISE = ("Conda environments: ignored", "Removing output files of failed job", "Exiting because")
# What a dry run advises where settings or code have changed: to go by times alone, which here would
# leave results that are no longer the configuration's. Its `Reasons:` name the same jobs.
ADVICE = ("Some jobs were triggered by provenance", "Rules with provenance triggered jobs")
DRY_RUN = "This was a dry-run"
TRACEBACK = "Traceback (most recent call last):"


class LogHandler(RichLogHandler):
    """The plugin that Snakemake loads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        old: EventHandler = vars(self)["event_handler"]
        old.close()
        self.event_handler: EventHandler = Narrator(
            Picture(Book()),
            console=old.console,
            progress=old.progress,
            dryrun=old.dryrun,
            printshellcmds=old.printshellcmds,
            show_failed_logs=old.show_failed_logs,
            verbose=old.verbose,
        )


class Narrator(EventHandler):
    """Prints Snakemake's events; holds which jobs failed, and whether the run was interrupted.

    What failed on a cluster is told when the run ends, by `skeletons.workflow.failures`: the cause is known
    to the cluster alone, and another attempt may still do it.
    """

    def __init__(self, picture: Picture, **options: Any) -> None:
        # Shown only on a terminal: elsewhere, a transient picture leaves nothing.
        live = Live(picture, console=options["console"], refresh_per_second=2, transient=True)
        super().__init__(live_display=live, **options)
        self.picture = picture
        self.book = picture.book
        self.memory: str | None = None  # where the next run finds what the jobs of this one took
        self.failed: set[int] = set()
        self.reasons: set[str] = set()  # each kind is said once, however many jobs it stops
        self.interrupted = False
        self.said = ""  # the last exception of a job, for one that left nothing in its log

    def handle(self, record: LogRecord, **options: Any) -> None:
        told = vars(record)
        if "plan" in told:
            self._take_plan(**told["plan"])
        elif told.get("event") == LogEvent.JOB_ERROR and failures.of_cluster(told):
            self.book.fail(told["jobid"])
            self._failed(told["jobid"], str(told["jobid"]))
        else:
            super().handle(record, **options)

    def _take_plan(self, work: dict[int, dict[str, Any]], memory: str) -> None:
        self.book.work = {job: Work(**about) for job, about in work.items()}
        self.book.earlier = book.recall(memory)
        self.memory = memory

    def handle_resources_info(self, event_data: events.ResourcesInfo, **options: Any) -> None:
        self.book.slots = event_data.cores or event_data.nodes or self.book.slots

    def handle_run_info(self, event_data: events.RunInfo, **options: Any) -> None:
        self.book.planned.update(event_data.per_rule_job_counts)
        super().handle_run_info(event_data, **options)
        self._draw()

    def handle_job_info(self, event_data: events.JobInfo, **options: Any) -> None:
        super().handle_job_info(event_data, **options)
        if self.dryrun:
            return
        rule, logs = event_data.rule_name, tuple(event_data.log or ())
        running = Running(rule, failures.subject(rule, logs), time.time(), logs)
        first = self.book.begin(event_data.jobid, running)
        if first and rule != "all":
            self._say_begun(rule)

    def _say_begun(self, rule: str) -> None:
        if self.console.is_terminal:
            self._draw()
        else:
            self._say(f"◯ {rule} begins: {_jobs(self.book.planned[rule])}", "")

    def _draw(self) -> None:
        """Shows a new stage at once: jobs may be done before the picture would be drawn again."""
        live = self.progress_display.live_display
        if live.is_started:
            live.refresh()

    def handle_job_finished(self, event_data: events.JobFinished, **options: Any) -> None:
        now = time.time()
        self.failed.discard(event_data.job_id)
        self.reasons.discard(str(event_data.job_id))
        self.picture.failed = len(self.failed)
        super().handle_job_finished(event_data, **options)
        rule = self.book.finish(event_data.job_id, now)
        if rule and rule != "all":
            self._say_done(rule, now)

    def _say_done(self, rule: str, now: float) -> None:
        count = self.book.planned[rule]
        took = f"✓ {rule}: {_jobs(count)} done in {book.words(now - self.book.began[rule])}"
        took += _cached(self.book.taken[rule], count)
        left = "" if self.console.is_terminal else left_words(self.book, now)
        self._say(f"{took}{left and f', {left}'}", "green")

    def _failed(self, job: int, reason: str) -> None:
        self.failed.add(job)
        self.reasons.add(reason)
        self.picture.failed = len(self.failed)

    def handle_job_error(self, event_data: events.JobError, **options: Any) -> None:
        self.book.fail(event_data.jobid)
        if self.interrupted:
            return
        about = self.jobs_info.get(event_data.jobid, {"rule": "a job", "log": []})
        logs = list(about["log"] or [])
        reason, log = explain(logs, self.said)
        self.said = ""
        kind = kind_of(reason)
        new = kind not in self.reasons
        self._failed(event_data.jobid, kind)
        if new:
            name = failures.job_name(str(about["rule"]), logs)
            self._say(f"✗ {name}: {reason}{log and f' ({log})'}", "yellow")

    def handle_error(self, event_data: events.Error, **options: Any) -> None:
        message = event_data.message or ""
        if UNDONE in message:
            self._stop_dag_status()
            if self.failed and not self.interrupted:
                self._say(_closing(len(self.failed), len(self.reasons)), "red")
        elif message.startswith("RuleException"):
            self.said = message
        elif not self.interrupted:
            event_data.message = sentence(message, sys.argv[1:])
            super().handle_error(event_data, **options)

    def handle_generic_record(self, record: LogRecord, **options: Any) -> None:
        message = record.getMessage()
        if message.startswith(INTERRUPTED):
            self.interrupted = True
            self._say(
                "Interrupted: what running jobs have not finished is not kept, and the next run "
                "goes on from what is there.",
                "yellow",
            )
        elif message.startswith("RuleException"):
            self.said = message
        elif message.startswith(DRY_RUN):
            self._say(f"● {message} What the run cache has is taken from there, not computed.", "")
        elif not (
            message.startswith((*NOISE, *ADVICE)) or (self.interrupted and TRACEBACK in message)
        ):
            super().handle_generic_record(record, **options)

    def close(self) -> None:
        super().close()
        if self.memory and self.book.done:
            book.remember(self.memory, self.book.rates(time.time()))

    def _say(self, text: str, style: str) -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _cached(taken: int, count: int) -> str:
    if not taken:
        return ""
    return ", from the run cache" if taken == count else f", {taken} of them from the run cache"


def kind_of(reason: str) -> str:
    """A reason without its measured numbers, which are others for each job that it stops.

    Those in a name, as `seed=1`, and those of lines of code tell one reason from another.
    """
    return re.sub(r"(?<![\w=./-])(?<!line )-?\d+(\.\d+)?(e[-+]?\d+)?(?![\w=/])", "…", reason)


def explain(logs: list[str], said: str) -> tuple[str, str]:
    """Why a job failed, in a sentence, and the log that says so.

    Args:
        logs: its log files.
        said: what Snakemake said of it, if it left nothing there.
    """
    signal = re.search(r"died with <Signals\.(\w+)", said)
    for log in logs:
        sentence, crashed, last = failures.last_words(log)
        if sentence or crashed:
            return sentence or crashed, f"more in {log}" if crashed else log
        if last and not signal:
            return last, log
    if signal:
        return failures.ended_by(signal[1]), ""
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "its process was ended from outside, and left no word.", ""


def _closing(failed: int, reasons: int) -> str:
    jobs, them = _jobs(failed), "it" if failed == 1 else "them"
    why = f", for {reasons} reason{'s' if reasons > 1 else ''}" if reasons < failed else ""
    return (
        f"{jobs} failed{why}, and what depends on {them} is not made; all else is. Once that is "
        "put right, the same command makes the rest."
    )
