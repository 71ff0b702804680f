"""Which models are held against which, to ask whether those of different bases converge.

From the table of all pairs to a verdict for each recipe: a λ, a number of epochs and a threshold.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.arrays import Floats
from skeletons.errors import SkeletonsError
from skeletons.findings import recipe_verdicts, seed_pairs
from skeletons.findings.recipe_verdicts import ALPHA, MARGIN, Verdict
from skeletons.measures import behaviour
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import PRUNED, RANDOM, REGULARIZED, Model, spell

Values = Callable[[Sequence[str]], Floats]
Control = Callable[[Model], str | Sequence[str]]


def from_table(pairs: pd.DataFrame, measure: str) -> Values:
    """Looks up a measure of all pairs of some models in a similarity table.

    Args:
        pairs: with columns a, b and the measure; NaN where a pair has no similarity.
        measure: one of its columns.

    Returns:
        A function of n model ids that gives the n(n−1)/2 values in the order of
        `itertools.combinations`. It raises SkeletonsError for a pair that the table does not have.
    """
    found = dict(zip(zip(pairs.a, pairs.b, strict=True), pairs[measure], strict=True))

    def values(names: Sequence[str]) -> Floats:
        chosen = list(itertools.combinations(names, 2))
        for a, b in chosen:
            if (a, b) not in found and (b, a) not in found:
                raise SkeletonsError(
                    f"The similarity table has no pair of {a} and {b}; let compare.states name "
                    "the states of both and run snakemake again."
                )
        both = [found[(a, b)] if (a, b) in found else found[(b, a)] for a, b in chosen]
        return np.array(both, dtype=np.float64)

    return values


def from_predictions(known: Mapping[str, Predictions], measure: Measure) -> Values:
    """Computes a measure of all pairs of some models image by image.

    Verdicts from it hold for other images of the same kind too, not just for those at hand.

    Args:
        known: by model id, predictions on the same N images.
        measure: a mean over images.

    Returns:
        A function of n model ids that gives n(n−1)/2 × N values, NaN where there is none.
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
    seed: int = 0,
    resamples: int = 2000,
) -> list[Verdict]:
    """A verdict on every recipe of an experiment, corrected for their number.

    Args:
        models: of the experiment; only pruned ones are asked about.
        values: similarities of all pairs of some model ids, as `from_table` gives, or one an
            image, as `from_predictions` does.
        controls: by what it is called, which model id is the control of a pruned model, such as
            `{"their unpruned models": lambda m: str(m.parent)}`. Of several ids, one a drawing, the
            first ones of all seeds are held together, the second ones and so on, and the mean is
            taken. The unpruned bases are always held against; a control that is the base itself
            would be so twice.
        sign: of the measure: −1 if lower is more alike.
        alpha: as in `verdicts`.
        margin: as in `verdicts`.
        seed: of random draws.
        resamples: as in `verdicts.rise`.

    Raises:
        SkeletonsError: `values` lacks a pair that is asked for.
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
                seed=seed,
                resamples=resamples,
            )
            for name, control in against.items()
        ]
    return recipe_verdicts.verdicts(questions, alpha=alpha, margin=margin)


def controls_of(models: Iterable[Model]) -> dict[str, Control]:
    """What pruned models can be held against besides the bases, of the models that there are.

    Args:
        models: that were compared.
    """
    models = list(models)
    found: dict[str, Control] = {}
    if any(model.state == REGULARIZED for model in models):
        found["their unpruned models"] = lambda model: str(model.parent)
    draws = sorted({model.draw for model in models if model.state == RANDOM and model.draw})
    if draws:
        mean = f" (mean of {len(draws)} drawings)" if len(draws) > 1 else ""
        found[f"models pruned at random{mean}"] = lambda model: [
            str(dataclasses.replace(model, control=RANDOM, draw=draw)) for draw in draws
        ]
    return found


def _over_draws(held: Sequence[str | Sequence[str]], values: Values) -> Floats:
    """The similarities of a recipe's controls, in the mean over drawings that have a value."""
    draws = [[one] if isinstance(one, str) else one for one in held]
    found = np.stack([values(names) for names in zip(*draws, strict=True)])
    known = ~np.isnan(found)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, found, 0).sum(axis=0) / known.sum(axis=0))


def by_recipe(models: Iterable[Model]) -> dict[str, list[Model]]:
    """Pruned models by λ, epochs and threshold, in canonical order; those of a recipe by seed."""
    pruned = [model for model in models if model.state == PRUNED]
    groups: dict[str, list[Model]] = {}
    for model in sorted(pruned, key=lambda m: (*m.sort_key[1:], m.seed)):
        epochs = text.counted(model.epochs or 0, "epoch")
        name = f"λ = {spell(model.l1 or 0)}, {epochs}, threshold {spell(model.threshold or 0)}"
        groups.setdefault(name, []).append(model)
    return groups


def same_base(
    models: Iterable[Model], values: Values, *, sign: int = 1, seed: int = 0
) -> tuple[float, float, float]:
    """Whether models of one base are more alike than models of different bases.

    Recipes of which a model has no similarity to some other are left out; the bases count as one.

    Args:
        models: of the experiment; every recipe must be there for every seed.
        values: similarities of all pairs of some model ids, one a pair.
        sign: of the measure: −1 if lower is more alike.
        seed: of random draws.

    Returns:
        How much more alike they are, in units of the measure; one-sided p; the smallest p possible.
    """
    chosen = sorted(models, key=lambda m: (m.sort_key[1:], m.seed))
    count = len({model.seed for model in chosen})
    if len(chosen) % max(1, count):
        raise ValueError("some recipe is not there for every seed")
    matrix = np.full((len(chosen), len(chosen)), np.nan)
    first, second = np.triu_indices(len(chosen), 1)
    matrix[first, second] = matrix[second, first] = sign * values([str(m) for m in chosen])
    recipes = len(chosen) // max(1, count)
    square = matrix.reshape(recipes, count, recipes, count).transpose(0, 2, 1, 3)
    while _gaps(square).any():
        worst = len(square) - 1 - int(np.argmax(_gaps(square)[::-1]))
        square = np.delete(np.delete(square, worst, axis=0), worst, axis=1)
    return seed_pairs.same_base(square, seed)


def _gaps(square: Floats) -> Floats:
    """How many values each recipe lacks with the other recipes (R×R×n×n)."""
    gaps = np.isnan(square).sum(axis=(2, 3))
    np.fill_diagonal(gaps, 0)
    return np.asarray(gaps.sum(axis=1))
