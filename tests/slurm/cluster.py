"""A real SLURM cluster on 127.0.0.1: munged, slurmctld and three slurmd, without root's rights.

It has its own folder, free ports and new keys. It stops its processes by their ids, and writes
nothing outside its folder. So several clusters can run at the same time, also on a machine that is
part of another cluster.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

NODES = ("node1", "node2", "node3")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol")
SECONDS = 180  # the longest time for the start or a command on a busy machine

# `proctrack/pgid` and `task/none` need neither cgroups nor systemd. Nodes are filled evenly
# (LLN), so that few jobs still use several. An idle record stays for five minutes (MinJobAge).
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=defer,batch_sched_delay=0,sched_interval=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
MinJobAge=300
SlurmdTimeout=300
KillWait=2
ReturnToService=2
GresTypes=gpu
{nodes}
PartitionName=main Nodes=node[1-3] Default=YES LLN=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=node3 LLN=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} "
    "CPUs=4 RealMemory=16000{gpu} State=UNKNOWN"
)

# Snakemake's plugin removes SLURM_CONF from the environment of jobs; this sets it again:
# https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/164
COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
COMMAND = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {real} "$@"
"""


def missing() -> str | None:
    """Why no cluster can run here; None if one can."""
    path = search_path()
    absent = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    return f"no {', '.join(absent)}: install slurm-wlm and munge" if absent else None


def search_path() -> str:
    """The search path of programs, including folders for root, which often hold the daemons."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Cluster:
    """Three nodes, node1 to node3; node3 also has a GPU in name only, for the partition gpu."""

    def __init__(self, folder: Path) -> None:
        """Prepare it in a folder; its path must be short, because paths of sockets are."""
        self.folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []

    @property
    def environment(self) -> dict[str, str]:
        """The environment with which SLURM's commands use this cluster."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        path = os.pathsep.join([str(self.folder / "bin"), search_path()])
        return {**own, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start all daemons and wait until all nodes are idle."""
        self._write()
        self._launch("munged", "--foreground", "--force", *self._munge_options())
        self._wait_for(lambda: (self.folder / "munge.socket").exists(), "munged made no socket")
        self._launch("slurmctld", "-D", "-c")
        for name in NODES:
            self._launch("slurmd", "-D", "-c", "-N", name)
        self._wait_for(lambda: self._states() == ["idle"] * 3, "the nodes did not come up")

    def stop(self) -> None:
        """Cancel all jobs, and stop the daemons that were started here.

        SLURM does not end the processes of a node that was set down. They are found by their
        environment, which names this cluster.
        """
        if self._daemons:
            self.command("scancel", "--user", getpass.getuser(), check=False)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self._daemons.clear()
        own = f"SLURM_CONF={self.folder}/slurm.conf".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or belongs to another user
                if own in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    def command(self, *words: str, check: bool = True) -> str:
        """The output of one of SLURM's commands."""
        done = subprocess.run(
            words,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == 0 or not check, f"{' '.join(words)}: {done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job that the controller remembers, by its comment, the latest one last."""
        found: dict[str, dict[str, str]] = {}
        for line in self.command("squeue", "-h", "-t", "all", "-S", "i", "-o", "%i|%T|%N|%k").split(
            "\n"
        ):
            if line:
                number, state, node, comment = line.split("|")
                found[comment] = {"id": number, "state": state, "node": node}
        return found

    def count(self) -> int:
        """The number of jobs submitted so far, if the controller remembers the last one."""
        numbers = self.command("squeue", "-h", "-t", "all", "-o", "%i").split()
        return max(map(int, numbers), default=0)

    def _states(self) -> list[str]:
        return self.command("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False).split()

    def _write(self) -> None:
        for name in ("state", "bin", *NODES):
            (self.folder / name).mkdir(parents=True)
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        controller, *ports = _free_ports(1 + len(NODES))
        nodes = [
            NODE.format(name=name, port=port, gpu=" Gres=gpu:1" if name == "node3" else "")
            for name, port in zip(NODES, ports, strict=True)
        ]
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname(),
                controller=controller,
                user=getpass.getuser(),
                nodes="\n".join(nodes),
            )
        )
        (self.folder / "gres.conf").write_text("NodeName=node3 Name=gpu File=/dev/null\n")
        for name in COMMANDS:
            command = self.folder / "bin" / name
            real = shutil.which(name, path=search_path())
            command.write_text(COMMAND.format(folder=self.folder, real=real))
            command.chmod(0o755)

    def _munge_options(self) -> Iterable[str]:
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log"}
        for option, ending in {**files, "seed-file": "seed"}.items():
            yield f"--{option}={self.folder}/munge.{ending}"

    def _launch(self, program: str, *options: str) -> None:
        path = shutil.which(program, path=search_path())
        assert path is not None
        with (self.folder / f"{program}.{len(self._daemons)}.out").open("wb") as output:
            self._daemons.append(
                subprocess.Popen(
                    [path, *options], env=self.environment, stdout=output, stderr=output
                )
            )

    def _wait_for(self, done: object, otherwise: str) -> None:
        assert callable(done)
        end = time.monotonic() + SECONDS
        while not done():
            if time.monotonic() > end:
                logs = "\n".join(
                    f"{path.name}:\n{path.read_text()[-2000:]}"
                    for path in sorted(self.folder.iterdir())
                    if path.suffix in (".log", ".out")
                )
                self.stop()
                raise RuntimeError(f"No SLURM cluster: {otherwise}.\n{logs}")
            time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    """Free ports."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in held]
    finally:
        for each in held:
            each.close()
