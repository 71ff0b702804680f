"""User-defined networks, data sets, measures and criteria, each in its own file."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, SHOWN, Workflow
from matplotlib.figure import Figure

from skeletons import pruning
from skeletons.config import load as configuration
from skeletons.config.datasets import dataset_id
from skeletons.data import build as building
from skeletons.errors import ConfigError, DataError, ExtensionError, SkeletonsError
from skeletons.experiment import Experiment
from skeletons.measures import behaviour, catalogue, user_defined
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.networks.build import build
from skeletons.networks.generators import drawing_from
from skeletons.store import fingerprint
from skeletons.store.provenance import Recipe
from skeletons.training.images import Images
from skeletons.user_code.load import call, load
from skeletons.user_code.references import file_of
from skeletons.workflow.jobs import Job
from skeletons.workflow.stages import STAGES

EXAMPLES = "examples/own"
OWN: dict[str, Any] = {
    **yaml.safe_load((ROOT / EXAMPLES / "experiment.yaml").read_text()),
    "dataset": {
        "kind": f"{EXAMPLES}/data.py:stripes",
        "options": {"train": 200, "test": 60, "directions": 3},
    },
    "ood": [{"kind": f"{EXAMPLES}/ood.py:checkers", "options": {"images": 40}}],
    "network": {"name": f"{EXAMPLES}/network.py:strided", "width": 2},
    "base": {"seeds": [1], "epochs": 1},
    "regularize": {"lambdas": [1e-3], "epochs": [1]},
}
OWN["prune"] = {**OWN["prune"], "thresholds": [0.5]}
OOD = "ood_checkers_images=40"
TASK = "data_stripes_directions=3_test=60_train=200"

# The jobs that a change in a user-defined file reruns: rows of the table in docs/caching.md.
JUDGED = {"verdict": 1, **SHOWN}
BELOW_PRUNING = {"predict": 2, "score": 1, "scores": 1, "compare": 1, "similarity": 1, **JUDGED}
TRAINED = {"train_base": 1, "regularize": 1, "prune": 1, **BELOW_PRUNING, "predict": 5, "score": 3}
ROWS: dict[str, tuple[str, str, str, dict[str, int]]] = {
    "a user-defined network changes": (
        "network.py",
        "64 * w, classes",
        "64 * w, 1 * classes",
        TRAINED,
    ),
    "a user-defined data set changes": ("data.py", "(3, 8,", "(3, 9,", {"dataset": 1, **TRAINED}),
    "a user-defined OOD set changes": (
        "ood.py",
        "(2, 9,",
        "(2, 8,",
        {"dataset": 1, "predict": 2, "compare": 1, "similarity": 1, **JUDGED},
    ),
    "a user-defined measure changes": (
        "measure.py",
        "1e-300",
        "1e-200",
        {"compare": 1, "similarity": 1, **JUDGED},
    ),
    "a user-defined criterion changes": (
        "criterion.py",
        "min(threshold, 1.0)",
        "min(threshold, 0.9)",
        {"prune": 1, **BELOW_PRUNING},
    ),
    "a comment in a user's file changes": ("measure.py", "import", "# A comment.\nimport", {}),
}


def changed(**sections: dict[str, Any]) -> dict[str, Any]:
    return {**OWN, **{key: {**OWN.get(key, {}), **values} for key, values in sections.items()}}


# --- the whole workflow ---------------------------------------------------------------------------


def started(folder: Path) -> Workflow:
    made = Workflow(folder)
    shutil.copytree(ROOT / EXAMPLES, folder / EXAMPLES)
    return made


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = started(tmp_path_factory.mktemp("own"))
    assert made.jobs(OWN)["compare"] == 1
    return made


def test_one_of_each_runs_to_the_report(own: Workflow) -> None:
    results = own / "results/own"
    assert (results / "report.html").is_file()
    row = pd.read_parquet(results / f"similarity/{OOD}.parquet").iloc[0]
    assert 0 < row.measure_common_mass < 1
    assert row.measure_jeffreys > 0
    assert row.measure_jeffreys_std > 0
    found = json.loads((results / "findings.json").read_text())
    assert found["verdict"]["measure"] == "measure_common_mass"
    assert (results / f"figures/heatmap_{OOD}_measure_common_mass.svg").is_file()
    assert '"measure_common_mass"' in (results / "report.html").read_text(encoding="utf-8")
    about = json.loads((own / f"results/data/{TASK}/info.json").read_text())
    assert (about["train"], about["test"], len(about["classes"])) == (200, 60, 3)
    (pruned,) = (results / "models").glob("*_t=0.5")
    assert json.loads((pruned / "sparsity.json").read_text())["sparsity"] == pytest.approx(
        0.5, abs=0.01
    )
    assert json.loads((pruned.parent / "seed=1/model.json").read_text())["network"] == {
        "name": f"{EXAMPLES}/network.py:strided",
        "width": 2,
        "classes": 3,
    }


def test_every_name_in_results_is_safe(own: Workflow) -> None:
    for path in (own / "results").rglob("*"):
        assert re.fullmatch(r"\.?[A-Za-z0-9][A-Za-z0-9_.=+-]*", path.name), path


def test_the_folder_of_user_code_gets_no_files(own: Workflow) -> None:
    assert {p.name for p in (own / EXAMPLES).rglob("*")} == {
        p.name for p in (ROOT / EXAMPLES).rglob("*") if p.name != "__pycache__"
    }


def test_a_user_defined_network_can_be_inspected(own: Workflow, tmp_path: Path) -> None:
    workflow = own.copy(tmp_path / "w")
    looks = {
        "expose": True,
        "importance": True,
        "takeover": True,
        "probe": [1e-3],
        "epochs": 1,
        "images": 30,
    }
    variant = {"l1": 1e-3, "epochs": 1, "threshold": 0.5}
    jobs = workflow.jobs(
        changed(
            inspect={"variant": variant, **looks},
            compare={"representations": ["linear_cka"], "weights": ["mask_overlap"]},
            controls={"untrained": True, "random": [1]},
            figures={"measures": [f"{EXAMPLES}/measure.py:jeffreys", "agreement"]},
        )
    )
    assert jobs["expose"] == jobs["importance"] == jobs["probe"] == jobs["takeover"] == 1
    assert jobs["features"] == 4
    assert jobs["compare"] == 5  # of four models; the first pair is there, with its measures
    assert jobs["train_base"] == 0


@pytest.mark.parametrize("row", ROWS)
def test_changed_code(row: str, own: Workflow, tmp_path: Path) -> None:
    file, old, new, expected = ROWS[row]
    workflow = own.copy(tmp_path / "w")
    path = workflow / EXAMPLES / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert workflow.planned(OWN) == Counter(expected)


def test_a_changed_measure_is_the_one_that_is_taken(own: Workflow, tmp_path: Path) -> None:
    workflow = own.copy(tmp_path / "w")
    path = workflow / EXAMPLES / "measure.py"
    path.write_text(path.read_text().replace("return np.minimum(", "return 0 * np.minimum("))
    workflow.jobs(OWN)
    table = pd.read_parquet(workflow / f"results/own/similarity/{OOD}.parquet")
    assert table.measure_common_mass.tolist() == [0.0]
    assert workflow.planned(OWN) == {}


def test_python_knows_user_defined_measures_and_networks(
    own: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.folder)
    experiment = Experiment("results/own")
    table = experiment.similarity(OOD)
    assert {"measure_common_mass", "measure_jeffreys", "cosine_prob"} <= set(table.measure)
    row = table[table.measure == "measure_jeffreys"].iloc[0]
    for name in ("measure_jeffreys", f"{EXAMPLES}/measure.py:jeffreys"):
        found = experiment.measure(name, row.a, row.b, OOD)
        assert found == pytest.approx(row.value, rel=1e-4)
    axes = Figure().add_subplot()
    experiment.plot("heatmap", axes, measure="measure_jeffreys")
    assert axes.images
    assert "measure_jeffreys" not in catalogue.MEASURES  # a figure adds no measure permanently
    with pytest.raises(SkeletonsError, match="measure_jeffreys"):
        experiment.measure("measure_jeffrey", row.a, row.b, OOD)


def test_python_in_another_folder_says_where_to_begin(
    own: Workflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    experiment = Experiment(own / "results/own")
    with pytest.raises(ExtensionError, match=r"no .*network\.py in .*; start in the folder where"):
        experiment.load("seed=1")


def test_what_fails_in_many_jobs_is_one_sentence(own: Workflow, tmp_path: Path) -> None:
    workflow = own.copy(tmp_path / "w")
    path = workflow / EXAMPLES / "measure.py"
    path.write_text(path.read_text().replace("return np.minimum(", "return 2 + np.minimum("))
    done = workflow.run(changed(compare={"states": ["base", "regularized", "pruned"]}))
    assert done.returncode != 0
    assert done.stdout.count(f"{EXAMPLES}/measure.py:common_mass returned values from 2") == 1
    assert "3 jobs failed, for 1 reason; the jobs that depend on them" in done.stdout
    assert "Traceback" not in done.stdout
    logs = [path.read_text() for path in (workflow / "logs/own/compare").rglob("*.log")]
    assert len(set(logs)) == 3  # because each pair has other values
    assert all(log.count("\n") == 1 for log in logs)


def test_what_is_not_there_is_refused_before_anything_runs(own: Workflow) -> None:
    done = own.run(changed(network={"name": f"{EXAMPLES}/network.py:stride"}), "--dry-run")
    assert done.returncode != 0
    assert "does not define 'stride' (did you mean 'strided'?)" in done.stdout
    assert "Traceback" not in done.stdout


# --- the configuration ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        configuration.load(yaml.safe_load(text))
    (sentence,) = str(caught.value).splitlines()
    assert sentence.endswith(".")
    return sentence


MINE = {
    "mine.py": "def net(width, classes, depth): ...\n\ndef compare(p): ...\n\n"
    "def data(size, *, seed=0): ...\n\nNUMBER = 3\n\ndef cut(weights, threshold): ...\n\n"
    "def body(width, classes): ...\n",
    "broken.py": "def f(:\n",
    "null.py": "a\0",
    "lost.py": "import helper\n\ndef f(width, classes): ...\n",
    "helper.py": "import other\n",
    "other.py": "1 +\n",
    "cosine.py": "def prob(p, q): ...\n",
    "shadow.py": "import random\n\ndef f(width, classes): ...\n",
    "sub/random.py": "",
    "sub/shadow.py": "import random\n\ndef f(width, classes): ...\n",
    "sub/alone.py": "from . import blocks\n\ndef f(width, classes): ...\n",
    "one/mod.py": "import tool\n\ndef f(p, q): ...\n",
    "one/tool.py": "",
    "two/mod.py": "import tool\n\ndef g(p, q): ...\n",
    "two/tool.py": "",
}
VARIANT = "variant: {l1: 0.004, epochs: 8, density: 0.2}"
REFUSED = {
    "network: {name: 'no.py:f'}": "network.name: found 'no.py:f', but there is no file no.py in ",
    "network: {name: 'no.such:f'}": "but there is no file no/such.py in ",
    "network: {name: 'mine.py'}": "network.name: found 'mine.py'; allowed: a function of this "
    "file, mine.py:FUNCTION.",
    "network: {name: 'mine.py:a b'}": "network.name: found 'mine.py:a b'; allowed: FILE.py:F",
    "network: {name: 'mine:nett'}": "network.name: found 'mine.py:nett', but mine.py does not "
    "define 'nett' (did you mean 'net'?); allowed: FILE.py:FUNCTION, a function of width and "
    "classes.",
    "network: {name: 'mine:net'}": "but net(width, classes, depth) cannot be called with 2 "
    "arguments: missing a required argument: 'depth'; allowed:",
    "network: {name: 'broken.py:f'}": "but broken.py is not Python (line 1: invalid syntax)",
    "network: {name: 'null.py:f'}": "but null.py is not Python (source code",
    "network: {name: 'lost.py:f'}": "but other.py is not Python (line 1: invalid syntax)",
    "network: {name: 'sub/shadow.py:f'}": "but sub/random.py cannot be imported, because "
    "'random' is an installed module",
    "network: {name: 'sub/alone.py:f'}": "network.name: found 'sub/alone.py:f', but sub/alone.py "
    "cannot import '.blocks' at line 1: there is no file sub/blocks.py; allowed: FILE.py:FUNCTION",
    "dataset: {kind: 'mine:data'}": "dataset.kind: found 'mine.py:data', but data(size, *, "
    "seed=None) cannot be called with (): missing a required argument: 'size'",
    "ood: [{kind: 'mine:data', options: {size: 1, sed: 2}}]": "ood[0].kind: found 'mine.py:data', "
    "but data(size, *, seed=None) cannot be called with (sed=…, size=…): got an unexpected",
    "ood: [{kind: 'mine:data', option: {}}]": "ood[0].option: unknown key; allowed here: train, "
    "test, kind, options, name (did you mean 'options'?).",
    "ood: [{kind: 'mine:data', options: {size: [1]}}]": "ood[0].options: found a mapping; allowed: "
    "options that are numbers, text, true, false or null.",
    "ood: [{kind: 'mine:data', options: {size: .nan}}]": "ood[0].options: found a mapping;",
    "ood: [{kind: 'mine:data', options: {size: 1}}, {kind: 'mine.py:data', options: {size: 1}}]": (
        "ood[1]: found the data set 'mine_data_size=1' again, after ood[0]"
    ),
    "compare: {measures: [cosine_prob]}": "compare.measures[0]: found 'cosine_prob'; allowed: "
    "FILE.py:FUNCTION, because the built-in measures are always computed; list those to draw in "
    "figures.measures.",
    "compare: {measures: [cosine]}": "found 'cosine'; allowed: FILE.py:FUNCTION.",
    "dataset: 'mine:data'": "dataset: found 'mine:data'; allowed: a mapping, such as {kind: "
    "mine:data}.",
    "compare: {measures: ['mine:compare']}": "compare.measures[0]: found 'mine.py:compare', but "
    "compare(p) cannot be called with 2 arguments: too many positional arguments;",
    "figures: {measures: ['mine:nothing']}": "figures.measures[0]: found 'mine.py:nothing', but",
    "figures: {measures: ['cosine:prob']}": "found 'cosine.py:prob', whose name in results, "
    "'cosine_prob', is also that of 'cosine_prob' or of its spread;",
    "compare: {measures: ['one/mod.py:f', 'two/mod.py:g']}": "User-defined functions: one/tool.py "
    "and two/tool.py are both imported as 'tool'; allowed:",
    "prune: {criterion: magnitudes}": "prune.criterion: found 'magnitudes'; allowed: magnitude, "
    "taylor, fisher, counterfactual (did you mean 'magnitude'?), or your own FILE.py:FUNCTION.",
    "prune: {criterion: 'mine:cut', densities: [0.1]}": "prune.densities: found 0.1, but a "
    "user-defined criterion takes thresholds; allowed: [], or criterion: magnitude, taylor, "
    "fisher or counterfactual.",
    "{prune: {criterion: 'mine:cut', thresholds: [0.1]}, inspect: {sparsest: true, variant: "
    "{l1: 0.004, epochs: 8, threshold: 0.1}}}": "inspect.sparsest: found true, but the criterion "
    "'mine.py:cut' is user-defined and takes thresholds; allowed: false, or criterion: "
    "magnitude, taylor, fisher or counterfactual.",
    "prune: {criterion: 'mine:cut', thresholds: [0.1], scale: layer_rms}": "prune.scale: found "
    "'layer_rms', but a user-defined criterion takes the thresholds unscaled; allowed: absolute.",
}


@pytest.mark.parametrize(("text", "sentence"), REFUSED.items(), ids=list(REFUSED))
def test_a_mistake_is_one_sentence(text: str, sentence: str, folder: Path) -> None:
    for name, source in MINE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source)
    assert sentence in problem(text)


def test_one_reference_has_many_spellings_and_one_value(folder: Path) -> None:
    (folder / "my").mkdir()
    (folder / "my/net.py").write_text("def f(width, classes): ...\n")
    spellings = ("my/net.py:f", "my.net:f", "./my/net.py:f", "my/../my/net.py:f")
    found = {configuration.load({"network": {"name": name}}).network.name for name in spellings}
    assert found == {"my/net.py:f"}


def test_a_data_set_is_named_by_its_function_and_options(folder: Path) -> None:
    (folder / "my set.py").write_text("def f(**options): ...\n")
    section = {"kind": "my set.py:f", "options": {"b": "x/y", "a": 1e-3}, "test": 5}
    spec = configuration.load({"ood": [section]}).ood[0]
    assert dataset_id(spec) == "my-set_f_a=0.001_b=x-y_test=5"
    named = configuration.load({"ood": [{**section, "name": "v2"}]}).ood[0]
    assert dataset_id(named).startswith("my-set_v2_")


def test_the_configuration_is_read_without_running_the_files() -> None:
    code = (
        "import sys, yaml\nfrom skeletons.config import load\n"
        f"load.load(yaml.safe_load(open('{EXAMPLES}/experiment.yaml')))\n"
        "print({n for n in sys.modules if n == 'torch' or n.startswith('own:')} or set())"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# --- the fingerprint ------------------------------------------------------------------------------


def test_the_fingerprint_covers_the_user_s_imported_files(folder: Path) -> None:
    (folder / "mine.py").write_text("import numpy\nfrom pack import tool\n\ndef f(): ...\n")
    (folder / "pack").mkdir()
    (folder / "pack/__init__.py").write_text("A = 1\n")
    (folder / "pack/tool.py").write_text("B = 1\n")
    (folder / "unrelated.py").write_text("C = 1\n")
    plain, first = fingerprint.now("errors"), fingerprint.now("errors", own=["mine.py"])
    assert re.fullmatch(rf"{plain} mine\.py=[0-9a-f]{{16}}", first)
    assert fingerprint.own_files(first) == ("mine.py",)
    assert fingerprint.own_files(plain) == ()
    seen = {first}
    for name in ("mine.py", "pack/__init__.py", "pack/tool.py"):
        path = folder / name
        path.write_text(f"# A comment.\n{path.read_text()}")
        assert fingerprint.now("errors", own=["mine.py"]) in seen
        path.write_text(f"{path.read_text()}\nD = 1\n")
        found = fingerprint.now("errors", own=["mine.py"])
        assert found not in seen
        seen.add(found)
    (folder / "unrelated.py").write_text("C = 2\n")
    assert fingerprint.now("errors", own=["mine.py"]) in seen


def test_the_fingerprint_covers_imports_of_this_package(folder: Path) -> None:
    (folder / "a.py").write_text("from skeletons.measures.measure import measure\n")
    (folder / "b.py").write_text("from skeletons import measures\n")
    one, other = (fingerprint._of_own(name) for name in ("a.py", "b.py"))
    assert one != other
    path = Path("a.py")
    imports = fingerprint._parsed(path).imports
    assert "measures" in set(fingerprint._of_this_package(imports, path))


def test_code_that_changed_since_the_plan_does_not_run(folder: Path) -> None:
    (folder / "mine.py").write_text("A = 1\n")
    stage = STAGES["compare"]
    code = fingerprint.now(stage.module, own=["mine.py"])
    job = Job(stage, {}, Recipe("compare", {}, code, {}, {}, 1, {}), (), None)
    (folder / "mine.py").write_text("A = 2\n")
    with pytest.raises(
        SkeletonsError, match=r"The code of measures.behaviour, of mine.py, or of a module"
    ):
        job.run()


def test_built_in_stages_have_a_plain_fingerprint() -> None:
    assert re.fullmatch(r"[0-9a-f]{16}", fingerprint.fingerprint("training.base", own=()))


# --- returned values ------------------------------------------------------------------------------


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Writes a function and returns a reference to it."""

    def written(source: str, name: str = "f") -> str:
        (tmp_path / "mine.py").write_text(source)
        return f"{tmp_path}/mine.py:{name}"

    return written


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(ExtensionError) as caught:
        action()
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return str(caught.value)


