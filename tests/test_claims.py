import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skeletons import model_ids
from skeletons.findings import apart, post_claims, trend_test
from skeletons.model_ids import Model

SEEDS = [1, 2, 3, 4, 5]
GRID = model_ids.grid(map(Model, SEEDS), [1e-4], [1, 2, 4], [0.02, 0.1, 0.5])
DEAD = Model(2, 1e-4, 4, 0.5)


def noise(*parts: float) -> float:
    """A small number that depends only on the arguments."""
    return float(np.random.default_rng([int(p * 1000) for p in parts]).normal() * 0.002)


def scores(**changed: Any) -> pd.DataFrame:
    """Accuracy 0.9 minus the threshold squared; sparsity that grows with both."""
    rows = [
        {
            "model": str(m),
            "state": m.state,
            "seed": m.seed,
            "l1": m.l1,
            "epochs": m.epochs,
            "threshold": m.threshold,
            "accuracy": 0.9 - (m.threshold or 0) ** 2 + noise(m.seed, m.threshold or 0),
            "loss": 0.3 + noise(m.seed, m.epochs or 0, m.threshold or 0),
            "sparsity": 0.0 if m.threshold is None else 0.5 + 0.1 * m.epochs * m.threshold,
            "dead": m == DEAD,
            **changed,
        }
        for m in GRID
    ]
    return pd.DataFrame(rows).astype({"l1": float, "epochs": float, "threshold": float})


def alike(a: Model, b: Model) -> float:
    """Less like its own base with the threshold, not with epochs; others 0.7."""
    if a.seed != b.seed:
        return 0.7 + noise(a.seed, b.seed, a.threshold or 0, b.threshold or 0)
    return 0.9 - 0.1 * abs((b.threshold or 0) - (a.threshold or 0)) + noise(a.seed, b.epochs or 0)


def pairs(dead: Model | None = None, apart: Model | None = None) -> pd.DataFrame:
    rows = [
        {
            "a": str(a),
            "b": str(b),
            "cosine_prob": math.nan if dead in (a, b) else alike(a, b) - 0.3 * (apart in (a, b)),
        }
        for a, b in model_ids.pairs(GRID)
    ]
    return pd.DataFrame(rows)


def test_claims_that_are_true_by_making_hold() -> None:
    found = post_claims.claims(scores(), pairs(), "cosine_prob")
    assert [row["holds"] for row in found[:7]] == ["yes", "yes", "no", "yes", "yes", "yes", "yes"]
    assert found[0]["claim"].endswith("keeps the accuracy, to within 2 points")
    assert re.match(r"−?\d+\.\d points lost, 95% interval −?\d+\.\d to", found[0]["measured"])
    assert re.search(r"with −?\d+\.\d points lost at sparsity", found[0]["detail"])
    page = post_claims.claims_markdown(found[:7])
    assert page.startswith("Of 7 claims, 6 hold here, 1 does not, and 0 are undecided")
    assert page.count("\n|") == 7 + 2


def test_a_dead_model_is_left_out_of_likeness_and_counted_in_accuracy() -> None:
    found = post_claims.claims(scores(), pairs(dead=DEAD), "cosine_prob")
    assert [row["holds"] for row in found[:7]] == ["yes", "yes", "no", "yes", "yes", "yes", "yes"]
    others = [m for m in GRID if m.state != "regularized" and m.seed != DEAD.seed]
    assert f"; {len(others)} undefined" in found[6]["detail"]


def test_claims_that_are_false_by_making_do_not_hold() -> None:
    table = pairs()
    table["cosine_prob"] = 0.9 - table.cosine_prob  # with all similarities reversed
    found = post_claims.claims(scores(sparsity=0.5), table, "cosine_prob")
    by = {row["claim"].split(",")[0]: row["holds"] for row in found[3:7]}
    assert by == {
        "The higher the threshold": "no",
        "The more epochs of regularisation": "no",  # the same sparsity for all epochs
        "However many epochs": "yes",
        "Most pairs of models of different bases have a cosine above 0.6": "no",
    }


