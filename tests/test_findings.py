import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SCIENCE, Workflow

from skeletons import model_ids
from skeletons.config.sections import Findings
from skeletons.findings import (
    gather,
    judged,
    networks,
    pair_kinds,
    pair_tables,
    preconditions,
    stage,
    walk_certificates,
)
from skeletons.findings.plain import plain
from skeletons.findings.rules import CONVERGES, NOT, UNDECIDED
from skeletons.findings.scores import score
from skeletons.findings.sections import Section
from skeletons.findings.settings import Settings
from skeletons.findings.verdict import DIFFERS
from skeletons.measures import behaviour
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model
from skeletons.store import artifacts

GRID = ([Model(1), Model(2), Model(3)], [1e-4], [1, 2], [0.02, 0.05])


def scores(chosen: Sequence[Model] = tuple(model_ids.grid(*GRID))) -> pd.DataFrame:
    rows = []
    for model in chosen:
        threshold = model.threshold or 0.0
        rows.append(
            {
                "model": str(model),
                "state": model.state,
                "seed": model.seed,
                "l1": model.l1,
                "epochs": model.epochs,
                "threshold": model.threshold,
                "accuracy": 0.7 - 0.005 * (model.epochs or 0) - (0.02 if threshold > 0.03 else 0),
                "loss": 1.0,
                "train_loss": None if threshold else 0.2,
                "train_accuracy": None if threshold else 0.9,
                "sparsity": 0.9 if threshold else 0.0,
                "dead": False,
                "dead_reason": None,
                "optimal": model.stage in ("base", *model_ids.FAMILIES) or None,
                "optimal_reason": None,
            }
        )
    return pd.DataFrame(rows).astype({"l1": float, "epochs": float, "threshold": float})


def pairs() -> pd.DataFrame:
    """Bases are alike by 0.5; pruned models of two bases by 0.5 plus their threshold."""
    rows = []
    for a, b in model_ids.pairs(model_ids.grid(*GRID, states=["base", "pruned"])):
        value = 0.9 if a.seed == b.seed else 0.5 + (a.threshold or 0)
        rows.append({"a": str(a), "b": str(b), "cosine_prob": value})
    return pd.DataFrame(rows)


def test_skeletons_are_sparse_and_as_good_as_their_base() -> None:
    found = pair_tables.skeletons(scores())
    assert list(found.model) == [
        f"seed={s}_l1=0.0001_ep={e}_t=0.02" for s in (1, 2, 3) for e in (1, 2)
    ]
    assert (found["drop"] <= 0.02).all()


@pytest.mark.parametrize(("kept", "found"), [(23_354, 6), (23_355, 6), (23_356, 0)])
def test_a_density_that_is_rounded_to_whole_weights_is_met(kept: int, found: int) -> None:
    """A fifth of 116,774 weights is 23,354.8, so a density of 0.2 keeps 23,355 of them."""
    table = scores().assign(prunable=116_774)
    table.loc[table.state == "pruned", "sparsity"] = 1 - kept / 116_774
    assert len(pair_tables.skeletons(table)) == found


def test_a_retrained_skeleton_keeps_its_training_loss_too() -> None:
    table = scores()
    pruned = table.model.str.contains("t=0.02")
    bounds = [0.051 if name.startswith("seed=2") else 0.05 for name in table.model[pruned]]
    table.loc[pruned, "loss_bound"] = bounds
    found = pair_tables.skeletons(table, rise=0.05)
    assert list(found.model) == [
        f"seed={s}_l1=0.0001_ep={e}_t=0.02" for s in (1, 3) for e in (1, 2)
    ]
    assert len(pair_tables.skeletons(table, rise=0.06)) == 6
    assert pair_tables.retrained(table) == set(table.model[pruned])
    group = [Model.parse(name) for name in table.model[pruned] if "ep=1" in name]
    required = preconditions.skeletons(group, table, "r", 0.9, 0.8, 0.02, 0.05)
    assert not required.holds
    assert required.found == (
        "2 of 3 pruned models are skeletons of at least 80% sparsity within 2 points of accuracy "
        "and 0.05 nats of training loss, fewer than 90%"
    )


