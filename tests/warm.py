"""A Python that has already imported the packages, because imports are most of a small job.

`Warm` starts a server that imports the packages at its first call. `Warm.python` is an executable
file that replaces Python. Each call of it forks the server. The fork has the caller's arguments,
folder, environment and output, and runs the requested module or script as `python` would. The
server also imports this package. If the environment of a call has a copy of this package, which a
test may have changed, the fork imports the copy instead. Snakemake's jobs are forks as well, so the
workflow's own server of forks is switched off. Tests of signals, of how programs start, and of that
server run Python itself.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import weakref
from pathlib import Path
from typing import NoReturn

HUGE, COLLAPSE = 2 << 20, 25  # bytes of a huge page; MADV_COLLAPSE of madvise(2)
SWITCH = "SKELETONS_FORKSERVER"
OWN = ("skeletons", "snakemake_logger_plugin_skeletons")
# Packages to import in addition to those that this package imports.
PACKAGES = (
    *("snakemake.cli", "snakemake.benchmark", "snakemake.notebook", "snakemake.storage"),
    *("nbformat", "smart_open", "pyarrow.pandas_compat", "rich._emoji_codes"),
    *("sklearn.datasets", "matplotlib.backends.backend_svg", "plotly.offline"),
    *("torchvision", "timm"),
)

# The replacement of Python: passes its call to the server and exits with the fork's status. It
# starts in 15 ms, because it imports almost nothing.
CLIENT = """#!{python} -IS
import json, os, socket, sys
call = socket.socket(socket.AF_UNIX)
call.connect({address!r})
said = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
call.sendall(len(said).to_bytes(4, "big"))
socket.send_fds(call, [b"."], [0, 1, 2])
call.sendall(said)
status = call.recv(1)
os._exit(status[0] if status else 1)
"""


class Warm:
    """The server and the replacement of Python, in their own folder.

    Both end with the process that started them.
    """

    def __init__(self) -> None:
        """Start the server."""
        self._folder = tempfile.TemporaryDirectory(prefix="warm")
        folder = Path(self._folder.name)
        self.python = folder / "python"
        address = str(folder / "socket")
        self.python.write_text(CLIENT.format(python=sys.executable, address=address))
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)
        self._server = subprocess.Popen(
            [sys.executable, __file__, address, str(self.python)],
            stdin=subprocess.PIPE,
            process_group=0,  # so that the tests handle interrupts
        )
        while not Path(address).exists():
            assert self._server.poll() is None, "The server of warm Pythons did not start."
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server."""
        self._server.communicate()
        self._folder.cleanup()


def received(call: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    """The arguments, folder, environment and standard files of a call."""
    length = int.from_bytes(call.recv(4, socket.MSG_WAITALL), "big")
    _, files, _, _ = socket.recv_fds(call, 1, 3)
    arguments, folder, environment = json.loads(call.recv(length, socket.MSG_WAITALL))
    return arguments, folder, environment, files


def become(arguments: list[str], folder: str, environment: dict[str, str], python: str) -> None:
    """Run a module, a script or, with `-u -c`, code, as `python` would.

    Such code starts one of pytest's workers, whose `sys.executable` is Python.
    """
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    own = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    make_way(own)
    if arguments[:2] == ["-u", "-c"]:
        sys.argv, sys.path[:1] = ["-c", *arguments[3:]], ["", *own]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(arguments[2], vars(main))
        return
    sys.executable, os.environ[SWITCH] = python, "off"
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[:1] = [folder, *own]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path[:1] = [str(Path(arguments[0]).parent.resolve()), *own]
        runpy.run_path(arguments[0], run_name="__main__")


def make_way(paths: list[str]) -> None:
    """Unload this package if these folders contain a copy of it."""
    here = sys.modules["skeletons"].__path__[0]
    first = next((path for path in paths if Path(path, "skeletons").is_dir()), None)
    if first is not None and not Path(first, "skeletons").samefile(here):
        for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
            del sys.modules[name]
        registry = importlib.import_module("snakemake_interface_logger_plugins.registry")
        registry.LoggerPluginRegistry._instance = (
            None  # it knows the plugin of this package, and must search again
        )


def end(status: int) -> NoReturn:
    """End like a program, but without freeing memory, which would copy all shared pages."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)


def status_of(stop: SystemExit) -> int:
    """The exit status that Python returns for a SystemExit."""
    if stop.code is None or isinstance(stop.code, int):
        return (stop.code or 0) & 0xFF
    print(stop.code, file=sys.stderr)
    return 1


def serve(listener: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Fork for each call until stdin is closed; return only in the forks, with their calls."""
    calls: dict[int, tuple[socket.socket, int]] = {}  # by the descriptor of the process
    while True:
        ready, _, _ = select.select([0, listener, *calls, *(c for c, _ in calls.values())], [], [])
        if 0 in ready:
            os._exit(0)  # at a usual exit, a package complains of objects that are not freed
        for call, process in list(calls.values()):
            if call in ready:  # its caller has ended
                os.kill(process, signal.SIGKILL)
        for descriptor in [d for d in ready if d in calls]:
            call, process = calls.pop(descriptor)
            _, status = os.waitpid(process, 0)
            code = os.waitstatus_to_exitcode(status)
            with contextlib.suppress(BrokenPipeError):  # the caller has ended
                call.send(bytes([code if code >= 0 else 128 - code]))
            call.close()
            os.close(descriptor)
        if listener in ready:
            call, _ = listener.accept()
            *asked, files = received(call)
            process = os.fork()
            if process == 0:
                for number, file in enumerate(files):
                    os.dup2(file, number)
                for other in (listener, call, *(c for c, _ in calls.values())):
                    other.close()
                os.closerange(3, 256)
                return asked[0], asked[1], asked[2]
            for file in files:
                os.close(file)
            calls[os.pidfd_open(process)] = (call, process)


def prepare() -> None:
    """Import the packages, and make forks cheap."""
    package = importlib.import_module("skeletons")
    own = [module.name for module in pkgutil.walk_packages(package.__path__, "skeletons.")]
    for name in (*PACKAGES, *own):
        importlib.import_module(name)
    # This finds and imports Snakemake's plugins.
    importlib.import_module("snakemake.cli").get_argument_parser()
    gc.freeze()  # otherwise the collector of each fork would copy all imported pages
    for undo in weakref.finalize._registry:  # forks must not run the exit functions of packages
        undo.atexit = False
    collapse()


def collapse() -> None:
    """Use huge pages of memory if Linux supports it (from 6.1): a fork then takes half as long."""
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for line in Path("/proc/self/maps").read_text().splitlines():
        places, rights, *_, inode = line.split()[:5]
        first, end = (int(place, 16) for place in places.split("-"))
        if rights == "rw-p" and inode == "0":
            for place in range(-(-first // HUGE) * HUGE, end - HUGE + 1, HUGE):
                advise(place, HUGE, COLLAPSE)


if __name__ == "__main__":
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(sys.argv[1])
        door.listen()
        ready, _, _ = select.select([0, door], [], [])
        if 0 in ready:  # the tests have ended without a call
            sys.exit()
        prepare()
        taken = serve(door)
    try:
        become(*taken, sys.argv[2])
    except SystemExit as stop:
        end(status_of(stop))
    except BaseException:
        traceback.print_exc()
        end(1)
    end(0)
