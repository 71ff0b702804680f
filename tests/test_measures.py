from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from sklearn.neighbors import NearestNeighbors

from skeletons.errors import ArtifactError
from skeletons.marked import marks, renewed
from skeletons.measures import (
    behaviour,
    catalogue,
    layers,
    masks,
    neighbours,
    permuted,
    representations,
)
from skeletons.measures.measure import by_name
from skeletons.store import artifacts

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"
BEGIN, END = marks(catalogue.MARKED)


def test_the_documentation_is_what_the_measures_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page, catalogue.MARKED, catalogue.markdown_table()), (
        "run `make measures`"
    )


def test_the_table_is_renewed_in_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    catalogue.main(str(page))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "\nold\n" not in text
    assert all(f"| `{name}` |" in text for name in catalogue.MEASURES)


@pytest.mark.parametrize("text", ["", BEGIN, f"{END}\n{BEGIN}"])
def test_a_page_without_a_place_for_the_table_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    with pytest.raises(ArtifactError, match="no place for the table"):
        catalogue.main(str(page))
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(ArtifactError, match="does not exist"):
        catalogue.main(str(tmp_path / "other.md"))


def test_every_measure_says_all_there_is_to_say() -> None:
    for name, measure in catalogue.MEASURES.items():
        assert name == measure.name
        assert measure.low < measure.high
        assert measure.itself in (measure.low, measure.high)
        assert all([measure.label, measure.invariant_to, measure.blind_to, measure.source])
    with pytest.raises(ValueError, match="same name"):
        by_name(*behaviour.DECLARED, catalogue.MEASURES["agreement"])


def test_what_every_pair_has_is_cheap_and_the_rest_is_not() -> None:
    assert all(measure.cheap for measure in behaviour.DECLARED)
    costly = (*representations.DECLARED, *masks.DECLARED)
    assert not any(measure.cheap for measure in costly)


def activations(seed: int, images: int = 60, width: int = 8) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(images, width)) * rng.uniform(0.2, 3, width) + rng.normal(size=width)


def by_kernels(x: Any, y: Any) -> float:
    """CKA from the definition: kernels, centred on both sides, and traces."""
    n = len(x)
    centre = np.eye(n) - np.ones((n, n)) / n
    kx, ky = (centre @ m @ m.T @ centre for m in (x, y))
    return float(np.trace(kx @ ky) / np.sqrt(np.trace(kx @ kx) * np.trace(ky @ ky)))


def unbiased_hsic(x: Any, y: Any) -> float:
    """Song et al. 2012, equation 4, term by term."""
    n = len(x)
    kx, ky = x @ x.T, y @ y.T
    np.fill_diagonal(kx, 0)
    np.fill_diagonal(ky, 0)
    one = np.ones(n)
    total = np.trace(kx @ ky) + (one @ kx @ one) * (one @ ky @ one) / ((n - 1) * (n - 2))
    return float((total - 2 / (n - 2) * (one @ kx @ ky @ one)) / (n * (n - 3)))


@pytest.mark.parametrize("widths", [(8, 8), (8, 5), (100, 90), (8, 100)])
def test_cka_agrees_with_its_definition(widths: tuple[int, int]) -> None:
    x, y = activations(0, width=widths[0]), activations(1, width=widths[1])
    y[:, :3] += x[:, :3]
    assert representations.linear_cka(x, y) == pytest.approx(by_kernels(x, y), abs=1e-9)
    expected = unbiased_hsic(x, y) / np.sqrt(unbiased_hsic(x, x) * unbiased_hsic(y, y))
    assert representations.linear_cka(x, y, debiased=True) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", [measure.name for measure in representations.DECLARED])
def test_cka_does_not_change_with_what_it_says(name: str) -> None:
    values = catalogue.MEASURES[name].values
    x, y = activations(2), activations(3, width=12)
    y[:, :8] += x
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(8, 8)))[0]
    plain = values(x, y)
    for changed in (x @ turn, x[:, ::-1], x * 1e-30, x * 1e30, x + np.arange(8)):
        assert values(changed, y) == pytest.approx(plain, abs=1e-9)
        assert values(changed, x) == pytest.approx(1, abs=1e-9)
    assert values(y, x) == pytest.approx(plain, abs=1e-12)
    assert values(x.astype(np.float32), y) == pytest.approx(plain, abs=1e-5)
    assert abs(values(x * np.arange(1, 9), y) - plain) > 1e-3  # not to any linear map


