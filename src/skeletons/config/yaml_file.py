"""Read a configuration's file strictly: mistakes that YAML silently accepts are refused too."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from skeletons.errors import ConfigError


def read(path: str | Path) -> dict[str, Any]:
    """The keys and values of a file. JSON is accepted too, because it is YAML.

    Raises:
        ConfigError: the file does not exist, is not YAML, has a key twice, or has no keys.
    """
    try:
        found = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}; allowed: a YAML file, such as experiments/*.yaml."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8; save the file in that encoding."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_line(error)}: {_problem(error)}.") from None
    if not isinstance(found, dict):
        shown = {type(None): "nothing", list: "a list"}.get(type(found), repr(found))
        raise ConfigError(
            f"{path}: found {shown}; allowed: keys and values, such as `experiment: demo`."
        )
    return found


def typed(value: Any) -> Any:
    """Parse all text within a value as YAML: Snakemake leaves nested values of `--config` as text.

    See https://github.com/snakemake/snakemake/issues/2374.
    """
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


class _StrictLoader(yaml.SafeLoader):
    """Refuses a repeated key in a mapping; YAML itself would keep the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"found the key {key!r} twice; allowed: once",
                    key_node.start_mark,
                )
            seen |= {key} if isinstance(key, Hashable) else set()
        return super().construct_mapping(node, deep)


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}"


def _problem(error: yaml.YAMLError) -> str:
    problem = str(getattr(error, "problem", None) or error).splitlines()[0]
    if isinstance(error, yaml.constructor.ConstructorError):
        return problem
    if "'\\t'" in problem:
        return "found a tab; allowed: spaces as indentation"
    context = getattr(error, "context", None)
    found = f"{context}, {problem}" if context else problem
    return f"not YAML ({found}); correct it there or in the line above"
