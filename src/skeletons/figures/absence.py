"""A figure in place of one that cannot be drawn: it says why."""

from __future__ import annotations

import textwrap
from pathlib import Path

from skeletons.figures.captions import Drawn
from skeletons.figures.style import new_figure, save_svg, styled


def save_absent(drawn: Drawn, because: str, path: Path) -> None:
    """Write a figure that says why there is no other.

    Args:
        drawn: what the other figure would show.
        because: why it cannot be drawn, in a sentence.
        path: the SVG file to write.
    """
    sentence = textwrap.fill(f"Not available: {because}", 90)
    with styled():
        figure, [ax] = new_figure(7, 0.6 + 0.2 * sentence.count("\n"))
        ax.set_axis_off()
        # A dollar sign would begin a formula.
        ax.text(0, 0.5, sentence.replace("$", r"\$"), va="center", fontsize=9)
        save_svg(figure, path, drawn)