def test_models_of_different_bases_are_compared_when_made_the_same_way() -> None:
    unpruned, low, high = pair_tables.across_bases(pairs(), "cosine_prob")
    assert unpruned == {
        "threshold": None,
        "pairs": 3,
        "undefined": 0,
        "mean": 0.5,
        "min": 0.5,
        "max": 0.5,
    }
    assert (low["threshold"], low["pairs"]) == (0.02, 6)
    assert low["mean"] == pytest.approx(0.52)
    assert high["mean"] == pytest.approx(0.55)


def test_undefined_pairs_are_counted_and_not_averaged() -> None:
    table = pairs()
    table.loc[table.a == "seed=1", "cosine_prob"] = np.nan
    unpruned = pair_tables.across_bases(table, "cosine_prob")[0]
    assert (unpruned["pairs"], unpruned["undefined"]) == (3, 2)
    assert unpruned["mean"] == 0.5


def test_the_page_says_what_was_found() -> None:
    found = gather.summarize("x", scores(), {"mnist": pairs()}, ["cosine_prob"])
    assert found["models"] == 21
    assert found["compared_models"] == 15
    assert found["pairs"] == 15 * 14 // 2
    text = stage.as_markdown(found)
    assert "15 of them are compared, in 105 pairs" in text
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles[0] == "## Do models of different bases converge?"
    assert titles[-1] == "## Details"
    assert "| unpruned bases | 3 | 0.500 |" in text
    assert "and at most 2 points of accuracy?" in text
    assert "| 90.00% | 69.50% | −0.50 |" in text  # a difference of shares is not a share


def test_the_page_is_its_sections_and_json_has_them_in_this_order() -> None:
    noise = pairs().assign(cosine_prob=lambda table: table.cosine_prob - 0.1)
    by_set = {"mnist": pairs(), "noise": noise}
    found = gather.summarize("x", scores(), by_set, ["cosine_prob"])
    sections = stage.as_json(found)["sections"]
    names = [section["name"] for section in sections]
    assert names == [
        *("verdict", "next", "claims", "within_bases", "kinds", "bases"),
        *("walks", "skeletons", "details"),
    ]
    text = stage.as_markdown(found)
    parts = [
        "# Findings of `x`",
        *(
            part
            for section in sections
            for part in (f"## {section['title']}", section["lead"], section["text"])
            if part
        ),
    ]
    assert text == "\n\n".join(parts) + "\n"
    leads = {section["name"]: section["lead"] for section in sections if section["lead"]}
    assert set(leads) == {"verdict", "next", "claims"}  # the report shows only these elsewhere
    assert "**Not tested**: 0 of 3 walks are certified" in leads["verdict"]
    assert leads["claims"].count("| claim |") == text.count("| claim |") == 2


def test_the_settings_are_those_of_the_configuration() -> None:
    configured = Findings().model_dump()
    assert Settings(**configured) == dataclasses.replace(Settings(), primary=configured["primary"])


def test_bases_off_the_optimum_are_named_right_under_the_verdict() -> None:
    table = scores()
    assert preconditions.off_optimum(table) == ""
    table.loc[table.model == "seed=2", "optimal"] = False
    text = stage.as_markdown(gather.summarize("x", table, {"m": pairs()}, ["cosine_prob"]))
    opening = text.split("\n\n")[2]
    assert opening.startswith("**Not tested**: 1 of 3 base models miss `base.target`; 0 of 3 walks")
    assert text.split("\n\n")[4].startswith("`seed=2` misses `base.target`. Train the bases longer")


@pytest.mark.parametrize(
    ("measures", "main", "says"),
    [
        (["cosine_prob", "jensen_shannon"], "cosine_prob", ""),
        (
            ["jensen_shannon", "disagreement", "agreement", "cosine_prob"],
            "agreement",
            "use `agreement`, the first of `figures.measures` for which higher means more alike. "
            "For `jensen_shannon` and `disagreement`, listed before it, lower does.",
        ),
        (["jensen_shannon"], "", "but `figures.measures` contains only dissimilarities."),
    ],
)
def test_claims_say_why_they_do_not_use_the_first_measure(
    measures: list[str], main: str, says: str
) -> None:
    used, note = gather.claims_measure(measures)
    assert used == main
    assert note.endswith(says)
    assert bool(note) == bool(says)


