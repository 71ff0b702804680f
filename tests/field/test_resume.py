"""Training that is interrupted goes on where it was, and ends in the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from colours import PLAIN, images
from conftest import CHAIN, Workflow, python

from skeletons.errors import ArtifactError
from skeletons.networks.build import build
from skeletons.store import artifacts, provenance, unfinished
from skeletons.store.cache import RunCache
from skeletons.store.provenance import Recipe
from skeletons.training import base, resume, walk
from skeletons.training.internals import PlainSGD
from skeletons.training.resume import Progress, StateFile
from skeletons.training.settings import BaseSettings, RegularizeSettings
from skeletons.workflow.jobs import Job
from skeletons.workflow.stages import STAGES
from snakemake_logger_plugin_skeletons.book import Book, Left, Running, Work

EPOCHS = 4
BASE = "models/seed=1"
WALKED = "models/seed=1_l1=0.001_ep=4"
AUGMENT = {"flip": True, "shift": 2, "cutout": 8}
DRAWING = '''
import torch
from torch import nn

class Noisy(nn.Module):
    """Draws from torch's own generator, also when it is measured."""

    def forward(self, x):
        return x + torch.rand_like(x)

def net(width, classes):
    hidden = nn.Linear(3072, 8 * width)
    return nn.Sequential(
        nn.Flatten(), hidden, Noisy(), nn.Dropout(), nn.Linear(8 * width, classes)
    )
'''
COUNTING = '''
from torch import nn

class Counting(nn.Module):
    """Halves its output once it was called five times; the count is not in a buffer."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += self.training
        return x / 2 if self.calls > 5 else x

def net(width, classes):
    return nn.Sequential(nn.Flatten(), Counting(), nn.Linear(3072, classes))
'''


class StoppedError(Exception):
    """What interrupts a training."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set's folder."""
    folder = tmp_path_factory.mktemp("images") / "data"
    train, test = images(), images(48, 1)
    artifacts.write_tensors(
        folder / "images.safetensors",
        {
            "train_images": train.pixels.numpy(),
            "train_labels": train.labels.numpy(),
            "test_images": test.pixels.numpy(),
            "test_labels": test.labels.numpy(),
        },
    )
    about = {"classes": ["r", "g", "b"], "mean": [0.3] * 3, "std": [0.2] * 3}
    artifacts.write_json(folder / "info.json", about)
    return folder


@pytest.fixture(autouse=True)
def _keep_after_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "FREE", 1e9)


def settings(optimizer: str, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "epochs": EPOCHS,
        "batch_size": 20,  # does not divide the images: the last batch is smaller
        "optimizer": optimizer,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "label_smoothing": 0.1,
        "warmup": 0.2,
        "augment": AUGMENT,
    }
    return vars(BaseSettings(**(values | changes)))


def recipe(code: str = "the code", **about: Any) -> Recipe:
    return Recipe("train_base", {**about, "device": "cpu"}, code, {}, {}, 1, provenance.versions())


def train(
    results: Path,
    data: Path,
    network: str = "cnn",
    optimizer: str = "sgd",
    precision: str = "fp32",
    code: str = "the code",
    **changes: Any,
) -> dict[str, bytes]:
    """Train a base model as a job does; the bytes of its files."""
    folder = results / BASE
    about = settings(optimizer, **changes)
    with provenance.making(recipe(code, network=network, base=about)):
        base.train_base_stage(
            dataset=str(data / "images.safetensors"),
            info=str(data / "info.json"),
            weights=str(folder / "weights.safetensors"),
            history=str(folder / "history.parquet"),
            summary=str(folder / "model.json"),
            seed=1,
            network={"name": network, "width": 2},
            base=about,
            device="cpu",
            precision=precision,
            threads=1,
        )
    return made(folder)


def walk_on(
    results: Path,
    data: Path,
    optimizer: str = "sgd",
    trace: int = 16,
    room: float | None = None,
) -> dict[str, bytes]:
    """Regularise the base model as a job does; the bytes of the checkpoint's files."""
    folder, parent = results / WALKED, results / BASE
    about = vars(RegularizeSettings(optimizer, "proximal", 1e-3, 0.9, 20, trace, AUGMENT, room))
    with provenance.making(recipe(regularize=about)):
        walk.regularize_stage(
            dataset=str(data / "images.safetensors"),
            base=str(parent / "weights.safetensors"),
            parent_weights=str(parent / "weights.safetensors"),
            parent_summary=str(parent / "model.json"),
            weights=str(folder / "weights.safetensors"),
            history=str(folder / "history.parquet"),
            walk=str(folder / "walk.parquet"),
            summary=str(folder / "model.json"),
            optimizer=str(folder / "optimizer.safetensors"),
            seed=1,
            l1=1e-3,
            after=0,
            epochs=EPOCHS,
            regularize=about,
            device="cpu",
            precision="fp32",
            threads=1,
        )
    return made(folder)


