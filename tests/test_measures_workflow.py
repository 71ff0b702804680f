"""Measures that need more than predictions: their files, made by the real workflow."""

import copy
import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SCIENCE, Workflow
from torch import nn

from skeletons import model_ids
from skeletons.alignment import permutations
from skeletons.config.load import load
from skeletons.errors import ArtifactError, ConfigError
from skeletons.measures import representations
from skeletons.networks.build import build
from skeletons.prediction import features, layers
from skeletons.store import artifacts

ID = "shapes_train=200_test=100"
RECIPE = "l1=0.0001_ep=1"
MODELS = [
    f"seed={seed}{state}"
    for seed in (1, 2)
    for state in (
        "",
        "_untrained",
        "_order=1",
        f"_{RECIPE}",
        f"_{RECIPE}_t=0.2",
        f"_{RECIPE}_t=0.2_random=1",
    )
]
MASKED = [name for name in MODELS if "_t=" in name]
Changes = dict[str, dict[str, Any]]


def names(folder: Path) -> set[str]:
    return {path.stem for path in folder.iterdir()}


def pair_names(chosen: list[str]) -> set[str]:
    return {f"{a}--{b}" for a, b in itertools.combinations(chosen, 2)}


def changed(**sections: Any) -> dict[str, Any]:
    made = copy.deepcopy(SCIENCE)
    for key, values in sections.items():
        made[key] = {**made[key], **values}
    return made


def with_masks(science: Workflow, a: str, b: str) -> tuple[Any, Any, list[str]]:
    """Two pruned models' tensors, and the names of their prunable weights."""
    place = science / "results/science/models"
    about = artifacts.read_json(place / f"{a.split('_t=')[0]}/model.json")
    return (
        artifacts.read_tensors(place / a / "weights.safetensors"),
        artifacts.read_tensors(place / b / "weights.safetensors"),
        [layer["name"] for layer in about["layers"] if layer["prunable"]],
    )


def jaccard(one: Any, two: Any, layers: list[str]) -> float:
    both = sum(int(((one[n] != 0) & (two[n] != 0)).sum()) for n in layers)
    either = sum(int(((one[n] != 0) | (two[n] != 0)).sum()) for n in layers)
    return both / either


def test_every_costly_pair_is_a_file(science: Workflow) -> None:
    folder = science / "results/science"
    assert names(folder / "features/digits") == set(MODELS)
    assert names(folder / "features") == {"digits"}
    assert names(folder / "representations/linear_cka/digits") == pair_names(MODELS)
    for measure in SCIENCE["compare"]["weights"]:
        assert names(folder / "weights" / measure) == pair_names(MASKED)
        table = artifacts.read_table(folder / f"weights/{measure}.parquet")
        assert len(table) == 4 * 3 // 2
    assert names(folder / "alignment") == {
        *pair_names(["seed=1", "seed=2"]),
        *("symmetries", "units", "activations"),
    }
    for figure in ("digits_linear_cka", "mask_overlap", "mask_overlap_aligned"):
        assert (folder / f"figures/heatmap_{figure}.svg").is_file()
        assert f"heatmap_{figure}.svg" in (folder / "report.html").read_text()


def test_the_test_set_is_one_more_set_of_images(science: Workflow) -> None:
    folder = science / "results/science"
    assert names(folder / "similarity") == {"digits", ID}
    assert names(folder / "similarity" / ID) == pair_names(MODELS)
    table = artifacts.read_table(folder / f"similarity/{ID}.parquet")
    assert len(table) == 12 * 11 // 2
    assert (table.images == SCIENCE["dataset"]["test"]).all()
    assert (folder / f"figures/heatmap_{ID}_kappa.svg").is_file()


def test_controls_are_compared_with_all_others(science: Workflow) -> None:
    folder = science / "results/science"
    for path in ("similarity/digits.parquet", "representations/linear_cka/digits.parquet"):
        table = artifacts.read_table(folder / path)
        assert {*table.a, *table.b} == set(MODELS)
        states = {model_ids.Model.parse(name).state for name in (*table.a, *table.b)}
        controls = (model_ids.UNTRAINED, model_ids.REORDERED, model_ids.RANDOM)
        assert states == {*model_ids.STATES, *controls}


