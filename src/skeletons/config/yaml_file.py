"""Read a configuration's file strictly: mistakes that YAML silently accepts are refused too."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import yaml

from skeletons.config import ambiguous
from skeletons.errors import ConfigError

_TAG = "tag:yaml.org,2002:"


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
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply; allowed: keys and values.") from None
    if not isinstance(found, dict):
        shown = {type(None): "nothing", list: "a list"}.get(type(found), repr(found))
        raise ConfigError(
            f"{path}: found {shown}; allowed: keys and values, such as `experiment: demo`."
        )
    return found


def typed(value: Any) -> Any:
    """Read all text within a value as in a file: Snakemake leaves values of `--config` as text.

    See https://github.com/snakemake/snakemake/issues/2374.
    """
    if isinstance(value, dict):
        return {key: typed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each) for each in value]
    return _scalar(value) if isinstance(value, str) else value


def _scalar(text: str) -> Any:
    """What one plain word or number stands for in a file."""
    loader = _StrictLoader("")
    try:
        return loader.construct_object(loader.plain(text))
    except yaml.YAMLError:  # a sign of YAML's own, such as `=`
        return text


class _StrictLoader(yaml.SafeLoader):
    """Refuses what YAML accepts without a word.

    YAML itself keeps the last value of a repeated key, and reads `010` as 8. A date stays the text
    that it is written as, because no key holds a date.
    """

    def plain(self, text: str) -> yaml.ScalarNode:
        """Text as if it stood in a file without quotes."""
        tag = self.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
        return yaml.ScalarNode(tag, text)

    def construct_document(self, node: yaml.Node) -> Any:
        self._refuse_repeated_keys(node)
        return super().construct_document(node)

    def _refuse_repeated_keys(self, top: yaml.Node) -> None:
        """Look at all mappings as they are written, before `<<` puts those of others into them."""
        seen: set[int] = set()
        left = [top]
        while left:
            node = left.pop()
            if id(node) in seen or isinstance(node, yaml.ScalarNode):
                continue
            seen.add(id(node))
            if isinstance(node, yaml.MappingNode):
                self._refuse_repeated([key for key, _ in node.value])
                left += [value for _, value in node.value]
            else:
                left += node.value

    def _refuse_repeated(self, keys: Sequence[yaml.Node]) -> None:
        seen: set[Hashable] = set()
        for node in keys:
            if not isinstance(node, yaml.ScalarNode):
                continue  # a mapping or a list as a key is refused when it is read
            merges = node.tag == f"{_TAG}merge"
            key = node.value if merges else self.construct_object(node)
            if key in seen:
                raise _refused(node, f"found the key {str(key)!r} twice; allowed: once")
            seen.add(key)

    def construct_plain(self, node: yaml.ScalarNode) -> Any:
        """A number, true or false, unless its author may mean something else."""
        kind = node.tag.removeprefix(_TAG)
        try:
            value = getattr(super(), f"construct_yaml_{kind}")(node)
        except (ValueError, KeyError):  # of too many digits, or `!!int x`
            shown = node.value if len(node.value) <= 60 else f"{node.value[:57]}…"
            raise _refused(node, f"found {shown!r}; allowed: a number that can be read") from None
        return ambiguous.read_as(node.value, value)

    def construct_date(self, node: yaml.ScalarNode) -> str:
        """The text of a date."""
        return str(node.value)


_StrictLoader.add_constructor(f"{_TAG}timestamp", _StrictLoader.construct_date)
for _kind in ("bool", "int", "float"):
    _StrictLoader.add_constructor(f"{_TAG}{_kind}", _StrictLoader.construct_plain)


def _refused(node: yaml.Node, problem: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


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
