"""The documents: links work, generated parts are current, and the site builds completely."""

import datetime
import re
import runpy
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from conftest import ROOT, python

from skeletons.config import page as configuration
from skeletons.config.sections import Config

DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "results/README.md")
    if "_build" not in path.parts and "generated" not in path.parts
)
FENCES = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


# --- links --------------------------------------------------------------------------------------


def prose(path: Path) -> str:
    """A page without its blocks of code."""
    return FENCES.sub("", path.read_text(encoding="utf-8"))


def links(path: Path) -> Iterator[str]:
    """The targets of a page's links and images; code between backticks is left out."""
    text = re.sub(r"`[^`\n]*`", "`", prose(path))
    yield from re.findall(r"\]\(\s*([^)\s]+)[^)]*\)", text)
    yield from re.findall(r"<(https?:[^>\s]+)>", text)


def anchors(path: Path) -> set[str]:
    """The anchors of headings, as hosts of repositories make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*?) *$", prose(path), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", text).replace(" ", "-"))
    return found


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert re.fullmatch(r"([a-z0-9-]+\.)+[a-z]{2,}", parts.netloc), link
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if parts.fragment and target.suffix == ".md":
            assert parts.fragment in anchors(target), f"{link}: there is no such heading"


def test_links_are_found_where_they_are() -> None:
    assert "docs/caching.md" in set(links(ROOT / "README.md"))
    assert sum(1 for path in PAGES for _ in links(path)) > 30
    assert "what-comes-out" in anchors(ROOT / "README.md")


# --- made from code -----------------------------------------------------------------------------


def test_the_page_of_the_configuration_is_the_schema_s() -> None:
    made = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert made == configuration.page(), "run `make configuration`"


def test_every_key_and_its_default_is_on_the_page() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| .* \| ([^|]+) \|$", configuration.page(), re.M)
    found = [key for key, _ in rows]
    assert {"inspect", "augment"}.isdisjoint(found)
    assert {"data_root", "lambdas", "augment.flip", "variant.l1", "test_share"} <= set(found)
    assert dict(rows)["augment.flip"] == "`false`"
    assert dict(rows)["path"] == "none: it must be given"
    flat = Config().model_dump()
    assert sum(len(v) if isinstance(v, dict) else 1 for v in flat.values()) <= len(found)


# --- the site -----------------------------------------------------------------------------------


class Images(HTMLParser):
    """The sources of a page's images."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[Path] = []
        self.page = page
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(self.page.parent / unquote(str(dict(attrs)["src"])))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    call = [python(), "-m", "sphinx", "-W", "--keep-going", "--quiet"]
    done = subprocess.run(
        [*call, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_on_the_site(site: Path) -> None:
    for path in (path for path in PAGES if path.is_relative_to(DOCS)):
        page = site / path.relative_to(DOCS).with_suffix(".html")
        assert page.is_file()
        assert all(image.is_file() for image in Images(page).found)
    assert len(Images(site / "results/README.html").found) >= 1


def titles() -> dict[Path, str]:
    """The first heading of each page of the site."""
    return {
        path: path.read_text(encoding="utf-8").partition("\n")[0]
        for path in PAGES
        if path.is_relative_to(DOCS)
    }


def test_no_two_pages_have_one_title() -> None:
    found = titles()
    assert all(title.startswith("# ") for title in found.values())
    assert len(set(found.values())) == len(found) >= 15


def test_the_index_links_every_page() -> None:
    index = DOCS / "index.md"
    linked = {(DOCS / link.split("#")[0]).resolve() for link in links(index)}
    assert set(titles()) - {index} <= linked


def test_the_reference_has_what_docstrings_say(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in ("Experiment.measure", "SkeletonsError", "measures.Measure", "exposure.load"):
        assert f'id="skeletons.{name}"' in page
    assert 'id="skeletons.figures.heatmap"' in page
    assert "NaN if the pair has none" in page


def test_a_docstring_s_signs_are_not_markup() -> None:
    lines = ["|a∩b| / |a∪b| is `x|y`, 2 * 3"]
    runpy.run_path(str(DOCS / "conf.py"))["plain"](None, "", "", None, None, lines)
    assert lines == [r"\|a∩b\| / \|a∪b\| is `x|y`, 2 \* 3"]


# --- about the project --------------------------------------------------------------------------


def test_versions_and_licences_agree() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(cited)
    assert cited["version"] == PROJECT["version"]
    assert cited["license"] == PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_the_changelog_is_dated_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings[0] == "[Unreleased]"
    versions = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] — (\d{4}-\d{2}-\d{2})", h) for h in headings[1:]]
    dates = [version[2] for version in versions if version]
    assert len(dates) == len(versions) >= 1
    assert dates == sorted(dates, reverse=True)
    assert all(datetime.date.fromisoformat(date) for date in dates)


def test_removing_everything_keeps_the_page_on_results(tmp_path: Path) -> None:
    assert "rm -r" not in (ROOT / "Makefile").read_text(encoding="utf-8")
    shutil.copy(ROOT / "Makefile", tmp_path)
    page, nested = tmp_path / "results/README.md", tmp_path / "results/demo/README.md"
    made = [nested, tmp_path / "results/.cache/ab/manifest.json", tmp_path / "logs/demo/a.log"]
    for path in (page, *made, tmp_path / ".snakemake/log/a"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    command = [python(), "-m", "skeletons.commands.cli", "remove", "--all", "--yes"]
    for _ in range(2):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert sorted(tmp_path.rglob("*")) == [tmp_path / "Makefile", page.parent, page]
    shutil.rmtree(page.parent)
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.split("\nlint: env\n")[1].split("\n\n")[0]
    tools = re.findall(r"ruff check|ruff format|snakefmt|mypy|snakemake --lint", lint)
    assert len(tools) == len(entries) == 5
    assert all(any(tool in entry for entry in entries) for tool in tools)
    assert {repo["repo"] for repo in hooks["repos"]} == {"local"}


def test_the_catalogue_is_told_how_the_workflow_is_used() -> None:
    path = ROOT / ".snakemake-workflow-catalog.yml"
    usage = yaml.safe_load(path.read_text(encoding="utf-8"))["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert usage["software-stack-deployment"]["conda"] == bool(list(ROOT.glob("envs/*.yaml")))
    assert {"snakemake", "workflow"} <= set(
        re.findall(r"[a-z]+", (ROOT / "README.md").read_text(encoding="utf-8").lower())
    )


def test_the_newest_release_is_that_of_the_project_and_the_citation() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    # A section without a version and a date, such as `## Unreleased`, does not match.
    releases = re.findall(r"^## \[?(\d+\.\d+\.\d+)\]? — (\d{4}-\d{2}-\d{2})$", changes, re.M)
    assert releases, "CHANGELOG.md has no heading such as `## 0.1.0 — 2026-11-27`"
    version, date = max(releases, key=lambda release: release[1])
    assert PROJECT["version"] == cited["version"] == version
    assert str(cited["date-released"]) == date
