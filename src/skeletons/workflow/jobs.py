"""How a stage runs as a job: its recipe, its log, and how it fails.

A job is described by the variables that Snakemake gives to a rule: input, output, params, wildcards
and log. Every rule has the params `stage`, `settings` and `code` (see `stages`). A job in its own
process also has `parents`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeletons.errors import ArtifactError, SkeletonsError
from skeletons.store import artifacts, fingerprint, provenance, unfinished
from skeletons.store.cache import RunCache
from skeletons.store.provenance import Recipe
from skeletons.workflow import gpus, lock
from skeletons.workflow.internals import EVERYTHING
from skeletons.workflow.stages import STAGES, Stage

FAILED = "Failed: "  # begins the sentence in a log that explains why the job failed
TAKEN = "Taken from the run cache"  # begins the sentence of a job that computed nothing


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        stage: the stage that it runs.
        keywords: the arguments of the stage's function.
        recipe: everything that determines its result.
        outputs: the files that it writes.
        cache: the run cache; None for a stage that is not cached, or if there is no cache.
        say: writes its output.
        forced: whether it computes even if the run cache has its result.
    """

    stage: Stage
    keywords: Mapping[str, Any]
    recipe: Recipe
    outputs: tuple[str, ...]
    cache: RunCache | None
    say: Callable[[str], None] = print
    forced: bool = False

    def run(self) -> None:
        """Run the stage, or copy its files from the run cache if that has the same recipe.

        Raises:
            SkeletonsError: the code changed after the workflow was planned.
        """
        if self.stage.shared:
            self._share()
            return
        if self.cache is None:
            self.compute()
            return
        outputs = {provenance.place(path): path for path in self.outputs}
        key = self.recipe.key()
        if self.forced:
            self.cache.drop(key)
        if self.cache.fetch(key, outputs):
            self._forget(key)
            self.say(f"{TAKEN}, {self.cache.folder}: {key[:16]}.")
            return
        self.compute()
        try:
            self.cache.keep(key, outputs)
        except OSError as error:
            # The job has its result; only a later run may have to compute it again.
            self.say(f"The run cache could not store this result: {error.strerror or error}.")
            return
        self._forget(key)

    def _share(self) -> None:
        """Make files that all experiments share, unless another run has made them meanwhile."""
        folder = Path(self.outputs[0]).parent
        with lock.alone(folder, self.say):
            if not self.forced and self._is_made():
                self.say("Another run has made it.")
                return
            artifacts.sweep(folder)
            self.compute()

    def _is_made(self) -> bool:
        """Whether its files are whole, and are what it would make."""
        recipe = self.recipe
        lineage = provenance.lineage_of(recipe.stage, recipe.settings, recipe.parents.values())
        origin = provenance.origin_of(recipe.stage, lineage, recipe.code)
        return all(artifacts.read_origin(path) == origin and _whole(path) for path in self.outputs)

    def _forget(self, key: str) -> None:
        """Remove the job's unfinished state, once the run cache has its result.

        Without the run cache it stays until the experiment is complete: if the run is killed before
        Snakemake notes that the job is done, the job goes on from there.
        """
        with contextlib.suppress(OSError):
            unfinished.state_of(self.outputs[0], key).unlink(missing_ok=True)

    def compute(self) -> None:
        """Call the function and record the recipe in everything that it writes.

        The module is imported only now, so that reading the rules does not import torch.
        """
        own = fingerprint.own_files(self.recipe.code)
        function, code = _load(self.stage.function, own)
        if code != self.recipe.code:
            files = ", of ".join([self.stage.module, *own])
            raise SkeletonsError(
                f"The code of {files}, or of a module imported there, was changed during the run; "
                "run snakemake again."
            )
        with provenance.making(self.recipe):
            function(**self.keywords)


def _whole(path: str) -> bool:
    """Whether an artifact exists and is not damaged."""
    try:
        (artifacts.read_json if path.endswith(".json") else artifacts.read_tensors)(path)
    except ArtifactError:
        return False
    return True


