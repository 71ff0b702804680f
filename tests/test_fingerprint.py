import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skeletons.errors import FingerprintError
from skeletons.store import fingerprint as module
from skeletons.store.fingerprint import fingerprint
from skeletons.workflow.stages import STAGES

SOURCE = '''"""Doc."""
from skeletons import lower
from skeletons.errors import SkeletonsError


def double(x: int) -> int:
    """Twice x."""
    return 2 * x
'''


# A package with sub-packages: the path and the content of each file.
FILES = {
    "__init__.py": """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skeletons.store.tables import Table

_HOME = {"Table": "store.tables"}


def __getattr__(name):
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
""",
    "upper.py": SOURCE,
    "lower.py": "import skeletons.errors\n\nLIMIT = 3\n",
    "errors.py": "class SkeletonsError(Exception):\n    pass\n",
    "other.py": "A = 1\n",
    "store/__init__.py": "from .files import read\n\nSIZE = 2\n",
    "store/files.py": "def read():\n    return 1\n",
    "store/tables.py": "from ..errors import SkeletonsError\n\n\nclass Table:\n    pass\n",
    "store/deep/__init__.py": "DEEP = 1\n",
    "late/__init__.py": """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skeletons.late.drawn import draw


def __getattr__(name):
    from importlib import import_module

    return getattr(import_module("skeletons.late.drawn"), name)
""",
    "late/drawn.py": "def draw():\n    pass\n",
    "late/other.py": "B = 1\n",
    "store/deep/leaf.py": "LEAF = 1\n",
}


def forget() -> None:
    module._read.cache_clear()
    module._module.cache_clear()
    module._of_own.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "skeletons"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(module, "PACKAGE", folder)
    forget()
    module._known.cache_clear()
    yield folder
    forget()


