"""From verdicts on recipes to one answer: do models of different bases converge at all?

On one OOD set the answer is, of the three that a verdict has,

- **converges** if under some recipe they do. Verdicts are corrected by Holm's method for the number
  of recipes, so the probability that this is wrong is at most alpha, however many are tried.
- **does not converge** if under no recipe they do: every verdict says so. As all must hold, this
  needs no correction for their number (Berger 1982); it has one nonetheless, and is cautious.
- **cannot be decided with this many seeds** otherwise.

A recipe that leaves no two seeds alive has nothing to be alike. It stays in the correction, as it
was asked about, but does not stand in the way of *does not converge*.

An experiment's answer is that on all of its OOD sets, if they agree; no correction is needed then
either. If they are decided but disagree, it is that they differ.
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
    Verdict,
    signed,
)

DIFFERS = "differs between data sets"


@dataclass(frozen=True)
class Answer:
    """One answer from the verdicts on all recipes.

    Attributes:
        answer: `converges`, `does not converge` or `cannot be decided with this many seeds`; of
            several OOD sets also `differs between data sets`.
        sentence: it in words, with what it rests on.
        recipes: how many were asked about.
        left_out: those of them that leave no two seeds alive.
        converging: those under which models of different bases converge.
        seeds: the most that any recipe has.
    """

    answer: str
    sentence: str
    recipes: int
    left_out: tuple[str, ...]
    converging: tuple[str, ...]
    seeds: int


def combine(
    found: Sequence[Verdict], seeds: int, *, alpha: float = ALPHA, margin: float = MARGIN
) -> Answer:
    """The answer on one OOD set.

    Args:
        found: the verdict on every recipe, each with the comparison to the bases first.
        seeds: of the experiment, alive or not.
        alpha: as in the verdicts.
        margin: as in the verdicts.
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
        " ".join(part for part in (text, _left_out_text(left_out), _against(found)) if part),
        len(found),
        tuple(v.question for v in left_out),
        tuple(v.question for v in converging),
        max((v.seeds for v in found), default=0),
    )


def over_sets(found: Mapping[str, Answer]) -> str:
    """The answer of an experiment from those on its OOD sets, at least one."""
    answers = {one.answer for one in found.values()}
    if len(answers) == 1:
        return answers.pop()
    return UNDECIDED if UNDECIDED in answers else DIFFERS


# --- in words -----------------------------------------------------------------------------------


def _converges(converging: Sequence[Verdict], recipes: int, alpha: float) -> str:
    best = min(converging, key=lambda v: (v.p_corrected, -v.low))
    where = "; ".join(v.question for v in converging)
    return (
        f"Models of different bases **converge** under {len(converging)} of "
        f"{prose.counted(recipes, 'recipe')}: {where}. Where it is surest ({best.question}) they "
        f"grow more alike by {signed(best.effect)} ({1 - alpha:.0%} interval {signed(best.low)} to "
        f"{signed(best.high)}) beyond {best.against}, p {prose.p_value(best.p_corrected)} after "
        "correction."
    )


def _not(asked: Sequence[Verdict], margin: float) -> str:
    every = "the one recipe" if len(asked) == 1 else f"any of {len(asked)} recipes"
    return (
        f"Models of different bases **do not converge** under {every}: a rise of {margin:g} or "
        "more, beyond the bases or a control, is ruled out."
    )


def _undecided(found: Sequence[Verdict], asked: Sequence[Verdict], seeds: int, alpha: float) -> str:
    opening = f"Whether models of different bases converge **{UNDECIDED}**"
    if not found:
        return f"{opening}: no pruned models of different bases were compared."
    fewest = found[0].seeds_for_p
    with_recipes = f"with {prose.counted(len(found), 'recipe')} to ask about"
    if seeds < 3:
        have = "there is 1" if seeds == 1 else f"there are {seeds}"
        return (
            f"{opening}: {have}, and intervals take 3 at least; {with_recipes}, a corrected p "
            f"below {alpha:g} takes {fewest} or more."
        )
    if not asked:
        return f"{opening}: no recipe leaves two seeds alive."
    no = sum(v.answer == NOT for v in asked)
    still_open = [v for v in asked if v.answer == UNDECIDED]
    counts = f"of {len(found)} recipes, {no} do not converge and {len(still_open)} are open"
    if not no:
        counts = "a rise is neither shown nor ruled out"
        counts += f" for any of {len(found)} recipes" if len(found) > 1 else ""
    text = f"{opening}: {counts}. {_needed(still_open)}"
    if seeds < fewest:
        text += (
            f" With {seeds} seeds *{CONVERGES}* was out of reach: {with_recipes}, a corrected p "
            f"below {alpha:g} takes {fewest} or more."
        )
    return text


def _needed(still_open: Sequence[Verdict]) -> str:
    """How many seeds would decide, of the recipes that are open."""
    known = sorted(v.seeds_needed for v in still_open if v.seeds_needed is not None)
    most = max(v.seeds for v in still_open)
    if most < 3:
        return f"An interval takes 3 living seeds; here no comparison has more than {most}."
    if not known:
        return "How many seeds would decide cannot be told from these."
    if len(known) == len(still_open):
        if known[0] == known[-1]:
            return f"About {known[0]} seeds are likely to decide."
        return (
            f"About {known[0]} seeds are likely to decide the nearest of those, about {known[-1]} "
            "all of them."
        )
    return (
        f"About {known[0]} seeds are likely to decide the nearest of those; for some no number "
        "can be told."
    )


def _left_out_text(left_out: Sequence[Verdict]) -> str:
    if not left_out:
        return ""
    names = prose.listed([v.question for v in left_out])
    leave = "it leaves" if len(left_out) == 1 else "they leave"
    return f"Left out, as {leave} no two seeds alive: {names}."


def _against(found: Sequence[Verdict]) -> str:
    """What was held against; without controls a rise may have another cause than a skeleton."""
    if not found:
        return ""
    names = [rise.against for rise in found[0].rises]
    if len(names) > 1:
        return f"Held against: {prose.listed(names)}."
    return (
        f"Held against {names[0]} alone: whether a rise comes of what survives pruning, or of "
        "training on or of fewer weights, only controls could tell (`compare.states`, "
        "`controls.random`)."
    )
