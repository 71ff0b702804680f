import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shuffled import inverse, random_permutations, specification_of, symmetries_of

from skeletons.alignment import permutations
from skeletons.errors import ArtifactError
from skeletons.measures import magnitude_masks, masks
from skeletons.store import artifacts


def model(*kept: tuple[int, int], seed: int = 0) -> dict[str, artifacts.Array]:
    """Layers of `size` weights of which `k` random ones are not zero."""
    draw = np.random.default_rng(seed)
    tensors = {}
    for number, (size, count) in enumerate(kept):
        weights = np.zeros(size, dtype=np.float32)
        weights[draw.permutation(size)[:count]] = 1
        tensors[f"layer{number}"] = weights
    return tensors


@pytest.mark.parametrize(
    ("size", "a", "b"), [(6, 2, 3), (7, 5, 4), (5, 5, 2), (6, 0, 3), (4, 1, 1)]
)
def test_chance_is_counted_right_where_all_masks_can_be_tried(size: int, a: int, b: int) -> None:
    first = set(range(a))
    shared = [len(first & set(c)) for c in itertools.combinations(range(size), b)]
    low, probabilities = masks.chance(size, a, b)
    for number in range(size + 1):
        inside = 0 <= number - low < len(probabilities)
        got = probabilities[number - low] if inside else 0.0
        assert got == pytest.approx(shared.count(number) / len(shared), abs=1e-12)


def test_chance_agrees_with_scipy_on_large_layers() -> None:
    from scipy.stats import hypergeom

    for size, a, b in ((1_000_000, 300_000, 50_000), (200_000, 10, 150_000), (50_000, 40_000, 300)):
        low, probabilities = masks.chance(size, a, b)
        known = hypergeom(size, a, b).pmf(low + np.arange(len(probabilities)))
        np.testing.assert_allclose(probabilities, known, atol=1e-10)
        assert known.sum() == pytest.approx(1, abs=1e-9)


def test_expectation_and_deviation_agree_with_simulation() -> None:
    kept = ((40, 10), (100, 60), (300, 15))
    others = ((40, 30), (100, 20), (300, 40))
    table = masks.overlap_of(model(*kept), model(*others), [f"layer{k}" for k in range(3)])
    row = table.iloc[0]
    drawn = []
    for seed in range(2000):
        a, b = model(*kept, seed=2 * seed), model(*others, seed=2 * seed + 1)
        both = sum(int(((a[n] != 0) & (b[n] != 0)).sum()) for n in a)
        drawn.append(both / (85 + 90 - both))
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert abs(np.mean(drawn) - row.expected) < 4 * error
    assert np.std(drawn) == pytest.approx(row.expected_std, rel=0.08)
    # a ratio of expectations would differ, because the ratio is not linear
    mean = 40 * 0.25 * 0.75 + 100 * 0.6 * 0.2 + 300 * 0.05 * 40 / 300
    assert row.expected > mean / (175 - mean)


def test_overlaps_that_are_known() -> None:
    a = model((50, 20), (80, 8))
    names = ["layer0", "layer1"]
    same = masks.overlap_of(a, a, names)
    assert same.layer.tolist() == ["all", *names]
    assert (same.jaccard == 1).all()
    assert same.excess.to_numpy() == pytest.approx(np.ones(3))
    apart = {n: (w == 0).astype(np.float32) for n, w in a.items()}
    none = masks.overlap_of(a, apart, names)
    assert (none.jaccard == 0).all()
    assert (none.excess < 0).all()
    within = {n: w.copy() for n, w in a.items()}
    within["layer0"][np.flatnonzero(within["layer0"])[:10]] = 0
    part = masks.overlap_of(a, within, names).iloc[1]
    assert part.jaccard == part.ceiling == 0.5
    assert part.excess == pytest.approx(1)
    assert (
        masks.overlap_of(a, within, names)[["kept_a", "kept_b", "both"]].iloc[0] == [28, 18, 18]
    ).all()


def test_independent_masks_have_no_excess_on_average() -> None:
    names = ["layer0", "layer1"]
    excess = [
        masks.overlap_of(
            model((60, 20), (90, 30), seed=2 * s), model((60, 30), (90, 9), seed=2 * s + 1), names
        ).excess.iloc[0]
        for s in range(300)
    ]
    assert abs(np.mean(excess)) < 4 * np.std(excess) / np.sqrt(300)


def test_what_cannot_be_said_is_nan_with_a_reason() -> None:
    empty, some, full = model((9, 0)), model((9, 4)), model((9, 9))
    nothing = masks.overlap_of(empty, empty, ["layer0"]).iloc[0]
    assert np.isnan(nothing[["jaccard", "expected", "excess"]].to_numpy(float)).all()
    assert nothing.reason == "both masks are empty"
    for one, two, jaccard in ((empty, some, 0), (full, some, 4 / 9), (full, full, 1)):
        row = masks.overlap_of(one, two, ["layer0"]).iloc[0]
        assert row.jaccard == row.expected == jaccard
        assert np.isnan(row.excess)
        assert row.reason == "masks of these sizes overlap in one way only"
    with pytest.raises(ValueError, match="differ at 'layer1'"):
        masks.overlap_of(some, some, ["layer1"])


