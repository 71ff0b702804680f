"""Settings of Sphinx, which builds the site: `make docs`."""

import re
import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path.insert(0, str(ROOT / "src"))

project = "Skeletons on Rashomon Ridge"
author = "The authors of Skeletons on Rashomon Ridge"
copyright = f"2026 {author}"  # noqa: A001
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

myst_heading_anchors = 3  # as on the repository's own pages
default_role = "code"  # docstrings write code between single backticks
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
html_show_sphinx = False


def outside(app: object, name: str, source: list[str]) -> None:
    """Replace a link to a file that is not a page of the site by its text."""
    folder = (DOCS / name).parent

    def text(link: re.Match[str]) -> str:
        inside = (folder / link[2]).resolve().is_relative_to(DOCS)
        return link[0] if inside or ":" in link[2] else link[1]

    source[0] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)#\s]+)[^)\s]*\)", text, source[0])


def plain(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Treat docstrings as plain text with code between backticks, without other markup."""
    for index, line in enumerate(lines):
        parts = re.split(r"(`[^`]*`)", line)
        parts[::2] = [re.sub(r"([*|\\]|_\b)", r"\\\1", part) for part in parts[::2]]
        lines[index] = "".join(parts)


def setup(app: object) -> None:
    """Convert pages and docstrings; docstrings before napoleon finds their sections."""
    app.connect("source-read", outside)
    app.connect("autodoc-process-docstring", plain, priority=400)
