"""Whether two networks compute the same logits, up to rounding."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from skeletons.errors import DifferenceError, WiringError
from skeletons.prediction import inference

# The largest difference that counts as rounding, in double precision. Relative to how far logits
# vary between images: the small network's weights are rounded to single precision, 6e-8. And in
# units of the rounding of the pruned network itself, which a norm of a tiny variance can enlarge.
TOLERANCE = 1e-4
ROUNDINGS = 10


def demand_same(pruned: nn.Module, exposed: nn.Module, images: Tensor) -> None:
    """Check that an exposed network computes the logits of the pruned network.

    Args:
        pruned: is put into evaluation mode, as is the other.
        exposed: the small network.
        images: uint8 N×C×H×W, N ≥ 1.

    Raises:
        WiringError: the exposed network cannot be run.
        DifferenceError: the logits differ by more than rounding.
    """
    single = inference.predict(pruned, images)
    exact = inference.predict(copy.deepcopy(pruned).double(), images)
    try:
        found = inference.predict(copy.deepcopy(exposed).double(), images)
    except Exception as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise WiringError(
            f"The exposed network cannot be run ({type(error).__name__}: {message}), so it "
            "cannot be used; allowed: a network that is rebuilt exactly."
        ) from None
    difference = float((found - exact).abs().max())
    spread = float((exact - exact.mean(0)).abs().max())
    rounding = float((single - exact).abs().max())
    if not difference <= max(TOLERANCE * spread, ROUNDINGS * rounding):
        raise DifferenceError(
            f"The exposed network computes other logits than the pruned network: found a "
            f"difference of {difference:.2g}, where logits vary by {spread:.2g} between images, so "
            "it cannot be used; allowed: a difference from rounding alone."
        )