def test_cka_of_unrelated_activations_is_biased_and_its_debiased_twin_is_not() -> None:
    pairs = [
        [np.random.default_rng(seed).normal(size=(50, 40)) for seed in (2 * k, 2 * k + 1)]
        for k in range(40)
    ]
    plain = np.mean([representations.linear_cka(x, y) for x, y in pairs])
    debiased = np.mean([representations.linear_cka(x, y, debiased=True) for x, y in pairs])
    assert plain == pytest.approx(40 / (50 + 40), abs=0.03)
    assert abs(debiased) < 0.03


def test_activations_that_say_nothing_are_like_nothing() -> None:
    x = activations(5)
    still = np.tile(activations(6, images=1), (60, 1)).astype(np.float32)
    for a, b, reason in [
        (still, x, "a sees every image alike"),
        (x, np.zeros_like(x), "b sees every image alike"),
        (still, np.zeros_like(x), "a and b see every image alike"),
        (x[:1], x[:1], "1 image is too few"),
        (x[:, :0], x, "a sees every image alike"),
    ]:
        row = representations.compare(a, b)
        assert (row["valid"], row["reason"]) == (False, reason)
        assert np.isnan([row[measure.name] for measure in representations.DECLARED]).all()
    assert representations.compare(x, x)["linear_cka"] == pytest.approx(1)


def test_images_all_equally_far_apart_leave_nothing_without_the_bias() -> None:
    x, y = np.eye(6), activations(8, images=6)
    assert representations.why_not(x, y) == ""
    assert "nothing is left" in representations.why_not(x, y, "linear_cka_debiased")
    assert np.isnan(representations.linear_cka(x, y, debiased=True))


def test_activations_that_do_not_go_together_are_refused() -> None:
    x = activations(7)
    with pytest.raises(ValueError, match="not on the same images"):
        representations.compare(x, x[1:])
    with pytest.raises(ValueError, match="not finite"):
        representations.compare(x, np.where(x > 2, np.nan, x))


# --- other families -------------------------------------------------------------------------------


def unit(x: Any) -> Any:
    x = x - x.mean(axis=0)
    return x / np.linalg.norm(x)


@pytest.mark.parametrize(("width", "images"), [(8, 60), (20, 60), (90, 60)])
def test_procrustes_agrees_with_scipy(width: int, images: int) -> None:
    x, y = activations(0, images, width), activations(1, images, width)
    y[:, :3] += 2 * x[:, :3]
    rotation, shared = orthogonal_procrustes(unit(y), unit(x))  # the sum of the singular values
    found = representations.similarity(x, y, "procrustes")
    assert found == pytest.approx(shared, abs=1e-9)
    distance = np.linalg.norm(unit(x) - unit(y) @ rotation)
    assert found == pytest.approx(1 - distance**2 / 2, abs=1e-9)


def test_procrustes_of_other_widths_fills_up_with_zeros() -> None:
    x, y = activations(0, width=5), activations(1, width=9)
    y[:, :5] += x
    padded = np.pad(x, ((0, 0), (0, 4)))
    assert representations.similarity(x, y, "procrustes") == pytest.approx(
        representations.similarity(padded, y, "procrustes"), abs=1e-9
    )


def test_neighbours_agree_with_scikit_learn() -> None:
    x, y = activations(0, images=80), activations(1, images=80)
    y[:, :6] += 2 * x[:, :6]
    near = [
        NearestNeighbors(n_neighbors=neighbours.K + 1).fit(m).kneighbors(m)[1][:, 1:]
        for m in (x, y)
    ]
    shared = [len({*a} & {*b}) / neighbours.K for a, b in zip(*near, strict=True)]
    assert representations.similarity(x, y, "mutual_knn") == pytest.approx(np.mean(shared))


def test_an_order_of_images_is_that_of_the_activations() -> None:
    """What is computed from prepared activations is what the shuffled activations give."""
    x, y = activations(2, images=40), activations(3, images=40, width=12)
    y[:, :8] += x
    order = np.random.default_rng(0).permutation(40)
    for name, family in representations.FAMILIES.items():
        found = family.value(family.prepare(x), family.prepare(y), order)
        assert found == pytest.approx(representations.similarity(x, y[order], name), abs=1e-9)


