from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skeletons import pruning
from skeletons.store import artifacts

weights = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 8), st.integers(1, 8)), elements=st.floats(-2, 2, width=32)
)
thresholds = st.floats(0, 3)
scales = st.sampled_from(("absolute", "layer_rms"))
LAYERS: list[dict[str, Any]] = [
    {"name": "a", "flops": 800, "prunable": True},
    {"name": "b", "flops": 40, "prunable": True},
    {"name": "fixed", "flops": 7, "prunable": False},
]


def tensors(seed: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    shapes = {"a": (8, 5), "b": (4, 5), "fixed": (3, 3), "a.bias": (8,)}
    return {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@given(weights, thresholds, thresholds, scales)
def test_masks_nest_as_the_threshold_grows(w: Any, s: float, t: float, scale: str) -> None:
    low, high = sorted((s, t))
    assert not (pruning.mask(w, high, scale) & ~pruning.mask(w, low, scale)).any()


@given(weights, thresholds, scales)
def test_pruning_twice_is_pruning_once(w: Any, t: float, scale: str) -> None:
    once = np.where(pruning.mask(w, t, "absolute"), w, np.float32(0))
    assert np.array_equal(np.where(pruning.mask(once, t, "absolute"), once, np.float32(0)), once)


@given(weights, thresholds, st.sampled_from([0.25, 2.0, 64.0]))
def test_the_layer_rms_scale_knows_no_units(w: Any, t: float, factor: float) -> None:
    if np.abs(w[w != 0]).min(initial=1) < 1e-30:
        return  # too small to scale exactly
    scaled = pruning.mask(w * np.float32(factor), t, "layer_rms")
    assert np.array_equal(pruning.mask(w, t, "layer_rms"), scaled)


def test_a_weight_at_the_threshold_survives() -> None:
    w = np.array([0.05, -0.05, np.nextafter(np.float32(0.05), np.float32(0))], dtype=np.float32)
    assert pruning.mask(w, 0.05).tolist() == [True, True, False]


def test_pruned_weights_are_zero_and_the_others_untouched() -> None:
    before = tensors()
    after, report = pruning.prune(before, LAYERS, 0.7, "absolute")
    for name in ("a", "b"):
        gone = np.abs(before[name]) < 0.7
        assert (after[name][gone] == 0).all()
        assert np.array_equal(after[name][~gone], before[name][~gone])
    for name in ("fixed", "a.bias"):
        assert np.array_equal(after[name], before[name])
    kept = sum(int((after[name] != 0).sum()) for name in ("a", "b"))
    assert report["kept"] == kept
    assert report["size"] == 60
    assert report["sparsity"] == pytest.approx(1 - kept / 60)
    assert report["flops"] == sum(row["flops"] for row in report["layers"]) + 7
    assert not report["dead"]


def test_an_emptied_layer_is_called_dead_and_named() -> None:
    given_tensors = tensors()
    given_tensors["b"] *= np.float32(0.01)
    _, report = pruning.prune(given_tensors, LAYERS, 0.5, "absolute")
    assert report["dead"]
    assert report["dead_reason"] == "no weight is left in b"


def test_controls_of_two_bases_are_independent_draws() -> None:
    """Even if the two are alike; otherwise their masks would overlap more than by chance."""
    tensors = {"a": np.ones((50, 40), np.float32), "b": np.ones(1000, np.float32)}
    layers = [
        {"name": name, "shape": list(w.shape), "flops": 1, "prunable": True}
        for name, w in tensors.items()
    ]
    like = {
        "threshold": 0.2,
        "scale": "absolute",
        "layers": [{"name": "a", "kept": 1000}, {"name": "b", "kept": 100}],
    }
    recipe = "l1=0.0001_ep=1_t=0.2_random=1"
    one, two, again = (
        pruning.prune_at_random(tensors, layers, like, f"seed={seed}_{recipe}")
        for seed in (1, 2, 1)
    )
    assert [row["kept"] for row in one[1]["layers"]] == [1000, 100]
    both = {name: int((one[0][name] * two[0][name]).sum()) for name in tensors}
    assert both["a"] == pytest.approx(500, abs=5 * np.sqrt(2000 / 16))
    assert both["b"] == pytest.approx(10, abs=5 * np.sqrt(1000 * 0.01))
    assert all(np.array_equal(one[0][name], again[0][name]) for name in tensors)


def test_a_control_is_drawn_from_its_id(tmp_path: Path) -> None:
    before = tensors()
    layers = [layer | {"shape": list(before[layer["name"]].shape)} for layer in LAYERS]
    _, like = pruning.prune(before, layers, 0.7, "absolute")
    paths = {name: str(tmp_path / f"{name}.json") for name in ("summary", "like", "sparsity")} | {
        name: str(tmp_path / f"{name}.safetensors") for name in ("regularized", "weights")
    }
    artifacts.write_tensors(paths["regularized"], before)
    artifacts.write_json(paths["summary"], {"layers": layers})
    artifacts.write_json(paths["like"], like)
    pruning.random_stage(**paths, name="seed=3_l1=0.0001_ep=2_t=0.7_random=1")
    drawn, report = pruning.prune_at_random(
        before, layers, like, "seed=3_l1=0.0001_ep=2_t=0.7_random=1"
    )
    found = artifacts.read_tensors(paths["weights"])
    assert all(np.array_equal(found[name], drawn[name]) for name in before)
    assert artifacts.read_json(paths["sparsity"]) == report
