"""The installed packages still contain each phrase that identifies a message."""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import signal
import traceback
from collections import defaultdict
from pathlib import Path
from subprocess import CalledProcessError

import pytest
import snakemake.exceptions
from snakemake.exceptions import WorkflowError, format_exception_to_string

from skeletons.workflow import phrases
from skeletons.workflow.phrases import Phrase
from skeletons.workflow.refusal import RefusalError
from skeletons.workflow.refusal import text_of as refused

PHRASES = {name: value for name, value in vars(phrases).items() if isinstance(value, Phrase)}

# Python prints these; each is raised here.
RAISED: dict[str, BaseException] = {
    "CalledProcessError": CalledProcessError(-signal.SIGKILL, "true"),
    "OSError": OSError(errno.EROFS, os.strerror(errno.EROFS), "results"),
    "ModuleNotFoundError": ModuleNotFoundError("No module named 'yaml'"),
}


def source_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"There is no module {module}."
    assert spec.origin is not None
    return Path(spec.origin)


def texts(path: Path) -> list[str]:
    """The strings in a file, with `X` where a value is filled in."""
    return [
        text
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (text := text_of(node)) is not None
    ]


def text_of(node: ast.AST) -> str | None:
    """A string of source code, whose parts may be added to each other; None if it is not one."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or "X" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [text_of(node.left), text_of(node.right)]
        return "".join(part or "X" for part in parts) if any(parts) else None
    return None


def said(source: str) -> list[str]:
    """All texts that a module or Python may print."""
    if source in RAISED:
        error = RAISED[source]
        return ["".join(traceback.format_exception(error)), format_exception_to_string(error)]
    return texts(source_of(source))


@pytest.mark.parametrize("name", PHRASES)
def test_a_phrase_is_still_said(name: str) -> None:
    phrase = PHRASES[name]
    assert any(phrase.find(text) for text in said(phrase.source)), (
        f"{phrase.source} no longer contains {name} ({phrase.pattern}); look for the new text and "
        "change src/skeletons/workflow/phrases.py."
    )


def test_the_text_of_a_refusal_is_found_again() -> None:
    lines: dict[str, dict[int, int]] = {__file__: defaultdict(int)}
    text = "base.epochs: found -1; allowed: a number ≥ 1.\nbase.seedz: unknown key."
    try:
        raise RefusalError(text)
    except RefusalError as error:
        message = format_exception_to_string(error, linemaps=lines)
    assert message.startswith("RefusalError")
    assert refused(message) == text


def test_a_phrase_that_is_gone_is_noticed() -> None:
    gone = Phrase(r"\ATerminating processes because nobody asked", phrases.SCHEDULER)
    assert not any(gone.find(text) for text in said(gone.source))


def test_a_job_s_exception_still_has_its_name() -> None:
    assert hasattr(snakemake.exceptions, phrases.JOB_EXCEPTION), (
        f"Snakemake has no exception {phrases.JOB_EXCEPTION} any more, which ends a local job."
    )


def test_no_known_message_is_hidden_that_is_not_meant_to_be() -> None:
    shown = [phrase for phrase in PHRASES.values() if phrase not in phrases.HIDDEN]
    for phrase in shown:
        for text in said(phrase.source):
            if phrase.find(text):
                assert not any(hidden.find(text) for hidden in phrases.HIDDEN), text


def test_a_group_is_the_part_that_differs() -> None:
    for phrase, message, part in (
        (phrases.NO_RULE, "No rule to produce a b.txt (if you use input functions", "a b.txt"),
        (phrases.STATUS, "SLURM-job '7' failed, SLURM status is: 'NODE_FAIL'. ", "NODE_FAIL"),
        (phrases.REFUSED, "The error message was 'can't: no'.\n  call '.", "can't: no"),
        (phrases.REFUSED_UNQUOTED, "The error message was no\nmore", "no\nmore"),
        (phrases.NO_MODULE, "ModuleNotFoundError in file x:\nNo module named 'a.b'", "a"),
    ):
        match = phrase.find(message)
        assert match is not None
        assert match[1] == part


def test_quotes_are_not_missed() -> None:
    assert phrases.REFUSED_UNQUOTED.find("The error message was 'quoted'.\n") is None


def test_an_exception_says_its_text() -> None:
    """The text of an exception of the SLURM plugin must reach the message of the failed job."""
    assert str(WorkflowError("The error message was x")) == "The error message was x"
