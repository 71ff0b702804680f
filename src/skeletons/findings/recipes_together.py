"""One answer to each question from several recipes of which none was named before looking.

*Converges* if models converge under some recipe, with alpha divided by the number of recipes
(Bonferroni), because the best one is picked after looking. *Does not converge* if they do not under
any: all must say so, which needs no correction (Berger 1982).
"""

from __future__ import annotations

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
    by_recipe = {
        recipe: answer.answers(table, recipe, strict, scale, left_out=left_out)
        for recipe in recipes
    }
    return {
        question: _together({recipe: found[question] for recipe, found in by_recipe.items()})
        for question in (WALK, PRUNING)
    }


def _together(found: Mapping[str, Answer]) -> Answer:
    """The answer that holds for all recipes, of the recipe that has it most clearly."""
    for wanted in (CONVERGES, IN_PART, ADDS):
        having = {recipe: one for recipe, one in found.items() if one.answer == wanted}
        if having:
            break
    else:
        having = {recipe: one for recipe, one in found.items() if one.answer == UNDECIDED}
        if not having:
            having = {recipe: one for recipe, one in found.items() if one.answer in (NOT, ADDS_NOT)}
    recipe = max(having, key=lambda name: (having[name].low, having[name].effect))
    return replace(
        having[recipe],
        sentence=f"Of {len(found)} recipes, {recipe!r} decides (no one was named before looking, "
        f"so alpha is divided by their number). {having[recipe].sentence}",
    )
