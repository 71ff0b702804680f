"""The real workflow, run from nothing on a tiny configuration."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import CHAIN, SHOWN, TINY, Workflow
from pandas.testing import assert_frame_equal

from skeletons.store import artifacts

BASES, VARIANTS = 2, 2 * 2 * 2  # seeds × epochs × thresholds
N = BASES + VARIANTS


def changed(**sections: Any) -> dict[str, Any]:
    config = copy.deepcopy(TINY)
    for key, value in sections.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    return config


def test_every_pair_is_a_file(finished: Workflow) -> None:
    for ood in ("digits", "noise_images=60"):
        folder = finished / "results/tiny/similarity" / ood
        assert len(list(folder.iterdir())) == N * (N - 1) // 2
        table = artifacts.read_table(finished / f"results/tiny/similarity/{ood}.parquet")
        assert len(table) == N * (N - 1) // 2


def test_the_cosine_of_a_pair_is_that_of_its_predictions(finished: Workflow) -> None:
    a, b = "seed=1", "seed=2_l1=0.0001_ep=2_t=0.05"
    folder = finished / "results/tiny"
    row = pd.read_parquet(folder / "similarity/digits" / f"{a}--{b}.parquet").iloc[0]
    vectors = []
    for name in (a, b):
        table = pd.read_parquet(folder / "predictions/digits" / f"{name}.parquet")
        assert len(table) == 80
        logits = table.filter(like="logit_").to_numpy(np.float64)
        powers = np.exp(logits)
        vectors.append((logits, powers / powers.sum(axis=1, keepdims=True)))
    for measure, kind in (("cosine_logit", 0), ("cosine_prob", 1)):
        x, y = vectors[0][kind], vectors[1][kind]
        lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
        assert row[measure] == pytest.approx(((x * y).sum(axis=1) / lengths).mean(), abs=1e-6)


def test_every_artifact_of_the_contract_is_there(finished: Workflow) -> None:
    folder = finished / "results/tiny"
    regularized, pruned = "seed=1_l1=0.0001_ep=2", "seed=1_l1=0.0001_ep=2_t=0.05"
    for path in (
        *(f"models/{name}/weights.safetensors" for name in ("seed=1", regularized, pruned)),
        *(f"models/{name}/history.parquet" for name in ("seed=1", regularized)),
        f"models/{pruned}/sparsity.json",
        *(f"predictions/{ood}/{pruned}.parquet" for ood in ("digits", "noise_images=60")),
        f"scores/{pruned}.json",
        "findings.json",
        "findings.md",
        "config.yaml",
        "versions.json",
        "report.html",
    ):
        assert (folder / path).is_file(), path
    assert {p.suffix for p in (folder / "figures").iterdir()} == {".svg"}
    weights = artifacts.read_tensors(folder / f"models/{pruned}/weights.safetensors")
    report = artifacts.read_json(folder / f"models/{pruned}/sparsity.json")
    zero = sum(int((weights[layer["name"]] == 0).sum()) for layer in report["layers"])
    assert zero == report["size"] - report["kept"]


def test_a_base_that_is_not_optimal_is_flagged(finished: Workflow) -> None:
    scores = artifacts.read_json(finished / "results/tiny/scores/seed=1.json")
    assert scores["optimal"] is False
    assert "training accuracy" in scores["optimal_reason"]
    assert "**no**: " in (finished / "results/tiny/findings.md").read_text()


def test_the_report_is_whole_and_needs_no_network(finished: Workflow) -> None:
    page = (finished / "results/tiny/report.html").read_text()
    for part in (
        "figures/heatmap_digits_kappa.svg",
        "figures/ridge_walk.svg",
        "learning_rate: 0.3",
        "train_base",
        "default-src &#39;none&#39;",
    ):
        assert part in page
    for model in (path.stem for path in (finished / "results/tiny/scores").iterdir()):
        assert f'<tr id="model={model}"' in page
    for outside in ('<script src="http', '<link rel="stylesheet" href="http', "@import url(http"):
        assert outside not in page


def test_a_second_run_has_nothing_to_do(finished: Workflow) -> None:
    assert finished.planned(TINY) == {}
    assert "Nothing to be done" in finished.run(TINY).stdout


def test_a_new_threshold_trains_nothing(finished: Workflow) -> None:
    jobs = finished.planned(changed(prune={"thresholds": [0.05, 0.02, 0.1]}))
    new = 4  # seeds × epochs
    total = N + new
    assert jobs == {
        "prune": new,
        "predict": new * 3,
        "score": new,
        "compare": 2 * (total * (total - 1) - N * (N - 1)) // 2,
        "similarity": 2,
        "scores": 1,
        "verdict": 1,
        "findings": 1,
        "figures": 1,
        "record": 1,
        "report": 1,
    }


def test_blocks_of_pairs_give_the_same_table(finished: Workflow, tmp_path: Path) -> None:
    copied = finished.copy(tmp_path / "copied")
    jobs = copied.jobs(changed(compare={"blocks_beyond": N - 1}))
    blocks = 3 * 2  # per OOD set: within each of two bases, and between them
    assert jobs["compare_bases"] == blocks
    assert set(jobs) <= {"compare_bases", "similarity", "verdict", "record", *SHOWN}
    for ood in ("digits", "noise_images=60"):
        path = f"results/tiny/similarity/{ood}.parquet"
        assert_frame_equal(pd.read_parquet(copied / path), pd.read_parquet(finished / path))
    assert copied.jobs(changed(compare={"blocks_beyond": N - 1})) == {}


def test_a_base_without_a_pair_of_its_own_has_no_block(finished: Workflow, tmp_path: Path) -> None:
    copied = finished.copy(tmp_path / "copied")
    jobs = copied.jobs(changed(compare={"states": ["base"], "blocks_beyond": 0}))
    assert jobs["compare_bases"] == 2  # per OOD set: between the two bases
    assert len(pd.read_parquet(copied / "results/tiny/similarity/digits.parquet")) == 1


def test_order_and_spelling_of_the_lists_change_nothing(finished: Workflow) -> None:
    same = changed(
        base={"seeds": [2, 1]},
        prune={"thresholds": [0.05, 0.02]},
        regularize={"lambdas": ["1e-4"], "epochs": [2, 1]},
    )
    assert set(finished.planned(same)) <= {"record", "report"}


def test_a_training_setting_trains_again(finished: Workflow) -> None:
    jobs = finished.planned(changed(base={"learning_rate": 1.0}))
    assert jobs["train_base"] == 2
    jobs = finished.planned(changed(regularize={"learning_rate": 0.5}))
    assert jobs["train_base"] == 0
    assert jobs["regularize"] == 4


def artifacts_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "results").rglob("*"))
        if path.suffix in (".parquet", ".json", ".safetensors", ".svg", ".md", ".yaml")
    }


def test_a_run_that_made_less_first_gives_the_same_bytes(
    finished: Workflow, workflow: Workflow
) -> None:
    """Two runs from nothing give the same bytes; so does one that first made fewer models."""
    stop = changed(regularize={"epochs": [1]})
    done = workflow.run(stop, "--until", "regularize")
    assert done.returncode == 0, done.stdout
    done = workflow.run(TINY)
    assert done.returncode == 0, done.stdout
    one, two = artifacts_of(finished.folder), artifacts_of(workflow.folder)
    assert set(one) == set(two)
    assert [name for name in one if one[name] != two[name]] == []


def test_a_walk_that_goes_on_from_a_checkpoint_gives_the_same_bytes(workflow: Workflow) -> None:
    """Whether it stopped at epoch 4, which the list had then, or passes it on its way."""

    def walked(name: str, *epochs: int) -> bytes:
        config = changed(
            experiment=name, base={"seeds": [1]}, regularize={"epochs": list(epochs)}, cache=None
        )
        weights = f"results/{name}/models/seed=1_l1=0.0001_ep={epochs[-1]}/weights.safetensors"
        done = workflow.run(config, "--", weights)
        assert done.returncode == 0, done.stdout
        return (workflow / weights).read_bytes()

    four = walked("stopped", 4)
    five = walked("stopped", 4, 5)
    assert walked("passing", 5) == five != four


def test_dead_models_are_called_dead_and_like_nothing(workflow: Workflow) -> None:
    config = changed(
        base={"seeds": [1]},
        regularize={"epochs": [1]},
        prune={"thresholds": [0.02, 50]},
        ood=[{"kind": "digits"}],
    )
    done = workflow.run(config)
    assert done.returncode == 0, done.stdout
    dead = "seed=1_l1=0.0001_ep=1_t=50"
    scores = artifacts.read_json(workflow / f"results/tiny/scores/{dead}.json")
    assert scores["dead"]
    assert "no weight is left in" in scores["dead_reason"]
    pair = workflow / f"results/tiny/similarity/digits/seed=1--{dead}.parquet"
    row = artifacts.read_table(pair).iloc[0]
    assert not row.valid
    assert row.reason == "b answers every image alike"
    assert np.isnan(row.cosine_prob)
    found = json.loads((workflow / "results/tiny/findings.json").read_text())
    assert [model["model"] for model in found["dead"]] == [dead]


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_bad_configuration_is_sentences_and_no_traceback(
    workflow: Workflow, arguments: tuple[str, ...]
) -> None:
    config = changed(prune={"thresholds": [-0.1]}, base={"epoch": 3})
    done = workflow.run(config, *arguments)
    assert done.returncode != 0
    assert "base.epoch: unknown key; allowed here: seeds, epochs," in done.stdout
    assert "prune.thresholds[0]: found -0.1; allowed: a number ≥ 0." in done.stdout
    assert "Traceback" not in done.stdout
    assert not (workflow / "results").exists()


def test_an_experiment_does_not_inherit_another_data_sets_options(workflow: Workflow) -> None:
    path = workflow / "workflow_config.yaml"
    path.write_text(path.read_text().replace("train: 5000", "train: 300, seed: 3"))
    jobs = workflow.planned(
        changed(dataset={"kind": "shapes", "train": 20, "test": 20})
        | {"dataset": {"kind": "cifar10"}}
    )
    assert jobs["dataset"] == 3


def test_divergence_fails_its_job_in_a_sentence_and_leaves_nothing(workflow: Workflow) -> None:
    done = workflow.run(
        changed(base={"learning_rate": 1e30, "seeds": [1]}), "--until", "train_base"
    )
    assert done.returncode != 0
    assert "Base model seed=1, epoch 1, diverged: the loss was" in done.stdout
    assert "Traceback" not in done.stdout
    assert list((workflow / "results/tiny").rglob("*.safetensors")) == []
    assert "made by an earlier run" not in done.stdout  # there is no report


def test_a_run_that_made_no_report_says_that_the_old_one_is_of_another(
    chain: Workflow, tmp_path: Path
) -> None:
    workflow = chain.copy(tmp_path / "w")
    folder = "results/grid"
    old = f"{folder}/report.html, {folder}/findings.md and {folder}/findings.json were made by an "
    diverging = {**CHAIN, "base": {**CHAIN["base"], "learning_rate": 1e9}}
    failed = workflow.run(diverging)
    assert failed.returncode != 0
    assert f"{old}earlier run with another configuration." in failed.stdout
    stopped = workflow.run(diverging, "--until", "record")
    assert stopped.returncode == 0
    assert old in stopped.stdout
    assert "The verdict" not in stopped.stdout  # it would be the old one
    assert old not in workflow.run(CHAIN, "--until", "record").stdout
