"""Benchmarks are run by hand, so a change of the library may break one without a word."""

import re
import runpy
from pathlib import Path

import pytest
from conftest import ROOT

BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("path", BENCHMARKS, ids=[path.stem for path in BENCHMARKS])
def test_a_benchmark_fits_the_library(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds all that it imports."""
    for folder in ("benchmarks", "tests"):  # the order in which a benchmark itself has them
        monkeypatch.syspath_prepend(str(ROOT / folder))
    runpy.run_path(str(path), run_name="imported")


def test_the_pages_name_benchmarks_that_exist() -> None:
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "Makefile"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    named = set(re.findall(r"benchmarks/(\w+)\.py", text))
    assert named
    assert named <= {path.stem for path in BENCHMARKS}
