import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from skeletons.findings import seed_pairs


def sums(effects: Any) -> Any:
    """All pairs of seeds whose values are sums of two effects."""
    return np.array([a + b for a, b in itertools.combinations(effects, 2)])


def noisy(seed: int, count: int, of_seeds: float = 1.0, of_pairs: float = 0.0) -> Any:
    rng = np.random.default_rng(seed)
    values = sums(rng.normal(size=count) * of_seeds)
    return values + rng.normal(size=len(values)) * of_pairs


def without(values: Any, left_out: int, count: int) -> float:
    pairs = list(itertools.combinations(range(count), 2))
    return float(np.mean([v for v, p in zip(values, pairs, strict=True) if left_out not in p]))


@given(hnp.arrays(np.float64, 10, elements=st.floats(-5, 5)))
def test_pseudo_values_are_what_leaving_one_out_gives(values: Any) -> None:
    by_hand = [5 * values.mean() - 4 * without(values, k, 5) for k in range(5)]
    assert seed_pairs.pseudo_values(values) == pytest.approx(by_hand, abs=1e-9)
    assert seed_pairs.pseudo_values(values).mean() == pytest.approx(values.mean(), abs=1e-9)


def test_pseudo_values_of_sums_are_twice_the_effects() -> None:
    effects = np.array([0.1, -2.0, 0.7, 5.0])
    assert seed_pairs.pseudo_values(sums(effects)) == pytest.approx(2 * effects)
    assert np.isnan(seed_pairs.pseudo_values(np.array([0.3]))).all()
    with pytest.raises(ValueError, match="4 is not the number of pairs"):
        seed_pairs.pseudo_values(np.zeros(4))


def test_the_interval_is_student_s_of_the_effects() -> None:
    effects = np.array([0.1, -2.0, 0.7, 5.0, 1.0])
    expected = stats.ttest_1samp(2 * effects, 0).confidence_interval(0.9)
    assert seed_pairs.interval(sums(effects), 0.1) == pytest.approx(tuple(expected))
    assert seed_pairs.mean_interval(2 * effects, 0.1) == pytest.approx(tuple(expected))
    assert np.isnan(seed_pairs.interval(np.array([0.3]))).all()


def covered(count: int, runs: int, of_seeds: float, of_pairs: float) -> int:
    ends = [seed_pairs.interval(noisy(k, count, of_seeds, of_pairs)) for k in range(runs)]
    return sum(low < 0 < high for low, high in ends)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_intervals_cover_the_truth_as_often_as_they_say(count: int) -> None:
    runs = 400
    least, most = stats.binom.ppf([0.001, 0.999], runs, 0.95)
    assert least <= covered(count, runs, 1.0, 0.0) <= most
    assert covered(count, runs, 0.0, 1.0) >= least  # too wide rather than too narrow
    assert covered(count, runs, 1.0, 1.0) >= least


def test_images_are_a_second_sample() -> None:
    rng = np.random.default_rng(0)
    few, many = (noisy(1, 6)[:, None] + rng.normal(size=(1, k)) for k in (5, 5000))
    for values in (few, many):
        seeds = seed_pairs.pseudo_values(values.mean(axis=1)).var(ddof=1) / 6
        images = values.mean(axis=0).var(ddof=1) / values.shape[1]
        assert seed_pairs.standard_error(values) ** 2 == pytest.approx(seeds + images)
    assert seed_pairs.standard_error(many) == pytest.approx(
        seed_pairs.standard_error(noisy(1, 6)), rel=0.01
    )
    assert seed_pairs.standard_error(few) > seed_pairs.standard_error(many)


# --- tests --------------------------------------------------------------------------------------


@given(hnp.arrays(np.float64, st.integers(1, 7), elements=st.floats(-3, 3)))
def test_sign_flips_are_counted_one_by_one(values: Any) -> None:
    patterns = itertools.product((1, -1), repeat=len(values))
    sums_ = [sum(s * v for s, v in zip(p, values, strict=True)) for p in patterns]
    expected = np.mean([total >= sums_[0] - 1e-9 for total in sums_])
    assert seed_pairs.sign_flip(values) == pytest.approx(expected, abs=1e-12) or (
        # sums closer than rounding may fall on either side
        min(abs(total - sums_[0]) for total in sums_ if total != sums_[0]) < 1e-8
    )


def test_exact_p_of_tiny_cases() -> None:
    assert seed_pairs.sign_flip(np.array([1.0, 2.0, 3.0])) == 1 / 8
    assert seed_pairs.sign_flip(np.array([-1.0, 2.0, 3.0])) == 2 / 8
    assert seed_pairs.sign_flip(np.array([1.0, -1.0])) == 3 / 4
    assert seed_pairs.sign_flip(np.zeros(4)) == 1
    assert math.isnan(seed_pairs.sign_flip(np.array([1.0, math.nan])))


@pytest.mark.parametrize("count", [1, 3, 8, 14, 20])
def test_no_p_is_smaller_than_what_can_be_attained(count: int) -> None:
    assert seed_pairs.sign_flip(np.ones(count)) == seed_pairs.smallest_p(count)


def test_a_sample_of_sign_patterns_comes_close_to_all_of_them() -> None:
    values = np.random.default_rng(3).normal(0.3, 1, 14)
    exact = seed_pairs.sign_flip(values)
    padded = seed_pairs.sign_flip(np.append(values, 0.0))  # 15: a zero changes no sum
    assert padded == pytest.approx(exact, abs=0.02)


def test_how_many_seeds_a_p_takes() -> None:
    for alpha, tests in itertools.product((0.05, 0.01), (1, 3, 20)):
        count = seed_pairs.seeds_for_p(alpha, tests)
        assert seed_pairs.smallest_p(count) * tests < alpha
        assert count == 3 or seed_pairs.smallest_p(count - 1) * tests >= alpha
    assert seed_pairs.seeds_for_p(0.05) == 5
    assert seed_pairs.seeds_for_p(0.0625) == 5  # 4 seeds give 0.0625, which is not below


def test_how_many_seeds_a_power_takes() -> None:
    needed = seed_pairs.seeds_for_power(1.0, 1.0, 0.05)
    assert needed is not None
    draws = np.random.default_rng(0).normal(1, 1, (20000, needed))
    for count, enough in ((needed, True), (needed - 1, False)):
        p = stats.ttest_1samp(draws[:, :count], 0, axis=1, alternative="greater").pvalue
        assert ((p < 0.05).mean() >= 0.79) == enough
    assert seed_pairs.seeds_for_power(1.0, 0.0, 0.05) == 3
    assert seed_pairs.seeds_for_power(1e-6, 1.0, 0.05) is None
    assert seed_pairs.seeds_for_power(-1.0, 1.0, 0.05) is None
    assert seed_pairs.seeds_for_power(1.0, math.nan, 0.05) is None


def test_holm_by_hand() -> None:
    assert seed_pairs.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert seed_pairs.holm([0.6, 0.9]) == [1.0, 1.0]
    assert seed_pairs.holm([]) == []
    found = seed_pairs.holm([0.02, math.nan, 0.5])
    assert (found[0], found[2]) == (0.06, 1.0)  # a question that could not be tested counts, too
    assert math.isnan(found[1])
