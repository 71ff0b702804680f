"""How a stage runs as a job: where its words go, and how it fails."""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from skeletons.errors import SkeletonsError


def _run(stage: str, *arguments: Any) -> None:
    module, function = stage.split(".")
    getattr(importlib.import_module(f"skeletons.{module}"), function)(*arguments)


@contextlib.contextmanager
def logged(log: Iterable[str]) -> Iterator[Callable[..., None]]:
    """Run a stage inside Snakemake's own process; what goes wrong is written to its log.

    Yields a function that takes `module.function` of this package and its arguments, and imports
    the module only then: reading the rules must not cost the import of torch.
    """
    path = Path(next(iter(log)))
    path.unlink(missing_ok=True)
    try:
        yield _run
    except SkeletonsError as error:
        path.write_text(f"{error}\n", encoding="utf-8")
        raise
    except Exception:
        path.write_text(traceback.format_exc(), encoding="utf-8")
        raise


@contextlib.contextmanager
def process(log: Iterable[str]) -> Iterator[None]:
    """Run a stage in a process of its own: all it prints goes to its log.

    An error that a user can put right is one sentence there and on the terminal, and exit code 1.
    """
    terminal = sys.stderr
    with (
        Path(next(iter(log))).open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        try:
            yield
        except SkeletonsError as error:
            print(error, file=file)
            print(error, file=terminal)
            sys.exit(1)
