"""The replacement of Python in the tests behaves like Python."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, python

pytestmark = pytest.mark.skipif("WARM_PYTHON" not in os.environ, reason="Python keeps its place")

SCRIPT = """
import os, sys
from own import WORD
print(sys.argv[1:], os.getcwd(), os.environ["SAID"], WORD, __name__, sys.path[0])
print("problem", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("call", [["script.py"], ["-m", "script"], ["-u", "-c", SCRIPT]])
def test_it_runs_a_program_as_python_does(call: list[str], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "library").mkdir()
    (tmp_path / "library/own.py").write_text("WORD = 'mine'\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "library"), "SAID": "aloud"}
    warm, cold = (
        subprocess.run(
            [program, *call, "a b", "ü"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for program in (python(), sys.executable)
    )
    assert cold.returncode == 3
    assert "['a b', 'ü']" in cold.stdout
    assert (warm.returncode, warm.stdout, warm.stderr) == (3, cold.stdout, cold.stderr)


def test_pytest_s_workers_start_others_with_python_itself() -> None:
    call = [python(), "-u", "-c", "import sys; print(sys.executable)"]
    started = subprocess.run(call, capture_output=True, text=True, check=True)
    assert started.stdout.strip() == sys.executable != python()


def test_a_copy_of_this_package_takes_its_place(tmp_path: Path) -> None:
    copy = tmp_path / "library/skeletons"
    copy.mkdir(parents=True)
    (copy / "__init__.py").write_text("")
    (copy / "errors.py").write_text("")
    script = tmp_path / "script.py"
    script.write_text("from skeletons import errors; print(errors.__file__)")
    own = ROOT / "src/skeletons"
    for folder, library in ((copy.parent, copy), (ROOT / "src", own), (tmp_path, own)):
        done = subprocess.run(
            [python(), script],
            env={**os.environ, "PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert Path(done.stdout.strip()) == library / "errors.py"


def test_a_program_that_is_killed_has_failed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os; os.kill(os.getpid(), 9)")
    assert subprocess.run([python(), script], check=False).returncode == 128 + signal.SIGKILL


def test_a_program_ends_when_its_caller_is_killed(tmp_path: Path) -> None:
    script, begun = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(
        "import os, sys, time\n"
        "with open(sys.argv[1], 'w') as file:\n    file.write(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([python(), script, begun]) as caller:
        while not (begun.exists() and begun.read_text()):
            time.sleep(0.05)
        program = psutil.Process(int(begun.read_text()))
        caller.kill()
    program.wait(timeout=60)
    assert not program.is_running()
