"""Inspections, run by the real workflow on the science experiment."""

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SCIENCE, TINY, Workflow

from skeletons import model_ids
from skeletons.data.files import read_split
from skeletons.figures import captions
from skeletons.findings import inspected, inspections
from skeletons.inspection import exposure, lines
from skeletons.measures import predictions
from skeletons.prediction import inference
from skeletons.store import artifacts

BASES = ("seed=1", "seed=2")
VARIANTS = tuple(f"{base}_l1=0.0001_ep=1_t=0.2" for base in BASES)
DATA = "shapes_train=200_test=100"
MASKS = ("seed=1", "own", "random")
IMAGES, POINTS, PROBE = 50, 5, "0.001"
RULES = {
    *("align", "activations", "align_activations", "align_together", "align_through_frame"),
    *("line", "plane", "curve", "expose", "time_exposed", "importance"),
    *("match_importance", "probe", "sparsest", "layers", "compare_layers", "inspection_figures"),
    *("bridge", "original_width", "judge_bridge", "transfer", "takeover"),
}


@pytest.fixture(scope="module")
def results(science: Workflow) -> Path:
    return science / "results/science"


def paths(results: Path) -> dict[str, list[str]]:
    """The artifacts that `inspections` reads, as the workflow passes them."""
    pairs = [*itertools.combinations(BASES, 2), *zip(BASES, VARIANTS, strict=True)]
    matched = list(itertools.combinations(VARIANTS, 2))
    return {
        "lines": [f"{results}/lines/{a}--{b}.parquet" for a, b in (*pairs, *matched)],
        "curve": [f"{results}/curve/seed=1--seed=2.parquet"],
        "bridge": [f"{results}/bridge/seed=1--seed=2.json"],
        "transfer": [f"{results}/transfer/seed=2_mask={of}.json" for of in MASKS],
        "exposed": [f"{results}/exposed/{name}/exposed.json" for name in VARIANTS],
        "importance": [f"{results}/importance/{name}.json" for name in VARIANTS],
        "matched": [f"{results}/importance/matched/{a}--{b}.json" for a, b in matched],
        "probe": [f"{results}/probe/{base}_l1={PROBE}.json" for base in BASES],
        "layer_maps": [
            f"{results}/layer_maps/mutual_knn/digits/{a}--{b}.parquet"
            for a, b in (*pairs, *matched)
        ],
        "sparsest": [f"{results}/sparsest/{base}.json" for base in BASES],
        "takeover": [f"{results}/takeover/{name}.json" for name in VARIANTS],
    }


def test_every_file_is_there(results: Path) -> None:
    for path in (
        *(path for files in paths(results).values() for path in files),
        *(f"alignment/{a}--{b}.safetensors" for a, b in itertools.combinations(BASES, 2)),
        "alignment/activations/seed=1--seed=2.safetensors",
        *("plane/plane.parquet", "plane/located.parquet", "curve/seed=1--seed=2.safetensors"),
        *(f"exposed/{name}/{file}" for name in VARIANTS for file in ("weights.safetensors",)),
        *(f"exposed/{name}/timing.json" for name in VARIANTS),
        *(f"importance/{name}.parquet" for name in VARIANTS),
        *(f"probe/{base}_l1={PROBE}.parquet" for base in BASES),
        *("bridge/seed=1--seed=2.parquet", "bridge/original_width/seed=1--seed=2.json"),
        *(f"figures/{name}.svg" for name in ("lines", "curve", "plane", "plane_surface")),
        *(f"takeover/{name}.{kind}" for name in VARIANTS for kind in ("parquet", "safetensors")),
        *(f"figures/{kind}_{name}.svg" for name in VARIANTS for kind in ("importance", "takeover")),
        *(f"figures/{name}.svg" for name in ("bridge", "transfer")),
        *(f"figures/probe_{base}_l1={PROBE}.svg" for base in BASES),
        *("figures/exposure.svg", "figures/sparsest.svg"),
    ):
        assert (results / path).is_file(), path
    assert len(list((results / "lines").iterdir())) == 4


def test_the_figures_are_in_the_report(results: Path) -> None:
    page = (results / "report.html").read_text()
    for part in (
        *(captions.RIDGE, captions.INSIDE),
        *("lines.svg", "plane_surface.svg", "curve.svg", "exposure.svg"),
        *(f"importance_{name}.svg" for name in VARIANTS),
    ):
        assert part in page