def test_of_models_that_are_pruned_to_densities_the_claim_is_about_densities() -> None:
    """The lower the density, the more is pruned: the same trend as with rising thresholds."""
    by_threshold = pairs()
    names = {"t=0.02": "d=0.9", "t=0.1": "d=0.5", "t=0.5": "d=0.2"}
    by_density = by_threshold.replace(
        {end: {name: as_density(name, names) for name in by_threshold[end]} for end in "ab"}
    )
    one, other = (
        post_claims.more_pruning_changes_more(table, "cosine_prob")
        for table in (by_threshold, by_density)
    )
    assert other["claim"].startswith("The lower the density, the less a model behaves like")
    assert one["holds"] == other["holds"] == "yes"
    assert one["detail"] == other["detail"]
    assert other["measured"].split(" at ")[0] == one["measured"].split(" at ")[0]
    assert " at density 0.9, 0.5, 0.2" in other["measured"]


def test_of_models_that_are_pruned_to_densities_no_claim_is_about_their_size() -> None:
    """A density fixes it."""
    (claim,) = post_claims.more_epochs_smaller(scores())
    assert claim["claim"].endswith("the smaller the pruned model")
    assert post_claims.more_epochs_smaller(scores(threshold=math.nan)) == []


def as_density(name: str, names: dict[str, str]) -> str:
    for threshold, density in names.items():
        if name.endswith(threshold):
            return name.removesuffix(threshold) + density
    return name


def test_most_pairs_is_about_the_cosine_of_different_bases() -> None:
    """As in the post, whatever the primary measure; pairs of one base are few or many by design."""
    table = pairs()
    table = table[~table.a.map(walked) & ~table.b.map(walked)]
    own = table.a.map(base_of) == table.b.map(base_of)
    table["cosine_prob"] = np.where(own, 0.9, 0.1)
    table["kappa"] = 0.9
    row = post_claims.claims(scores(), table, "kappa")[6]
    assert row["measured"].startswith(f"0.0% of {int((~own).sum())} pairs")
    assert row["holds"] == "no"
    assert row["detail"] == "`cosine_prob`, the measure of the post"
    absent = post_claims.most_pairs_alike(table.drop(columns="cosine_prob"))
    assert (absent["measured"], absent["holds"]) == ("no pair has a cosine", "undecided")


def walked(name: str) -> bool:
    return Model.parse(name).state == "regularized"


def base_of(name: str) -> str:
    return str(Model.parse(name).base)


def test_more_epochs_that_lead_away_from_the_base() -> None:
    table = pairs()
    late = table.b.str.contains("ep=4")
    table.loc[late, "cosine_prob"] -= 0.2
    found = post_claims.more_epochs_like_the_base(table, "cosine_prob")
    assert found["holds"] == "no"
    assert found["measured"].startswith("0.200 less similar after 4 epochs than after 1")


def test_one_or_two_seeds_decide_little() -> None:
    chosen = [str(m) for m in GRID if m.seed <= 1]
    table = pairs()
    table = table[table.a.isin(chosen) & table.b.isin(chosen)]
    few = scores()
    found = post_claims.claims(few[few.model.isin(chosen)], table, "cosine_prob")
    assert [row["holds"] for row in found[:7]] == ["undecided"] * 7
    assert "no interval from so few seeds" in found[0]["measured"]


def test_tables_with_nothing_pruned_leave_nothing_to_say() -> None:
    bases = [str(Model(seed)) for seed in SEEDS]
    table, all_scores = pairs(), scores()
    table = table[table.a.isin(bases) & table.b.isin(bases)]
    found = post_claims.claims(all_scores[all_scores.model.isin(bases)], table, "cosine_prob")
    assert [row["holds"] for row in found[:3]] == ["undecided"] * 3
    assert "| claim |" in post_claims.claims_markdown(found)
    assert post_claims.claims_markdown([]).startswith("There is nothing")


def test_claims_are_about_similarities() -> None:
    with pytest.raises(ValueError, match="is a dissimilarity"):
        post_claims.claims(scores(), pairs(), "jensen_shannon")


# --- models that stand apart --------------------------------------------------------------------


def scattered(seed: int, apart: Model | None = None) -> pd.DataFrame:
    """All pairs with similarities around 0.7, those of one model 0.2 lower."""
    table = pairs()
    values = np.random.default_rng(seed).normal(0.7, 0.1, len(table))
    lower = (table.a == str(apart)) | (table.b == str(apart))
    return table.assign(cosine_prob=np.where(lower, values - 0.2, values))


