"""The page that documents the configuration key by key, made from the schema.

`python -m skeletons.config.page PATH` writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from skeletons import text
from skeletons.config import sentences
from skeletons.config.datasets import TORCHVISION
from skeletons.config.json_schema import json_schema
from skeletons.config.networks import OVERRIDDEN
from skeletons.config.types import USER_DEFINED
from skeletons.store import artifacts
from skeletons.user_code.references import PATTERN

INTRO = """\
# Configuration

<!-- Made by `make configuration` from the schema in src/skeletons/config/. -->

This page lists every key with its allowed values and its default. `workflow_config.yaml` contains
all keys. A file given with `--configfile`, and an entry given with `--config`, override only the
keys they name. A section that is one thing is replaced as a whole: a data set, `inspect.variant`,
and a network if its `name` is given. Its other keys then have the defaults of this page.

If neither a file nor an entry names the `experiment`, its name is that of the file: with
`--configfile experiments/mine.yaml`, results go to `results/mine`.

Unknown keys and values that are not allowed are rejected before anything runs, with a
message that names the allowed values.

Numbers may be written `1e-4`, `1.0e-4` or `0.0001`. The three are the same number and give models
the same names. A number with a leading zero or a colon is refused, because YAML reads `010` as 8
and `1:30` as 90. Write text in quotes if it looks like a number, or if it is `yes`, `no`, `on` or
`off`. A path may begin with `~`. Anchors and merge keys (`<<: *light`) work.
"""

HEAD = ("key", "meaning", "allowed", "default")
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
    schema = json_schema()
    nodes = schema["properties"]
    sections = {key: node for key, node in nodes.items() if "properties" in _resolved(schema, node)}
    single = {key: node for key, node in nodes.items() if key not in sections}
    parts = [INTRO, "## At the top level\n", _table(schema, single, ())]
    for key, node in sections.items():
        parts += _section(schema, key, node)
        if key == "network":
            parts += _named_networks(schema, nodes["networks"])
    parts += ["## Data sets\n", "The keys of `dataset`, and of each entry of `ood`.\n"]
    for section in _datasets(schema, schema["properties"]["ood"]["items"]):
        options = {key: node for key, node in section["properties"].items() if key != "kind"}
        parts += [f"### `kind: {_kind(section)}`\n", f"{section['description']}\n"]
        parts += [_table(schema, options, section.get("required", ()))] if options else []
    return "\n".join(parts)


def _section(schema: Node, key: str, node: Node) -> Iterator[str]:
    """The heading, description and table of a section, with the keys of sections within it."""
    section = _resolved(schema, node)
    yield f"## `{key}`\n"
    yield f"{section['description']}\n"
    yield _table(schema, dict(_flat(schema, node)), section.get("required", ()))


def _named_networks(schema: Node, node: Node) -> Iterator[str]:
    """The keys that further networks have beyond those of `network`."""
    kinds = node.get("additionalProperties") or next(iter(node["patternProperties"].values()))
    section = _resolved(schema, kinds)
    own = {key: one for key, one in section["properties"].items() if key in OVERRIDDEN}
    shown = {key: {**one, "allowed": f"keys of `{key}`, or null"} for key, one in own.items()}
    yield "## `networks`\n"
    yield (
        f"{section['description']} Each has a tag, all keys of `network`, and these. The models of "
        "a network with the tag `wide` have ids that begin with `net=wide_`.\n"
    )
    yield _table(schema, shown, ())


def _flat(schema: Node, section: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """The keys of a section and of the sections within it, such as `augment.flip`.

    The default of a whole section takes precedence over the defaults of its keys, because two keys
    may use the same section with different defaults.
    """
    defaults = section.get("default") or {}
    for key, node in _resolved(schema, section)["properties"].items():
        own = {**node, "default": defaults[key]} if key in defaults else node
        if "properties" in _resolved(schema, node):
            if "anyOf" in node:
                yield f"{prefix}{key}", {**own, "allowed": "these keys, or null"}
            yield from _flat(schema, own, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", own


def _resolved(schema: Node, node: Node) -> Node:
    """The node that a `$ref` points to, also one within `anyOf`; any other node itself."""
    for part in (node, *node.get("anyOf", ())):
        if "$ref" in part:
            found: Node = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
            return found
    return node


def _datasets(schema: Node, node: Node) -> list[Node]:
    """The sections that a data set may be; none if the node is not a data set."""
    return [_resolved(schema, part) for part in node.get("oneOf", ()) if "$ref" in part]


def _kind(section: Node) -> str:
    """The text that stands for the kind of a data set: its name, or the form of a reference."""
    kind = section["properties"]["kind"]
    return TORCHVISION if "enum" in kind else str(kind.get("const", USER_DEFINED))


def _table(schema: Node, properties: Mapping[str, Node], required: Collection[str]) -> str:
    rows = [
        [f"`{key}`", node["description"], _allowed(schema, node), _default(key, node, required)]
        for key, node in properties.items()
    ]
    return text.table(HEAD, rows) + "\n"


def _default(key: str, node: Node, required: Collection[str]) -> str:
    if "default" not in node or key in required:
        return "none: it must be given"
    return f"`{json.dumps(node['default'], ensure_ascii=False)}`".replace('"', "")


def _allowed(schema: Node, node: Node) -> str:
    """The allowed values in words."""
    if "allowed" in node:
        return str(node["allowed"])
    if datasets := _datasets(schema, node):
        return f"a data set: {', '.join(f'`{_kind(section)}`' for section in datasets)}"
    if choices := node.get("anyOf", node.get("oneOf")):
        return " or ".join(_allowed(schema, part) for part in choices)
    if node.get("pattern") == PATTERN:
        return f"`{USER_DEFINED}`"
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{value}`" for value in node["enum"])
    if node.get("type") == "array":
        empty = "" if node.get("minItems") else ", possibly empty,"
        return f"a list{empty} of: {_allowed(schema, node['items'])}"
    if node.get("type") == "null":
        return "`null`"
    limits = [
        f"{sign} {sentences.number(node[key])}" for key, sign in BOUNDS.items() if key in node
    ]
    pattern = [f"matching `{node['pattern']}`"] if "pattern" in node else []
    return " ".join([TYPES[node["type"]], *pattern, " and ".join(limits)]).strip()


if __name__ == "__main__":
    artifacts.write_text(sys.argv[1], page())
