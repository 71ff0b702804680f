"""The array type that most of the package computes with."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
