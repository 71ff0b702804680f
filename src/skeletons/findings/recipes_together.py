"""One answer to each question from several recipes of which none was named before looking.

*Converges* if models converge under some recipe, with alpha divided by the number of recipes
(Bonferroni), because the best one is picked after looking. *Does not converge* if they do not under
any: all must say so, which needs no correction (Berger 1982).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from skeletons.findings import answer
from skeletons.findings.answer import Answer
from skeletons.findings.rules import (
    ADDS,
    ADDS_NOT,
    CONVERGES,
    IN_PART,
    NOT,
    PRUNING,
    UNDECIDED,
    WALK,
    Rules,
)
from skeletons.findings.scale import Scale


def answers(
    table: pd.DataFrame,
    recipes: Sequence[str],
    rules: Rules,
    scale: Scale,
    *,
    left_out: Mapping[str, str] | None = None,
) -> dict[str, Answer]:
    """The answers to both questions.

    Args:
        table: tidy, see `pair_values`.
        recipes: those to ask about, at least one.
        rules: levels and limits.
        scale: of the values.
        left_out: see `answer.answers`.

    Returns:
        By question the answer of one recipe. Of several, it is that with the answer that holds for
        all of them, and its sentence names it.
    """
    if len(recipes) == 1:
        return answer.answers(table, recipes[0], rules, scale, left_out=left_out)
    strict = replace(rules, alpha=rules.alpha / len(recipes))

    def by_recipe(level: Rules, *, estimate: bool) -> dict[str, dict[str, Answer]]:
        return {
            recipe: answer.answers(
                table, recipe, level, scale, left_out=left_out, estimate=estimate
            )
            for recipe in recipes
        }

    each, corrected = by_recipe(rules, estimate=False), by_recipe(strict, estimate=True)
    return {
        question: _together(
            {recipe: found[question] for recipe, found in each.items()},
            {recipe: found[question] for recipe, found in corrected.items()},
        )
        for question in (WALK, PRUNING)
    }


def _together(each: Mapping[str, Answer], corrected: Mapping[str, Answer]) -> Answer:
    """The answer that holds for all recipes, of the recipe that has it most clearly.

    Args:
        each: by recipe, at the level of a single one.
        corrected: at that level divided by their number.
    """
    if all(one.answer in (NOT, ADDS_NOT) for one in each.values()):
        return _said(each, "comes closest (none was named before looking, and all have one answer)")
    answers = (CONVERGES, IN_PART, ADDS, UNDECIDED)
    wanted = min(
        (one.answer for one in corrected.values() if one.answer in answers), key=answers.index
    )
    having = {recipe: one for recipe, one in corrected.items() if one.answer == wanted}
    return _said(
        having,
        "decides (none was named before looking, so alpha is divided by their number)",
        of=len(each),
    )


def _said(having: Mapping[str, Answer], how: str, of: int | None = None) -> Answer:
    """The answer of the recipe with the highest interval, whose sentence names the recipe."""

    def closeness(recipe: str) -> tuple[float, float]:
        low = having[recipe].low
        return (-math.inf if math.isnan(low) else low), having[recipe].effect

    recipe = max(having, key=closeness)
    opening = f"Of {of or len(having)} recipes, {recipe!r} {how}."
    return replace(having[recipe], sentence=f"{opening} {having[recipe].sentence}")
