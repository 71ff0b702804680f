"""The picture of a run on a terminal: one bar, the time left, and the running jobs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import groupby

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from snakemake_logger_plugin_skeletons.book import Book, Running, Work, words
from snakemake_logger_plugin_skeletons.job_log import Progress

TRAINING = 8  # lines of jobs that train or wait; more would fill the terminal
LINES = 4  # of running rules
NAMES = 3  # of jobs in such a line
PATIENCE = 2.0  # seconds between two estimates of the time left, which visit all jobs


class Picture:
    """Draws the account of a run each time the terminal is refreshed."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.failed = 0
        self._left = ""
        self._estimated = 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        total, done = self.book.planned.total(), self.book.finished.total()
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        line.add_row(ProgressBar(total=max(total, 1), completed=done), self._words(done, total))
        yield line
        for text in running_lines(self.book):
            yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    def _words(self, done: int, total: int) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        left = self.left() if done < total else ""
        return f"{done} of {total} jobs done{failed}{left and f', {left}'}"

    def left(self) -> str:
        """The time left in words; empty if it cannot be estimated."""
        now = time.time()
        if now - self._estimated >= PATIENCE:
            self._estimated = now
            self._left = left_words(self.book, now)
        return self._left


def left_words(book: Book, now: float) -> str:
    """`about 12 min left`; `at least` if a rule's time is unknown; empty if all are unknown."""
    left = book.left(now)
    if left is None or not left.seconds:
        return ""
    seconds = math.ceil(left.seconds / 10) * 10  # the estimate is not more precise
    return f"{'about' if left.whole else 'at least'} {words(seconds)} left"


def running_lines(book: Book) -> list[str]:
    """A line for each job that trains or waits, and for each other running rule.

    In both parts, the first to begin is on top.
    """
    running = sorted(dict(book.running).items(), key=lambda item: item[1].began)
    told, others = [], []
    for number, job in running:
        work = book.work.get(number)
        if work and work.watched and (how := progress_words(job.progress(), work)):
            told.append(f"  {job.rule} {job.subject}: {how}")
        else:
            others.append(job)
    return [*_at_most(TRAINING, told, "training job"), *_rules(others)]


def progress_words(progress: Progress, work: Work) -> str:
    """`epoch 3 of 16, training loss 0.3210, accuracy 0.9012`; empty if there is nothing to tell."""
    if progress.waits or not (work.trains and progress.last):
        return progress.waits
    measured = progress.measured and f", {progress.measured}"
    return f"epoch {progress.last} of {work.last_epoch}{measured}"


def _rules(running: Iterable[Running]) -> list[str]:
    """A line for each rule with the names of its jobs."""
    jobs = sorted(running, key=lambda job: job.rule)
    rules = [list(group) for _, group in groupby(jobs, key=lambda job: job.rule)]
    rules.sort(key=lambda group: min(job.began for job in group))
    return _at_most(LINES, [_line(group) for group in rules], "stage")


def _at_most(count: int, lines: list[str], what: str) -> list[str]:
    more = len(lines) - count
    if more <= 0:
        return lines
    return [*lines[:count], f"  … and {more} more {what}{'s' if more > 1 else ''}"]


def _line(jobs: list[Running]) -> str:
    names = [job.subject for job in jobs[:NAMES]]
    more = f", … {len(jobs) - NAMES} more" if len(jobs) > NAMES else ""
    return f"  {jobs[0].rule} {', '.join(names)}{more}".rstrip()
