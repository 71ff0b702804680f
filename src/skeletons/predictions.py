"""The documented import path of `Predictions`, defined in `skeletons.measures.predictions`."""

from skeletons.measures.predictions import Predictions

__all__ = ["Predictions"]
