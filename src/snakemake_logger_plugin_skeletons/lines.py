"""The lines that are printed about stages and failures."""

from __future__ import annotations

from collections.abc import Mapping

from skeletons.workflow.failures import job_name
from snakemake_logger_plugin_skeletons.book import Book, Running, Work, words
from snakemake_logger_plugin_skeletons.picture import left_words, progress_words

INTERRUPTED = (
    "Interrupted: the results of running jobs that did not finish are not kept. The next run "
    "continues from the finished ones, and resumes training after its last epoch."
)


def begun(book: Book, rule: str) -> str:
    """A stage begins."""
    return f"◯ {rule} begins: {jobs(book.planned[rule])}"


def done(book: Book, rule: str, now: float, *, with_left: bool) -> str:
    """The line for a finished stage; with the remaining time, if it is known and requested."""
    count = book.planned[rule]
    took = f"✓ {rule}: {jobs(count)} done in {words(now - book.began[rule])}"
    left = left_words(book, now) if with_left else ""
    return f"{took}{_cached(book.taken[rule], count)}{left and f', {left}'}"


def alive(book: Book, job: Running, work: Work, now: float) -> str:
    """The progress of a running job, and the time left for the whole run if it is known."""
    left = left_words(book, now) if work.trains else ""
    name = job_name(job.rule, job.logs)
    return f"… {name}: {progress_words(job.progress(), work)}{left and f'; {left}'}"


def missed(model: str, measured: Mapping[str, float], target: Mapping[str, float]) -> str:
    """A base model misses its target."""
    loss, accuracy = measured["train_loss"], measured["train_accuracy"]
    return (
        f"▲ base model {model} misses `base.target`: found training loss {loss:.4f} and training "
        f"accuracy {accuracy:.4f}; wanted at most {target['train_loss']:g} and at least "
        f"{target['train_accuracy']:g}."
    )


def doubtful(model: str, doubt: str) -> str:
    """A model that a user brought is hardly better than guessing."""
    return f"▲ base model {model} is doubtful: {doubt}."


def failed(job: str, reason: str, log: str) -> str:
    """A job failed."""
    return f"✗ {job}: {reason}{log and f' ({log})'}"


def closing(failed: int, reasons: int) -> str:
    """The last line of a run in which jobs failed."""
    them = "it" if failed == 1 else "them"
    why = f", for {reasons} reason{'s' if reasons > 1 else ''}" if reasons < failed else ""
    return (
        f"{jobs(failed)} failed{why}; the jobs that depend on {them} did not run, all others did. "
        "Fix the cause and run the same command again to make the rest."
    )


def jobs(count: int) -> str:
    """`1 job`, `2 jobs`."""
    return "1 job" if count == 1 else f"{count} jobs"


def _cached(taken: int, count: int) -> str:
    if not taken:
        return ""
    return ", from the run cache" if taken == count else f", {taken} of them from the run cache"