def after(package: Path, name: str, old: str, new: str, stage: str = "upper") -> str:
    path = package / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    forget()
    return fingerprint(stage)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Doc."""', '"""Other words."""'),
        ('"""Twice x."""', '"""Two times x."""'),
        ("    return 2 * x", "    # a comment\n    return 2 * x  # another"),
        ("return 2 * x", "return (2\n        * x)"),
        ("\n\n\ndef", "\n\n\n\n\ndef"),
    ],
)
def test_a_cosmetic_edit_changes_nothing(package: Path, old: str, new: str) -> None:
    before = fingerprint("upper")
    assert after(package, "upper.py", old, new) == before


def test_a_template_is_part_of_its_package(package: Path) -> None:
    before = fingerprint("store.files"), fingerprint("other")
    (package / "store/templates").mkdir()
    template = package / "store/templates/page.html"
    template.write_text("<p>")
    forget()
    once = fingerprint("store.files")
    template.write_text("<p> ")
    forget()
    assert len({before[0], once, fingerprint("store.files")}) == 3
    assert fingerprint("other") == before[1]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("upper.py", "2 * x", "3 * x"),
        ("lower.py", "LIMIT = 3", "LIMIT = 4"),
        ("errors.py", "pass", "code = 1"),
    ],
)
def test_a_change_to_what_runs_is_seen_however_deep(
    package: Path, name: str, old: str, new: str
) -> None:
    before = fingerprint("upper")
    assert after(package, name, old, new) != before


def test_a_module_that_is_not_imported_does_not_count(package: Path) -> None:
    before = fingerprint("upper")
    assert after(package, "other.py", "A = 1", "A = 2") == before


# Each way to import from a sub-package, and the files that it runs.
WAYS = {
    "from skeletons.store import files": {"store/__init__.py", "store/files.py"},
    "from skeletons.store.files import read": {"store/__init__.py", "store/files.py"},
    "import skeletons.store.tables": {"store/__init__.py", "store/tables.py", "errors.py"},
    "import skeletons.store.deep.leaf as leaf": {"store/deep/__init__.py", "store/deep/leaf.py"},
    "from skeletons.store import read": {"store/__init__.py", "store/files.py"},
    "from skeletons.store import SIZE": {"store/__init__.py"},
    "from skeletons.store import deep": {"store/deep/__init__.py"},
    "from skeletons import Table": {"store/__init__.py", "store/tables.py"},
    "import skeletons": {"store/__init__.py", "store/tables.py"},
    "from skeletons.late import draw": {"late/__init__.py", "late/drawn.py"},
    "from skeletons import late": {"late/drawn.py"},
    "import skeletons.late": {"late/drawn.py"},
    "from skeletons.late import other": {"late/other.py"},
    "from . import other": {"other.py"},
    "from .store import tables": {"store/tables.py"},
    "from .store.deep.leaf import LEAF": {"store/deep/leaf.py"},
    "def f():\n    from .store import tables": {"store/tables.py"},
    "from importlib import import_module\nimport_module('skeletons.other')": {"other.py"},
}
CHANGES = [(way, name) for way, names in WAYS.items() for name in sorted(names)]


@pytest.mark.parametrize(("way", "name"), CHANGES)
def test_a_change_in_a_sub_package_is_seen(package: Path, way: str, name: str) -> None:
    (package / "user.py").write_text(f"{way}\n")
    before = fingerprint("user")
    path = package / name
    path.write_text(f"{path.read_text()}\nPLANTED = 1\n")
    forget()
    assert fingerprint("user") != before


@pytest.mark.parametrize("way", WAYS)
def test_what_an_import_does_not_run_is_not_seen(package: Path, way: str) -> None:
    (package / "user.py").write_text(f"{way}\n")
    before = fingerprint("user")
    (package / "upper.py").write_text("A = 1\n")
    (package / "__init__.py").write_text(f"{FILES['__init__.py']}\nPLANTED = 1\n")
    forget()
    assert fingerprint("user") == before


def test_a_relative_import_is_followed_from_deep_inside(package: Path) -> None:
    (package / "store/deep/leaf.py").write_text("from ... import other\nfrom ..files import read\n")
    before = fingerprint("store.deep.leaf")
    assert after(package, "other.py", "A = 1", "A = 2", "store.deep.leaf") != before


@pytest.mark.parametrize(
    "way",
    [
        "from skeletons.store import missing",
        "from skeletons.missing import name",
        "import skeletons.store.missing",
        "from skeletons import missing",
        "from skeletons.store import *",
        "from skeletons.late import missing",
        "from pkgutil import resolve_name\nresolve_name(NAME)",
        "from .missing import name",
        "from ... import other",
        "from importlib import import_module\nimport_module(f'skeletons.{1}')",
        "__import__(NAME)",
    ],
)
def test_an_import_that_cannot_be_followed_is_an_error(package: Path, way: str) -> None:
    (package / "user.py").write_text(f"{way}\n")
    with pytest.raises(
        FingerprintError, match=r"user\.py, line \d: the import .* cannot be followed"
    ):
        fingerprint("user")


def test_a_module_that_is_not_there_has_no_fingerprint(package: Path) -> None:
    with pytest.raises(FingerprintError, match=r"has no module 'store\.missing'"):
        fingerprint("store.missing")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("raise SkeletonsError('one')", "raise SkeletonsError('another', hint(2))"),
        ("raise SkeletonsError('one')", "raise SkeletonsError(text='one')"),
        ("return errors.DataError('one')", "return errors.DataError(f'another {2}')"),
    ],
)
def test_the_words_of_an_error_do_not_count(package: Path, old: str, new: str) -> None:
    (package / "upper.py").write_text(f"{SOURCE}\n\ndef fail():\n    {old}\n")
    before = fingerprint("upper")
    assert after(package, "upper.py", old, new) == before
    kind = old.split("(")[0]
    assert after(package, "upper.py", kind, f"{kind.split()[0]} ValueError") != before


def test_a_user_s_file_is_followed_into_this_package(package: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.py"
    own.write_text("from .beside import x\nfrom skeletons.store import tables\n")
    before = fingerprint("other", own=[str(own)])
    path = package / "store/tables.py"
    path.write_text(f"{path.read_text()}\nPLANTED = 1\n")
    forget()
    assert fingerprint("other", own=[str(own)]) != before
    own.write_text("from skeletons import missing\n")
    forget()
    with pytest.raises(
        FingerprintError, match=r"mine\.py, line 1: the import of 'skeletons\.missing'"
    ):
        fingerprint("other", own=[str(own)])


DOCUMENTED = (
    "from skeletons import MEASURES, Experiment, SkeletonsError",
    "from skeletons.measures import Measure, Predictions, measure",
    "from skeletons.predictions import Predictions",
    "from skeletons.exposure import load",
    "from skeletons.figures import heatmap, rises, new_figure",
    "from skeletons import figures, ridge_figures, unit_figures",
)


@pytest.mark.parametrize("way", DOCUMENTED)
def test_a_user_s_file_may_import_what_is_documented(way: str, tmp_path: Path) -> None:
    forget()
    own = tmp_path / "mine.py"
    own.write_text(f"{way}\n")
    assert fingerprint("pruning", own=[str(own)])
    exec(way, {})


def test_the_whole_package_runs_nothing_until_a_name_is_used() -> None:
    program = "import sys, skeletons; print([m for m in sys.modules if m.startswith('skeletons')])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['skeletons']"


def test_stages_depend_on_just_what_they_use() -> None:
    forget()

    def packages(stage: str) -> set[str]:
        return {name.partition(".")[0] for name in module.closure_of([STAGES[stage].module])}

    for light in ("compare", "prune", "findings", "score"):
        heavy = {"training", "networks", "prediction", "figures", "config", "workflow"}
        assert not packages(light) & heavy
    assert not packages("train_base") & {"config", "figures", "findings", "measures", "workflow"}
    assert "training.augmentation" in module.closure_of([STAGES["train_base"].module])
    assert "training.walk" not in module.closure_of([STAGES["train_base"].module])
    assert "data.shapes" not in module.closure_of([STAGES["train_base"].module])


def test_threads_may_ask_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: module.now("training.base"), range(40)))
    assert found == {fingerprint("training.base")}


def test_what_is_kept_on_disk_is_by_content_and_may_be_broken(package: Path) -> None:
    first = fingerprint("upper")
    kept = next((package / "__pycache__").glob("fingerprints-*.json"))
    module._known.cache_clear()
    assert module.now("upper") == first
    kept.write_text("{")
    module._known.cache_clear()
    assert module.now("upper") == first
    assert after(package, "upper.py", "2 * x", "3 * x") != first