FAILURES = {
    "f = 3\n": "mine.py:f cannot be used: found a value of type int; allowed: a function.",
    "g = 3\n": "mine.py does not define 'f'.",
    "A = 1\nimport no_such_module\n": "mine.py could not be imported: it failed at line 2 "
    "(ModuleNotFoundError: No module named 'no_such_module'); correct it and run snakemake again.",
    "raise ValueError('no')\n": "could not be imported: it failed at line 1 (ValueError: no);",
    "def f(a):\n    return 1\n\n": "f(a) cannot be called with 2 arguments: too many positional",
    "def f(a, b):\n    return a / 0\n": "mine.py:f failed at line 2 (ZeroDivisionError: ",
    "def f(a, b):\n    raise ValueError\n": "(ValueError); correct it and run snakemake again.",
}


@pytest.mark.parametrize(("source", "sentence"), FAILURES.items(), ids=list(FAILURES))
def test_what_cannot_be_called_is_one_sentence(
    source: str, sentence: str, write: Callable[[str], str]
) -> None:
    reference = write(source)
    assert sentence in refused(lambda: call(reference, 1, 2))


def test_a_file_runs_once_whatever_the_number_of_threads(write: Callable[[str], str]) -> None:
    reference = write("import time\ntime.sleep(0.1)\nRUN = object()\n\ndef f():\n    return RUN\n")
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: call(reference), range(16)))
    assert len(found) == 1


