"""Messages about failed jobs, from SLURM's records and the jobs' logs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from skeletons.workflow import failures, slurm
from skeletons.workflow.failures import Watch, explain
from skeletons.workflow.slurm import Cause

# The shortened output of `scontrol --oneliner show job` of SLURM 22.05.
RECORD = (
    "JobId=7 JobName=91b9 UserId=root(0) JobState={state} Reason={state} ExitCode=0:15 "
    "RunTime=00:01:03 TimeLimit=00:01:00 NodeList=node2 MinMemoryNode=1500M StdOut={log}"
)
KILLED = "slurmstepd: error: *** STEP 7.0 ON node2 CANCELLED AT 2026-11-24T21:00:00{} ***"
MEMORY = (
    "slurmstepd: error: StepId=7.0 exceeded memory limit (2100000000 > 1572864000), being killed"
)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, str]]:
    """The answers of SLURM's commands: output, or the reason of a failure."""
    said: dict[str, tuple[str, str]] = {}
    monkeypatch.setattr(slurm, "_ask", lambda *words: said.get(words[0], ("", "no such command")))
    return said


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("logs/demo/train_base").mkdir(parents=True)
    Path("logs/slurm").mkdir()
    return tmp_path


def told(message: str = "", job: str | None = "7") -> dict[str, Any]:
    """The fields of Snakemake's record of a failure."""
    return {
        "jobid": 3,
        "rule_name": "train_base",
        "rule_msg": message,
        "log": ["logs/demo/train_base/seed=2.log"],
        "aux": {} if job is None else {"external_jobid": job},
    }


@pytest.mark.parametrize(
    ("state", "text", "cause"),
    [
        ("CANCELLED", KILLED.format(""), Cause.CANCELLED),
        ("TIMEOUT", KILLED.format(" DUE TO TIME LIMIT"), Cause.TIME),
        ("CANCELLED", KILLED.format(" DUE TO TIME LIMIT"), Cause.TIME),
        ("NODE_FAIL", "", Cause.NODE),
        ("FAILED", MEMORY, Cause.MEMORY),
        ("CANCELLED", MEMORY, Cause.MEMORY),
        ("OUT_OF_MEMORY", "slurmstepd: error: Detected 1 oom_kill event", Cause.MEMORY),
        ("PREEMPTED", "", Cause.PREEMPTED),
        ("FAILED", "WorkflowError:", Cause.OTHER),
    ],
)
def test_the_cause_is_found_in_state_and_log(
    answers: dict[str, tuple[str, str]], here: Path, state: str, text: str, cause: Cause
) -> None:
    log = here / "logs/slurm/7.log"
    log.write_text(f"Building DAG of jobs...\n{text}\n")
    answers["scontrol"] = (RECORD.format(state=state, log=log), "")
    verdict = slurm.examine("7")
    assert (verdict.cause, verdict.node) == (cause, "node2")
    assert verdict.log == "logs/slurm/7.log"


