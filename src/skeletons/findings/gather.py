"""From the tables of an experiment to everything that was found.

The verdict, the claims and the walks are tests and certificates, each with a module of its own. The
rest describes the models.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import (
    apart,
    comparisons,
    experiment_answer,
    inspections,
    next_steps,
    pair_kinds,
    pair_tables,
    post_claims,
    preconditions,
    recipe_verdicts,
    walk_certificates,
)
from skeletons.findings.pair_tables import ALIKE
from skeletons.findings.recipe_verdicts import NOT_TESTED, UNDECIDED, RecipeVerdict
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import BASE, CONTROLS, Model

TEST_SET = "the test set"  # stands for an OOD set, where a claim needs none
SHOWN = 5  # number of the least similar models that are listed


@dataclass(frozen=True)
class Settings:
    """Levels and tolerances: the values of the configuration's section `findings`.

    This is not the section's own class: importing it would make the whole configuration part of the
    fingerprint of the findings, so that any new key would rerun them.

    Attributes:
        alpha: level of the verdicts, after correction.
        margin: the smallest rise that matters, in units of the measure.
        loss_rise: by how much the loss may rise on a walk, in nats.
        largest_step: the longest allowed step of a walk, as a share of the norm of the weights.
    """

    alpha: float = recipe_verdicts.ALPHA
    margin: float = recipe_verdicts.MARGIN
    loss_rise: float = walk_certificates.RISE
    largest_step: float = walk_certificates.STEP


def summarize(
    experiment: str,
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    *,
    known: Mapping[str, Mapping[str, Predictions]] | None = None,
    walked: Mapping[str, pd.DataFrame] | None = None,
    inside: Mapping[str, Any] | None = None,
    controls: Collection[str] = (),
    settings: Settings | None = None,
    declared: Mapping[str, Measure] = MEASURES,
) -> dict[str, Any]:
    """Everything that was found; `plain.plain` turns it into what findings.json holds.

    Args:
        experiment: its name.
        table: all models' scores (`scores.read_all`).
        similarity: the table of all pairs by OOD set.
        measures: the measures that the configuration asks for; the verdict uses the first.
        known: predictions by OOD set and model, for verdicts image by image; models may be missing.
        walked: the table of each walk (see `walk_certificates.certify`), by its last model.
        inside: the results of the inspections (`inspections.inspections`).
        controls: the OOD sets that are controls, which have no vote in the verdict and the claims.
        settings: levels and tolerances.
        declared: the measures by their names.
    """
    chosen = settings or Settings()
    table = pair_tables.identified(table)
    similarity = {ood: pair_tables.annotate(pairs) for ood, pairs in similarity.items()}
    compared = {name for pairs in similarity.values() for name in (*pairs.a, *pairs.b)}
    post_pairs = {ood: pair_tables.without_controls(pairs) for ood, pairs in similarity.items()}
    voting = [ood for ood in similarity if ood not in controls]
    kinds = {
        ood: {measure: pair_kinds.summary(pairs, measure, declared) for measure in measures}
        for ood, pairs in similarity.items()
    }
    found = {
        "experiment": experiment,
        "models": len(table),
        "controls": int(table.state.isin(CONTROLS).sum()),
        "compared_models": len(compared),
        "pairs": len(compared) * (len(compared) - 1) // 2,
        "settings": chosen,
        "verdict": _verdict(
            similarity, voting, measures, known or {}, table, kinds, chosen, declared
        ),
        **_claims(table, {ood: similarity[ood] for ood in voting}, measures, declared),
        "kinds": kinds,
        "walks": _certificates(walked or {}, preconditions.short_of_target(table), chosen),
        "inside": inside or inspections.inspections({}),
        "similarity": {
            ood: {measure: _similarity(pairs, declared[measure]) for measure in measures}
            for ood, pairs in post_pairs.items()
        },
        **_models(table),
    }
    return {**found, "next": next_steps.steps(found, table)}


def _claims(
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The post's claims and the models that stand apart, by OOD set without the controls."""
    measure, note = claims_measure(measures, declared)
    used = similarity if measure else {}
    found = {
        ood: post_claims.claims(table, pairs, measure, declared) for ood, pairs in used.items()
    }
    if measure and not used:  # all sets that were compared are controls
        found = {TEST_SET: post_claims.claims_without_pairs(table)}
    if because := preconditions.off_optimum(table):
        found = {ood: post_claims.withheld(rows) for ood, rows in found.items()}
        note = " ".join(part for part in (f"No claim is decided: {because}.", note) if part)
    return {
        "claims": found,
        "claims_note": note,
        "apart": {
            ood: _records(
                apart.outliers(table, pair_tables.without_controls(pairs), measure, declared).head(
                    SHOWN
                )
            )
            for ood, pairs in used.items()
        },
    }