def test_cka_of_a_pair_is_that_of_its_features(science: Workflow) -> None:
    folder = science / "results/science"
    table = artifacts.read_table(folder / "representations/linear_cka/digits.parquet")
    known = table[table.reason == ""]
    assert len(known) > 20
    for row in known.iloc[:: len(known) // 20].itertuples():
        x, y = (
            artifacts.read_tensors(folder / f"features/digits/{name}.safetensors")["features"]
            for name in (row.a, row.b)
        )
        assert x.shape == (50, 8)
        x, y = (m.astype(np.float64) - m.astype(np.float64).mean(axis=0) for m in (x, y))
        shared = np.linalg.norm(y.T @ x) ** 2
        expected = shared / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))
        assert row.linear_cka == pytest.approx(expected, abs=1e-5)


def test_features_give_the_predictions(science: Workflow) -> None:
    """The last layer, applied to a file of features, gives the logits of the predictions."""
    folder = science / "results/science"
    for name in MODELS:
        seen = artifacts.read_tensors(folder / f"features/digits/{name}.safetensors")["features"]
        weights = artifacts.read_tensors(folder / f"models/{name}/weights.safetensors")
        logits = seen @ weights["body.15.weight"].T / np.sqrt(8) + weights["body.15.bias"]
        table = artifacts.read_table(folder / f"predictions/digits/{name}.parquet")
        found = table.filter(like="logit_").to_numpy()
        np.testing.assert_allclose(found, logits, atol=1e-4 * (1 + np.abs(found).max()))


def test_the_overlap_of_a_pair_is_that_of_its_weights(science: Workflow) -> None:
    folder = science / "results/science"
    a, b = f"seed=1_{RECIPE}_t=0.2", f"seed=2_{RECIPE}_t=0.2"
    one, two, layers = with_masks(science, a, b)
    spec = permutations.read_specification(str(folder / "alignment/symmetries.json"), two)
    order = artifacts.read_tensors(folder / "alignment/seed=1--seed=2.safetensors")
    turned = permutations.apply(two, spec, order)
    for measure, other in (("mask_overlap", two), ("mask_overlap_aligned", turned)):
        table = artifacts.read_table(folder / f"weights/{measure}/{a}--{b}.parquet")
        assert table.layer.tolist() == ["all", *layers]
        assert table.jaccard[0] == pytest.approx(jaccard(one, other, layers), abs=1e-12)
        for row in table[1:].itertuples():
            assert row.jaccard == pytest.approx(jaccard(one, other, [row.layer]), abs=1e-12)
        total = artifacts.read_table(folder / f"weights/{measure}.parquet")
        found = total[(total.a == a) & (total.b == b)].iloc[0]
        assert found.jaccard == table.jaccard[0]
        beyond = (found.jaccard - found.expected) / (found.ceiling - found.expected)
        assert found[measure] == pytest.approx(beyond, abs=1e-12)


def test_bases_without_a_walk_are_compared_at_the_same_densities(science: Workflow) -> None:
    folder = science / "results/science"
    a, b = f"seed=1_{RECIPE}_t=0.2", f"seed=2_{RECIPE}_t=0.2"
    one, two, layers = with_masks(science, a, b)
    bases = [
        artifacts.read_tensors(folder / f"models/seed={seed}/weights.safetensors")
        for seed in (1, 2)
    ]
    cut = []
    for base, pruned in zip(bases, (one, two), strict=True):
        least = {
            n: np.sort(np.abs(base[n]).ravel())[base[n].size - np.count_nonzero(pruned[n])]
            for n in layers
        }
        cut.append({n: np.where(np.abs(base[n]) >= least[n], base[n], 0) for n in layers})
    table = artifacts.read_table(folder / f"weights/mask_overlap/{a}--{b}.parquet")
    assert table.base_jaccard[0] == pytest.approx(jaccard(*cut, layers), abs=1e-12)
    both = [(one[n] != 0) & (two[n] != 0) for n in layers]
    signs = [np.sign(one[n]) == np.sign(two[n]) for n in layers]
    same = sum(int((s & k).sum()) for s, k in zip(signs, both, strict=True))
    assert table.same_sign[0] == pytest.approx(same / sum(int(k.sum()) for k in both), abs=1e-12)
    own = artifacts.read_table(folder / f"weights/mask_overlap/{a}--{a}_random=1.parquet")
    assert own.base_jaccard.isna().all()


