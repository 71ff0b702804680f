"""Networks, data sets and measures that are more than one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from skeletons.errors import ExtensionError
from skeletons.store import fingerprint
from skeletons.user_code.check import check
from skeletons.user_code.load import call

BLOCK = "def block():\n    return 7\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path, **sources: str) -> None:
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)


WAYS = {
    "from .blocks import block": "nets__blocks",
    "from . import blocks; block = blocks.block": "nets__blocks",
    "from .deep.blocks import block": "nets__deep__blocks",
    "from .deep import blocks; block = blocks.block": "nets__deep__blocks",
    "from ..common import block": "common",
    "from .. import common; block = common.block": "common",
}


CASES = [(way, "here") for way in WAYS]
CASES += [(way, "elsewhere") for way in WAYS if ".." not in way]


@pytest.mark.parametrize(("way", "where"), CASES)
def test_relative_imports_work_and_are_fingerprinted(way: str, where: str, folder: Path) -> None:
    if where == "elsewhere":
        folder = folder.parent / f"{folder.name}-elsewhere"
    source = f"{way}\n\ndef f():\n    return block()\n"
    files(folder, **{"nets__mine": source, WAYS[way]: BLOCK, "nets__other": "A = 1\n"})
    own = "nets/mine.py" if where == "here" else f"{folder}/nets/mine.py"
    check(f"{own}:f")
    assert call(f"{own}:f") == 7
    before = fingerprint.now("errors", own=[own])
    files(folder, nets__other="A = 2\n")
    assert fingerprint.now("errors", own=[own]) == before
    files(folder, **{WAYS[way]: BLOCK.replace("7", "8")})
    assert fingerprint.now("errors", own=[own]) != before


def test_a_file_in_the_working_folder_imports_what_is_beside_it(folder: Path) -> None:
    files(folder, mine="from .blocks import block as f\n", blocks=BLOCK)
    check("mine.py:f")
    assert call("mine.py:f") == 7


def test_packages_may_import_relative_to_themselves(folder: Path) -> None:
    """Through an absolute import, and with an `__init__.py` that runs on the way."""
    files(folder, mine="from pack import block as f\n", pack__blocks="from .base import block\n")
    files(folder, pack____init__="from .blocks import block\n", pack__base=BLOCK)
    (folder / "pack/__init__.py").write_text("from .blocks import block\n")
    check("mine.py:f")
    before = fingerprint.now("errors", own=["mine.py"])
    files(folder, pack__base=f"{BLOCK}A = 1\n")
    assert fingerprint.now("errors", own=["mine.py"]) != before
    assert call("mine.py:f") == 7


def test_two_files_of_one_name_in_two_folders_do_not_mix(folder: Path) -> None:
    for place, value in (("one", "7"), ("two", "8")):
        files(folder, **{f"{place}__mine": "from .blocks import block as f\n"})
        files(folder, **{f"{place}__blocks": BLOCK.replace("7", value)})
    assert (call("one/mine.py:f"), call("two/mine.py:f")) == (7, 8)


LOST = {
    "from .blocks import block": "'.blocks' at line 2: there is no file nets/blocks.py",
    "from . import blocks": "'.blocks' at line 2: there is no file nets/blocks.py",
    "from . import unrelated, blocks": "'.blocks' at line 2: there is no file nets/blocks.py",
    "from .. import common": "'..common' at line 2: there is no file common.py",
    "from .deep.blocks import b": "'.deep.blocks' at line 2: there is no file nets/deep/blocks.py",
    "from ...common import block": "'...common' at line 2: there is no folder of yours so far up",
}


@pytest.mark.parametrize("package", [False, True])
@pytest.mark.parametrize("way", LOST)
def test_a_relative_import_of_nothing_is_refused_before_the_run(
    way: str, package: bool, folder: Path
) -> None:
    files(folder, nets__mine=f"import torch\n{way}\n\ndef f(): ...\n", nets__unrelated="")
    if package:
        (folder / "nets/__init__.py").write_text("from .unrelated import *\n" * (".." in way))
    with pytest.raises(ExtensionError) as refused:
        check("nets/mine.py:f")
    assert f"nets/mine.py cannot import {LOST[way]}" in str(refused.value)


@pytest.mark.parametrize(
    "binding",
    [
        "blocks = 7",
        "from .unrelated import blocks",
        "from .unrelated import *",
        "def __getattr__(name): return 7",
        "try:\n    import numpy\nexcept ImportError:\n    blocks = 7",
        "with open(__file__) as blocks: pass",
        "for blocks in [7]: pass",
    ],
)
def test_a_package_may_bind_the_name_that_is_imported(binding: str, folder: Path) -> None:
    files(folder, nets__mine="from . import blocks\n\ndef f(): ...\n", nets__unrelated="blocks = 7")
    (folder / "nets/__init__.py").write_text(f"{binding}\n")
    check("nets/mine.py:f")


def test_a_helper_without_a_package_cannot_import_relatively(folder: Path) -> None:
    files(folder, mine="import helper\n\ndef f(): ...\n", helper="from .blocks import block\n")
    files(folder, blocks=BLOCK)
    with pytest.raises(ExtensionError, match=r"helper\.py cannot import '\.blocks' at line 1"):
        check("mine.py:f")


def test_an_error_names_the_line_of_the_file_that_it_is_in(folder: Path) -> None:
    files(folder, mine="from .blocks import block\n\ndef f():\n    return block()\n")
    files(folder, blocks="def block():\n    return 1 / 0\n")
    with pytest.raises(ExtensionError, match=r"mine\.py:f failed at line 2 of blocks\.py \(Zero"):
        call("mine.py:f")
