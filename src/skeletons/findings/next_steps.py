"""What to change next if something is undecided: which key of the configuration, and to what.

A step follows from what was found, never from a wish for another answer: more seeds decide either
way, and so do controls. Steps are in the order in which they should be taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import preconditions, seed_pairs
from skeletons.findings.claim import ALPHA, UNDECIDED
from skeletons.findings.recipe_verdicts import UNDECIDED as NOT_DECIDED
from skeletons.findings.recipe_verdicts import RecipeVerdict
from skeletons.findings.walk_certificates import Certificate
from skeletons.model_ids import BASE, PRUNED, REGULARIZED

IF_TRUE = "if the values observed so far are the true ones"
BASES, VERDICT, CONTROLS, WALKS, CLAIMS = "bases", "verdict", "controls", "walks", "claims"


@dataclass(frozen=True)
class Step:
    """One change of the configuration.

    Attributes:
        about: what it is for: `bases`, `verdict`, `controls`, `walks` or `claims`.
        change: what to change, in a few words of Markdown.
        reason: why, in sentences of Markdown.
        keys: the keys to change, with dots, such as `base.seeds`.
        values: new values by key, for those of `keys` whose value follows from the findings.
    """

    about: str
    change: str
    reason: str
    keys: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)


def steps(found: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """What to change next; nothing if all is decided.

    Bases that miss their target come alone, because better bases change everything else.

    Args:
        found: what `gather.summarize` has found so far.
        table: all models' scores.
    """
    if off := _bases(table):
        return [off]
    seeds = _seeds(found, table)
    return [
        *_data_sets(found["verdict"]),
        *seeds,
        *_controls(found["verdict"]),
        *_dead(found["verdict"], table),
        *_walks(found["walks"], found["settings"].loss_rise, found["settings"].largest_step),
        *_claims(found["claims"], table, bool(seeds)),
    ]


def more_seeds(table: pd.DataFrame, count: int) -> list[int]:
    """The seeds of an experiment, and the next free numbers up to a count.

    Args:
        table: all models' scores.
        count: the number of seeds to return, unless there are more already.
    """
    have = sorted({int(seed) for seed in table.seed[table.state == BASE].dropna()})
    free = (seed for seed in range(1, len(have) + count + 1) if seed not in have)
    return sorted([*have, *(next(free) for _ in range(count - len(have)))])


# --- bases and data sets ------------------------------------------------------------------------


def _bases(table: pd.DataFrame) -> Step | None:
    missed = preconditions.off_optimum(table)
    if not missed:
        return None
    if brought := [name for name in table.model if "own=" in name]:
        return Step(
            BASES,
            "Check how your models take images: `mean`, `std` and `classes`",
            f"{missed}. If {brought[0]} and the others are as good as they should be, set a "
            "`base.target` that they reach.",
            ("network.mean", "network.std", "network.classes", "base.target"),
        )
    return Step(
        BASES,
        "Train the bases longer: double `base.epochs`",
        f"{missed}. If the training loss no longer "
        "falls in the last epochs, change `base.learning_rate` instead, or set a `base.target` "
        "that these bases can reach.",
        ("base.epochs", "base.learning_rate", "base.target"),
    )


def _data_sets(verdict: Mapping[str, Any]) -> list[Step]:
    if _voting(verdict) or not verdict["controls"]:
        return []
    return [
        Step(
            VERDICT,
            "Add a data set of another task to `ood`, such as `{kind: digits}`",
            "All that are compared now are controls, which have no vote.",
            ("ood",),
        )
    ]


def _voting(verdict: Mapping[str, Any]) -> list[tuple[Any, Sequence[RecipeVerdict]]]:
    """The answer and the recipes on each data set with a vote, by the measure of the verdict."""
    return [
        (values[verdict["measure"]]["overall"], values[verdict["measure"]]["recipes"])
        for ood, values in verdict["by"].items()
        if ood not in verdict["controls"] and verdict["measure"] in values
    ]


# --- seeds and controls -------------------------------------------------------------------------


def _seeds(found: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """More seeds, or why they would not help, if a data set with a vote is undecided."""
    seeds = int((table.state == BASE).sum())
    open_sets = [
        (recipes, [one for one in recipes if one.answer == NOT_DECIDED])
        for overall, recipes in _voting(found["verdict"])
        if overall.answer == NOT_DECIDED
    ]
    if not open_sets:
        return []
    if not all(recipes for recipes, _ in open_sets):
        return [_nothing_compared(table, seeds)]
    wanted = [_wanted(undecided, seeds) for _, undecided in open_sets]
    if any(not counts for counts in wanted):
        return [_too_many()]
    first, every = (max(end(counts) for counts in wanted) for end in (min, max))
    alpha = found["settings"].alpha
    complete = sum(map(len, wanted)) == sum(len(undecided) for _, undecided in open_sets)
    return [_seeds_step(table, seeds, first, every, complete, len(open_sets[0][0]), alpha)]


def _wanted(undecided: Sequence[RecipeVerdict], seeds: int) -> list[int]:
    """How many seeds of the experiment would probably decide each recipe; unknown ones left out.

    If models of some seeds are dead, as large a share of the new ones is taken to be dead as well.
    """
    counts = []
    for one in undecided:
        needed = one.seeds_for_p if seeds < seed_pairs.FEWEST_SEEDS else one.seeds_needed
        if needed is not None and (one.seeds or seeds < seed_pairs.FEWEST_SEEDS):
            living = one.seeds / seeds if one.seeds else 1.0
            counts.append(max(math.ceil(needed / living), seeds + 1))
    return [count for count in counts if count <= seed_pairs.MOST_SEEDS]


def _seeds_step(
    table: pd.DataFrame,
    seeds: int,
    first: int,
    every: int,
    complete: bool,
    recipes: int,
    alpha: float,
) -> Step:
    """More seeds.

    Args:
        table: all models' scores.
        seeds: the number of seeds.
        first: that with which the first undecided recipe is likely to be decided.
        every: that for all recipes whose number is known.
        complete: whether it is known for all undecided recipes.
        recipes: the number of recipes.
        alpha: the level of the verdicts.
    """
    if seeds < seed_pairs.FEWEST_SEEDS:
        likely = "Then a decision is possible; it may need more."
    elif every == first:
        likely = f"Then a decision is likely (80 %), {IF_TRUE}."
    else:
        likely = (
            "Then the first of the undecided recipes is likely (80 %) to be decided, and with "
            f"about {every} seeds {'all' if complete else 'most'} of them, {IF_TRUE}."
        )
    alone, together = seed_pairs.seeds_for_p(alpha), seed_pairs.seeds_for_p(alpha, recipes)
    fewer = (
        f" A new experiment with one recipe instead of {recipes} needs at least {alone} seeds, "
        f"not {together}."
        if seeds < together and alone < together
        else ""
    )
    return Step(
        VERDICT,
        f"Train {text.counted(first - seeds, 'more base')}: extend `base.seeds` from {seeds} to "
        f"{first} seeds",
        f"{likely}{fewer}",
        ("base.seeds",),
        {"base.seeds": more_seeds(table, first)},
    )


def _too_many() -> Step:
    return Step(
        VERDICT,
        "Change the recipes: walk longer (`regularize.epochs`) or with a stronger penalty "
        "(`regularize.lambdas`), and prune more (`prune.thresholds`)",
        "More seeds alone will hardly decide: how many is unknown, or more than "
        f"{seed_pairs.MOST_SEEDS:,}.",
        ("regularize.epochs", "regularize.lambdas", "prune.thresholds"),
    )


def _nothing_compared(table: pd.DataFrame, seeds: int) -> Step:
    states = [state for state in (BASE, REGULARIZED, PRUNED) if (table.state == state).any()]
    values: dict[str, Any] = {"compare.states": states}
    if seeds < seed_pairs.FEWEST_SEEDS:
        values["base.seeds"] = more_seeds(table, seed_pairs.seeds_for_p(ALPHA))
    return Step(
        VERDICT,
        "Compare models of different bases before and after pruning",
        "This needs `base` and `pruned` in `compare.states`, a value in `prune.thresholds`, and "
        "several seeds in `base.seeds`.",
        ("compare.states", "prune.thresholds", "base.seeds"),
        values,
    )


def _controls(verdict: Mapping[str, Any]) -> list[Step]:
    recipes = [one for _, found in _voting(verdict) for one in found]
    if not recipes or any(len(one.rises) > 1 for one in recipes):
        return []
    return [
        Step(
            CONTROLS,
            "Add controls: `controls.random` and, in `compare.states`, `regularized`",
            "They are models pruned at random and models before pruning. Only controls can show "
            "whether a rise comes from what survives pruning.",
            ("controls.random", "compare.states"),
            {"controls.random": [1], "compare.states": [BASE, REGULARIZED, PRUNED]},
        )
    ]


def _dead(verdict: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """Gentler pruning, if it leaves too few models alive although there are enough seeds."""
    seeds, few = int((table.state == BASE).sum()), seed_pairs.FEWEST_SEEDS
    recipes = [one for _, found in _voting(verdict) for one in found]
    starved = [one for one in recipes if one.seeds < few and one.answer == NOT_DECIDED]
    dead = table[(table.state == PRUNED) & table.dead]
    if seeds < few or not starved or dead.empty:
        return []
    return [
        Step(
            VERDICT,
            "Prune less: add smaller values to `prune.thresholds`",
            f"Models are dead from a threshold of {dead.threshold.min():g} on, and some recipes "
            f"have fewer than {few} living models.",
            ("prune.thresholds",),
        )
    ]


# --- walks and claims ---------------------------------------------------------------------------


def _walks(found: Mapping[str, Certificate], room: float, step: float) -> list[Step]:
    """Gentler walks, or longer training before them, if walks leave the ridge."""
    of = text.counted(len(found), "walk")
    advice = []
    if rising := sum(one.rise > room for one in found.values()):
        advice.append(
            Step(
                WALKS,
                "Walk more gently: smaller `regularize.lambdas` or a smaller "
                "`regularize.learning_rate`",
                f"The training loss rises by more than {room:g} on {rising} of {of}.",
                ("regularize.lambdas", "regularize.learning_rate"),
            )
        )
    if falling := sum(one.descent > room for one in found.values()):
        advice.append(
            Step(
                WALKS,
                "Train the bases to the end: raise `base.epochs`",
                f"The training loss still falls by more than {room:g} on {falling} of {of}.",
                ("base.epochs",),
            )
        )
    if jumping := sum(one.longest > step for one in found.values()):
        advice.append(
            Step(
                WALKS,
                "Take smaller steps: a smaller `regularize.learning_rate`",
                f"A step is longer than {step:.1%} of the weights' norm on {jumping} of {of}.",
                ("regularize.learning_rate",),
            )
        )
    return advice


def _claims(
    found: Mapping[str, Sequence[Mapping[str, str]]], table: pd.DataFrame, more: bool
) -> list[Step]:
    """What undecided claims lack: conditions to compare, or seeds.

    Args:
        found: the claims by data set.
        table: all models' scores.
        more: whether more seeds are asked for already.
    """
    rows = [row for claims in found.values() for row in claims if row["holds"] == UNDECIDED]
    pruned = table[table.state == PRUNED]
    if not rows:
        return []
    lacking = [
        Step(
            CLAIMS,
            f"Add a value to `{key}`",
            f"A trend needs two, and there is {pruned[column].nunique() or 'none'}.",
            (key,),
        )
        for key, column in (("prune.thresholds", "threshold"), ("regularize.epochs", "epochs"))
        if pruned[column].nunique() < 2
    ]
    if more or lacking:
        return lacking
    seeds = int((table.state == BASE).sum())
    return [
        Step(
            CLAIMS,
            f"Extend `base.seeds` from {seeds} to {2 * seeds} seeds",
            f"{text.counted(len(rows), 'claim')} {'is' if len(rows) == 1 else 'are'} undecided. "
            "Twice as many seeds shorten an interval by about a third.",
            ("base.seeds",),
            {"base.seeds": more_seeds(table, 2 * seeds)},
        )
    ]


def markdown(found: Sequence[Step]) -> str:
    """The steps as a list."""
    return "\n".join(f"- **{step.change}.** {step.reason}" for step in found)
