import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from skeletons import model_ids
from skeletons.errors import SkeletonsError
from skeletons.findings import comparisons, recipe_verdicts
from skeletons.findings.recipe_verdicts import CONVERGES, NOT, UNDECIDED
from skeletons.measures import behaviour
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model

RUNS = 200
MOST_FALSE = stats.binom.ppf(0.999, RUNS, 0.05)


def sums(effects: Any) -> Any:
    return np.array([a + b for a, b in itertools.combinations(effects, 2)])


def predictions(logits: Any) -> Predictions:
    return Predictions(logits, np.zeros(len(logits), dtype=np.int64))


def similarities(logits: Any) -> Any:
    """Cosines of all pairs of models on each image, from logits models × images × classes."""
    return behaviour.over_images([predictions(one) for one in logits], MEASURES["cosine_prob"])


def unrelated(rng: np.random.Generator, seeds: int, images: int, lean: float = 0.0) -> Any:
    """Logits of unrelated models, each with a preference for some classes."""
    logits = rng.normal(size=(seeds, images, 10)) * 2
    return logits + lean * rng.normal(size=(seeds, 1, 10))


def rises(seed: int, seeds: int, images: int, lean: float = 0.0) -> list[recipe_verdicts.Rise]:
    """Random pruned models compared with random bases and random controls."""
    rng = np.random.default_rng([seed, seeds])
    pruned, base, control = (similarities(unrelated(rng, seeds, images, lean)) for _ in range(3))
    return [
        recipe_verdicts.rise(pruned, base, "the bases"),
        recipe_verdicts.rise(pruned, control, "the controls"),
    ]


def verdict(question: str, found: list[recipe_verdicts.Rise]) -> recipe_verdicts.RecipeVerdict:
    """The verdict on a single recipe."""
    return recipe_verdicts.verdicts({question: found})[0]


def test_random_predictions_do_not_converge() -> None:
    answers = [verdict("random", rises(k, 6, 250)).answer for k in range(RUNS)]
    assert answers.count(CONVERGES) <= MOST_FALSE
    assert answers.count(NOT) >= 0.95 * RUNS


@pytest.mark.parametrize("seeds", [4, 6, 8])
def test_few_random_predictions_rarely_seem_to_converge(seeds: int) -> None:
    """The harder case: compared only with the bases, with models that prefer some classes."""
    found = [verdict("random", rises(k, seeds, 12, lean=2.0)[:1]).answer for k in range(RUNS)]
    assert found.count(CONVERGES) <= MOST_FALSE


@pytest.mark.parametrize("seeds", [4, 6, 8])
def test_without_a_rise_few_verdicts_say_so_wrongly(seeds: int) -> None:
    """At the limits of both answers, with only effects of seeds, for which the tests are exact."""
    wrong = {CONVERGES: 0, NOT: 0}
    for k in range(RUNS):
        effects = np.random.default_rng([k, seeds]).normal(size=seeds)
        for truth, answer in ((0.0, CONVERGES), (0.05, NOT)):
            one = recipe_verdicts.rise(sums(effects) + truth, 0 * sums(effects), "the bases")
            wrong[answer] += verdict("edge", [one]).answer == answer
    assert wrong[CONVERGES] <= MOST_FALSE
    assert wrong[NOT] <= MOST_FALSE


def test_models_that_become_identical_converge() -> None:
    rng = np.random.default_rng(0)
    base = similarities(unrelated(rng, 6, 100))
    one = unrelated(rng, 1, 100)
    pruned = similarities(np.repeat(one, 6, axis=0))
    assert pruned == pytest.approx(1)
    found = verdict("identical", [recipe_verdicts.rise(pruned, base, "the bases")])
    assert found.answer == CONVERGES
    assert found.effect == pytest.approx(1 - base.mean())
    assert found.p == found.attainable == 2.0**-6
    assert "grow more alike" in found.sentence


def test_a_rise_that_a_control_has_too_is_not_convergence() -> None:
    rng = np.random.default_rng(0)
    base = sums(rng.normal(0.1, 0.01, 6))
    pruned, control = (sums(rng.normal(0.4, 0.01, 6)) for _ in range(2))
    above_base = recipe_verdicts.rise(pruned, base, "the bases")
    above_control = recipe_verdicts.rise(pruned, control, "random pruning")
    assert verdict("q", [above_base]).answer == CONVERGES
    found = verdict("q", [above_base, above_control])
    assert (found.answer, found.against) == (NOT, "random pruning")
    assert "all below 0.05, with 6 seeds" in found.sentence


