"""Commands that delete: they ask first, say what goes, and keep what others share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skeletons.commands import cli
from skeletons.workflow import lock

SHARED = ("results/data/digits/images.safetensors", "results/.cache/ab/abc/manifest.json")
OWN = ("results/one/report.html", "results/one/README.md", "logs/one/train_base/a.log")
OTHER = ("results/other/report.html", "logs/other/a.log", "logs/data/digits.log")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the results of two experiments."""
    for name in (*SHARED, *OWN, *OTHER, "results/README.md", ".snakemake/log/a"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * 1500)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Answer the question whether to delete."""

    def give(text: str) -> None:
        monkeypatch.setattr("builtins.input", lambda question: print(question) or text)

    return give


def there(*names: str) -> list[bool]:
    return [Path(name).exists() for name in names]


def nothing_deleted() -> bool:
    return all(there(*SHARED, *OWN, *OTHER))


# --- skeletons cache ----------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["10", "1.5", "10 X", "GB", "-1GB", "1e3MB", ""])
def test_a_limit_without_a_unit_is_refused(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["cache", f"--limit={limit}"])
    assert ended.value.code != 0
    said = capsys.readouterr().err.strip().splitlines()[-1]
    wanted = f"found {limit!r}; allowed: a number and a unit, for example 500MB or 1GB."
    assert said.endswith(wanted)
    assert nothing_deleted()


@pytest.mark.parametrize(
    ("limit", "size"),
    [("0", 0), ("10B", 10), ("1.5 kB", 1500), ("2G", 2 * 10**9), ("1TB", 10**12)],
)
def test_a_limit_with_a_unit(limit: str, size: int) -> None:
    assert cli._size(limit) == size


def test_a_limit_of_hundreds_of_digits_removes_nothing() -> None:
    assert cli.main(["cache", "--limit", f"{'9' * 400}TB"]) == 0
    assert nothing_deleted()


# --- skeletons remove ---------------------------------------------------------------------------


def test_one_experiment_goes_and_what_is_shared_stays(
    answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer("y")
    assert cli.main(["remove", "one"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "results/one (3.0 kB in 2 files)",
        "logs/one (1.5 kB in 1 file)",
        "Data sets and the run cache stay, because experiments share them.",
        "Delete all of this? [y/N] ",
        "Deleted 4.5 kB.",
    ]
    assert not any(there("results/one", "logs/one"))
    assert all(there(*SHARED, *OTHER, "results/README.md", ".snakemake/log/a"))


@pytest.mark.parametrize("text", ["", "n", "no", "one"])
def test_without_a_yes_nothing_goes(
    text: str, answer: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answer(text)
    assert cli.main(["remove", "one"]) == 1
    assert capsys.readouterr().err == "Nothing was deleted; answer y, or add --yes.\n"
    assert nothing_deleted()


@pytest.mark.parametrize("interruption", [EOFError, KeyboardInterrupt])
def test_where_nobody_answers_nothing_goes(
    interruption: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_: str) -> str:
        raise interruption

    monkeypatch.setattr("builtins.input", nobody)
    assert cli.main(["remove", "one"]) == 1
    assert nothing_deleted()


def test_several_by_their_folders_without_a_question() -> None:
    assert cli.main(["remove", "--yes", "results/one/", "./results/other", "one"]) == 0
    assert not any(there("results/one", "logs/one", "results/other", "logs/other"))
    assert all(there(*SHARED, "logs/data/digits.log", "results/README.md"))


def test_an_experiment_of_which_only_logs_are_left() -> None:
    cli.main(["remove", "--yes", "one"])
    Path("logs/one").mkdir()
    assert cli.main(["remove", "--yes", "one"]) == 0
    assert not any(there("logs/one"))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "onne",
            "There is no experiment 'onne' here; there are: one and other (did you mean one?).",
        ),
        ("README.md", "There is no experiment 'README.md' here; there are: one and other."),
        ("..", "There is no experiment '..' here;"),
        (".", "There is no experiment '.' here;"),
        ("", "There is no experiment '' here;"),
        ("results", "There is no experiment 'results' here;"),
        ("results/one/..", "There is no experiment 'results/one/..' here;"),
        ("logs/one", "There is no experiment 'logs/one' here;"),
        ("data", "results/data is shared by all experiments; `skeletons remove --all` deletes it"),
        ("results/.cache", "results/.cache is shared by all experiments;"),
    ],
)
def test_what_is_not_an_experiment_is_refused(
    name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["remove", "--yes", "other", name]) == 1
    said = capsys.readouterr().err
    assert said.startswith(says)
    assert len(said.splitlines()) == 1
    assert nothing_deleted()


@pytest.mark.parametrize("arguments", [[], ["--yes"], ["--all", "one"]])
def test_it_must_be_said_what_to_remove(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["remove", *arguments])
    assert ended.value.code == 2
    assert nothing_deleted()


RUN = (
    "import sys; from skeletons.workflow import lock; lock.hold(sys.argv[1]); print(1, flush=True)"
)


@pytest.mark.parametrize("arguments", [["one"], ["other", "one"], ["--all"]])
def test_while_a_run_uses_it_it_stays(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", f"{RUN}; sys.stdin.read()", "results/one"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout
        assert other.stdin
        other.stdout.readline()
        assert cli.main(["remove", "--yes", *arguments]) == 1
        other.stdin.close()
        assert capsys.readouterr().err.startswith(
            f"A run is using results/one (process {other.pid} on "
        )
    assert nothing_deleted()


def test_a_run_of_another_experiment_does_not_matter() -> None:
    lock.hold("results/other")
    lock.hold("results/data", shared=True)
    assert cli.main(["remove", "--yes", "one"]) == 0
    assert not any(there("results/one"))


def test_what_a_link_leads_to_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere/report.html").touch()
    (folder / "results/linked").symlink_to(folder / "elsewhere")
    assert cli.main(["remove", "--yes", "linked"]) == 0
    assert "results/linked (a link; what it leads to stays)" in capsys.readouterr().out
    assert not (folder / "results/linked").is_symlink()
    assert (folder / "elsewhere/report.html").exists()


def test_everything_goes_but_the_page_on_results(folder: Path) -> None:
    for _ in range(2):
        assert cli.main(["remove", "--all", "--yes"]) == 0
        assert sorted(folder.rglob("*")) == [folder / "results", folder / "results/README.md"]
    (folder / "results/README.md").unlink()
    (folder / "results").rmdir()
    assert cli.main(["remove", "--all", "--yes"]) == 0
