"""Answers that do not overreach: one test for each way in which one did."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from skeletons import model_ids
from skeletons.errors import ArtifactError, ExposureError, WiringError
from skeletons.figures import captions
from skeletons.figures.inspections import inspection_figures_stage
from skeletons.findings import (
    apart,
    gather,
    inspections,
    pair_tables,
    post_claims,
    stage,
    walk_certificates,
)
from skeletons.findings.rules import CONVERGES, NOT_TESTED
from skeletons.inspection import absence, exposure, matched_units
from skeletons.inspection.timing import timing_stage
from skeletons.measures import behaviour
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import Model
from skeletons.report import costs
from skeletons.store import artifacts
from skeletons.training.epochs import report_epoch

LOSSES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
WALKED = "seed=1_l1=0.0001_ep=1"


def scored(seeds: int = 6, missed: Sequence[int] = (), **changed: Any) -> pd.DataFrame:
    """Models that all do equally well; the bases of the seeds `missed` miss their target."""
    rows = []
    for model in model_ids.grid(map(Model, range(1, seeds + 1)), [1e-4], [1], [0.1]):
        base = model.state == "base"
        rows.append(
            {
                "model": str(model),
                "state": model.state,
                "seed": model.seed,
                "l1": model.l1,
                "epochs": model.epochs,
                "threshold": model.threshold,
                "accuracy": 0.9 + 0.001 * model.seed,
                "loss": 0.3,
                "train_loss": 0.05,
                "train_accuracy": 0.99,
                "sparsity": 0.0 if model.threshold is None else 0.9,
                "dead": False,
                "dead_reason": None,
                "optimal": model.seed not in missed if base else None,
                "optimal_reason": "training loss 2 is above 0.1" if base else None,
            }
        )
    table = pd.DataFrame(rows).assign(**changed)
    return table.astype({"l1": float, "epochs": float, "threshold": float})


def known(seeds: int = 6, alike: bool = True) -> dict[str, Predictions]:
    """Bases that answer at random, and pruned models that answer alike, if asked for."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(250, 10)) * 2
    return {
        str(model): Predictions(
            shared + rng.normal(size=(250, 10)) * 0.1
            if model.state == "pruned" and alike
            else rng.normal(size=(250, 10)) * 2,
            np.zeros(250, dtype=np.int64),
        )
        for model in model_ids.grid(map(Model, range(1, seeds + 1)), [1e-4], [1], [0.1])
    }


def compared(predictions: dict[str, Predictions]) -> pd.DataFrame:
    pairs = itertools.combinations(predictions.items(), 2)
    return pd.DataFrame(
        [{"a": a, "b": b, **behaviour.compare(one, two)} for (a, one), (b, two) in pairs]
    )


def found(table: pd.DataFrame, sets: dict[str, bool], **more: Any) -> dict[str, Any]:
    """Findings on data sets on which the pruned models are alike, or not."""
    pairs = {ood: compared(known(alike=alike)) for ood, alike in sets.items()}
    walked = {f"seed={k}_l1=0.0001_ep=1": walk([1.0] * 5) for k in range(1, 7)}
    return gather.summarize("x", table, pairs, ["cosine_prob"], **{"walked": walked, **more})


