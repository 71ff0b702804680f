"""All figures that are drawn with matplotlib.

The documented drawing functions can be used as `skeletons.figures.heatmap(…)`. A name is imported
when it is first used, so importing this package loads neither matplotlib nor its own modules. The
modules of `skeletons` import from the modules here directly.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeletons.figures.heatmaps import heatmap, ordered, similarity_matrix
    from skeletons.figures.models import accuracy_vs_sparsity, ridge_walk
    from skeletons.figures.pairs import cross_base, kinds_of_pairs, rises, similarity_to_base
    from skeletons.figures.style import (
        LABELS,
        PALETTE,
        STYLE,
        described,
        new_figure,
        panels,
        save_svg,
    )

_HOMES = {
    "heatmaps": ("heatmap", "ordered", "similarity_matrix"),
    "models": ("accuracy_vs_sparsity", "ridge_walk"),
    "pairs": ("cross_base", "kinds_of_pairs", "rises", "similarity_to_base"),
    "style": ("LABELS", "PALETTE", "STYLE", "described", "new_figure", "panels", "save_svg"),
}
_MODULE = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "LABELS",
    "PALETTE",
    "STYLE",
    "accuracy_vs_sparsity",
    "cross_base",
    "described",
    "heatmap",
    "kinds_of_pairs",
    "new_figure",
    "ordered",
    "panels",
    "ridge_walk",
    "rises",
    "save_svg",
    "similarity_matrix",
    "similarity_to_base",
]


def __getattr__(name: str) -> Any:
    """A public name, imported from the module that defines it when it is used."""
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
