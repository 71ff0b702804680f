"""Pages in which a program writes the text between two marks, and people write the rest."""

from __future__ import annotations


def marks(name: str) -> tuple[str, str]:
    """The comments in a Markdown page between which a named text stands."""
    return f"<!-- {name} -->", f"<!-- end {name} -->"


def renewed(page: str, name: str, text: str) -> str:
    """A page with the text between two marks replaced.

    Raises:
        ValueError: the page does not have the two marks, once each and in order.
    """
    begin, end = marks(name)
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(end) < page.index(begin):
        raise ValueError(f"the page needs one line {begin} and, after it, one line {end}")
    before, _, rest = page.partition(begin)
    return f"{before}{begin}\n{text.strip()}\n{end}{rest.partition(end)[2]}"
