"""The answers of an experiment: computed once, and read by the findings and the figures.

Nothing here depends on measures of masks or on inspections, so adding one of these leaves the
answers, and the figures that show them, as they are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skeletons.findings import (
    known_controls,
    networks,
    pair_kinds,
    pair_tables,
    verdict,
    walk_certificates,
)
from skeletons.findings.answer import Answer, Comparison
from skeletons.findings.known_controls import Known
from skeletons.findings.plain import plain
from skeletons.findings.preconditions import Precondition
from skeletons.findings.scores import read_all
from skeletons.findings.settings import Settings
from skeletons.findings.verdict import RecipeAnswers
from skeletons.measures.catalogue import resolve
from skeletons.measures.measure import Measure
from skeletons.model_ids import Model
from skeletons.store import artifacts

NUMBERS = known_controls.EFFECT  # of answers and comparisons; NaN if there is none


def judge(
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    walked: Mapping[str, pd.DataFrame],
    controls: Collection[str],
    settings: Settings,
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The answers of one network.

    Args:
        table: all models' scores, with the columns of `pair_tables.identified`.
        similarity: the table of all pairs by OOD set, with the columns of `pair_tables.annotate`.
        measures: those that answers are given by, the primary one first.
        walked: the table of each walk, by its last model.
        controls: the OOD sets that have no vote.
        settings: levels and limits.
        declared: the measures by their names.

    Returns:
        verdict, see `verdict.verdict`; known_controls, with answers and doses, see
        `known_controls`; and kinds, the rows of `pair_kinds.summary` by OOD set and measure.
    """
    voting = [ood for ood in similarity if ood not in controls]
    kinds = {
        ood: {measure: pair_kinds.summary(pairs, measure, declared) for measure in measures}
        for ood, pairs in similarity.items()
    }
    judged = functools.partial(verdict.verdict, settings=settings, declared=declared)
    known = _known_controls(
        judged, table, similarity, walked, voting, list(measures), settings, declared
    )
    found = judged(
        similarity,
        voting,
        measures,
        table,
        of_bases(walked),
        kinds,
        beside=known_controls.preconditions(known["answers"]),
    )
    return {"verdict": found, "known_controls": known, "kinds": kinds}


