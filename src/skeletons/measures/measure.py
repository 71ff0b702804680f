"""What a measure of a pair of models is, and what it must say about itself.

A number between two models means nothing until one knows its ends, which end is alike, and what it
cannot see. So a measure declares all of that beside its function, and the documentation, the
figures and the statistics read it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Kind = Literal["behaviour", "representation", "weights"]


@dataclass(frozen=True)
class Measure:
    """A measure of a pair of models.

    Attributes:
        name: its column in tables, and what the configuration calls it.
        label: what figures and tables call it, in words.
        kind: what of the two models it looks at: their answers (`behaviour`), their activations
            (`representation`) or their weights (`weights`).
        low: the smallest possible value.
        high: the largest possible value.
        higher_is_alike: whether a larger value means more alike; if not, it is a dissimilarity,
            and a model has the smallest value with itself.
        symmetric: whether (a, b) and (b, a) have the same value.
        invariant_to: changes of one model that leave the value as it is.
        blind_to: what the value cannot show.
        source: where it was first described or first used for this.
        per_image: whether it is a mean over images, and so has a spread over them.
        cheap: whether it is milliseconds of arithmetic on predictions, and so is in every pair's
            one row; a costly measure needs more than predictions and has a rule of its own.
        values: from two models' predictions, activations or weights, where both say something:
            one value an image if `per_image`, else the measure itself.
    """

    name: str
    label: str
    kind: Kind
    low: float
    high: float
    higher_is_alike: bool
    symmetric: bool
    invariant_to: str
    blind_to: str
    source: str
    per_image: bool
    cheap: bool
    values: Callable[[Any, Any], Floats | float]

    @property
    def itself(self) -> float:
        """The value of a model with itself: the end of the range that means alike."""
        return self.high if self.higher_is_alike else self.low

    @property
    def sign(self) -> int:
        """+1 where more alike is higher, −1 where it is lower."""
        return 1 if self.higher_is_alike else -1


def by_name(*measures: Measure) -> Mapping[str, Measure]:
    """A registry: measures by their names, in the order given.

    Raises:
        ValueError: two measures have the same name.
    """
    registry = {measure.name: measure for measure in measures}
    if len(registry) < len(measures):
        raise ValueError("two measures have the same name")
    return registry


def measure(
    *,
    label: str = "",
    low: float = 0.0,
    high: float = 1.0,
    higher_is_alike: bool = True,
    symmetric: bool = True,
    invariant_to: str = "nothing that it declares",
    blind_to: str = "nothing that it declares",
    source: str = "the user's own",
) -> Callable[[Callable[[Floats, Floats], Floats]], Measure]:
    """Make a measure of a function of two models' logits, as a decorator.

    The function gets the logits p and q of N images, float64 N×K each, and gives N values, one an
    image. The arguments are the attributes of `Measure`; without a label, figures use its name.
    """

    def declare(function: Callable[[Floats, Floats], Floats]) -> Measure:
        return Measure(
            name=function.__name__,
            label=label or function.__name__.replace("_", " "),
            kind="behaviour",
            low=low,
            high=high,
            higher_is_alike=higher_is_alike,
            symmetric=symmetric,
            invariant_to=invariant_to,
            blind_to=blind_to,
            source=source,
            per_image=True,
            cheap=True,
            values=lambda a, b: function(a.logits, b.logits),
        )

    return declare
