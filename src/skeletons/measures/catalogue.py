"""All built-in measures, and their tables in the documentation.

`python -m skeletons.measures.catalogue PATH` replaces the tables between two markers in a page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from skeletons import text
from skeletons.errors import ArtifactError
from skeletons.marked import renewed
from skeletons.measures import behaviour, masks, representations, user_defined
from skeletons.measures.measure import Measure, by_name
from skeletons.store import artifacts
from skeletons.user_code import references

MEASURES: Mapping[str, Measure] = by_name(
    *behaviour.DECLARED,
    *representations.DECLARED,
    *masks.DECLARED,
)

MARKED = "measures"  # the text of a page that this module writes


def resolve(names: Iterable[str]) -> dict[str, Measure]:
    """Measures by the names that results use, in the order given.

    Args:
        names: built-in names or references to user-defined measures, as in the configuration.

    Raises:
        ExtensionError: a reference does not name a measure.
        KeyError: a name is not that of a built-in measure.
    """
    found = [
        user_defined.load(name) if references.is_reference(name) else MEASURES[name]
        for name in dict.fromkeys(names)
    ]
    return dict(by_name(*found))


def markdown_table() -> str:
    """All built-in measures: first how to read their values, then what to keep in mind."""
    measures = MEASURES.values()
    read = [
        "measure",
        "of",
        "looks at",
        "range",
        "similar is",
        "symmetric",
        "over images",
        "computed",
    ]
    keep = ["measure", "invariant to", "cannot show", "no value if", "source"]
    return "\n\n".join(
        [
            text.table(read, [_how_to_read(measure) for measure in measures]),
            text.table(
                keep,
                [
                    [f"`{m.name}`", m.invariant_to, m.blind_to, m.undefined or "–", m.source]
                    for m in measures
                ],
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
        _when(measure),
    ]


def _when(measure: Measure) -> str:
    if not measure.cheap:
        return "by a separate rule"
    return "with every pair" + (", if images have labels of the task" if measure.labelled else "")


def main(path: str) -> None:
    """Write the tables into a page.

    Raises:
        ArtifactError: the page does not exist, or has no place for the table.
    """
    try:
        page = Path(path).read_text(encoding="utf-8")
    except OSError:
        raise ArtifactError(f"{path} does not exist; name the page of measures.") from None
    try:
        artifacts.write_text(path, renewed(page, MARKED, markdown_table()))
    except ValueError as error:
        raise ArtifactError(f"{path} has no place for the table of measures: {error}.") from None


if __name__ == "__main__":
    main(sys.argv[1])
