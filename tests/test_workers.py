"""Jobs in processes that outlive them."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skeletons.errors import SkeletonsError
from skeletons.measures.behaviour import compare_block_stage
from skeletons.store import artifacts, fingerprint
from skeletons.workflow import jobs, workers
from skeletons.workflow.jobs import Job

SEEN: list[str] = []


@pytest.fixture(autouse=True)
def _own_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(workers, "_idle", [])
    SEEN.clear()
    yield
    for worker in workers._idle:
        worker.end()


@pytest.fixture
def predictions(tmp_path: Path) -> list[str]:
    """Predictions files of three models."""
    draw = np.random.default_rng(0)
    paths = [str(tmp_path / f"results/some/predictions/digits/seed={k}.parquet") for k in (1, 2, 3)]
    for path in paths:
        logits = {f"logit_{k}": draw.normal(size=20).astype(np.float32) for k in range(3)}
        artifacts.write_table(path, pd.DataFrame({"label": np.arange(20) % 3, **logits}))
    return paths


def job(one: list[str], block: Path, **changed: Any) -> Job:
    """The job that Snakemake describes for a block."""
    settings = {"ood": "digits", "measures": changed.pop("measures", []), "labelled": False}
    own = fingerprint.fingerprint("measures.behaviour", own=changed.pop("own", ()))
    params = SimpleNamespace(stage="compare_bases", settings={**settings, **changed}, code=own)
    params.items = lambda: [("settings", settings)]
    described: Any = (Named(one=one), Named(block=str(block)), params, {})
    return jobs.describe(*described, {}, say=SEEN.append)


class Named(dict[str, Any]):
    """Files by their names; iterated one by one, as Snakemake's are."""

    def __iter__(self) -> Iterator[Any]:
        found = (value if isinstance(value, list) else [value] for value in self.values())
        return itertools.chain.from_iterable(found)


def test_a_worker_makes_what_this_process_makes(tmp_path: Path, predictions: list[str]) -> None:
    there = tmp_path / "there/results/some/block.parquet"
    here = tmp_path / "here/results/some/block.parquet"
    workers.run(job(predictions, there))
    job(predictions, here).run()
    assert there.read_bytes() == here.read_bytes()
    assert len(artifacts.read_table(there)) == 3
    plain = tmp_path / "plain/results/some/block.parquet"
    compare_block_stage(one=predictions, block=str(plain), ood="digits")
    pd.testing.assert_frame_equal(artifacts.read_table(plain), artifacts.read_table(there))


def test_a_worker_stays_until_it_is_large(
    tmp_path: Path, predictions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.run(job(predictions, tmp_path / "1.parquet"))
    first = list(workers._idle)
    workers.run(job(predictions, tmp_path / "2.parquet"))
    assert workers._idle == first
    assert len(first) == 1
    monkeypatch.setattr(workers, "LARGEST", 0)
    named = job(predictions, tmp_path / "3.parquet")
    assert workers.outcome(dict(named.keywords), vars(named.recipe))["last"]


def test_two_jobs_at_once_have_two_workers(tmp_path: Path, predictions: list[str]) -> None:
    some = [job(predictions, tmp_path / f"{k}.parquet") for k in range(2)]
    both = [threading.Thread(target=workers.run, args=[one]) for one in some]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)
    assert [(tmp_path / f"{k}.parquet").exists() for k in range(2)] == [True, True]
    assert len(workers._idle) in (1, 2)


def test_an_error_of_a_stage_reaches_the_run_as_its_sentence(
    tmp_path: Path, predictions: list[str]
) -> None:
    wrong = job(predictions, tmp_path / "block.parquet")
    Path(predictions[1]).unlink()
    with pytest.raises(SkeletonsError, match=r"seed=2\.parquet does not exist; run snakemake to"):
        workers.run(wrong)
    with pytest.raises(RuntimeError, match=r"TypeError: .*unexpected keyword argument 'odd'"):
        workers.run(job(predictions[:1], tmp_path / "block.parquet", odd=1))
    assert len(workers._idle) == 1


def test_what_user_defined_code_prints_is_kept(tmp_path: Path, predictions: list[str]) -> None:
    own = tmp_path / "own.py"
    own.write_text("def mine(a, b):\n    print('measured')\n    return [0.5] * 20\n")
    reference = f"{own}:mine"
    block = tmp_path / "block.parquet"
    workers.run(job(predictions, block, measures=[reference], own=(str(own),)))
    assert set("\n".join(SEEN).splitlines()) == {"measured"}
    assert (artifacts.read_table(block).filter(like="mine") == 0.5).any(axis=None)


def test_a_module_in_the_working_directory_is_not_pythons(
    tmp_path: Path, predictions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise ImportError('this is not for a worker')\n")
    monkeypatch.chdir(tmp_path)
    workers.run(job(predictions, tmp_path / "block.parquet"))
    assert (tmp_path / "block.parquet").exists()


def test_a_killed_worker_fails_its_job_alone(tmp_path: Path, predictions: list[str]) -> None:
    workers.run(job(predictions, tmp_path / "1.parquet"))
    os.kill(workers._idle[0]._process.pid, signal.SIGKILL)
    with pytest.raises(SkeletonsError, match=r"ended with status -?[0-9]+ and without an error"):
        workers.run(job(predictions, tmp_path / "2.parquet"))
    workers.run(job(predictions, tmp_path / "2.parquet"))
    assert (tmp_path / "2.parquet").exists()