def scored(results: Path, model: str) -> tuple[float, float]:
    """Loss and accuracy of a model's saved predictions, on the images of inspections."""
    on_test = predictions.read(results / f"predictions/{DATA}/{model}.parquet")
    some = on_test.only(np.arange(len(on_test.labels)) < IMAGES)
    return some.loss, some.accuracy


def test_the_ends_of_lines_and_of_the_curve_are_the_models(results: Path) -> None:
    found = paths(results)
    for path in (*found["lines"], *found["curve"]):
        table = artifacts.read_table(path, [*lines.COLUMNS])
        a, b = (model_ids.Model.parse(name) for name in Path(path).stem.split("--"))
        ways = (
            ["naive", "weights", "activations"]
            if a.state == model_ids.BASE
            else ["naive", "weights"]
        )
        line = ["naive"] if a.seed == b.seed else ways
        curved = path in found["curve"]
        assert list(table.path.unique()) == (["straight", "curve"] if curved else line)
        assert set(table.repaired) == ({False} if curved else {False, True})
        for _, way in table.groupby(["path", "repaired"]):
            count = len(way)
            assert count == POINTS or (curved and count > POINTS)
            assert list(way.t) == [k / (count - 1) for k in range(count)]
            for row, model in ((way.iloc[0], str(a)), (way.iloc[-1], str(b))):
                loss, accuracy = scored(results, model)
                assert row.test_loss == pytest.approx(loss, abs=1e-5)
                assert row.test_accuracy == pytest.approx(accuracy, abs=1e-9)
                assert row.tempered_loss <= row.test_loss + 1e-9


def test_the_plane_goes_through_its_models_and_shows_the_walk(results: Path) -> None:
    located = artifacts.read_table(results / "plane/located.parquet").set_index("model")
    corners = ["seed=1", "seed=2", VARIANTS[0]]
    walked = ["seed=1_l1=0.0001_ep=1", VARIANTS[1]]
    assert list(located.index) == [*corners, *walked]
    assert (located.residual[corners] < 1e-3 * located.x["seed=2"]).all()
    assert (located.residual[walked] > 0).all()
    straight = artifacts.read_table(results / f"lines/seed=1--{VARIANTS[0]}.parquet")
    plain = straight[~straight.repaired]
    for model, row in ((corners[0], plain.iloc[0]), (corners[2], plain.iloc[-1])):
        assert located.loss[model] == pytest.approx(row.loss, abs=1e-6)
    assert len(artifacts.read_table(results / "plane/plane.parquet")) == POINTS**2


@pytest.mark.parametrize("model", VARIANTS)
def test_an_exposed_skeleton_stands_alone_and_computes_the_same(results: Path, model: str) -> None:
    folder = results / "exposed" / model
    network = exposure.load(folder / "weights.safetensors", folder / "exposed.json")
    pixels, _ = read_split(results.parent / f"data/{DATA}/images.safetensors", "test")
    logits = inference.predict(network, torch.from_numpy(pixels)).numpy()
    masked = predictions.read(results / f"predictions/{DATA}/{model}.parquet").logits
    assert np.abs(logits - masked).max() <= 1e-5 * np.abs(masked).max()
    gap = artifacts.read_json(folder / "exposed.json")["difference"]
    assert gap["largest"] <= 1e-5 * gap["scale"]
    assert gap["scale"] == pytest.approx(np.abs(masked[:IMAGES]).max(), rel=1e-5)
    assert set(artifacts.read_json(folder / "timing.json")) == {"before", "after"}


