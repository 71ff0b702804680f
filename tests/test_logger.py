"""The logger plugin alone: from the records of a run to its output."""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from snakemake.settings.enums import Quietness
from snakemake.settings.types import OutputSettings
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from skeletons.workflow import phrases
from snakemake_logger_plugin_skeletons import LogHandler
from snakemake_logger_plugin_skeletons.narrator import Narrator
from snakemake_logger_plugin_skeletons.reasons import NOTHING, explain

LOG = "logs/e/train_base/seed=1.log"
STATS = {"train_base": 2, "total": 2}
UNDONE = "WorkflowError:\nAt least one job did not complete successfully."


def record(
    event: LogEvent | None = None, message: str = "", level: int = logging.INFO, **fields: Any
) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    vars(made).update({"event": event} if event else {}, **fields)
    return made


def begins(job: int = 1, **fields: Any) -> logging.LogRecord:
    return record(LogEvent.JOB_INFO, jobid=job, rule_name="train_base", log=[LOG], **fields)


def finished(job: int = 1) -> logging.LogRecord:
    return record(LogEvent.JOB_FINISHED, job_id=job)


def fails(job: int = 1, **fields: Any) -> logging.LogRecord:
    told = {"jobid": job, "rule_name": "train_base", "rule_msg": None, "log": [LOG], "aux": {}}
    return record(LogEvent.JOB_ERROR, level=logging.ERROR, **{**told, **fields})


def error(message: str, exception: str = "WorkflowError") -> logging.LogRecord:
    return record(LogEvent.ERROR, message, logging.ERROR, exception=exception)


START = record(LogEvent.WORKFLOW_STARTED, "Workflow has started!", quietness=Quietness.HOST)
RUN = record(LogEvent.RUN_INFO, stats=STATS)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / LOG).parent.mkdir(parents=True)
    return tmp_path


def printed(
    capsys: pytest.CaptureFixture[str], *records: logging.LogRecord, **settings: Any
) -> str:
    """The output of the handler without a terminal."""
    handler = LogHandler(OutputSettings(**settings), None)
    for each in records:
        handler.handle(each)
    handler.close()
    handler.close()
    out, err = capsys.readouterr()
    assert "" in (out, err)
    return out + err


def on_terminal(*records: logging.LogRecord, **settings: Any) -> str:
    """The output on a terminal, with control characters."""
    terminal = io.StringIO()
    console = Console(file=terminal, force_terminal=True, width=100)
    narrator = Narrator(console, OutputSettings(**settings), logging.LogRecord.getMessage)
    for each in records:
        narrator.tell(each)
    shown = terminal.getvalue()
    narrator.close()
    return shown


# --- the interface ------------------------------------------------------------------------------


def test_snakemake_finds_the_plugin() -> None:
    plugin = LoggerPluginRegistry().get_plugin("skeletons")
    assert plugin.log_handler is LogHandler
    assert LogHandler.__mro__[1] is LogHandlerBase


def test_a_bug_of_ours_is_reported_and_does_not_end_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "KeyError: 'stats'" in printed(capsys, record(LogEvent.RUN_INFO))


def test_the_settings_choose_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    for stdout in (False, True):
        handler = LogHandler(OutputSettings(stdout=stdout), None)
        handler.handle(record(message="Something."))
        handler.close()
        out, err = capsys.readouterr()
        assert (out, err) == (("Something.\n", "") if stdout else ("", "Something.\n"))


def test_the_errors_of_a_dry_run_are_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    refused = error('RefusalError in file "x", line 3:\nbase.epochs: found x.', "RefusalError")
    for records in (
        (refused,),
        (START, RUN, record(message="Hm.", level=logging.WARNING), refused),
    ):
        handler = LogHandler(OutputSettings(stdout=True, dryrun=True), None)
        for each in records:
            handler.handle(each)
        handler.close()
        out, err = capsys.readouterr()
        assert err.endswith("base.epochs: found x.\n")
        assert ("Hm." in err) == ("Job stats" in out) == (len(records) > 1)
        assert "base.epochs" not in out + err.removesuffix("base.epochs: found x.\n")


