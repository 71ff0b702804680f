import contextlib
import difflib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from skeletons import config
from skeletons.errors import ConfigError

ROOT = Path(__file__).parents[1]


def parse(text: str) -> config.Config:
    return config.load(yaml.safe_load(text))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return str(caught.value).splitlines()


CASES = {
    # unknown keys, at every level, with the nearest valid one
    "experimant: x": "experimant: unknown key; allowed here: experiment, dataset, ood, data_root, "
    "cache, network, base, regularize, prune, compare, controls, inspect, findings, figures, "
    "compute (did you mean 'experiment'?).",
    "base: {epoch: 1}": "(did you mean 'epochs'?)",
    "base: {augment: {flips: true}}": "base.augment.flips: unknown key; allowed here: flip, shift, "
    "cutout (did you mean 'flip'?).",
    "base: {target: {loss: 1}}": "base.target.loss: unknown key; allowed here: train_loss, train_accuracy",
    "regularize: {lambda: [1.0e-4]}": "(did you mean 'lambdas'?)",
    "dataset: {kind: shapes, tests: 3}": "dataset.tests: unknown key; allowed here: kind, train, test, "
    "seed (did you mean 'test'?).",
    "ood: [{kind: noise, image: 3}]": "ood[0].image: unknown key",
    "dataset: {kind: cifar10, seed: 5}": "dataset.seed: unknown key; allowed here: train, test, kind.",
    "dataset: {kind: cifar10, train: 0}": "dataset.train: found 0; allowed: a number ≥ 1.",
    # names out of a list
    "network: {name: resnet18}": "network.name: found 'resnet18'; allowed: cnn, resnet9, resnet20, "
    "speednet (did you mean 'resnet",
    "dataset: {kind: cifar}": "dataset.kind: found 'cifar'; allowed: shapes, cifar10, mnist, "
    "fashionmnist, svhn, imagefolder (did you mean 'cifar10'?), or FILE.py:FUNCTION of your own.",
    "dataset: {kind: digits}": "dataset.kind: found 'digits'; allowed: shapes, cifar10,",
    "dataset: {path: x}": "dataset.kind: found nothing; allowed: shapes,",
    "ood: [{kind: nmist}]": "(did you mean 'mnist'?)",
    "figures: {measures: [cosine]}": "figures.measures[0]: found 'cosine'; allowed: cosine_prob,",
    "figures: {colormap: jet}": "figures.colormap: found 'jet'; allowed: viridis,",
    "prune: {scale: relative}": "prune.scale: found 'relative'; allowed: absolute, layer_rms.",
    "regularize: {optimizer: adamw}": "regularize.optimizer: found 'adamw'; allowed: sgd, adam (did",
    "regularize: {penalty: l2}": "regularize.penalty: found 'l2'; allowed: subgradient, proximal.",
    "compare: {states: [bases]}": "compare.states[0]: found 'bases'; allowed: base, regularized, pruned "
    "(did you mean 'base'?).",
    "compute: {device: gpu}": "compute.device: found 'gpu'; allowed: auto, cpu, cuda (did you mean 'cpu'?).",
    "compute: {precision: fp16}": "compute.precision: found 'fp16'; allowed: bf16, fp32",
    # numbers
    "regularize: {lambdas: [-0.1]}": "regularize.lambdas[0]: found -0.1; allowed: a number ≥ 0.",
    "regularize: {lambdas: [.nan]}": "regularize.lambdas[0]: found nan; allowed: a finite number.",
    "regularize: {lambdas: [much]}": "regularize.lambdas[0]: found 'much'; allowed: a number.",
    "regularize: {lambdas: [true]}": "regularize.lambdas[0]: found true; allowed: a number.",
    "regularize: {epochs: [0]}": "regularize.epochs[0]: found 0; allowed: a number ≥ 1.",
    "base: {epochs: 0}": "base.epochs: found 0; allowed: a number ≥ 1.",
    "base: {epochs: 2.5}": "base.epochs: found 2.5; allowed: a whole number.",
    "base: {epochs: 12.0}": "base.epochs: found 12.0; allowed: a whole number.",
    "base: {epochs: twelve}": "base.epochs: found 'twelve'; allowed: a whole number.",
    "base: {momentum: 1}": "base.momentum: found 1; allowed: a number < 1.",
    "base: {learning_rate: 0}": "base.learning_rate: found 0; allowed: a number > 0.",
    "base: {learning_rate: .inf}": "base.learning_rate: found inf; allowed: a finite number.",
    "base: {warmup: 1.5}": "base.warmup: found 1.5; allowed: a number ≤ 1.",
    "base: {seeds: [-1]}": "base.seeds[0]: found -1; allowed: a number ≥ 0.",
    "base: {augment: {flip: 1}}": "base.augment.flip: found 1; allowed: true or false.",
    "base: {augment: {shift: 20}}": "base.augment.shift: found 20; allowed: a number ≤ 16.",
    "network: {width: 0}": "network.width: found 0; allowed: a number ≥ 1.",
    "compute: {threads: 0}": "compute.threads: found 0; allowed: a number ≥ 1.",
    "compare: {ood_images: 0}": "compare.ood_images: found 0; allowed: a number ≥ 1.",
    # lists
    "base: {seeds: []}": "base.seeds: found an empty list; allowed: a list with at least one entry.",
    "base: {seeds: 1}": "base.seeds: found 1; allowed: a list.",
    "base: {seeds: [1, 2, 1]}": "base.seeds: found 1 twice; allowed: each value once.",
    "prune: {thresholds: []}": "prune.thresholds: found an empty list;",
    "prune: {thresholds: [0.05, 5.0e-2]}": "prune.thresholds: found 0.05 twice; allowed: each value once.",
    "regularize: {lambdas: [1e-4, 0.0001]}": "regularize.lambdas: found 0.0001 twice;",
    "ood: []": "ood: found an empty list;",
    "ood: [{kind: digits}, {kind: digits}]": "ood[1]: found the data set 'digits' again, after ood[0]; "
    "allowed: each data set once.",
    "ood: [{kind: shapes}]": "ood[0]: found the data set 'shapes' again, after dataset;",
    "{base: {seeds: [1]}, inspect: {variant: {l1: 2.0e-4, epochs: 4, threshold: 0.5}, curve: true}}": "inspect.curve: found true, but "
    "base.seeds has one seed; allowed: two or more seeds, as it takes two bases, or false.",
    # shapes of things, paths and names
    "base: 3": "base: found 3; allowed: a mapping of keys to values.",
    "base:": "base: found nothing; allowed: a mapping of keys to values.",
    "dataset: cifar10": "dataset: found 'cifar10'; allowed: a mapping of keys to values.",
    "dataset: {kind: imagefolder}": "dataset.path: found nothing; allowed: a value, as this key has no default.",
    "dataset: {kind: imagefolder, path: no/such}": "dataset.path: found 'no/such', which is no folder; "
    "allowed: an existing folder.",
    "ood: [{kind: imagefolder, path: no/such}]": "ood[0].path: found 'no/such', which is no folder;",
    "dataset: {kind: imagefolder, path: ., name: a/b}": "dataset.name: found 'a/b'; allowed: letters,",
    "dataset: {kind: imagefolder, path: ., test_share: 1}": "dataset.test_share: found 1.0, which leaves",
    "experiment: a/b": "experiment: found 'a/b'; allowed: letters,",
    "experiment: data": "experiment: found 'data'; allowed:",
    "experiment: 7": "experiment: found 7; allowed: text.",
    "data_root: [a]": "data_root: found a list; allowed: text.",
    "- a": "The configuration: found a list; allowed: a mapping of keys to values.",
    "": "The configuration: found nothing; allowed: a mapping of keys to values.",
    "1: 2": "1: unknown key;",
}


