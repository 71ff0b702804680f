"""From the table of all pairs of models to a tidy table of one recipe (see `pair_values`).

Each seed is named by its base. Kinds that an experiment does not have yet take part as soon as
there are models in their state.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.errors import SkeletonsError
from skeletons.findings import pair_values
from skeletons.findings.pair_values import CEILING, COLUMNS, PLAIN, STOPPED
from skeletons.model_ids import (
    BASE,
    FORKED,
    PRUNED,
    RANDOM,
    REGULARIZED,
    REORDERED,
    Model,
    spell,
)

WALKED = (BASE, REGULARIZED, PRUNED)  # states of models other than controls

Values = Callable[[str, str], float]

# What a control shares with the pruned model that it is compared with. A walk without a penalty has
# a λ of its own; a stopped base may have no recipe.
SHARED = {
    PLAIN: ("epochs", "threshold", "density"),
    STOPPED: ("l1", "epochs", "threshold", "density"),
    RANDOM: ("l1", "epochs", "threshold", "density"),
}


def from_table(pairs: pd.DataFrame, measure: str) -> Values:
    """A function that looks up a measure of two models in a table of pairs.

    Args:
        pairs: with columns a, b and the measure; NaN if a pair has no value.
        measure: one of its columns.

    Returns:
        A function from two model ids to a value. It raises SkeletonsError if the table lacks the
        pair.
    """
    # As arrays of objects, which Python iterates faster than columns of text.
    a, b = (pairs[side].to_numpy(object) for side in ("a", "b"))
    found = dict(zip(zip(a, b, strict=True), pairs[measure].to_numpy(), strict=True))

    def value(a: str, b: str) -> float:
        pair = (a, b) if (a, b) in found else (b, a)
        if pair not in found:
            raise SkeletonsError(
                f"The similarity table has no pair of {a} and {b}; add the states of both to "
                "compare.states and run snakemake again."
            )
        return float(found[pair])

    return value


def by_recipe(models: Iterable[Model]) -> dict[str, list[Model]]:
    """Pruned models by λ, epochs and cut in ascending order; within a recipe, by base."""
    pruned = [model for model in models if model.state == PRUNED]
    groups: dict[str, list[Model]] = {}
    for model in sorted(pruned, key=lambda m: (*m.sort_key[4:], *m.sort_key[:4])):
        groups.setdefault(named(model), []).append(model)
    return groups


def named(model: Model) -> str:
    """The recipe of a pruned model in words."""
    epochs = text.counted(model.epochs or 0, "epoch")
    return f"λ = {spell(model.l1 or 0)}, {epochs}, {model.cut}"


def members(group: Sequence[Model], models: Iterable[Model]) -> dict[str, dict[str, list[str]]]:
    """The models of one recipe and of what it is compared with, by kind and base.

    Args:
        group: the pruned models of one recipe, one per base.
        models: all that were compared.

    Returns:
        For each kind but the ceiling, by base the ids of its models: several, if there are
        drawings. Bases without a model of the kind are left out.
    """
    models = list(models)
    there = {str(model) for model in models}
    found: dict[str, dict[str, list[str]]] = {}
    for model in group:
        base = str(model.base)
        controls = [one for one in models if one.state in SHARED and one.base == model.base]
        own = {
            pair_values.PRUNED: [str(model)],
            pair_values.BASE: [base] if base in there else [],
            pair_values.REGULARIZED: [str(model.parent)] if str(model.parent) in there else [],
        }
        for kind, shared in SHARED.items():
            own[kind] = [
                str(one) for one in controls if one.state == kind and _same(one, model, shared)
            ]
        for kind, names in own.items():
            if names:
                found.setdefault(kind, {})[base] = names
    return found


def _same(one: Model, other: Model, fields: Sequence[str]) -> bool:
    """Whether two models have the same value of each field that the first has at all."""
    return all(getattr(one, field) in (None, getattr(other, field)) for field in fields)


def forks(models: Iterable[Model]) -> dict[float, list[Model]]:
    """Children of one base by the share of its training that they share, the base first.

    Only the base that most children are of counts; without forks beyond a share of 0, none does.

    Args:
        models: of one network.
    """
    models = list(models)
    trunks = [model.base for model in models if model.stage == FORKED]
    if not trunks:
        return {}
    trunk = max(sorted(set(trunks), key=lambda model: model.sort_key), key=trunks.count)
    found: dict[float, list[Model]] = {}
    for model in sorted(models, key=lambda model: model.order or 0):
        if model.base == trunk and model.stage in (FORKED, REORDERED):
            found.setdefault(model.fork or 0.0, [trunk]).append(model)
    return found


def latest_forks(models: Iterable[Model]) -> list[Model]:
    """The children that share most of one base's training, the base first; none without forks."""
    found = forks(models)
    return found[max(found)] if found else []


