"""The answers from tidy tables: what is known of the truth, and what they must not claim."""

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skeletons import model_ids
from skeletons.commands import cli
from skeletons.errors import SkeletonsError
from skeletons.findings import answer, model_pairs, pair_values, recipes_together, scale, tidy
from skeletons.findings.answer import Answer
from skeletons.findings.rules import Rules
from skeletons.findings.scale import Scale
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model

SEEDS = ("1", "2", "3", "4", "5", "6")


def table(
    means: Mapping[str, float | tuple[float, float]],
    seeds: tuple[str, ...] = SEEDS,
    recipe: str = "r",
    draw: int = 0,
) -> pd.DataFrame:
    """Similarities by kind: a mean, or a mean and the spread of pairs."""
    rng = np.random.default_rng(draw)
    rows = []
    for kind, value in means.items():
        mean, spread = value if isinstance(value, tuple) else (value, 0.005)
        for a, b in itertools.combinations(seeds, 2):
            rows.append((a, b, kind, recipe, mean + spread * rng.normal()))
    return pd.DataFrame(rows, columns=list(pair_values.COLUMNS))


def both(rows: pd.DataFrame, rules: Rules | None = None, **more: Any) -> tuple[Answer, Answer]:
    found = answer.answers(rows, "r", rules or Rules(), Scale(), **more)
    return found["walk"], found["pruning"]


def walk(means: Mapping[str, Any], **more: Any) -> Answer:
    return both(table(means), **more)[0]


# --- two questions ------------------------------------------------------------------------------


@pytest.mark.parametrize("ceiling", [{}, {"ceiling": 0.98}])
def test_a_walk_that_makes_models_identical_converges_whatever_pruning_adds(
    ceiling: dict[str, float],
) -> None:
    means = {"base": (0.586, 0.02), "regularized": 0.97, "pruned": (0.97, 0.002), **ceiling}
    one, two = both(table(means))
    assert one.answer == "converges"
    assert two.answer == "does not add"
    assert "converge** on the walk" in one.sentence
    assert one.effect == pytest.approx(0.975 if ceiling else 0.384, abs=0.02)


def test_pruning_that_makes_models_alike_adds() -> None:
    one, two = both(table({"base": 0.5, "regularized": 0.55, "pruned": 0.9, "ceiling": 0.95}))
    assert (one.answer, two.answer) == ("converges", "adds")


def test_the_share_of_the_gap_is_what_it_says() -> None:
    rows = table({"base": (0.4, 0), "pruned": (0.55, 0), "ceiling": (0.9, 0)})
    found = both(rows)[0]
    assert found.effect == pytest.approx(0.15 / 0.5)
    assert (found.unit, found.limits) == ("share", (0.5, 0.25))
    assert found.similarity == pytest.approx({"base": 0.4, "pruned": 0.55, "ceiling": 0.9})


@pytest.mark.parametrize(
    ("pruned", "expected"),
    [
        (0.3, "does not converge"),
        (0.36, "does not converge"),
        (0.54, "in part"),
        (0.8, "converges"),
    ],
)
def test_answers_follow_the_share(pruned: float, expected: str) -> None:
    found = walk({"base": 0.3, "pruned": pruned, "ceiling": 0.9})
    assert found.answer == expected
    assert found.low < found.effect < found.high


def test_between_two_limits_with_much_spread_nothing_is_decided() -> None:
    found = walk({"base": 0.3, "pruned": (0.54, 0.2), "ceiling": 0.9})
    assert found.answer == "undecided"
    assert "not clearly on one side of 0.25 and 0.5" in found.sentence


# --- controls -----------------------------------------------------------------------------------


@pytest.mark.parametrize("control", ["plain", "stopped"])
def test_a_rise_that_a_control_has_too_is_not_convergence(control: str) -> None:
    means = {"base": 0.3, "pruned": 0.8, "ceiling": 0.9}
    assert walk(means).answer == "converges"
    found = walk({**means, control: 0.79})
    assert (found.answer, found.against) == ("does not converge", control)
    assert "the clearest of 2 comparisons" in found.sentence
    assert found.effect == pytest.approx(5 / 6, abs=0.02)  # the share, beyond the bases