# --- without a terminal -------------------------------------------------------------------------


def test_rules_have_their_names_as_they_are_typed(capsys: pytest.CaptureFixture[str]) -> None:
    Path(LOG).write_text("Failed: The loss was nan.\n")
    said = printed(capsys, START, RUN, begins(1), finished(1), begins(2), fails(2))
    assert " train_base       2 " in said
    assert "◯ train_base begins: 2 jobs" in said
    assert f"✗ train_base of seed=1: The loss was nan. ({LOG})" in said
    assert "train base" not in said
    assert "\x1b" not in said


def test_a_stage_is_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    said = printed(capsys, RUN, begins(1), begins(2), finished(2), finished(1))
    assert said.splitlines()[-2:] == [
        "◯ train_base begins: 2 jobs",
        "✓ train_base: 2 jobs done in 1 s",
    ]
    assert "of 2 jobs done" not in said


def test_an_unknown_message_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = "Something [new] of\n  two lines, " + "long " * 40
    assert printed(capsys, record(message=text)) == f"{text}\n"
    assert printed(capsys, error(text)) == f"{text}\n"
    hidden = record(message="Select jobs to execute...")
    assert printed(capsys, hidden, record(message="")) == ""


def test_a_dry_run_has_one_table(capsys: pytest.CaptureFixture[str]) -> None:
    end = "This was a dry-run (flag -n)."
    reasons = "Reasons:\n    (check individual jobs above for details)\n    code:\n        a"
    messages = (record(message=reasons), record(message=end))
    said = printed(capsys, RUN, begins(), RUN, *messages, dryrun=True)
    assert said.count("Job stats") == 1
    assert "Reasons:\n    code:\n        a\n" in said
    assert f"● {end} Results in the run cache" in said
    assert "begins" not in said
    said = printed(capsys, RUN, begins(), RUN, *messages, dryrun=True, verbose=True)
    assert said.count("Job stats") == 2  # one is above the list of jobs, one below
    assert reasons in said


def test_commands_are_shown_with_p_only(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        record(LogEvent.SHELLCMD, "Shell command: None", shellcmd=None),
        record(LogEvent.SHELLCMD, "Shell command: sort a", shellcmd="sort a"),
        record(LogEvent.SHELLCMD, "None", cmd="sort b"),
    ]
    assert printed(capsys, *commands) == ""
    assert printed(capsys, *commands, printshellcmds=True) == "sort a\nsort b\n"


def test_details_are_shown_with_verbose_only(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        record(LogEvent.JOB_STARTED, "Execute 1 jobs..."),
        record(message="deep", level=logging.DEBUG),
        record(LogEvent.DEBUG_DAG, "candidate"),
    ]
    assert printed(capsys, *records) == ""
    assert printed(capsys, *records, verbose=True) == "Execute 1 jobs...\ndeep\n"
    assert printed(capsys, *records, debug_dag=True) == "candidate\n"


@pytest.mark.parametrize("kind", [Quietness.RULES, Quietness.PROGRESS, Quietness.ALL])
def test_quiet_hides_progress_and_never_a_failure(
    capsys: pytest.CaptureFixture[str], kind: Quietness
) -> None:
    Path(LOG).write_text("Failed: The loss was nan.\n")
    run = (START, RUN, begins(1), finished(1), begins(2), finished(2), begins(3), fails(3))
    said = printed(capsys, *run, record(message="Hm."), error(UNDONE), quiet={kind})
    assert "Job stats" not in said
    assert "begins" not in said
    assert "✓" not in said
    assert "✗ train_base of seed=1: The loss was nan." in said
    assert "1 job failed;" in said
    assert ("Hm." in said) == ("Workflow start" in said) == (kind is not Quietness.ALL)