@functools.cache
def _load(function: str, own: tuple[str, ...]) -> tuple[Callable[..., None], str]:
    """A stage's function, and the fingerprint of its code as it is on disk now.

    The code includes user-defined files.
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
    forced: Collection[str] = (),
    rule: str | None = None,
) -> Job:
    """The job that Snakemake describes by variables of these names.

    Args:
        inputs: its input files; they must exist.
        outputs: its output files.
        params: `stage`, the name of its stage; `settings`, the part of the configuration that it
            depends on; `code`, the fingerprint of its code; and `unrecorded`, if it has any,
            arguments that do not shape its result.
        wildcards: the model, pair or data set that it is for.
        parents: lineage of each input that the workflow makes, by its path.
        threads: its number of threads.
        cache: folder of the run cache; None for no cache.
        say: writes the job's output.
        forced: rules and files that the user wants made again, see `Run.forced`.
        rule: its rule, if that may have another name than its stage.
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
    files = tuple(map(str, outputs))
    again = {os.path.normpath(name) for name in forced}
    own = [EVERYTHING, rule or params.stage, *map(os.path.normpath, files)]
    is_forced = not again.isdisjoint(own)
    return Job(stage, keywords, recipe, files, kept, say, is_forced)


def _named(files: Any) -> dict[str, str | list[str]]:
    """Files by their names in the rule; a list if a name has several."""
    return {
        name: str(found) if isinstance(found, str) else [str(path) for path in found]
        for name, found in files.items()
    }


def _places(params: Any) -> dict[str, Any]:
    """Arguments that are no part of a job's recipe, such as where its sources are."""
    return dict(params.items()).get("unrecorded", {})


def _plain(value: Any) -> Any:
    """A value in types that JSON has."""
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
    forced: Collection[str] = (),
    run: Callable[[Job], None] = Job.run,
) -> None:
    """Run a job inside Snakemake's own process; it has a log only if it prints something.

    The arguments are those of `describe`; `log`, its log file; and `run`, which runs the job.
    """
    path = Path(next(iter(log)))
    path.unlink(missing_ok=True)

    def say(text: str) -> None:
        path.write_text(f"{text}\n", encoding="utf-8")

    try:
        run(describe(inputs, outputs, params, wildcards, parents, 1, cache, say, forced))
    except SkeletonsError as error:
        say(f"{FAILED}{error}")
        raise
    except Exception:
        say(traceback.format_exc().rstrip("\n"))
        raise


def run_script(snakemake: Any) -> None:
    """Run a job in its own process, as Snakemake's `script` describes it.

    Everything that it prints goes to its log. For an error that a user can correct, it writes one
    sentence, which the workflow's logger repeats on the terminal, and exits with code 1.
    """
    say = functools.partial(print, flush=True)
    device = snakemake.params.settings.get("device")
    each = snakemake.config.get("jobs_per_gpu")
    with _logged(Path(next(iter(snakemake.log)))), gpus.own(device, each, say):
        describe(
            snakemake.input,
            snakemake.output,
            snakemake.params,
            snakemake.wildcards,
            snakemake.params.get("parents", {}),
            snakemake.threads,
            snakemake.config.get("cache"),
            say,
            forced=snakemake.config.get("forced", ()),
            rule=snakemake.rule,
        ).run()


@contextlib.contextmanager
def _logged(log: Path) -> Iterator[None]:
    """A block whose output and error are written to a log."""
    with (
        log.open("w", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        if node := os.environ.get("SLURMD_NODENAME"):
            # Flushed now, because a job that SLURM kills cannot flush its output.
            print(f"On {node}, SLURM job {os.environ.get('SLURM_JOB_ID')}.", flush=True)
        try:
            yield
        except SkeletonsError as error:
            print(f"{FAILED}{error}")
            sys.exit(1)
        except KeyboardInterrupt:
            print("Interrupted; the next run resumes training after the last epoch that was kept.")
            sys.exit(130)
        except Exception:
            traceback.print_exc()
            sys.exit(1)