MAKERS = {
    "nn.Sequential(nn.Flatten())": "mine.py:f cannot be used: found an instance of "
    "Sequential; allowed: a function of width and classes that returns a network.",
    "type('Net', (nn.Sequential,), {})": "found the class Net, whose __init__ does not take "
    "width and classes; allowed: a function",
}


@pytest.mark.parametrize(("source", "sentence"), MAKERS.items(), ids=list(MAKERS))
def test_what_does_not_make_a_network_is_refused(
    source: str, sentence: str, write: Callable[[str], str]
) -> None:
    reference = write(f"from torch import nn\n\nf = {source}\n")
    assert sentence in refused(lambda: build(reference, 2, 4, [0.5] * 3, [0.2] * 3))


def test_a_class_of_width_and_classes_makes_a_network(write: Callable[[str], str]) -> None:
    reference = write(
        "from torch import nn\n\nclass f(nn.Sequential):\n    def __init__(self, width, classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(3072, classes))\n"
    )
    assert build(reference, 2, 4, [0.5] * 3, [0.2] * 3)


NETWORKS = {
    "return 3": "returned a value of type int; it must return a torch.nn.Module.",
    "return nn.Linear(5, c)": "mine.py:f failed on images of 3×32×32, see images.size (Ru",
    "return nn.Sequential(nn.Flatten(), nn.Linear(3072, c + 1))": "whose output for two images is "
    "2×5; it must return logits, 2×4.",
    "return nn.Sequential(nn.AdaptiveAvgPool3d((1, 1, c)), nn.Flatten())": "in which nothing can",
    "n = nn.Sequential(nn.Flatten(), nn.Linear(3072, c)); n.more = nn.Linear(2, 2); n.forward = "
    "lambda x: n[1](n[0](x)); return n": "a network that does not run its layer more; it must",
}


