import contextlib
import difflib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skeletons.config import json_schema, yaml_file
from skeletons.config.datasets import dataset_id
from skeletons.config.load import load
from skeletons.config.networks import setups
from skeletons.config.sections import Config
from skeletons.errors import ConfigError

ROOT = Path(__file__).parents[1]


def parse(text: str) -> Config:
    return load(yaml.safe_load(text))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value).splitlines()


def test_all_mistakes_are_reported_together() -> None:
    found = problems("base: {epoch: 1, seeds: []}\nprune: {thresholds: [-1]}\nnetwork: {name: x}")
    assert [line.split(":")[0] for line in found] == [
        "network.name",
        "base.seeds",
        "base.epoch",
        "prune.thresholds[0]",
    ]


def test_a_number_has_many_spellings_and_one_value() -> None:
    one, two = (parse(f"regularize: {{lambdas: [{x}]}}") for x in ("1e-5", "0.00001"))
    assert one == two
    assert one.regularize.lambdas == (1e-5,)
    assert parse("base: {learning_rate: 1}").base.learning_rate == 1.0


def test_every_key_has_a_default() -> None:
    assert parse("{}").experiment == "demo"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{kind: shapes}", "shapes"),
        ("{kind: shapes, train: 2000, test: 500}", "shapes_train=2000_test=500"),
        ("{kind: shapes, train: 10000}", "shapes"),
        ("{kind: imagefolder, path: 'src'}", "imagefolder_src"),
        ("{kind: imagefolder, path: src/../src/, name: mine}", "imagefolder_mine"),
        ("{kind: imagefolder, path: src, test_share: 0.1}", "imagefolder_src_test=0.1"),
        ("{kind: cifar10, train: 9}", "cifar10_train=9"),
    ],
)
def test_a_data_set_is_named_by_what_makes_it(
    text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert dataset_id(parse(f"dataset: {text}").dataset) == name


@pytest.mark.parametrize(
    "path", sorted([ROOT / "workflow_config.yaml", *(ROOT / "experiments").glob("*.yaml")])
)
def test_the_configurations_shipped_are_valid(path: Path) -> None:
    raw = yaml_file.read(path)
    for images in (raw.get("dataset") or {}, *raw.get("ood", ())):
        if images.get("kind") == "imagefolder":
            images["path"] = str(ROOT / "src")  # a folder of folders, like one of images
    load(raw)


def keys(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in node.get("properties", {}).items():
        found_in = child["anyOf"][0] if name == "network" else child  # it may be null
        target = found_in["$ref"].split("/")[-1] if "$ref" in found_in else None
        path = f"{prefix}{name}"
        found |= keys(schema, schema["$defs"][target], f"{path}.") if target else {path}
    return found


def flat(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict) or not value or prefix == "dataset":
        return {prefix}
    return {
        path for key, child in value.items() for path in flat(child, f"{prefix}.{key}".strip("."))
    }


def test_the_shipped_configuration_shows_every_key() -> None:
    schema = json_schema.json_schema()
    raw = yaml.safe_load((ROOT / "workflow_config.yaml").read_text(encoding="utf-8"))
    assert flat(raw) == keys(schema, schema)


def test_the_shipped_configuration_shows_every_default() -> None:
    assert load(yaml_file.read(ROOT / "workflow_config.yaml")) == load({})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("regularize: {lambdas: [1e-4]}", {"room": None}),
        ("regularize: {lambdas: [1e-4], room: 0.1}", {"room": 0.1}),
        ("regularize: {epochs: [3]}", {"room": 0.05, "lambdas": (4e-3,)}),
        ("prune: {thresholds: [0.1]}", {"densities": (), "retrain": 0}),
        ("prune: {thresholds: []}", {"densities": (), "thresholds": ()}),
        ("prune: {densities: [0.5]}", {"retrain": 0, "retrain_learning_rate": None}),
        ("prune: {thresholds: [0.1], densities: [0.5]}", {"densities": (0.5,), "retrain": 0}),
        ("prune: {retrain: 1}", {"densities": (0.2,), "retrain_learning_rate": None}),
        ("prune: {criterion: taylor}", {"densities": (0.2,), "retrain": 4}),
        ("controls: {orders: []}", {"forks": (), "orders": ()}),
        ("controls: {random: [1]}", {"forks": (0.9,), "orders": ()}),
    ],
)
def test_who_names_a_key_decides_about_what_belongs_to_it(
    text: str, expected: dict[str, Any]
) -> None:
    section = parse(text).model_dump()[text.split(":")[0]]
    assert {key: section[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("{}", 24),
        ("ood: [{kind: mnist}]", 24),
        ("dataset: {kind: mnist}", None),
        ("{dataset: {kind: mnist}, images: {size: 28}}", 28),
        ("images: {size: null}", None),
    ],
)
def test_own_images_keep_their_size(text: str, size: int | None) -> None:
    assert parse(text).images.size == size


def test_the_walks_of_a_network_are_not_held_in_a_room_that_nobody_named() -> None:
    named = {"wide": {"width": 4, "regularize": {"lambdas": [1e-4]}}}
    walks = [
        next(one for one in setups(load(raw)) if one.tag).regularize.room
        for raw in (
            {"networks": named},
            {"networks": named, "regularize": {"room": 0.1}},
            {"networks": named, "regularize": {"lambdas": [1e-3]}},
        )
    ]
    assert walks == [None, 0.1, None]


def test_every_key_is_described() -> None:
    schema = json_schema.json_schema()
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        for key, value in section["properties"].items():
            assert key == "kind" or "description" in value, f"{name}.{key}"
        assert section["additionalProperties"] is False


def test_the_committed_schema_is_current() -> None:
    committed = (ROOT / "workflow_config.schema.json").read_text(encoding="utf-8")
    made = json_schema.text()
    difference = "".join(
        difflib.unified_diff(committed.splitlines(True), made.splitlines(True), "committed", "made")
    )
    assert not difference, f"run `make schema`:\n{difference}"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*Config.model_fields, "kind", "seeds", "path", "augment", "x"])
            | st.integers(),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_like)
def test_nothing_that_yaml_can_hold_is_a_traceback(raw: Any) -> None:
    with contextlib.suppress(ConfigError):
        load(raw)
