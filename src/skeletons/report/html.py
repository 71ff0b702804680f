"""Safe HTML for text, numbers and pictures that a page shows but does not control.

The report is one file in which names of experiments and data sets stand next to scripts. No name
can become markup: HTML in Markdown is shown as text, JSON contains no character that could end a
script, and the browser runs only the scripts whose hashes the page lists.
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

from markdown_it import MarkdownIt
from markupsafe import Markup

from skeletons.errors import ArtifactError

DIGITS = 5  # significant digits of a number that is shown or drawn
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}
# All the markup that findings use. HTML, links, images and entities stay text.
_MARKDOWN = MarkdownIt("zero").enable(
    ["heading", "list", "table", "backticks", "emphasis", "escape"]
)


def rendered(text: str) -> Markup:
    """Markdown as HTML; HTML tags, links and images in it stay text."""
    return Markup(_MARKDOWN.render(text))


def rendered_inline(text: str) -> Markup:
    """The same for one line, without a paragraph around it."""
    return Markup(_MARKDOWN.renderInline(text))


def json_block(value: Any) -> Markup:
    """A value as JSON that can stand inside a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.translate(_ESCAPED))


def rounded(numbers: Iterable[float | None]) -> list[float | None]:
    """Numbers with five significant digits; None for a number that is missing or not finite."""
    return [
        None if number is None or not math.isfinite(number) else float(f"{number:.{DIGITS}g}")
        for number in numbers
    ]


def picture(path: str | os.PathLike[str]) -> str:
    """An SVG file as a data URL.

    Raises:
        ArtifactError: the file cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"Cannot read {path}: {error.strerror or error}.") from error
    return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"


def policy(scripts: Iterable[str]) -> str:
    """A content security policy that allows these scripts and no network access.

    Args:
        scripts: the exact text of each script element.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts]
    allowed = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; form-action 'none'; base-uri 'none'"
    )
