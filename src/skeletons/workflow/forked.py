"""The program of the server whose forks are jobs, see `forkserver.py`.

It imports the module of a stage when a job of that stage comes, with the packages that the
experiment's networks come from, and never user-defined code. So a fork finds all modules of this
package and other packages imported, and runs user-defined code as a new process does. It declines a
job if a file of this package has changed since it started: the job would run other code than it
says.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import pickle
import re
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn

import numpy as np
from threadpoolctl import threadpool_limits  # comes with scikit-learn

from skeletons.store.fingerprint import PACKAGE
from skeletons.workflow import jobs
from skeletons.workflow.forkserver import STOPPING, Asked, Ended, Memory
from skeletons.workflow.stages import STAGES

# What jobs import while they run, if the package is imported by their stages.
LATER = (
    "pyarrow.pandas_compat",
    "pandas.core.methods.to_dict",
    "pandas.core.reshape.reshape",
    "torch.nested._internal.nested_tensor",
    "torch.fx.experimental._constant_symnode",
)
# A thread of pyarrow's memory, which makes itself ready for a fork:
# https://jemalloc.net/jemalloc.3.html#background_thread
FORKS_WELL = "jemalloc_bg_thd"
SIZE = re.compile(r"^(\w+):\s+(\d+) kB$", re.M)  # in files of /proc
# What packages add when they are imported, a fork has as well, as if it had imported them.
STARTED_WITH = {
    entry.partition(b"=")[0].decode()
    for entry in Path("/proc/self/environ").read_bytes().split(b"\0")
}
WITH_PARENT, NAME = 1, 15  # PR_SET_PDEATHSIG and PR_SET_NAME of prctl(2)


class Job:
    """A fork, and where its caller waits for how it ends."""

    def __init__(self, process: int, call: Connection) -> None:
        """Watch it."""
        self.process, self.call = process, call
        self.ends = os.pidfd_open(process)

    def report(self) -> None:
        """Report how it ended."""
        _, status, used = os.wait4(self.process, 0)
        ended = Ended(
            status=os.waitstatus_to_exitcode(status),
            cpu_s=used.ru_utime + used.ru_stime,
            peak_mb=used.ru_maxrss / 1024,
            read_mb=used.ru_inblock / 2048,
            written_mb=used.ru_oublock / 2048,
        )
        with contextlib.suppress(OSError):
            self.call.send(ended)
        self.close()

    def close(self) -> None:
        """Close what a fork must not hold."""
        os.close(self.ends)
        self.call.close()


class Server:
    """The server."""

    def __init__(self, door: socket.socket) -> None:
        """Take the socket through which jobs come.

        Raises:
            OSError: this system cannot wait for several processes.
        """
        os.close(os.pidfd_open(os.getpid()))
        self._door = door
        self._code = state_of_code()
        self._tried: set[str] = set()  # to import, beside modules of stages
        self._running: dict[int, Job] = {}  # by the descriptor that is ready when it ends

    def serve(self) -> tuple[Asked, Connection]:
        """Fork for each job; return in the forks alone."""
        while True:
            ready = wait([self._door, *self._running])
            for ended in [each for each in ready if isinstance(each, int)]:
                self._running.pop(ended).report()
            if self._door in ready and (called := self._answer()):
                return called

    def _answer(self) -> tuple[Asked, Connection] | None:
        """Fork for a job; return it in the fork, and the connection to its caller."""
        _, files, _, _ = socket.recv_fds(self._door, 1, 1, socket.MSG_CMSG_CLOEXEC)
        if not files:
            self._end()
        call = Connection(files[0])
        try:
            asked: Asked = call.recv()
        except (EOFError, OSError):  # Snakemake's process has ended
            self._end()
        try:
            process = os.fork() if self._is_ready(asked) else None
        except OSError:  # a file or thread is missing, or no process can be started
            process = None
        if process is None:
            with contextlib.suppress(OSError):
                call.send(False)
            call.close()
            return None
        if process:
            self._watch(Job(process, call))
            return None
        self._door.close()
        for job in self._running.values():
            job.close()
        with contextlib.suppress(OSError):
            call.send(True)  # here, so that it precedes what else this fork sends
        return asked, call

    def _watch(self, job: Job) -> None:
        """Wait for a job's end, and give it the signals that came before it was there.

        Ctrl-C ends a run, so a job that begins after it must not train to its end.
        """
        self._running[job.ends] = job
        for number in signal.sigpending() & {*STOPPING}:
            os.kill(job.process, number)

    def _is_ready(self, asked: Asked) -> bool:
        """Whether a fork can run a job as a new process would."""
        if state_of_code() != self._code:
            return False
        try:
            importlib.import_module("snakemake.io")  # which describes jobs
            importlib.import_module(f"skeletons.{STAGES[asked.stage].module}")
        except Exception:
            return False  # the error is for the job's own process
        later = [name for name in LATER if name.partition(".")[0] in sys.modules]
        packages = asked.packages if "torch" in sys.modules else ()
        for name in [name for name in (*packages, *later) if name not in self._tried]:
            self._tried.add(name)
            with contextlib.suppress(Exception):  # the job says what is missing
                importlib.import_module(name)
        gc.collect()
        gc.freeze()  # otherwise each fork's collector would copy all pages
        return not other_threads()

    def _end(self) -> NoReturn:
        """End with all forks; nobody waits for them."""
        for job in self._running.values():
            os.kill(job.process, signal.SIGKILL)
        os._exit(0)


def state_of_code() -> Mapping[str, tuple[int, int]]:
    """The time and size of each file of this package."""
    found = {path: path.stat() for path in PACKAGE.rglob("*.py")}
    return {str(path): (state.st_mtime_ns, state.st_size) for path, state in found.items()}


def other_threads() -> list[str]:
    """The names of this process's other threads, without those that a fork does not harm."""
    own = str(os.getpid())
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != own]
    names = [(task / "comm").read_text().strip() for task in tasks]
    return [name for name in names if name != FORKS_WELL]