@pytest.mark.parametrize(("text", "sentence"), CASES.items(), ids=list(CASES))
def test_a_mistake_is_one_sentence(text: str, sentence: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert sentence in found[0]
    assert found[0].endswith(".")
    for jargon in ("Input should", "pydantic", "http", "Traceback", "value_error"):
        assert jargon not in found[0]


def test_all_mistakes_are_told_at_once() -> None:
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
        ("{kind: imagefolder, path: 'tests'}", "imagefolder_tests"),
        ("{kind: imagefolder, path: tests/../tests/, name: mine}", "imagefolder_mine"),
        ("{kind: imagefolder, path: tests, test_share: 0.1}", "imagefolder_tests_test=0.1"),
        ("{kind: cifar10, train: 9}", "cifar10_train=9"),
    ],
)
def test_a_data_set_is_named_by_what_makes_it(
    text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert config.dataset_id(parse(f"dataset: {text}").dataset) == name


@pytest.mark.parametrize(
    "path", sorted([ROOT / "workflow_config.yaml", *(ROOT / "experiments").glob("*.yaml")])
)
def test_the_configurations_shipped_are_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if (raw.get("dataset") or {}).get("kind") == "imagefolder":
        monkeypatch.setattr(Path, "is_dir", lambda self: True)
    config.load(raw)


def keys(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> set[str]:
    found = set()
    for name, child in node.get("properties", {}).items():
        target = child["$ref"].split("/")[-1] if "$ref" in child else None
        path = f"{prefix}{name}"
        found |= keys(schema, schema["$defs"][target], f"{path}.") if target else {path}
    return found


def flat(value: Any, prefix: str = "") -> set[str]:
    if not isinstance(value, dict) or prefix == "dataset":
        return {prefix}
    return {
        path for key, child in value.items() for path in flat(child, f"{prefix}.{key}".strip("."))
    }


def test_the_shipped_configuration_shows_every_key() -> None:
    schema = config.json_schema()
    raw = yaml.safe_load((ROOT / "workflow_config.yaml").read_text(encoding="utf-8"))
    assert flat(raw) == keys(schema, schema)


def test_every_key_is_described() -> None:
    schema = config.json_schema()
    for name, section in {"Config": schema, **schema["$defs"]}.items():
        for key, value in section["properties"].items():
            assert key == "kind" or "description" in value, f"{name}.{key}"
        assert section["additionalProperties"] is False


def test_the_committed_schema_is_the_code_s() -> None:
    committed = (ROOT / "workflow_config.schema.json").read_text(encoding="utf-8")
    made = json.dumps(config.json_schema(), indent=2, ensure_ascii=False) + "\n"
    difference = "".join(
        difflib.unified_diff(committed.splitlines(True), made.splitlines(True), "committed", "made")
    )
    assert not difference, f"run `make schema`:\n{difference}"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*config.Config.model_fields, "kind", "seeds", "path", "augment", "x"])
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
        config.load(raw)