@pytest.mark.parametrize(("body", "sentence"), NETWORKS.items(), ids=list(NETWORKS))
def test_a_network_must_give_logits(body: str, sentence: str, write: Callable[[str], str]) -> None:
    reference = write(f"from torch import nn\n\ndef f(w, c):\n    {body}\n")
    given = ([0.5] * 3, [0.2] * 3)
    assert sentence in refused(lambda: build(reference, 2, 4, *given))


def test_trying_a_network_changes_nothing(write: Callable[[str], str]) -> None:
    layers = (
        "nn.Conv2d(3, w, 3), nn.BatchNorm2d(w), nn.Dropout(), nn.Flatten(), nn.Linear(900 * w, c)"
    )
    reference = write(f"from torch import nn\n\ndef f(w, c):\n    return nn.Sequential({layers})\n")
    torch.manual_seed(0)
    following = torch.rand(1)
    torch.manual_seed(0)
    built = build(reference, 2, 4, [0.5] * 3, [0.2] * 3, seed=3)
    assert torch.equal(torch.rand(1), following)
    with drawing_from(torch.Generator().manual_seed(3), torch.device("cpu")):
        plain = load(reference)(2, 4)
    body = built.get_submodule("body")
    assert body.training
    assert all(torch.equal(v, body.state_dict()[k]) for k, v in plain.state_dict().items())
    assert not any(m._forward_hooks for m in built.modules())