def made(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def states(results: Path) -> list[Path]:
    return sorted((results / "unfinished").glob("*"))


def stop_in(module: Any, epoch: int, how: Callable[[], None]) -> Callable[..., None]:
    """In place of `run_epoch`: interrupts after the last step of one epoch of this process."""
    original, begun = module.run_epoch, 0

    def run_epoch(*arguments: Any, **keywords: Any) -> None:
        nonlocal begun
        begun += 1
        original(*arguments, **keywords)
        if begun == epoch:
            how()

    return run_epoch


def stop() -> None:
    raise StoppedError


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(module: Any, epoch: int, run: Callable[[], object]) -> None:
    """Run something that ends with an exception in an epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "run_epoch", stop_in(module, epoch, stop))
        with pytest.raises(StoppedError):
            run()


CASES = [
    ("cnn", "sgd", "fp32"),
    ("resnet9", "sgd", "bf16"),
    ("resnet9", "adam", "fp32"),
    ("speednet", "muon", "fp32"),
]


@pytest.mark.parametrize(("network", "optimizer", "precision"), CASES)
def test_a_base_model_interrupted_twice_ends_in_the_same_bytes(
    tmp_path: Path, data: Path, network: str, optimizer: str, precision: str, capsys: Any
) -> None:
    undisturbed = train(tmp_path / "results/a", data, network, optimizer, precision)
    log = capsys.readouterr().out.splitlines()
    results = tmp_path / "results/b"
    for epoch in (3, 2):
        interrupted(base, epoch, lambda: train(results, data, network, optimizer, precision))
        assert not (results / BASE).exists()
    capsys.readouterr()
    assert train(results, data, network, optimizer, precision) == undisturbed
    resumed = capsys.readouterr().out.splitlines()
    assert resumed.pop(3) == "Resumed after epoch 3 of 4."
    assert resumed == log  # one line per epoch


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_a_base_model_interrupted_in_any_epoch(
    tmp_path: Path, data: Path, epoch: int, capsys: Any
) -> None:
    undisturbed = train(tmp_path / "results/a", data)
    results = tmp_path / "results/b"
    interrupted(base, epoch, lambda: train(results, data))
    capsys.readouterr()
    assert train(results, data) == undisturbed
    assert (f"Resumed after epoch {epoch - 1}" in capsys.readouterr().out) == (epoch > 1)


@pytest.mark.parametrize(
    ("optimizer", "trace", "room"), [("sgd", 0, None), ("adam", 16, None), ("adam", 0, 1e-4)]
)
def test_a_walk_interrupted_twice_ends_in_the_same_bytes(
    tmp_path: Path, data: Path, optimizer: str, trace: int, room: float | None, capsys: Any
) -> None:
    results = tmp_path / "results/a"
    train(results, data, "resnet9", epochs=1)
    undisturbed = walk_on(results, data, optimizer, trace, room)
    shutil.rmtree(results / WALKED)
    shutil.rmtree(results / "unfinished")
    for epoch in (3, 2):
        interrupted(walk, epoch, lambda: walk_on(results, data, optimizer, trace, room))
    capsys.readouterr()
    assert walk_on(results, data, optimizer, trace, room) == undisturbed
    assert "Resumed after epoch 3 of 4." in capsys.readouterr().out


def test_a_job_killed_after_its_last_epoch_trains_nothing(
    tmp_path: Path, data: Path, capsys: Any
) -> None:
    results = tmp_path / "results/a"
    undisturbed = train(results, data)
    shutil.rmtree(results / BASE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "run_epoch", stop_in(base, 1, stop))
        assert train(results, data) == undisturbed
    assert "Resumed after epoch 4 of 4." in capsys.readouterr().out


def killed(epoch: int, results: Path, data: Path) -> None:
    base.run_epoch = stop_in(base, epoch, kill)
    train(results, data)


def test_a_killed_process_loses_one_epoch(tmp_path: Path, data: Path, capsys: Any) -> None:
    undisturbed = train(tmp_path / "results/a", data)
    results = tmp_path / "results/b"
    process = multiprocessing.get_context("fork").Process(target=killed, args=(3, results, data))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    capsys.readouterr()
    assert train(results, data) == undisturbed
    assert "Resumed after epoch 2 of 4." in capsys.readouterr().out


def test_a_network_that_draws_random_numbers_everywhere(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("drawing.py").write_text(DRAWING)
    undisturbed = train(tmp_path / "results/a", data, "drawing.py:net")
    results = tmp_path / "results/b"
    interrupted(base, 3, lambda: train(results, data, "drawing.py:net"))
    torch.rand(5)
    assert train(results, data, "drawing.py:net") == undisturbed


def test_a_network_with_a_counter_in_python_starts_again(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("counting.py").write_text(COUNTING)
    undisturbed = train(tmp_path / "results/a", data, "counting.py:net")
    log = capsys.readouterr().out
    assert log.count("so this training cannot be resumed") == 1
    results = tmp_path / "results/b"
    interrupted(base, 3, lambda: train(results, data, "counting.py:net"))
    assert not states(results)
    assert train(results, data, "counting.py:net") == undisturbed


# What is done to a state file.
def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _another(path: Path) -> None:
    artifacts.write_tensors(path, {"weight": torch.zeros(3).numpy()})


DAMAGES = [_flip, _truncate, _empty, _another]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_costs_a_fresh_start(
    tmp_path: Path, data: Path, damage: Callable[[Path], None], capsys: Any
) -> None:
    undisturbed = train(tmp_path / "results/a", data)
    results = tmp_path / "results/b"
    interrupted(base, 3, lambda: train(results, data))
    (state,) = states(results)
    damage(state)
    capsys.readouterr()
    assert train(results, data) == undisturbed
    log = capsys.readouterr().out
    assert f"Training starts from the beginning: {state} is damaged, or is not the state" in log
    assert "Resumed" not in log


CHANGES: list[dict[str, Any]] = [{"learning_rate": 0.02}, {"optimizer": "adam"}, {"code": "new"}]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_another_setting_or_other_code_does_not_use_the_state(
    tmp_path: Path, data: Path, change: dict[str, Any], capsys: Any
) -> None:
    undisturbed = train(tmp_path / "results/a", data, **change)
    results = tmp_path / "results/b"
    interrupted(base, 3, lambda: train(results, data))
    capsys.readouterr()
    assert train(results, data, **change) == undisturbed
    assert "Resumed" not in capsys.readouterr().out
    shutil.rmtree(results / BASE)
    train(results, data)  # changed back
    assert "Resumed after epoch 2 of 4." in capsys.readouterr().out


def test_the_state_of_another_job_under_this_job_s_name_is_not_used(
    tmp_path: Path, data: Path, capsys: Any
) -> None:
    interrupted(base, 3, lambda: train(tmp_path / "results/a", data))
    interrupted(base, 2, lambda: train(tmp_path / "results/b", data, learning_rate=0.02))
    (one,), (other,) = states(tmp_path / "results/a"), states(tmp_path / "results/b")
    shutil.copy(one, other)
    train(tmp_path / "results/b", data, learning_rate=0.02)
    assert "Training starts from the beginning" in capsys.readouterr().out


def test_another_processor_or_precision_does_not_use_the_state(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    results = tmp_path / "results/a"
    interrupted(base, 3, lambda: train(results, data))
    monkeypatch.setattr(resume, "processor", lambda place: {"name": "another"})
    train(results, data)
    assert "was kept on another kind of processor or in another precision" in (
        capsys.readouterr().out
    )


def test_a_full_disk_does_not_end_a_training(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    undisturbed = train(tmp_path / "results/a", data)

    def full(*_: object) -> None:
        raise ArtifactError("Cannot write FILE: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(resume, "_write", full)
        assert train(tmp_path / "results/b", data) == undisturbed
    assert "The state after this epoch is not kept: Cannot write FILE" in capsys.readouterr().out


def test_short_epochs_are_not_slowed_by_keeping_every_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, kept = 0.0, []

    def write(*_: object) -> None:
        nonlocal now
        now += 0.1
        kept.append(round(now))

    monkeypatch.setattr(resume, "FREE", 0.15)
    monkeypatch.setattr(resume, "_write", write)
    monkeypatch.setattr(resume.time, "monotonic", lambda: now)
    net = build("cnn", 2, 3, (0.3,) * 3, (0.2,) * 3)
    progress = Progress(StateFile(tmp_path / "state"), net, PlainSGD(net.parameters(), lr=0.1))
    for epoch in range(1, 31):
        now += 1.0
        progress.keep([{"epoch": epoch}])
    assert kept == [1, 12, 22]  # the first, and then ten seconds for a tenth of a second


def test_outside_of_a_job_nothing_is_kept(tmp_path: Path) -> None:
    file = StateFile.of_job(str(tmp_path / "weights.safetensors"), torch.device("cpu"), "fp32")
    assert file.path is None
    net = build("cnn", 2, 3, (0.3,) * 3, (0.2,) * 3)
    about = BaseSettings(**settings("sgd", epochs=1, augment=PLAIN))
    rows = base.train_base(net, images(), images(), 1, about, "fp32", state=file)
    assert [row["epoch"] for row in rows] == [1]
    assert list(tmp_path.iterdir()) == []


def test_where_a_state_lies() -> None:
    assert unfinished.state_of("results/mine/models/seed=1/model.json", "key") == Path(
        "results/mine/unfinished/key.safetensors"
    )
    assert unfinished.state_of("elsewhere/model.json", "key") == Path(
        "elsewhere/unfinished/key.safetensors"
    )


# --- jobs, and the whole workflow -----------------------------------------------------------------


def job(cache: Path | None, outputs: list[str], run: Callable[[], None]) -> Job:
    """A job that does something else than its stage."""

    class Ready(Job):
        def compute(self) -> None:
            run()

    kept = None if cache is None else RunCache(cache)
    return Ready(STAGES["train_base"], {}, recipe(), tuple(outputs), kept)


@pytest.mark.parametrize("with_cache", [True, False])
def test_a_state_goes_once_the_run_cache_has_the_result(tmp_path: Path, with_cache: bool) -> None:
    output = tmp_path / "results/mine/models/seed=1/model.json"
    state = unfinished.state_of(output, recipe().key())
    state.parent.mkdir(parents=True)

    def run() -> None:
        state.write_text("a state")
        artifacts.write_json(output, {"a": 1})

    job(tmp_path / "cache" if with_cache else None, [str(output)], run).run()
    assert state.exists() != with_cache
    if with_cache:
        state.write_text("a state")
        output.unlink()
        job(tmp_path / "cache", [str(output)], stop).run()  # from the run cache
        assert output.exists()
        assert not state.exists()


def test_a_complete_experiment_keeps_no_states(chain: Workflow) -> None:
    assert (chain / "results/grid/report.html").exists()
    assert not (chain / "results/grid/unfinished").exists()


def test_a_killed_run_goes_on_where_it_was(workflow: Workflow) -> None:
    config = {**CHAIN, "base": {**CHAIN["base"], "epochs": 40}}
    workflow.write(config)
    running = subprocess.Popen(
        workflow.command(program=python()),
        cwd=workflow.folder,
        env=workflow.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = workflow / "logs/grid/train_base/seed=1.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and "epoch 6, training loss" in log.read_text()):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    workflow.jobs(config, "--until", "train_base")
    text = log.read_text()
    mark = re.search(r"^Resumed after epoch (\d+) of 40\.$", text, re.M)
    assert mark is not None
    assert int(mark[1]) >= 5
    assert re.findall(r"\bepoch (\d+),", text) == [str(epoch) for epoch in range(1, 41)]
    alone = {**config, "experiment": "alone", "cache": None}
    workflow.jobs(alone, "--until", "train_base")
    for name in ("weights.safetensors", "history.parquet", "model.json"):
        one, other = (workflow / "results" / e / BASE / name for e in ("grid", "alone"))
        assert one.read_bytes() == other.read_bytes()
    assert not states(workflow / "results/grid")  # in the run cache now
    assert len(states(workflow / "results/alone")) == 1  # goes when the experiment is complete


def test_the_time_left_counts_no_epoch_of_an_earlier_run(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    lines = [f"Base model seed=1, epoch {epoch}, training loss 1" for epoch in range(1, 11)]
    said = [*lines[:8], "Resumed after epoch 8 of 20.", *lines[8:]]
    log.write_text("".join(f"{line}\n" for line in said))
    began = log.stat().st_mtime - 20
    running = Running("train_base", "seed=1", began, (str(log),))
    assert (running.progress().epochs, running.progress().resumed) == (10, 8)
    work = Work("train_base", units=20, last_epoch=20)
    book = Book({1: work, 2: work}, slots=2)
    book.begin(1, running)
    assert book.rates(began + 20) == {"train_base": 10.0}
    assert book.left(began + 20) == Left(200.0, whole=True)  # seed 2; seed 1 needs 100 s
    book.finish(1, began + 120)
    assert book.rates(began + 120) == {"train_base": 10.0}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_deterministic_debug_mode("default")