def test_signs_of_shared_weights_are_compared_with_independent_signs() -> None:
    a = {"x": np.array([1.0, -2, 3, -4, 0, 5]), "y": np.array([1.0, 1, 0, 1])}
    b = {"x": np.array([2.0, 1, 1, -1, 7, 0]), "y": np.array([-1.0, -1, 3, 0])}
    table = masks.with_signs(masks.overlap_of(a, b, a), a, b, a)
    # x: four shared weights, three with one sign; a has 2 of 4 positive, b has 3 of 4.
    # y: two shared weights, none with one sign; all of a are positive and none of b.
    assert table.same_sign.tolist() == [3 / 6, 3 / 4, 0]
    assert table.same_sign_expected.tolist() == pytest.approx([2 / 6, 0.5, 0])
    apart = {"x": np.zeros(6), "y": np.zeros(4)}
    none = masks.with_signs(masks.overlap_of(a, apart, a), a, apart, a)
    assert none.same_sign.isna().all()
    assert none.same_sign_expected.isna().all()


def test_independent_signs_agree_as_often_as_expected() -> None:
    draw = np.random.default_rng(3)
    a, b = ({"x": draw.normal(0.5, 1, 40_000)} for _ in range(2))
    row = masks.with_signs(masks.overlap_of(a, b, a), a, b, a).iloc[0]
    assert row.same_sign == pytest.approx(row.same_sign_expected, abs=0.01)
    assert row.same_sign_expected > 0.55  # both lean to positive weights


@pytest.mark.parametrize("kept", [0, 1, 3, 6])
def test_the_largest_weights_are_kept(kept: int) -> None:
    weights = np.array([[1.0, -3, 2], [-2, 0.5, 2]])
    found = magnitude_masks.largest(weights, kept)
    first = [(0, 1), (0, 2), (1, 0), (1, 2), (0, 0), (1, 1)][:kept]  # of equal ones, the first
    assert set(zip(*np.nonzero(found), strict=True)) == set(first)
    assert all(found[at] == weights[at] for at in first)


def test_bases_without_a_walk_keep_as_many_weights_in_each_layer() -> None:
    draw = np.random.default_rng(0)
    bases = [{n: draw.normal(size=200) for n in ("x", "y")} for _ in range(2)]
    pruned = [model((200, 50), (200, 20), seed=s) for s in (1, 2)]
    pruned = [dict(zip(("x", "y"), one.values(), strict=True)) for one in pruned]
    names = ["x", "y"]
    table = masks.with_unwalked(
        masks.overlap_of(*pruned, names), *pruned, (bases[0], bases[0]), names
    )
    assert (table.base_jaccard == 1).all()
    assert (table.base_same_sign == 1).all()
    table = masks.with_unwalked(masks.overlap_of(*pruned, names), *pruned, tuple(bases), names)
    by_hand = []
    for name, kept in (("x", 50), ("y", 20)):
        one, two = (set(np.argsort(-np.abs(base[name]))[:kept]) for base in bases)
        by_hand.append(len(one & two) / len(one | two))
    assert table.base_jaccard[1:].tolist() == by_hand
    none = masks.with_unwalked(table, *pruned, None, names)
    assert none.base_excess.isna().all()


def test_the_stage_aligns_before_it_compares(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    shapes = {"weight": [(6, 3, 3, 3), (6, 6, 3, 3), (12, 6, 3, 3), (12, 12, 3, 3)]}
    numbers = (0, 2, 5, 7, 11, 13, 15)
    all_shapes = [*shapes["weight"], (24, 768), (24, 24), (5, 24)]
    tensors = {}
    for number, shape in zip(numbers, all_shapes, strict=True):
        weights = draw.normal(size=shape)
        tensors[f"body.{number}.weight"] = np.where(np.abs(weights) > 1, weights, 0)
        tensors[f"body.{number}.bias"] = draw.normal(size=shape[0])
    spec = specification_of("cnn", 6)
    shuffled = random_permutations(spec, 1)
    a, b, about, p, out = (str(tmp_path / n) for n in ("a", "b", "m.json", "p", "o.parquet"))
    artifacts.write_tensors(a, tensors)
    artifacts.write_tensors(b, permutations.apply(tensors, spec, shuffled))
    artifacts.write_tensors(p, inverse(shuffled))
    layers = [{"name": f"body.{n}.weight", "prunable": n != 15} for n in numbers]
    artifacts.write_json(about, {"layers": layers})
    units = str(tmp_path / "symmetries.json")
    artifacts.write_json(units, symmetries_of("cnn", 6))
    given: dict[str, Any] = {"a": a, "b": b, "summary": about, "models": ["one", "two"]}
    given["pair"] = out
    masks.compare_masks_stage(**given)
    naive = artifacts.read_table(out)
    assert naive.layer.tolist() == ["all", *(f"body.{n}.weight" for n in numbers[:-1])]
    assert abs(naive.excess[0]) < 0.1
    assert naive.base_excess.isna().all()
    masks.compare_masks_stage(**given, base_a=a, base_b=b, matched=p, symmetries=units)
    aligned = artifacts.read_table(out)
    assert (aligned[["jaccard", "same_sign", "base_jaccard", "base_same_sign"]] == 1).all(axis=None)
    artifacts.write_tensors(b, {**tensors, "body.0.weight": np.zeros((5, 3, 3, 3))})
    with pytest.raises(ArtifactError, match=r"a and .*b cannot be compared: .*'body\.0\.weight'"):
        masks.compare_masks_stage(**given)