def test_a_planted_outlier_is_found_and_set_beside_its_loss() -> None:
    planted = Model(3, 1e-4, 4, 0.1)
    table = apart.outliers(scores(), scattered(1, planted), "cosine_prob")
    assert list(table[table.outlier].model) == [str(planted)]
    assert abs(table.loss_score[0]) < apart.OUTLYING
    row = apart.some_models_stand_apart(scores(), scattered(1, planted), "cosine_prob")
    assert row["holds"] == "yes"
    assert str(planted) in row["detail"]
    poor = scores()
    poor.loc[poor.model == str(planted), "loss"] = 3.0
    row = apart.some_models_stand_apart(poor, scattered(1, planted), "cosine_prob")
    assert (row["holds"], row["measured"]) == (
        "no",
        f"1 of {len(GRID)} models, 0 of them with an ordinary loss",
    )


def test_nothing_stands_apart_where_nothing_was_planted() -> None:
    assert not apart.outliers(scores(), scattered(1), "cosine_prob").outlier.any()
    row = apart.some_models_stand_apart(scores(), scattered(1), "cosine_prob")
    assert (row["holds"], row["detail"]) == (
        "no",
        "none is 3.5 robust "
        "deviations and 0.1 below the median, 0.698; the lowest mean similarity is 0.664",
    )


def test_chance_makes_few_models_stand_apart() -> None:
    clean = np.random.default_rng(0).normal(size=(300, len(GRID)))
    found = [(apart.robust_scores(values) < -apart.OUTLYING).any() for values in clean]
    assert np.sum(found) <= stats.binom.ppf(0.999, 300, 0.055)  # as documented


def test_robust_scores_by_hand() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0, math.nan])
    expected = 0.6745 * (values - 3) / 1
    np.testing.assert_allclose(apart.robust_scores(values), expected)
    most_equal = np.array([1.0, 1.0, 1.0, 1.0, 6.0])  # MAD 0, mean absolute deviation 1
    np.testing.assert_allclose(apart.robust_scores(most_equal), [0, 0, 0, 0, 5 / 1.2533])
    assert (apart.robust_scores(np.ones(3)) == 0).all()
    assert np.isnan(apart.robust_scores(np.full(2, math.nan))).all()


# --- trends -------------------------------------------------------------------------------------


def test_a_rise_in_all_seeds_has_the_smallest_p() -> None:
    values = np.array([[1.0, 2, 3], [0, 5, 6], [-1, 0, 9]])
    assert trend_test.page(values) == (pytest.approx(1), 1 / 8, 1 / 8)
    correlation, p, _ = trend_test.page(-values)
    assert (correlation, p) == (pytest.approx(-1), 1)


def test_the_statistic_orders_tables_as_page_s_own_does() -> None:
    tables = np.random.default_rng(0).normal(size=(20, 3, 4))
    found = [trend_test.page(table)[0] for table in tables]
    page_l = [stats.page_trend_test(table).statistic for table in tables]
    assert np.corrcoef(found, page_l)[0, 1] == pytest.approx(1)
    rho = [stats.spearmanr(row, range(4)).statistic for row in tables[0]]
    assert found[0] == pytest.approx(np.mean(rho))


@pytest.mark.parametrize("seeds", [1, 2, 3, 6])
def test_a_value_that_drifts_for_no_reason_is_rarely_a_trend(seeds: int) -> None:
    """Thresholds of one seed are nested: a random walk along them drifts."""
    drifts = np.random.default_rng(seeds).normal(size=(300, seeds, 5)).cumsum(axis=2)
    p = np.array([trend_test.page(drift)[1] for drift in drifts])
    assert np.sum(p < 0.05) <= stats.binom.ppf(0.999, 300, 0.05)
    assert (p >= 2.0**-seeds).all()


def test_a_seed_that_never_changes_neither_helps_nor_stops_the_test() -> None:
    rising = np.array([[1.0, 2, 3], [4, 5, 6]])
    still = np.vstack([rising, np.full(3, 0.5)])
    assert trend_test.page(still)[0] == pytest.approx(2 / 3)
    assert trend_test.page(still)[1] == pytest.approx(trend_test.page(rising)[1])
    assert np.isnan(trend_test.page(np.full((2, 3), 0.5))).all()
    assert np.isnan(trend_test.page(np.zeros((0, 3)))).all()
    assert np.isnan(trend_test.page(np.ones((3, 1)))).all()
