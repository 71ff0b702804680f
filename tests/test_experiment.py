"""An experiment from Python: reading, computing, drawing, and errors."""

import inspect
import subprocess
import sys
from pathlib import Path

import drawn_experiment
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Workflow
from matplotlib.figure import Figure

from skeletons import Experiment, SkeletonsError, plots
from skeletons.figures import heatmaps, style
from skeletons.measures.catalogue import MEASURES
from skeletons.store import artifacts

PRUNED = "seed=1_l1=0.0001_ep=1_t=0.2"
OTHER = "seed=2_l1=0.0001_ep=1_t=0.2"
TASK = "shapes_train=200_test=100"


@pytest.fixture(scope="module")
def experiment(science: Workflow) -> Experiment:
    return Experiment(science / "results/science")


def noise(count: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, skeletons; print([m for m in ('torch', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_face_is_small_and_all_of_it_is_there() -> None:
    import skeletons

    assert {"Experiment", "MEASURES", "SkeletonsError"} <= set(dir(skeletons))
    assert skeletons.MEASURES is MEASURES
    with pytest.raises(AttributeError, match="no attribute 'Experimnt'"):
        skeletons.Experimnt  # noqa: B018


def test_models_are_chosen_by_state(experiment: Experiment) -> None:
    assert len(experiment.models()) == 12
    assert list(experiment.models("base").model) == ["seed=1", "seed=2"]
    assert set(experiment.models("pruned", "random").state) == {"pruned", "random"}


def test_a_loaded_network_answers_what_was_saved(experiment: Experiment) -> None:
    saved = experiment.predictions(PRUNED, "digits")
    network = experiment.load(PRUNED)
    assert not network.training
    with torch.no_grad():
        logits = network(torch.from_numpy(experiment.images("digits")))
    np.testing.assert_allclose(logits.numpy(), saved.logits, rtol=1e-4, atol=1e-4)
    weights = dict(network.named_parameters())
    assert any((weights[name] == 0).any() for name in weights if name.endswith("weight"))


def test_every_pair_and_measure_has_its_row(experiment: Experiment) -> None:
    table = experiment.similarity("digits")
    assert not table.duplicated(["a", "b", "measure"]).any()
    wide = experiment.pairs("digits")
    cosine = table[table.measure == "cosine_prob"]
    assert cosine.value.tolist() == pytest.approx(wide.cosine_prob.tolist(), nan_ok=True)
    assert {"linear_cka", "mask_overlap_aligned", "agreement"} <= set(table.measure)
    assert set(table[table.value.isna()].reason) & {""} == set()
    assert {"seed_a", "threshold_b", "state_b"} <= set(table.columns)


NOT_REQUESTED = {"linear_cka_debiased", "procrustes", "mutual_knn"}


@pytest.mark.parametrize("measure", sorted({*MEASURES} - NOT_REQUESTED))
def test_a_measure_computed_now_is_the_one_in_the_table(
    experiment: Experiment, measure: str
) -> None:
    on = TASK if MEASURES[measure].labelled else "digits"
    table = experiment.similarity(on).set_index(["a", "b", "measure"]).value
    found = experiment.measure(measure, PRUNED, OTHER, on)
    assert found == pytest.approx(table[PRUNED, OTHER, measure], rel=1e-4, nan_ok=True)


def test_measures_of_errors_are_of_images_with_the_classes_of_the_task(
    experiment: Experiment,
) -> None:
    labelled = {name for name, measure in MEASURES.items() if measure.labelled}
    assert labelled <= set(experiment.similarity(TASK).measure)
    assert not labelled & set(experiment.similarity("digits").measure)
    assert np.isfinite(experiment.measure("error_consistency", "seed=1", "seed=2", TASK))
    for on, named in (("digits", "digits"), (noise(), "images without labels")):
        sentence = f"error_consistency needs labels that are classes of the task, but {named} was"
        with pytest.raises(SkeletonsError, match=sentence):
            experiment.measure("error_consistency", "seed=1", "seed=2", on)


@pytest.mark.parametrize("measure", [name for name in MEASURES if MEASURES[name].reflexive])
def test_every_measure_of_a_model_with_itself_means_alike(
    experiment: Experiment, measure: str
) -> None:
    model = "seed=1_l1=0.0001_ep=1_t=0.2_random=1"
    on = TASK if MEASURES[measure].labelled else noise()
    found = experiment.measure(measure, model, model, on)
    assert found == pytest.approx(MEASURES[measure].itself, abs=1e-5)


def test_new_images_give_new_values(experiment: Experiment) -> None:
    by = "cosine_logit"
    values = {
        experiment.measure(by, "seed=1", "seed=2", on) for on in ("digits", noise(), noise(20))
    }
    assert len(values) == 3


def test_a_walk_is_that_of_the_regularised_model(experiment: Experiment) -> None:
    walk = experiment.walk(PRUNED)
    pd.testing.assert_frame_equal(walk, experiment.walk("seed=1_l1=0.0001_ep=1"))
    assert walk.distance.iloc[0] == 0
    assert len(experiment.history("seed=1")) == 2
    assert experiment.findings["verdict"]["answer"]


def test_masks_are_what_the_file_holds(experiment: Experiment) -> None:
    weights = experiment.path / "models" / PRUNED / "weights.safetensors"
    tensors = artifacts.read_tensors(weights)
    for name, parameter in experiment.load(PRUNED).named_parameters():
        np.testing.assert_array_equal(parameter.detach().numpy() == 0, tensors[name] == 0)


# --- figures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", plots.PLOTS)
def test_every_figure_is_drawn_beside_others(
    experiment: Experiment, name: str, tmp_path: Path
) -> None:
    takes = inspect.signature(plots.PLOTS[name]).parameters
    options = {"dataset": "digits"} if "dataset" in takes else {}
    with style.styled():
        figure = Figure(figsize=(16, 6), layout="constrained")
        left, right = figure.subplots(1, 2)
        assert experiment.plot(name, right, **options) is experiment
        style.save_svg(figure, tmp_path / "figure.svg")
    drawn = [ax for ax in figure.axes if ax is not left and ax.has_data()]
    assert drawn
    assert not left.has_data()
    assert not figure.legends
    box = right.get_subplotspec().get_position(figure)
    assert all(ax.get_position().x0 > box.x0 - 0.1 for ax in drawn)


def test_every_figure_of_the_report_can_be_drawn(experiment: Experiment) -> None:
    files = [path.stem for path in (experiment.path / "figures").glob("*.svg")]
    assert len(files) > 20
    assert all(any(stem.startswith(name) for name in plots.PLOTS) for stem in files)


@pytest.mark.parametrize("measure", ["linear_cka", "mask_overlap_aligned", "disagreement"])
def test_a_heatmap_is_of_any_measure_of_all_pairs(experiment: Experiment, measure: str) -> None:
    ax = Figure(figsize=(8, 8)).add_subplot()
    experiment.plot("heatmap", ax, dataset="digits", measure=measure, colormap="mako")
    shown = np.asarray(ax.images[0].get_array())
    count = 4 if measure.startswith("mask") else 12  # of models with a mask; of all models
    assert shown.shape == (count, count)


def test_a_figure_is_by_the_experiments_first_measure_in_its_colours(tmp_path: Path) -> None:
    files = drawn_experiment.write(tmp_path, measures=["agreement"], colormap="mako")
    ax = Figure(figsize=(8, 8)).add_subplot()
    drawn = Experiment(Path(files["scores"]).parent).plot("heatmap", ax)
    assert drawn.first_measure == "agreement"
    image = ax.images[0]
    assert image.get_cmap().name == "mako"
    pairs = drawn.pairs()
    names = heatmaps.ordered([*pairs.a, *pairs.b])
    shown = np.ma.filled(image.get_array(), np.nan)
    expected = heatmaps.similarity_matrix(pairs, names, MEASURES["agreement"])
    np.testing.assert_allclose(shown, expected)


# --- errors -----------------------------------------------------------------------------------


def test_what_is_not_there_is_named_with_what_is_nearest(experiment: Experiment) -> None:
    ax = Figure().add_subplot()
    for call, sentence in (
        (lambda: experiment.load("seed=1_l1=0.0001_ep=1_t=0.3"), f"there are: {PRUNED}, "),
        (lambda: experiment.models("prnued"), "no state 'prnued' here; there are: pruned, "),
        (lambda: experiment.measure("cosine", "seed=1", "seed=2"), "there are: cosine_"),
        (lambda: experiment.predictions("seed=1", "digit"), "there are: digits, "),
        (lambda: experiment.similarity(), "Name the data set that pairs were compared on; "),
        (
            lambda: experiment.walk("seed=1"),
            "seed=1: a model of state base has no walk.parquet; seed=1_",
        ),
        (lambda: experiment.predictions("seed=1", noise()[0]), "uint8 3×32×32; allowed: uint8 N×"),
        (lambda: experiment.plot("heat", ax), "no figure 'heat' here; there are: heatmap, "),
        (
            lambda: experiment.plot("probe", ax, model="x"),
            "no results of 'x' here, but of: ",
        ),
        (
            lambda: experiment.plot("heatmap", ax, dataset="digits", measure="cka"),
            "not compared by 'cka' here, but by: cosine_prob",
        ),
        (
            lambda: experiment.plot("rises", ax, dataset="digits", measure="cka"),
            "no verdict by 'cka' here; there is one by: kappa",
        ),
    ):
        with pytest.raises(SkeletonsError) as refused:
            call()
        assert sentence in str(refused.value)


def test_a_folder_without_an_experiment_is_refused(science: Workflow, tmp_path: Path) -> None:
    with pytest.raises(SkeletonsError, match="beside it, there is: science"):
        Experiment(science / "results/scienec")
    with pytest.raises(SkeletonsError, match=r"it has no scores\.parquet"):
        Experiment(tmp_path)
    with pytest.raises(SkeletonsError, match="beside it, there is none"):
        Experiment(tmp_path / "nowhere/at/all")


def test_a_look_inside_that_was_off_says_how_it_is_made(finished: Workflow) -> None:
    with pytest.raises(SkeletonsError, match=r"inspect\.plane in its configuration makes it"):
        Experiment(finished / "results/tiny").plot("plane", Figure().add_subplot())


def test_figures_leave_out_the_inspections_of_an_earlier_variant() -> None:
    """They stay in the folder when `inspect.variant` changes."""
    variant = {"l1": 1e-4, "epochs": 1, "threshold": 0.2}
    own, earlier = "seed=1_l1=0.0001_ep=1_t=0.2", "seed=1_l1=0.0001_ep=1_t=0.3"
    for name, kept in (
        (f"exposed/{own}/exposed.json", True),
        (f"exposed/{earlier}/exposed.json", False),
        (f"lines/seed=1--{own}.parquet", True),
        (f"lines/seed=1--{earlier}.parquet", False),
        ("lines/seed=1--seed=2.parquet", True),
        ("probe/seed=1_l1=0.001.json", True),
        ("transfer/seed=2_mask=seed=1.json", True),
        ("plane/plane.parquet", True),
        ("sparsest/seed=1.json", True),
    ):
        assert plots._is_of(Path(name), variant) == kept, name
