"""A measure of a pair of models, with everything that is needed to interpret its values.

A number for a pair means nothing without its range, the end that means similar, and the differences
that it cannot show. A measure declares all of that next to its function. The documentation, the
figures and the statistics read it from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from skeletons.arrays import Floats

Kind = Literal["behaviour", "representation", "weights"]


@dataclass(frozen=True)
class Measure:
    """A measure of a pair of models.

    Attributes:
        name: its column in tables, and its name in the configuration.
        label: its name in figures and tables, in words.
        kind: what it compares: predictions (`behaviour`), activations (`representation`) or weights
            (`weights`).
        low: the smallest possible value.
        high: the largest possible value.
        higher_is_alike: whether a larger value means more similar; if not, it is a dissimilarity,
            and a model has the smallest value with itself.
        symmetric: whether (a, b) and (b, a) have the same value.
        invariant_to: changes of one model that do not change the value.
        blind_to: differences that the value cannot show.
        source: the publication that describes it or first uses it for this purpose.
        per_image: whether it is a mean over images, and so has a standard deviation over images.
        cheap: whether it takes milliseconds on predictions, and so is in the row of every pair; a
            costly measure needs more than predictions and is computed by a separate rule.
        values: the function of two models' predictions, activations or weights. It gives one value
            per image if `per_image`, else the measure itself. Values of single images may leave the
            range if their mean cannot. All are NaN if the pair has no value.
        undefined: when two living models have no value, in words; empty if they always have one.
        labelled: whether it needs labels of the images, which are classes of the task.
        reflexive: whether every model has the value `itself` with itself.
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
    undefined: str = ""
    labelled: bool = False
    reflexive: bool = True

    @property
    def itself(self) -> float:
        """The value of a model with itself: the end of the range that means similar."""
        return self.high if self.higher_is_alike else self.low

    @property
    def sign(self) -> int:
        """+1 if higher values mean more similar, else −1."""
        return 1 if self.higher_is_alike else -1


def by_name(*measures: Measure) -> Mapping[str, Measure]:
    """Measures by their names, in the order given.

    Raises:
        ValueError: two measures have the same name.
    """
    found = {measure.name: measure for measure in measures}
    if len(found) < len(measures):
        raise ValueError("two measures have the same name")
    return found


def measure(
    *,
    label: str = "",
    low: float = 0.0,
    high: float = 1.0,
    higher_is_alike: bool = True,
    symmetric: bool = True,
    invariant_to: str = "not declared",
    blind_to: str = "not declared",
    source: str = "user-defined",
) -> Callable[[Callable[[Floats, Floats], Floats]], Measure]:
    """A decorator that turns a function of two models' logits into a measure.

    The function takes the logits p and q of N images, float64 N×K each, and returns N values, one
    per image. The arguments are the attributes of `Measure`; without a label, figures use the name
    of the function.
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