ARRAYS = (
    "import numpy as np\n\nimages = np.zeros((6, 3, 32, 32), np.uint8)\nlabels = np.arange(6) % 2\n"
)
DATA = {
    "images / 255": "returned images of float64 in shape (6, 3, 32, 32); it must return "
    "uint8 in shape",
    "images.transpose(0, 2, 3, 1)": "returned images of uint8 in shape (6, 32, 32, 3);",
    "images[:0]": "returned images of uint8 in shape (0, 3, 32, 32); it must return "
    "uint8 in shape (N, 3",
    "(images, labels)": "returned a tuple of 2; it must return images alone, or (train_images,",
    "(images, labels, images, labels, 2)": "returned classes of type int; it must return a list of",
    "(images, labels, images, labels, ['a'])": "returned 1 classes; it must return two or more.",
    "(images, labels, images, labels + 1, ['a', 'b'])": "returned test_labels from 1 to 2; it "
    "must return numbers of its 2 classes, from 0.",
    "(images, labels[:5], images, labels, ['a', 'b'])": "returned train_labels of int64 in "
    "shape (5,);",
    "(images, labels / 1, images, labels, ['a', 'b'])": "returned train_labels of float64 in shape",
    "(images, labels, images[:, 0], labels, ['a', 'b'])": "returned test_images of uint8 in "
    "shape (6,",
}


