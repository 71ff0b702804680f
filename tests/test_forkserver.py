"""Jobs that are forks of a server do what a process of their own does, and end with the run."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from subprocess import CalledProcessError
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import CHAIN, ROOT, Workflow, artifacts_of

from skeletons.workflow import forked, forkserver
from skeletons.workflow.forkserver import SWITCH
from skeletons.workflow.internals import STAGE_SCRIPT, Run, Script
from skeletons.workflow.stages import STAGES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the server")

RETRAINED: dict[str, Any] = {**CHAIN, "prune": {"densities": [0.5], "retrain": 1}, "cache": None}
LONG = {**CHAIN, "base": {**CHAIN["base"], "epochs": 100_000}}
OWN = """
import torch
from torch import nn

{first}

def net(width, classes):
    {then}
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, classes))
"""
# What a job sees, written where its log is not in the way.
LOOK = """
import json, os, random, signal, sys
from pathlib import Path
import numpy, threadpoolctl
pools = {each["prefix"]: each["num_threads"] for each in threadpoolctl.threadpool_info()}
Path("seen.json").write_text(json.dumps({
    "environment": dict(os.environ),
    "path": sys.path,
    "folder": os.getcwd(),
    "pools": pools,
    "torch": torch.get_num_threads(),
    "group": os.getpgrp(),
    "parent": Path(f"/proc/{os.getppid()}/cmdline").read_text(),
    "interrupts": str(signal.getsignal(signal.SIGINT)),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "cuda": torch.cuda.is_initialized(),
    "draws": [random.random(), numpy.random.rand()],
    "mask": os.umask(0),
    "input": os.readlink("/proc/self/fd/0"),
}))
"""


def own_network(workflow: Workflow, first: str = "", then: str = "pass") -> dict[str, Any]:
    """A configuration with a user-defined network that runs code when it is imported, or made."""
    (workflow / "own.py").write_text(OWN.format(first=first, then=then))
    return {**CHAIN, "network": {"name": "own.py:net", "width": 2}, "cache": None}


def run(
    workflow: Workflow, config: dict[str, Any], *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a new Python, whose jobs are forks of its server."""
    workflow.write(config)
    return subprocess.run(
        [*workflow.command(), *arguments],
        cwd=workflow.folder,
        env=workflow.environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def without_scripts(workflow: Workflow) -> Workflow:
    """Break the script that starts a job in a new Python, so that only forks can run."""
    (workflow / "scripts/stage.py").write_text("raise SystemExit('not a fork')\n")
    return workflow


BASE = "results/grid/models/seed=1/weights.safetensors"


# --- what a job does and sees -------------------------------------------------------------------


def test_a_base_a_walk_and_a_retraining_have_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = Workflow(tmp_path / "one"), without_scripts(Workflow(tmp_path / "other"))
    done = run(one, RETRAINED, "--until", "score", **{SWITCH: "off"})
    assert done.returncode == 0, done.stdout
    done = run(other, RETRAINED, "--until", "score")
    assert done.returncode == 0, done.stdout
    made = artifacts_of(one.folder)
    assert made == artifacts_of(other.folder)
    assert {name.split("/")[2] for name in made} >= {"models", "ranks", "cut", "scores"}
    assert any(name.endswith("_d=0.5/history.parquet") for name in made)


@pytest.fixture(scope="module", params=[1, 2], ids=["1 thread", "2 threads"])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a job in a new Python sees, and what a fork sees."""
    found = []
    for switch in ("off", "on"):
        workflow = Workflow(tmp_path_factory.mktemp(switch))
        config = own_network(workflow, then="exec(LOOK)", first=f"LOOK = {LOOK!r}")
        config["compute"] = {"threads": request.param}
        if switch == "on":
            without_scripts(workflow)
        variables = {SWITCH: switch, "PYTHONHASHSEED": "7", "CUDA_VISIBLE_DEVICES": "5,6"}
        done = run(workflow, config, "--", BASE, **variables)
        assert done.returncode == 0, done.stdout
        text = (workflow / "seen.json").read_text().replace(str(workflow.folder), "HERE")
        found.append(json.loads(text))
    return found[0], found[1]


def test_a_fork_has_the_environment_of_a_script(
    seen: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Besides what the shell sets that starts the script."""
    script, fork = (each["environment"] for each in seen)
    for shell in ("_", "SHLVL", "PWD", "OLDPWD", "PS1", SWITCH):
        script.pop(shell, None)
        fork.pop(shell, None)
    assert fork == script
    assert fork["OMP_NUM_THREADS"] in ("1", "2")


def test_a_fork_finds_the_modules_that_a_script_finds(
    seen: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    script, fork = ({*each["path"]} for each in seen)
    assert {path for path in script - fork if "/scripts" not in path} == set()


@pytest.mark.parametrize(
    "what", ["folder", "pools", "torch", "interrupts", "blocked", "cuda", "mask", "input"]
)
def test_a_fork_is_like_a_script_in_its(
    what: str, seen: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    script, fork = seen
    assert fork[what] == script[what]
    assert fork["cuda"] is False


def test_a_fork_has_a_gpu_to_itself(seen: tuple[dict[str, Any], dict[str, Any]]) -> None:
    script, fork = (each["environment"]["CUDA_VISIBLE_DEVICES"] for each in seen)
    assert fork == script == "5"


def test_a_fork_is_one_and_draws_its_own_random_numbers(
    seen: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    script, fork = seen
    assert "forked" in fork["parent"]
    assert "forked" not in script["parent"]
    assert not {*fork["draws"]} & {*script["draws"]}


def test_user_defined_code_is_new_in_each_job(workflow: Workflow) -> None:
    first = "from pathlib import Path\ncalls = 0"
    then = "global calls; calls += 1; Path('calls').open('a').write(f'{calls} ')"
    config = own_network(without_scripts(workflow), first, then)
    config["base"] = {**CHAIN["base"], "seeds": [1, 2]}
    done = run(workflow, config, "--", BASE, BASE.replace("seed=1", "seed=2"))
    assert done.returncode == 0, done.stdout
    firsts = (workflow / "calls").read_text().split().count("1")
    assert firsts == 1 + 2  # Snakemake's process tries the network before it begins


def test_the_benchmark_is_that_of_the_job(workflow: Workflow) -> None:
    """Its numbers are exact, though it is shorter than the pauses between Snakemake's samples."""
    then = (
        "import time, numpy; end = time.process_time() + 1.5; held = numpy.ones(25_000_000)\n"
        "    while time.process_time() < end: pass"
    )
    config = own_network(without_scripts(workflow), then=then)
    began = time.monotonic()
    done = run(workflow, config, "--", BASE)
    assert done.returncode == 0, done.stdout
    with (workflow / "results/grid/benchmarks/train_base/seed=1.tsv").open() as file:
        (row,) = csv.DictReader(file, delimiter="\t")
    numbers = {name: float(value) for name, value in row.items() if name != "h:m:s"}
    assert 1.5 < numbers["cpu_time"] < numbers["s"] + 5
    assert numbers["s"] < time.monotonic() - began
    assert numbers["mean_load"] == pytest.approx(100 * numbers["cpu_time"] / numbers["s"], rel=0.05)
    assert 200 + 150 < numbers["max_rss"] < numbers["max_vms"]
    assert 10 < numbers["max_uss"] < numbers["max_pss"] < numbers["max_rss"]
    assert numbers["io_in"] >= 0
    assert 0 <= numbers["io_out"] < 100


# --- how jobs end -------------------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["off", "on"])
def test_a_job_that_the_system_kills_fails_with_the_same_sentence(
    workflow: Workflow, switch: str
) -> None:
    # Snakemake's process makes the network as well, to see whether it works.
    then = "import os; 'GOTO_NUM_THREADS' in os.environ and os.kill(os.getpid(), 9)"
    done = run(workflow, own_network(workflow, then=then), "--", BASE, **{SWITCH: switch})
    assert done.returncode != 0
    assert (
        "train_base of seed=1: its process was killed (SIGKILL), possibly because memory was full; "
        "if so, run fewer jobs at once (--cores)."
    ) in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout


def launch(workflow: Workflow, *arguments: str) -> subprocess.Popen[str]:
    """Start a long run in a session of its own."""
    workflow.write(LONG)
    return workflow.begun([*without_scripts(workflow).command(), *arguments])


def start(workflow: Workflow) -> subprocess.Popen[str]:
    """The same, and wait until it trains in a fork."""
    log = workflow / "logs/grid/train_base/seed=1.log"
    log.unlink(missing_ok=True)
    running = launch(workflow)
    deadline = time.monotonic() + 120
    while not (log.exists() and "epoch 6, training loss" in log.read_text()):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.1)
    return running


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_job_that_is_asked_for_before_the_run_is_stopped_does_not_begin(
    stop: signal.Signals, workflow: Workflow
) -> None:
    """The server imports packages for seconds before its first job begins."""
    done = run(workflow, LONG, "--until", "dataset", "--", BASE)
    assert done.returncode == 0, done.stdout
    running = launch(workflow, "--", BASE)  # its only job trains
    # Earlier, Snakemake may still start the thread of the job. Python's thread pool does not wait
    # for a thread in whose start it is interrupted, and Snakemake ends with a traceback.
    while not any(imports_torch(process) for process, _ in session(running.pid)):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.01)
    os.killpg(running.pid, stop)
    try:
        said, _ = running.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode != 0
    assert ends(running.pid)
    assert "Traceback" not in said
    assert "not a fork" not in said
    log = workflow / "logs/grid/train_base/seed=1.log"
    assert not log.exists() or "epoch" not in log.read_text()


def imports_torch(process: int) -> bool:
    """Whether a process is the server, and has begun to import torch."""
    of_process = Path(f"/proc/{process}")
    with suppress(OSError):
        is_server = forkserver.PROGRAM in (of_process / "cmdline").read_text()
        return is_server and "libtorch" in (of_process / "maps").read_text()
    return False


def session(leader: int) -> Iterator[tuple[int, int]]:
    """The processes of a session that have not ended, and their parents."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            yield int(path.parent.name), int(fields[1])


def ends(leader: int) -> bool:
    """Whether all processes of a session end within ten seconds."""
    deadline = time.monotonic() + 10
    while any(session(leader)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def server_of(leader: int) -> tuple[int, int]:
    """The server of a session, and its fork."""
    found = dict(session(leader))
    (server,) = (each for each, parent in found.items() if parent == leader)
    (fork,) = (each for each, parent in found.items() if parent == server)
    return server, fork


@pytest.mark.parametrize(
    ("name", "stop"),
    [
        ("Ctrl-C", lambda run: os.killpg(run, signal.SIGINT)),
        ("SIGTERM to the group", lambda run: os.killpg(run, signal.SIGTERM)),
        ("kill -9 of Snakemake", lambda run: os.kill(run, signal.SIGKILL)),
        ("kill -9 of the group", lambda run: os.killpg(run, signal.SIGKILL)),
        ("the terminal closes", lambda run: os.killpg(run, signal.SIGHUP)),
    ],
)
def test_nothing_trains_on_after(
    name: str, stop: Callable[[int], None], workflow: Workflow
) -> None:
    running = start(workflow)
    server_of(running.pid)
    stop(running.pid)
    said, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert ends(running.pid), name
    assert "Traceback" not in said
    log = (workflow / "logs/grid/train_base/seed=1.log").read_text()
    if name == "Ctrl-C":
        assert "Interrupted: the results of running jobs that did not finish are not kept" in said
        assert "Interrupted; the next run resumes training" in log
    again = start(workflow)
    os.killpg(again.pid, signal.SIGKILL)
    again.communicate()
    log = (workflow / "logs/grid/train_base/seed=1.log").read_text()
    assert re.search(r"^Resumed after epoch \d+ of 100000\.$", log, re.M), log


def test_a_killed_fork_or_server_fails_its_job_alone(workflow: Workflow) -> None:
    for which in (0, 1):
        running = start(workflow)
        os.kill(server_of(running.pid)[which], signal.SIGKILL)
        said, _ = running.communicate(timeout=60)
        assert "train_base of seed=1: its process was killed (SIGKILL)" in said
        assert ends(running.pid)


def test_a_job_ends_although_its_code_keeps_an_executor(workflow: Workflow) -> None:
    first = "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)"
    config = own_network(without_scripts(workflow), first, then="pool.submit(int).result()")
    done = run(workflow, config, "--", BASE)
    assert done.returncode == 0, done.stdout


USED = forkserver.Memory(1.0, 1.0, 1.0)
DONE = forkserver.Ended(0, 1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ([True, USED, DONE], (USED, DONE)),
        ([True, DONE], (None, DONE)),
        ([DONE], (None, DONE)),  # killed before it began
        ([True, USED], (USED, None)),  # the server was killed
    ],
)
def test_how_a_job_ended_is_known_from_its_answers(answers: list[Any], found: Any) -> None:
    ours, other = Pipe()
    with other:
        for answer in answers:
            other.send(answer)
    assert forkserver._outcome(ours, ours.recv()) == found


# --- which jobs are forks -----------------------------------------------------------------------


def script(**changed: Any) -> Script:
    """A script of a rule, as Snakemake's function gets it."""
    plain = dict.fromkeys(
        ("conda_env", "container_img", "env_modules", "shadow_dir", "bench_record")
    )
    return Script({"path": STAGE_SCRIPT, "resources": {}, "threads": 1, **plain, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"conda_env": "/envs/1"},
        {"container_img": "image.sif"},
        {"env_modules": "python/3.11"},
        {"shadow_dir": ".snakemake/shadow/1"},
        {"path": "../scripts/mine.py"},
        {"resources": {"shell_exec": "zsh"}},
    ],
)
def test_a_script_in_another_environment_is_no_fork(changed: dict[str, Any]) -> None:
    assert script().is_plain
    assert not script(**changed).is_plain


@pytest.mark.parametrize(
    ("here", "main", "called"),
    [(True, True, ["fork"]), (False, True, ["script"]), (True, False, ["script"])],
)
def test_jobs_of_a_cluster_run_as_scripts(here: bool, main: bool, called: list[str]) -> None:
    seen: list[str] = []

    def original(path, conda_env, container_img, env_modules, shadow_dir, resources) -> None:  # type: ignore[no-untyped-def]
        seen.append("script")

    def fork(script: Script) -> bool:
        seen.append("fork")
        return True

    names: dict[str, Any] = {"script": original}
    workflow = SimpleNamespace(globals=names, is_main_process=main, local_exec=here)
    Run(workflow).run_scripts(fork)
    names["script"](STAGE_SCRIPT, None, None, None, None, resources={})
    assert seen == called


@pytest.fixture
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forkserver, "_servers", {})
    monkeypatch.delenv(SWITCH, raising=False)


