import itertools
import math
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from skeletons.findings import dead_seeds, error_rates, modified_t, scale, seed_values
from skeletons.findings.modified_t import effects, p_above, p_below
from skeletons.findings.scale import Scale
from skeletons.marked import marks
from skeletons.measures.catalogue import MEASURES


def sums(own: Any) -> Any:
    """All pairs of seeds whose values are sums of two numbers."""
    return np.array([a + b for a, b in itertools.combinations(own, 2)])


def without(values: Any, left_out: int, count: int) -> float:
    pairs = list(itertools.combinations(range(count), 2))
    return float(np.mean([v for v, p in zip(values, pairs, strict=True) if left_out not in p]))


# --- effects of seeds ---------------------------------------------------------------------------


def test_effects_are_jackknife_pseudo_values_around_the_mean() -> None:
    values = np.random.default_rng(0).normal(size=10)
    found = effects(values)
    by_hand = [5 * values.mean() - 4 * without(values, k, 5) for k in range(5)]
    assert found.mean + found.own == pytest.approx(by_hand)


@given(hnp.arrays(float, st.integers(4, 9), elements=st.floats(-5, 5)))
def test_sums_of_two_numbers_have_twice_the_numbers_as_effects(own: Any) -> None:
    found = effects(sums(own))
    assert found.own == pytest.approx(2 * (own - own.mean()), abs=1e-9)
    expected = 2 * stats.sem(own)
    assert float(found.error) == pytest.approx(expected if expected > 1e-8 else 0, abs=1e-8)


def test_skewness_is_that_of_the_seeds() -> None:
    own = np.random.default_rng(1).exponential(size=9)
    assert float(effects(sums(own)).skewness) == pytest.approx(stats.skew(own, bias=False))
    assert float(effects(-sums(own)).skewness) == -float(effects(sums(own)).skewness)