@pytest.mark.parametrize(("given", "sentence"), DATA.items(), ids=list(DATA))
def test_a_data_set_must_give_images_and_labels(
    given: str, sentence: str, write: Callable[[str], str]
) -> None:
    reference = write(f"{ARRAYS}\ndef f():\n    return {given}\n")
    spec = {"kind": reference, "options": {}, "train": None, "test": None}
    assert sentence in refused(lambda: building.build(spec, Path()))


def test_an_option_may_have_any_name(write: Callable[[str], str]) -> None:
    reference = write(f"{ARRAYS}\ndef f(reference, found, function):\n    return images[:found]\n")
    options = {"reference": 1, "found": 2, "function": 3}
    configuration.load({"ood": [{"kind": reference, "options": options}]})
    assert len(building.build({"kind": reference, "options": options}, Path()).test_labels) == 2


def test_images_alone_are_nothing_to_train_on(write: Callable[[str], str], tmp_path: Path) -> None:
    reference = write(f"{ARRAYS}\ndef f():\n    return images\n")
    made = building.build({"kind": reference, "options": {}}, Path())
    path = tmp_path / "images.safetensors"
    building.write(made, path, tmp_path / "info.json")
    assert len(Images.read(path, "test", torch.device("cpu")).labels) == 6
    with pytest.raises(DataError, match="has no images to train on"):
        Images.read(path, "train", torch.device("cpu"))


