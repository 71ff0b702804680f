"""The report as HTML, from the templates in `templates/`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from skeletons import text
from skeletons.report import html, tables
from skeletons.store import artifacts

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("pages.js", "tables.js", "plots.js", "heatmap.js", "lines.js")
PAGES = ("findings", "grid", "heatmap", "walks", "figures", "costs", "configuration")


def page(shown: Mapping[str, Any]) -> str:
    """The report, from what `gather.gather` returns; every name in it stays text."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "markdown": html.rendered,
        "inline": html.rendered_inline,
        "address": address,
        "points": text.points,
        "minus": text.with_minus,
        "filled": tables.filled,
    }
    own = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = [get_plotlyjs(), own]
    return environment.get_template("page.html").render(
        **{**shown, "data": html.json_block(shown["data"])},
        pages=[(name, name.capitalize()) for name in PAGES],
        columns=tables.COLUMNS,
        policy=html.policy(scripts),
        scripts=[Markup(script) for script in scripts],
        origin=artifacts.mark_of_origin(),
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
    )


def address(path: str) -> str:
    """A path as a relative link."""
    return quote(path, safe="/=")
