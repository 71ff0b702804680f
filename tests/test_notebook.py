"""The whole example notebook runs on the results of an experiment."""

import shutil
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, Workflow
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs/example.ipynb"


def test_it_is_committed_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert all(
        not cell.outputs and cell.execution_count is None
        for cell in cells
        if cell.cell_type == "code"
    )


def test_it_runs_and_shows_what_it_says(
    finished: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The notebook opens ../results/demo; here that is the tiny experiment.
    (tmp_path / "docs").mkdir()
    shutil.copytree(finished / "results/tiny", tmp_path / "results/demo")
    shutil.copytree(finished / "results/data", tmp_path / "results/data")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path / "docs")}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "weights are left" in printed
    assert printed.count("on noise") == 3
    drawn = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(drawn) == 1
    assert not any(o.output_type == "error" or o.get("name") == "stderr" for o in outputs)