def test_a_data_set_may_be_taken_in_part(write: Callable[[str], str]) -> None:
    reference = write(
        f"{ARRAYS}\ndef f():\n    return images, labels, images, labels, ['a', 'b']\n"
    )
    spec = {"kind": reference, "options": {}, "train": 4, "test": None}
    made = building.build(spec, Path())
    assert (len(made.train_labels), len(made.test_labels), made.classes) == (4, 6, ("a", "b"))


MEASURED = {
    "p": "returned 5×3 of float64; it must return one number for each of 5 images.",
    "p.sum()": "returned one value of float64; it must return one number for each of 5 images.",
    "p[:, 0] * np.nan": "returned 5 of NaN or infinity; it must return one number for each "
    "of 5 images",
    "p[:, 0] * 0 + 1.5": "returned values from 1.5 to 1.5; it must return values from 0 to 1, "
    "or declare another range with @measure(low=…, high=…).",
    "(p[:, 0] > q[:, 1]) / 2": "for two models on an image, and ",
    "np.array(['a'] * 5)": "returned 5 of text;",
}


def answers(seed: int) -> Predictions:
    logits = np.random.default_rng(seed).normal(size=(5, 3))
    return Predictions(logits, np.arange(5) % 3)


@pytest.mark.parametrize(("given", "sentence"), MEASURED.items(), ids=list(MEASURED))
def test_a_measure_must_give_what_it_declares(
    given: str, sentence: str, write: Callable[[str], str]
) -> None:
    reference = write(f"import numpy as np\n\ndef f(p, q):\n    return {given}\n")
    mine = user_defined.load_symmetric(reference)
    assert sentence in refused(lambda: mine.values(answers(0), answers(1)))


