"""The documented place of `Predictions`, which is defined in `skeletons.measures.predictions`."""

from skeletons.measures.predictions import Predictions

__all__ = ["Predictions"]
