from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skeletons.errors import ArtifactError
from skeletons.measures import behaviour, catalogue, masks, representations
from skeletons.measures.measure import by_name

PAGE = Path(__file__).parents[1] / "docs" / "measures.md"


def test_the_documentation_is_what_the_measures_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == catalogue.renewed(page), "run `make measures`"


def test_the_table_is_renewed_in_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{catalogue.START}\nold\n{catalogue.END}\nafter\n", encoding="utf-8")
    catalogue.main(str(page))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "\nold\n" not in text
    assert all(f"| `{name}` |" in text for name in catalogue.MEASURES)


@pytest.mark.parametrize("text", ["", catalogue.START, f"{catalogue.END}\n{catalogue.START}"])
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
    assert "nothing is left" in representations.why_not(x, y, debiased=True)
    assert np.isnan(representations.linear_cka(x, y, debiased=True))


def test_activations_that_do_not_go_together_are_refused() -> None:
    x = activations(7)
    with pytest.raises(ValueError, match="not on the same images"):
        representations.compare(x, x[1:])
    with pytest.raises(ValueError, match="not finite"):
        representations.compare(x, np.where(x > 2, np.nan, x))
