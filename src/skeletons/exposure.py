"""The documented import path of `load`, which is defined in `skeletons.inspection.exposure`."""

from skeletons.inspection.exposure import load

__all__ = ["load"]
