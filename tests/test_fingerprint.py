from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from skeletons import fingerprint as module
from skeletons.fingerprint import fingerprint

SOURCE = '''"""Doc."""
from skeletons import lower
from skeletons.errors import SkeletonsError


def double(x: int) -> int:
    """Twice x."""
    return 2 * x
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "skeletons"
    folder.mkdir()
    (folder / "upper.py").write_text(SOURCE)
    (folder / "lower.py").write_text("import skeletons.errors\n\nLIMIT = 3\n")
    (folder / "errors.py").write_text("class SkeletonsError(Exception):\n    pass\n")
    (folder / "other.py").write_text("A = 1\n")
    monkeypatch.setattr(module, "PACKAGE", folder)
    module._read.cache_clear()
    module._known.cache_clear()
    yield folder
    module._read.cache_clear()


def after(package: Path, name: str, old: str, new: str) -> str:
    path = package / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    module._read.cache_clear()
    return fingerprint("upper")


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


def test_a_template_is_part_of_its_module(package: Path) -> None:
    before = fingerprint("upper"), fingerprint("other")
    (package / "templates/upper").mkdir(parents=True)
    template = package / "templates/upper/page.html"
    template.write_text("<p>")
    once = fingerprint("upper")
    template.write_text("<p> ")
    assert len({before[0], once, fingerprint("upper")}) == 3
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


def test_stages_depend_on_just_what_they_use() -> None:
    module._read.cache_clear()

    def closure(*names: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(module._read(name)[1])
        return seen

    for light in ("similarity", "pruning", "findings", "scores"):
        assert not closure(light) & {"training", "networks", "inference", "figures", "config"}
    assert not closure("training") & {"config", "figures", "findings", "similarity"}
    assert "augmentation" in closure("training")


def test_threads_may_ask_at_the_same_time() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: module.now("training"), range(40)))
    assert found == {fingerprint("training")}


def test_what_is_kept_on_disk_is_by_content_and_may_be_broken(package: Path) -> None:
    first = fingerprint("upper")
    kept = next((package / "__pycache__").glob("fingerprints-*.json"))
    module._known.cache_clear()
    assert module.now("upper") == first
    kept.write_text("{")
    module._known.cache_clear()
    assert module.now("upper") == first
    assert after(package, "upper.py", "2 * x", "3 * x") != first
