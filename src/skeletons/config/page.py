"""The page that documents the configuration key by key, made from the schema.

`python -m skeletons.config.page PATH` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from skeletons import text
from skeletons.config import schema as config
from skeletons.store import artifacts
from skeletons.user_code import references

INTRO = """\
# Configuration

<!-- Made by `make configuration` from the schema in src/skeletons/config.py. -->

Every key, what it may be, and what it is if it is left out. `workflow_config.yaml` has them all; a
file given with `--configfile` names those that differ. A data set is one thing: naming one replaces
all keys of the default one. A key that does not exist or a value that is not allowed is refused
before anything runs, in a sentence that says what is allowed.

Numbers may be written `1e-4`, `1.0e-4` or `0.0001`: they are the same, and so are the names of the
models.
"""

HEAD = ("key", "what it is", "allowed", "default")
BOUNDS = {
    "minimum": "≥",
    "ge": "≥",
    "exclusiveMinimum": ">",
    "gt": ">",
    "maximum": "≤",
    "le": "≤",
    "exclusiveMaximum": "<",
    "lt": "<",
}
TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping",
}

Node = Mapping[str, Any]


def page() -> str:
    """The whole page, as Markdown."""
    schema = config.json_schema()
    sections = [(key, node) for key, node in schema["properties"].items() if "$ref" in node]
    single = {key: node for key, node in schema["properties"].items() if "$ref" not in node}
    parts = [INTRO, "## At the top\n", _table(schema, single, [])]
    for key, node in sections:
        parts += _section(schema, key, node)
    parts += ["## Data sets\n", "The keys of `dataset`, and of each entry of `ood`.\n"]
    for name in _kinds(schema["properties"]["ood"]["items"]):
        found = schema["$defs"][name]
        kind = _kind(found)
        options = {key: node for key, node in found["properties"].items() if key != "kind"}
        parts += [f"### `kind: {kind}`\n", f"{found['description']}\n"]
        parts += [_table(schema, options, found.get("required", ()))] if options else []
    return "\n".join(parts)


def _section(schema: Node, key: str, node: Node) -> Iterator[str]:
    """A section of the configuration, and then those within it."""
    found = _defined(schema, node)
    yield f"## `{key}`\n"
    yield f"{found['description']}\n"
    yield _table(schema, dict(_flat(schema, node)), found.get("required", ()))


def _flat(schema: Node, section: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """The keys of a section and of the sections within it, as `augment.flip`.

    A default of the whole section counts, not those of its keys: two sections of one kind differ.
    """
    defaults = section.get("default") or {}
    for key, node in _defined(schema, section)["properties"].items():
        own = {**node, "default": defaults[key]} if key in defaults else node
        if "properties" in _defined(schema, node):
            if "anyOf" in node:
                yield f"{prefix}{key}", {**own, "allowed": "these keys, or null"}
            yield from _flat(schema, own, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", own


def _defined(schema: Node, node: Node) -> Node:
    """What a reference stands for; a node that is none stands for itself."""
    for part in (node, *node.get("anyOf", ())):
        if "$ref" in part:
            found: Node = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
            return found
    return node


def _kinds(node: Node) -> list[str]:
    """The names of the sections that a data set may be; a choice may hold further choices."""
    if "$ref" in node:
        return [node["$ref"].rsplit("/", 1)[1]]
    return [name for part in node.get("oneOf", ()) for name in _kinds(part)]


def _kind(section: Node) -> str:
    """How a data set's kind is written: its name, or the form of a reference."""
    kind = section["properties"]["kind"]
    return str(kind.get("const", "FILE.py:FUNCTION"))


def _table(schema: Node, properties: Node, required: Any) -> str:
    rows = [
        [f"`{key}`", node["description"], _allowed(schema, node), _default(key, node, required)]
        for key, node in properties.items()
    ]
    return text.table(HEAD, rows) + "\n"


def _default(key: str, node: Node, required: Any) -> str:
    if "default" not in node or key in required:
        return "none: it must be given"
    return f"`{json.dumps(node['default'], ensure_ascii=False)}`".replace('"', "")


def _allowed(schema: Node, node: Node) -> str:
    """What a value may be, in words."""
    if "allowed" in node:
        return str(node["allowed"])
    if names := _kinds(node):
        kinds = [f"`{_kind(schema['$defs'][name])}`" for name in names]
        return f"a data set: {', '.join(kinds)}"
    if choices := node.get("anyOf", node.get("oneOf")):
        return " or ".join(_allowed(schema, part) for part in choices)
    if node.get("pattern") == references.PATTERN:
        return "`FILE.py:FUNCTION`"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "array":
        least = "" if node.get("minItems") else ", or none"
        return f"a list of these{least}: {_allowed(schema, node['items'])}"
    if node.get("type") == "null":
        return "`null`"
    limits = [f"{sign} {node[key]:g}" for key, sign in BOUNDS.items() if key in node]
    pattern = [f"matching `{node['pattern']}`"] if "pattern" in node else []
    return " ".join([TYPES[node["type"]], *pattern, " and ".join(limits)]).strip()


if __name__ == "__main__":
    artifacts.write_text(sys.argv[1], page())
