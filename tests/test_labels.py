"""Which data sets have the task's classes, and that only their pairs hold measures of errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skeletons.config.labels import labelled_sets, unlabelled_sets
from skeletons.config.load import load
from skeletons.errors import ConfigError
from skeletons.measures import behaviour
from skeletons.store import artifacts
from skeletons.workflow.plan import Plan
from skeletons.workflow.stages import STAGES

LABELLED = [measure.name for measure in behaviour.DECLARED if measure.labelled]


def of(config: Any) -> tuple[list[str], list[str]]:
    """The sets with labels, and those without."""
    names = Plan(config)._dataset_names()
    return labelled_sets(config, names), unlabelled_sets(config, names)


def config(dataset: dict[str, Any], *ood: dict[str, Any], **compare: Any) -> Any:
    return load({"dataset": dataset, "ood": list(ood), "compare": compare})


def test_sets_with_the_classes_of_the_task_are_found() -> None:
    digits = [{"kind": kind} for kind in ("digits", "svhn", "noise", "fashionmnist")]
    found = config({"kind": "mnist"}, *digits)
    assert of(found) == (["digits", "svhn"], ["fashionmnist", "noise"])
    shapes = config({"kind": "shapes"}, {"kind": "shapes", "seed": 3}, {"kind": "digits"})
    assert of(shapes)[0] == ["shapes_seed=3"]
    with_test = config({"kind": "shapes"}, {"kind": "digits"}, test_set=True)
    assert of(with_test) == (["shapes"], ["digits"])
    blurred = {"kind": "corrupted", "corruption": "gaussian_blur"}
    assert of(config({"kind": "shapes"}, blurred, {"kind": "digits"}))[1] == ["digits"]


@pytest.mark.parametrize(
    ("form", "end"),
    [
        ({"images": {"size": 40}}, "_size=40"),
        ({"network": {"channels": 1}}, "_channels=1"),
        ({}, ""),
    ],
)
def test_sets_have_their_names_in_results(form: dict[str, Any], end: str) -> None:
    """Those of another size or number of channels, and those of corrupted images."""
    fog = f"corrupted_shapes_train=200{end}_fog=3"
    raw: dict[str, Any] = {
        **form,
        "dataset": {"kind": "shapes", "train": 200},
        "ood": [
            {"kind": "digits"},
            {"kind": "shapes", "seed": 3},
            {"kind": "corrupted", "corruption": "fog"},
        ],
        "compare": {"test_set": True, "labelled": [fog, f"digits{end}"]},
        "figures": {"measures": ["capa"]},
    }
    plan = Plan(load(raw))
    assert plan.labelled == sorted(plan.sets)
    assert fog in plan.labelled
    for name in ("corrupted_dataset_fog=3", "digits_size=48"):
        wrong = load({**raw, "compare": {"labelled": [name]}})
        with pytest.raises(ConfigError, match=rf"found '{name}'; allowed: digits{end}, .*{fog}"):
            Plan(wrong)


def test_folders_have_the_classes_that_they_name(tmp_path: Path) -> None:
    for folder, classes in (("task", "ab"), ("same", "ab"), ("more", "abc"), ("bare", "")):
        for name in classes or [""]:
            (tmp_path / folder / name).mkdir(parents=True)
            for index in range(2):
                Image.new("RGB", (32, 32)).save(tmp_path / folder / name / f"{index}.png")
    sections = [
        {"kind": "imagefolder", "path": str(tmp_path / name)}
        for name in ("task", "same", "more", "bare")
    ]
    assert of(config(*sections))[0] == ["imagefolder_same"]
    named = config(*sections, labelled=["imagefolder_more"])
    assert of(named)[0] == ["imagefolder_more", "imagefolder_same"]


def test_a_drawn_measure_of_errors_needs_labels_on_every_set() -> None:
    raw: dict[str, Any] = {"dataset": {"kind": "mnist"}, "figures": {"measures": ["capa_top"]}}
    Plan(load({**raw, "ood": [{"kind": "digits"}], "compare": {"test_set": True}}))
    with pytest.raises(ConfigError, match="but noise has none"):
        Plan(load({**raw, "ood": [{"kind": "digits"}, {"kind": "noise"}]}))


def test_only_pairs_on_labelled_sets_hold_measures_of_errors(tmp_path: Path) -> None:
    plan = Plan(config({"kind": "shapes"}, {"kind": "digits"}, test_set=True))
    rng = np.random.default_rng(0)
    for ood, held in (("digits", []), ("shapes", LABELLED)):
        for name in "ab":
            logits = {f"logit_{k}": rng.normal(size=40).astype(np.float32) for k in range(10)}
            table = pd.DataFrame({"label": np.arange(40) % 10, **logits})
            artifacts.write_table(tmp_path / f"{name}.parquet", table)
        names = {"a": "seed=1", "b": "seed=2", "ood": ood}
        behaviour.compare_stage(
            a=str(tmp_path / "a.parquet"),
            b=str(tmp_path / "b.parquet"),
            pair=str(tmp_path / "pair.parquet"),
            **STAGES["compare"].settings(plan, names),
        )
        pair = artifacts.read_table(tmp_path / "pair.parquet")
        assert [name for name in LABELLED if name in pair] == held
        assert np.isfinite(pair[held].to_numpy()).all()
