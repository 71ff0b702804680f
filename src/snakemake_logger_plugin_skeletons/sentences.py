"""What Snakemake says when it cannot even begin, as one sentence that says what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from skeletons.config import yaml_file
from skeletons.errors import ConfigError
from skeletons.workflow import failures

DEFAULT = "workflow_config.yaml"
ENTRY = r"[A-Za-z_][\w-]*\w=.*"  # of --config, as Snakemake takes it


def sentence(message: str, command: Sequence[str]) -> str:
    """A message of Snakemake's as a sentence; as it is, if it is none of those known here.

    Args:
        message: the exception's name and text, maybe with a traceback.
        command: what Snakemake was called with, which says what the message leaves out.
    """
    if "Config file " in message or "in load_configfile" in message:
        return broken_file(command) or message
    if "Invalid config definition" in message:
        return _broken_entry(command)
    if match := re.search(r"No rule to produce (.+?) \(if you use", message):
        return (
            f"{match[1]} is no file that this configuration makes, and no rule; "
            "`snakemake --summary` lists those that are, with the --configfile that they belong to."
        )
    if "Target rules may not contain wildcards" in message:
        return (
            "A rule that makes one file for each model is no target; name a file, as "
            "results/demo/models/seed=1/weights.safetensors, or make all with `--until RULE`."
        )
    if match := re.search(r"^Expecting Snakemake version .+?\)", message, re.M):
        return f"{match[0]}; `make env` installs it."
    if match := re.search(r"^\w+Error: \[Errno \d+\] (.+?): '(.+?)'$", message, re.M):
        return f"Cannot use {match[2]}: {match[1]}."
    if match := re.search(r"^ModuleNotFoundError.*?No module named '(\w+)", message, re.M | re.S):
        return failures.missing_package(match[1])
    return message


def broken_file(command: Sequence[str]) -> str:
    """What is wrong with the first configuration that cannot be read; empty if all can."""
    for path in [*_values(command, "--configfile", "--configfiles"), DEFAULT]:
        try:
            yaml_file.read(path)
        except ConfigError as error:
            return str(error)
    return ""


def _broken_entry(command: Sequence[str]) -> str:
    wrong = [e for e in _values(command, "--config", "-C") if not re.fullmatch(ENTRY, e, re.S)]
    found = f"found {wrong[0]!r}" if wrong else "found an entry of another form"
    return (
        f"--config: {found}; allowed: KEY=VALUE with a key of the configuration's first level, as "
        "--config 'base={seeds: [3]}'."
    )


def _values(command: Sequence[str], *options: str) -> Iterator[str]:
    """The values that options have on a command line."""
    inside = False
    for word in command:
        name, is_one, value = word.partition("=")
        if word.startswith("-"):
            inside = name in options
            if inside and is_one:
                yield value
        elif inside:
            yield word
