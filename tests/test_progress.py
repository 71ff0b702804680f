"""The progress of a run, on a terminal and without one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import CHAIN, Workflow

from skeletons.workflow import failures
from skeletons.workflow.jobs import TAKEN
from snakemake_logger_plugin_skeletons.book import (
    Book,
    Left,
    Running,
    Work,
    recall,
    remember,
    words,
)
from snakemake_logger_plugin_skeletons.job_log import JobLog, Progress
from snakemake_logger_plugin_skeletons.picture import left_words, progress_words, running_lines
from snakemake_logger_plugin_skeletons.pulse import Pulse
from snakemake_logger_plugin_skeletons.reasons import kind_of

# --- the time that is left ----------------------------------------------------------------------


def begin(book: Book, job: int, now: float, log: str = "") -> None:
    logs = (log,) if log else ()
    book.begin(job, Running(book.work[job].rule, f"seed={job}", now, logs))


def test_nothing_is_known_before_anything_was_done() -> None:
    book = Book({1: Work("train_base", units=4)})
    assert book.left(0.0) is None
    begin(book, 1, 0.0)
    assert book.left(5.0) is None
    assert left_words(book, 5.0) == ""


def test_a_rule_s_jobs_take_as_long_as_those_before() -> None:
    book = Book({job: Work("train_base") for job in (1, 2, 3)})
    begin(book, 1, 100.0)
    book.finish(1, 160.0)
    assert book.left(160.0) == Left(120.0, whole=True)
    begin(book, 2, 160.0)
    assert book.left(180.0) == Left(100.0, whole=True)
    book.finish(2, 260.0)  # slower: 80 s on average
    assert book.left(260.0) == Left(80.0, whole=True)


def test_a_copy_from_the_run_cache_says_nothing_about_training(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    book = Book({job: Work("train_base", units=10) for job in (1, 2, 3)})
    begin(book, 1, 100.0, str(log))
    log.write_text(f"{TAKEN} results/.cache.\n")
    book.finish(1, 100.1)
    assert book.left(100.1) is None
    begin(book, 2, 100.1)
    book.finish(2, 120.1)
    assert book.left(120.1) == Left(20.0, whole=True)


def test_work_is_spread_over_the_cores() -> None:
    work = {1: Work("a"), 2: Work("a"), 3: Work("a", threads=2), 4: Work("a")}
    assert Book(work, earlier={"a": 10.0}, slots=2).left(0.0) == Left(25.0, whole=True)


def test_what_awaits_another_cannot_run_beside_it() -> None:
    work = {1: Work("a"), 2: Work("a", after=(1,)), 3: Work("a", after=(2,)), 4: Work("a")}
    assert Book(work, earlier={"a": 10.0}, slots=16).left(0.0) == Left(30.0, whole=True)


def test_epochs_tell_before_the_first_job_is_done(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    log.write_text("Base model seed=1, epoch 1, loss 2\nBase model seed=1, epoch 2, loss 1\n")
    began = log.stat().st_mtime - 20
    book = Book({1: Work("train_base", units=10, last_epoch=10)})
    begin(book, 1, began, str(log))
    assert book.left(began + 20.0) == Left(80.0, whole=True)
    assert book.left(began + 25.0) == Left(75.0, whole=True)  # in the third epoch
    os.utime(log, (began - 60, began - 60))  # from an earlier run
    begin(book, 1, began, str(log))
    assert book.left(began + 20.0) is None


def test_the_first_epochs_tell_of_all_training(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    log.write_text("Base model seed=1, epoch 1, training loss 2, accuracy 0.5\n")
    began = log.stat().st_mtime - 10
    work = {
        1: Work("train_base", units=3, last_epoch=3),
        2: Work("regularize", units=2, last_epoch=2, after=(1,)),
        3: Work("regularize", units=2, last_epoch=4, after=(2,)),
    }
    book = Book(work)
    begin(book, 1, began, str(log))
    assert book.left(began + 10.0) == Left(60.0, whole=True)
    assert left_words(book, began + 10.0) == "about 60 s left"
    book.work = {**work, 4: Work("predict", after=(3,))}
    assert left_words(book, began + 10.0) == "at least 60 s left"
    book.earlier = {"regularize": 5.0}  # what is known of a rule itself counts
    assert book.left(began + 10.0) == Left(40.0, whole=False)


def test_resumed_epochs_take_no_time(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    epochs = [f"Base model seed=1, epoch {k}, training loss 2, accuracy 0.5\n" for k in range(1, 5)]
    log.write_text("".join([*epochs[:3], "Resumed after epoch 3 of 5.\n", epochs[3]]))
    began = log.stat().st_mtime - 10
    book = Book({1: Work("train_base", units=5, last_epoch=5)})
    begin(book, 1, began, str(log))
    assert book.left(began + 10.0) == Left(10.0, whole=True)


def test_a_job_that_resumes_after_its_last_epoch_shows_no_rate(tmp_path: Path) -> None:
    log = tmp_path / "seed=1.log"
    epochs = [f"Base model seed=1, epoch {k}, training loss 2, accuracy 0.5\n" for k in range(1, 6)]
    log.write_text("".join([*epochs, "Resumed after epoch 5 of 5.\n"]))
    began = log.stat().st_mtime - 10
    book = Book({1: Work("train_base", units=5, last_epoch=5)})
    begin(book, 1, began, str(log))
    book.finish(1, began + 10.0)
    assert book.rates(began + 10.0) == {}


# --- the log of a running job -------------------------------------------------------------------

EPOCH = "Base model seed=1, epoch {}, training loss 0.3210, accuracy 0.9012, test accuracy 0.8\n"


def test_only_what_is_new_in_a_log_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "seed=1.log"
    log = JobLog(path, began=0.0)
    assert log.look() == Progress()
    path.write_text("On node1, SLURM job 7.\n" + EPOCH.format(1) + EPOCH.format(2)[:60])
    first = log.look()
    assert (first.epochs, first.last) == (1, 1)
    assert first.measured == "training loss 0.3210, accuracy 0.9012"
    with path.open("a") as file:
        file.write(EPOCH.format(2)[60:])
    assert log.look().last == 2
    monkeypatch.setattr(Path, "open", None)  # nothing is read while nothing is written
    assert log.look().last == 2


def test_a_log_that_begins_anew_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "seed=1.log"
    path.write_text("".join(map(EPOCH.format, range(1, 4))))
    log = JobLog(path, began=path.stat().st_mtime)
    assert log.look().epochs == 3
    path.write_text(EPOCH.format(1))
    assert log.look().epochs == 1
    os.utime(path, (1, 1))
    assert JobLog(path, began=path.stat().st_mtime + 1).look() == Progress()


def test_a_job_no_longer_waits_when_it_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "shapes.log"
    path.write_text("Waiting: another run is making it.\n")
    log = JobLog(path, began=0.0)
    assert log.look().waits == "Waiting: another run is making it."
    with path.open("a") as file:
        file.write("Another run has made it.\n")
    assert log.look() == Progress()


# --- signs of life without a terminal -----------------------------------------------------------


def test_a_long_job_has_few_lines(tmp_path: Path) -> None:
    """An epoch of 6 s for two hours: the first, then at each doubled time, then each 10 minutes."""
    path = tmp_path / "logs/e/train_base/seed=1.log"
    path.parent.mkdir(parents=True)
    path.touch()
    began = path.stat().st_mtime
    book = Book({1: Work("train_base", units=1200, last_epoch=1200)}, slots=1)
    begin(book, 1, began, str(path))
    pulse = Pulse(book, print)
    said: list[tuple[int, str]] = []
    with path.open("a") as log:
        for second in range(1, 7200):
            if second % 6 == 0:
                log.write(EPOCH.format(second // 6))
                log.flush()
                os.utime(path, (began + second, began + second))
            said += [(second, line) for line in pulse.lines(began + second)]
    assert [second for second, _ in said[:7]] == [10, 20, 40, 80, 160, 320, 640]
    assert 15 <= len(said) <= 20
    assert said[1][1] == (
        "… train_base of seed=1: epoch 3 of 1200, training loss 0.3210, accuracy 0.9012; "
        "about 2 h left"
    )


def test_a_job_that_waits_says_so_once(tmp_path: Path) -> None:
    path = tmp_path / "logs/e/dataset/shapes.log"
    path.parent.mkdir(parents=True)
    path.write_text("Waiting: another run is making results/data/shapes (process 7 on a).\n")
    began = path.stat().st_mtime
    book = Book({1: Work("dataset", may_wait=True)})
    begin(book, 1, began, str(path))
    pulse = Pulse(book, print)
    assert pulse.lines(began + 1) == [
        "… dataset of shapes: Waiting: another run is making results/data/shapes (process 7 on a)."
    ]
    assert pulse.lines(began + 1000) == []


def test_jobs_that_end_soon_have_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "seed=1.log"
    path.write_text(EPOCH.format(1))
    began = path.stat().st_mtime
    book = Book({1: Work("train_base", units=2, last_epoch=2), 2: Work("predict")})
    begin(book, 1, began, str(path))
    begin(book, 2, began, str(path))
    assert Pulse(book, print).lines(began + 9) == []
    assert len(Pulse(book, print).lines(began + 10)) == 1


def test_a_long_job_tells_of_a_short_one() -> None:
    book = Book({1: Work("regularize", units=8), 2: Work("regularize", units=2)})
    begin(book, 1, 0.0)
    book.finish(1, 80.0)
    assert book.left(80.0) == Left(20.0, whole=True)


def test_what_is_not_known_is_left_out_and_that_is_said() -> None:
    book = Book({1: Work("a"), 2: Work("b")}, earlier={"a": 600.0})
    assert book.left(0.0) == Left(600.0, whole=False)
    assert left_words(book, 0.0) == "at least 10 min left"
    book.earlier = {"a": 600.0, "b": 125.0}
    assert left_words(book, 0.0) == "about 12 min left"


def test_nothing_is_estimated_while_nothing_is_known_of_training() -> None:
    work = {1: Work("dataset"), 2: Work("train_base", units=2, last_epoch=2, after=(1,))}
    assert Book(work, earlier={"dataset": 5.0}).left(0.0) is None
    assert Book(work, earlier={"train_base": 5.0}).left(0.0) == Left(10.0, whole=False)


def test_a_failed_job_may_begin_again() -> None:
    book = Book({1: Work("a")}, planned=Counter(a=1))
    begin(book, 1, 0.0)
    book.fail(1)
    assert book.finish(1, 5.0) is None
    begin(book, 1, 10.0)
    assert book.finish(1, 15.0) == "a"
    assert book.rates(15.0) == {"a": 5.0}


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("Taken from the run cache, results/.cache: 0123.\n", True),
        ("On node1, SLURM job 7.\nTaken from the run cache, results/.cache: 0123.\n", True),
        ("Base model seed=1, epoch 1, training loss 2\n", False),
        (None, False),
    ],
)
def test_what_the_run_cache_had_is_counted(tmp_path: Path, text: str | None, taken: bool) -> None:
    log = tmp_path / "seed=1.log"
    if text is not None:
        log.write_text(text)
    book = Book({1: Work("train_base")}, planned=Counter(train_base=1))
    begin(book, 1, 0.0, str(log))
    assert book.finish(1, 1.0) == "train_base"
    assert book.taken["train_base"] == taken


def test_a_chain_longer_than_pythons_stack() -> None:
    work = {job: Work("a", after=(job - 1,)) for job in range(1, 5000)}
    left = Book(work, earlier={"a": 1.0}, slots=8).left(0.0)
    assert left == Left(4999.0, whole=True)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (40, "40 s"),
        (100, "2 min"),
        (725, "12 min"),
        (7800, "2 h 10 min"),
        (7200, "2 h"),
    ],
)
def test_durations_are_no_more_precise_than_they_are_known(seconds: float, text: str) -> None:
    assert words(seconds) == text


def test_what_jobs_took_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "seconds.json"
    assert recall(path) == {}
    remember(path, {"b": 2.0, "a": 1.23456})
    assert recall(path) == {"a": 1.235, "b": 2.0}
    path.write_text("[]")
    assert recall(path) == {}


# --- running jobs -------------------------------------------------------------------------------


def book_of(running: list[Running], **works: Work) -> Book:
    work = {number: works[job.rule] for number, job in enumerate(running) if job.rule in works}
    return Book(work, running=dict(enumerate(running)))


def test_what_runs_is_a_line_a_rule_and_few_of_them() -> None:
    running = [Running("predict", f"digits/seed={k}", 10.0) for k in range(5)]
    running.append(Running("figures", "", 5.0))
    assert running_lines(book_of(running)) == [
        "  figures",
        "  predict digits/seed=0, digits/seed=1, digits/seed=2, … 2 more",
    ]
    many = [Running(f"rule{k}", "seed=1", float(k)) for k in range(6)]
    assert running_lines(book_of(many))[4:] == ["  … and 2 more stages"]


def test_a_job_that_trains_has_a_line_with_its_epoch(tmp_path: Path) -> None:
    running = [Running("predict", "digits/seed=1", 1.0), Running("train_base", "seed=9", 2.0)]
    for seed in range(1, 11):
        path = tmp_path / f"seed={seed}.log"
        path.write_text(EPOCH.format(seed))
        running.append(Running("train_base", f"seed={seed}", 2.0 + seed, (str(path),)))
    book = book_of(running, train_base=Work("train_base", units=16, last_epoch=16))
    shown = running_lines(book)
    assert shown[0] == "  train_base seed=1: epoch 1 of 16, training loss 0.3210, accuracy 0.9012"
    assert shown[7].startswith("  train_base seed=8: epoch 8 of 16, ")
    assert shown[8:] == [
        "  … and 2 more training jobs",
        "  predict digits/seed=1",
        "  train_base seed=9",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "Model seed=1 with λ=0.1, epoch 3, training loss 1.2e-05, accuracy 0.9, test …",
            "epoch 3 of 4, training loss 1.2e-05, accuracy 0.9",
        ),
        (
            "Probe of seed=1 with λ=0.1, epoch 3, test accuracy 0.9, without the skeleton 0.1",
            "epoch 3 of 4",
        ),
        ("Curve seed=1, epoch 3, done; the learning rate is 0.1.", "epoch 3 of 4"),
        ("Resumed after epoch 3 of 4.", ""),
        ("Something else", ""),
    ],
)
def test_every_kind_of_training_tells_its_epoch(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"{line}\n")
    progress = JobLog(path, 0.0).look()
    assert progress_words(progress, Work("regularize", units=2, last_epoch=4)) == words


@pytest.mark.parametrize(
    ("rule", "log", "name"),
    [
        ("reorder", "logs/e/reorder/seed=1_order=2.log", "reorder of seed=1_order=2"),
        (
            "prune_at_random",
            "logs/e/prune_at_random/seed=1_l1=0.1_ep=2_t=0.5_random=3.log",
            "prune_at_random of seed=1_l1=0.1_ep=2_t=0.5_random=3",
        ),
    ],
)
def test_controls_have_their_whole_name(rule: str, log: str, name: str) -> None:
    assert failures.job_name(rule, [log]) == name


# --- failed jobs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("m.py:f gave values from 1.5 to 2.25;", "m.py:f gave values from -3 to 1e+05;", True),
        ("m.py:f gave 5×3 of float64;", "m.py:f gave 40×3 of float64;", True),
        ("m.py:f failed at line 3 (KeyError);", "m.py:f failed at line 4 (KeyError);", False),
        (
            "results/x/seed=1_t=0.5/a.json has no rows",
            "results/x/seed=1_t=0.6/a.json has no rows",
            False,
        ),
        (
            "Base model seed=1, diverged: the loss was 9",
            "Base model seed=2, diverged: the loss was 8",
            False,
        ),
        ("m2.py:f failed", "m3.py:f failed", False),
    ],
)
def test_a_reason_is_the_same_but_for_measured_numbers(one: str, other: str, same: bool) -> None:
    assert (kind_of(one) == kind_of(other)) == same


# --- real runs ----------------------------------------------------------------------------------


# Epochs enough to be seen on a terminal, which is drawn twice a second.
LONG: dict[str, Any] = {**CHAIN, "base": {**CHAIN["base"], "epochs": 40}}


def on_a_terminal(workflow: Workflow, config: dict[str, Any], *arguments: str) -> str:
    """The output of a run on a terminal of 100 columns, without control characters."""
    workflow.write(config)
    ours, theirs = pty.openpty()
    variables = {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(
        [*workflow.command(), *arguments],
        cwd=workflow.folder,
        env=workflow.environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as running:
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
        os.close(ours)
    assert running.returncode == 0, shown.decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65536)
    except OSError:  # on Linux, the end of the output
        return b""


@pytest.fixture(scope="module")
def workflow(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    return Workflow(tmp_path_factory.mktemp("progress"))


@pytest.fixture(scope="module")
def shown(workflow: Workflow) -> str:
    return on_a_terminal(workflow, LONG, "--until", "regularize")


@pytest.fixture(scope="module")
def printed(workflow: Workflow, shown: str) -> str:
    """The output of the rest of the run, without a terminal."""
    done = workflow.run(LONG)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_terminal_shows_what_runs_and_how_much_is_done(shown: str) -> None:
    assert re.search(r"━+ 0 of 3 jobs done", shown)
    assert re.search(r"━ 2 of 3 jobs done", shown)
    assert re.search(r"^  train_base seed=1", shown, re.M)
    assert re.search(
        r"^  train_base seed=1: epoch \d+ of 40, training loss \d\.\d{4}, "
        r"accuracy \d\.\d{4} *$",
        shown,
        re.M,
    )
    assert re.search(
        r"^▲ base model seed=1 misses `base\.target`: found training loss \d\.\d{4} and training "
        r"accuracy \d\.\d{4}; wanted at most 0\.1 and at least 0\.97\. *$",
        shown,
        re.M,
    )
    assert re.search(r"^  regularize seed=1_l1=0.0001_ep=1", shown, re.M)
    assert re.search(r"^ train_base +1 *$", shown, re.M)
    assert "✓ train_base: 1 job done in " in shown
    assert " begins: " not in shown


def test_without_a_terminal_a_stage_is_two_lines(printed: str) -> None:
    lines = printed.splitlines()
    for rule in ("prune", "predict", "compare", "findings", "report"):
        assert sum(line.startswith(f"◯ {rule} begins: ") for line in lines) == 1
        assert sum(line.startswith(f"✓ {rule}: ") for line in lines) == 1
    assert "jobs done," not in printed
    assert "\x1b" not in printed
    assert len(lines) < 70


def test_the_next_run_knows_what_jobs_took(workflow: Workflow, printed: str) -> None:
    known = recall(workflow / "logs/grid/seconds.json")
    assert {"train_base", "regularize", "compare", "report"} <= set(known)
    assert all(seconds > 0 for seconds in known.values())


def test_a_log_is_named_by_its_model_and_has_a_line_an_epoch(
    workflow: Workflow, shown: str
) -> None:
    log = workflow / "logs/grid/train_base/seed=1.log"
    lines = log.read_text().splitlines()
    assert len(lines) == LONG["base"]["epochs"]
    assert lines[0].startswith("Base model seed=1, epoch 1, training loss ")
    walk = workflow / "logs/grid/regularize/seed=1_l1=0.0001_ep=1.log"
    assert len(walk.read_text().splitlines()) == 1


def test_a_dry_run_gives_reasons_and_no_advice_to_look_away(
    workflow: Workflow, printed: str
) -> None:
    config = {**LONG, "base": {**LONG["base"], "learning_rate": 0.2}}
    done = workflow.run(config, "--dry-run")
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"^Reasons:\n(.*\n)* +params have changed.*\n.*train_base", done.stdout, re.M
    ), done.stdout
    assert "This was a dry-run" in done.stdout
    assert re.search(r"^ train_base +1 *$", done.stdout, re.M), done.stdout
    assert "Results in the run cache are copied from there, not computed." in done.stdout
    assert "provenance" not in done.stdout
    assert "--rerun-triggers" not in done.stdout


def test_a_failure_is_a_line_with_its_model(workflow: Workflow, printed: str) -> None:
    config = {**LONG, "experiment": "wild", "base": {**LONG["base"], "learning_rate": 1e6}}
    done = workflow.run(config, "--until", "train_base")
    assert done.returncode != 0
    assert re.search(
        r"^✗ train_base of seed=1: .* diverged: .* \(logs/wild/train_base/seed=1.log\)$",
        done.stdout,
        re.M,
    )
    assert "1 job failed; the jobs that depend on it did not run" in done.stdout
    assert "Traceback" not in done.stdout
