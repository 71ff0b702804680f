"""Which models are compared with which, to decide whether models of different bases converge.

From the table of all pairs to a verdict for each recipe: a λ, a number of epochs and a threshold.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import SkeletonsError
from skeletons.findings import recipe_verdicts
from skeletons.findings.recipe_verdicts import ALPHA, MARGIN, RecipeVerdict
from skeletons.measures import behaviour
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import PRUNED, RANDOM, REGULARIZED, Model, spell

Values = Callable[[Sequence[str]], Floats]
Control = Callable[[Model], str | Sequence[str]]


def from_table(pairs: pd.DataFrame, measure: str) -> Values:
    """A function that looks up a measure of all pairs of some models in a table of pairs.

    Args:
        pairs: with columns a, b and the measure; NaN if a pair has no value.
        measure: one of its columns.

    Returns:
        A function from n model ids to the n(n−1)/2 values in the order of `itertools.combinations`.
        It raises SkeletonsError if the table lacks a pair.
    """
    found = dict(zip(zip(pairs.a, pairs.b, strict=True), pairs[measure], strict=True))

    def values(names: Sequence[str]) -> Floats:
        chosen = list(itertools.combinations(names, 2))
        for a, b in chosen:
            if (a, b) not in found and (b, a) not in found:
                raise SkeletonsError(
                    f"The similarity table has no pair of {a} and {b}; add the states of both to "
                    "compare.states and run snakemake again."
                )
        both = [found[(a, b)] if (a, b) in found else found[(b, a)] for a, b in chosen]
        return np.array(both, dtype=np.float64)

    return values


def from_predictions(known: Mapping[str, Predictions], measure: Measure) -> Values:
    """A function that computes a measure of all pairs of some models image by image.

    Verdicts based on it generalise to other images of the same kind, not only to the given ones.

    Args:
        known: by model id, predictions on the same N images.
        measure: a measure that is a mean over images.

    Returns:
        A function from n model ids to n(n−1)/2 × N values, NaN where a pair has none.
    """
    return lambda names: behaviour.over_images([known[name] for name in names], measure)


def convergence(
    models: Iterable[Model],
    values: Values,
    controls: Mapping[str, Control],
    *,
    sign: int = 1,
    alpha: float = ALPHA,
    margin: float = MARGIN,
    span: float = math.inf,
) -> list[RecipeVerdict]:
    """A verdict on every recipe of an experiment, corrected for the number of recipes.

    Args:
        models: of the experiment; each recipe of a pruned model gets a verdict.
        values: a function from model ids to the values of all their pairs, as `from_table` or
            `from_predictions` returns it.
        controls: by description, a function from a pruned model to the id of its control, such as
            `{"their unpruned models": lambda m: str(m.parent)}`. A function may return several ids,
            one per draw: the first ones of all seeds are then compared with each other, the second
            ones with each other and so on, and the mean is taken. Pruned models are always compared
            with their bases as well, so no control should be the base.
        sign: of the measure: −1 if lower means more alike.
        alpha: as in `recipe_verdicts.verdicts`.
        margin: as in `recipe_verdicts.verdicts`.
        span: as in `recipe_verdicts.rise`.

    Raises:
        SkeletonsError: `values` lacks a pair.
    """
    against: dict[str, Control] = {"the bases": lambda m: str(m.base), **controls}
    questions = {}
    for recipe, group in by_recipe(models).items():
        pruned = values([str(model) for model in group])
        questions[recipe] = [
            recipe_verdicts.rise(
                pruned,
                _over_draws([control(model) for model in group], values),
                name,
                sign=sign,
                alpha=alpha,
                margin=margin,
                span=span,
            )
            for name, control in against.items()
        ]
    return recipe_verdicts.verdicts(questions, alpha=alpha, margin=margin)


def controls_of(models: Iterable[Model]) -> dict[str, Control]:
    """The controls of pruned models, besides the bases, that are among the compared models.

    Args:
        models: all that were compared.
    """
    models = list(models)
    found: dict[str, Control] = {}
    if any(model.state == REGULARIZED for model in models):
        found["their unpruned models"] = lambda model: str(model.parent)
    draws = sorted({model.draw for model in models if model.state == RANDOM and model.draw})
    if draws:
        mean = f" (mean of {len(draws)} drawings)" if len(draws) > 1 else ""
        found[f"models pruned at random{mean}"] = lambda model: [
            str(dataclasses.replace(model, draw=draw)) for draw in draws
        ]
    return found


def _over_draws(controls: Sequence[str | Sequence[str]], values: Values) -> Floats:
    """The values of all pairs of a recipe's controls, averaged over the draws that have a value."""
    draws = [[one] if isinstance(one, str) else one for one in controls]
    found = np.stack([values(names) for names in zip(*draws, strict=True)])
    known = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, found, 0).sum(axis=0) / known.sum(axis=0))


def by_recipe(models: Iterable[Model]) -> dict[str, list[Model]]:
    """Pruned models by λ, epochs and threshold in canonical order; within a recipe, by seed."""
    pruned = [model for model in models if model.state == PRUNED]
    groups: dict[str, list[Model]] = {}
    for model in sorted(pruned, key=lambda m: (*m.sort_key[4:], *m.sort_key[:4])):
        epochs = text.counted(model.epochs or 0, "epoch")
        name = f"λ = {spell(model.l1 or 0)}, {epochs}, threshold {spell(model.threshold or 0)}"
        groups.setdefault(name, []).append(model)
    return groups
