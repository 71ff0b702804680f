"""An error of Snakemake as one sentence that explains what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from skeletons.config import yaml_file
from skeletons.errors import ConfigError
from skeletons.workflow import failures, phrases
from skeletons.workflow.phrases import Phrase
from skeletons.workflow.refusal import RefusalError, text_of
from skeletons.workflow.stages import STAGES

DEFAULT = "workflow_config.yaml"
CONFIGURATIONS = (".yaml", ".yml", ".json")
ENTRY = r"[A-Za-z_][\w-]*\w=.*"  # an entry of --config, as Snakemake accepts it


def sentence(message: str, exception: str | None, command: Sequence[str], started: bool) -> str:
    """An error as a sentence; the unchanged message if it is not known here.

    Args:
        message: the exception's name and text, possibly with a traceback.
        exception: the name of the exception.
        command: the arguments of Snakemake, for details that the message leaves out.
        started: whether the workflow had started; if not, its configuration may be broken.
    """
    if exception == RefusalError.__name__:
        return text_of(message)
    if not started and (wrong := broken_file(command, missing=exception == "FileNotFoundError")):
        return wrong
    if not started and exception == "ValueError" and (wrong := broken_entry(command)):
        return wrong
    for phrase, words in KNOWN:
        if match := phrase.find(message):
            return words(match)
    return message


def no_target(name: str) -> str:
    """What to do about a target that no rule makes.

    Args:
        name: as it stands on the command line.
    """
    if Path(name).is_dir():
        return f"{name} is a folder, which cannot be a target; allowed: a rule, or a file in it."
    if Path(name).suffix in CONFIGURATIONS and Path(name).is_file():
        return f"{name} is not a target; to use it as the configuration, add --configfile {name}."
    near = difflib.get_close_matches(name, (*STAGES, "all"), n=1, cutoff=0.75)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"{name} is neither a rule nor a file of this configuration{hint}; `snakemake --summary` "
        "with the same --configfile lists its files."
    )


KNOWN: tuple[tuple[Phrase, Callable[[re.Match[str]], str]], ...] = (
    (phrases.NO_RULE, lambda match: no_target(match[1])),
    (
        phrases.WILDCARDS,
        lambda _: (
            "A rule that makes one file per model cannot be a target; name a file, such as "
            "results/demo/models/seed=1/weights.safetensors, or run it with `--until RULE`."
        ),
    ),
    (phrases.VERSION, lambda match: f"{match[1]}; `make env` installs it."),
    (phrases.NO_FILE, lambda match: f"Cannot use {match[2]}: {match[1]}."),
    (phrases.NO_MODULE, lambda match: failures.missing_package(match[1])),
)


def broken_file(command: Sequence[str], *, missing: bool) -> str:
    """What is wrong with the first configuration that cannot be read; empty if all can.

    Args:
        command: the arguments of Snakemake.
        missing: whether a file that does not exist counts as well.
    """
    named = list(_values(command, "--configfile", "--configfiles"))
    for path in [*named, DEFAULT]:
        if not Path(path).exists() and not (missing and path in named):
            continue
        try:
            yaml_file.read(path)
        except ConfigError as error:
            return str(error)
    return ""


def broken_entry(command: Sequence[str]) -> str:
    """What is wrong with the first invalid entry of --config; empty if all are valid."""
    for entry in _values(command, "--config", "-C"):
        if not re.fullmatch(ENTRY, entry, re.S):
            return (
                f"--config: found {entry!r}; allowed: KEY=VALUE with a key of the configuration's "
                "first level, such as --config 'base={seeds: [3]}'."
            )
    return ""


def _values(command: Sequence[str], *options: str) -> Iterator[str]:
    """The values of options on a command line."""
    inside = False
    for word in command:
        name, is_one, value = word.partition("=")
        if word.startswith("-"):
            inside = name in options
            if inside and is_one:
                yield value
        elif inside:
            yield word