def test_a_certain_rise_too_small_to_matter_is_not_convergence() -> None:
    pruned = sums(0.01 + np.array([1, 2, 3, 4, 5, 6]) * 1e-5)
    found = verdict("q", [recipe_verdicts.rise(pruned, 0 * pruned, "the bases")])
    assert found.low > 0
    assert found.answer == NOT
    assert "there is a rise, but it is too small to matter" in found.sentence


def test_a_measure_that_falls_where_models_are_alike_rises_with_its_sign_turned() -> None:
    near, far = sums(np.linspace(0.1, 0.12, 6)), sums(np.linspace(0.4, 0.45, 6))
    assert verdict("q", [recipe_verdicts.rise(near, far, "x", sign=-1)]).answer == CONVERGES
    assert verdict("q", [recipe_verdicts.rise(near, far, "x")]).answer == NOT


def test_four_seeds_cannot_show_a_rise_and_are_told_so() -> None:
    pruned = sums([0.21, 0.2, 0.2, 0.19])
    found = verdict("q", [recipe_verdicts.rise(pruned, 0 * pruned, "the bases")])
    assert found.answer == UNDECIDED
    assert (found.p, found.attainable, found.seeds_for_p) == (1 / 16, 1 / 16, 5)
    assert found.seeds_needed == 5
    assert "4 seeds cannot give a corrected p below 0.062" in found.sentence
    more = sums([0.21, 0.2, 0.2, 0.19, 0.2])
    found = verdict("q", [recipe_verdicts.rise(more, 0 * more, "the bases")])
    assert found.answer == CONVERGES


def test_more_questions_take_more_seeds() -> None:
    one = [recipe_verdicts.rise(sums([0.21, 0.2, 0.2, 0.19, 0.2]), np.zeros(10), "the bases")]
    found = recipe_verdicts.verdicts({str(k): one for k in range(4)})
    assert {v.answer for v in found} == {UNDECIDED}
    assert {(v.tests, v.p, v.p_corrected, v.seeds_for_p) for v in found} == {(4, 1 / 32, 1 / 8, 7)}
    assert {v.seeds_needed for v in found} == {7}


def test_a_wide_spread_is_undecided_and_costed_by_power() -> None:
    values = sums([0.2, -0.1, 0.3, -0.15, 0.1])
    found = verdict("q", [recipe_verdicts.rise(values, 0 * values, "the bases")])
    assert found.answer == UNDECIDED
    assert found.seeds_needed is not None
    assert found.seeds_needed > 5
    assert "neither clearly above 0 nor clearly below 0.05" in found.sentence
    assert f"about {found.seeds_needed} seeds" in found.sentence


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_decide_nothing(seeds: int) -> None:
    values = sums(np.full(seeds, 0.2))
    found = verdict("q", [recipe_verdicts.rise(values, 0 * values, "the bases")])
    assert found.answer == UNDECIDED
    assert math.isnan(found.p_corrected)
    assert found.seeds_needed is None
    assert "a decision needs 5 seeds or more" in found.sentence
    assert "≥ 5" in recipe_verdicts.verdict_markdown([found])


def test_seeds_with_a_dead_model_are_left_out() -> None:
    values = sums([0.2, 0.21, 0.19, 0.2, 0.22, 0.2])
    pairs = list(itertools.combinations(range(6), 2))
    dead = np.array([math.nan if 2 in pair else v for pair, v in zip(pairs, values, strict=True)])
    one = recipe_verdicts.rise(dead, 0 * values, "the bases")
    assert one.seeds == 5
    rest = sums([0.2, 0.21, 0.2, 0.22, 0.2])
    assert one.effect == pytest.approx(rest.mean())
    over_images = np.stack([dead, dead + 0.1, dead], axis=1)
    over_images[0, 1] = math.nan  # an image on which a living pair has no value
    assert recipe_verdicts.rise(over_images, np.zeros((15, 3)), "x").images == 2
    nothing = recipe_verdicts.rise(dead * math.nan, values, "random pruning")
    assert nothing.seeds == 0
    found = verdict("q", [one, nothing])
    assert found.answer == UNDECIDED
    assert "no two seeds have living models to compare with random pruning" in found.sentence


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(ValueError, match="not of the same pairs"):
        recipe_verdicts.rise(np.zeros(3), np.zeros(6), "x")