def test_the_findings_show_masks_beside_their_controls_and_which_layers_correspond(
    science: Workflow,
) -> None:
    folder = science / "results/science"
    every = artifacts.read_table(folder / "weights/mask_overlap_layers.parquet")
    assert every.layer.nunique() == 8
    found = artifacts.read_json(folder / "findings.json")
    assert set(found["masks"]) == {"mask_overlap", "mask_overlap_aligned"}
    rows = [row for row in found["masks"]["mask_overlap"] if row["layer"] == "all"]
    assert [row["kind"] for row in rows] == ["pruned", "unwalked", "random"]
    pair = every[(every.layer == "all") & every.base_excess.notna()]
    assert rows[1]["excess"] == pytest.approx(pair.base_excess.mean())
    assert {row["measure"] for row in found["inside"]["layer_maps"]} == {"mutual_knn"}
    text = (folder / "findings.md").read_text(encoding="utf-8")
    assert "## Do models of different bases keep the same weights?" in text
    assert "## Which layers of two models correspond?" in text


def test_two_models_of_one_base_are_aligned_as_they_are(science: Workflow) -> None:
    folder = science / "results/science/weights"
    plain = artifacts.read_table(folder / "mask_overlap.parquet")
    aligned = artifacts.read_table(folder / "mask_overlap_aligned.parquet")
    own = plain.a.str.split("_").str[0] == plain.b.str.split("_").str[0]
    assert own.sum() == 2
    assert (plain.jaccard[own] == aligned.jaccard[own]).all()
    assert (plain.jaccard[~own] != aligned.jaccard[~own]).any()


def test_random_controls_share_what_chance_gives(science: Workflow) -> None:
    table = artifacts.read_table(science / "results/science/weights/mask_overlap.parquet")
    random = table[table.a.str.contains("random") & table.b.str.contains("random")]
    assert len(random) == 1
    assert ((random.jaccard - random.expected).abs() < 5 * random.expected_std).all()


@pytest.mark.parametrize(
    ("section", "jobs"),
    [
        (
            {"representations": ["linear_cka", "linear_cka_debiased"]},
            {"compare_features": 66, "representations": 1, "heatmap_of_features": 1},
        ),
        ({"representations": []}, {}),
        ({"weights": ["mask_overlap"]}, {}),
        ({"test_set": False}, {"verdict": 1}),  # answers are given for each set of images
    ],
)
def test_a_measure_is_its_own_targets(
    science: Workflow, section: dict[str, Any], jobs: dict[str, int]
) -> None:
    shown = {"record", "findings", "figures", "report"}
    planned = science.planned(changed(compare=section))
    assert {rule: n for rule, n in planned.items() if rule not in shown} == jobs


def test_a_new_measure_of_masks_trains_and_predicts_nothing(
    science: Workflow, tmp_path: Path
) -> None:
    copied = science.copy(tmp_path / "w")
    folder = copied / "results/science"
    measure = "mask_overlap_aligned"
    # The bases are aligned already, for the lines between them.
    shutil.rmtree(folder / f"weights/{measure}")
    tables = (f"weights/{measure}.parquet", f"weights/{measure}_layers.parquet")
    for path in (*tables, f"figures/heatmap_{measure}.svg"):
        (folder / path).unlink()
    assert copied.planned(SCIENCE) == {
        "compare_masks": 6,
        "weights": 1,
        "heatmap_of_masks": 1,
        "findings": 1,
        "report": 1,
    }


def test_without_two_masks_a_measure_of_masks_is_refused() -> None:
    raw = changed(compare={"states": ["base"]}, controls={"random": []})
    with pytest.raises(ConfigError, match=r"^compare\.weights: found mask_overlap, .*no two prun"):
        load(raw)
    load(changed(compare={"states": ["base"]}))  # random controls have masks


def test_features_are_what_the_last_linear_layer_gets() -> None:
    images = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    for name, width in (("cnn", 8), ("resnet9", 16), ("resnet20", 8), ("speednet", 8)):
        network = build(name, 2, 10, [0.5] * 3, [0.2] * 3).eval()
        found = features.penultimate(network, images, batch_size=4)
        assert found.shape == (7, width)
        # No hook remains, and the layer received exactly these rows.
        assert not any(module._forward_pre_hooks for module in network.modules())
        again = features.penultimate(network, images, batch_size=7)
        torch.testing.assert_close(found, again, rtol=1e-4, atol=1e-4)
    without_linear = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 10, 1), nn.AdaptiveAvgPool2d(1))
    found = features.penultimate(without_linear, images.float())
    torch.testing.assert_close(found, images.float().mean((2, 3)))
    with pytest.raises(
        ConfigError, match=r"^compare\.representations: .* but the network runs nei"
    ):
        features.penultimate(nn.Sequential(nn.Flatten()), images)


