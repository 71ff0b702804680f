"""Signs of life without a terminal: now and then a line about a job that trains, or that waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from snakemake_logger_plugin_skeletons import lines
from snakemake_logger_plugin_skeletons.book import Book, Running

FIRST = 10.0  # seconds that a job runs before its first line; the stages of shorter jobs have lines
MOST = 600.0  # seconds between two lines of a job, if it ends epochs that often
EVERY = 1.0  # seconds between two looks at the logs


class Pulse:
    """Looks at the logs of running jobs, and prints a line when there is something to tell.

    A job is reported after its first epoch, then each time its running time has doubled, and at
    least every ten minutes. So there are few lines in the log file of a long run.
    """

    def __init__(self, book: Book, say: Callable[[str], None]) -> None:
        """Prepare; `say` prints a line."""
        self._book, self._say = book, say
        self._due: dict[Running, float] = {}  # when each running job may have its next line
        self._told: dict[Running, str] = {}  # the last thing that was told of it
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(EVERY):
            for line in self.lines(time.time()):
                self._say(line)

    def lines(self, now: float) -> list[str]:
        """The lines that are due."""
        running = dict(self._book.running)
        found = []
        for number, job in running.items():
            work = self._book.work.get(number)
            if work is None or not work.watched:
                continue
            progress = job.progress()
            told = progress.waits or str(progress.last or "")
            due = progress.waits or now >= self._due.get(job, job.began + FIRST)
            if due and told and told != self._told.get(job):
                self._told[job] = told
                self._due[job] = now + min(max(now - job.began, FIRST), MOST)
                found.append(lines.alive(self._book, job, work, now))
        return found
