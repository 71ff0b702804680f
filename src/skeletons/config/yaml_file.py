"""A configuration's file, read strictly: what YAML lets pass in silence is refused as well."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from skeletons.errors import ConfigError


def read(path: str | Path) -> dict[str, Any]:
    """A file's keys and values; JSON is read as the YAML that it is.

    Raises:
        ConfigError: it is not there, is not YAML, has a key twice, or no keys at all.
    """
    try:
        found = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}; allowed: a file of YAML, as experiments/*.yaml."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8; save the file in that encoding."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_line(error)}: {_problem(error)}.") from None
    if not isinstance(found, dict):
        what = {type(None): "nothing", list: "a list"}.get(type(found), repr(found))
        raise ConfigError(f"{path}: found {what}; allowed: keys and values, as `experiment: demo`.")
    return found


def typed(value: Any) -> Any:
    """A value whose leaves may be YAML that was left as text, with each as what it stands for."""
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return yaml.safe_load(value) if isinstance(value, str) else value


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that a mapping has already, of which YAML would take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"the key {key!r} is there twice; allowed: once",
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
        return "a tab; YAML is indented with spaces"
    context = getattr(error, "context", None)
    return f"not YAML ({f'{context}, ' if context else ''}{problem}); mend it there or a line above"
