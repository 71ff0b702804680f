"""Measures of how similar two models are in behaviour, in representations and in masks.

User-defined measures import `measure` and `Measure` from here.
"""

from skeletons.measures.measure import Measure, measure
from skeletons.measures.predictions import Predictions

__all__ = ["Measure", "Predictions", "measure"]
