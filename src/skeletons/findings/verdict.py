"""The verdict of an experiment: the answers to its primary question, and exploratory ones.

The primary question is asked on every data set that has a vote. The answer of the experiment is
that of all of them if they agree. Each answer is one of `answer.answers`; it is withheld if a
precondition fails (see `preconditions`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import (
    model_pairs,
    pair_kinds,
    pair_tables,
    preconditions,
    primary,
    scale,
)
from skeletons.findings.answer import CONTROLS, Answer, answers
from skeletons.findings.known_controls import Adjust
from skeletons.findings.pair_values import REGULARIZED
from skeletons.findings.preconditions import Precondition
from skeletons.findings.rules import NOT_TESTED, PRUNING, UNDECIDED, WALK
from skeletons.findings.settings import Settings
from skeletons.measures.measure import Measure
from skeletons.model_ids import BASE, PRUNED, Model

DIFFERS = "differs between data sets"


@dataclass(frozen=True)
class RecipeAnswers:
    """The answers for one recipe, by one measure on one data set.

    Attributes:
        recipe: in words.
        primary: whether this is the primary recipe.
        walk: the answer to the first question.
        pruning: the answer to the second.
    """

    recipe: str
    primary: bool
    walk: Answer
    pruning: Answer


def verdict(
    similarity: Mapping[str, pd.DataFrame],
    voting: Collection[str],
    measures: Sequence[str],
    table: pd.DataFrame,
    walked: Mapping[str, pd.DataFrame],
    kinds: Mapping[str, Mapping[str, Any]],
    settings: Settings,
    declared: Mapping[str, Measure],
    *,
    recipe: str | None = None,
    adjust: Adjust | None = None,
    beside: Sequence[Precondition] = (),
) -> dict[str, Any]:
    """The verdict of an experiment.

    Args:
        similarity: the table of all pairs by OOD set, with the fields of both models.
        voting: the sets that have a vote.
        measures: the primary one first.
        table: all models' scores.
        walked: the table of each walk, by its last model.
        kinds: by OOD set and measure, the rows of `pair_kinds.summary`.
        settings: levels and limits.
        declared: the measures by their names.
        recipe: the primary one in words; None for that of the settings, or of the rule.
        adjust: changes the tidy table of a recipe, given the data set, before it is judged; for
            controls, see `known_controls`.
        beside: further preconditions.

    Returns:
        answer and pruning, the answers to both questions; measure and recipe of the primary
        question, and `fixed`, whether the configuration names the recipe; preconditions; caveat;
        controls, the sets without a vote; and `by` OOD set and measure: sentence, walk, pruning and
        recipes, a list of `RecipeAnswers`.
    """
    models = compared(similarity)
    groups = model_pairs.by_recipe(models)
    chosen = choose(models, measures, table, settings)
    if recipe is not None:
        chosen = replace(chosen, recipe=recipe)
    controls = [ood for ood in similarity if ood not in voting]
    required = _required(
        chosen, groups.get(chosen.recipe, []), table, walked, voting, controls, settings
    )
    required += beside
    because = preconditions.because(required)
    by: dict[str, dict[str, Any]] = {}
    for ood, pairs in similarity.items():
        by[ood] = {}
        on_set = None if adjust is None else functools.partial(adjust, ood=ood)
        for measure in measures:
            value = model_pairs.from_table(pairs, measure)
            recipes = [
                _answers(
                    group, models, value, declared[measure], table, settings, name, chosen, on_set
                )
                for name, group in groups.items()
            ]
            if because:
                recipes = [_withheld(one, because) for one in recipes]
            by[ood][measure] = _on_set(recipes, because, kinds[ood][measure])
    first = [by[ood][measures[0]] for ood in voting if measures]
    return {
        "answer": _over_sets([one["walk"] for one in first], because),
        "pruning": _over_sets([one["pruning"] for one in first], because),
        "measure": measures[0] if measures else None,
        "recipe": chosen.recipe,
        "fixed": chosen.fixed,
        "preconditions": required,
        "caveat": preconditions.off_optimum_text(table),
        "controls": controls,
        "by": by,
    }


def choose(
    models: Sequence[Model], measures: Sequence[str], table: pd.DataFrame, settings: Settings
) -> primary.Primary:
    """The primary question.

    Args:
        models: all that were compared.
        measures: the primary one first.
        table: all models' scores.
        settings: levels and limits.
    """
    return primary.choose(
        measures[0] if measures else "",
        settings.recipe,
        model_pairs.by_recipe(models),
        table,
        settings.sparsity,
        settings.drop,
        settings.loss_rise,
    )


def compared(similarity: Mapping[str, pd.DataFrame]) -> list[Model]:
    """The models of tables of pairs, sorted."""
    names = {name for pairs in similarity.values() for name in pair_tables.models_in(pairs)}
    return sorted((Model.parse(name) for name in names), key=lambda model: model.sort_key)


def _required(
    chosen: primary.Primary,
    group: Sequence[Model],
    table: pd.DataFrame,
    walked: Mapping[str, pd.DataFrame],
    voting: Collection[str],
    controls: Collection[str],
    settings: Settings,
) -> list[preconditions.Precondition]:
    required = [preconditions.images(voting, controls), preconditions.bases(table)]
    if not group:
        return required
    missed = preconditions.short_of_target(table)
    found = preconditions.certified(
        group, walked, missed, settings.loss_rise, settings.largest_step
    )
    return [
        *required,
        preconditions.walks(group, found, chosen.recipe, settings.alive),
        preconditions.skeletons(
            group,
            table,
            chosen.recipe,
            settings.alive,
            settings.sparsity,
            settings.drop,
            settings.loss_rise,
        ),
    ]


def _answers(
    group: Sequence[Model],
    models: Sequence[Model],
    value: model_pairs.Values,
    measure: Measure,
    table: pd.DataFrame,
    settings: Settings,
    recipe: str,
    chosen: primary.Primary,
    adjust: Callable[[pd.DataFrame], pd.DataFrame] | None,
) -> RecipeAnswers:
    """The answers for one recipe; only the primary question says how many seeds it would need."""
    tidy = model_pairs.tidy(group, models, value)
    if adjust is not None:
        tidy = adjust(tidy)
    is_primary = recipe == chosen.recipe
    found = answers(
        tidy,
        recipe,
        settings.rules,
        scale.of_measure(measure),
        left_out=behind(group, models, table, settings.control_drop),
        estimate=is_primary and measure.name == chosen.measure,
    )
    return RecipeAnswers(recipe, is_primary, found[WALK], found[PRUNING])


def behind(
    group: Sequence[Model], models: Sequence[Model], table: pd.DataFrame, drop: float
) -> dict[str, str]:
    """The controls that are far less accurate than the pruned models, and how much, by kind.

    A control at chance gives every image about the same answer; how alike such models are says
    nothing about the pruned ones.

    Args:
        group: the pruned models of one recipe.
        models: all that were compared.
        table: all models' scores.
        drop: how much less accurate a control may be, 0..1, by means over its models.
    """
    accuracy = table.set_index("model").accuracy
    pruned = float(accuracy.reindex([str(model) for model in group]).mean())
    found = {}
    for kind, by_base in model_pairs.members(group, models).items():
        names = [name for names in by_base.values() for name in names]
        own = float(accuracy.reindex(names).mean())
        if kind in (*CONTROLS, REGULARIZED) and not math.isnan(own) and pruned - own > drop:
            found[kind] = (
                f"with an accuracy of {own:.1%}, {text.points(pruned - own)} points below the "
                "pruned models, they control nothing"
            )
    return found


def _withheld(one: RecipeAnswers, because: str) -> RecipeAnswers:
    """The same with what was measured, but without an answer."""

    def of(found: Answer) -> Answer:
        return replace(
            found, answer=NOT_TESTED, needed=None, likely="", sentence=f"Not tested: {because}."
        )

    return replace(one, walk=of(one.walk), pruning=of(one.pruning))


def _on_set(
    recipes: Sequence[RecipeAnswers], because: str, kinds: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The answers of the primary recipe on one data set, and those of all recipes."""
    first = next((one for one in recipes if one.primary), None)
    if because:
        sentence = _similarity(kinds)
    elif first is None:
        missing = (
            "the primary recipe was not compared"
            if recipes
            else ("no pruned models of different bases were compared")
        )
        sentence = (
            f"Whether models of different bases converge on the walk is **undecided**: {missing}."
        )
    else:
        sentence = f"{first.walk.sentence} {first.pruning.sentence}"
    return {
        "sentence": sentence,
        "walk": first.walk.answer if first else UNDECIDED,
        "pruning": first.pruning.answer if first else UNDECIDED,
        "recipes": list(recipes),
    }


def _similarity(kinds: Sequence[Mapping[str, Any]]) -> str:
    """The mean similarities in a sentence, to be shown without an answer; empty for none."""
    means = {row["kind"]: row["mean"] for row in kinds if row["mean"] is not None}
    shown = [
        f"{means[kind]:.3f} for {kind}"
        for kind in (pair_kinds.ACROSS[BASE], pair_kinds.ACROSS[PRUNED])
        if kind in means
    ]
    return f"The mean similarity is {text.listed(shown)}." if shown else ""


def _over_sets(found: Sequence[str], because: str) -> str:
    """The answer of an experiment from those on its data sets."""
    if because:
        return f"{NOT_TESTED}: {because}"
    if len(set(found)) == 1:
        return found[0]
    return UNDECIDED if UNDECIDED in found or not found else DIFFERS