def test_the_evidence_is_that_of_the_comparison_that_decides() -> None:
    """One comparison below the limit is enough, and a noisy one with a smaller effect is none."""
    found = walk({"base": 0.3, "plain": (0.42, 0.3), "pruned": (0.36, 0.01), "ceiling": 0.9})
    by_kind = {row.against: row for row in found.comparisons}
    assert by_kind["plain"].effect < by_kind["base"].effect < by_kind["base"].high < 0.25
    assert by_kind["plain"].high > 0.25
    assert (found.answer, found.against) == ("does not converge", "base")
    sure = walk({"base": 0.3, "plain": (0.28, 0.02), "pruned": (0.85, 0.02), "ceiling": 0.9})
    assert (sure.answer, sure.against) == ("converges", "plain")
    assert "the least clear of 2 comparisons" in sure.sentence


def test_what_could_not_be_compared_is_named() -> None:
    found = walk({"base": 0.3, "pruned": 0.8, "ceiling": 0.9, "plain": 0.31})
    assert set(found.missing) == {"stopped", "random"}
    assert "Not compared with bases stopped at the same training loss" in found.sentence


def test_a_control_that_is_left_out_has_no_part_in_the_answer() -> None:
    means = {"base": (0.21, 0.02), "pruned": (0.6, 0.02), "random": (0.9996, 0.0001)}
    alone = walk({k: v for k, v in means.items() if k != "random"})
    found = walk(means, left_out={"random": "they are at chance"})
    assert found.answer == alone.answer == "converges"
    assert (found.low, found.high) == (alone.low, alone.high)
    assert "they are at chance" in found.sentence
    assert walk(means).answer == "does not converge"  # what a living one would say


def test_a_control_that_most_seeds_lack_is_left_out_and_named() -> None:
    rows = table({"base": 0.3, "pruned": 0.8, "ceiling": 0.9, "plain": 0.79})
    few = (rows.kind == "plain") & (rows.seed_a.isin(["1", "2"]) | rows.seed_b.isin(["1", "2"]))
    rows.loc[few, "value"] = math.nan
    found = both(rows)[0]
    assert found.answer == "converges"
    assert found.missing["plain"] == "only 4 of 6 seeds have a living one"


# --- the ceiling --------------------------------------------------------------------------------


def test_a_ceiling_within_bases_serves_the_pairs_of_both() -> None:
    rows = table({"base": 0.3, "pruned": 0.8})
    own = pd.DataFrame(
        [(s, s, "ceiling", "", 0.85 + 0.02 * int(s)) for s in SEEDS], columns=rows.columns
    )
    found = both(pd.concat([rows, own]))[0]
    assert found.similarity["ceiling"] == pytest.approx(0.92, abs=0.01)
    assert found.effect == pytest.approx(0.5 / 0.62, abs=0.02)
    assert "The ceiling is of pairs within a base." in found.sentence


def test_a_ceiling_of_other_models_counts_as_one_number() -> None:
    rows = pd.concat(
        [table({"base": 0.3, "pruned": 0.8}), table({"ceiling": 0.9}, ("fork a", "fork b"))]
    )
    found = both(rows)[0]
    assert found.answer == "converges"
    assert "counts as known" in found.sentence


def test_without_a_gap_the_rise_is_compared_with_the_margin() -> None:
    for ceiling in ({}, {"ceiling": 0.31}):
        found = walk({"base": 0.3, "pruned": 0.8, **ceiling})
        assert (found.answer, found.unit, found.limits) == ("converges", "rise", (0.05, 0.05))
        assert "Without a ceiling" in found.sentence
    assert walk({"base": 0.3, "pruned": 0.31}).answer == "does not converge"
    assert walk({"base": 0.3, "pruned": 0.35}).answer == "undecided"
    wide = both(table({"base": 0.3, "pruned": 0.36}), Rules(margin=0.2))[0]
    assert wide.answer == "does not converge"


def test_an_interval_stays_within_what_is_possible() -> None:
    found = walk({"base": (0.6, 0.2), "pruned": (0.8, 0.2)})
    room = 1 - found.similarity["base"]
    assert found.high <= room + 1e-9
    assert found.low >= -1 - found.similarity["base"]


