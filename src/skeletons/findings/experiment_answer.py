"""From verdicts on recipes to one answer: do models of different bases converge at all?

On one OOD set, the answer is one of the three that a verdict has:

- **converges** if models converge under some recipe. Holm's method corrects the verdicts for the
  number of recipes, so the probability of a wrong answer is at most alpha, however many are tried.
- **does not converge** if every verdict says so. Because all must hold, this needs no correction
  for their number (Berger 1982); the verdicts are corrected nonetheless, which is conservative.
- **cannot be decided with this many seeds** otherwise.

A recipe that leaves fewer than two seeds alive has no similarity. It counts in the correction,
because it was tested, but it does not prevent *does not converge*.

The answer of an experiment is the answer on all of its OOD sets if they agree; this needs no
further correction. If all are decided but disagree, the answer is that they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skeletons import text as prose
from skeletons.findings.recipe_verdicts import (
    ALPHA,
    CONVERGES,
    MARGIN,
    NOT,
    UNDECIDED,
    RecipeVerdict,
    signed,
)

DIFFERS = "differs between data sets"


@dataclass(frozen=True)
class Answer:
    """The answer that follows from the verdicts on all recipes.

    Attributes:
        answer: `converges`, `does not converge` or `cannot be decided with this many seeds`.
        sentence: the answer and its evidence in words.
        recipes: the number of recipes that were tested.
        left_out: the recipes that leave fewer than two seeds alive.
        converging: the recipes under which models of different bases converge.
        seeds: the largest number of seeds of any recipe.
    """

    answer: str
    sentence: str
    recipes: int
    left_out: tuple[str, ...]
    converging: tuple[str, ...]
    seeds: int


def combine(
    found: Sequence[RecipeVerdict], seeds: int, *, alpha: float = ALPHA, margin: float = MARGIN
) -> Answer:
    """The answer on one OOD set.

    Args:
        found: the verdict on every recipe, each with the comparison with the bases first.
        seeds: of the experiment, whether their models are alive or not.
        alpha: the same as for the verdicts.
        margin: the same as for the verdicts.
    """
    left_out = [v for v in found if v.rises[0].seeds == 0] if seeds > 1 else []
    asked = [v for v in found if v not in left_out]
    converging = [v for v in asked if v.answer == CONVERGES]
    if converging:
        answer, text = CONVERGES, _converges(converging, len(found), alpha)
    elif asked and all(v.answer == NOT for v in asked):
        answer, text = NOT, _not(asked, margin)
    else:
        answer, text = UNDECIDED, _undecided(found, asked, seeds, alpha)
    return Answer(
        answer,
        " ".join(part for part in (text, _left_out_text(left_out), _compared(found)) if part),
        len(found),
        tuple(v.question for v in left_out),
        tuple(v.question for v in converging),
        max((v.seeds for v in found), default=0),
    )


def over_sets(found: Mapping[str, Answer]) -> str:
    """The answer of an experiment from the answers on its OOD sets, at least one.

    Returns:
        Their answer if they agree, `UNDECIDED` if one is undecided, or else `DIFFERS`.
    """
    answers = {one.answer for one in found.values()}
    if len(answers) == 1:
        return answers.pop()
    return UNDECIDED if UNDECIDED in answers else DIFFERS


# --- in words -----------------------------------------------------------------------------------


def _converges(converging: Sequence[RecipeVerdict], recipes: int, alpha: float) -> str:
    best = min(converging, key=lambda v: (v.p_corrected, -v.low))
    where = "; ".join(v.question for v in converging)
    return (
        f"Models of different bases **converge** under {len(converging)} of "
        f"{prose.counted(recipes, 'recipe')}: {where}. The clearest case is {best.question}: they "
        f"grow more alike by {signed(best.effect)} ({1 - alpha:.0%} interval {signed(best.low)} to "
        f"{signed(best.high)}) beyond {best.against}, p {prose.p_value(best.p_corrected)} after "
        "correction."
    )


def _not(asked: Sequence[RecipeVerdict], margin: float) -> str:
    every = "the only recipe" if len(asked) == 1 else f"any of {len(asked)} recipes"
    return (
        f"Models of different bases **do not converge** under {every}: a rise of {margin:g} or "
        "more, beyond the bases or a control, is ruled out."
    )


def _undecided(
    found: Sequence[RecipeVerdict], asked: Sequence[RecipeVerdict], seeds: int, alpha: float
) -> str:
    opening = f"Whether models of different bases converge **{UNDECIDED}**"
    if not found:
        return f"{opening}: no pruned models of different bases were compared."
    fewest = found[0].seeds_for_p
    with_recipes = f"with {prose.counted(len(found), 'recipe')} to test"
    if seeds < 3:
        have = "there is 1 seed" if seeds == 1 else f"there are {seeds} seeds"
        return (
            f"{opening}: {have}, and intervals need at least 3; {with_recipes}, a corrected p "
            f"below {alpha:g} needs {fewest} or more."
        )
    if not asked:
        return f"{opening}: no recipe leaves two seeds alive."
    no = sum(v.answer == NOT for v in asked)
    undecided = [v for v in asked if v.answer == UNDECIDED]
    counts = f"of {len(found)} recipes, {no} do not converge and {len(undecided)} are undecided"
    if not no:
        counts = "a rise is neither shown nor ruled out"
        counts += f" for any of {len(found)} recipes" if len(found) > 1 else ""
    text = f"{opening}: {counts}. {_needed(undecided)}"
    if seeds < fewest:
        text += (
            f" With {seeds} seeds, *{CONVERGES}* was impossible: {with_recipes}, a corrected p "
            f"below {alpha:g} needs {fewest} or more."
        )
    return text


def _needed(undecided: Sequence[RecipeVerdict]) -> str:
    """How many seeds would probably decide the undecided recipes."""
    known = sorted(v.seeds_needed for v in undecided if v.seeds_needed is not None)
    most = max(v.seeds for v in undecided)
    if most < 3:
        return f"An interval needs 3 living seeds; here no comparison has more than {most}."
    if not known:
        return "These results cannot show how many seeds would decide."
    if len(known) == len(undecided):
        if known[0] == known[-1]:
            return f"About {known[0]} seeds are likely to decide."
        return (
            f"About {known[0]} seeds are likely to decide the first of them, about {known[-1]} "
            "all of them."
        )
    return (
        f"About {known[0]} seeds are likely to decide the first of them; for some, the number is "
        "unknown."
    )


def _left_out_text(left_out: Sequence[RecipeVerdict]) -> str:
    if not left_out:
        return ""
    names = prose.listed([v.question for v in left_out])
    leave = "it leaves" if len(left_out) == 1 else "they leave"
    return f"Left out, because {leave} fewer than two seeds alive: {names}."


def _compared(found: Sequence[RecipeVerdict]) -> str:
    """The comparisons; without controls, a rise may have another cause than a skeleton."""
    if not found:
        return ""
    names = [rise.against for rise in found[0].rises]
    if len(names) > 1:
        return f"Compared with: {prose.listed(names)}."
    return (
        f"Compared with {names[0]} alone: only controls could show whether a rise comes from what "
        "survives pruning, or from further training or fewer weights (`compare.states`, "
        "`controls.random`)."
    )