def test_a_quiet_dry_run_still_has_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = {Quietness.RULES, Quietness.PROGRESS}
    assert "Job stats" in printed(capsys, RUN, quiet=quiet, dryrun=True)


# --- failures -----------------------------------------------------------------------------------


def test_a_reason_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    Path(LOG).write_text("Failed: The loss was nan.\n")
    said = printed(capsys, begins(1), begins(2), fails(1), fails(2), error(UNDONE))
    assert said.count("✗") == 1
    assert "2 jobs failed, for 1 reason; the jobs that depend on them did not run" in said


def test_an_exception_is_told_by_its_job(capsys: pytest.CaptureFixture[str]) -> None:
    Path(LOG).write_text("Failed: The loss was nan.\n")
    exception = error("RuleException:\nCommand …", phrases.JOB_EXCEPTION)
    assert "RuleException" not in printed(capsys, begins(), exception, fails())


def test_an_exception_that_says_nothing_known_is_shown_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = 'RuleException:\nCalledProcessError in file "x", line 3:\nCommand … returned 1.'
    said = printed(capsys, begins(), error(text, phrases.JOB_EXCEPTION), fails())
    assert f"✗ train_base of seed=1: {text}\n" in said
    assert explain([], "") == (NOTHING, "")


def test_an_exception_that_no_failed_job_follows_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = printed(capsys, error("RuleException:\nMissing output", phrases.JOB_EXCEPTION))
    assert said == "RuleException:\nMissing output\n"
    assert printed(capsys, error(UNDONE)) == f"{UNDONE}\n"  # for which no job is known either


def test_a_job_of_a_cluster_is_only_counted(capsys: pytest.CaptureFixture[str]) -> None:
    other_attempt = (begins(1), fails(1, aux={"external_jobid": "7"}), begins(1), finished(1))
    message = "Refused. For further error details see the cluster/cloud log and the log files of "
    refused = fails(2, rule_msg=f"{message}the involved rule(s).")
    said = printed(capsys, RUN, *other_attempt, refused, error(UNDONE))
    assert "✗" not in said
    assert "1 job failed;" in said


def test_an_interrupted_run_does_not_report_what_it_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt = record(message="Terminating processes on user request, this might take some time.")
    trace = record(message="Traceback (most recent call last):\n x", level=logging.ERROR)
    ended = (error("RuleException:\nx", phrases.JOB_EXCEPTION), fails(), error("KeyError"), trace)
    said = printed(capsys, begins(), interrupt, *ended, error(UNDONE))
    lines = said.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("Interrupted: ")


# --- on a terminal ------------------------------------------------------------------------------


def test_a_stage_is_shown_however_soon_its_jobs_are_done() -> None:
    assert "0 of 2 jobs done" in on_terminal(RUN)
    assert "train_base seed=1" in on_terminal(RUN, begins())


def test_a_terminal_shows_a_picture_and_what_is_done() -> None:
    shown = on_terminal(START, RUN, begins(1), begins(2), finished(1), finished(2))
    assert "Building workflow graph..." in shown
    assert "✓ train_base: 2 jobs done in 1 s" in shown
    assert "begins" not in shown


def test_failed_jobs_are_counted_in_the_picture() -> None:
    Path(LOG).write_text("Failed: The loss was nan.\n")
    other = record(LogEvent.JOB_INFO, jobid=2, rule_name="prune", log=[])  # draws at once
    assert "0 of 2 jobs done, 1 failed" in on_terminal(RUN, begins(1), fails(1), other)


def test_a_dry_run_and_a_quiet_one_have_no_picture() -> None:
    others: list[Mapping[str, Any]] = [{"dryrun": True}, {"quiet": {Quietness.PROGRESS}}]
    for settings in others:
        assert "jobs done" not in on_terminal(RUN, begins(), finished(), **settings)
