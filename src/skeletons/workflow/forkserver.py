"""Jobs in their own process that start at once: forks of a server that has imported the packages.

A new Python imports torch and pandas for seconds, which is longer than many a job. So the first job
in its own process starts a server, which imports what the stages need. From then on, each job is a
fork of it. A fork has its own process id, memory, environment, threads and GPU; it is in
Snakemake's process group, so that Ctrl-C reaches it; and its use of processor and memory is
measured by the system.

`forked.py` is the program of the server. It ends when the socket to Snakemake's process closes,
however that process ends, and kills its forks. A server that cannot run, or that declines a job,
changes nothing: Snakemake then starts the job as it starts any script.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe
from subprocess import CalledProcessError
from typing import NamedTuple

from skeletons.workflow.internals import Script

# The numbers of threads of libraries that start their threads when they are imported. The server
# has one, because threads do not survive a fork. Its forks have those of their jobs.
WITHOUT_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
# The environment variable that switches the server off, with the value `off`.
SWITCH = "SKELETONS_FORKSERVER"
# The signals that end a run. They reach Snakemake's process group, to which the server belongs. It
# blocks them, so that they wait in it until it forks, see `forked.Server`.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 1.0  # seconds until a server that has to end is killed
PROGRAM = "skeletons.workflow.forked"

_lock = threading.Lock()
_servers: dict[int, Server | None] = {}  # by the number of threads of a job; None if it cannot run


class Asked(NamedTuple):
    """A job for the server.

    Attributes:
        stage: the name of its stage.
        described: what a script gets from Snakemake as the variable `snakemake`, pickled.
        environment: its environment variables.
        folder: its working directory.
        search: folders in which a script also finds modules.
        threads: its number of threads.
        packages: installed ones that it may also import; importing them takes seconds.
    """

    stage: str
    described: bytes
    environment: dict[str, str]
    folder: str
    search: list[str]
    threads: int
    packages: Sequence[str] = ()


class Ended(NamedTuple):
    """How the process of a job ended, and what it used, as counted by the system.

    Attributes:
        status: its exit status; minus the number of a signal that ended it.
        cpu_s: the processor time of it and its own processes, in seconds.
        peak_mb: its largest resident memory, in MiB.
        read_mb: what it read from disks, in MiB.
        written_mb: what it wrote to disks, in MiB.
    """

    status: int
    cpu_s: float
    peak_mb: float
    read_mb: float
    written_mb: float


class Memory(NamedTuple):
    """The memory of a process at its end, in MiB, named as in Snakemake's benchmarks.

    Attributes:
        max_vms: its largest address space.
        max_uss: what it shares with no other process.
        max_pss: the same, and its share of what it shares.
    """

    max_vms: float
    max_uss: float
    max_pss: float


class Server:
    """The server, seen from Snakemake's process."""

    def __init__(self, environment: dict[str, str]) -> None:
        """Start it. It blocks Ctrl-C, and finds no module in the working directory.

        Args:
            environment: the environment of its first job, which those with as many threads share.

        Raises:
            OSError: no process can be started.
        """
        self._door, other = socket.socketpair()
        with other, _blocked(STOPPING):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", PROGRAM, str(other.fileno())],
                env={**environment, **WITHOUT_THREADS},
                pass_fds=[other.fileno()],
            )

    def call(self, asked: Asked) -> Connection:
        """Ask for a job.

        The first answer is whether it begins. The others are `Memory`, unless it is killed, and
        `Ended`. A job that is killed at once has `Ended` alone.

        Raises:
            OSError: the server has ended.
        """
        ours, other = Pipe()
        with other, _lock:
            socket.send_fds(self._door, [b"j"], [other.fileno()])
        ours.send(asked)
        return ours

    def end(self) -> None:
        """End the server and its forks, so that the system adds their use of resources to ours."""
        self._door.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # it is still importing
            self._process.kill()


def run(script: Script, packages: Sequence[str] = ()) -> bool:
    """Run a script in a fork of the server.

    Args:
        script: to run.
        packages: which the server imports before it forks, if they are installed.

    Returns:
        Whether it ran; False if it has to be started in another way.

    Raises:
        CalledProcessError: it failed, as a script does that Snakemake starts.
    """
    asked = _asked(script, packages)
    server = _server(asked)
    if server is None:
        return False
    try:
        with server.call(asked) as call:
            answer = call.recv()
            if answer is False:
                return False
            began = time.monotonic()
            memory, ended = _outcome(call, answer)
    except (EOFError, OSError):  # the server ended before it began with the job
        _give_up(asked, server)
        return False
    if ended is None:  # the server was killed, and its forks with it
        _replace(asked, server)
        raise CalledProcessError(-signal.SIGKILL, script.command)
    if ended.status:
        raise CalledProcessError(ended.status, script.command)
    script.used(
        running_time=time.monotonic() - began,
        cpu_time=ended.cpu_s,
        cpu_usage=100 * ended.cpu_s,  # percent times seconds
        max_rss=ended.peak_mb,
        io_in=ended.read_mb,
        io_out=ended.written_mb,
        **(memory._asdict() if memory else {}),
    )
    return True


def _asked(script: Script, packages: Sequence[str]) -> Asked:
    return Asked(
        stage=script.stage,
        described=script.described,
        environment=script.environment,
        folder=os.getcwd(),  # noqa: PTH109
        search=[folder for folder in sys.path if folder],
        threads=script.threads,
        packages=packages,
    )


def _outcome(call: Connection, answer: object) -> tuple[Memory | None, Ended | None]:
    """The memory of a job at its end, and how it ended; None for what is not known."""
    memory = None
    with suppress(EOFError, OSError):
        while not isinstance(answer, Ended):
            memory = answer if isinstance(answer, Memory) else None
            answer = call.recv()
        return memory, answer
    return memory, None


@contextmanager
def _blocked(signals: Iterable[int]) -> Iterator[None]:
    """Processes that this thread starts in this block have these signals blocked."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _server(asked: Asked) -> Server | None:
    """The server for a job, which is started for the first one; None if there can be none."""
    with _lock:
        if asked.threads not in _servers:
            _servers[asked.threads] = _started(asked.environment)
        return _servers[asked.threads]


def _started(environment: dict[str, str]) -> Server | None:
    # On macOS, libraries of the system start threads, with which a fork may crash:
    # https://docs.python.org/3/library/os.html#os.fork
    if sys.platform != "linux" or environment.get(SWITCH) == "off":
        return None
    try:
        server = Server(environment)
    except OSError:
        return None
    atexit.register(server.end)
    return server


def _give_up(asked: Asked, server: Server) -> None:
    """Start later jobs in another way."""
    with _lock:
        if _servers.get(asked.threads) is server:
            _servers[asked.threads] = None


def _replace(asked: Asked, server: Server) -> None:
    """Start another server for the next job."""
    with _lock:
        if _servers.get(asked.threads) is server:
            del _servers[asked.threads]
