"""Checks of the recipes that a configuration names: each must be in the grid."""

from __future__ import annotations

from collections.abc import Iterator

from skeletons.config.names import INSPECTIONS
from skeletons.config.networks import Setup, setups
from skeletons.config.pruning import Variant
from skeletons.config.sections import Config
from skeletons.user_code.references import is_reference

FORM = "{l1: …, epochs: …, threshold: …} or {l1: …, epochs: …, density: …}"


def problems(config: Config) -> Iterator[str]:
    """One sentence per problem.

    The inspected variant must be in the grid, and there must be one if anything is inspected; so
    must the primary recipe, if one is named.
    """
    variant, recipe = config.inspect.variant, config.findings.primary.recipe
    active = [key for key in INSPECTIONS if getattr(config.inspect, key)]
    if variant is not None:
        yield from _not_in_grid("inspect.variant", variant, config)
    elif active:
        yield (
            f"inspect.variant: found nothing, but inspect.{active[0]} is on; allowed: {FORM} of "
            "one recipe of the grid."
        )
    if recipe is not None:
        yield from _not_in_grid("findings.primary.recipe", recipe, config)
    searched = inspected(config)
    own = [one.prune.criterion for one in searched if is_reference(one.prune.criterion)]
    if config.inspect.sparsest and own:
        yield (
            f"inspect.sparsest: found true, but the criterion {own[0]!r} is user-defined and takes "
            "thresholds; allowed: false, or criterion: magnitude, taylor, fisher or counterfactual."
        )
    if config.inspect.sparsest and any(one.regularize.groups == "units" for one in searched):
        yield (
            "inspect.sparsest: found true, but regularize.groups is 'units', and the search prunes "
            "single weights; allowed: false, or regularize.groups: weights."
        )


def having(variant: Variant, config: Config) -> list[Setup]:
    """The networks whose grids have a recipe."""
    return [
        one
        for one in setups(config)
        if variant.l1 in one.regularize.lambdas
        and variant.epochs in one.regularize.epochs
        and (variant.threshold is None or variant.threshold in one.prune.thresholds)
        and (variant.density is None or variant.density in one.prune.densities)
    ]


def inspected(config: Config) -> list[Setup]:
    """The networks that have the inspected variant; none if nothing is inspected."""
    variant = config.inspect.variant
    return [] if variant is None else having(variant, config)


def _not_in_grid(where: str, variant: Variant, config: Config) -> Iterator[str]:
    """Why a recipe is in no network's grid: a value that none has, or values of several."""
    unknown = list(_unlisted_parts(where, variant, config))
    yield from unknown
    if not unknown and not having(variant, config):
        found = ", ".join(f"{key} {value:g}" for key, value in variant.parts.items())
        yield (
            f"{where}: found {found}, which are values of different networks; allowed: a recipe "
            "of one network's regularize and prune."
        )


def _unlisted_parts(where: str, variant: Variant, config: Config) -> Iterator[str]:
    walks = [one.regularize for one in setups(config)]
    cuts = [one.prune for one in setups(config)]
    yield from _unlisted(
        f"{where}.l1", variant.l1, "regularize.lambdas", [w.lambdas for w in walks]
    )
    yield from _unlisted(
        f"{where}.epochs", variant.epochs, "regularize.epochs", [w.epochs for w in walks]
    )
    if (variant.threshold is None) == (variant.density is None):
        both = "neither" if variant.density is None else "both"
        yield (
            f"{where}: found {both} of threshold and density; allowed: one of them, because a "
            "recipe prunes in one way."
        )
        return
    if variant.threshold is not None:
        listed = [cut.thresholds for cut in cuts]
        yield from _unlisted(f"{where}.threshold", variant.threshold, "prune.thresholds", listed)
    if variant.density is not None:
        listed = [cut.densities for cut in cuts]
        yield from _unlisted(f"{where}.density", variant.density, "prune.densities", listed)


def _unlisted(
    key: str, value: float, source: str, listed: list[tuple[float, ...]]
) -> Iterator[str]:
    """A value that no network's list has."""
    known = sorted({number for values in listed for number in values})
    if value not in known:
        allowed = ", ".join(f"{number:g}" for number in known) or "none"
        yield f"{key}: found {value:g}; allowed: {allowed} (the values of {source})."
