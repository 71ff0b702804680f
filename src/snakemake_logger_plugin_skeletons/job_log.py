"""What the log of a running job says about its progress.

Jobs run in other processes, perhaps on other machines; their logs are on a file system that this
process sees. A log is read again and again while its job runs, so only what is new in it is read.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from skeletons.store.unfinished import RESUMED
from skeletons.workflow.lock import WAITING

# Once in a log for each epoch; training jobs add what they measured.
EPOCH = re.compile(r"\bepoch (\d+),(?: (training loss \S+, accuracy [^\s,]+))?")


@dataclass(frozen=True)
class Progress:
    """How far a job has come.

    Attributes:
        epochs: how many epochs it has trained in all.
        resumed: how many of these it did not train again, because it went on after an interruption.
        last: the number of the last one; 0 if there is none.
        measured: loss and accuracy after it, in words; empty if its log does not have them.
        at: when it ended, in seconds since the epoch.
        waits: what the job waits for, in a sentence; empty if it does not.
    """

    epochs: int = 0
    resumed: int = 0
    last: int = 0
    measured: str = ""
    at: float = 0.0
    waits: str = ""


class JobLog:
    """The log of a running job."""

    def __init__(self, path: str | Path, began: float) -> None:
        """Follow a log that the job writes from `began` on, in seconds since the epoch."""
        self._path, self._began = path, began
        self._reading = threading.Lock()  # the picture is drawn in a thread of its own
        self._forget()

    def _forget(self) -> None:
        self._progress = Progress()
        self._file, self._offset, self._rest = 0, 0, b""

    def look(self) -> Progress:
        """The progress so far; none if there is no log of this run yet."""
        with self._reading, contextlib.suppress(OSError):
            status = os.stat(self._path)  # noqa: PTH116 - often called
            if (status.st_ino, status.st_size) == (self._file, self._offset):
                return self._progress
            if status.st_ino != self._file or status.st_size < self._offset:
                self._forget()
            if status.st_mtime >= self._began:  # else it is from an earlier run
                self._file = status.st_ino
                self._read(status.st_mtime)
        return self._progress

    def _read(self, written: float) -> None:
        with Path(self._path).open("rb") as file:
            file.seek(self._offset)
            new = file.read()
        self._offset += len(new)
        *lines, self._rest = (self._rest + new).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", errors="replace"), written)

    def _take(self, line: str, written: float) -> None:
        known = self._progress
        if match := EPOCH.search(line):
            self._progress = Progress(
                known.epochs + 1, known.resumed, int(match[1]), match[2] or "", written
            )
        elif line.startswith(RESUMED):
            self._progress = Progress(
                known.epochs, known.epochs, known.last, known.measured, self._began
            )
        elif line.startswith(WAITING):
            self._progress = Progress(waits=line)
        elif known.waits:
            self._progress = Progress()