def walk(losses: Sequence[float]) -> pd.DataFrame:
    """Two steps an epoch in a straight line."""
    steps = np.arange(len(losses))
    return pd.DataFrame(
        {
            "step": steps,
            "epoch": -(-steps // 2),
            "loss": losses,
            "accuracy": 0.9,
            "distance": steps * 0.1,
            "step_length": np.minimum(steps, 1) * 0.1,
            "norm": 10.0,
        }
    )


def pruned_claim(before: Sequence[float], after: Sequence[float], **more: Any) -> dict[str, str]:
    """The claim about accuracy, of bases, regularised and pruned models with these accuracies."""
    table = scored(len(before))
    for seed, (one, other) in enumerate(zip(before, after, strict=True), 1):
        table.loc[(table.seed == seed) & (table.state == "regularized"), "accuracy"] = one
        table.loc[(table.seed == seed) & (table.state == "pruned"), "accuracy"] = other
    [row] = post_claims.accuracy_kept(table.assign(**more))
    return row


def numbers(text: str) -> list[float]:
    return [float(n.replace("−", "-")) for n in re.findall(r"−?\d+\.\d+", text)]


# --- bases that miss their target ---------------------------------------------------------------


def test_models_near_chance_are_called_so_and_get_another_hint() -> None:
    """Longer training helps no model whose images are standardised in another way."""
    table = scored(missed=[2, 5])
    near = table.model.eq("seed=2") & table.optimal.eq(False)
    one = found(table.assign(near_chance=pd.array(near.where(near), dtype="boolean")), {"m": True})
    assert one["verdict"]["answer"].startswith(
        "not tested: 1 of 6 base models have an accuracy near chance and 1 of 6 base models miss "
        "`base.target`;"
    )
    assert one["verdict"]["caveat"].startswith(
        "`seed=2` has an accuracy near chance. Check how the images are standardised"
    )
    assert "`seed=5` misses `base.target`. Train" in one["verdict"]["caveat"]
    assert one["next"][0].keys[0] == "network.mean"
    both = table.assign(near_chance=table.optimal.eq(False))
    every = found(both, {"m": True})["verdict"]
    assert "base.target" not in every["answer"] + every["caveat"]


def test_untrained_bases_get_no_verdict_no_green_mark_and_no_certificate() -> None:
    assert found(scored(), {"mnist": True})["verdict"]["answer"] == CONVERGES
    missed = found(scored(missed=[2, 5]), {"mnist": True})
    verdict = missed["verdict"]
    assert verdict["answer"] == (
        "not tested: 2 of 6 base models miss `base.target`; 4 of 6 walks are certified, fewer than "
        "90% (λ = 0.0001, 1 epoch, threshold 0.1)"
    )
    assert "`seed=2` and `seed=5` miss `base.target`" in verdict["caveat"]
    by = verdict["by"]["mnist"]["cosine_prob"]
    assert re.search(r"mean similarity is 0\.\d{3} for bases .* and 0\.\d{3} for", by["sentence"])
    assert {one.walk.answer for one in by["recipes"]} == {NOT_TESTED}
    assert {row["holds"] for row in missed["claims"]["mnist"]} == {NOT_TESTED}
    assert missed["walks"][WALKED].holds  # its own base reaches the target


def test_a_walk_from_a_base_that_misses_its_target_is_not_certified() -> None:
    one = found(scored(missed=[1]), {"mnist": True}, walked={WALKED: walk([1.0] * 5)})
    assert not one["walks"][WALKED].holds
    assert f"`{WALKED}` is not a walk along a ridge: its base misses" in stage.as_markdown(one)


def test_a_page_about_untrained_bases_says_nowhere_that_models_converge() -> None:
    text = stage.as_markdown(found(scored(missed=[1]), {"mnist": True, "svhn": True}))
    opening = text[: text.index("### On `mnist`")]
    assert "**Not tested**: 1 of 6 base models miss `base.target`;" in opening
    assert "onverge**" not in text
    assert "6 claims, none of them tested" in text
    assert json.dumps(stage.as_json(found(scored(missed=[1]), {"mnist": True})), allow_nan=False)


# --- constant loss ------------------------------------------------------------------------------


def test_a_base_that_is_still_learning_is_not_on_a_ridge() -> None:
    one = walk_certificates.certify(walk([0.5, 0.45, 0.42, 0.3, 0.2]), 10)
    assert not one.holds
    assert one.broken == ("the training loss falls by 0.300 at step 4, more than 0.05",)
    assert walk_certificates.certify(walk([0.5, 0.52, 0.48, 0.47, 0.49]), 10).holds
    assert one.losses == (0.5, 0.42, 0.2)


def test_the_certificate_names_the_loss_that_it_is_about() -> None:
    one = walk_certificates.certify(walk([0.1] * 5), 10)
    assert one.loss == "training loss"
    page = walk_certificates.walks_markdown({"m": one})
    assert "the training loss, of images without augmentation and without the penalty" in page
    assert "0.05 nats above or below" in page


# --- intervals ----------------------------------------------------------------------------------


def test_two_seeds_have_no_interval_of_lost_points() -> None:
    row = pruned_claim([0.95, 0.95], [0.9, 0.1])
    assert row["measured"] == "45.0 points lost, no interval from so few seeds"
    assert row["holds"] == "undecided"


@pytest.mark.parametrize("after", [[0.9, 0.1, 0.5], [0.0, 0.02, 0.9], [0.94, 0.95, 0.1]])
def test_no_more_points_are_lost_than_there_are(after: Sequence[float]) -> None:
    low, high = numbers(pruned_claim([0.95] * 3, after)["measured"])[1:]
    assert -5 <= low <= high <= 95


def test_all_pairs_of_three_seeds_are_no_certainty() -> None:
    pairs = compared(known(3)).assign(cosine_prob=0.9)
    row = post_claims.most_pairs_alike(pair_tables.without_controls(pairs))
    assert row["measured"] == "100.0% of 12 pairs, no interval, because the seeds do not differ"
    assert row["holds"] == "undecided"


def test_five_seeds_that_all_agree_decide() -> None:
    pairs = compared(known(5)).assign(cosine_prob=0.9)
    row = post_claims.most_pairs_alike(pair_tables.without_controls(pairs))
    assert row["holds"] == "yes"


# --- claims -------------------------------------------------------------------------------------


def likeness(values: Sequence[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Models with about these mean similarities to all others, and their scores."""
    names = [str(Model(k)) for k in range(1, len(values) + 1)]
    rows = [
        {"a": names[i], "b": names[j], "cosine_prob": values[i] + values[j] - np.median(values)}
        for i, j in itertools.combinations(range(len(values)), 2)
    ]
    rng = np.random.default_rng(0)
    table = scored(len(values))
    table = table[table.state == "base"].assign(loss=rng.uniform(0.29, 0.31, len(values)))
    return table, pd.DataFrame(rows)


def test_model_51_is_not_one_that_is_a_hundredth_less_alike() -> None:
    near = [0.743 + 0.0001 * k for k in range(-6, 7)]
    table, pairs = likeness([*near, 0.725])
    assert apart.outliers(table, pairs, "cosine_prob").score.min() < -3.5
    row = apart.some_models_stand_apart(table, pairs, "cosine_prob")
    assert row["holds"] == "no"
    assert "0.1 below the median, 0.742; the lowest" in row["detail"]
    table, pairs = likeness([*near, 0.5])
    assert apart.some_models_stand_apart(table, pairs, "cosine_prob")["holds"] == "yes"


def test_of_three_models_none_stands_apart_and_none_does_not() -> None:
    row = apart.some_models_stand_apart(*likeness([0.7, 0.8, 0.75]), "cosine_prob")
    assert (row["holds"], row["detail"]) == ("undecided", "3 models, and the rule needs 5")


def test_a_threshold_below_every_weight_keeps_nothing() -> None:
    row = pruned_claim([0.9] * 6, [0.9] * 6, sparsity=0.0)
    assert (row["holds"], row["measured"]) == ("undecided", "no weight was pruned")


def test_one_epoch_number_and_one_threshold_leave_trends_undecided() -> None:
    rows = post_claims.claims(scored(), compared(known()), "cosine_prob")
    assert [row["holds"] for row in rows[1:4]] == ["undecided"] * 3


def test_accuracy_that_rose_is_named_as_risen() -> None:
    row = pruned_claim([0.60, 0.61, 0.62, 0.60], [0.70, 0.71, 0.73, 0.71])
    assert row["holds"] == "rose"
    assert row["measured"].startswith("accuracy rose by 10.5 points, 95% interval")
    low, high = numbers(row["measured"])[1:]
    assert 0 < low < 10.5 < high
    assert "For 1, what they say is kept rose." in post_claims.claims_markdown([row])


def test_a_little_more_accuracy_is_kept_accuracy() -> None:
    row = pruned_claim([0.90, 0.91, 0.90], [0.902, 0.911, 0.903])
    assert row["holds"] == "yes"
    assert row["measured"].startswith("accuracy rose by 0.2 points")


def test_pruning_is_not_blamed_for_what_regularisation_cost() -> None:
    walked, pruned = [0.60, 0.61, 0.60, 0.62], [0.60, 0.605, 0.60, 0.62]  # bases have 0.9
    row = pruned_claim(walked, pruned)
    assert row["holds"] == "yes"
    assert row["detail"].startswith("compared with the same model before pruning")


def test_without_regularised_models_pruning_is_compared_with_the_base() -> None:
    table = scored()
    table = table[table.state != "regularized"]
    table.loc[table.state == "pruned", "accuracy"] -= 0.3
    [row] = post_claims.accuracy_kept(table)
    assert row["holds"] == "no"
    assert row["detail"].startswith("compared with the base")


def test_a_threshold_is_compared_with_the_model_before_pruning_if_that_was_compared() -> None:
    pairs = compared(known())
    row = post_claims.more_pruning_changes_more(pairs, "cosine_prob")
    assert row["claim"].endswith("behaves like itself before pruning")
    bare = pair_tables.without_controls(pairs)
    row = post_claims.more_pruning_changes_more(bare, "cosine_prob")
    assert row["claim"].endswith("behaves like its own base")


# --- control data sets --------------------------------------------------------------------------


def test_noise_has_no_vote() -> None:
    both = found(scored(), {"mnist": True, "noise": False}, controls=["noise"])
    assert both["verdict"]["answer"] == CONVERGES
    assert set(both["claims"]) == set(both["apart"]) == {"mnist"}
    text = stage.as_markdown(both)
    assert "`noise` has no vote: control" in text
    assert "### On `noise`, by `cosine_prob`, a control without a vote" in text


def test_noise_alone_answers_nothing() -> None:
    alone = found(scored(), {"noise": True}, controls=["noise"])
    expected = "not tested: no data set was compared but `noise`, which is a control"
    assert alone["verdict"]["answer"] == expected
    assert [len(rows) for rows in alone["claims"].values()] == [2]  # those without pairs
    assert "**Not tested**: no data set was compared but" in stage.as_markdown(alone)


# --- losses -------------------------------------------------------------------------------------


def test_the_findings_say_on_what_losses_were_measured() -> None:
    text = stage.as_markdown(found(scored(), {"mnist": True}))
    assert "on all training and all test images without augmentation" in text


def test_every_epoch_in_a_log_says_what_its_losses_are_of(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report_epoch("Base model seed=1, epoch 1,", dict.fromkeys(LOSSES, 0.5))
    assert (
        "(without augmentation, on fewer than 4,000 of the training images)"
        in capsys.readouterr().out
    )


# --- costs --------------------------------------------------------------------------------------


def test_costs_name_the_jobs_without_a_measurement(tmp_path: Path) -> None:
    for path in ("train_base/seed=1", "align/seed=1--seed=2", "compare_bases/svhn/seed=1--seed=2"):
        place = tmp_path / f"{path}.tsv"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("s\tmax_rss\tcpu_time\n2\t100\t1\n")
    (tmp_path / "plane.tsv").write_text("s\tmax_rss\n")  # cut short
    models = {"seed=1", "seed=2", "seed=2_untrained", "seed=2_order=1", WALKED, f"{WALKED}_t=0.1"}
    assert costs.unmeasured(tmp_path, models) == [
        ("plane", "plane"),
        ("regularize", WALKED),
        ("reorder", "seed=2_order=1"),
        ("train_base", "seed=2"),
        ("untrained", "seed=2"),
    ]
    assert list(costs.read(tmp_path, models).job) == [
        "seed=1--seed=2",
        "svhn/seed=1--seed=2",
        "seed=1",
    ]


def test_every_job_in_a_process_of_its_own_is_measured() -> None:
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.M)[1:]:
            rule = rule.partition("\n\n\n")[0]
            assert "    script:" not in rule or "    benchmark:" in rule, rule.split(":")[0]


# --- looks inside that cannot be had ------------------------------------------------------------

VARIANT = "seed=1_l1=0.0001_ep=1_t=0.1"
OTHER = "seed=2_l1=0.0001_ep=1_t=0.1"
WHY = "The network has an unsupported operation, softmax at body: its channels cannot be followed."


def without_looks(place: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The artifacts of all looks at a network that none of them can look into, by kind."""

    def refuse(*_: Any, **__: Any) -> None:
        raise WiringError(WHY)

    monkeypatch.setattr(exposure.artifacts, "read_json", refuse)  # the first thing that it does
    folder = place / f"exposed/{VARIANT}"
    kinds = {
        "exposed": [f"{folder}/exposed.json"],
        "exposed_weights": [f"{folder}/weights.safetensors"],
        "lines": [f"{place}/lines/seed=1--seed=2.parquet"],
        "curve": [f"{place}/curve/seed=1--seed=2.parquet"],
        "plane": [f"{place}/plane/plane.parquet"],
        "located": [f"{place}/plane/located.parquet"],
        "importance": [f"{place}/importance/{name}.json" for name in (VARIANT, OTHER)],
        "importance_units": [f"{place}/importance/{name}.parquet" for name in (VARIANT, OTHER)],
        "matched": [f"{place}/importance/matched/{VARIANT}--{OTHER}.json"],
        "probe": [f"{place}/probe/seed=1_l1=0.001.json"],
        "probe_epochs": [f"{place}/probe/seed=1_l1=0.001.parquet"],
        "takeover": [f"{place}/takeover/{VARIANT}.json"],
        "takeover_epochs": [f"{place}/takeover/{VARIANT}.parquet"],
    }
    expose = {"weights": kinds["exposed_weights"][0], "structure": kinds["exposed"][0]}
    exposure.expose_stage(pruned="", summary="", **expose)
    monkeypatch.undo()
    for kind in (*set(kinds) - {"exposed", "exposed_weights", "matched"},):
        for path in kinds[kind]:
            absence.look("made")(refuse)(made=path)
    matched_units.match_importance_stage(
        tables=kinds["importance_units"], weights="", ranks=kinds["matched"][0]
    )
    return kinds


def test_looks_that_fail_leave_findings_and_figures_that_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = without_looks(tmp_path, monkeypatch)
    looked = inspections.inspections(kinds)
    text = "\n\n".join(part.text for part in inspections.inspection_sections(looked))
    assert f"Not available for `{VARIANT}`: {WHY}" in text
    assert f"Not available for `{VARIANT}` and `{OTHER}`: {WHY}" in text
    assert f"Not available for `{VARIANT}` with `{OTHER}`: {WHY}" in text
    # once each: lines, curve, exposed, importance, matched, probe, takeover
    assert text.count(WHY) == 7
    page = stage.as_markdown(found(scored(), {"mnist": True}, inside=looked))
    assert "converge" in page
    assert WHY in page
    figures = tmp_path / "figures"
    inspection_figures_stage(folder=str(figures), colormap="mako", **kinds)
    names = [*("lines", "curve", "plane", "plane_surface", "exposure", "probe_seed=1_l1=0.001")]
    names += [*(f"importance_{name}" for name in (VARIANT, OTHER)), f"takeover_{VARIANT}"]
    assert {path.stem for path in figures.iterdir()} == set(names)
    for path in figures.iterdir():
        assert captions.read(path).text
        assert "Not available: The network has an unsupported" in path.read_text()


def test_what_is_made_from_a_look_that_failed_hands_the_reason_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = without_looks(tmp_path, monkeypatch)
    timing = str(tmp_path / "timing.json")
    structure, weights = kinds["exposed"][0], kinds["exposed_weights"][0]
    timing_stage(pruned="", summary="", exposed=weights, structure=structure, timing=timing)
    assert absence.reason(timing) == absence.reason(kinds["matched"][0]) == WHY
    with pytest.raises(ExposureError, match="holds no network: The network has an unsupported"):
        exposure.load(weights, structure)


def test_a_broken_file_is_no_reason_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not exist"):
        exposure.expose_stage(
            pruned="",
            summary=str(tmp_path / "model.json"),
            weights=str(tmp_path / "w.safetensors"),
            structure=str(tmp_path / "exposed.json"),
        )
    assert not list(tmp_path.iterdir())


def test_some_looks_are_drawn_though_others_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = without_looks(tmp_path, monkeypatch)
    line = str(tmp_path / "lines/seed=1--seed=3.parquet")
    rises = {key: [1.0, 2.0] for key in ("loss", "test_loss", "tempered_loss")}
    rights = dict.fromkeys(("accuracy", "test_accuracy"), 0.5)
    table = pd.DataFrame({"path": "naive", "repaired": False, "t": [0.0, 1.0], **rises, **rights})
    artifacts.write_table(line, table)
    lines = {"lines": [*kinds["lines"], line]}
    inspection_figures_stage(folder=str(tmp_path / "figures"), colormap="mako", **lines)
    assert "Not available" not in (tmp_path / "figures/lines.svg").read_text()
    [section] = inspections.inspection_sections(inspections.inspections(lines))
    assert "| two bases | as they are | 1 |" in section.text
    assert f"Not available for `seed=1` with `seed=2`: {WHY}" in section.text


def test_pairs_of_several_networks_are_not_summed_up(tmp_path: Path) -> None:
    lines, masks = [], []
    for tag, loss in (("", 1.0), ("net=wide_", 3.0)):
        rises = {key: [0.0, loss] for key in ("loss", "test_loss", "tempered_loss")}
        rights = dict.fromkeys(("accuracy", "test_accuracy"), 0.5)
        table = pd.DataFrame(
            {"path": "naive", "repaired": False, "t": [0.0, 1.0], **rises, **rights}
        )
        lines.append(str(tmp_path / f"lines/{tag}seed=1--{tag}seed=2.parquet"))
        artifacts.write_table(lines[-1], table)
        for of in (f"{tag}seed=1", "own", "random"):
            masks.append(str(tmp_path / f"transfer/{tag}seed=2_mask={of}.json"))
            artifacts.write_json(masks[-1], {"test_accuracy": 0.5})
    folder = tmp_path / "figures"
    inspection_figures_stage(folder=str(folder), colormap="mako", lines=lines, transfer=masks)
    names = [f"{name}{end}.svg" for name in ("lines", "transfer") for end in ("", "_net=wide")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert captions.read(folder / "lines_net=wide.svg").of == "wide"
    assert (folder / "lines.svg").read_text() != (folder / "lines_net=wide.svg").read_text()


@pytest.mark.parametrize("experiment", ["demo", "probe", "transfer"])
def test_the_model_of_a_file_does_not_depend_on_the_name_of_the_experiment(experiment: str) -> None:
    for path, model in (
        ("sparsest/seed=1.json", "seed=1"),
        ("probe/seed=1_l1=0.01.json", "seed=1"),
        ("transfer/seed=2_mask=seed=1.json", "seed=2"),
        ("exposed/seed=1_l1=0.01_ep=1_d=0.2/exposed.json", "seed=1_l1=0.01_ep=1_d=0.2"),
    ):
        assert inspections.model_of(f"results/{experiment}/{path}") == model
