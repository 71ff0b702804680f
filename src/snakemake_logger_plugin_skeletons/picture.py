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

from snakemake_logger_plugin_skeletons.book import Book, Running, words

LINES = 4  # of running rules; more would fill the terminal
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
        for text in running_lines(list(self.book.running.values())):
            yield Text(text, style="dim", no_wrap=True, overflow="ellipsis")

    def _words(self, done: int, total: int) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        left = self.left()
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


def running_lines(running: Iterable[Running]) -> list[str]:
    """A line for each running rule with the names of its jobs; the first to begin is on top."""
    jobs = sorted(running, key=lambda job: job.rule)
    rules = [list(group) for _, group in groupby(jobs, key=lambda job: job.rule)]
    rules.sort(key=lambda group: min(job.began for job in group))
    lines = [_line(group) for group in rules[:LINES]]
    more = len(rules) - LINES
    return [*lines, f"  … and {more} more stage{'s' if more > 1 else ''}"] if more > 0 else lines


def _line(jobs: list[Running]) -> str:
    names = [job.subject + _epochs(job) for job in jobs[:NAMES]]
    more = f", … {len(jobs) - NAMES} more" if len(jobs) > NAMES else ""
    return f"  {jobs[0].rule} {', '.join(names)}{more}".rstrip()


def _epochs(job: Running) -> str:
    epochs = job.epochs()
    return f" ({epochs} epoch{'s' if epochs > 1 else ''})" if epochs else ""
