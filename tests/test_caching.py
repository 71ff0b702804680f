"""Every row of the table in docs/caching.md: what a change reruns, and that nothing else reruns.

The real workflow runs on a tiny configuration; its jobs are compared with those that must run.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHAIN, GRID, ROOT, SHOWN, Workflow, artifacts_of, trained
from PIL import Image
from test_extensions import ROWS as OWN  # tested there
from test_library_networks import ROWS as PRETRAINED  # tested there
from test_trained_models import ROWS as NETWORKS  # tested there

Change = Callable[[dict[str, Any]], None]
Edit = Callable[[Path], None]

JUDGED = {"verdict": 1, **SHOWN}  # the final stages
SCORED = {"scores": 1, **JUDGED}  # after other models, or other scores
TOLD = {"findings": 1, "report": 1}  # after measures of masks and inspections
AGAIN = {"record": 1, "similarity": 1, **SCORED}  # another configuration and other models
ALL_PAIRS = 18 * 17 // 2
AFTER_PRUNING = {"predict": 3, "score": 1, "compare": 1, "similarity": 1, **SCORED}
CHAIN_PREDICTED = {"predict": 5, "score": 3, "compare": 1, "similarity": 1, **SCORED}
TRAINED = {"train_base": 1, "regularize": 1, "prune": 1, **CHAIN_PREDICTED}


def setting(section: str, **values: Any) -> Change:
    def change(config: dict[str, Any]) -> None:
        config[section] = {**config.get(section, {}), **values}

    return change


def top(**values: Any) -> Change:
    return lambda config: config.update(values)


def more(old: int, new: int) -> int:
    """The pairs that some models add."""
    return (new * (new - 1) - old * (old - 1)) // 2


def looking(**looks: Any) -> Change:
    return top(inspect={"variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.05}, **looks})


LOOKED_AT = copy.deepcopy(CHAIN)
LOOKED_AT["base"]["seeds"] = [1, 2]
looking(lines=True)(LOOKED_AT)
DIGITS, NOISE = {"kind": "digits"}, {"kind": "noise", "images": 40}
SETS = {**CHAIN, "ood": [DIGITS, NOISE]}
VARIANT = {"l1": 1e-4, "epochs": 1, "threshold": 0.05}
LOOKED = {**CHAIN, "inspect": {"variant": VARIANT, "epochs": 1, "images": 30, "expose": True}}
FORKS = {**CHAIN, "controls": {"orders": [], "forks": [0.5]}}
# What a control adds that is walked and pruned as a base is: of its three models, two are compared.
WALKED = {"regularize": 1, "prune": 1, "predict": 5, "score": 3, "compare": more(2, 4), **AGAIN}
ALONE = {"predict": 2, "score": 1, "compare": more(2, 3), **AGAIN}
# A look that aligns the units of two bases.
ALIGNED = {
    **CHAIN,
    "base": {**CHAIN["base"], "seeds": [1, 2]},
    "inspect": {
        "variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.05},
        "plane": True,
        "grid": 3,
        "points": 3,
        "images": 20,
    },
}
# A measure of features and one of masks, beside which another one is asked for.
MEASURED = {
    **CHAIN,
    "base": {**CHAIN["base"], "seeds": [1, 2]},
    "compare": {
        **CHAIN["compare"],
        "representations": ["linear_cka"],
        "weights": ["mask_overlap"],
        "permutations": 19,
    },
}
ALIGNED_AGAIN = {"plane": 1, "inspection_figures": 1, "record": 1, "report": 1}
RETRAINED = {**CHAIN, "prune": {"thresholds": [0.05], "retrain": 1}}
RETRAINS = {"retrain": 1, "predict": 2, "score": 1, "compare": 1, "similarity": 1}
CONFIGURATION: dict[str, tuple[dict[str, Any], Change, dict[str, int]]] = {
    "a seed is added": (
        GRID,
        setting("base", seeds=[1, 2, 3]),
        {
            "train_base": 1,
            "regularize": 4,
            "prune": 8,
            "predict": 13 + 9,
            "score": 13,
            "compare": more(18, 27),
            **AGAIN,
        },
    ),
    "a seed is removed": (GRID, setting("base", seeds=[2]), AGAIN),
    "seeds are reordered": (GRID, setting("base", seeds=[2, 1]), {}),
    "a λ is added": (
        GRID,
        setting("regularize", lambdas=[1e-4, 2e-4, 3e-4]),
        {
            "regularize": 4,
            "prune": 8,
            "predict": 12 + 8,
            "score": 12,
            "compare": more(18, 26),
            **AGAIN,
        },
    ),
    "a λ is removed": (GRID, setting("regularize", lambdas=[1e-4]), AGAIN),
    "λs are reordered": (GRID, setting("regularize", lambdas=[2e-4, 1e-4]), {}),
    "an epoch count is added": (
        GRID,
        setting("regularize", epochs=[1, 2, 3]),
        {
            "regularize": 4,
            "prune": 8,
            "predict": 12 + 8,
            "score": 12,
            "compare": more(18, 26),
            **AGAIN,
        },
    ),
    "an epoch count is removed": (GRID, setting("regularize", epochs=[2]), AGAIN),
    "epoch counts are reordered": (GRID, setting("regularize", epochs=[2, 1]), {}),
    "a threshold is added": (
        GRID,
        setting("prune", thresholds=[0.05, 0.07, 0.1]),
        {"prune": 8, "predict": 2 * 8, "score": 8, "compare": more(18, 26), **AGAIN},
    ),
    "a density is added": (
        GRID,
        setting("prune", thresholds=[0.05, 0.1], densities=[0.3]),
        {
            "rank": 8,
            "prune_to_density": 8,
            "predict": 2 * 8,
            "score": 8,
            "compare": more(18, 26),
            **AGAIN,
        },
    ),
    "retraining is asked for": (
        CHAIN,
        setting("prune", retrain=1),
        {"cut": 1, **RETRAINS, "record": 1, **SCORED},
    ),
    "the epochs or the rate of retraining change": (
        RETRAINED,
        setting("prune", retrain=2, retrain_learning_rate=0.01),
        {**RETRAINS, "record": 1, **SCORED},
    ),
    "a density is added to models that are retrained": (
        RETRAINED,
        setting("prune", densities=[0.3]),
        {"rank": 1, "cut_to_density": 1, **RETRAINS, "compare": 2, "record": 1, **SCORED},
    ),
    "a threshold is removed": (GRID, setting("prune", thresholds=[0.1]), AGAIN),
    "thresholds are reordered": (GRID, setting("prune", thresholds=[0.1, 0.05]), {}),
    "an OOD set is added": (
        SETS,
        top(ood=[DIGITS, NOISE, {"kind": "noise", "images": 40, "seed": 1}]),
        {
            "dataset": 1,
            "predict": 2,
            "compare": 1,
            "similarity": 1,
            "record": 1,
            **JUDGED,
        },
    ),
    "an OOD set is removed": (SETS, top(ood=[DIGITS]), {"record": 1, **JUDGED}),
    "OOD sets are reordered": (SETS, top(ood=[NOISE, DIGITS]), {}),
    "fewer OOD images are compared": (
        GRID,
        setting("compare", ood_images=30),
        {"predict": 18, "compare": ALL_PAIRS, "similarity": 1, "record": 1, **JUDGED},
    ),
    "a number is written differently": (
        GRID,
        setting("regularize", lambdas=["1.0E-04", "0.0002"]),
        {},
    ),
    "a setting of base training changes": (
        CHAIN,
        setting("base", learning_rate=0.2),
        {**TRAINED, "record": 1},
    ),
    "the batch size of base training changes": (
        CHAIN,
        setting("base", batch_size=25),
        {**TRAINED, "record": 1},
    ),
    "the network's width changes": (
        CHAIN,
        top(network={"name": "cnn", "width": 3}),
        {**TRAINED, "record": 1},
    ),
    "the size of images changes": (
        CHAIN,
        top(images={"size": 40}),
        {"dataset": 2, **TRAINED, "record": 1},
    ),
    "the usual size of images is written down": (
        CHAIN,
        top(images={"size": 32}),
        {"record": 1, "report": 1},
    ),
    "the number of channels changes": (
        CHAIN,
        setting("network", channels=1),
        {"dataset": 2, **TRAINED, "record": 1},
    ),
    "a corruption is added as an OOD set": (
        CHAIN,
        top(ood=[DIGITS, {"kind": "corrupted", "corruption": "contrast"}]),
        {"dataset": 1, "predict": 2, "compare": 1, "similarity": 1, "record": 1, **JUDGED},
    ),
    "a setting of regularisation changes": (
        CHAIN,
        setting("regularize", learning_rate=0.02),
        {
            "regularize": 1,
            "prune": 1,
            "predict": 3,
            "score": 2,
            "compare": 1,
            "similarity": 1,
            "record": 1,
            **SCORED,
        },
    ),
    "whole units are pruned instead of weights": (
        CHAIN,
        setting("regularize", groups="units"),
        {
            "regularize": 1,
            "units": 1,
            "prune": 1,
            "predict": 3,
            "score": 2,
            "compare": 1,
            "similarity": 1,
            "record": 1,
            **SCORED,
        },
    ),
    "the criterion changes": (
        CHAIN,
        setting("prune", criterion="taylor"),
        {
            "rank": 1,
            "prune": 1,
            "predict": 2,
            "score": 1,
            "compare": 1,
            "similarity": 1,
            "record": 1,
            **SCORED,
        },
    ),
    "the scale of thresholds changes": (
        CHAIN,
        setting("prune", scale="layer_rms"),
        {
            "prune": 1,
            "predict": 2,
            "score": 1,
            "compare": 1,
            "similarity": 1,
            "record": 1,
            **SCORED,
        },
    ),
    "the target of optimality changes": (
        CHAIN,
        setting("base", target={"train_loss": 0.2, "train_accuracy": 0.9}),
        {"score": 3, "record": 1, **SCORED},
    ),
    "a walk without a penalty is asked for": (
        CHAIN,
        setting("controls", plain=True),
        {"regularize": 1, **ALONE},
    ),
    "forks are asked for": (CHAIN, setting("controls", forks=[0.5]), {"fork": 1, **WALKED}),
    "an earlier fork is added": (
        FORKS,
        setting("controls", forks=[0.2, 0.5]),
        {"fork": 1, **ALONE, "compare": more(4, 5)},
    ),
    "permuted labels are asked for": (
        CHAIN,
        setting("controls", labels=True),
        {"relabel": 1, **WALKED},
    ),
    "planted networks are asked for": (
        CHAIN,
        setting("controls", planted=1),
        {"small": 1, "plant": 1, **WALKED},
    ),
    "stopped bases are asked for": (
        CHAIN,
        setting("controls", stopped=True),
        {"stop": 1, **ALONE},
    ),
    "a measure of features is asked for": (
        CHAIN,
        setting("compare", representations=["linear_cka"]),
        {
            "features": 2,
            "compare_features": 1,
            "representations": 1,
            "heatmap_of_features": 1,
            "record": 1,
            "report": 1,
        },
    ),
    "a map of layers is asked for": (
        CHAIN,
        top(
            inspect={
                "variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.05},
                "layers": ["mutual_knn"],
            }
        ),
        {
            "layers": 2,
            "compare_layers": 1,
            "inspection_figures": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "units are aligned by activations": (
        ALIGNED,
        top(alignment={"match": "activations"}),
        {"activations": 2, "align_activations": 1, **ALIGNED_AGAIN},
    ),
    "all units are aligned together": (
        ALIGNED,
        top(alignment={"order": "all"}),
        {"align_together": 1, "align_through_frame": 1, **ALIGNED_AGAIN},
    ),
    "lines are asked for": (
        ALIGNED,
        setting("inspect", lines=True),
        {
            "activations": 2,
            "align_activations": 1,
            "line": 4,
            "inspection_figures": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "a bridge is asked for": (
        LOOKED_AT,
        looking(lines=True, bridge=True),
        {
            "bridge": 1,
            "original_width": 1,
            "judge_bridge": 1,
            "inspection_figures": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "the sparsest skeleton is asked for": (
        RETRAINED,
        top(inspect={"variant": {"l1": 1e-4, "epochs": 1, "threshold": 0.05}, "sparsest": True}),
        {"rank": 1, "sparsest": 1, "inspection_figures": 1, "record": 1, **TOLD},
    ),
    "a transfer of masks is asked for": (
        LOOKED_AT,
        looking(lines=True, transfer=True),
        {
            "transfer": 3,
            "inspection_figures": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "an inspection is added": (
        LOOKED,
        setting("inspect", takeover=True),
        {"takeover": 1, "inspection_figures": 1, "record": 1, **TOLD},
    ),
    "a measure of masks is asked for": (
        GRID,
        setting("compare", weights=["mask_overlap"]),
        {
            "compare_masks": 16 * 15 // 2,
            "weights": 1,
            "heatmap_of_masks": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "another measure of masks is asked for": (
        MEASURED,
        setting("compare", weights=["mask_overlap", "mask_overlap_aligned"]),
        {
            "symmetries": 1,
            "align": 1,
            "compare_masks": 1,
            "weights": 1,
            "heatmap_of_masks": 1,
            "record": 1,
            **TOLD,
        },
    ),
    "another measure of features is asked for": (
        MEASURED,
        setting("compare", representations=["linear_cka", "mutual_knn"]),
        {
            "compare_features": 6,
            "representations": 1,
            "heatmap_of_features": 1,
            "record": 1,
            "report": 1,
        },
    ),
    "another measure of behaviour is drawn": (
        MEASURED,
        setting("figures", measures=["kappa", "agreement"]),
        {"record": 1, **JUDGED},
    ),
    "the figures' colours change": (
        CHAIN,
        setting("figures", colormap="magma"),
        {"record": 1, "figures": 1, "report": 1},
    ),
    "the folder of the run cache changes": (
        CHAIN,
        top(cache="other/cache"),
        {"record": 1, "report": 1},
    ),
    "the number of jobs on a GPU is limited": (
        CHAIN,
        setting("compute", jobs_per_gpu=1),
        {"record": 1, "report": 1},
    ),
}


def edit(module: str, old: str, new: str) -> Edit:
    def apply(folder: Path) -> None:
        path = folder / "src/skeletons" / f"{module}.py"
        text = path.read_text()
        assert old in text, f"{module}.py has no {old!r}"
        path.write_text(text.replace(old, new, 1))

    return apply


ANOTHER = ("from __future__ import annotations\n", "from __future__ import annotations\n\nAN = 1\n")
CODE: dict[str, tuple[Edit, dict[str, int]]] = {
    "a comment is added": (
        edit("training/epochs", "import torch\n", "import torch  # the engine\n"),
        {},
    ),
    "a docstring is changed": (edit("measures/behaviour", '"""', '"""Once more: '), {}),
    "code is reformatted": (
        edit("pruning", "from __future__", "\n\n\nfrom __future__"),
        {},
    ),
    "an error is reworded": (
        edit("store/seals", 'raise unfit(path, "', 'raise unfit(path, "indeed '),
        {},
    ),
    "a line of the drawing of images changes": (
        edit("data/shapes", *ANOTHER),
        {"dataset": 2, **TRAINED},
    ),
    "a line of the networks changes": (edit("networks/architectures", *ANOTHER), TRAINED),
    "a line of training changes": (
        edit("training/epochs", "MEASURED_IMAGES = 2_000", "MEASURED_IMAGES = 1_999"),
        TRAINED,
    ),
    "a line of the walks changes": (
        edit("training/walk", *ANOTHER),
        {"regularize": 1, "prune": 1, "predict": 3, "score": 2, "compare": 1, "similarity": 1}
        | SCORED,
    ),
    "a line of pruning changes": (
        edit("pruning", "\ndef prune_stage(", "\nANOTHER = 1\n\n\ndef prune_stage("),
        {"prune": 1, "predict": 2, "score": 1, "compare": 1, "similarity": 1, **SCORED},
    ),
    "a line of similarity changes": (
        edit("measures/behaviour", *ANOTHER),
        {"compare": 1, "similarity": 1, **JUDGED},
    ),
    "a line of the other measures changes": (edit("measures/masks", *ANOTHER), JUDGED),
    "a line of the scores changes": (edit("findings/scores", *ANOTHER), {"score": 3, **SCORED}),
    "a line of the answers changes": (edit("findings/answer", *ANOTHER), JUDGED),
    "a line of the findings changes": (edit("findings/gather", *ANOTHER), TOLD),
    "a line of the inspections or of alignment changes": (
        lambda folder: [
            edit(module, *ANOTHER)(folder)
            for module in ("inspection/exposure", "inspection/curve", "alignment/matching")
        ],
        {},
    ),
    "a line of the figures' code changes": (
        edit("figures/stages", *ANOTHER),
        {"figures": 1, "report": 1},
    ),
    "a line of the report's code changes": (edit("report/gather", *ANOTHER), {"report": 1}),
    "a line of the report's templates changes": (
        lambda folder: append(folder / "src/skeletons/report/page/templates/report.css", "i {}\n"),
        {"report": 1},
    ),
    "a line of the workflow's code changes": (edit("workflow/jobs", *ANOTHER), {}),
}


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text() + text)


def delete(path: str) -> Edit:
    return lambda folder: (folder / "results/grid" / path).unlink()


def touch(path: str) -> Edit:
    return lambda folder: (folder / "results/grid" / path).touch()


FILES: dict[str, tuple[Edit, dict[str, int]]] = {
    "weights are deleted in the middle of the chain": (
        delete("models/seed=1_l1=0.0001_ep=1/weights.safetensors"),
        {"regularize": 1, "prune": 1, "predict": 3, "score": 2, "compare": 1, "similarity": 1}
        | SCORED,
    ),
    "a history is deleted": (
        delete("models/seed=1/history.parquet"),
        TRAINED,
    ),
    "a score is deleted": (delete("scores/seed=1.json"), {"score": 1, **SCORED}),
    "a pair is deleted": (
        delete("similarity/digits/seed=1--seed=1_l1=0.0001_ep=1_t=0.05.parquet"),
        {"compare": 1, "similarity": 1, **JUDGED},
    ),
    "an artifact is touched but unchanged": (touch("models/seed=1/weights.safetensors"), {}),
}


def image(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


# Images in a user's folders, which are compared on too.
PHOTOS = {
    **CHAIN,
    "dataset": {"kind": "imagefolder", "path": "photos"},
    "ood": [{"kind": "imagefolder", "path": "others"}],
}
IMAGES: dict[str, tuple[Edit, dict[str, int]]] = {
    "an image to train on is replaced": (
        lambda folder: image(90, folder / "photos/train/a/1.png"),
        {"dataset": 1, **TRAINED},
    ),
    "an image to train on is added, at any depth": (
        lambda folder: image(91, folder / "photos/train/a/more/of/them/9.png"),
        {"dataset": 1, **TRAINED},
    ),
    "an image of an OOD folder is replaced, added or removed": (
        lambda folder: (folder / "others/deep/er/1.png").unlink(),
        {"dataset": 1, "predict": 2, "compare": 1, "similarity": 1, **JUDGED},
    ),
    "a file that is not an image is added to a folder": (
        lambda folder: (folder / "photos/train/a/notes.txt").write_text("a"),
        {},
    ),
    "a folder of images is moved with its times": (
        lambda folder: (folder / "photos").rename(folder / "elsewhere"),
        {"record": 1, "report": 1},
    ),
}
BY_HAND = "a result is edited by hand"  # its test is in test_reliability.py
ROWS = [*CONFIGURATION, *CODE, *OWN, *FILES, *IMAGES, *PRETRAINED, *NETWORKS, BY_HAND]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("grid"))
    assert made.jobs(GRID)["compare"] == ALL_PAIRS
    return made


def holds(workflow: Workflow, config: dict[str, Any], expected: dict[str, int]) -> None:
    """The expected jobs run and succeed; then there is nothing left to do."""
    assert workflow.jobs(config) == Counter(expected)
    if expected:
        assert workflow.planned(config) == {}


@pytest.fixture(scope="module")
def sets(chain: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = chain.copy(tmp_path_factory.mktemp("sets") / "w")
    assert made.jobs(SETS)["predict"] == 2
    return made


@pytest.fixture(scope="module")
def looked(chain: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = chain.copy(tmp_path_factory.mktemp("looked") / "w")
    assert made.jobs(LOOKED)["expose"] == 1
    return made


@pytest.fixture(scope="module")
def forks(chain: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = chain.copy(tmp_path_factory.mktemp("forks") / "w")
    assert made.jobs(FORKS)["fork"] == 1
    return made


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("aligned"))
    assert made.jobs(ALIGNED)["align"] == 1
    return made


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("measured"))
    assert made.jobs(MEASURED)["compare_features"] == 6
    return made


@pytest.fixture(scope="module")
def retrained(chain: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = chain.copy(tmp_path_factory.mktemp("retrained") / "w")
    assert made.jobs(RETRAINED)["retrain"] == 1
    return made


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("looked_at"))
    assert made.jobs(LOOKED_AT)["line"] == 4  # two bases, each with its variant, and the variants
    return made


@pytest.fixture
def start(row: str, request: pytest.FixtureRequest) -> Workflow:
    """The workflow in which the starting point of a row has finished."""
    names = {
        id(GRID): "grid",
        id(CHAIN): "chain",
        id(SETS): "sets",
        id(FORKS): "forks",
        id(ALIGNED): "aligned",
        id(MEASURED): "measured",
        id(RETRAINED): "retrained",
        id(LOOKED_AT): "looked_at",
        id(LOOKED): "looked",
    }
    ended: Workflow = request.getfixturevalue(names[id(CONFIGURATION[row][0])])
    return ended


@pytest.mark.parametrize("row", CONFIGURATION)
def test_a_changed_configuration(row: str, start: Workflow, tmp_path: Path) -> None:
    before, change, expected = CONFIGURATION[row]
    config = copy.deepcopy(before)
    change(config)
    workflow = start.copy(tmp_path / "w")
    if sum(expected.values()) > 100:  # a large change is only planned; small ones run
        assert workflow.planned(config) == Counter(expected)
    else:
        holds(workflow, config, expected)


@pytest.mark.parametrize("row", CODE)
def test_changed_code(row: str, chain: Workflow, tmp_path: Path) -> None:
    change, expected = CODE[row]
    workflow = chain.copy(tmp_path / "w")
    change(workflow.folder)
    holds(workflow, CHAIN, expected)


@pytest.mark.parametrize("row", FILES)
def test_files_deleted_and_touched(row: str, chain: Workflow, tmp_path: Path) -> None:
    change, expected = FILES[row]
    workflow = chain.copy(tmp_path / "w")
    change(workflow.folder)
    holds(workflow, CHAIN, expected)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    made = Workflow(tmp_path_factory.mktemp("photos"))
    for k, split in enumerate(("train", "test")):
        for j in range(24):
            image(100 * k + j, made / f"photos/{split}/{'ab'[j % 2]}/{j}.png")
    for j in range(12):
        image(200 + j, made / f"others/deep/er/{j}.png")
    assert made.jobs(PHOTOS)["dataset"] == 2
    return made


@pytest.mark.parametrize("row", IMAGES)
def test_changed_images(row: str, photos: Workflow, tmp_path: Path) -> None:
    change, expected = IMAGES[row]
    workflow = photos.copy(tmp_path / "w")
    change(workflow.folder)
    moved = (workflow / "elsewhere").exists()
    path = "elsewhere" if moved else "photos"
    name = {"name": "photos"} if moved else {}
    config = {**PHOTOS, "dataset": {**PHOTOS["dataset"], "path": path, **name}}
    assert workflow.planned(config) == Counter(expected)


def test_the_documents_have_every_row() -> None:
    text = (ROOT / "docs/caching.md").read_text()
    rows = re.findall(r"^\| ([^|]+?) +\|", text.split("<!-- rows -->")[1], re.M)
    assert rows[1:] == ROWS


def test_changed_and_changed_back_trains_nothing(chain: Workflow, tmp_path: Path) -> None:
    workflow = chain.copy(tmp_path / "w")
    first = artifacts_of(workflow.folder)
    changed = {**CHAIN, "base": {**CHAIN["base"], "learning_rate": 0.2}}
    assert workflow.jobs(changed)["train_base"] == 1
    assert len(trained(workflow)) == 2
    assert artifacts_of(workflow.folder) != first
    assert workflow.jobs(CHAIN)["train_base"] == 1  # a job that uses the run cache …
    assert trained(workflow) == set()  # … and trains nothing
    assert artifacts_of(workflow.folder) == first


def test_two_experiments_share_what_they_have_in_common(chain: Workflow, tmp_path: Path) -> None:
    workflow = chain.copy(tmp_path / "w")
    other = {
        **CHAIN,
        "experiment": "other",
        "base": {**CHAIN["base"], "seeds": [1, 2]},
        "prune": {"thresholds": [0.1]},
    }
    done = workflow.run(other)
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"^✓ train_base: 2 jobs done in .*, 1 of them from the run cache", done.stdout, re.M
    )
    assert {name for name in trained(workflow) if "seed=1" in name} == {
        "train_base/seed=1",  # in the log of the first experiment
        "regularize/seed=1_l1=0.0001_ep=1",
    }
    for name in ("seed=1", "seed=1_l1=0.0001_ep=1"):
        log = next((workflow / "logs/other").rglob(f"*/{name}.log"))
        assert "Taken from the run cache" in log.read_text()
        weights = f"models/{name}/weights.safetensors"
        one, two = (workflow / "results" / e / weights for e in ("grid", "other"))
        assert one.read_bytes() == two.read_bytes()


def test_without_a_cache_it_trains_again(chain: Workflow, tmp_path: Path) -> None:
    workflow = chain.copy(tmp_path / "w")
    (workflow / "results/grid/models/seed=1/weights.safetensors").unlink()
    workflow.jobs({**CHAIN, "cache": None}, "--until", "train_base")
    assert "train_base/seed=1" in trained(workflow)
