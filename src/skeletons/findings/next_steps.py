"""What to change next if something is undecided: which key of the configuration, and to what.

A step follows from what was found, never from a wish for another answer: more seeds decide either
way, and so do controls. Steps are in the order in which they should be taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import pair_tables, pair_values, preconditions
from skeletons.findings.answer import NONE
from skeletons.findings.claim import UNDECIDED
from skeletons.findings.modified_t import FEWEST
from skeletons.findings.pair_values import CEILING, RANDOM
from skeletons.findings.rules import UNDECIDED as NOT_DECIDED
from skeletons.findings.verdict import RecipeAnswers
from skeletons.findings.walk_certificates import Certificate
from skeletons.model_ids import BASE, PRUNED, REGULARIZED, Model

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
        *_skeletons(found["verdict"], pruning_key(table)),
        *_controls(found["verdict"], are_brought(table)),
        *_weak_controls(found["verdict"], table),
        *_dead(found, table),
        *_walks(
            found["walks"],
            found["settings"].loss_rise,
            found["settings"].largest_step,
            are_brought(table),
        ),
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


def pruning_key(table: pd.DataFrame) -> str:
    """The key of the configuration that says how much is pruned: densities only if alone."""
    pruned = table[table.state == PRUNED]
    by_density = len(pruned) and pruned.threshold.isna().all()
    return "prune.densities" if by_density else "prune.thresholds"


def are_brought(table: pd.DataFrame) -> bool:
    """Whether bases are a user's own models, so that no more can be trained here."""
    return bool(table.model.str.contains("own=").any())


# --- bases and data sets ------------------------------------------------------------------------