def test_a_dissimilarity_falls_where_models_are_alike() -> None:
    rows = table({"base": 0.4, "pruned": 0.1, "ceiling": 0.05})
    turned = scale.of_measure(MEASURES["jensen_shannon"])
    found = answer.answers(rows, "r", Rules(), turned)["walk"]
    assert found.answer == "converges"
    assert found.similarity["base"] == pytest.approx(0.4, abs=0.01)
    assert both(rows)[0].answer == "does not converge"


# --- seeds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_seeds_decide_nothing_and_say_so(count: int) -> None:
    found = both(table({"base": 0.3, "pruned": 0.8, "ceiling": 0.9}, SEEDS[:count]))[0]
    assert (found.answer, found.seeds) == ("undecided", count)
    assert math.isnan(found.low)
    assert f"there are {count} seeds, and a decision needs 5 or more" in found.sentence


def dead(rows: pd.DataFrame, *gone: str) -> pd.DataFrame:
    """The same table with dead pruned models."""
    of_dead = (rows.kind == "pruned") & (rows.seed_a.isin(gone) | rows.seed_b.isin(gone))
    return rows.assign(value=rows.value.where(~of_dead))


def test_too_many_dead_seeds_leave_a_question_undecided() -> None:
    found = both(dead(table({"base": 0.3, "pruned": 0.8, "ceiling": 0.9}), "2"))[0]
    assert (found.answer, found.seeds, found.asked) == ("undecided", 5, 6)
    assert "1 of 6 seeds has no living pruned model" in found.sentence
    assert found.needed is None


def test_a_dead_seed_among_many_counts_as_the_least_favourable_case() -> None:
    names = tuple(str(k) for k in range(20))
    rows = table({"base": 0.3, "pruned": 0.88, "ceiling": 0.9}, names)
    whole, less = both(rows)[0], both(dead(rows, "3"))[0]
    assert whole.answer == less.answer == "converges"
    assert less.low < whole.low - 0.03
    near = table({"base": 0.3, "pruned": 0.65, "ceiling": 0.9}, names)
    assert both(near)[0].answer == "converges"
    assert both(dead(near, "3", "4"))[0].answer == "undecided"


def test_all_comparisons_are_of_the_same_living_seeds() -> None:
    names = tuple(str(k) for k in range(12))
    rows = table({"base": 0.3, "pruned": 0.8, "plain": 0.3, "ceiling": 0.9}, names)
    gone = (rows.kind == "plain") & ((rows.seed_a == "5") | (rows.seed_b == "5"))
    found = both(rows.assign(value=rows.value.where(~gone)))[0]
    assert (found.seeds, found.asked) == (11, 12)
    assert {row.against for row in found.comparisons} == {"base", "plain"}


def test_names_of_bases_are_opaque() -> None:
    plain = both(table({"base": 0.3, "pruned": 0.8, "ceiling": 0.9}))[0]
    names = tuple(f"net=a_own={name}" for name in "zyxwvu")
    other = both(table({"base": 0.3, "pruned": 0.8, "ceiling": 0.9}, names))[0]
    assert other == plain


def test_a_new_experiment_is_costed_with_its_probable_answer() -> None:
    found = walk({"base": 0.3, "pruned": (0.3, 0.25), "ceiling": 0.9})
    assert found.answer == "undecided"
    assert found.needed is not None
    assert found.needed > 6
    assert found.likely == "does not converge"
    assert f"A new experiment of about {found.needed} seeds" in found.sentence
    hopeless = walk({"base": 0.3, "pruned": (0.45, 0.3), "ceiling": 0.9})
    assert hopeless.needed is None
    assert "Even a new experiment of 100 seeds" in hopeless.sentence


def test_seeds_that_are_named_decide_as_often_as_promised() -> None:
    """Over undecided experiments of one truth, in most of them the named number is enough."""
    decided = asked = 0
    for draw in range(40):
        one = both(table({"base": 0.3, "pruned": (0.3, 0.25), "ceiling": 0.9}, draw=draw))[0]
        if one.answer == "undecided" and one.needed is not None:
            names = tuple(str(k) for k in range(one.needed))
            means = {"base": 0.3, "pruned": (0.3, 0.25), "ceiling": 0.9}
            again = both(table(means, names, draw=1000 + draw), estimate=False)[0]
            asked += 1
            decided += again.answer != "undecided"
    assert asked >= 10
    assert decided >= 0.65 * asked