def test_the_note_on_the_claims_stands_above_them() -> None:
    table = pairs().assign(jensen_shannon=0.5)
    found = gather.summarize("x", scores(), {"m": table}, ["jensen_shannon", "cosine_prob"])
    parts = stage.as_markdown(found).split("\n\n")
    title = parts.index("## The post's observations, claim by claim")
    assert parts[title + 1].startswith("The claims use `cosine_prob`")


# --- synthetic experiments with a known truth ---------------------------------------------------

IMAGES = 250


def experiment(seeds: int, pruned: str, thresholds: Sequence[float] = (0.1,)) -> dict[str, Any]:
    """The arguments of `summarize`, for models with random answers.

    Bases, regularised and randomly pruned models are random; another order of the images changes a
    base a little. Pruned models are `alike` (one and the same but for noise), `independent` or
    `dead`. Walks are certified, and pruned models are skeletons.
    """
    grid = model_ids.grid(map(Model, range(1, seeds + 1)), [1e-4], [1], thresholds)
    chosen = [*grid, *model_ids.controls(grid, True, [1], [1, 2])]
    rng = np.random.default_rng(0)
    skeleton = rng.normal(size=(IMAGES, 10)) * 2
    known: dict[str, Predictions] = {}
    for model in chosen:
        logits = rng.normal(size=(IMAGES, 10)) * 2
        if model.state == "reordered":
            logits = known[str(model.base)].logits + rng.normal(size=(IMAGES, 10)) * 0.1
        if model.state == "pruned" and pruned == "alike":
            logits = skeleton + rng.normal(size=(IMAGES, 10)) * 0.1
        if model.state == "pruned" and pruned == "dead":
            logits = np.ones((IMAGES, 10))
        known[str(model)] = Predictions(logits, np.zeros(IMAGES, dtype=np.int64))
    rows = [
        {"a": str(a), "b": str(b), **behaviour.compare(known[str(a)], known[str(b)])}
        for a, b in model_ids.pairs(chosen)
    ]
    walked = [str(model) for model in grid if model.state == "regularized"]
    return {
        "experiment": "x",
        "table": scores(chosen).assign(accuracy=0.7),
        "similarity": {"digits": pd.DataFrame(rows)},
        "measures": ["agreement", "cosine_prob", "jensen_shannon"],
        "walked": {name: walk([1.0] * 3) for name in walked},
    }


@pytest.mark.parametrize(
    ("seeds", "pruned", "answer"),
    [
        (6, "alike", CONVERGES),
        (6, "independent", NOT),
        (4, "alike", UNDECIDED),  # a decision needs five
        (2, "alike", UNDECIDED),
        (6, "dead", UNDECIDED),
    ],
)
def test_the_verdict_is_the_truth_or_undecided(seeds: int, pruned: str, answer: str) -> None:
    found = gather.summarize(**experiment(seeds, pruned))
    assert found["verdict"]["answer"] == answer
    for by_measure in found["verdict"]["by"]["digits"].values():
        [recipe] = by_measure["recipes"]
        assert recipe.walk.answer == answer
        assert recipe.walk.unit == "rise" if pruned == "dead" else "share"
        assert [row.against for row in recipe.walk.comparisons] == ["base", "random"]
        assert [row.against for row in recipe.pruning.comparisons] == ["regularized"]
    assert json.loads(json.dumps(plain(found), allow_nan=False))


def test_few_seeds_say_plainly_what_is_missing() -> None:
    text = stage.as_markdown(gather.summarize(**experiment(2, "alike", (0.1, 0.2))))
    assert "**undecided**: there are 2 seeds, and a decision needs 5 or more" in text


def test_without_controls_and_a_ceiling_the_verdict_says_so() -> None:
    made = experiment(6, "alike")
    bare = pair_tables.without_controls(made["similarity"]["digits"])
    found = gather.summarize(**{**made, "similarity": {"digits": bare}})
    one = found["verdict"]["by"]["digits"]["agreement"]
    assert one["walk"] == CONVERGES
    assert "Not compared with the same walk without a penalty, bases stopped" in one["sentence"]
    assert "Without a ceiling (there is none), the rise is compared with" in one["sentence"]
    assert one["pruning"] == UNDECIDED


