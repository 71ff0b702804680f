"""How alike two models are: measures of behaviour, of representations, and of masks.

User-defined measures import `measure` and `Measure` from here.
"""

from skeletons.measures.measure import Measure, measure
from skeletons.measures.predictions import Predictions

__all__ = ["Measure", "Predictions", "measure"]
