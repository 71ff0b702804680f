"""The script for a GPU machine, on the CPU at a small size, and its stand-ins for packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import scipy.optimize
import scipy.special
from conftest import ROOT, python

sys.path.insert(0, str(ROOT / "benchmarks"))

import bare

SCRIPT = str(ROOT / "scripts/gpu_check.py")
TENSORS = {
    "b": np.arange(6, dtype=np.int64).reshape(2, 3),
    "a": np.linspace(0, 1, 5, dtype=np.float32),
    "c": np.array([True, False]),
    "é": np.zeros((0, 3), np.uint8),
}


def test_it_measures_every_part_and_writes_them(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    done = subprocess.run(
        [python(), SCRIPT, "--device", "cpu", "--small", "--json", str(found)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    read = json.loads(found.read_text())
    rates = read["throughput"]["images_per_second"]
    assert {name: len(values) for name, values in rates.items()} == {
        "this library": 2,
        "airbench's recipe": 2,
    }
    assert all(value > 0 for values in rates.values() for value in values)
    assert read["together"]["failed"] == {}
    side_by_side = read["together"]["images_per_second"]
    assert len(side_by_side) == 4
    assert min(side_by_side.values()) > 0
    assert read["post_scale"]["models"] == 2 * (1 + 5)
    assert min(read["post_scale"]["seconds"].values()) > 0
    assert f"| all of it, 12 models, {12 * 11 // 2} pairs, 200 images |" in done.stdout


def test_without_a_gpu_it_says_so() -> None:
    done = subprocess.run(
        [python(), SCRIPT],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "PyTorch finds no CUDA device here; allowed: --device cpu.\n"


def test_the_stand_in_writes_what_safetensors_writes(tmp_path: Path) -> None:
    about = {"key": "välue"}
    assert bare.save(TENSORS, about) == safetensors.numpy.save(TENSORS, about)


def test_the_stand_in_reads_what_safetensors_writes(tmp_path: Path) -> None:
    path = tmp_path / "some.safetensors"
    path.write_bytes(safetensors.numpy.save(TENSORS, {"key": "value"}))
    with bare.safe_open(path, framework="np") as file:
        assert file.metadata() == {"key": "value"}
        assert sorted(file.keys()) == sorted(TENSORS)
        for name, tensor in TENSORS.items():
            found = file.get_tensor(name)
            assert found.dtype == tensor.dtype
            np.testing.assert_array_equal(found, tensor)
    path.write_bytes(path.read_bytes()[:-1])
    with bare.safe_open(path, framework="np") as file, pytest.raises(bare.SafetensorError):
        [file.get_tensor(name) for name in TENSORS]
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(bare.SafetensorError):
        bare.safe_open(path, framework="np")


def test_the_stand_in_computes_what_scipy_computes() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 7)) * 30
    for name in ("softmax", "log_softmax"):
        found, known = (getattr(one, name)(logits, axis=1) for one in (bare, scipy.special))
        np.testing.assert_allclose(found, known, rtol=1e-12)

    def curve(x: float) -> float:
        return float(np.exp(x) - 3)

    root = bare.brentq(curve, -5.0, 5.0, xtol=1e-10)
    assert root == pytest.approx(scipy.optimize.brentq(curve, -5.0, 5.0, xtol=1e-10), abs=2e-10)


def test_the_library_trains_and_compares_without_these_packages(tmp_path: Path) -> None:
    """As on a machine that has neither: the stand-ins take their places before any import."""
    code = f"""
import sys
sys.path[:0] = [{str(ROOT / "benchmarks")!r}, {str(ROOT / "src")!r}]
import bare
print(bare.install(force=True))
import skeletons.training.base, skeletons.training.walk, skeletons.pruning
import skeletons.prediction.inference
from skeletons.measures.behaviour import compare
from skeletons.measures.predictions import Predictions
import numpy as np
draw = np.random.default_rng(0)
a, b = (Predictions(draw.normal(size=(9, 4)), np.arange(9) % 4) for _ in range(2))
print(sorted(compare(a, b, labelled=True))[:3])
print([name for name in ("scipy.special", "safetensors") if sys.modules[name].__spec__])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [
        "['safetensors', 'scipy']",
        "['agreement', 'agreement_std', 'capa']",
        "[]",
    ], done.stderr
