"""Controls whose answer is known, and variants of one base, on models with random answers."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_findings import IMAGES, scores, walk

from skeletons import model_ids
from skeletons.findings import gather, known_controls, model_pairs, stage, within_base
from skeletons.findings.plain import plain
from skeletons.findings.rules import CONVERGES, NOT, NOT_TESTED
from skeletons.measures import behaviour
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model

SEEDS = range(1, 7)
RECIPE: dict[str, Any] = {"lambdas": [1e-4], "epochs": [1], "thresholds": [0.1]}
FORKS = (0.3, 0.9)
Truth = Mapping[str, float]  # by family: how much noise there is on what its pruned models share
FOUND = {"planted": 0.1, "labels": 100.0, "forked": 0.1}
AMONG = [(a, b) for a, b in itertools.combinations(SEEDS, 2)]


def grid(roots: list[Model]) -> list[Model]:
    return model_ids.grid(roots, *RECIPE.values())


def experiment(noise: Truth, families: tuple[str, ...] = tuple(FOUND)) -> dict[str, Any]:
    """The arguments of `summarize`: bases that have nothing in common, and families of controls."""
    bases = [Model(seed) for seed in SEEDS]
    chosen = grid(bases)
    for family in set(families) - {"forked"}:
        chosen += grid([base.of(**{family: True}) for base in bases])
    if "forked" in families:
        children = {s: [Model(1, fork=s, order=n) for n in SEEDS[:-1]] for s in FORKS}
        chosen += [*children[FORKS[0]], *grid(children[FORKS[1]])]
    rng = np.random.default_rng(0)

    def drawn() -> Any:
        return rng.normal(size=(IMAGES, 10)) * 2

    shared = {family: drawn() for family in FOUND}
    trunk = drawn()
    known = {}
    for model in sorted(chosen, key=lambda model: model.sort_key):
        logits = drawn()
        if model.stage == "pruned" and model.family:
            logits = shared[model.family] + rng.normal(size=logits.shape) * noise[model.family]
        if model.stage == "pruned" and model.base == model.root == Model(1):  # the first child
            logits = shared["forked"] + rng.normal(size=logits.shape) * noise["forked"]
        if model.l1 is None and (model.fork is not None or model == Model(1)):
            logits = trunk + logits * (1 - (model.fork or 1))
        known[str(model)] = Predictions(logits, np.zeros(IMAGES, dtype=np.int64))
    rows = [
        {"a": str(a), "b": str(b), **behaviour.compare(known[str(a)], known[str(b)])}
        for a, b in model_ids.pairs(chosen)
    ]
    walked = [str(model) for model in chosen if model.stage == "regularized"]
    return {
        "experiment": "x",
        "table": scores(chosen).assign(accuracy=0.7),
        "similarity": {"digits": pd.DataFrame(rows)},
        "measures": ["kappa"],
        "walked": {name: walk([1.0] * 3) for name in walked},
    }


def test_each_family_gets_the_answer_that_is_true() -> None:
    found = gather.summarize(**experiment(FOUND))
    answers = {one.family: one for one in found["known_controls"]["answers"]}
    assert {family: one.answer for family, one in answers.items()} == {
        "planted": CONVERGES,
        "forked": CONVERGES,
        "labels": NOT,
    }
    assert all(one.holds for one in answers.values())
    assert found["verdict"]["answer"] == NOT
    ceilings = {family: answers[family].similarity["digits"]["ceiling"] for family in answers}
    [recipe] = found["verdict"]["by"]["digits"]["kappa"]["recipes"]
    assert ceilings["labels"] == pytest.approx(recipe.walk.similarity["ceiling"])
    assert ceilings["planted"] == pytest.approx(ceilings["labels"])
    assert ceilings["forked"] != pytest.approx(ceilings["labels"])  # theirs is before their walks
    text = stage.as_markdown(found)
    assert "| planted skeletons | converge | converges | yes |" in text
    assert "| bases with permuted labels | do not converge | does not converge | yes |" in text
    assert plain(found)["known_controls"]["answers"][0]["holds"] is True


def compared(made: dict[str, Any], *states: str) -> dict[str, Any]:
    """The same experiment if only models in some states are compared, beside controls."""

    def keeps(name: str) -> bool:
        model = Model.parse(name)
        walked = model.stage == "regularized"
        return (model.control is not None and not walked) or model.stage in states

    pairs = made["similarity"]["digits"]
    return {**made, "similarity": {"digits": pairs[pairs.a.map(keeps) & pairs.b.map(keeps)]}}


def test_regularised_models_need_not_be_compared() -> None:
    """As in `experiments/truth.yaml`: the walks of controls are certified all the same."""
    found = gather.summarize(**compared(experiment(FOUND), "base", "pruned"))
    answers = {one.family: one.answer for one in found["known_controls"]["answers"]}
    assert answers == {"planted": CONVERGES, "forked": CONVERGES, "labels": NOT}
    assert found["verdict"]["answer"] == NOT


@pytest.mark.parametrize("families", [("forked",), tuple(FOUND)])
def test_bases_need_not_be_compared(families: tuple[str, ...]) -> None:
    """Then no independent bases stand beside the children, and the first child is missing."""
    found = gather.summarize(**compared(experiment(FOUND, families), "pruned"))
    rows = found["known_controls"]["doses"]["digits"]
    assert [(row["share"], row["pairs"]) for row in rows] == [(None, 0), (0.3, 10), (0.9, 10)]
    judged = {one.family for one in found["known_controls"]["answers"]}
    assert judged == set(families) - {"forked"}


def test_permuted_labels_must_converge_on_no_set() -> None:
    """They fail as a control if they converge on one set, whatever the others show."""
    alike = experiment({**FOUND, "labels": 0.1})
    apart = experiment(FOUND)
    alike["similarity"] |= {"letters": apart["similarity"]["digits"]}
    found = gather.summarize(**alike)
    [labels] = [one for one in found["known_controls"]["answers"] if one.family == "labels"]
    assert not labels.holds
    assert "bases with permuted labels are found to converge" in found["verdict"]["answer"]


def test_a_control_that_is_undecided_shows_nothing() -> None:
    """Without a ceiling, whether permuted labels converge is undecided."""
    found = gather.summarize(**experiment(FOUND, ("labels",)))
    [labels] = found["known_controls"]["answers"]
    assert (labels.answer, labels.holds, labels.shown) == ("undecided", True, False)
    text = stage.as_markdown(found)
    assert "| bases with permuted labels | do not converge | undecided | not shown |" in text
    [known] = [one for one in found["verdict"]["preconditions"] if one.name == "controls"]
    assert (known.holds, known.found) == (True, "bases with permuted labels: undecided")


def test_why_nothing_was_tested_is_said_once() -> None:
    """If bases and controls miss the target, the answer does not repeat it for each control."""
    made = experiment(FOUND)
    found = gather.summarize(**{**made, "table": made["table"].assign(optimal=False)})
    answer = found["verdict"]["answer"]
    assert answer.count("`base.target`") == 1
    assert "planted skeletons are not found (not tested)" in answer
    text = stage.as_markdown(found)
    assert "- Planted skeletons: (Mean similarity: the bases " in text
    assert "| planted skeletons | converge | not tested: 6 of 6 base models miss" in text
    assert "-0.0" not in text.split("## Does the method find")[1].split("\n## ")[0]


def test_without_forks_the_ceiling_of_what_was_planted_is_one_model() -> None:
    [one] = gather.summarize(**experiment(FOUND, ("planted",)))["known_controls"]["answers"]
    assert one.answer == CONVERGES
    assert one.similarity["digits"]["ceiling"] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("family", "sentence"),
    [
        ("planted", "planted skeletons are not found (does not converge)"),
        ("forked", "late forks of one base are not found (does not converge)"),
        ("labels", "bases with permuted labels are found to converge (converges)"),
    ],
)
def test_the_headline_says_that_a_control_is_not_as_it_must_be(family: str, sentence: str) -> None:
    wrong = {**FOUND, family: 100.0 if FOUND[family] < 1 else 0.1}
    found = gather.summarize(**experiment(wrong))
    assert found["verdict"]["answer"] == f"{NOT_TESTED}: {sentence}"
    assert f"**Not tested**: {sentence}." in stage.as_markdown(found)


def test_without_such_controls_nothing_is_said_of_them() -> None:
    found = gather.summarize(**experiment(FOUND, ()))
    assert found["known_controls"] == {"answers": [], "doses": {}}
    names = [one.name for one in found["verdict"]["preconditions"] if one.found]
    assert "controls" not in names
    assert "only that?" not in stage.as_markdown(found)


def test_controls_that_are_walked_change_nothing_of_the_bases_numbers() -> None:
    """The certificates, the bases, the skeletons and the claims are those of the experiment."""
    alone = gather.summarize(**experiment(FOUND, ()))
    found = gather.summarize(**experiment(FOUND, ("planted", "labels")))
    for key in ("bases", "skeleton_models", "walks"):
        assert plain(found[key]) == plain(alone[key]), key


def test_the_ceiling_is_the_latest_fork_and_the_response_follows_the_dose() -> None:
    made = experiment(FOUND, ("forked",))
    found = gather.summarize(**made)
    rows = found["known_controls"]["doses"]["digits"]
    assert [row["share"] for row in rows] == [None, *FORKS]
    means = [row["mean"] for row in rows]
    assert means == sorted(means)
    assert {row["pairs"] for row in rows} == {len(AMONG)}
    [recipe] = found["verdict"]["by"]["digits"]["kappa"]["recipes"]
    pruned = [model for model in made["similarity"]["digits"].a.unique() if "_t=" in model]
    assert sum("fork=0.9" in model for model in pruned) >= 4
    [one] = found["known_controls"]["answers"]
    assert recipe.walk.similarity["ceiling"] == pytest.approx(one.similarity["digits"]["pruned"])
    assert one.similarity["digits"]["ceiling"] == pytest.approx(means[-1], abs=0.02)


def test_a_child_plays_the_part_of_a_seed_and_the_base_is_the_first_child() -> None:
    chosen = grid([Model(seed) for seed in (3, 5, 7)])
    chosen += grid([Model(3, fork=0.9, order=n) for n in (1, 2)])
    parts = known_controls.cast(chosen, "forked")
    assert parts["seed=3"] == "seed=3"
    assert parts["seed=3_fork=0.9_order=2"] == "seed=7"
    assert parts["seed=3_fork=0.9_order=1_l1=0.0001_ep=1"] == "seed=5_l1=0.0001_ep=1"
    assert "seed=5" not in parts
    assert len(parts) == 9


def test_children_of_a_share_of_zero_are_other_orders() -> None:
    chosen = [Model(1), Model(2), Model(1, order=1), Model(2, order=1), Model(1, fork=0.5, order=1)]
    assert model_pairs.forks(chosen) == {
        0.0: [Model(1), Model(1, order=1)],
        0.5: [Model(1), Model(1, fork=0.5, order=1)],
    }
    assert model_pairs.forks(chosen[:4]) == {}


# --- within a base ------------------------------------------------------------------------------


def variants(common: float, own: float, seeds: int = 5) -> Any:
    """Variants of each base: it changes by something they have in common, and something else."""
    chosen = model_ids.grid(map(Model, range(1, seeds + 1)), [1e-4, 2e-4, 4e-4], [1], [0.1])
    rng = np.random.default_rng(1)
    shape = (IMAGES * 4, 10)
    logits: dict[Model, Any] = {}
    common_change: dict[Model, Any] = {}
    for model in chosen:
        if model.state == "base":
            logits[model] = rng.normal(size=shape)
            common_change[model] = rng.normal(size=shape) * common
        elif model.state == "pruned":
            change = common_change[model.base] + rng.normal(size=shape) * own
            logits[model] = logits[model.base] + change
    labels = np.zeros(len(next(iter(logits.values()))), dtype=np.int64)
    known = {model: Predictions(found, labels) for model, found in logits.items()}
    rows = [
        {"a": str(a), "b": str(b), **behaviour.compare(known[a], known[b])}
        for a, b in model_ids.pairs(known)
    ]
    return pd.DataFrame(rows)


def within(common: float, own: float, seeds: int = 5) -> list[within_base.Within]:
    found = within_base.by_set({"digits": variants(common, own, seeds)}, ["kappa"], MEASURES, 0.025)
    return found["digits"]


def test_strategies_with_a_change_in_common_grow_alike() -> None:
    [row] = within(1.0, 0.2)
    assert (row.differ, row.answer, row.bases, row.pairs) == ("λ", "grow alike", 5, 15)
    assert row.among > row.with_base
    assert row.low > 0
    assert row.p < 0.025


def test_strategies_that_go_their_own_ways_do_not() -> None:
    [row] = within(0.0, 1.0)
    assert row.answer == "do not grow alike"
    assert row.high < 0


def test_two_bases_decide_nothing() -> None:
    [row] = within(1.0, 0.2, seeds=2)
    assert row.answer == "undecided"
    assert np.isnan(row.low)


def test_the_page_has_the_answer_within_bases() -> None:
    found = {"digits": within(1.0, 0.2)}
    text = within_base.markdown(found, 0.025)
    assert "| λ | 5 | 15 |" in text
    assert "grow alike |" in text
    assert within_base.markdown({}, 0.025) == ""


def test_what_differs_is_told_apart() -> None:
    a = Model(1, 1e-4, 1, 0.1)
    assert within_base._differ(a, Model(1, 2e-4, 1, 0.1)) == ["λ"]
    assert within_base._differ(a, Model(1, 1e-4, 2, 0.1)) == ["epochs"]
    assert within_base._differ(a, Model(1, 1e-4, 1, density=0.1)) == ["threshold or density"]