def pruned_forks(model: Model, models: Iterable[Model]) -> list[str]:
    """The latest forks, walked and pruned as a model is; as they are if these are not compared.

    Those that are not compared as they are either, such as a base, are left out.

    How alike two models of nearly the same past are after walks of their own is as alike as two
    pruned models get.

    Args:
        model: a pruned one.
        models: all that were compared.
    """
    models = list(models)
    parts = {part: getattr(model, part) for part in ("l1", "epochs", "threshold", "density")}
    roots = latest_forks(models)
    pruned = [root.of(**parts) for root in roots]
    return compared(pruned if set(pruned) <= set(models) else roots, models)


def compared(chosen: Iterable[Model], models: Iterable[Model]) -> list[str]:
    """The ids of those of some models that are among all that were compared."""
    known = set(models)
    return [str(model) for model in chosen if model in known]


def between_children(
    children: Sequence[str], bases: Sequence[str], recipe: str, value: Values
) -> list[tuple[str, str, str, str, float]]:
    """The rows of a ceiling: of each two children, one for each base in its order."""
    played = dict(zip(children, bases, strict=False))
    return [
        (played[x], played[y], CEILING, recipe, value(x, y))
        for x, y in itertools.combinations(played, 2)
    ]


def relatives(base: Model, models: Iterable[Model]) -> list[str]:
    """The models of one base that are as alike as two models get: a base and its other orders."""
    return [
        str(model) for model in models if model.base == base and model.state in (BASE, REORDERED)
    ]


def tidy(group: Sequence[Model], models: Sequence[Model], value: Values) -> pd.DataFrame:
    """The tidy table of one recipe.

    If a kind has several models of a base, such as several random drawings, the first ones of all
    bases are compared with each other, the second ones with each other and so on, and a pair has
    the mean of those that have a value.

    The ceiling is the latest forks, pruned by the same recipe (`pruned_forks`), one for each base
    in its order. Without forks, it is within each base (`relatives`).

    Args:
        group: the pruned models of one recipe.
        models: all that were compared.
        value: of two models, by id.

    Raises:
        SkeletonsError: `value` lacks a pair.
    """
    recipe = named(group[0])
    rows = []
    for kind, by_base in members(group, models).items():
        for (a, ones), (b, others) in itertools.combinations(by_base.items(), 2):
            drawn = [value(x, y) for x, y in zip(ones, others, strict=False)]
            rows.append((a, b, kind, recipe, _mean(drawn)))
    if len(children := pruned_forks(group[0], models)) > 1:
        rows += between_children(children, [str(model.base) for model in group], recipe, value)
        return pd.DataFrame(rows, columns=list(COLUMNS))
    for model in group:
        names = relatives(model.base, models)
        if len(names) > 1:
            alike = [value(a, b) for a, b in itertools.combinations(names, 2)]
            rows.append((str(model.base), str(model.base), CEILING, recipe, _mean(alike)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _mean(values: Sequence[float]) -> float:
    """The mean of those that are numbers; NaN if none is."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