def _bases(table: pd.DataFrame) -> Step | None:
    missed = preconditions.off_optimum(table)
    if not missed:
        return None
    if preconditions.near_chance(table):
        return Step(
            BASES,
            "Check how your models take images: `mean`, `std`, `classes` and `images.size`",
            f"{missed}.",
            ("network.mean", "network.std", "network.classes", "images.size"),
        )
    if are_brought(table):
        first = next(name for name in table.model if "own=" in name)
        return Step(
            BASES,
            "Check how your models take images: `mean`, `std` and `classes`",
            f"{missed}. If {first} and the others are as good as they should be, set a "
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


def _voting(verdict: Mapping[str, Any]) -> list[RecipeAnswers | None]:
    """The primary answers on each data set with a vote; None if the recipe was not compared."""
    measure = verdict["measure"]
    return [
        next((one for one in values[measure]["recipes"] if one.primary), None)
        for ood, values in verdict["by"].items()
        if ood not in verdict["controls"] and measure in values
    ]


# --- skeletons, seeds and controls --------------------------------------------------------------


def _skeletons(verdict: Mapping[str, Any], key: str) -> list[Step]:
    """Another recipe, if the pruned models of the primary one are no skeletons."""
    missing = [one for one in verdict["preconditions"] if one.name == "skeletons" and not one.holds]
    return [
        Step(
            VERDICT,
            f"Find a recipe that gives skeletons: change `{key}`, train on after pruning "
            "(`prune.retrain`), or walk longer (`regularize.epochs`)",
            f"{one.found[0].upper()}{one.found[1:]}.",
            (key, "prune.retrain", "regularize.epochs"),
        )
        for one in missing
    ]


def _seeds(found: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """More seeds, or why they would not help, if a data set with a vote is undecided."""
    seeds = int((table.state == BASE).sum())
    voting = _voting(found["verdict"])
    if not voting:
        return []
    if not all(voting):
        return [_nothing_compared(table, seeds)]
    if seeds < FEWEST:
        return [_first_seeds(table, seeds)]
    undecided = [one.walk for one in voting if one and one.walk.answer == NOT_DECIDED]
    undecided = [one for one in undecided if one.seeds >= found["settings"].alive * one.asked]
    if not undecided:
        return []
    needed = [one.needed for one in undecided]
    if any(count is None for count in needed):
        return [_too_many(pruning_key(table))]
    return [_new_experiment(table, max(count for count in needed if count), undecided[0].likely)]


def _first_seeds(table: pd.DataFrame, seeds: int) -> Step:
    """Enough seeds for a first decision; nothing could be decided before, so no alpha is spent."""
    why = "Then a decision is possible; with eight it is likely. Fix the number before you look."
    if are_brought(table):
        return _more_checkpoints(VERDICT, FEWEST - seeds, why)
    return Step(
        VERDICT,
        f"Train {text.counted(FEWEST - seeds, 'more base')}: extend `base.seeds` from {seeds} to "
        f"{FEWEST} seeds",
        why,
        ("base.seeds",),
        {"base.seeds": more_seeds(table, FEWEST)},
    )


def _more_checkpoints(about: str, count: int, why: str) -> Step:
    """More of a user's own models, which only the user can train."""
    return Step(
        about,
        f"Bring {text.counted(count, 'more model')}: add files to `network.checkpoints`",
        why,
        ("network.checkpoints",),
    )


def _new_experiment(table: pd.DataFrame, count: int, likely: str) -> Step:
    """A new experiment: adding seeds to a decided number until it fits would err too often."""
    brought = are_brought(table)
    answer = f", most probably with *{likely}*" if likely else ""
    reason = (
        f"It would be decided with a probability of 80 %{answer}. Adding "
        f"{'models' if brought else 'seeds'} to this one and looking again errs more often, unless "
        "`findings.looks` had planned it."
    )
    if brought:
        return Step(
            VERDICT,
            f"Ask again in a new experiment: another `experiment` with {count} new models",
            reason,
            ("experiment", "network.checkpoints"),
        )
    have = more_seeds(table, 0)
    new = [seed for seed in more_seeds(table, len(have) + count) if seed not in have]
    return Step(
        VERDICT,
        f"Ask again in a new experiment: another `experiment` with {count} new `base.seeds`",
        reason,
        ("experiment", "base.seeds"),
        {"base.seeds": new},
    )


def _too_many(key: str) -> Step:
    return Step(
        VERDICT,
        "Change the recipes: walk longer (`regularize.epochs`) or with a stronger penalty "
        f"(`regularize.lambdas`), and prune more (`{key}`)",
        "More bases alone will hardly decide: even 100 new ones would probably not.",
        ("regularize.epochs", "regularize.lambdas", key),
    )


def _nothing_compared(table: pd.DataFrame, seeds: int) -> Step:
    states = [state for state in (BASE, REGULARIZED, PRUNED) if (table.state == state).any()]
    values: dict[str, Any] = {"compare.states": states}
    bases, key = "seeds in `base.seeds`", pruning_key(table)
    if are_brought(table):
        bases = "models in `network.checkpoints`"
    elif seeds < FEWEST:
        values["base.seeds"] = more_seeds(table, FEWEST)
    return Step(
        VERDICT,
        "Compare models of different bases before and after pruning",
        f"This needs `base` and `pruned` in `compare.states`, a value in `{key}`, and several "
        f"{bases}.",
        ("compare.states", key, "network.checkpoints" if are_brought(table) else "base.seeds"),
        values,
    )


def _controls(verdict: Mapping[str, Any], brought: bool) -> list[Step]:
    """The ceiling, the models before pruning and other controls, if there are none.

    Args:
        verdict: of the experiment.
        brought: whether bases are a user's own, of which no other order can be trained.
    """
    voting = [one for one in _voting(verdict) if one is not None]
    missing = {
        kind
        for one in voting
        for kind, why in (*one.walk.missing.items(), *one.pruning.missing.items())
        if why == NONE
    }
    wanted = [
        (CEILING, "controls.orders", [1], "a ceiling"),
        (RANDOM, "controls.random", [1], "models pruned at random"),
        (
            pair_values.REGULARIZED,
            "compare.states",
            [BASE, REGULARIZED, PRUNED],
            "models before pruning",
        ),
    ]
    add = [
        (key, value, what)
        for kind, key, value, what in wanted
        if kind in missing and not (brought and kind == CEILING)
    ]
    if not add:
        return []
    keys = [key for key, _, _ in add]
    return [
        Step(
            CONTROLS,
            f"Add controls: {text.listed([f'`{key}`' for key in keys])}",
            f"They are {text.listed([what for _, _, what in add])}. Only controls show what share "
            "of the gap is closed, and whether a rise comes from what survives pruning.",
            tuple(keys),
            {key: value for key, value, _ in add},
        )
    ]


def _weak_controls(verdict: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """Retraining, if models pruned at random take no part because they are too weak."""
    voting = [one for one in _voting(verdict) if one is not None]
    weak = any(one.walk.missing.get(RANDOM, NONE) != NONE for one in voting)
    if not weak or pair_tables.retrained(table):
        return []
    return [
        Step(
            CONTROLS,
            "Train models on after pruning, those pruned at random as well: set `prune.retrain`",
            "Models pruned at random are dead or far less accurate than the pruned models, so they "
            "control nothing.",
            ("prune.retrain",),
        )
    ]


def _dead(found: Mapping[str, Any], table: pd.DataFrame) -> list[Step]:
    """Gentler pruning, if it leaves too few models alive although there are enough seeds."""
    alive = found["settings"].alive
    starved = [
        one for one in _voting(found["verdict"]) if one and one.walk.seeds < alive * one.walk.asked
    ]
    dead = table[(table.state == PRUNED) & table.dead & table.threshold.notna()]
    if int((table.state == BASE).sum()) < FEWEST or not starved or dead.empty:
        return []
    return [
        Step(
            VERDICT,
            "Prune less: add smaller values to `prune.thresholds`",
            f"Models are dead from a threshold of {dead.threshold.min():g} on, and a decision "
            f"needs {alive:.0%} of the seeds.",
            ("prune.thresholds",),
        )
    ]


# --- walks and claims ---------------------------------------------------------------------------


def _walks(found: Mapping[str, Certificate], room: float, step: float, brought: bool) -> list[Step]:
    """Gentler walks, or longer training before them, if walks leave the ridge."""
    of = text.counted(len(found), "walk")
    advice = []
    if rising := sum(one.highest > room for one in found.values()):
        advice.append(
            Step(
                WALKS,
                "Walk more gently: smaller `regularize.lambdas` or a smaller "
                "`regularize.learning_rate`",
                f"The training loss rises by more than {room:g} on {rising} of {of}.",
                ("regularize.lambdas", "regularize.learning_rate"),
            )
        )
    if falling := sum(one.deepest > room for one in found.values()):
        advice.append(
            Step(
                WALKS,
                "Bring models that are trained to the end"
                if brought
                else "Train the bases to the end: raise `base.epochs`",
                f"The training loss still falls by more than {room:g} on {falling} of {of}.",
                ("network.checkpoints" if brought else "base.epochs",),
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
    cuts = {Model.parse(name).cut for name in pruned.model}
    key = pruning_key(table)
    counts = {
        key: len(cuts) if key == "prune.densities" else pruned.threshold.nunique(),
        "regularize.epochs": pruned.epochs.nunique(),
    }
    lacking = [
        Step(
            CLAIMS,
            f"Add a value to `{key}`",
            f"A trend needs two, and there is {'one' if count else 'none'}.",
            (key,),
        )
        for key, count in counts.items()
        if count < 2
    ]
    if more or lacking:
        return lacking
    seeds = int((table.state == BASE).sum())
    brought = are_brought(table)
    why = (
        f"{text.counted(len(rows), 'claim')} {'is' if len(rows) == 1 else 'are'} undecided. Twice "
        f"as many {'models' if brought else 'seeds'} shorten an interval by about a third."
    )
    if brought:
        return [_more_checkpoints(CLAIMS, seeds, why)]
    return [
        Step(
            CLAIMS,
            f"Extend `base.seeds` from {seeds} to {2 * seeds} seeds",
            why,
            ("base.seeds",),
            {"base.seeds": more_seeds(table, 2 * seeds)},
        )
    ]


def markdown(found: Sequence[Step]) -> str:
    """The steps as a list."""
    return "\n".join(f"- **{step.change}.** {step.reason}" for step in found)
