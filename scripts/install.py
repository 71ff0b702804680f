"""Install the packages of a lock file with pip, and show how far it is.

`make env` runs it with the Python of the new environment. Alone, pip prints nothing for minutes, or
several lines for each package. On a terminal, one line is drawn again and again. Elsewhere, a line
is printed every ten seconds at most, which suits a log file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path

EVERY = 10.0  # seconds between two lines without a terminal
KEPT = 30  # last lines of pip, which are shown if it fails
COMMAND = ("-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")

# A package from an index, from a folder, or in the environment; the group is its name and version.
GETS = re.compile(r"(?:Collecting|Processing|Requirement already satisfied:) (?:\S*/)?([^\s/]+)")


class Progress:
    """How far pip is, from what it prints and from the packages in the environment.

    Attributes:
        total: the number of packages of the lock file for this platform.
        last: the last lines of pip.
    """

    def __init__(self, lock: str) -> None:
        """Begin with the text of a lock file."""
        self.total = len(re.findall(r"(?m)^[\w.-]+==", lock))
        self.last: deque[str] = deque(maxlen=KEPT)
        self._fetched, self._name, self._size, self._unpacks = 0, "", "", False

    def follow(self, lines: Iterable[str]) -> None:
        """Take what pip prints, line by line."""
        for line in lines:
            self.last.append(line)
            if line.startswith("Ignoring "):  # a package of another platform
                self.total -= 1
            elif found := GETS.match(line):
                self._fetched, self._size = self._fetched + 1, ""
                self._name = re.split(r"==|-\d", found[1])[0]
            elif found := re.match(r" +Downloading .*(\(.+?\))", line):
                self._size = f" {found[1]}"
            elif line.startswith("Installing collected packages"):
                self._unpacks = True

    def words(self, installed: int) -> str:
        """The progress in words; `installed` is the number of packages in the environment."""
        if self._unpacks:
            return f"Unpacked {min(installed, self.total)} of {self.total} packages"
        if not self._fetched:
            return "Reading the lock file"
        return f"Downloading package {self._fetched} of {self.total}: {self._name}{self._size}"


def install(*options: str) -> int:
    """Install the packages of a lock file.

    Args:
        options: of `pip install`; the last one is the lock file.

    Returns:
        pip's exit code.
    """
    lock = Path(options[-1])
    progress, terminal, shown = Progress(lock.read_text(encoding="utf-8")), sys.stdout.isatty(), ""
    packages = Path(sysconfig.get_path("purelib"))
    print(f"Installing the packages of {lock}: about 3 GB, most of it PyTorch.", flush=True)
    with subprocess.Popen(
        [sys.executable, *COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as pip:
        assert pip.stdout is not None
        reader = threading.Thread(target=progress.follow, args=(pip.stdout,))
        reader.start()
        due = time.monotonic()
        while reader.is_alive():
            words = progress.words(len(list(packages.glob("*.dist-info"))))
            if words != shown and time.monotonic() >= due:
                print(f"\r\x1b[K{words}" if terminal else words, end="" if terminal else "\n")
                sys.stdout.flush()
                shown, due = words, time.monotonic() + (0.0 if terminal else EVERY)
            reader.join(0.5)
    if terminal:
        print("\r\x1b[K", end="")
    print("".join(progress.last) if pip.returncode else f"Installed {progress.total} packages.")
    return pip.returncode


if __name__ == "__main__":
    sys.exit(install(*sys.argv[1:]))
