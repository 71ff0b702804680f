"""The commands in a report work as pasted, however its experiment was configured."""

from __future__ import annotations

import html
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import TINY, Workflow

UNNAMED = {key: value for key, value in TINY.items() if key != "experiment"}
EASY = "base={target: {train_loss: 9, train_accuracy: 0}}"  # so that something is undecided
WAYS = {
    "configfile": ("tiny", []),
    "experiment": ("mine", ["--configfile", "experiments/mine.yaml"]),
    "config": (
        "other",
        ["--configfile", "experiment.yaml", "--config", "experiment=other", EASY],
    ),
}


def pasted(workflow: Workflow, command: str) -> str:
    """What a command prints, with `-n` behind it, in the root folder of the repository."""
    done = subprocess.run(
        ["bash", "-c", f"{command.replace('--cores all', '--cores 2')} -n"],
        cwd=workflow.folder,
        env=workflow.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands(report: Path) -> list[str]:
    """The commands that a report shows."""
    shown = re.findall(r'<pre class="command".*?<code.*?>(.*?)</code>', report.read_text())
    return [html.unescape(command) for command in shown]


@pytest.mark.parametrize("way", WAYS)
def test_the_command_repeats_the_experiment(finished: Workflow, tmp_path: Path, way: str) -> None:
    name, arguments = WAYS[way]
    workflow = finished.copy(tmp_path / "clone")
    if arguments:
        (workflow / "experiments").mkdir()
        (workflow / "experiments/mine.yaml").write_text(yaml.safe_dump(UNNAMED))
        done = subprocess.run(
            ["snakemake", "--cores", "2", *arguments],
            cwd=workflow.folder,
            env=workflow.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "\nNext: Train " in done.stderr
    *changed, repeat = commands(workflow / f"results/{name}/report.html")
    assert f"results/{name}/" in repeat
    assert "Nothing to be done" in pasted(workflow, repeat)
    if way == "config":
        check_next_step(workflow, *changed)


def check_next_step(workflow: Workflow, command: str) -> None:
    """Only what is new is made: bases of new seeds, and the controls."""
    seeds = yaml.safe_load(re.search(r"'base=(\{seeds:.*?\})'", command)[1])["seeds"]
    assert seeds[:2] == [1, 2]
    assert len(seeds) == 5  # as many as a decision needs
    jobs = Counter(dict(re.findall(r"^ *(\w+) +(\d+) *$", pasted(workflow, command), re.M)))
    new = len(seeds) - 2
    assert int(jobs["train_base"]) == new
    assert int(jobs["regularize"]) == 2 * new  # two checkpoints
    assert int(jobs["prune_at_random"]) == 4 * len(seeds)  # two thresholds, two checkpoints


def test_the_command_works_in_a_clone_without_results(
    finished: Workflow, workflow: Workflow
) -> None:
    """After config.yaml was copied to where the report says."""
    there = workflow / "results/tiny"
    there.mkdir(parents=True)
    (there / "config.yaml").write_bytes((finished / "results/tiny/config.yaml").read_bytes())
    (repeat,) = commands(finished / "results/tiny/report.html")
    printed = pasted(workflow, repeat)
    assert re.search(r"train_base +2\b", printed)
