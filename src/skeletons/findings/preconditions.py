"""What must be true before the question can be tested; otherwise the answer says what is missing.

The question is about networks that are trained to optimality, on images for which the task does not
determine the answer. Bases that miss `base.target` are not such networks, and a control data set
does not hold such images. What was measured is shown all the same, without an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import pair_kinds
from skeletons.findings.experiment_answer import Answer
from skeletons.findings.recipe_verdicts import NOT_TESTED, RecipeVerdict, signed
from skeletons.model_ids import BASE, PRUNED


def short_of_target(table: pd.DataFrame) -> list[str]:
    """The bases that miss `base.target`, by name.

    Args:
        table: all models' scores.
    """
    bases = table[table.state == BASE]
    return [str(name) for name in bases.model[bases.optimal.eq(False)]]


def off_optimum(table: pd.DataFrame) -> str:
    """Why nothing was tested if bases miss `base.target`, in a clause; empty if all reach it."""
    missed, bases = short_of_target(table), int((table.state == BASE).sum())
    if not missed:
        return ""
    miss = "misses" if bases == 1 else "miss"
    return f"{len(missed)} of {text.counted(bases, 'base model')} {miss} `base.target`"


def off_optimum_text(table: pd.DataFrame) -> str:
    """The same in sentences: which bases, why that matters, and what to do; empty if all reach it.

    It stands below the answer, which has the number of bases.
    """
    missed = [f"`{name}`" for name in short_of_target(table)]
    if not missed:
        return ""
    miss = "misses" if len(missed) == 1 else "miss"
    return (
        f"{text.listed(missed)} {miss} `base.target`. The question is about networks trained to "
        "optimality, so neither the verdict nor a claim is given. Train the bases longer or better "
        "(the section `base`), or set a target that they reach. What was measured is shown all the "
        "same."
    )


def only_controls(controls: Collection[str]) -> str:
    """Why nothing was tested if every data set is a control, in a clause."""
    names = text.listed([f"`{name}`" for name in sorted(controls)])
    are = "is a control" if len(controls) == 1 else "are controls"
    return f"no data set was compared but {names}, which {are}"


def withheld(found: Sequence[RecipeVerdict], because: str) -> list[RecipeVerdict]:
    """Verdicts on recipes with what was measured, but without an answer."""
    return [
        replace(
            one,
            answer=NOT_TESTED,
            seeds_needed=None,
            sentence=f"Not tested, because {because}; the measured rise beyond {one.against} is "
            f"{signed(one.effect)}.",
        )
        for one in found
    ]


def withheld_answer(found: Answer, because: str, kinds: Sequence[Mapping[str, Any]]) -> Answer:
    """An answer on one data set without an answer: why, and the similarity.

    Args:
        found: the answer that would follow.
        because: a clause.
        kinds: the rows of `pair_kinds.summary` on this data set, by the same measure.
    """
    means = {row["kind"]: row["mean"] for row in kinds if row["mean"] is not None}
    shown = [
        f"{means[kind]:.3f} for {kind}"
        for kind in (pair_kinds.ACROSS[BASE], pair_kinds.ACROSS[PRUNED])
        if kind in means
    ]
    similarity = f"; the mean similarity is {text.listed(shown)}" if shown else ""
    return replace(
        found,
        answer=f"{NOT_TESTED}: {because}",
        sentence=f"Not tested{similarity}.",
        converging=(),
    )