@pytest.mark.parametrize("name", representations.FAMILIES)
def test_scores_are_zero_for_unrelated_activations_and_one_for_the_same(name: str) -> None:
    unrelated = [
        representations.calibrated(
            activations(2 * k, width=30), activations(2 * k + 1, width=30), name, 99
        )
        for k in range(20)
    ]
    scores = [row[f"{name}_score"] for row in unrelated]
    assert abs(np.mean(scores)) < 0.03
    assert 0.2 < np.mean([row[f"{name}_p"] for row in unrelated]) < 0.8
    x = activations(50, width=30)
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(30, 30)))[0]
    same = representations.calibrated(x, 3 * x @ turn + 1, name, 99)
    assert same[name] == pytest.approx(1, abs=1e-9)
    assert same[f"{name}_score"] == pytest.approx(1, abs=1e-9)
    assert same[f"{name}_p"] == 0.01
    half = x + activations(51, width=30)
    found = representations.calibrated(x, half, name, 99)
    assert 0.05 < found[f"{name}_score"] < 0.95
    assert found[f"{name}_p"] == 0.01
    assert found[name] == representations.similarity(x, half, name)


def test_plain_similarities_of_unrelated_wide_layers_are_not_zero() -> None:
    """Why scores are needed."""
    x, y = activations(0, width=50), activations(1, width=50)
    row = representations.calibrated(x, y, "procrustes", 99)
    assert row["procrustes"] > 0.5
    assert row["procrustes_null"] == pytest.approx(row["procrustes"], abs=0.03)


def test_without_shuffles_there_is_the_value_alone() -> None:
    x, y = activations(0), activations(1)
    found = representations.calibrated(x, y, "linear_cka", 0)
    assert found == {"linear_cka": representations.linear_cka(x, y)}
    still = representations.calibrated(np.ones_like(x), y, "procrustes", 9)
    fields = (f"procrustes_{k}" for k in ("null", "null_std", "score", "p"))
    assert set(still) == {"procrustes", *fields}
    assert np.isnan(list(still.values())).all()


def test_shuffles_are_always_the_same() -> None:
    one, other = permuted.orders(50, 3), permuted.orders(50, 5)
    assert all((a == b).all() for a, b in zip(one, other, strict=False))


def test_few_images_have_no_neighbours() -> None:
    x = activations(0, images=10)
    assert representations.why_not(x, x, "mutual_knn") == "10 images are too few"
    with pytest.raises(ValueError, match="10 images have no 10 neighbours"):
        neighbours.prepare(x)


# --- layers ---------------------------------------------------------------------------------------


def test_a_map_of_layers_finds_the_layers_that_are_shared() -> None:
    first, second, other = (activations(k, images=80, width=12) for k in range(3))
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(12, 12)))[0]
    a = {"early": first, "late": second}
    b = {"early": first @ turn, "middle": other, "late": second @ turn, "still": np.ones((80, 4))}
    for name in representations.FAMILIES:
        table = layers.layer_map(a, b, name, 99)
        assert list(table.columns) == list(layers.COLUMNS)
        assert len(table) == 8
        for row in table.itertuples():
            if row.layer_b == "still":
                assert np.isnan(row.score)
                assert row.reason == "b sees every image alike"
                continue
            expected = representations.similarity(a[row.layer_a], b[row.layer_b], name)
            assert row.value == pytest.approx(expected, abs=1e-12)
            assert (row.score > 0.99) == (row.layer_a == row.layer_b)
        rows, columns, scores, above = layers.mean_map([table, table])
        assert (rows, columns) == (["early", "late"], ["early", "middle", "late", "still"])
        assert scores[0, 0] == pytest.approx(1)
        assert above[0, 0] == 1
        assert np.isnan(scores[:, 3]).all()


def test_layers_are_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "layers.safetensors"
    names = [f"{k:03d}/body.{12 - k}" for k in range(12)]
    tensors = {n: np.full((15, 3), k, np.float32) for k, n in enumerate(names)}
    artifacts.write_tensors(path, tensors)
    assert list(layers.read(str(path))) == [f"body.{12 - k}" for k in range(12)]
    artifacts.write_tensors(path, {"000/x": np.zeros(5, np.float32)})
    with pytest.raises(ArtifactError, match="holds no matrices of activations"):
        layers.read(str(path))