def test_planned_looks_widen_the_interval() -> None:
    rows = table({"base": 0.3, "pruned": (0.7, 0.05), "ceiling": 0.9})
    one, four = both(rows)[0], both(rows, Rules(looks=4))[0]
    assert four.low < one.low < one.high < four.high
    assert "98.75% interval" in four.sentence


# --- truths of predictions ----------------------------------------------------------------------


def similarities(logits: Any, measure: str) -> Any:
    """A measure of all pairs of models, from logits models × images × classes."""
    models = [Predictions(one, np.zeros(len(one), dtype=np.int64)) for one in logits]
    values = MEASURES[measure].values
    return [float(np.mean(values(a, b))) for a, b in itertools.combinations(models, 2)]


def of_predictions(measure: str, **logits: Any) -> pd.DataFrame:
    rows = [
        (*pair, kind, "r", value)
        for kind, models in logits.items()
        for pair, value in zip(
            itertools.combinations(SEEDS, 2), similarities(models, measure), strict=True
        )
    ]
    return pd.DataFrame(rows, columns=list(pair_values.COLUMNS))


@pytest.mark.parametrize("measure", ["agreement", "cosine_prob", "jensen_shannon"])
def test_models_that_are_one_and_the_same_converge_and_unrelated_ones_do_not(measure: str) -> None:
    rng = np.random.default_rng(0)
    base, unrelated = (2 * rng.normal(size=(6, 400, 10)) for _ in range(2))
    shared = 2 * rng.normal(size=(1, 400, 10))
    alike, ceiling = (shared + 0.1 * rng.normal(size=(6, 400, 10)) for _ in range(2))
    on = scale.of_measure(MEASURES[measure])
    for pruned, expected in ((alike, "converges"), (unrelated, "does not converge")):
        rows = of_predictions(measure, base=base, pruned=pruned, ceiling=ceiling)
        assert answer.answers(rows, "r", Rules(), on)["walk"].answer == expected


def test_confidence_alone_does_not_converge_by_the_primary_measure() -> None:
    """The same logits, less confident: a confidence gauge calls that convergence."""
    rng = np.random.default_rng(1)
    logits = 4 * rng.normal(size=(6, 400, 10)) + 3 * rng.normal(size=(1, 400, 10))
    flat = logits / 4
    shared = 4 * rng.normal(size=(1, 400, 10))
    ceiling = shared + 0.1 * rng.normal(size=(6, 400, 10))
    means = {
        measure: of_predictions(measure, base=logits, pruned=flat, ceiling=ceiling)
        for measure in ("agreement", "cosine_prob")
    }
    assert both(means["agreement"])[0].answer == "does not converge"
    assert both(means["agreement"])[0].effect == pytest.approx(0, abs=1e-9)
    assert both(means["cosine_prob"])[0].effect > 0.2


def test_a_control_that_gives_every_image_one_answer_has_no_part() -> None:
    rng = np.random.default_rng(4)
    logits, common = rng.normal(size=(6, 300, 10)) * 3, rng.normal(size=(1, 300, 10)) * 3
    flat = 0.02 * rng.normal(size=(6, 300, 10)) + rng.normal(size=10) * 0.3
    rows = of_predictions(
        "cosine_prob", base=logits, pruned=0.55 * common + 0.45 * logits, random=flat
    )
    assert rows[rows.kind == "random"].value.mean() > 0.99
    left_out = {"random": "at chance"}
    assert both(rows, left_out=left_out)[0].answer == "converges"


# --- from tables of models ----------------------------------------------------------------------

GRID = [
    *model_ids.grid(map(Model, [1, 2, 3, 4, 5, 6]), [1e-4], [2], [0.02, 0.5]),
]


def alike(a: Model, b: Model) -> float:
    """Bases and threshold 0.02 0.5; threshold 0.5, 0.8; within a base, 0.9."""
    if a.seed == b.seed:
        return 0.9
    noise = 0.01 * np.sin(a.seed * 5 + b.seed * 7)
    return float((0.8 if a.threshold == b.threshold == 0.5 else 0.5) + noise)


def pairs_of(models: list[Model]) -> pd.DataFrame:
    return pd.DataFrame(
        [{"a": str(a), "b": str(b), "agreement": alike(a, b)} for a, b in model_ids.pairs(models)]
    )


