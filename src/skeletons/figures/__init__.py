"""All figures that are drawn with matplotlib.

The documented drawing functions can be used as `skeletons.figures.heatmap(…)`. A name is imported
when it is first used, so importing this package loads neither matplotlib nor its own modules. The
modules of `skeletons` import from the modules here directly.
"""

from typing import Any

_HOMES = {
    "style": ("LABELS", "PALETTE", "STYLE", "described", "new_figure", "panels", "save_svg"),
    "heatmaps": ("heatmap", "ordered", "similarity_matrix"),
    "pairs": ("cross_base", "kinds_of_pairs", "rises", "similarity_to_base"),
    "models": ("accuracy_vs_sparsity", "ridge_walk"),
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
    """A public name, from the module that defines it.

    Code fingerprints do not follow this import. They need not: no stage imports a name from here.
    """
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pkgutil import resolve_name

    return resolve_name(f"{__name__}.{_MODULE[name]}:{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