def become(asked: Asked, server: int) -> None:
    """Make this fork the process of its job.

    Args:
        asked: the job.
        server: the process id of the server, with which the fork has to end.
    """
    control = ctypes.CDLL(None).prctl
    control(WITH_PARENT, signal.SIGKILL)
    control(NAME, asked.stage.encode())  # for `top` and `ps`
    if os.getppid() != server:
        os._exit(1)
    os.chdir(asked.folder)
    set_by_packages = {k: v for k, v in os.environ.items() if k not in STARTED_WITH}
    os.environ.clear()
    os.environ.update({**set_by_packages, **asked.environment})
    sys.argv = [asked.stage]
    sys.path += [folder for folder in asked.search if folder not in sys.path]
    np.random.seed()  # the other generators seed themselves after a fork
    if asked.threads > 1:
        threadpool_limits(asked.threads, user_api="blas")
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def run(asked: Asked, server: int) -> int:
    """Run a job in this fork.

    Returns:
        The exit status of its process.
    """
    try:
        become(asked, server)
        jobs.run_script(pickle.loads(asked.described))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:  # before the job began
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(status: int, call: Connection) -> NoReturn:
    """End this fork as a program ends, but without freeing memory, which takes a quarter second."""
    threading._shutdown()  # type: ignore[attr-defined] # also ends threads of idle executors
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the job has ended
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, KeyError):  # some systems show less
        call.send(memory())
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def memory() -> Memory:
    """The memory of this process now, and its largest address space."""
    kib = {
        name: int(size)
        for path in ("status", "smaps_rollup")
        for name, size in SIZE.findall(Path("/proc/self", path).read_text())
    }
    own = kib["Private_Clean"] + kib["Private_Dirty"]
    return Memory(kib["VmPeak"] / 1024, own / 1024, kib["Pss"] / 1024)


def main() -> None:
    """Serve until Snakemake's process ends; in a fork, run its job."""
    server = os.getpid()
    try:
        with socket.socket(fileno=int(sys.argv[1])) as door:
            asked, call = Server(door).serve()
    except OSError:  # this system lacks what the server needs
        sys.exit(1)
    leave(run(asked, server), call)


if __name__ == "__main__":
    main()