def test_each_recipe_has_a_tidy_table() -> None:
    value = model_pairs.from_table(pairs_of(GRID), "agreement")
    groups = model_pairs.by_recipe(GRID)
    assert list(groups) == [
        "λ = 0.0001, 2 epochs, threshold 0.02",
        "λ = 0.0001, 2 epochs, threshold 0.5",
    ]
    answers = {}
    for recipe, group in groups.items():
        rows = model_pairs.tidy(group, GRID, value)
        assert rows.kind.value_counts().to_dict() == {"base": 15, "pruned": 15, "regularized": 15}
        assert set(rows.seed_a) == {f"seed={k}" for k in range(1, 6)}
        answers[recipe] = answer.answers(rows, recipe, Rules(), Scale())["walk"].answer
    assert list(answers.values()) == ["does not converge", "converges"]


def test_the_order_of_a_table_changes_nothing() -> None:
    turned = pairs_of(GRID).sample(frac=1, random_state=0).rename(columns={"a": "b", "b": "a"})
    [group, _] = model_pairs.by_recipe(GRID).values()
    one, other = (
        model_pairs.tidy(group, GRID, model_pairs.from_table(pairs, "agreement"))
        for pairs in (pairs_of(GRID), turned)
    )
    pd.testing.assert_frame_equal(one, other)


def test_a_pair_that_is_not_there_is_named() -> None:
    pairs = pairs_of(GRID)
    value = model_pairs.from_table(pairs[pairs.a != "seed=1"], "agreement")
    [group, _] = model_pairs.by_recipe(GRID).values()
    with pytest.raises(SkeletonsError, match="no pair of seed=1 and seed=2"):
        model_pairs.tidy(group, GRID, value)


def test_of_several_drawings_the_mean_over_those_alive_is_compared_with() -> None:
    grid = model_ids.grid(map(Model, [1, 2, 3]), [1e-4], [1], [0.1])
    models = [*grid, *model_ids.controls(grid, False, [], [1, 2])]

    def value(a: str, b: str) -> float:
        if a.endswith("random=2"):
            return math.nan if "seed=3" in a + b else 0.4
        return 0.2

    [group] = model_pairs.by_recipe(grid).values()
    rows = model_pairs.tidy(group, models, value)
    assert rows[rows.kind == "random"].value.tolist() == pytest.approx([0.3, 0.2, 0.2])


def test_other_orders_of_the_images_are_the_ceiling() -> None:
    grid = model_ids.grid(map(Model, [1, 2]), [1e-4], [1], [0.1])
    models = [*grid, *model_ids.controls(grid, False, [1, 2], [])]

    def value(a: str, b: str) -> float:
        return 0.6 if a == "seed=1" else 0.9

    [group] = model_pairs.by_recipe(grid).values()
    rows = model_pairs.tidy(group, models, value)
    ceiling = rows[rows.kind == "ceiling"]
    assert ceiling.seed_a.tolist() == ceiling.seed_b.tolist() == ["seed=1", "seed=2"]
    assert ceiling.value.tolist() == pytest.approx([np.mean([0.6, 0.6, 0.9]), 0.9])


def test_kinds_that_come_later_take_part_as_soon_as_they_are_there() -> None:
    """Walks without a penalty share the epochs of a recipe, stopped bases need share nothing."""

    class Later(Model):
        kind = ""

        @property
        def state(self) -> str:
            return self.kind

    def later(kind: str, *parts: Any) -> Model:
        made = Later(*parts)
        object.__setattr__(made, "kind", kind)
        return made

    grid = model_ids.grid(map(Model, [1]), [1e-4], [1, 2], [0.1])
    models = [
        *grid,
        later("plain", 1, 0.0, 2),
        later("plain", 1, 0.0, 1),
        later("plain", 2, 0.0, 2),
        later("stopped", 1),
    ]
    group = model_pairs.by_recipe(grid)["λ = 0.0001, 2 epochs, threshold 0.1"]
    found = model_pairs.members(group, models)
    assert found["plain"] == {"seed=1": ["seed=1_l1=0_ep=2"]}
    assert found["stopped"] == {"seed=1": ["seed=1"]}


# --- tables of users ----------------------------------------------------------------------------