def test_the_last_layer_of_each_stage_is_compared() -> None:
    """Behind the activation function, or the sum of a residual block, before the size changes."""
    images = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    for name, ends, widths in (
        ("cnn", ["body.3", "body.8", "body.14"], [2, 4, 8]),
        ("resnet9", ["body.1.2", "body.3.2", "body.4.2", "body.5"], [4, 8, 16, 16]),
        ("resnet20", ["body.5", "body.8", "body.11"], [2, 4, 8]),
        ("speednet", [f"body.groups{k}" for k in (".0", ".1", ".2", "")], [24, 2, 8, 8]),
    ):
        network = build(name, 2, 10, [0.5] * 3, [0.2] * 3).eval()
        assert layers.chosen(network, None) == ends
        found = layers.activations(network, images, ends, batch_size=4)
        assert [tuple(found[end].shape) for end in ends] == [(7, width) for width in widths]
        assert not any(module._forward_hooks for module in network.modules())
    # The last one is what the last linear layer gets.
    network = build("cnn", 2, 10, [0.5] * 3, [0.2] * 3).eval()
    found = layers.activations(network, images, ["body.0", "body.14"])
    torch.testing.assert_close(found["body.14"], features.penultimate(network, images))
    with torch.no_grad():
        by_hand = network[1][0](network[0](images.float())).mean((2, 3))
    torch.testing.assert_close(found["body.0"], by_hand)


def test_a_module_that_runs_twice_is_not_a_layer() -> None:
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3)
            self.relu, self.flat, self.head = nn.ReLU(), nn.Flatten(), nn.Linear(8 * 28 * 28, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.relu(self.two(self.relu(self.one(x.float()))))
            found: torch.Tensor = self.head(self.flat(x))
            return found

    network = nn.Sequential()
    network.add_module("body", Reused())
    with pytest.raises(ConfigError) as error:
        layers.chosen(network, ["body.one", "body.relu"])
    assert str(error.value) == (
        "inspect.layer_names[1]: found 'body.relu'; allowed: body.one, body.two, body.flat (the "
        "layers of the network up to the one that runs last)."
    )
    assert layers.chosen(network, ["body.two"]) == ["body.two"]


def test_maps_of_layers_are_those_of_their_activations(science: Workflow) -> None:
    folder = science / "results/science"
    bases = ["seed=1", "seed=2"]
    variants = [f"{base}_{RECIPE}_t=0.2" for base in bases]
    assert names(folder / "layers/digits") == {*bases, *variants}
    assert names(folder / "layer_maps/mutual_knn/digits") == {
        f"{a}--{b}" for a, b in (bases, variants, *zip(bases, variants, strict=True))
    }
    kept = {
        name: artifacts.read_tensors(folder / f"layers/digits/{name}.safetensors")
        for name in (*bases, *variants)
    }
    assert list(kept["seed=1"]) == ["000/body.3", "001/body.8", "002/body.14"]
    seen = artifacts.read_tensors(folder / "features/digits/seed=1.safetensors")["features"]
    np.testing.assert_array_equal(kept["seed=1"]["002/body.14"], seen)
    table = artifacts.read_table(folder / "layer_maps/mutual_knn/digits/seed=1--seed=2.parquet")
    assert len(table) == 9
    for row in table[table.reason == ""].itertuples():
        x, y = (
            next(kept[name][key] for key in kept[name] if key.endswith(f"/{layer}"))
            for name, layer in (("seed=1", row.layer_a), ("seed=2", row.layer_b))
        )
        expected = representations.similarity(x, y, "mutual_knn")
        assert row.value == pytest.approx(expected, abs=1e-12)
        assert 0.01 <= row.p <= 1
    page = (folder / "report.html").read_text()
    assert "layers_digits_mutual_knn.svg" in page


def test_features_that_do_not_go_together_are_refused_in_a_sentence(tmp_path: Path) -> None:
    a, b, flat, out = (str(tmp_path / f"{n}.safetensors") for n in ("a", "b", "flat", "out"))
    artifacts.write_tensors(a, {"features": np.eye(5, dtype=np.float32)})
    artifacts.write_tensors(b, {"features": np.eye(6, dtype=np.float32)})
    artifacts.write_tensors(flat, {"features": np.ones(5, dtype=np.float32)})
    for one, two, message in (
        (a, b, "not on the same images"),
        (a, flat, "holds no matrix of features"),
        (a, str(tmp_path / "none"), "does not exist"),
    ):
        with pytest.raises(ArtifactError, match=message):
            representations.compare_representations_stage(
                a=one,
                b=two,
                pair=out,
                representation="linear_cka",
                ood="digits",
                models=["a", "b"],
            )
