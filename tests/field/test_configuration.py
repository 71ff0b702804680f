"""Configurations from the field: what they mean, or the one sentence that refuses them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from skeletons.config import layers, yaml_file
from skeletons.config.load import load
from skeletons.config.sections import Config
from skeletons.errors import ConfigError
from skeletons.workflow import configuration
from skeletons.workflow.internals import Run

ROOT = Path(__file__).parents[2]

T: dict[str, Any] = {
    "experiment": "t",
    "dataset": {"kind": "shapes", "train": 300, "test": 100},
    "ood": [{"kind": "noise", "images": 60}],
    "network": {"name": "resnet9", "width": 2},
    "base": {"seeds": [1, 2], "epochs": 1, "learning_rate": 0.05, "augment": {"flip": True}},
    "regularize": {"lambdas": [1e-3], "epochs": [1]},
    "prune": {"thresholds": [0.5]},
    "compare": {"states": ["base", "pruned"]},
    "controls": {"orders": []},
    "inspect": {"variant": {"l1": 1e-3, "epochs": 1, "threshold": 0.5}, "lines": True},
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the default configuration."""
    shutil.copy(ROOT / "workflow_config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> Config:
    """What a file of this text means."""
    Path("mine.yaml").write_text(text, encoding="utf-8")
    return load(yaml_file.read("mine.yaml"))


def refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def run(*files: str, **entries: Any) -> Config:
    """`snakemake --configfile FILES --config ENTRIES`, entries as Snakemake hands them on."""
    paths = [str(Path(file).absolute()) for file in files]
    called = SimpleNamespace(config_files=lambda: paths, config_entries=lambda: entries)
    merged: dict[str, Any] = {}
    return configuration.read(merged, cast(Run, called))


def tiny(name: str = "t.yaml", **changes: Any) -> str:
    Path(name).write_text(yaml.safe_dump({**T, **changes}))
    return name


# --- what is one thing is replaced as a whole ---------------------------------------------------


def test_another_data_set_on_the_command_line_inherits_no_numbers() -> None:
    config = run(tiny(), dataset={"kind": "mnist"})
    assert config.dataset.model_dump() == {"kind": "mnist", "train": None, "test": None}
    assert config.images.size is None


def test_the_size_of_the_default_experiment_is_that_of_its_own_images() -> None:
    assert run().images.size == 24
    Path("mine.yaml").write_text("ood: [{kind: mnist}]\n")
    assert run("mine.yaml").images.size == 24
    Path("mine.yaml").write_text("dataset: {kind: mnist}\n")
    assert run("mine.yaml").images.size is None
    assert run("mine.yaml", images={"size": 28}).images.size == 28


def test_another_data_set_in_a_second_file_inherits_no_numbers() -> None:
    Path("other.yaml").write_text("dataset: {kind: mnist}\n")
    assert run(tiny(), "other.yaml").dataset == run(tiny(), dataset={"kind": "mnist"}).dataset


def test_the_same_data_set_again_has_its_own_numbers() -> None:
    assert run(tiny(), dataset={"kind": "shapes", "test": "7"}).dataset.model_dump() == {
        "kind": "shapes",
        "train": 10_000,
        "test": 7,
        "seed": 0,
    }


def test_a_data_set_without_a_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dataset\.kind: found nothing; allowed: shapes,"):
        run(tiny(), dataset={"train": "7"})


def test_another_network_on_the_command_line_has_its_own_width() -> None:
    assert run(tiny(), network={"name": "resnet20"}).network.width == Config().network.width


def test_a_width_on_the_command_line_is_that_of_the_file_s_network() -> None:
    network = run(tiny(), network={"width": "4"}).network
    assert (network.name, network.width) == ("resnet9", 4)


def test_another_variant_on_the_command_line_is_given_in_full() -> None:
    with pytest.raises(ConfigError) as caught:
        run(tiny(), inspect={"variant": {"epochs": "1"}})
    assert str(caught.value).startswith("inspect.variant.l1: found nothing; allowed: a value,")
    assert len(str(caught.value).splitlines()) == 1


def test_a_variant_taken_back_on_the_command_line() -> None:
    assert run(tiny(), inspect={"variant": "null", "lines": "false"}).inspect.variant is None


def test_other_sections_keep_the_keys_that_are_not_named() -> None:
    config = run(tiny(), base={"epochs": "3", "augment": {"shift": "2"}})
    assert config.base.seeds == (1, 2)
    assert config.base.augment.model_dump() == {"flip": True, "shift": 2, "cutout": 0}
    assert config.inspect.lines


def test_a_file_s_thresholds_take_the_place_of_the_default_density() -> None:
    config = run(tiny())
    assert (config.prune.thresholds, config.prune.densities, config.prune.retrain) == (
        (0.5,),
        (),
        0,
    )
    assert (config.regularize.lambdas, config.regularize.room) == ((1e-3,), None)
    assert (config.controls.orders, config.controls.forks) == ((), ())
    config = run(regularize={"lambdas": ["1e-4"]})
    assert (config.regularize.room, config.prune.densities) == (None, (0.2,))


def test_a_second_file_keeps_what_the_first_names() -> None:
    first = tiny(prune={"densities": [0.5], "retrain": 1}, regularize={"room": 0.1}, inspect={})
    config = run(first, prune={"densities": ["0.5", "0.25"]}, regularize={"lambdas": ["1e-4"]})
    assert (config.prune.densities, config.prune.retrain) == ((0.25, 0.5), 1)
    assert config.regularize.room == 0.1


def test_layers_are_left_as_they_are() -> None:
    lower, upper = {"base": {"epochs": 1}}, {"base": {"epochs": 2, "warmup": 0}}
    assert layers.merged([lower, upper]) == {"base": {"epochs": 2, "warmup": 0}}
    assert lower == {"base": {"epochs": 1}}
    assert layers.merged([{"base": None}, lower, {"base": 3}]) == {"base": 3}


# --- what YAML 1.1 reads otherwise than it is written -------------------------------------------

MISREAD = {
    "base: {seeds: [010, 2]}": "base.seeds[0]: found 010, which YAML reads as 8; allowed: a whole "
    "number without leading zeros or colons.",
    "base: {seeds: [-010]}": "base.seeds[0]: found -010, which YAML reads as -8;",
    "base: {epochs: 1:30}": "base.epochs: found 1:30, which YAML reads as 90;",
    "base: {seeds: [08]}": "base.seeds[0]: found '08'; allowed: a whole number without leading",
    "base: {learning_rate: 1:30.5}": "base.learning_rate: found 1:30.5, which YAML reads as 90.5;",
    "base: {learning_rate: 00.5}": "base.learning_rate: found 00.5, which YAML reads as 0.5;",
    "regularize: {lambdas: [01e-4]}": "regularize.lambdas[0]: found '01e-4'; allowed: a number "
    "without leading zeros or colons.",
    "experiment: no": "experiment: found no, which YAML reads as false; allowed: text (for text, "
    "write 'no' in quotes).",
    "experiment: 007": "experiment: found 007, which YAML reads as 7; allowed: text (for text, "
    "write '007' in quotes).",
    "regularize: {optimizer: off}": "regularize.optimizer: found off, which YAML reads as false; "
    "allowed: sgd, adam.",
    "dataset: {kind: 'a.py:f', options: {mode: off}}": "dataset.options.mode: found off, which "
    "YAML reads as false; allowed: a number, text, true, false or null (for text, write 'off' in",
    "ood: [{kind: 'a.py:f', options: {no: 1}}]": "ood[0].options: found the key no,",
    "base: {on: 3}": "base.on: unknown key; allowed here: seeds,",
    "base: {augment: {flip: 01}}": "base.augment.flip: found 01, which YAML reads as 1; allowed: "
    "true or false.",
}


@pytest.mark.parametrize(("text", "says"), MISREAD.items(), ids=list(MISREAD))
def test_what_yaml_would_misread_is_refused(text: str, says: str) -> None:
    said = refused(text)
    assert said.startswith(says), said
    assert "\n" not in said


def test_a_seed_with_a_leading_zero_on_the_command_line_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^base\.seeds\[0\]: found 010, which YAML reads as 8;"):
        run(tiny(), base={"seeds": ["010", "2"]})


def test_a_path_on_the_command_line_is_text_whatever_signs_it_has() -> None:
    assert yaml_file.typed(["a #b", "[1", "{x}", "=", "<<"]) == ["a #b", "[1", "{x}", "=", "<<"]


def test_text_in_quotes_is_text() -> None:
    assert read("experiment: '010'").experiment == "010"
    assert read("experiment: 'no'").experiment == "no"


def test_a_date_is_the_name_that_it_looks_like() -> None:
    assert read("experiment: 2024-01-15").experiment == "2024-01-15"
    assert read("experiment: 2024-13-45").experiment == "2024-13-45"


@pytest.mark.parametrize("word", ["yes", "Yes", "on", "true", "TRUE"])
def test_yes_is_true_where_only_true_or_false_can_be_meant(word: str) -> None:
    assert read(f"controls: {{untrained: {word}}}").controls.untrained is True


def test_numbers_that_mean_what_they_say_are_read() -> None:
    config = read("base: {seeds: [0, 10, 0x10, 1_000], learning_rate: 0.05, epochs: +3}")
    assert config.base.seeds == (0, 10, 16, 1000)
    assert (config.base.learning_rate, config.base.epochs) == (0.05, 3)


def test_merge_keys_work() -> None:
    config = read(
        "base: {augment: &light {flip: false, shift: 2}}\n"
        "regularize: {augment: {<<: *light, shift: 3}}\n"
    )
    assert config.base.augment.model_dump() == {"flip": False, "shift": 2, "cutout": 0}
    assert config.regularize.augment.model_dump() == {"flip": False, "shift": 3, "cutout": 0}


def test_merge_keys_of_merged_mappings_work() -> None:
    Path("m.yaml").write_text("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: [*b, *a], y: 3}\n")
    found = yaml_file.read("m.yaml")
    assert found == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2, "y": 3}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a {x: 1}\nb: {<<: *a, y: 1, y: 2}\n", ", line 2: found the key 'y' twice;"),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n", ", line 2: found the key '<<' twice;"),
        ("a: [{x: 1, x: 2}]\n", ", line 1: found the key 'x' twice; allowed: once."),
        ("a: {<<: 3}\n", ", line 1: expected a mapping or list of mappings for merging"),
        ("a: !!int x\n", ", line 1: found 'x'; allowed: a number that can be read."),
        (f"a: {'9' * 5000}\n", ", line 1: found '999"),
        (f"a: {'[' * 5000}\n", ": nested too deeply; allowed:"),
    ],
)
def test_yaml_that_cannot_be_read_is_refused_in_a_sentence(text: str, says: str) -> None:
    assert refused(text).startswith(f"mine.yaml{says}")


