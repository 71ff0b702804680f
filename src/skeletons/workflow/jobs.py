"""How a stage runs as a job: what it is made from, where its words go, and how it fails."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeletons.errors import SkeletonsError
from skeletons.store import fingerprint, provenance
from skeletons.store.cache import RunCache
from skeletons.store.provenance import Recipe

FAILED = "Failed: "  # begins the sentence in a log that says why its job could not do its work
TAKEN = "Taken from the run cache"  # begins the one that says that it had no work to do


@dataclass(frozen=True)
class Job:
    """One job of the workflow: its recipe, its output files, and the run cache if there is one."""

    recipe: Recipe
    outputs: tuple[str, ...]
    cache: RunCache | None
    say: Callable[[str], None] = print

    def run(self, stage: str, *arguments: Any, **options: Any) -> None:
        """Run `module.function` of this package; all it writes says what it was made from.

        The module is imported only now: reading the rules must not cost the import of torch.

        Raises:
            SkeletonsError: the code is no longer what it was when the workflow was planned.
        """
        module, function = stage.split(".")
        own = fingerprint.own_files(self.recipe.code)
        implementation, code = _load(module, function, own)
        if code != self.recipe.code:
            files = ", of ".join([f"{module}.py", *own])
            raise SkeletonsError(
                f"The code of {files}, or of what it imports, was changed while the workflow "
                "ran; run snakemake again, which plans anew."
            )
        with provenance.making(self.recipe):
            implementation(*arguments, **options)

    def run_once(self, stage: str, *arguments: Any, **options: Any) -> None:
        """The same for a costly stage: if it ever ran on the same recipe, take what it made."""
        if self.cache is None:
            self.run(stage, *arguments, **options)
            return
        outputs = {provenance.place(path): path for path in self.outputs}
        key = self.recipe.key()
        if self.cache.fetch(key, outputs):
            self.say(f"{TAKEN}, {self.cache.folder}: {key[:16]}.")
            return
        self.run(stage, *arguments, **options)
        try:
            self.cache.keep(key, outputs)
        except OSError as error:
            # The result is there; that it will be computed again some day is no reason to fail.
            self.say(f"The run cache could not keep this: {error.strerror or error}.")


@functools.cache
def _load(module: str, function: str, own: tuple[str, ...]) -> tuple[Callable[..., None], str]:
    """A function of this package, and the fingerprint of the code it runs, as it is on disk now.

    The user's files are part of that code.
    """
    implementation = getattr(importlib.import_module(f"skeletons.{module}"), function)
    return implementation, fingerprint.now(module, own=own)


def describe(
    rule: str,
    inputs: Any,
    outputs: Any,
    params: Any,
    wildcards: Any,
    parents: Mapping[str, str],
    threads: int = 1,
    cache: str | os.PathLike[str] | None = None,
    say: Callable[[str], None] = print,
) -> Job:
    """The job that Snakemake describes in the variables of the same names.

    Args:
        rule: its name, the stage.
        inputs: its input files; they must be there.
        outputs: its output files.
        params: the slice of the configuration it uses, and `code`, the fingerprint of its code.
        wildcards: which model, pair or data set it is for.
        parents: lineage of each input that the workflow makes, by its path.
        threads: how many it computes with.
        cache: folder of the run cache; None for no cache.
        say: where the job's words go.
    """
    recipe = Recipe(
        stage=rule,
        settings=settings_of(params, wildcards),
        code=params.code,
        inputs=provenance.digests(inputs),
        parents={provenance.place(path): line for path, line in parents.items()},
        threads=threads,
        versions=provenance.versions(),
    )
    return Job(recipe, tuple(map(str, outputs)), None if cache is None else RunCache(cache), say)


def settings_of(params: Any, wildcards: Any) -> dict[str, Any]:
    """A job's settings: its slice of the configuration, and which model, pair or data set it is.

    What else its params hold, the fingerprint of its code and its parents' lineages, is left out.
    """
    chosen = {key: value for key, value in params.items() if key not in ("code", "parents")}
    return {str(key): _plain(value) for key, value in {**chosen, **dict(wildcards.items())}.items()}


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


@contextlib.contextmanager
def inside(
    rule: str,
    inputs: Any,
    outputs: Any,
    params: Any,
    wildcards: Any,
    log: Any,
    parents: Mapping[str, str],
    cache: Any = None,
) -> Iterator[Job]:
    """A job that runs inside Snakemake's own process; it has a log only if it says something.

    The arguments are those of `describe`, and `log`, its log file.
    """
    path = Path(next(iter(log)))
    path.unlink(missing_ok=True)

    def say(text: str) -> None:
        path.write_text(f"{text}\n", encoding="utf-8")

    try:
        yield describe(rule, inputs, outputs, params, wildcards, parents, cache=cache, say=say)
    except SkeletonsError as error:
        path.write_text(f"{FAILED}{error}\n", encoding="utf-8")
        raise
    except Exception:
        path.write_text(traceback.format_exc(), encoding="utf-8")
        raise


@contextlib.contextmanager
def process(snakemake: Any) -> Iterator[Job]:
    """A job in a process of its own, as Snakemake's `script` hands it over.

    All that it prints goes to its log. An error that a user can put right is one sentence there,
    which the workflow's logger repeats on the terminal, and exit code 1.
    """
    with (
        Path(next(iter(snakemake.log))).open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        if node := os.environ.get("SLURMD_NODENAME"):
            # Flushed, as a job that SLURM kills has no time to: then this is its log.
            print(f"On {node}, SLURM job {os.environ.get('SLURM_JOB_ID')}.", flush=True)
        try:
            yield describe(
                snakemake.rule,
                snakemake.input,
                snakemake.output,
                snakemake.params,
                snakemake.wildcards,
                snakemake.params.get("parents", {}),
                snakemake.threads,
                snakemake.config.get("cache"),
            )
        except SkeletonsError as error:
            print(f"{FAILED}{error}")
            sys.exit(1)
        except KeyboardInterrupt:
            print("Interrupted; what was not finished is not kept.")
            sys.exit(130)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