def judged(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["verdict", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_in_a_file_has_the_same_answer(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = table({"base": 0.3, "regularized": 0.79, "pruned": 0.8, "ceiling": 0.9})
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        rows.to_csv(path, index=False)
    else:
        rows.assign(seed_a=rows.seed_a.astype(int), seed_b=rows.seed_b.astype(int)).to_parquet(path)
    said = judged(capsys, str(path))
    assert said.startswith("Do models of different bases converge on the walk?\n  Models of")
    found = json.loads(judged(capsys, str(path), "--json"))
    for one in both(rows):
        numbers = found[one.question]
        assert list(numbers) == ["answer", "effect", "low", "high", "p", "seeds"]
        assert numbers["answer"] == one.answer
        assert numbers["low"] == pytest.approx(one.low)
    assert "**" not in said


def test_models_pruned_at_random_take_part_only_if_they_are_known_to_live(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "t.csv")
    table({"base": 0.2, "pruned": 0.6, "random": 0.99}).to_csv(path, index=False)
    assert json.loads(judged(capsys, path, "--json"))["walk"]["answer"] == "converges"
    alive = json.loads(judged(capsys, path, "--json", "--random-alive"))
    assert alive["walk"]["answer"] == "does not converge"


def test_a_built_in_measure_gives_its_range_and_its_similar_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "t.csv")
    table({"base": 0.4, "pruned": 0.1, "ceiling": 0.05}).to_csv(path, index=False)
    said = judged(capsys, path, "--measure", "jensen_shannon", "--json")
    assert json.loads(said)["walk"]["answer"] == "converges"


def test_of_several_recipes_the_best_one_pays_for_the_choice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        table({"base": 0.3, "ceiling": 0.9}, recipe=""),
        table({"pruned": (0.72, 0.03)}, recipe="one"),
        table({"pruned": 0.31}, recipe="two"),
    ]
    rows = pd.concat(parts)
    path = str(tmp_path / "t.csv")
    rows.to_csv(path, index=False)
    assert "Of 2 recipes, 'one' decides" in judged(capsys, path)
    assert "does not converge" in judged(capsys, path, "--recipe", "two", "--json")
    found = recipes_together.answers(rows, ["one", "two"], Rules(), Scale())["walk"]
    alone = answer.answers(rows, "one", Rules(), Scale())["walk"]
    assert found.low < alone.low
    same = pd.concat([parts[0], parts[2], parts[2].assign(recipe="three")])
    none = recipes_together.answers(same, ["two", "three"], Rules(), Scale())["walk"]
    assert none.answer == "does not converge"
    assert none.low == answer.answers(same, "two", Rules(), Scale())["walk"].low


def test_recipes_that_all_fail_need_no_correction() -> None:
    """If each of two is clearly below the limit, both are, at the same level."""
    near = pd.concat(
        [
            table({"base": 0.3, "ceiling": 0.9}, recipe=""),
            *(table({"pruned": (0.374, 0.03)}, recipe=recipe) for recipe in ("one", "two")),
        ]
    )
    strict = replace(Rules(), alpha=Rules().alpha / 2)
    assert answer.answers(near, "one", Rules(), Scale())["walk"].answer == "does not converge"
    assert answer.answers(near, "one", strict, Scale())["walk"].answer == "undecided"
    found = recipes_together.answers(near, ["one", "two"], Rules(), Scale())["walk"]
    assert found.answer == "does not converge"
    assert "comes closest" in found.sentence


def test_rows_of_a_kind_without_a_recipe_serve_all_recipes() -> None:
    rows = table({"pruned": 0.8, "base": 0.3})
    for name in ("", "base", "r"):
        chosen = rows.assign(recipe=rows.recipe.where(rows.kind != "base", name))
        assert both(chosen)[0].answer == "converges"
    two = pd.concat([rows, table({"pruned": 0.8}, recipe="other"), table({"plain": 0.8})])
    found = answer.answers(two, "other", Rules(), Scale())["walk"]
    assert "plain" in found.missing  # those of another recipe are not its own


def test_a_table_is_not_changed() -> None:
    rows = table({"base": 0.3, "pruned": 0.8})
    before = rows.copy()
    both(tidy.checked(rows, "t"))
    pd.testing.assert_frame_equal(rows, before)
    assert replace(both(rows)[0], sentence="") == replace(both(rows)[0], sentence="")