def claims_measure(
    measures: Sequence[str], declared: Mapping[str, Measure] = MEASURES
) -> tuple[str, str]:
    """The measure that the post's claims use, and a note if it is not the first measure.

    The claims are about similarities, so the measure is the first one for which higher means more
    alike. It is empty if there is none.
    """
    unfit = list(itertools.takewhile(lambda m: not declared[m].higher_is_alike, measures))
    if len(unfit) == len(measures):
        return "", (
            "The post's claims are about similarities, but `figures.measures` contains only "
            "dissimilarities."
        )
    measure = measures[len(unfit)]
    if not unfit:
        return measure, ""
    return measure, (
        f"The claims use `{measure}`, the first of `figures.measures` for which higher means more "
        f"alike. For {text.listed([f'`{name}`' for name in unfit])}, listed before it, lower does."
    )


def _models(table: pd.DataFrame) -> dict[str, Any]:
    """The bases, the skeletons and the dead models."""
    return {
        "bases": _records(
            table[table.state == BASE],
            ["model", "accuracy", "loss", "train_accuracy", "train_loss", "optimal"],
            "optimal_reason",
        ),
        "skeleton_models": _records(
            pair_tables.skeletons(table), ["model", "sparsity", "accuracy", "base_accuracy", "drop"]
        ),
        "dead": _records(table[table.dead], ["model", "sparsity", "dead_reason"]),
    }


def _certificates(
    walked: Mapping[str, pd.DataFrame], missed: Collection[str], chosen: Settings
) -> dict[str, walk_certificates.Certificate]:
    return {
        name: walk_certificates.certify(
            walk,
            float(walk["norm"].iloc[0]),
            rise=chosen.loss_rise,
            step=chosen.largest_step,
            optimal=_base_of(name) not in missed,
        )
        for name, walk in walked.items()
    }


def _base_of(name: str) -> str:
    return name.partition("_l1=")[0]


def _verdict(
    similarity: Mapping[str, pd.DataFrame],
    voting: Collection[str],
    measures: Sequence[str],
    known: Mapping[str, Mapping[str, Predictions]],
    table: pd.DataFrame,
    kinds: Mapping[str, Mapping[str, Any]],
    chosen: Settings,
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The experiment's answer by its first measure, and all verdicts by OOD set and measure.

    The sets that are not `voting` have verdicts too, which do not count for the answer. If nothing
    was tested, no verdict has an answer, see `preconditions`.
    """
    seeds = int(table.base.nunique())
    controls = [ood for ood in similarity if ood not in voting]
    because = preconditions.off_optimum(table)
    by: dict[str, dict[str, Any]] = {}
    for ood, pairs in similarity.items():
        by[ood] = {}
        for measure in measures:
            recipes = _recipe_verdicts(pairs, declared[measure], known.get(ood, {}), chosen)
            answer = experiment_answer.combine(
                recipes, seeds, alpha=chosen.alpha, margin=chosen.margin
            )
            if because:
                recipes = preconditions.withheld(recipes, because)
                answer = preconditions.withheld_answer(answer, because, kinds[ood][measure])
            by[ood][measure] = {"overall": answer, "recipes": recipes}
    first = {ood: by[ood][measures[0]]["overall"] for ood in voting if measures}
    if controls and not voting:
        because = because or preconditions.only_controls(controls)
    return {
        "answer": _answer(first, because),
        "measure": measures[0] if measures else None,
        "caveat": preconditions.off_optimum_text(table),
        "controls": controls,
        "by": by,
    }


def _answer(first: Mapping[str, experiment_answer.Answer], because: str) -> str:
    """The experiment's answer from those on its OOD sets, or why nothing was tested."""
    if because:
        return f"{NOT_TESTED}: {because}"
    return experiment_answer.over_sets(first) if first else UNDECIDED


def _recipe_verdicts(
    pairs: pd.DataFrame, measure: Measure, known: Mapping[str, Predictions], chosen: Settings
) -> list[RecipeVerdict]:
    """A verdict on every compared recipe, image by image if possible.

    Returns:
        An empty list if the bases were not compared.
    """
    models = [Model.parse(name) for name in sorted({*pairs.a, *pairs.b})]
    if not any(model.state == BASE for model in models):
        return []
    by_image = bool(known) and measure.per_image
    values = (
        comparisons.from_predictions(known, measure)
        if by_image
        else comparisons.from_table(pairs, measure.name)
    )
    remembered = functools.lru_cache(maxsize=64)(values)  # every recipe needs the bases again
    return comparisons.convergence(
        models,
        lambda names: remembered(tuple(names)),
        comparisons.controls_of(models),
        sign=measure.sign,
        alpha=chosen.alpha,
        margin=chosen.margin,
        span=measure.high - measure.low,
    )


def _similarity(pairs: pd.DataFrame, measure: Measure) -> dict[str, Any]:
    values = pairs[measure.name].dropna()
    return {
        "all_pairs": pair_tables.spread(pairs, measure.name),
        "share_above": {"value": ALIKE, "share": float((values > ALIKE).mean())}
        if len(values) and measure.higher_is_alike
        else None,
        "across_bases": pair_tables.across_bases(pairs, measure.name),
    }


def _records(
    table: pd.DataFrame, columns: Sequence[str] = (), *optional: str
) -> list[dict[str, Any]]:
    """The rows of a table with all columns or some; None for a missing value."""
    records = table[[*(columns or table.columns), *optional]].to_dict("records")
    return [
        {str(key): None if pd.isna(value) else value for key, value in record.items()}
        for record in records
    ]