# --- tables that would be empty -----------------------------------------------------------------


@pytest.mark.parametrize("states", ["base", "regularized", "pruned"])
def test_one_compared_model_is_refused(states: str) -> None:
    one = {**T, "base": {"seeds": [1]}, "compare": {"states": [states]}, "inspect": {}}
    with pytest.raises(ConfigError) as caught:
        load(one)
    assert str(caught.value) == (
        f"compare.states: found {states}, of which there is one model; allowed: states, seeds or "
        "controls of two or more models, because models are compared in pairs."
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"base": {"seeds": [1, 2]}},
        {"compare": {"states": ["base", "pruned"]}},
        {"controls": {"untrained": True}},
        {"controls": {"orders": [1]}},
        {"controls": {"random": [1]}},
    ],
)
def test_two_compared_models_are_enough(changes: dict[str, Any]) -> None:
    one = {**T, "base": {"seeds": [1]}, "compare": {"states": ["base"]}, "inspect": {}}
    load({**one, **changes})


def test_masks_without_pruned_models_are_refused() -> None:
    asked = {**T, "compare": {"states": ["base"], "weights": ["mask_overlap"]}}
    with pytest.raises(ConfigError, match=r"^compare\.weights: found mask_overlap, but no two"):
        load(asked)


# --- paths that begin with ~ --------------------------------------------------------------------


