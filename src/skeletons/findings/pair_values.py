"""From a tidy table of similarities to arrays of all pairs of the seeds that live.

A tidy table has one row per pair: seed_a and seed_b (whatever names the two bases), kind, recipe
and value. Kinds:

| kind | the two models |
|---|---|
| base | bases |
| pruned | pruned models of one recipe |
| plain | the ends of the same walk without a penalty |
| stopped | bases stopped at the training loss of the pruned models |
| regularized | the models that the pruned ones were made from |
| random | models pruned at random to the same density |
| ceiling | models that share most of what makes them: as alike as two models get |

A ceiling may also be measured within a base, with seed_a = seed_b: two bases of one seed that saw
the images in another order, or two children of one base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from skeletons.arrays import Floats

BASE, PRUNED, PLAIN, STOPPED = "base", "pruned", "plain", "stopped"
REGULARIZED, RANDOM, CEILING = "regularized", "random", "ceiling"
KINDS = (BASE, PRUNED, REGULARIZED, PLAIN, STOPPED, RANDOM, CEILING)
COLUMNS = ("seed_a", "seed_b", "kind", "recipe", "value")


@dataclass(frozen=True)
class Square:
    """The similarities of one kind: seeds × seeds, symmetric, NaN for a pair without a value.

    Attributes:
        between: of models of different bases; its diagonal is NaN.
        within: of models of one base, one per seed; NaN without a value.
        others: the values of pairs with a seed that is not one of those asked for.
    """

    between: Floats
    within: Floats
    others: Floats


def recipes(table: pd.DataFrame) -> list[str]:
    """The recipes of the pruned models, in the order of the table; a missing one is ""."""
    return list(dict.fromkeys(_recipe(table[table.kind == PRUNED])))


def seeds(table: pd.DataFrame) -> list[object]:
    """The seeds of bases and pruned models, in the order of the table."""
    rows = table[table.kind.isin([BASE, PRUNED])]
    return list(dict.fromkeys([*rows.seed_a, *rows.seed_b]))


def square(table: pd.DataFrame, kind: str, recipe: str, named: Sequence[object]) -> Square | None:
    """The similarities of one kind that a recipe is compared with; None if there is no row.

    Rows of that recipe count; if there are none, rows without a recipe; if there are none either,
    all rows of a kind that has one recipe of its own, such as bases under the recipe "base".

    Args:
        table: tidy.
        kind: one of `KINDS`.
        recipe: of the pruned models.
        named: the seeds asked for, in order.
    """
    rows = table[table.kind == kind]
    own = _recipe(rows)
    chosen = rows[own == recipe]
    if chosen.empty:
        chosen = rows[own == ""]
    if chosen.empty and own.nunique() == 1 and own.iloc[0] not in recipes(table):
        chosen = rows
    if chosen.empty:
        return None
    return _square(chosen, named)


def _square(rows: pd.DataFrame, named: Sequence[object]) -> Square:
    place = {name: index for index, name in enumerate(named)}
    between = np.full((len(named), len(named)), np.nan)
    within = np.full(len(named), np.nan)
    others = []
    for a, b, value in zip(rows.seed_a, rows.seed_b, rows.value, strict=True):
        if a not in place or b not in place:
            others.append(value)
        elif a == b:
            within[place[a]] = value
        else:
            between[place[a], place[b]] = between[place[b], place[a]] = value
    return Square(between, within, np.array(others, dtype=np.float64))


def _recipe(rows: pd.DataFrame) -> pd.Series[str]:
    return rows.recipe.fillna("").astype(str)


def living(between: Floats, among: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Those of some seeds that have a value with each other.

    A dead model has no similarity to any other. As long as a pair has no value, the seed with the
    most such pairs is left out (the last one of several).

    Args:
        between: seeds × seeds.
        among: the seeds to choose from, one flag per seed.
    """
    kept = among.copy()
    while True:
        missing = np.isnan(between) & kept[:, None] & kept[None, :]
        np.fill_diagonal(missing, False)
        faults = missing.sum(axis=1)
        if not faults.any():
            return kept
        kept[len(faults) - 1 - int(np.argmax(faults[::-1]))] = False


def pairs_of(between: Floats, kept: npt.NDArray[np.bool_]) -> Floats:
    """The values of all pairs of some seeds, in the order of `itertools.combinations`."""
    inside = between[np.ix_(kept, kept)]
    return np.asarray(inside[np.triu_indices(len(inside), 1)])


def ceiling_of(found: Square, kept: npt.NDArray[np.bool_]) -> tuple[Floats, str]:
    """The ceiling of each pair of some seeds, and where it comes from.

    Between the same seeds, if every pair has a value; within the seeds, if each has one: then a
    pair's is the mean of its two seeds'. Otherwise one number for all pairs, the mean of what there
    is, which counts as known.

    Args:
        found: the similarities of the kind `ceiling`.
        kept: the living seeds.

    Returns:
        All pairs of those seeds; and `between`, `within` or `constant`.
    """
    between = pairs_of(found.between, kept)
    if len(between) and not np.isnan(between).any():
        return between, "between"
    within = found.within[kept]
    if len(within) and not np.isnan(within).any():
        return pairs_of((within[:, None] + within[None, :]) / 2, np.ones(len(within), bool)), (
            "within"
        )
    every = found.between[np.triu_indices(len(found.within), 1)]
    known = np.concatenate([every, found.within, found.others])
    known = known[~np.isnan(known)]
    mean = float(known.mean()) if len(known) else float("nan")
    return np.full(len(between), mean), "constant"