def test_a_measure_that_is_called_computes_each_pair_once(
    write: Callable[[str], str],
) -> None:
    counting = "CALLS = []\n\ndef f(p, q):\n    CALLS.append(1)\n    return 0 * p[:, 0]\n"
    reference = write(counting)
    mine = user_defined.load(reference)
    for one, two in itertools.combinations([answers(k) for k in range(3)], 2):
        mine.values(one, two)
    calls = load(f"{file_of(reference)}:CALLS")
    assert len(calls) == 3  # symmetry was checked when the tables were made


def test_a_measure_may_be_an_entry_of_the_catalogue(
    write: Callable[[str, str], str],
) -> None:
    reference = write(
        "from dataclasses import replace\nfrom skeletons.measures.catalogue import MEASURES\n\n"
        "MINE = replace(MEASURES['cosine_prob_flat'], name='x', label='mine')\n",
        "MINE",
    )
    mine = user_defined.load(reference)
    assert isinstance(mine, Measure)
    assert (mine.name, mine.label, mine.per_image) == ("mine_MINE", "mine", False)
    row = behaviour.compare(answers(0), answers(1), {mine.name: mine})
    assert row["mine_MINE"] == row["cosine_prob_flat"]
    assert "mine_MINE_std" not in row
    found = catalogue.resolve(["agreement", reference, "agreement"])
    assert list(found) == ["agreement", "mine_MINE"]
    assert found["mine_MINE"] is mine
    assert "mine_MINE" not in catalogue.MEASURES


MASKS = {
    "3": "returned a value of type int; it must return a dict with a boolean mask for each layer",
    "{}": "returned no mask for a.weight;",
    "{**weights, 'b': weights['a.weight']}": "returned a mask for the unknown layer b;",
    "weights": "returned float32 of shape (2, 2) for a.weight, of shape (2, 2);",
    "{'a.weight': weights['a.weight'][0] > 0}": "returned bool of shape (2,) for a.weight, of "
    "shape",
}
WEIGHTS = {"a.weight": np.array([[0.0, 1.0], [-2.0, 3.0]], np.float32)}


@pytest.mark.parametrize(("given", "sentence"), MASKS.items(), ids=list(MASKS))
def test_a_criterion_must_give_masks(
    given: str, sentence: str, write: Callable[[str], str]
) -> None:
    reference = write(f"def f(weights, threshold):\n    return {given}\n")
    assert sentence in refused(lambda: pruning.user_masks(reference, WEIGHTS, 0.5))


def test_a_criterion_cannot_change_weights_or_keep_a_zero(write: Callable[[str], str]) -> None:
    body = "weights['a.weight'][:] = 5\n    return {n: w > t for n, w in weights.items()}"
    reference = write(f"def f(weights, t):\n    {body}\n")
    kept = pruning.user_masks(reference, WEIGHTS, 1.0)["a.weight"]
    assert kept.tolist() == [[False, True], [True, True]]
    assert WEIGHTS["a.weight"][1, 1] == 3.0