def test_a_path_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
    config = read(
        "dataset: {kind: imagefolder, path: ~/photos}\ndata_root: ~/sets\ncache: ~/cache\n"
    )
    assert config.dataset.model_dump()["path"] == str(folder / "photos")
    assert (config.data_root, config.cache) == (str(folder / "sets"), str(folder / "cache"))
    assert read("cache: ~").cache is None


def test_an_own_network_in_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    (folder / "nets").mkdir()
    (folder / "nets/small.py").write_text("def f(width, classes):\n    return None\n")
    config = read("network: {name: '~/nets/small.py:f'}")
    assert config.network.name == f"{folder}/nets/small.py:f"


def test_the_home_folder_of_nobody_is_refused() -> None:
    said = refused("dataset: {kind: imagefolder, path: ~nobody-of-this-name/x}")
    assert said.startswith("dataset.path: found '~nobody-of-this-name/x', which is not a folder;")


# --- bounds -------------------------------------------------------------------------------------

BEYOND = {
    f"base: {{seeds: [{2**64}]}}": f"base.seeds[0]: found {2**64}; allowed: a number ≤ "
    f"{2**63 - 1}.",
    f"base: {{seeds: [{2**63}]}}": "base.seeds[0]:",
    f"dataset: {{kind: shapes, seed: {2**64}}}": f"dataset.seed: found {2**64};",
    f"ood: [{{kind: noise, images: {10**12}}}]": "ood[0].images: found",
    f"base: {{epochs: {2**40}}}": "base.epochs:",
    f"base: {{batch_size: {2**63}}}": "base.batch_size:",
    f"regularize: {{epochs: [{2**64}]}}": "regularize.epochs[0]:",
    f"controls: {{random: [{2**64}]}}": "controls.random[0]:",
    f"network: {{width: {10**9}}}": "network.width: found 1000000000; allowed: a number ≤ 65536.",
    "base: {learning_rate: 1e300}": "base.learning_rate: found '1e300'; allowed: a number ≤ 1e+30.",
    "base: {learning_rate: 1.0e+300}": "base.learning_rate: found 1e+300;",
    f"base: {{learning_rate: {'9' * 400}}}": "base.learning_rate: found 999",
    "prune: {thresholds: [1e39]}": "prune.thresholds[0]:",
    f"inspect: {{points: {10**9}}}": "inspect.points:",
    f"compute: {{threads: {10**9}}}": "compute.threads:",
}


