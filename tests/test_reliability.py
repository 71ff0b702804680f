"""Corrupted files, full disks, simultaneous runs, and Ctrl-C."""

from __future__ import annotations

import copy
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import CHAIN, Workflow, artifacts_of, python, trained

from skeletons import pruning
from skeletons.errors import ArtifactError
from skeletons.findings import judged, scores
from skeletons.findings import stage as findings
from skeletons.measures import behaviour
from skeletons.prediction import inference
from skeletons.store import artifacts
from skeletons.training.walk import regularize_stage

BASE, WALKED, VARIANT = "seed=1", "seed=1_l1=0.0001_ep=1", "seed=1_l1=0.0001_ep=1_t=0.05"
DATA = "data/shapes_train=300_test=120"
SETTINGS = {
    "optimizer": "adam",
    "penalty": "subgradient",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "batch_size": 100,
    "trace": 20,
    "augment": {"flip": False, "shift": 0, "cutout": 0},
}


def model(name: str, file: str) -> str:
    return f"tiny/models/{name}/{file}"


def predicted(ood: str, name: str) -> str:
    return f"tiny/predictions/{ood}/{name}.parquet"


def pair(a: str, b: str) -> str:
    return f"tiny/similarity/digits/{a}--{b}.parquet"


def walk_on(inputs: list[str], outputs: list[str]) -> None:
    dataset, base, weights, summary, history, walk, optimizer = inputs
    regularize_stage(
        dataset=dataset,
        base=base,
        parent_weights=weights,
        parent_summary=summary,
        parent_history=history,
        parent_walk=walk,
        parent_optimizer=optimizer,
        **dict(zip(("weights", "history", "walk", "summary", "optimizer"), outputs, strict=True)),
        seed=1,
        l1=1e-4,
        after=1,
        epochs=2,
        regularize=SETTINGS,
        device="cpu",
        precision="fp32",
        threads=1,
    )


NEXT = "seed=1_l1=0.0001_ep=2"
PAIR = pair(BASE, VARIANT)
SCORES = [f"tiny/scores/{name}.json" for name in (BASE, WALKED, VARIANT)]
# Each stage that reads artifacts: its inputs, its outputs, and its arguments.
Stage = tuple[list[str], list[str], Callable[[list[str], list[str]], None]]
STAGES: dict[str, Stage] = {
    "regularize": (
        [
            f"{DATA}/images.safetensors",
            model(BASE, "weights.safetensors"),
            *(
                model(WALKED, name)
                for name in (
                    "weights.safetensors",
                    "model.json",
                    "history.parquet",
                    "walk.parquet",
                    "optimizer.safetensors",
                )
            ),
        ],
        [
            model(NEXT, name)
            for name in (
                "weights.safetensors",
                "history.parquet",
                "walk.parquet",
                "model.json",
                "optimizer.safetensors",
            )
        ],
        walk_on,
    ),
    "prune": (
        [model(WALKED, "weights.safetensors"), model(WALKED, "model.json")],
        [model(VARIANT, "weights.safetensors"), model(VARIANT, "sparsity.json")],
        lambda i, o: pruning.prune_stage(
            regularized=i[0],
            summary=i[1],
            weights=o[0],
            sparsity=o[1],
            threshold=0.05,
            scale="absolute",
            criterion="magnitude",
        ),
    ),
    "predict": (
        [
            model(VARIANT, "weights.safetensors"),
            model(WALKED, "model.json"),
            f"{DATA}/images.safetensors",
        ],
        [predicted("shapes", VARIANT)],
        lambda i, o: inference.predict_stage(
            weights=i[0], summary=i[1], dataset=i[2], predictions=o[0], images=50, device="cpu"
        ),
    ),
    "score": (
        [
            predicted("shapes_train=300_test=120", VARIANT),
            model(WALKED, "model.json"),
            model(VARIANT, "sparsity.json"),
        ],
        [f"tiny/scores/{VARIANT}.json"],
        lambda i, o: scores.score_stage(
            predictions=i[0],
            summary=i[1],
            sparsity=i[2],
            scores=o[0],
            model=VARIANT,
            target={"train_loss": 0.1, "train_accuracy": 0.9},
        ),
    ),
    "compare": (
        [predicted("digits", BASE), predicted("digits", VARIANT)],
        [PAIR],
        lambda i, o: behaviour.compare_stage(
            a=i[0], b=i[1], pair=o[0], ood="digits", models=[BASE, VARIANT]
        ),
    ),
    "similarity": (
        [PAIR, pair(BASE, "seed=2")],
        ["tiny/similarity/digits.parquet"],
        lambda i, o: behaviour.collect_pairs_stage(pairs=i, table=o[0]),
    ),
    "scores": (
        SCORES,
        ["tiny/scores.parquet"],
        lambda i, o: scores.collect_scores_stage(scored=i, table=o[0]),
    ),
    "verdict": (
        [*SCORES, "tiny/similarity/digits.parquet"],
        ["tiny/verdict.json"],
        lambda i, o: judged.judge_stage(
            scored=i[:3], similarity=i[3:], verdict=o[0], measures=["kappa"], ood=["digits"]
        ),
    ),
    "findings": (
        [*SCORES, "tiny/similarity/digits.parquet", "tiny/verdict.json"],
        ["tiny/findings.json", "tiny/findings.md"],
        lambda i, o: findings.findings_stage(
            scored=i[:3],
            similarity=i[3:4],
            verdict=i[4],
            json=o[0],
            text=o[1],
            experiment="tiny",
            measures=["kappa"],
            ood=["digits"],
        ),
    ),
}


