"""The controls of an experiment that are walked or trained beside its bases.

`model_ids.controls` has those that belong to single models. Those here follow from the settings of
a network: walks without a penalty, forks, permuted labels, planted networks, stopped bases.
"""

from __future__ import annotations

from collections.abc import Iterable

from skeletons import model_ids
from skeletons.config.networks import Setup
from skeletons.config.pruning import Variant
from skeletons.config.sections import Controls
from skeletons.model_ids import Model

PLANTED = 0.1  # of a base's epochs follow once a small network is laid


def of_setup(
    setup: Setup, models: Iterable[Model], controls: Controls, recipe: Variant | None
) -> list[Model]:
    """The controls of one network's models.

    Args:
        setup: the network.
        models: its bases, walks and pruned models.
        controls: what the configuration asks for.
        recipe: the primary recipe; then controls have no other. None for all of the grid.
    """
    models = list(models)
    bases = [model for model in models if model.state == model_ids.BASE]
    trained = [base for base in bases if base.own is None]
    found = _plain(setup, bases, recipe) if controls.plain else []
    if trained:
        found += _forks(setup, trained[0], len(trained), controls.forks, recipe)
    roots = [base.of(labels=True) for base in trained if controls.labels]
    roots += [base.of(planted=True) for base in trained if controls.planted is not None]
    found += _walked(setup, roots, recipe)
    if controls.stopped:
        pruned = (model for model in models if model.state == model_ids.PRUNED)
        found += [
            model.of(
                l1=model.l1,
                epochs=model.epochs,
                threshold=model.threshold,
                density=model.density,
                stopped=True,
            )
            for model in pruned
            if model.own is None and _is_of(model, recipe)
        ]
    return [model for model in dict.fromkeys(found) if model not in set(models)]


def _plain(setup: Setup, bases: list[Model], recipe: Variant | None) -> list[Model]:
    """A walk without a penalty for each base; none if there are no walks."""
    if not any(setup.regularize.lambdas):
        return []
    epochs = setup.regularize.epochs if recipe is None else (recipe.epochs,)
    return [base.of(l1=0.0, epochs=count) for base in bases for count in epochs]


def latest(shares: Iterable[float]) -> float | None:
    """The latest fork at which children differ: the ceiling of similarity; None for none.

    Children that share all of the training are one model.
    """
    return max((share for share in shares if 0 < share < 1), default=None)


def planted_epochs(epochs: int) -> int:
    """After how many epochs of training a planted network is ready: the last ones of a base's."""
    return max(1, round(PLANTED * epochs))


def _forks(
    setup: Setup, trunk: Model, seeds: int, shares: Iterable[float], recipe: Variant | None
) -> list[Model]:
    """The children of the first base, as many with it as there are seeds.

    The base itself is a child of each share, and no other shares all of its training. A child that
    shares nothing is its base in another order. Only the latest are walked and pruned.
    """
    orders = range(1, max(seeds, 2))
    children = {
        share: [trunk.of(fork=share or None, order=order) for order in orders]
        for share in shares
        if share < 1
    }
    found = [child for share in children for child in children[share]]
    last = latest(shares)
    return found if last is None else found + _walked(setup, children[last], recipe)


def _walked(setup: Setup, roots: list[Model], recipe: Variant | None) -> list[Model]:
    """The grid of some roots: all recipes, or the primary one."""
    walks, cuts = setup.regularize, setup.prune
    models = model_ids.grid(
        roots, walks.lambdas, walks.epochs, cuts.thresholds, densities=cuts.densities
    )
    return [model for model in models if model.l1 is None or _is_of(model, recipe)]


def _is_of(model: Model, recipe: Variant | None) -> bool:
    """Whether a model is of the recipe, or on the way to it."""
    if recipe is None:
        return True
    if (model.l1, model.epochs) != (recipe.l1, recipe.epochs):
        return False
    cut = (recipe.threshold, recipe.density)
    return not model.is_cut or (model.threshold, model.density) == cut