# --- from tables --------------------------------------------------------------------------------

GRID = model_ids.grid(map(Model, [1, 2, 3, 4, 5, 6]), [1e-4], [2], [0.02, 0.5])
CONTROLS = {"their unpruned models": lambda m: str(m.parent)}


def alike(a: Model, b: Model) -> float:
    """Similarities: bases 0.5; threshold 0.02, 0.5; threshold 0.5, 0.8; within a base, 0.9."""
    if a.seed == b.seed:
        return 0.9
    noise = 0.01 * np.sin(a.seed * 5 + b.seed * 7)
    return float((0.8 if a.threshold == b.threshold == 0.5 else 0.5) + noise)


def table() -> pd.DataFrame:
    return pd.DataFrame(
        [{"a": str(a), "b": str(b), "cosine_prob": alike(a, b)} for a, b in model_ids.pairs(GRID)]
    )


def test_each_recipe_gets_a_verdict() -> None:
    values = comparisons.from_table(table(), "cosine_prob")
    low, high = comparisons.convergence(GRID, values, CONTROLS)
    assert low.question == "λ = 0.0001, 2 epochs, threshold 0.02"
    assert [(v.answer, v.tests, v.seeds) for v in (low, high)] == [(NOT, 2, 6), (CONVERGES, 2, 6)]
    assert high.effect == pytest.approx(0.3)
    assert [r.against for r in high.rises] == ["the bases", "their unpruned models"]
    page = recipe_verdicts.verdict_markdown([low, high])
    assert page.startswith("Of 2 recipes, 1 converges and 1 does not converge.")
    assert "| λ = 0.0001, 2 epochs, threshold 0.5 | **converges** | +0.300 |" in page


def test_the_order_of_a_table_changes_nothing() -> None:
    turned = table().sample(frac=1, random_state=0).rename(columns={"a": "b", "b": "a"})
    found = [
        comparisons.convergence(GRID, comparisons.from_table(pairs, "cosine_prob"), CONTROLS)
        for pairs in (table(), turned)
    ]
    assert found[0] == found[1]


def test_a_pair_that_is_not_there_is_named() -> None:
    pairs = table()
    values = comparisons.from_table(pairs[pairs.a != "seed=1"], "cosine_prob")
    with pytest.raises(SkeletonsError, match="no pair of seed=1 and seed=2"):
        comparisons.convergence(GRID, values, {})


def test_verdicts_over_images_are_those_of_the_means_and_rather_less_sure() -> None:
    rng = np.random.default_rng(0)
    known = {str(m): predictions(rng.normal(size=(80, 10))) for m in GRID}
    rows = [
        {"a": str(a), "b": str(b), **behaviour.compare(known[str(a)], known[str(b)])}
        for a, b in model_ids.pairs(GRID)
    ]
    by_table = comparisons.from_table(pd.DataFrame(rows), "jensen_shannon")
    by_image = comparisons.from_predictions(known, MEASURES["jensen_shannon"])
    for one, other in zip(
        comparisons.convergence(GRID, by_table, CONTROLS, sign=-1),
        comparisons.convergence(GRID, by_image, CONTROLS, sign=-1),
        strict=True,
    ):
        for a, b in zip(one.rises, other.rises, strict=True):
            assert (b.effect, b.images) == (pytest.approx(a.effect), 80)
            assert b.low < a.low < a.high < b.high


def test_of_several_drawings_the_mean_over_those_alive_is_compared_with() -> None:
    grid = model_ids.grid(map(Model, [1, 2, 3]), [1e-4], [1], [0.1])
    drawn = model_ids.controls(grid, False, [], [1, 2])
    value = {"base": 0.1, "pruned": 0.9, "random": 0.2}

    def values(names: Sequence[str]) -> np.ndarray:
        first = model_ids.Model.parse(names[0])
        if "seed=3_l1=0.0001_ep=1_t=0.1_random=2" in names:
            return np.array([0.4, np.nan, np.nan])
        return np.full(3, value[first.state])

    controls = comparisons.controls_of([*grid, *drawn])
    assert list(controls) == [
        "their unpruned models",
        "models pruned at random (mean of 2 drawings)",
    ]
    del controls["their unpruned models"]
    [found] = comparisons.convergence(grid, values, controls)
    # for seeds 1 and 2, the mean of 0.2 and 0.4; for the others, the living drawing
    assert found.rises[1].effect == pytest.approx(0.9 - np.mean([0.3, 0.2, 0.2]))