def run_stage(stage: str, results: Path, made: Path) -> dict[str, bytes]:
    """Run a stage on the artifacts in one folder and return what it writes into another."""
    inputs, outputs, function = STAGES[stage]
    shutil.rmtree(made, ignore_errors=True)
    function([str(results / name) for name in inputs], [str(made / name) for name in outputs])
    return {name: (made / name).read_bytes() for name in outputs}


@pytest.fixture
def results(finished: Workflow, tmp_path: Path) -> Path:
    """A copy of the artifacts that the stages read, with their places in `results`."""
    folder = tmp_path / "results"
    for name in {name for inputs, _, _ in STAGES.values() for name in inputs}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(finished / "results" / name, folder / name)
    return folder


# --- corrupted files ----------------------------------------------------------------------------

Damage = Callable[[bytes, np.random.Generator], bytes]


def flip(content: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(content)))
    return content[:at] + bytes([content[at] ^ 1 << int(random.integers(8))]) + content[at + 1 :]


def scribble(content: bytes, random: np.random.Generator) -> bytes:
    at, length = int(random.integers(len(content))), int(random.integers(1, 200))
    return content[:at] + random.bytes(length) + content[at + length :]


def blank(content: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(content)))
    length = min(int(random.integers(1, 4096)), len(content) - at)
    return content[:at] + bytes(length) + content[at + length :]


def cut_out(content: bytes, random: np.random.Generator) -> bytes:
    at = int(random.integers(len(content)))
    return content[:at] + content[at + int(random.integers(1, 200)) :]


DAMAGES: dict[str, Damage] = {
    "a bit flipped": flip,
    "a piece overwritten": scribble,
    "a piece zeroed": blank,
    "a piece cut out": cut_out,
    "truncated": lambda content, random: content[: int(random.integers(len(content)))],
    "doubled": lambda content, _: content + content,
    "appended to": lambda content, random: content + random.bytes(20),
    "empty": lambda *_: b"",
}
CORRUPTIONS = 500


def attempt(stage: str, results: Path, made: Path) -> tuple[dict[str, bytes] | None, str]:
    """The result of a stage, or its error message."""
    try:
        return run_stage(stage, results, made), ""
    except ArtifactError as error:
        return None, str(error)


