"""How a stage runs as a job: what it is made from, where its output goes, and how it fails.

A job is described by the variables that Snakemake gives to a rule: input, output, params, wildcards
and log. Every rule has the params `stage`, `settings` and `code` (see `stages`), and a job in a
process of its own has `parents` as well.
"""

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
from skeletons.workflow.stages import STAGES, Stage

FAILED = "Failed: "  # begins the sentence in a log that says why its job failed
TAKEN = "Taken from the run cache"  # begins the sentence of a job that had nothing to compute


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        stage: what it runs.
        keywords: what the stage's function is called with.
        recipe: what shapes its result.
        outputs: the files that it writes.
        cache: the run cache; None for a stage that is not cached, or if there is no cache.
        say: where its output goes.
    """

    stage: Stage
    keywords: Mapping[str, Any]
    recipe: Recipe
    outputs: tuple[str, ...]
    cache: RunCache | None
    say: Callable[[str], None] = print

    def run(self) -> None:
        """Run the stage, or take its files from the run cache if it ever ran on the same recipe.

        Raises:
            SkeletonsError: the code changed after the workflow was planned.
        """
        if self.cache is None:
            self._compute()
            return
        outputs = {provenance.place(path): path for path in self.outputs}
        key = self.recipe.key()
        if self.cache.fetch(key, outputs):
            self.say(f"{TAKEN}, {self.cache.folder}: {key[:16]}.")
            return
        self._compute()
        try:
            self.cache.keep(key, outputs)
        except OSError as error:
            # The result is there. Computing it again some day is not a failure of this job.
            self.say(f"The run cache could not keep this: {error.strerror or error}.")

    def _compute(self) -> None:
        """Call the function; all that it writes carries the recipe.

        The module is imported only now: reading the rules must not cost the import of torch.
        """
        own = fingerprint.own_files(self.recipe.code)
        function, code = _load(self.stage.function, own)
        if code != self.recipe.code:
            files = ", of ".join([self.stage.module, *own])
            raise SkeletonsError(
                f"The code of {files}, or of what it imports, was changed while the workflow "
                "ran; run snakemake again, which plans again."
            )
        with provenance.making(self.recipe):
            function(**self.keywords)


@functools.cache
def _load(function: str, own: tuple[str, ...]) -> tuple[Callable[..., None], str]:
    """A stage's function, and the fingerprint of the code it runs, as it is on disk now.

    The user's files are part of that code.
    """
    module, _, name = function.partition(":")
    loaded = getattr(importlib.import_module(f"skeletons.{module}"), name)
    return loaded, fingerprint.now(module, own=own)


def describe(
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
        inputs: its input files; they must exist.
        outputs: its output files.
        params: `stage`, its name; `settings`, the slice of the configuration it depends on; `code`,
            the fingerprint of its code; and `folder`, if it has one, where its sources are.
        wildcards: which model, pair or data set it is for.
        parents: lineage of each input that the workflow makes, by its path.
        threads: how many it computes with.
        cache: folder of the run cache; None for no cache.
        say: where the job's output goes.
    """
    stage = STAGES[params.stage]
    recipe = Recipe(
        stage=params.stage,
        settings=_plain({**params.settings, **dict(wildcards.items())}),
        code=params.code,
        inputs=provenance.digests(inputs),
        parents={provenance.place(path): line for path, line in parents.items()},
        threads=threads,
        versions=provenance.versions(),
    )
    keywords = {
        **_named(inputs),
        **_named(outputs),
        **params.settings,
        **_places(params),
        **({"threads": threads} if stage.computes else {}),
    }
    kept = RunCache(cache) if stage.cached and cache is not None else None
    return Job(stage, keywords, recipe, tuple(map(str, outputs)), kept, say)


def _named(files: Any) -> dict[str, str | list[str]]:
    """Files by the names that the rule gives them; a list where a name has several."""
    return {
        name: str(found) if isinstance(found, str) else [str(path) for path in found]
        for name, found in files.items()
    }


def _places(params: Any) -> dict[str, str]:
    """Where a job finds its sources: an argument of its function, but no part of its recipe."""
    folder = getattr(params, "folder", None)
    return {} if folder is None else {"folder": str(folder)}


def _plain(value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def run_inside(
    inputs: Any,
    outputs: Any,
    params: Any,
    wildcards: Any,
    log: Any,
    parents: Mapping[str, str],
    cache: str | None,
) -> None:
    """Run a job inside Snakemake's own process; it has a log only if it says something.

    The arguments are those of `describe`, and `log`, its log file.
    """
    path = Path(next(iter(log)))
    path.unlink(missing_ok=True)

    def say(text: str) -> None:
        path.write_text(f"{text}\n", encoding="utf-8")

    try:
        describe(inputs, outputs, params, wildcards, parents, cache=cache, say=say).run()
    except SkeletonsError as error:
        say(f"{FAILED}{error}")
        raise
    except Exception:
        say(traceback.format_exc().rstrip("\n"))
        raise


def run_script(snakemake: Any) -> None:
    """Run a job in a process of its own, as Snakemake's `script` describes it.

    All that it prints goes to its log. An error that a user can put right is one sentence there,
    which the workflow's logger repeats on the terminal, and exit code 1.
    """
    with _logged(Path(next(iter(snakemake.log)))):
        describe(
            snakemake.input,
            snakemake.output,
            snakemake.params,
            snakemake.wildcards,
            snakemake.params.get("parents", {}),
            snakemake.threads,
            snakemake.config.get("cache"),
        ).run()


@contextlib.contextmanager
def _logged(log: Path) -> Iterator[None]:
    """A block whose output, and whose error, goes to a log."""
    with (
        log.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        if node := os.environ.get("SLURMD_NODENAME"):
            # Flushed, because a job that SLURM kills has no time to: then this is its log.
            print(f"On {node}, SLURM job {os.environ.get('SLURM_JOB_ID')}.", flush=True)
        try:
            yield
        except SkeletonsError as error:
            print(f"{FAILED}{error}")
            sys.exit(1)
        except KeyboardInterrupt:
            print("Interrupted; what was not finished is not kept.")
            sys.exit(130)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