def test_without_bases_there_is_nothing_to_compare_with() -> None:
    made = experiment(3, "alike")
    pairs = made["similarity"]["digits"]
    rest = pairs[~pairs.a.str.fullmatch(r"seed=\d+") & ~pairs.b.str.fullmatch(r"seed=\d+")]
    found = gather.summarize(**{**made, "similarity": {"digits": rest}})
    assert found["verdict"]["answer"] == UNDECIDED
    assert "no comparison with the bases could be had" in stage.as_markdown(found)


def test_a_control_that_is_far_less_accurate_has_no_part() -> None:
    made = experiment(6, "alike")
    table = made["table"]
    table.loc[table.state == "random", "accuracy"] = 0.64
    found = gather.summarize(**made)
    [recipe] = found["verdict"]["by"]["digits"]["agreement"]["recipes"]
    assert [row.against for row in recipe.walk.comparisons] == ["base"]
    assert "with an accuracy of 64.0%, 6.0 points below the pruned models" in recipe.walk.sentence
    close = gather.summarize(**{**made, "settings": Settings(control_drop=0.07)})
    [recipe] = close["verdict"]["by"]["digits"]["agreement"]["recipes"]
    assert [row.against for row in recipe.walk.comparisons] == ["base", "random"]


# --- the primary question -----------------------------------------------------------------------


def chosen(made: dict[str, Any], **primary: Any) -> tuple[str, bool]:
    settings = Settings(primary=primary or None)
    found = gather.summarize(**{**made, "settings": settings})["verdict"]
    rows = found["by"]["digits"]["agreement"]["recipes"]
    [first] = [row.recipe for row in rows if row.primary]
    assert first == found["recipe"]
    return found["recipe"], found["fixed"]


def test_the_named_recipe_is_the_primary_one() -> None:
    made = experiment(5, "alike", (0.1, 0.2))
    wanted = {"l1": 1e-4, "epochs": 1, "threshold": 0.1}
    assert chosen(made, recipe=wanted) == ("λ = 0.0001, 1 epoch, threshold 0.1", True)


def test_the_rule_takes_the_recipe_with_most_skeletons_and_then_the_sparsest() -> None:
    made = experiment(5, "alike", (0.1, 0.2))
    table = made["table"]
    table.loc[table.threshold == 0.2, "sparsity"] = 0.95
    assert chosen(made) == ("λ = 0.0001, 1 epoch, threshold 0.2", False)
    table.loc[table.model == "seed=1_l1=0.0001_ep=1_t=0.2", "accuracy"] = 0.5
    assert chosen(made) == ("λ = 0.0001, 1 epoch, threshold 0.1", False)


def test_all_else_is_exploratory() -> None:
    made = experiment(6, "alike", (0.1, 0.2))
    rows = made["similarity"]["digits"]
    other = rows.a.str.endswith("t=0.2") & rows.b.str.endswith("t=0.2")
    rows.loc[other, "agreement"] = rows.loc[other, "agreement"] * 0.1
    found = gather.summarize(**{**made, "settings": Settings(primary={"recipe": RECIPE})})
    assert found["verdict"]["answer"] == CONVERGES
    text = stage.as_markdown(found)
    assert text.count("| exploratory |") == 1
    assert text.count("| **primary** |") == 1
    assert "### By other measures (exploratory)" in text
    assert "`findings.primary` names it" in text


RECIPE = {"l1": 1e-4, "epochs": 1, "threshold": 0.1}


# --- preconditions ------------------------------------------------------------------------------


