"""Putting what others wrote into a page so that it stays what it is: text, numbers and pictures.

A page that is one file has names of experiments and of data sets beside scripts. Nothing here lets
a name become markup: Markdown keeps no HTML, JSON has no character that ends a script, and scripts
are told to the browser by their hashes, so that it runs no other.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import markdown
from markupsafe import Markup

from skeletons.errors import ArtifactError

DIGITS = 5  # significant ones of a number that is shown or drawn
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
# Whatever makes markup of text other than emphasis, code and tables.
_RAW = (
    *("html", "entity", "reference", "link", "image_link", "image_reference"),
    *("short_reference", "short_image_ref", "autolink", "automail"),
)


def rendered(text: str) -> Markup:
    """Markdown as HTML; tags, links and pictures in it stay the characters that they are."""
    reader = markdown.Markdown(extensions=["tables"])
    reader.preprocessors.deregister("html_block")
    for name in _RAW:
        reader.inlinePatterns.deregister(name)
    return Markup(reader.convert(text))


def rendered_inline(text: str) -> Markup:
    """The same for one line, without a paragraph around it."""
    return Markup(str(rendered(text)).removeprefix("<p>").removesuffix("</p>"))


def json_block(value: Any) -> Markup:
    """A value as JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_ESCAPED))


def rounded(numbers: Iterable[float | None]) -> list[float | None]:
    """Numbers to five significant digits; None where there is none that is finite."""
    return [
        None if number is None or not math.isfinite(number) else float(f"{number:.{DIGITS}g}")
        for number in numbers
    ]


def picture(path: str | os.PathLike[str]) -> str:
    """An SVG file as an address that holds it whole.

    Raises:
        ArtifactError: the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror or error}.") from error
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def policy(scripts: Iterable[str]) -> str:
    """A content security policy under which a page runs these scripts and asks no network.

    Args:
        scripts: the text of each script element, to the letter.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; form-action 'none'; base-uri 'none'"
    )
