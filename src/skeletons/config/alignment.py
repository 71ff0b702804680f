"""The configuration's section on aligning units of different bases."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from skeletons.config.types import Section


class Alignment(Section):
    """How the hidden units of different bases are brought into one order."""

    match: Literal["weights", "activations"] = Field(
        "weights",
        description="by the weights of the units as they are applied, or by their activations on "
        "training images; `inspect.lines` shows both",
    )
    order: Literal["pairs", "all"] = Field(
        "pairs",
        description="each pair by itself; or one order for all bases of a network, so that all "
        "pairs agree; a new seed then aligns all again",
    )