def test_walks_that_are_not_certified_leave_the_question_untested() -> None:
    made = experiment(6, "alike")
    name = next(iter(made["walked"]))
    made["walked"][name] = walk([1.0, 1.2, 1.0])
    found = gather.summarize(**made)
    answer = found["verdict"]["answer"]
    assert answer == (
        "not tested: 5 of 6 walks are certified, fewer than 90% "
        "(λ = 0.0001, 1 epoch, threshold 0.1)"
    )
    assert found["verdict"]["pruning"] == answer
    sentence = found["verdict"]["by"]["digits"]["agreement"]["sentence"]
    assert sentence.startswith("The mean similarity is 0.")
    [recipe] = found["verdict"]["by"]["digits"]["agreement"]["recipes"]
    assert recipe.walk.effect > 0.5  # what was measured is shown all the same
    allowed = gather.summarize(**{**made, "settings": Settings(loss_rise=0.3)})
    assert allowed["verdict"]["answer"] == CONVERGES


def test_a_walk_is_certified_up_to_the_epochs_of_the_recipe() -> None:
    made = experiment(6, "alike")
    later = {
        name.replace("ep=1", "ep=2"): walk([1.0, 1.0, 1.0, 1.5, 1.5]) for name in made["walked"]
    }
    assert gather.summarize(**{**made, "walked": later})["verdict"]["answer"] == CONVERGES


def test_pruned_models_that_are_no_skeletons_leave_the_question_untested() -> None:
    made = experiment(6, "alike")
    table = made["table"]
    table.loc[(table.state == "pruned") & (table.seed == 3), "accuracy"] = 0.6
    found = gather.summarize(**made)["verdict"]
    assert found["answer"].startswith(
        "not tested: 5 of 6 pruned models are skeletons of at least 80% sparsity within 2 points"
    )
    assert [one.holds for one in found["preconditions"]] == [True, True, True, False]
    loose = Settings(drop=0.15)
    assert gather.summarize(**{**made, "settings": loose})["verdict"]["answer"] == CONVERGES
    strict = Settings(sparsity=0.95)
    assert "0 of 6 pruned" in gather.summarize(**{**made, "settings": strict})["verdict"]["answer"]


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ("alike", "alike", CONVERGES),
        ("independent", "dead", UNDECIDED),
        ("alike", "independent", DIFFERS),
    ],
)
def test_data_sets_must_agree(one: str, other: str, both: str) -> None:
    made = experiment(6, one)
    second = experiment(6, other)["similarity"]["digits"]
    made["similarity"] = {"digits": made["similarity"]["digits"], "svhn": second}
    found = gather.summarize(**made)
    assert found["verdict"]["answer"] == both
    assert f"On all data sets together: **{both}**" in stage.as_markdown(found)


def test_a_planted_outlier_is_named_beside_its_loss() -> None:
    made = experiment(4, "alike", (0.1, 0.2, 0.3))
    odd = "seed=2_l1=0.0001_ep=1_t=0.3"
    pairs = made["similarity"]["digits"]
    with_it = (pairs.a == odd) | (pairs.b == odd)
    pairs.loc[with_it, "cosine_prob"] = 0.01
    # All others are about as alike as each other; controls are unlike all, but no models.
    spread = np.random.default_rng(1).uniform(0.7, 0.9, len(pairs))
    pairs.loc[~with_it, "cosine_prob"] = spread[~with_it]
    found = gather.summarize(**{**made, "drawn": ["cosine_prob"]})
    first, *rest = found["apart"]["digits"]
    assert (first["model"], first["outlier"]) == (odd, True)
    assert not any(row["outlier"] for row in rest)
    assert f"| `{odd}` | 0.010 |" in stage.as_markdown(found)


def test_pairs_of_a_kind_have_in_common_what_it_says() -> None:
    pairs = experiment(3, "alike", (0.1, 0.2))["similarity"]["digits"]
    found = pair_kinds.by_kind(pairs)
    assert list(found) == list(pair_kinds.NAMES)[:6]  # no walks without a penalty, no stopped bases
    counts = {name: len(group) for name, group in found.items()}
    # 3 pairs of seeds; pruned at two thresholds, at random in two drawings each
    assert list(counts.values()) == [3, 3, 3, 3, 6, 12]
    orders = found[pair_kinds.ORDERS]
    assert next(zip(orders.a, orders.b, strict=True)) == ("seed=1", "seed=1_order=1")