def _known_controls(
    judged: Callable[..., dict[str, Any]],
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    walked: Mapping[str, pd.DataFrame],
    voting: Sequence[str],
    measures: Sequence[str],
    settings: Settings,
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The answers about controls that are known beforehand, and the dose–response of forks."""
    models = verdict.compared(similarity)
    if not measures or not any(model.family for model in models):
        return {"answers": [], "doses": {}}
    recipe = verdict.choose(models, measures, table, settings).recipe
    measure = declared[measures[0]]
    return {
        "answers": known_controls.answers(
            judged, recipe, models, table, similarity, walked, voting, measure
        ),
        "doses": known_controls.doses(models, similarity, measure),
    }


def of_bases(walked: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The walks without those of controls that are walked as bases are."""
    models = {name: Model.parse(name) for name in walked if "_l1=" in name}
    return {
        name: walk
        for name, walk in walked.items()
        if name not in models or models[name].family is None
    }


# --- as a file ------------------------------------------------------------------------------------


def read_walks(paths: Sequence[str], histories: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The table of each walk, by its last model, which the folder is named after.

    Args:
        paths: tables of walks, one row per step.
        histories: of the same models, if the walks were recorded without a loss. The loss is then
            taken from there, once per epoch.
    """
    columns = ["epoch", "train_loss", "train_accuracy"]
    epochs = {Path(path).parent.name: artifacts.read_table(path, columns) for path in histories}
    found = {}
    for path in paths:
        name = Path(path).parent.name
        walk = artifacts.read_table(path, [*walk_certificates.COLUMNS, "norm"])
        found[name] = walk_certificates.with_losses(walk, epochs[name]) if name in epochs else walk
    return found


def read_similarity(
    paths: Sequence[str], ood: Sequence[str], columns: Collection[str]
) -> dict[str, pd.DataFrame]:
    """The tables of all pairs by OOD set, with the ids of both models.

    Args:
        paths: the tables, in the order of `ood`.
        ood: the names of the OOD sets.
        columns: measures to read.
    """
    read = [artifacts.read_table(path, dict.fromkeys(["a", "b", *columns])) for path in paths]
    return dict(zip(ood, read, strict=True))


def judge_stage(
    *,
    scored: Sequence[str],
    similarity: Sequence[str],
    walks: Sequence[str] = (),
    histories: Sequence[str] = (),
    verdict: str,
    measures: Sequence[str],
    ood: Sequence[str],
    controls: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write verdict.json: the answers of each network, and the settings that they follow from.

    Args:
        scored: scores/*.json, one per model.
        similarity: the tables of all pairs, one per OOD set in the order of `ood`.
        walks: tables of walks, one row per step.
        histories: see `read_walks`.
        verdict: verdict.json to write.
        measures: names and references of measures, the primary one first.
        ood: the names of the OOD sets.
        controls: those of them that have no vote.
        settings: the section `findings` of the configuration.

    Raises:
        ArtifactError: a file is missing or broken, or cannot be written.
        ExtensionError: a reference is not a measure.
    """
    declared, chosen = resolve(measures), Settings(**(settings or {}))
    pairs = read_similarity(similarity, ood, declared)
    walked = read_walks(walks, histories)
    found = [
        judge(
            pair_tables.identified(part.table),
            {name: pair_tables.annotate(own) for name, own in part.similarity.items()},
            list(declared),
            {model: walk for model, walk in walked.items() if part.owns(model)},
            controls,
            chosen,
            declared,
        )
        for part in networks.split(read_all(scored), pairs)
    ]
    artifacts.write_json(verdict, plain({"settings": chosen, "networks": found}))


def read(path: str) -> list[dict[str, Any]]:
    """The answers of each network from verdict.json, as `judge` returns them.

    Raises:
        ArtifactError: the file is missing or broken.
    """
    return [_restored(one) for one in artifacts.read_json(path, ["networks"])["networks"]]


def _restored(found: Mapping[str, Any]) -> dict[str, Any]:
    verdict, known = found["verdict"], found["known_controls"]
    return {
        **found,
        "verdict": {
            **verdict,
            "preconditions": [Precondition(**one) for one in verdict["preconditions"]],
            "by": {
                ood: {
                    measure: {**one, "recipes": [_recipe(each) for each in one["recipes"]]}
                    for measure, one in by_measure.items()
                }
                for ood, by_measure in verdict["by"].items()
            },
        },
        "known_controls": {
            **known,
            "answers": [
                Known(
                    **{
                        **one,
                        **{
                            name: {ood: _numbers(each) for ood, each in one[name].items()}
                            for name in ("similarity", "effect")
                        },
                    }
                )
                for one in known["answers"]
            ],
        },
    }


def _recipe(found: Mapping[str, Any]) -> RecipeAnswers:
    return RecipeAnswers(
        found["recipe"], found["primary"], _answer(found["walk"]), _answer(found["pruning"])
    )


def _answer(found: Mapping[str, Any]) -> Answer:
    return Answer(
        **{
            **found,
            **_numbers({name: found[name] for name in NUMBERS}),
            "limits": tuple(found["limits"]),
            "comparisons": tuple(
                Comparison(row["against"], **_numbers({name: row[name] for name in NUMBERS}))
                for row in found["comparisons"]
            ),
            "similarity": _numbers(found["similarity"]),
            "notes": tuple(found["notes"]),
        }
    )


def _numbers(found: Mapping[str, float | None]) -> dict[str, float]:
    """Numbers as they were before JSON, which has None for one that is not finite."""
    return {name: math.nan if value is None else value for name, value in found.items()}
