"""Every measure that there is, and the table of the built-in ones in the documentation.

`python -m skeletons.measures.catalogue PATH` writes the table anew between the markers in a page.
"""

from __future__ import annotations

import sys
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path

from skeletons import text
from skeletons.errors import ArtifactError
from skeletons.measures import behaviour, masks, representations
from skeletons.measures.measure import Measure, by_name
from skeletons.store import artifacts

BUILT_IN = by_name(
    *behaviour.MEASURES.values(),
    *representations.MEASURES.values(),
    *masks.MEASURES.values(),
)
MEASURES: Mapping[str, Measure] = ChainMap(behaviour.OWN, dict(BUILT_IN))

START = "<!-- the table is made by python -m skeletons.measures.catalogue -->"
END = "<!-- end of the table -->"


def markdown_table() -> str:
    """All built-in measures with what they declare: how to read each, then what to keep in mind."""
    measures = BUILT_IN.values()
    read = [
        "measure",
        "of",
        "looks at",
        "range",
        "alike is",
        "symmetric",
        "over images",
        "computed",
    ]
    keep = ["measure", "does not change with", "cannot show", "source"]
    return "\n\n".join(
        [
            text.table(read, [_how_to_read(measure) for measure in measures]),
            text.table(
                keep, [[f"`{m.name}`", m.invariant_to, m.blind_to, m.source] for m in measures]
            ),
        ]
    )


def _how_to_read(measure: Measure) -> list[str]:
    return [
        f"`{measure.name}`",
        measure.label,
        measure.kind,
        f"{measure.low:g} to {measure.high:g}".replace("-", "−").replace("inf", "∞"),
        "high" if measure.higher_is_alike else "low",
        "yes" if measure.symmetric else "no",
        "mean and spread" if measure.per_image else "one number",
        "with every pair" if measure.cheap else "by a rule of its own",
    ]


def renewed(page: str) -> str:
    """A page with the table between its markers made anew.

    Raises:
        ValueError: the page does not have the two markers, once each and in order.
    """
    before, found, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (found and end) or START in rest or END in after:
        raise ValueError("no single pair of markers")
    return f"{before}{START}\n{markdown_table()}\n{END}{after}"


def main(path: str) -> None:
    """Write the table into a page.

    Raises:
        ArtifactError: the page does not exist, or has no place for the table.
    """
    try:
        page = Path(path).read_text(encoding="utf-8")
    except OSError:
        raise ArtifactError(f"{path} does not exist; name the page of measures.") from None
    try:
        artifacts.write_text(path, renewed(page))
    except ValueError:
        raise ArtifactError(
            f"{path} has no place for the table of measures; it needs one line {START} and, "
            f"after it, one line {END}."
        ) from None


if __name__ == "__main__":
    main(sys.argv[1])
