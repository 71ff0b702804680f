"""Load a configuration: from the values that YAML or Snakemake read to a valid `Config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from skeletons.config import checks, sentences
from skeletons.config.companions import decided
from skeletons.config.datasets import dataset_id
from skeletons.config.networks import completed
from skeletons.config.sections import Config
from skeletons.errors import ConfigError


def load(raw: object) -> Config:
    """Validate a configuration.

    Args:
        raw: keys and values as read from YAML.

    Raises:
        ConfigError: with one sentence per problem, each on its own line.
    """
    if not isinstance(raw, Mapping):
        found = "nothing" if raw is None else sentences.shown(raw)
        raise ConfigError(
            f"The configuration: found {found}; allowed: a mapping of keys to values."
        )
    try:
        config = Config.model_validate(completed(decided(raw)))
    except ValidationError as error:
        raise ConfigError("\n".join(sentences.of(error))) from None
    problems = list(checks.problems(config))
    if problems:
        raise ConfigError("\n".join(problems))
    return config


def canonical(config: Config) -> dict[str, Any]:
    """A configuration as plain values, with OOD sets sorted by name: their order has no effect."""
    values = config.model_dump(mode="json")
    order = sorted(range(len(config.ood)), key=lambda k: dataset_id(config.ood[k]))
    return {**values, "ood": [values["ood"][k] for k in order]}
