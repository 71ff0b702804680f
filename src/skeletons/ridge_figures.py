"""The documented import path of the functions defined in `skeletons.figures.ridge`."""

from skeletons.figures.ridge import lines, paths, plane, surface

__all__ = ["lines", "paths", "plane", "surface"]