def test_500_corruptions_give_clear_errors_or_no_harm(results: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    names = list(STAGES)
    clean = {stage: run_stage(stage, results, tmp_path / "made" / "results") for stage in names}
    outcomes: Counter[str] = Counter()
    for number in range(CORRUPTIONS):
        stage = names[number % len(names)]
        path = results / str(random.choice(STAGES[stage][0]))
        kind = str(random.choice(list(DAMAGES)))
        whole = path.read_bytes()
        path.write_bytes(DAMAGES[kind](whole, random))
        made, said = attempt(stage, results, tmp_path / "made" / "results")
        if made is not None:
            assert made == clean[stage], f"{path.name}, {kind}: a wrong result"
            outcomes["harmless"] += 1
        else:
            assert str(path) in said, kind
            assert "run snakemake" in said, kind
            assert "\n" not in said
            outcomes["clear error"] += 1
        path.write_bytes(whole)
    assert outcomes["clear error"] + outcomes["harmless"] == CORRUPTIONS
    assert outcomes["clear error"] > 0.9 * CORRUPTIONS, outcomes
    for stage in names:  # after the repair, every stage gives the same result
        assert run_stage(stage, results, tmp_path / "made" / "results") == clean[stage]


def rewrite_table(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    artifacts.write_table(path, change(artifacts.read_table(path)))


def rewrite_tensors(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    artifacts.write_tensors(path, change(artifacts.read_tensors(path)))


def rewrite_json(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    artifacts.write_json(path, change(artifacts.read_json(path)))


def each(tensors: dict[str, Any], change: Callable[[Any], Any]) -> dict[str, Any]:
    return {name: change(tensor) for name, tensor in tensors.items()}


def nan_first(tensors: dict[str, Any]) -> dict[str, Any]:
    name = next(name for name, tensor in tensors.items() if tensor.dtype.kind == "f")
    return {**tensors, name: np.full_like(tensors[name], np.nan)}


# Complete files with a valid seal and wrong content.
WRONG: dict[str, tuple[str, int, Callable[[Path], None], str]] = {
    "images of another shape": (
        "predict",
        2,
        lambda p: rewrite_tensors(
            p, lambda t: {k: v[:, :2] if v.ndim > 1 else v for k, v in t.items()}
        ),
        "does not hold square images",
    ),
    "images of another type": (
        "predict",
        2,
        lambda p: rewrite_tensors(p, lambda t: each(t, np.float32)),
        "does not hold square images",
    ),
    "weights of another shape": (
        "predict",
        0,
        lambda p: rewrite_tensors(p, lambda t: each(t, lambda v: v[:1])),
        "holds the weights of another network",
    ),
    "weights of another type": (
        "predict",
        0,
        lambda p: rewrite_tensors(p, lambda t: each(t, np.int32)),
        "holds the weights of another network",
    ),
    "weights that are not numbers": (
        "predict",
        0,
        lambda p: rewrite_tensors(p, nan_first),
        "holds a value that is not finite",
    ),
    "weights of another network, to be pruned": (
        "prune",
        0,
        lambda p: rewrite_tensors(p, lambda t: {"x": next(iter(t.values()))}),
        "holds the weights of another network",
    ),
    "an optimiser's state of another network": (
        "regularize",
        6,
        lambda p: rewrite_tensors(p, lambda t: each(t, lambda v: v[..., :1] if v.ndim else v)),
        "holds the optimiser's state of another network",
    ),
    "logits as text": (
        "compare",
        0,
        lambda p: rewrite_table(p, lambda t: t.assign(logit_0="many")),
        "is not a table of predictions",
    ),
    "logits that are not numbers": (
        "compare",
        1,
        lambda p: rewrite_table(p, lambda t: t.assign(logit_1=np.nan)),
        "holds a logit that is not finite",
    ),
    "labels that are no whole numbers": (
        "score",
        0,
        lambda p: rewrite_table(p, lambda t: t.assign(label=t.label + 0.5)),
        "is not a table of predictions",
    ),
    "predictions with a column too many": (
        "compare",
        0,
        lambda p: rewrite_table(p, lambda t: t.assign(more=1)),
        "is not a table of predictions",
    ),
    "predictions on fewer images": (
        "compare",
        0,
        lambda p: rewrite_table(p, lambda t: t[:10]),
        "cannot be compared: the two models' predictions are not on the same images",
    ),
    "a table without the pair": (
        "similarity",
        0,
        lambda p: rewrite_table(p, lambda t: t.drop(columns="a")),
        "has no column 'a'",
    ),
    "scores without the accuracy": (
        "findings",
        0,
        lambda p: rewrite_json(p, lambda v: {k: v[k] for k in v if k != "accuracy"}),
        "has no key 'accuracy'",
    ),
    "a summary without layers": (
        "prune",
        1,
        lambda p: rewrite_json(p, lambda v: {"network": v["network"]}),
        "has no key 'layers'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_whole_file_with_the_wrong_content_is_refused(
    case: str, results: Path, tmp_path: Path
) -> None:
    stage, number, change, text = WRONG[case]
    path = results / STAGES[stage][0][number]
    change(path)
    with pytest.raises(ArtifactError) as caught:
        run_stage(stage, results, tmp_path / "made" / "results")
    assert text in str(caught.value)
    assert str(path) in str(caught.value)
    assert "run snakemake again" in str(caught.value)


# --- the workflow under stress ------------------------------------------------------------------


def ends_well(workflow: Workflow, config: dict[str, Any], undisturbed: dict[str, bytes]) -> None:
    """The next run makes what is missing, with the same results as an undisturbed run."""
    workflow.jobs(config)
    assert artifacts_of(workflow.folder) == undisturbed


def test_a_result_edited_by_hand_is_refused_until_it_is_made_again(
    chain: Workflow, tmp_path: Path
) -> None:
    workflow = chain.copy(tmp_path / "w")
    undisturbed = artifacts_of(workflow.folder)
    path = workflow / f"results/grid/predictions/digits/{BASE}.parquet"
    table = pd.read_parquet(path)
    table["logit_0"] += 1
    table.to_parquet(path)
    done = workflow.run(CHAIN)
    assert done.returncode != 0
    assert f"✗ compare of digits/{BASE}--{VARIANT}: results/grid/predictions/digits/" in done.stdout
    assert "delete it and run snakemake again" in done.stdout
    assert "Traceback" not in done.stdout
    path.unlink()
    jobs = workflow.jobs(CHAIN)
    assert jobs == Counter(
        predict=1, compare=1, similarity=1, verdict=1, findings=1, figures=1, report=1
    )
    assert artifacts_of(workflow.folder) == undisturbed


def test_a_model_of_another_experiment_is_refused(chain: Workflow, tmp_path: Path) -> None:
    workflow = chain.copy(tmp_path / "w")
    other = copy.deepcopy(CHAIN) | {"experiment": "other", "cache": None}
    other["base"]["learning_rate"] = 0.2
    workflow.jobs(other, "--until", "train_base")
    weights = f"models/{BASE}/weights.safetensors"
    shutil.copyfile(workflow / "results/other" / weights, workflow / "results/grid" / weights)
    done = workflow.run(CHAIN)
    assert done.returncode != 0
    assert (
        f"results/grid/{weights} was made from other settings than this experiment's; "
        "delete it and run snakemake again"
    ) in done.stdout
    assert "Traceback" not in done.stdout


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Workflow]:
    """A copy without results, whose results folder is a separate file system."""
    if os.geteuid() != 0:
        pytest.skip("a small disk is mounted, which only root may do")
    workflow = Workflow(tmp_path)
    (workflow / "results").mkdir()
    target = str(workflow / "results")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", target], check=True)
    yield workflow
    subprocess.run(["umount", "--lazy", target], check=True)


def remount(workflow: Workflow, options: str) -> None:
    target = str(workflow / "results")
    subprocess.run(["mount", "-o", f"remount,{options}", target], check=True)


def test_a_full_disk_and_a_read_only_one(chain: Workflow, small_disk: Workflow) -> None:
    done = small_disk.run(CHAIN)
    assert done.returncode != 0
    assert "Cannot write results/" in done.stdout
    assert "No space left on device" in done.stdout
    assert "Traceback" not in done.stdout
    assert list((small_disk / "results").rglob(".*.tmp")) == []  # no half-written file remains
    remount(small_disk, "size=50m,ro")
    done = small_disk.run(CHAIN)
    assert done.returncode != 0
    assert "Cannot write to results/grid: Read-only file system." in done.stdout
    assert "Traceback" not in done.stdout
    remount(small_disk, "rw")
    ends_well(small_disk, CHAIN, artifacts_of(chain.folder))


def start(workflow: Workflow, config: dict[str, Any]) -> subprocess.Popen[str]:
    """Start a run in its own process group, like a terminal, and wait until it trains."""
    workflow.write(config)
    running = workflow.begun(workflow.command())
    deadline = time.monotonic() + 120
    logs = workflow / "logs/grid/train_base"
    while not any(path.stat().st_size for path in logs.glob("*")):
        assert time.monotonic() < deadline
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.1)
    return running


LONG = {**CHAIN, "base": {**CHAIN["base"], "epochs": 100_000}}


def test_ctrl_c_and_two_runs_at_once(workflow: Workflow) -> None:
    running = start(workflow, LONG)
    second = workflow.run(LONG)
    assert second.returncode != 0
    assert "Another run is using results/grid (process " in second.stdout
    assert "wait until it ends, or stop it" in second.stdout
    assert "Traceback" not in second.stdout
    os.killpg(running.pid, signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode != 0
    assert "Interrupted: the results of running jobs that did not finish are not kept" in said
    assert "Traceback" not in said
    assert list((workflow / "results").rglob("models/**/*.safetensors")) == []
    assert workflow.jobs(CHAIN)["train_base"] == 1


def test_a_killed_run_leaves_no_lock_and_no_half_work(chain: Workflow, workflow: Workflow) -> None:
    running = start(workflow, LONG)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    ends_well(workflow, CHAIN, artifacts_of(chain.folder))


def test_two_runs_may_write_to_the_cache_at_once(workflow: Workflow, tmp_path: Path) -> None:
    """Two simultaneous experiments share a base; a third one then takes it from the cache."""
    workflow.jobs(CHAIN, "--until", "dataset")
    configs = [{**CHAIN, "experiment": name} for name in ("one", "two")]
    runs = []
    for config in configs:
        path = workflow / f"{config['experiment']}.yaml"
        workflow.write(config, path.name)
        runs.append(
            subprocess.Popen(
                [*workflow.command(path.name, program=python()), "--until", "score"],
                cwd=workflow.folder,
                env=workflow.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    for run in runs:
        said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
    workflow.jobs({**CHAIN, "experiment": "three"}, "--until", "score")
    assert trained(workflow, "three") == set()
    for name in ("two", "three"):
        for part in (f"models/{BASE}/weights.safetensors", f"models/{WALKED}/history.parquet"):
            one, other = (workflow / "results" / e / part for e in ("one", name))
            assert one.read_bytes() == other.read_bytes()
    assert list((workflow / "results/.cache").glob(".*")) == []