def walk(losses: Sequence[float]) -> pd.DataFrame:
    """Two epochs of two steps, in a straight line."""
    count = len(losses)
    return pd.DataFrame(
        {
            "step": range(count),
            "epoch": [-(-k // 2) for k in range(count)],
            "loss": losses,
            "accuracy": 0.9,
            "distance": np.arange(count) * 0.1,
            "step_length": [0.0, *[0.1] * (count - 1)],
            "norm": 10.0,
        }
    )


def test_a_walk_that_leaves_the_ridge_is_named() -> None:
    walked = {"seed=1_l1=0.0001_ep=2": walk([1, 1, 1, 1, 1]), "m": walk([1, 1, 1.5, 1, 1])}
    found = gather.summarize("x", scores(), {}, [], walked=walked)
    assert [one.holds for one in found["walks"].values()] == [True, False]
    text = stage.as_markdown(found)
    assert "`m` leaves the ridge: the training loss rises by 0.500 at step 2" in text
    assert "| accuracy lost, points |" in text


def test_a_loss_known_once_an_epoch_is_taken_for_no_more() -> None:
    history = pd.DataFrame(
        {"epoch": [0, 1, 2], "train_loss": [1.0, 1.2, 1.0], "train_accuracy": [0.9, 0.8, 0.9]}
    )
    one = walk_certificates.certify(walk_certificates.with_losses(walk([np.nan] * 5), history), 10)
    assert (one.rise, one.rise_at) == (pytest.approx(0.2), 2)
    assert (one.points, one.every) == (2, 2)
    assert one.longest == pytest.approx(0.01)


def test_the_stage_reads_what_it_is_given_and_writes_json_and_text(tmp_path: Path) -> None:
    table, end = scores(), "seed=1_l1=0.0001_ep=2"
    inputs = {
        "scored": [str(tmp_path / f"x/scores/{name}.json") for name in table.model],
        "similarity": [str(tmp_path / "x/similarity/a.parquet")],
        "walks": [str(tmp_path / f"x/models/{end}/walk.parquet")],
        "histories": [str(tmp_path / f"x/models/{end}/history.parquet")],
    }
    for path, row in zip(inputs["scored"], table.to_dict("records"), strict=True):
        artifacts.write_json(path, {key: None if pd.isna(v) else v for key, v in row.items()})
    artifacts.write_table(inputs["similarity"][0], pairs())
    artifacts.write_table(inputs["walks"][0], walk([np.nan] * 5))
    history = {"epoch": [0, 1, 2], "train_loss": [1.0, 1.2, 1.0], "train_accuracy": 0.9}
    artifacts.write_table(inputs["histories"][0], pd.DataFrame(history))
    outputs = {
        "json": str(tmp_path / "x/findings.json"),
        "text": str(tmp_path / "x/findings.md"),
    }
    limits = {"alpha": 0.05, "margin": 0.05, "loss_rise": 0.3, "largest_step": 0.05}
    chosen = {"measures": ["cosine_prob"], "ood": ["a"], "settings": limits}
    answers = str(tmp_path / "x/verdict.json")
    judged.judge_stage(**inputs, verdict=answers, **chosen)
    stage.findings_stage(**inputs, **outputs, verdict=answers, experiment="x", **chosen)
    found = artifacts.read_json(outputs["json"])
    assert found["walks"][end]["holds"]  # a rise of 0.2, with 0.3 allowed
    assert found["claims"].keys() == {"a"}
    assert found["verdict"] == artifacts.read_json(answers)["networks"][0]["verdict"]
    text = Path(outputs["text"]).read_text()
    assert all(section["text"] in text for section in found["sections"])


# --- in the workflow ----------------------------------------------------------------------------


def test_findings_open_with_the_verdict_and_hold_all_else(science: Workflow) -> None:
    folder = science / "results/science"
    found = artifacts.read_json(folder / "findings.json")
    [recipe] = found["verdict"]["by"]["digits"]["kappa"]["recipes"]
    assert recipe["primary"]
    assert recipe["walk"]["comparisons"][0]["against"] == "base"
    assert [row["against"] for row in recipe["pruning"]["comparisons"]] == ["regularized"]
    assert set(recipe["walk"]["missing"]) >= {"plain", "stopped"}
    answer = found["verdict"]["answer"]
    assert answer.startswith("not tested: 2 of 2 base models miss `base.target`; 0 of 2 walks")
    assert {one["name"]: one["holds"] for one in found["verdict"]["preconditions"]} == {
        "images": True,
        "bases": False,
        "walks": False,
        "skeletons": False,
    }
    assert len(found["claims"]["digits"]) == 6
    assert {row["kind"] for row in found["kinds"]["digits"]["kappa"]} == set(pair_kinds.NAMES[:6])
    assert set(found["walks"]) == {f"seed={k}_l1=0.0001_ep=1" for k in SCIENCE["base"]["seeds"]}
    assert all(one["every"] == 1 for one in found["walks"].values())
    text = (folder / "findings.md").read_text()
    assert text.index("## Do models of different bases converge?") < text.index("claim by claim")
    for figure in ("rises", "kinds_of_pairs"):
        assert (folder / f"figures/{figure}_digits_kappa.svg").is_file()


def test_walks_without_a_trace_are_certified_by_the_epoch(finished: Workflow) -> None:
    found = artifacts.read_json(finished / "results/tiny/findings.json")
    assert {one["every"] for one in found["walks"].values()} == {300 // 50}
    page = (finished / "results/tiny/findings.md").read_text()
    assert "the loss only at the end of each epoch" in page


def test_findings_have_no_need_of_torch() -> None:
    code = "import sys, skeletons.findings.stage; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


# --- scores -------------------------------------------------------------------------------------


def summary(loss: float, accuracy: float) -> dict[str, Any]:
    size = {"parameters": 110, "prunable": 100, "flops": 1000}
    return {**size, "train_loss": loss, "train_accuracy": accuracy}


TARGET = {"train_loss": 0.1, "train_accuracy": 0.97}
GOOD = Predictions(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0, 0]))
DEAD = Predictions(np.ones((5, 2)), np.zeros(5, dtype=np.int64))


def test_a_base_is_compared_with_its_target() -> None:
    reached = score(model_ids.Model(1), GOOD, summary(0.05, 0.99), None, TARGET)
    assert reached["optimal"] is True
    assert reached["accuracy"] == 0.5
    missed = score(model_ids.Model(1), GOOD, summary(0.3, 0.9), None, TARGET)
    assert missed["optimal"] is False
    assert missed["optimal_reason"] == (
        "training loss 0.3000 is above 0.1 and training accuracy 0.9000 is below 0.97"
    )


def test_a_pruned_model_is_scored_by_what_is_left() -> None:
    sparsity = {"kept": 25, "flops": 400, "dead_reason": None}
    found = score(model_ids.Model(1, 0.1, 1, 0.5), GOOD, summary(0.3, 0.9), sparsity, TARGET)
    assert (found["density"], found["sparsity"], found["flops"]) == (0.25, 0.75, 400)
    assert found["optimal"] is None
    assert not found["dead"]


def test_constant_output_is_dead() -> None:
    found = score(model_ids.Model(1, 0.1, 1), DEAD, summary(0.3, 0.9), None, TARGET)
    assert found["dead"]
    assert found["dead_reason"] == "it answers every image alike"


def test_explanations_stand_once_for_several_networks() -> None:
    found = {
        "networks": [{"title": title, "bases": []} for title in ("one", "two")],
        "between": {},
        "verdict": {"measure": "kappa"},
    }

    def words(one: Mapping[str, Any]) -> list[Section]:
        text = f"Value of {one['title']}.\n\n### How\n\nIt is so.\n\n### More\n\nNo."
        return [Section("a", "A", text, "It is so."), Section("b", "B", "It is so.", "Lead.")]

    parts = networks.sections({**found, "networks": []}, words)
    assert [part.name for part in parts] == ["networks", "between"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "_answers", lambda found: "")
        one, other, two, last = networks.sections(found, words, ["It is so."])[2:]
    assert one.text == "Value of one.\n\n### How\n\nIt is so.\n\n### More\n\nNo."
    assert two.text == "Value of two.\n\n### More\n\nNo."
    assert two.lead == "It is so."
    assert (other.text, last.text, last.lead) == ("", "", "Lead.")