def test_results_are_given_in_numbers_and_in_words(results: Path) -> None:
    found = inspections.inspections(paths(results), missed=["seed=2"])
    json.dumps(found, allow_nan=False)
    assert {kind: len(rows) for kind, rows in found.items()} == {
        "lines": 2 * (3 + 2 + 2),  # pairs of bases, bases and variants, pairs of variants; repaired
        "curve": 1,
        "bridge": 1,
        "transfer": 2,  # comparisons: with its own mask, and with a random one
        "exposed": 2,
        "importance": 2,
        "matched": 1,
        "probe": 2,
        "takeover": 2,
        "layer_maps": 3 * 3,  # kinds of pairs, and layers
        "sparsest": 2,
    }
    (curve,) = found["curve"]
    table = artifacts.read_table(paths(results)["curve"][0])
    for row, path in ((curve, "curve"), (curve["line"], "straight")):
        assert row["highest_loss"] == table.loss[table.path == path].max()
    own = table[table.path == "curve"]
    assert curve["points"] == len(own)
    assert curve["longest"] == own.step_length.max() <= 0.05
    assert not curve["certified"]
    assert curve["broken"][0] == "its base misses `base.target`"
    units = artifacts.read_table(results / f"importance/{VARIANTS[0]}.parquet")
    assert found["importance"][0]["units"] == len(units) == found["matched"][0]["units"]
    sections = inspections.inspection_sections(found)
    names = ["ridge", "bridge", "transfer", "exposed", "importance", "matched", "probe"]
    names += ["takeover", "layer_maps"]
    assert [section.name for section in sections] == names
    text = "\n\n".join(section.text for section in sections)
    for words in (
        "barrier",
        VARIANTS[0],
        f"λ = {PROBE}",
        found["probe"][0]["sentence"],
        found["takeover"][0]["sentence"],
    ):
        assert words in text


def test_a_bridge_ends_at_its_bases_and_says_how_it_was_judged(results: Path) -> None:
    found = artifacts.read_json(results / "bridge/seed=1--seed=2.json")
    table = artifacts.read_table(results / "bridge/seed=1--seed=2.parquet")
    summaries = [artifacts.read_json(results / f"models/{base}/model.json") for base in BASES]
    for row, summary in zip((table.iloc[0], table.iloc[-1]), summaries, strict=True):
        assert row.loss == pytest.approx(summary["train_loss"], abs=1e-5)
    assert found["points"] == len(table)
    assert (found["width"], found["doubled_width"]) == (2, 4)
    assert found["highest_rise"] == table.rise.max()
    assert not found["certified"]  # two epochs do not reach the target
    assert found["broken"][0] == "its base misses `base.target`"
    pairs = artifacts.read_table(results / "similarity/digits.parquet")
    both = pairs[(pairs.a == BASES[0]) & (pairs.b == BASES[1])]
    assert found["similarity"]["digits"]["value"] == both.kappa.item()
    units = artifacts.read_json(results / "bridge/original_width/seed=1--seed=2.json")
    assert found["original"]["fits"] == units["fits"] == (units["times"] <= 1)


def test_a_base_that_is_trained_again_keeps_the_mask(results: Path) -> None:
    own, random = (
        artifacts.read_json(results / f"transfer/seed=2_mask={of}.json") for of in MASKS[1:]
    )
    assert own["densities"] == random["densities"]
    sparsity = artifacts.read_json(results / f"models/{VARIANTS[1]}/sparsity.json")
    assert own["density"] == pytest.approx(1 - sparsity["sparsity"])
    other = artifacts.read_json(results / f"transfer/seed=2_mask={MASKS[0]}.json")
    sparsity = artifacts.read_json(results / f"models/{VARIANTS[0]}/sparsity.json")
    assert other["density"] == pytest.approx(1 - sparsity["sparsity"])


def test_without_inspections_there_is_no_section() -> None:
    found = inspections.inspections({})
    assert set(found) == set(inspected.READ) - {"sparsest"}
    assert inspections.inspection_sections(found) == []


def test_a_dead_skeleton_is_called_dead_and_missing_numbers_are_dashes(tmp_path: Path) -> None:
    place = tmp_path / "seed=1_l1=0.1_ep=1_t=9" / "exposed.json"
    artifacts.write_json(place, {"dead_reason": "found no unit that an image reaches"})
    ranks = tmp_path / "seed=1_l1=0.1_ep=1_t=9.json"
    totals = {"spearman": None, "k": 0, "shared": 0, "expected": 0.0, "layers": []}
    totals |= {"kept": 0, "kept_expected": 0.0, "by": "loss", "intact": 0.25}
    spread = {"mean": 0.5, "lowest": 0.4, "highest": 0.7}
    one, drawn = {"without": 0.25, "alone": 2.0}, {"without": spread, "alone": spread}
    totals["unit_sets"] = {"important": one, "largest": one, "random": drawn}
    totals["weight_sets"] = {"skeleton": one, "random": drawn}
    artifacts.write_json(ranks, totals)
    found = inspections.inspections({"exposed": [str(place)], "importance": [str(ranks)]})
    text = "\n\n".join(section.text for section in inspections.inspection_sections(found))
    assert "| `seed=1_l1=0.1_ep=1_t=9` | dead |" in text
    assert "`seed=1_l1=0.1_ep=1_t=9`: found no unit that an image reaches" in text
    assert "| `seed=1_l1=0.1_ep=1_t=9` | – | 0 of 0 | 0.0 | 0 of 0 | 0.0 |" in text
    assert "| largest tenth of units | 0.250 | 2.000 |" in text
    assert "| 0.500 (0.400 to 0.700) | 0.500 (0.400 to 0.700) |" in text