@pytest.mark.parametrize(("text", "says"), BEYOND.items(), ids=[key[:40] for key in BEYOND])
def test_a_number_that_nothing_can_hold_is_refused(text: str, says: str) -> None:
    said = refused(text)
    assert said.startswith(says), said
    assert "\n" not in said


def test_the_largest_seed_is_a_seed() -> None:
    assert read(f"base: {{seeds: [{2**63 - 1}]}}").base.seeds == (2**63 - 1,)


# --- the name of an experiment ------------------------------------------------------------------


def test_a_file_without_an_experiment_gives_it_its_name() -> None:
    Path("quick.yaml").write_text("base: {epochs: 1}\n")
    assert run("quick.yaml").experiment == "quick"
    assert run("quick.yaml", experiment="named").experiment == "named"
    Path("slow.yaml").write_text("base: {epochs: 9}\n")
    assert run("quick.yaml", "slow.yaml").experiment == "quick_slow"
    assert run(tiny(), "slow.yaml").experiment == "t"


def test_without_a_file_it_is_the_demo() -> None:
    assert run().experiment == "demo"
    assert run(base={"epochs": "1"}).experiment == "demo"
    assert run("workflow_config.yaml").experiment == "demo"


@pytest.mark.parametrize("name", ["my images.yaml", ".hidden.yaml", "größe.yaml"])
def test_a_file_whose_name_is_not_that_of_an_experiment(name: str) -> None:
    Path(name).write_text("base: {epochs: 1}\n")
    stem = Path(name).stem
    with pytest.raises(ConfigError) as caught:
        run(name)
    assert str(caught.value) == (
        f"experiment: found {stem!r}, from the name of {name}; allowed: letters, digits, '_', '-' "
        "and '.', not starting with '.', so rename the file or give the key in it."
    )


def test_a_file_named_as_the_folder_of_data_sets() -> None:
    Path("data.yaml").write_text("base: {epochs: 1}\n")
    with pytest.raises(ConfigError, match=r"^experiment: found 'data'; allowed: another name,"):
        run("data.yaml")


def test_a_workflow_that_uses_this_one_as_a_module_names_its_experiment() -> None:
    Path("workflow_config.yaml").unlink()
    Path("outer.yaml").write_text("dataset: {kind: mnist}\nours: 3\n")
    called = SimpleNamespace(
        config_files=lambda: [str(Path("outer.yaml").absolute())], config_entries=dict
    )
    merged = {**T, "dataset": {"kind": "mnist", "train": 300, "test": 100}}
    config = configuration.read(merged, cast(Run, called))
    assert config.experiment == "t"
    assert config.dataset.model_dump()["train"] is None
    assert config.images.size is None
