"""The documented import path of the functions defined in `skeletons.figures.units`."""

from skeletons.figures.units import (
    exposure_bars,
    importance_scatter,
    probe_curve,
    takeover_curve,
)

__all__ = ["exposure_bars", "importance_scatter", "probe_curve", "takeover_curve"]
