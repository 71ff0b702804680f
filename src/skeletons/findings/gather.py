"""From the tables of an experiment to everything that was found.

The verdict, the claims and the walks are tests and certificates, each with a module of its own. The
rest describes the models.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import (
    apart,
    inspections,
    judged,
    multiplicity,
    next_steps,
    pair_tables,
    post_claims,
    preconditions,
    shared_weights,
    walk_certificates,
    within_base,
)
from skeletons.findings.pair_tables import ALIKE
from skeletons.findings.settings import Settings
from skeletons.measures.catalogue import MEASURES
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import BASE, CONTROLS, Model

TEST_SET = "the test set"  # stands for an OOD set, where a claim needs none
SHOWN = 5  # number of the least similar models that are listed


def summarize(
    experiment: str,
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    *,
    walked: Mapping[str, pd.DataFrame] | None = None,
    known: Mapping[str, Mapping[str, Predictions]] | None = None,
    inside: Mapping[str, Any] | None = None,
    masks: Mapping[str, pd.DataFrame] | None = None,
    controls: Collection[str] = (),
    drawn: Sequence[str] | None = None,
    settings: Settings | None = None,
    declared: Mapping[str, Measure] = MEASURES,
    answered: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Everything that was found; `plain.plain` turns it into what findings.json holds.

    Args:
        experiment: its name.
        table: all models' scores (`scores.read_all`).
        similarity: the table of all pairs by OOD set.
        measures: those that answers are given by, the primary one first.
        walked: the table of each walk (see `walk_certificates.certify`), by its last model.
        known: predictions by data set and model, for the multiplicity of the set; may be missing.
        inside: the results of the inspections (`inspections.inspections`).
        masks: overlaps of masks by measure (`shared_weights.read`).
        controls: the OOD sets that are controls, which have no vote in the verdict and the claims.
        drawn: the measures of the figures, which the claims use; by default all of `measures`.
        settings: levels and limits.
        declared: the measures by their names.
        answered: the answers, if they are known (`judged.read`).
    """
    chosen = settings or Settings()
    table = pair_tables.identified(table)
    similarity = {ood: pair_tables.annotate(pairs) for ood, pairs in similarity.items()}
    compared = {name for pairs in similarity.values() for name in pair_tables.models_in(pairs)}
    post_pairs = {ood: pair_tables.without_controls(pairs) for ood, pairs in similarity.items()}
    voting = [ood for ood in similarity if ood not in controls]
    own_walks, missed = judged.of_bases(walked or {}), preconditions.short_of_target(table)
    answers = answered or judged.judge(
        table, similarity, measures, walked or {}, controls, chosen, declared
    )
    found = {
        "experiment": experiment,
        "models": len(table),
        "controls": int(table.state.isin(CONTROLS).sum()),
        "compared_models": len(compared),
        "pairs": len(compared) * (len(compared) - 1) // 2,
        "settings": chosen,
        "verdict": answers["verdict"],
        "known_controls": answers["known_controls"],
        "within_bases": within_base.by_set(similarity, measures, declared, chosen.rules.level),
        **_claims(
            table,
            {ood: similarity[ood] for ood in voting},
            list(measures if drawn is None else drawn),
            declared,
            chosen.drop,
        ),
        "kinds": answers["kinds"],
        "walks": _certificates(own_walks, missed, chosen),
        "multiplicity": multiplicity.by_set(table, known or {}, chosen.loss_rise),
        "masks": shared_weights.summarize(masks or {}),
        "inside": _inside(inside or inspections.inspections({}), own_walks, missed, chosen),
        "similarity": {
            ood: {measure: _similarity(pairs, declared[measure]) for measure in measures}
            for ood, pairs in post_pairs.items()
        },
        **_models(table, chosen),
    }
    return {**found, "next": next_steps.steps(found, table)}


def _claims(
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    declared: Mapping[str, Measure],
    drop: float,
) -> dict[str, Any]:
    """The post's claims and the models that stand apart, by OOD set without the controls."""
    measure, note = claims_measure(measures, declared)
    used = similarity if measure else {}
    found = {
        ood: post_claims.claims(table, pairs, measure, declared, drop)
        for ood, pairs in used.items()
    }
    if measure and not used:  # all sets that were compared are controls
        found = {TEST_SET: post_claims.claims_without_pairs(table, drop)}
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


def _models(table: pd.DataFrame, chosen: Settings) -> dict[str, Any]:
    """The bases, the skeletons and the dead models."""
    return {
        "bases": _records(
            table[table.state == BASE],
            ["model", "accuracy", "loss", "train_accuracy", "train_loss", "optimal"],
            "optimal_reason",
        ),
        "skeleton_models": _records(
            pair_tables.skeletons(table, chosen.sparsity, chosen.drop, chosen.loss_rise),
            ["model", "sparsity", "accuracy", "base_accuracy", "drop"],
            *(["loss_bound"] if "loss_bound" in table else []),
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


def _inside(
    found: Mapping[str, Any],
    walked: Mapping[str, pd.DataFrame],
    missed: Collection[str],
    chosen: Settings,
) -> dict[str, Any]:
    """The inspections; a search also has `walk`, whether its walk, up to its end, is certified."""
    rows = found.get("sparsest", [])
    ends = [Model.parse(row["model"]) for row in rows]
    known = preconditions.certified(ends, walked, missed, chosen.loss_rise, chosen.largest_step)
    holds = [known[str(end.base)].holds if str(end.base) in known else None for end in ends]
    searched = [{**row, "walk": one} for row, one in zip(rows, holds, strict=True)]
    return {**found, **({"sparsest": searched} if rows else {})}


def _base_of(name: str) -> str:
    return name.partition("_l1=")[0]


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