ASKED = forkserver.Asked("train_base", b"", dict(os.environ), ".", [], 1)


def plain() -> Any:
    """A script without a content, which cannot run."""
    found = script()
    return SimpleNamespace(
        stage="train_base",
        described=b"",
        environment=found.environment,
        threads=1,
        command="python stage.py",
    )


@pytest.mark.usefixtures("no_servers")
@pytest.mark.parametrize("broken", ["program", "python", "platform", "switch"])
def test_without_a_server_jobs_are_scripts(
    broken: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if broken == "program":
        monkeypatch.setattr(forkserver, "PROGRAM", "platform")
    elif broken == "python":
        monkeypatch.setattr(sys, "executable", "/no/such/python")
    elif broken == "platform":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        monkeypatch.setenv(SWITCH, "off")
    for _ in range(2):
        assert forkserver.run(plain()) is False
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.usefixtures("no_servers")
def test_a_failed_fork_fails_as_a_script_does(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CalledProcessError, match="returned non-zero exit status 1"):
        forkserver.run(plain())
    assert "EOFError" in capfd.readouterr().err  # the empty description of this job
    for server in forkserver._servers.values():
        assert server is not None
        server.end()


def test_a_changed_file_of_the_package_is_not_run_from_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text("a = 1\n")
    monkeypatch.setattr(forked, "PACKAGE", tmp_path)
    monkeypatch.setattr(forked, "other_threads", list)
    server = forked.Server(None)  # type: ignore[arg-type]
    assert server._is_ready(ASKED)
    (tmp_path / "one.py").write_text("a = 12\n")
    assert not server._is_ready(ASKED)


@pytest.mark.parametrize("trouble", ["no room for a process", "a file that went"])
def test_a_server_in_trouble_declines_a_job_and_goes_on(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it ended, all jobs that run would end."""

    def full() -> int:
        raise BlockingIOError

    monkeypatch.setattr(forked, "PACKAGE", tmp_path)
    monkeypatch.setattr(forked, "other_threads", list)
    monkeypatch.setattr(os, "fork", full)
    ours, door = socket.socketpair()
    call, other = Pipe()
    with ours, door, call:
        server = forked.Server(door)
        if trouble == "a file that went":
            (tmp_path / ".#one.py").symlink_to("of an editor")
        with other:
            socket.send_fds(ours, [b"j"], [other.fileno()])
        call.send(ASKED)
        assert server._answer() is None
        assert call.recv() is False


def test_a_server_tries_to_import_the_packages_of_networks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A package that is missing is for the job to complain of."""
    tried: list[str] = []

    def fails(name: str) -> Any:
        if name == "a_package":
            tried.append(name)
            raise OSError
        return sys.modules.get(name)

    monkeypatch.setattr(forked, "other_threads", list)
    monkeypatch.setattr(forked.importlib, "import_module", fails)
    ours, door = socket.socketpair()
    with ours, door:
        server = forked.Server(door)
        assert server._is_ready(ASKED)
        assert tried == []
        for _ in range(2):
            assert server._is_ready(ASKED._replace(packages=("a_package",)))
    assert tried == ["a_package"]


def test_the_server_has_no_threads_and_no_cuda_when_it_has_imported_every_stage() -> None:
    code = (
        "import importlib, torch, numpy\n"
        "from skeletons.workflow import forked\n"
        "from skeletons.workflow.stages import STAGES\n"
        "modules = {f'skeletons.{stage.module}' for stage in STAGES.values()}\n"
        "packages = {'torchvision', 'timm'}\n"
        "for name in sorted({*modules, *packages, *forked.LATER}): importlib.import_module(name)\n"
        "print([forked.other_threads(), torch.cuda.is_initialized()])\n"
        "big = numpy.ones((500, 500)); big @ big; torch.ones(500, 500) @ torch.ones(500, 500)\n"
        "print(forked.other_threads())\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", **forkserver.WITHOUT_THREADS}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True
    )
    before, after = map(ast.literal_eval, done.stdout.splitlines())
    assert before == [[], False], done.stderr
    assert after != []  # the check sees threads


def test_every_stage_in_its_own_process_is_known() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    used = set(re.findall(r'\*\*process\("(\w+)"\)', rules))
    assert used <= set(STAGES)
    assert re.findall(r'script:\s+"(.*?)"', rules).count(STAGE_SCRIPT) == rules.count("script:")
