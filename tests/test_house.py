"""The structure of the code: imports between packages run in one direction."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

LIBRARY = ROOT / "src/skeletons"
# Lowest first: a package imports only itself and those before it.
ORDER = (
    *(
        "errors",
        "text",
        "marked",
        "arrays",
        "model_ids",
        "image_folders",
        "image_tables",
        "store",
        "user_code",
        "config",
    ),
    "data",
    *(
        "networks",
        "alignment",
        "prediction",
        "training",
        "unit_masks",
        "pruning",
        "measures",
        "inspection",
    ),
    *("findings", "figures", "report", "workflow", "plots", "experiment", "commands"),
)
# Documented import paths of names that are defined elsewhere.
KEPT = ("exposure", "predictions", "ridge_figures", "unit_figures")
TORCH = {"networks", "prediction", "training", "inspection"}
TORCH_LAZILY = {"data", "experiment"}
SNAKEMAKE = {"workflow"}
LONGEST_MODULE = 450


def modules(library: Path) -> list[Path]:
    return sorted(library.rglob("*.py"))


def package_of(path: Path, library: Path) -> str:
    first = path.relative_to(library).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[str, int, bool]]:
    """Each import's full name and line, and whether it runs when the module is imported.

    Imports inside functions and imports only for types do not.
    """
    late = [
        part
        for part in ast.walk(tree)
        if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(part, ast.If) and ast.unparse(part.test) == "TYPE_CHECKING")
    ]
    inside = {id(node) for part in late for node in ast.walk(part)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno, id(node) in inside


def wrong_imports(library: Path) -> list[str]:
    """One line for each import in the wrong direction, or of a forbidden package."""
    found = []
    for path in modules(library):
        package = package_of(path, library)
        if package == "__init__" or package in KEPT:
            continue
        place = path.relative_to(library)
        for name, line, lazily in imported(ast.parse(path.read_text(encoding="utf-8"))):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "skeletons" and ORDER.index(other) > ORDER.index(package):
                found.append(f"{place}:{line} imports {name}, which stands above it")
            allowed = TORCH | (TORCH_LAZILY if lazily else set())
            if top in ("torch", "torchvision") and package not in allowed:
                found.append(f"{place}:{line} imports {top}")
            if top.startswith("snakemake") and package not in SNAKEMAKE:
                found.append(f"{place}:{line} imports {top}")
    return found


def test_imports_run_one_way() -> None:
    assert not wrong_imports(LIBRARY)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("store/seals.py", "from skeletons.findings import scores"),
        ("errors.py", "import skeletons.store.seals"),
        ("measures/masks.py", "def late():\n    from skeletons.report import html"),
        ("measures/masks.py", "import torch"),
        ("findings/scores.py", "def late():\n    import torchvision"),
        ("report/html.py", "from snakemake.utils import min_version"),
    ],
)
def test_an_import_the_wrong_way_is_found(place: str, line: str, tmp_path: Path) -> None:
    library = tmp_path / "skeletons"
    shutil.copytree(LIBRARY, library, ignore=shutil.ignore_patterns("__pycache__"))
    path = library / place
    path.write_text(f"{path.read_text(encoding='utf-8')}\n\n{line}\n", encoding="utf-8")
    (found,) = wrong_imports(library)
    assert found.startswith(f"{place}:")


def test_the_start_of_a_run_imports_nothing_that_takes_long() -> None:
    """Each start and each job reads the rules; what a stage needs is imported when it runs."""
    text = (ROOT / "rules/common.smk").read_text(encoding="utf-8")
    imports = "\n".join(
        re.findall(r"^from (?:skeletons|snakemake)[^(\n]*(?:\([^)]*\))?$", text, re.M)
    )
    assert "skeletons.workflow.hooks" in imports
    slow = ("scipy.special", "scipy.stats", "sklearn", "matplotlib", "torch")
    code = f"import sys\n{imports}\nprint([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_has_its_place() -> None:
    there = {package_of(path, LIBRARY) for path in modules(LIBRARY)}
    assert there == {*ORDER, *KEPT, "__init__"}


@pytest.mark.parametrize("path", modules(LIBRARY), ids=lambda path: str(path.relative_to(LIBRARY)))
def test_no_module_is_long(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


def test_the_words_of_snakemake_stay_in_their_room() -> None:
    """Only `workflow` uses names of Snakemake or SLURM."""
    words = re.compile(r"snakemake|slurm|wildcard", re.I)
    for path in modules(LIBRARY):
        if package_of(path, LIBRARY) in SNAKEMAKE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
        names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not [name for name in names if words.search(name)], path


def test_the_public_surface_is_what_the_package_lists() -> None:
    import skeletons

    for name in skeletons.__all__:
        assert getattr(skeletons, name) is not None