def test_a_job_that_the_controller_forgot_is_known_to_the_database(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    answers["sacct"] = ("TIMEOUT|node4|01:00:00|4000M\n", "")
    verdict = slurm.examine("7")
    assert (verdict.cause, verdict.node, verdict.limit) == (Cause.TIME, "node4", "01:00:00")


def test_a_job_that_all_forgot_is_known_by_what_snakemake_was_told(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    failure = explain(told("SLURM-job '7' failed, SLURM status is: 'CANCELLED'. "))
    assert failure.sentence() == "train_base of seed=2 was cancelled."
    assert failure.hopeless


def test_what_a_job_says_of_itself_is_told_and_not_tried_again(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    own = here / "logs/demo/train_base/seed=2.log"
    own.write_text("On node2, SLURM job 7.\nFailed: The loss was nan.\n")
    answers["scontrol"] = (RECORD.format(state="FAILED", log="gone"), "")
    failure = explain(told())
    assert failure.sentence() == (
        "train_base of seed=2 failed on node2: The loss was nan; "
        "see logs/demo/train_base/seed=2.log."
    )
    assert failure.hopeless


def test_a_crash_is_tried_again(answers: dict[str, tuple[str, str]], here: Path) -> None:
    own = here / "logs/demo/train_base/seed=2.log"
    own.write_text('Traceback (most recent call last):\n  File "x"\nOSError: stale file handle\n')
    answers["scontrol"] = (RECORD.format(state="FAILED", log="gone"), "")
    failure = explain(told())
    assert "failed on node2: OSError: stale file handle; see" in failure.sentence()
    assert not failure.hopeless


def test_a_log_of_an_earlier_run_says_nothing(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    own = here / "logs/demo/train_base/seed=2.log"
    own.write_text("Failed: The loss was nan.\n")
    log = here / "logs/slurm/7.log"
    log.write_text("srun: error: Unable to confirm allocation for job 7\n")
    answers["scontrol"] = (RECORD.format(state="FAILED", log=log), "")
    failure = explain(told(), since=own.stat().st_mtime + 1)
    assert failure.sentence(3) == (
        "train_base of seed=2 failed on node2: Unable to confirm allocation for job 7, "
        "in the last of 3 attempts; see logs/slurm/7.log."
    )


def test_a_job_that_sbatch_refused(answers: dict[str, tuple[str, str]], here: Path) -> None:
    message = "SLURM sbatch failed. The error message was 'sbatch: error: Invalid account'.\n call"
    failure = explain(told(message, job=None))
    assert failure.sentence() == (
        "train_base of seed=2 could not be submitted: sbatch: error: Invalid account."
    )


SEE = (
    "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: can't: Invalid account'.\n"
            "    sbatch call:\n        sbatch 'x'.\n",
            "sbatch: error: can't: Invalid account",
        ),
        (
            "Job submission failed with exception: SLURM job submission failed. The error message "
            "was sbatch: error: Batch job\nsubmission failed\n",
            "sbatch: error: Batch job submission failed",
        ),
        ("Job submission failed with exception: no route to host", "no route to host"),
        ("Array job submission failed with exception: no route to host", "no route to host"),
        (
            "Part of failed array sbatch submission (tasks 1-9); see log for details.",
            "Part of failed array sbatch submission (tasks 1-9); see log for details",
        ),
    ],
)
def test_a_refusal_is_understood_with_quotes_and_without(message: str, reason: str) -> None:
    refused = told(message + SEE, job=None)
    assert failures.of_cluster(refused)
    assert explain(refused).sentence() == f"train_base of seed=2 could not be submitted: {reason}."


def test_a_message_of_another_kind_is_shown_as_it_is(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    failure = explain(told(f"The moon is full. {SEE}"))
    assert failure.sentence() == "train_base of seed=2 failed: The moon is full."
    assert explain(told(SEE, job=None)).sentence() == "train_base of seed=2 failed."


def record(event: str, **values: Any) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", logging.ERROR, "", 0, "", None, None)
    vars(made).update(event=event, **values)
    return made


def test_the_summary_tells_what_was_lost_and_what_another_attempt_saved(
    answers: dict[str, tuple[str, str]], here: Path
) -> None:
    spent: list[int] = []
    watch = Watch(spent.append)
    answers["scontrol"] = (RECORD.format(state="NODE_FAIL", log="gone"), "")
    watch.handle(record("job_error", **told()))
    watch.handle(record("job_finished", job_id=3))
    answers["scontrol"] = (RECORD.format(state="CANCELLED", log="gone"), "")
    lost = {**told(), "jobid": 4, "log": ["logs/demo/train_base/seed=1.log"]}
    watch.handle(record("job_error", **lost))
    watch.handle(record("job_error", **told(job=None)))
    watch.handle(record("progress"))
    assert watch.summary() == [
        "train_base of seed=1 was cancelled on node2.",
        "train_base of seed=2 was lost because its node node2 went down, "
        "and was done in another attempt.",
    ]
    assert spent == [4]


def test_a_job_is_named_by_what_it_was_for() -> None:
    for rule, log, name in (
        ("dataset", "logs/data/shapes.log", "dataset of shapes"),
        ("predict", "logs/demo/predict/digits/seed=1_t=0.5.log", "predict of digits/seed=1_t=0.5"),
        ("figures", "logs/demo/figures.log", "figures"),
    ):
        assert failures.job_name(rule, [log]) == name


CONFIG = "MessageTimeout          = 10 sec\nMinJobAge               = {} sec\n"


def test_a_cluster_as_it_should_be_passes(answers: dict[str, tuple[str, str]]) -> None:
    answers |= {"scontrol": (CONFIG.format(300), ""), "sacct": ("", ""), "sinfo": ("main\n", "")}
    slurm.check("squeue", 20, {"main"})
    slurm.check("sacct", 20)


def test_a_command_that_is_not_there_is_no_crash() -> None:
    assert slurm._ask("no-such-command-of-slurm")[1] == (
        "there is no command no-such-command-of-slurm"
    )
    assert slurm._ask("false") == ("", "false ended with 1")