def test_a_curve_off_the_ridge_is_called_so_by_the_limits_of_a_walk(tmp_path: Path) -> None:
    t = np.linspace(0, 1, 5)
    table = pd.DataFrame({"t": t, "loss": 0.02 + 0.04 * np.sin(np.pi * t), "accuracy": 1 - t / 9})
    for name in ("test_loss", "test_accuracy", "tempered_loss", "temperature"):
        table[name] = table.loss
    table["distance"], table["step_length"] = t / 10, [0, *[0.025] * 4]
    both = [table.assign(path=path, repaired=False) for path in ("straight", "curve")]
    place = tmp_path / "seed=1--seed=2.parquet"
    artifacts.write_table(place, pd.concat(both))
    said = []
    for limits in ({}, {"rise": 0.03}, {"step": 0.02}):
        found = inspections.inspections({"curve": [str(place)]}, **limits)
        (section,) = inspections.inspection_sections(found)
        said.append((found["curve"][0]["certified"], section.text))
    assert [holds for holds, _ in said] == [True, False, False]
    assert "the curve lies on the ridge: 5 points" in said[0][1]
    assert "not on a ridge: the training loss rises by 0.040 at step 2, more than" in said[1][1]
    assert "is 2.5% of the weights' norm, more than 2.0%" in said[2][1]


@pytest.mark.parametrize(
    ("alignment", "rules"),
    [
        ({}, {"align": 1}),
        ({"match": "activations"}, {"activations": 2, "align_activations": 1}),
        ({"order": "all"}, {"align_together": 1, "align_through_frame": 1}),
        (
            {"match": "activations", "order": "all"},
            {"activations": 2, "align_together": 1, "align_through_frame": 1},
        ),
    ],
)
def test_units_are_aligned_as_it_is_configured(
    workflow: Workflow, alignment: dict[str, str], rules: dict[str, int]
) -> None:
    config = copy.deepcopy(TINY) | {"alignment": alignment}
    config["inspect"] = {
        "variant": SCIENCE["inspect"]["variant"] | {"threshold": 0.05},
        "plane": True,
    }
    jobs = workflow.planned(config)
    planned = {rule: jobs[rule] for rule in RULES & set(jobs)}
    assert planned == {**rules, "plane": 1, "inspection_figures": 1}


def test_by_default_nothing_of_it_is_planned(workflow: Workflow) -> None:
    assert not RULES & set(workflow.planned(TINY))


@pytest.mark.parametrize(
    ("look", "rules"),
    [
        ({"lines": True}, {"align", "activations", "align_activations", "line"}),
        ({"curve": True}, {"align", "curve"}),
        ({"plane": True}, {"align", "plane"}),
        ({"bridge": True}, {"bridge", "original_width", "judge_bridge"}),
        ({"transfer": True}, {"align", "transfer"}),
        ({"expose": True}, {"expose", "time_exposed"}),
        ({"importance": True}, {"align", "importance", "match_importance"}),
        ({"probe": [1e-3, 1e-2]}, {"probe"}),
        ({"takeover": True}, {"takeover"}),
        ({"sparsest": True}, {"sparsest"}),
    ],
)
def test_each_look_is_planned_alone(
    workflow: Workflow, look: dict[str, Any], rules: set[str]
) -> None:
    config = copy.deepcopy(TINY)
    config["inspect"] = {"variant": SCIENCE["inspect"]["variant"] | {"threshold": 0.05}, **look}
    jobs = workflow.planned(config)
    assert RULES & set(jobs) == {*rules, "inspection_figures"}
    assert jobs["probe"] == 2 * len(look.get("probe", []))
