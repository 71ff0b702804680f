"""What a run says on the terminal: bars of progress, and one sentence for each thing that fails.

A Snakemake logger plugin (`logger: [skeletons]` in the profiles). The bars are those of
snakemake-logger-plugin-rich; what differs is failure. Snakemake reports a failed job as an
exception of its own, with the command that ended badly; here a job is reported by its model and by
the sentence that it left in its log, and an interrupted run does not report the jobs that it ended.
"""

from __future__ import annotations

from logging import LogRecord
from typing import Any

from rich.text import Text
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_rich import LogHandler as RichLogHandler
from snakemake_logger_plugin_rich import events
from snakemake_logger_plugin_rich.event_handler import EventHandler

from skeletons import failures

INTERRUPTED = "Terminating processes on user request"
UNDONE = "At least one job did not complete successfully."
# What only repeats the command line, or what a job's own sentence says better.
NOISE = ("Conda environments: ignored", "Removing output files of failed job", "Exiting because")
TRACEBACK = "Traceback (most recent call last):"


class LogHandler(RichLogHandler):
    """The plugin that Snakemake loads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        old: EventHandler = vars(self)["event_handler"]
        old.close()
        self.event_handler: EventHandler = Narrator(
            console=old.console,
            progress=old.progress,
            live_display=old.progress_display.live_display,
            dryrun=old.dryrun,
            printshellcmds=old.printshellcmds,
            show_failed_logs=old.show_failed_logs,
            verbose=old.verbose,
        )


class Narrator(EventHandler):
    """Prints Snakemake's events; holds which jobs failed, and whether the run was interrupted.

    What failed on a cluster is told when the run ends, by `skeletons.failures`: the cause is known
    to the cluster alone, and another attempt may still do it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.failed: set[int] = set()
        self.reasons: set[str] = set()  # each is said once, however many jobs it stops
        self.interrupted = False
        self.said = ""  # the last exception of a job, for one that left nothing in its log

    def handle_error(self, event_data: events.Error, **options: Any) -> None:
        message = event_data.message or ""
        if UNDONE in message:
            self._stop_dag_status()
            if self.failed and not self.interrupted:
                self._say(_closing(len(self.failed), len(self.reasons)), "red")
        elif message.startswith("RuleException"):
            self.said = message
        elif not self.interrupted:
            super().handle_error(event_data, **options)

    def handle(self, record: LogRecord, **options: Any) -> None:
        told = vars(record)
        if told.get("event") == LogEvent.JOB_ERROR and failures.of_cluster(told):
            self.failed.add(told["jobid"])
            self.reasons.add(str(told["jobid"]))
        else:
            super().handle(record, **options)

    def handle_job_finished(self, event_data: events.JobFinished, **options: Any) -> None:
        self.failed.discard(event_data.job_id)
        self.reasons.discard(str(event_data.job_id))
        super().handle_job_finished(event_data, **options)

    def handle_job_error(self, event_data: events.JobError, **options: Any) -> None:
        if self.interrupted:
            return
        self.failed.add(event_data.jobid)
        about = self.jobs_info.get(event_data.jobid, {"rule": "a job", "wildcards": {}, "log": []})
        name = " ".join([str(about["rule"]), *_name(about["wildcards"])])
        reason, log = explain(about["log"] or [], self.said)
        if reason not in self.reasons:
            self.reasons.add(reason)
            self._say(f"✗ {name}: {reason}{log and f' ({log})'}", "yellow")

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
        elif not (message.startswith(NOISE) or (self.interrupted and TRACEBACK in message)):
            super().handle_generic_record(record, **options)

    def _say(self, text: str, style: str) -> None:
        self.console.print(Text(text, style=style), soft_wrap=True)


def _name(wildcards: Any) -> list[str]:
    """A job's name: its wildcards as they stand in the names of models."""
    values = dict(wildcards or {})
    if "seed" in values:
        keys = {"seed": "seed", "l1": "l1", "epochs": "ep", "threshold": "t"}
        return ["_".join(f"{keys[key]}={values[key]}" for key in keys if key in values)]
    return [str(value) for value in values.values()]


def explain(logs: list[str], said: str) -> tuple[str, str]:
    """Why a job failed, in a sentence, and the log that says so.

    Args:
        logs: its log files.
        said: what Snakemake said of it, if it left nothing there.
    """
    for log in logs:
        sentence, crashed, last = failures.last_words(log)
        if last:
            return sentence or last, f"more in {log}" if crashed else str(log)
    lines = [line for line in said.splitlines() if line.strip()]
    return lines[-1] if lines else "its process was ended from outside, and left no word.", ""


def _closing(failed: int, reasons: int) -> str:
    jobs, them = ("1 job", "it") if failed == 1 else (f"{failed} jobs", "them")
    why = f", for {reasons} reason{'s' if reasons > 1 else ''}" if reasons < failed else ""
    return (
        f"{jobs} failed{why}, and what depends on {them} is not made; all else is. Once that is "
        "put right, the same command makes the rest."
    )