def test_noise_of_pairs_inflates_the_variance_by_less_than_the_jackknife_does() -> None:
    """The jackknife's variance is 2(n − 1) / (n − 2) times the true one."""
    for seeds in (4, 6, 8):
        values = np.random.default_rng(seeds).normal(size=(20_000, seeds * (seeds - 1) // 2))
        found = effects(values)
        true = 2 / (seeds * (seeds - 1))
        jackknife = (found.own**2).sum(axis=-1) / (seeds - 1) / seeds
        times = 2 * (seeds - 1) / (seeds - 2)
        assert jackknife.mean() / true == pytest.approx(times, rel=0.03)
        assert 1 < (found.error**2).mean() / true < times


def test_only_numbers_of_pairs_are_numbers_of_pairs() -> None:
    assert [modified_t.seeds_of(pairs) for pairs in (0, 1, 3, 15)] == [1, 2, 3, 6]
    with pytest.raises(ValueError, match="4 is not the number of pairs"):
        modified_t.seeds_of(4)


# --- the test -----------------------------------------------------------------------------------


def test_experiments_are_tested_each_as_if_alone() -> None:
    values = np.random.default_rng(2).normal(size=(3, 4, 15))
    assert p_above(values).shape == (3, 4)
    assert float(p_above(values)[1, 2]) == pytest.approx(float(p_above(values[1, 2])))
    assert p_below(values) == pytest.approx(p_above(-values))


def test_without_skewness_the_statistic_is_student_s() -> None:
    own = np.array([-2.0, -1, 0, 0, 1, 2]) + 0.9
    t = stats.ttest_1samp(own, 0).statistic
    assert float(p_above(sums(own))) == pytest.approx(stats.t.sf(t, 3))


@given(
    hnp.arrays(float, 6, elements=st.floats(-1, 1)),
    st.floats(0, 50),
)
def test_a_higher_mean_never_has_a_higher_p(own: Any, more: float) -> None:
    assert float(p_above(sums(own) + more)) <= float(p_above(sums(own))) + 1e-9


def test_the_modified_t_of_johnson_falls_again_and_this_one_does_not() -> None:
    own = np.array([1.0, 1.01, 0.99, 1.0, 1.02, 0.9])  # 0.9 is odd, but far above 0
    found = effects(sums(own))
    t = float(found.mean / found.error)
    johnson = t + float(found.skewness) * (2 * t**2 + 1) / (6 * math.sqrt(6))
    assert johnson < 0 < t
    assert float(p_above(sums(own))) < 0.001


def test_seeds_that_do_not_differ_are_certain() -> None:
    assert float(p_above(np.full(15, 0.1))) == 0
    assert float(p_above(np.full(15, -0.1))) == 1
    assert float(p_above(np.zeros(15))) == 0.5
    assert math.isnan(float(p_above(np.ones(3))))


# --- the scale ----------------------------------------------------------------------------------


def test_similarities_have_their_high_end_where_models_are_alike() -> None:
    at = np.array([0.0, 0.25, 1.0])
    assert scale.of_measure(MEASURES["cosine_prob"]).similarity(at) == pytest.approx(at)
    assert scale.of_measure(MEASURES["cosine_logit"]).similarity(-at) == pytest.approx(-at)
    turned = scale.of_measure(MEASURES["jensen_shannon"])
    assert turned.similarity(at) == pytest.approx(1 - at)
    assert Scale(0, 50).similarity(50 * at) == pytest.approx(at)
    assert Scale(-2, 2, -1).similarity(2 * at) == pytest.approx(-at)
    assert Scale(0, math.inf, -1).similarity(at) == pytest.approx(-at)
    for one in (turned, Scale(0, 50), Scale(-2, 2, -1), Scale(-math.inf, math.inf, -1)):
        assert one.value(float(one.similarity(np.array(0.4)))) == pytest.approx(0.4)


def test_the_range_of_unknown_values_is_that_of_a_correlation_or_none() -> None:
    assert scale.of_values(np.array([0.2, math.nan, -1.0])) == Scale()
    assert scale.of_values(np.array([1 + 1e-12])).bounded
    assert not scale.of_values(np.array([0.2, 1.4])).bounded


def test_z_is_fisher_s_and_stays_finite() -> None:
    one = Scale()
    assert one.z(np.array(0.5)) == pytest.approx(np.arctanh(0.5))
    assert np.isfinite(one.z(np.array([1.0, -1.0]))).all()
    at = np.linspace(-1.2, 1.2, 200)
    assert (np.diff(one.z_continued(at)) > 0).all()
    assert one.back(one.z(np.array(0.7))) == pytest.approx(0.7)
    assert one.slope(np.array(0.6)) == pytest.approx(
        (one.z(np.array(0.6001)) - one.z(np.array(0.5999))) / 0.0002, rel=1e-4
    )


# --- dead seeds ---------------------------------------------------------------------------------


def test_dead_seeds_move_the_mean_to_that_of_all_pairs_and_add_no_spread() -> None:
    values = np.array([[1.0, 2.0, 3.0]])
    found = dead_seeds.with_dead(values, 1, np.array([-9.0]))
    assert found.mean() == pytest.approx(np.mean([1, 2, 3, -9, -9, -9]))
    assert np.ptp(found) == pytest.approx(0.5 * np.ptp(values))
    assert dead_seeds.with_dead(values, 0, np.zeros(1)) is values


# --- error rates --------------------------------------------------------------------------------

RUNS = 800


def most(limit: float) -> float:
    """The highest rate among `RUNS` that a true rate at the limit gives once in a thousand."""
    return float(stats.binom.ppf(0.999, RUNS, limit)) / RUNS


@pytest.mark.parametrize("comparisons", error_rates.COMPARISONS)
@pytest.mark.parametrize("shape", error_rates.SHAPES)
def test_no_kind_of_answer_is_wrong_too_often(shape: str, comparisons: int) -> None:
    limit = most(0.08 if "lognormal" in shape else 0.06)
    for noise, seeds in itertools.product(error_rates.NOISES, error_rates.SEEDS):
        found = error_rates.wrong(shape, noise, seeds, comparisons, RUNS)
        assert max(found.values()) <= limit, (noise, seeds, found)


def test_no_cell_of_the_page_is_above_its_limit() -> None:
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    table = page.split(marks(error_rates.MARKED)[0])[1].split("How often the right answer comes")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if line.startswith("| ") and "×" in line
    ]
    shapes = len(error_rates.SHAPES) * len(error_rates.NOISES)
    assert len(rows) == shapes * len(error_rates.COMPARISONS)
    for shape, _, *cells in rows:
        limit = 8 if "lognormal" in shape else 6
        assert all(float(rate) <= limit for cell in cells for rate in cell.split(" / ")), shape


def test_answers_come_where_they_are_due() -> None:
    generator = np.random.default_rng(0)
    for share, answer, least in ((1.0, "converges", 0.95), (0.0, "does not", 0.85)):
        found = error_rates.contrasts(
            "normal", 1, 6, [share] * 3, generator, runs=500, effect=0.02 / math.sqrt(3)
        )
        assert error_rates.rejected(found)[answer].mean() >= least


def test_looking_again_errs_more_often_unless_alpha_is_spent() -> None:
    rows = [row.split("|")[2:5] for row in error_rates.table_of_looks(RUNS).splitlines()[2:]]
    once = {int(looks): float(wrong) for looks, wrong, _ in rows[:2]}
    assert once[1] > 3
    assert once[4] <= 100 * most(0.025)


def test_seeds_that_die_for_a_reason_do_not_make_models_converge() -> None:
    for row in error_rates.table_of_the_dead(500).splitlines()[2:]:
        _, *normal_and_skewed = [cell.strip() for cell in row.strip("|").split("|")]
        assert float(normal_and_skewed[0]) > 2  # if they are left out
        for decided in normal_and_skewed[1::2]:
            assert decided == "undecided" or float(decided) <= 100 * most(0.06)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_ends_of_an_interval_are_where_the_tests_just_do_not_reject(skewed: bool) -> None:
    draw = np.random.default_rng(3)
    for seeds in (5, 8, 12):
        own = draw.exponential(size=seeds) if skewed else draw.normal(size=seeds)
        first, second = np.triu_indices(seeds, 1)
        values = own[first] + own[second] + 0.1 * draw.normal(size=len(first))
        low, high = modified_t.interval(values, 0.9)
        assert low < values.mean() < high
        assert float(p_above(values - low)) == pytest.approx(0.05)
        assert float(p_below(values - high)) == pytest.approx(0.05)
    assert modified_t.interval(np.full(10, 0.3)) == pytest.approx((0.3, 0.3))


# --- one value per seed -------------------------------------------------------------------------


def test_an_interval_is_student_s_and_stays_within_its_bounds() -> None:
    values = np.array([0.2, 0.5, 0.3, 0.9])
    expected = stats.t.interval(0.9, 3, values.mean(), stats.sem(values))
    assert seed_values.mean_interval(values, 0.1) == pytest.approx(tuple(expected))
    assert seed_values.mean_interval(np.array([0.1, 0.9, 0.5]), bounds=(0, 1)) == (0, 1)
    for few in (np.array([0.3, 0.4]), np.full(6, 0.3)):
        assert np.isnan(seed_values.mean_interval(few)).all()


@given(hnp.arrays(float, st.integers(1, 9), elements=st.floats(-5, 5)))
def test_sign_flip_counts_all_patterns(values: Any) -> None:
    patterns = itertools.product((1, -1), repeat=len(values))
    slack = 1e-12 * np.abs(values).sum()
    as_high = [np.dot(pattern, values) >= values.sum() - slack for pattern in patterns]
    assert seed_values.sign_flip(values) == pytest.approx(np.mean(as_high))


def test_sign_flip_at_its_ends() -> None:
    assert seed_values.sign_flip(np.array([1.0, 2.0, 3.0])) == 1 / 8 == seed_values.smallest_p(3)
    assert seed_values.sign_flip(np.zeros(4)) == 1
    assert math.isnan(seed_values.sign_flip(np.array([1.0, math.nan])))
    many = np.ones(20)
    assert seed_values.sign_flip(many) == seed_values.smallest_p(20)
