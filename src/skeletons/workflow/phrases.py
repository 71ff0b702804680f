"""Phrases that identify messages of Snakemake, its plugins and Python.

Snakemake reports most things as events with fields, which are used where they exist. The messages
below come only as text. `tests/test_phrases.py` checks that the installed packages still contain
every phrase. A message that matches none of them is shown unchanged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEDULER = "snakemake.scheduling.job_scheduler"
WORKFLOW = "snakemake.workflow"
DAG = "snakemake.dag"
SLURM = "snakemake_executor_plugin_slurm"


@dataclass(frozen=True)
class Phrase:
    """A part of a message.

    Attributes:
        pattern: a regular expression that finds it; its group is the variable part.
        source: the module with this text, or the built-in exception that Python prints.
    """

    pattern: str
    source: str

    def find(self, message: str) -> re.Match[str] | None:
        """The match of the phrase in a message; None if there is none."""
        return re.search(self.pattern, message)

    def removed(self, message: str) -> str:
        """The message without the phrase."""
        return re.sub(self.pattern, "", message)


# The exception that ends a local job: its name in the field `exception` of an error event. The
# event of the failed job follows.
JOB_EXCEPTION = "RuleException"

# --- the course of a run ------------------------------------------------------------------------

# There is no event for an interrupt: the scheduler logs a plain line.
INTERRUPTED = Phrase(r"\ATerminating processes on user request", SCHEDULER)
# An error event, but its exception is a WorkflowError, like that of many other errors.
UNDONE = Phrase(r"At least one job did not complete successfully\.", WORKFLOW)
# A dry run ends without an event: this is its last line.
DRY_RUN = Phrase(r"\AThis was a dry-run", WORKFLOW)
# A line of the summary of a dry run. It refers to a list of jobs that only --verbose shows.
JOBS_ABOVE = Phrase(r"\n +\(check individual jobs above for details\)", DAG)

# --- messages that are hidden: plain lines, recognised only by their text -----------------------

# Snakemake's current step; the picture and the lines of each stage show it.
SELECTING = Phrase(r"\ASelect jobs to execute", SCHEDULER)
BUILDING = Phrase(r"\ABuilding DAG of jobs", WORKFLOW)
# Settings that are the same in nearly all runs.
SHARED_FILES = Phrase(r"\AAssuming unrestricted shared filesystem", "snakemake.api")
SHELL = Phrase(r"\AUsing shell:", WORKFLOW)
CONDA_IGNORED = Phrase(r"\AConda environments: ignored", WORKFLOW)
CONDA_ACTIVATED = Phrase(r"\AActivating conda environment", "snakemake.shell")
# The sentence about the failed job is more precise.
REMOVING = Phrase(r"\ARemoving output files of failed job", "snakemake.jobs")
EXITING = Phrase(r"\AExiting because a job execution failed", SCHEDULER)
# If settings or code have changed, a dry run advises to compare only modification times. Here, that
# would keep results of another configuration. The summary of reasons names the same jobs.
PROVENANCE = Phrase(r"\ASome jobs were triggered by provenance", WORKFLOW)
PROVENANCE_RULES = Phrase(r"\ARules with provenance triggered jobs", WORKFLOW)

# Another run has made a data set since this one was planned; the job finds it made.
MADE_MEANWHILE = Phrase(
    r"\AWarning: the following output files of rule (dataset|\{\}) were not present when",
    "snakemake.jobs",
)
# A data set that could not be made: what was there before stays. The sentence about the failed job
# says what is wrong.
RESTORED = Phrase(r"\ARestored previous version of", "snakemake.jobs")
NOT_RESTORED = Phrase(r"\ACannot restore .+: no backup found", "snakemake.persistence")

HIDDEN = (
    *(SELECTING, BUILDING, SHARED_FILES, SHELL, CONDA_IGNORED, CONDA_ACTIVATED, REMOVING, EXITING),
    *(PROVENANCE, PROVENANCE_RULES, MADE_MEANWHILE, RESTORED, NOT_RESTORED),
)

# --- errors: the event holds the name of the exception, its text holds the rest -----------------

NO_RULE = Phrase(r"No rule to produce (.+?) \(if you use", "snakemake.exceptions")
WILDCARDS = Phrase(r"Target rules may not contain wildcards", DAG)
VERSION = Phrase(r"(?m)^(Expecting Snakemake version .+?\))", "snakemake.utils")

# --- jobs of a cluster: the event of a failed job has the message as its field `rule_msg` -------

# Every message of an executor that submits jobs ends with it. The field `external_jobid` is missing
# if a job was never submitted.
SEE_CLUSTER = Phrase(
    r"For further error details see the cluster/cloud log and the log files of the involved "
    r"rule\(s\)\.",
    "snakemake_interface_executor_plugins.executors.remote",
)
# The state of the job in SLURM, as reported by the plugin. No field holds it.
STATUS = Phrase(r"SLURM status is: '(\w+)", SLURM)
# Why sbatch refused a job: in quotes if sbatch failed, else without.
REFUSED = Phrase(r"(?s)The error message was '(.*?)'\.(?:\n|\Z)", SLURM)
REFUSED_UNQUOTED = Phrase(r"(?s)The error message was (?!')(.+)", SLURM)
# Any other exception while a job is submitted.
NOT_SUBMITTED = Phrase(r"(?s)submission failed with exception: (.+)", SLURM)

# --- what Python prints -------------------------------------------------------------------------

TRACEBACK = Phrase(r"Traceback \(most recent call last\):", "traceback")
ENDED_BY_SIGNAL = Phrase(r"died with <Signals\.(\w+)", "CalledProcessError")
NO_FILE = Phrase(r"(?m)^\w+Error: \[Errno \d+\] (.+?): '(.+?)'$", "OSError")
NO_MODULE = Phrase(
    r"(?ms)^ModuleNotFoundError.*?No module named '(\w+)",  # Snakemake adds the place
    "ModuleNotFoundError",
)
