import itertools
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from skeletons import model_ids
from skeletons.figures import captions, heatmaps, labels, models, stages, style
from skeletons.figures import pairs as pair_figures
from skeletons.findings.rules import Rules
from skeletons.measures import catalogue
from skeletons.model_ids import Model

COSINE = catalogue.MEASURES["cosine_prob"]
SVG = "{http://www.w3.org/2000/svg}"


def tables(seeds: int, variants: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All pairs of `seeds` bases with `variants` pruned models each, the last of them dead."""
    thresholds = np.arange(1, variants + 1) / 100
    chosen = model_ids.grid(
        map(Model, range(1, seeds + 1)), [1e-4], [2], thresholds, ["base", "pruned"]
    )
    random = np.random.default_rng(0)
    dead = variants / 100
    rows = [
        {
            "a": str(a),
            "b": str(b),
            "cosine_prob": np.nan if dead in (a.threshold, b.threshold) else random.uniform(0.3, 1),
        }
        for a, b in model_ids.pairs(chosen)
    ]
    scores = pd.DataFrame(
        {
            "model": str(m),
            "state": m.state,
            "seed": m.seed,
            "l1": m.l1,
            "epochs": m.epochs,
            "threshold": m.threshold,
            "accuracy": random.uniform(0.1, 0.8),
            "sparsity": (m.threshold or 0) * 5,
            "dead": bool(variants) and m.threshold == dead,
        }
        for m in chosen
    )
    numbers = ("l1", "epochs", "threshold")
    return pd.DataFrame(rows), scores.astype(dict.fromkeys(numbers, float))


def recipes(count: int) -> list[dict[str, Any]]:
    """Answers as in findings.json; in the last recipe, fewer than two seeds are alive."""
    known = {"effect": 0.1, "low": -0.05, "high": 0.2}

    def compared(against: str, k: int) -> dict[str, Any]:
        values = known if k < count - 1 else dict.fromkeys(known)
        return {
            "unit": "share",
            "limits": [0.5, 0.25],
            "comparisons": [{"against": against, **values}],
        }

    return [
        {
            "recipe": f"threshold {k}",
            "walk": {**compared("base", k), "answer": "converges" if k else "undecided"},
            "pruning": {**compared("regularized", k), "answer": "adds"},
        }
        for k in range(count)
    ]


def draw_all(seeds: int, variants: int) -> list[Figure]:
    pairs, scores = tables(seeds, variants)
    epochs = np.tile(np.arange(4), seeds)
    bases = [Model(seed).title for seed in range(1, seeds + 1)]
    walks = pd.DataFrame({"epoch": epochs, "base": np.repeat(bases, 4), "l1": 1e-4})
    for column in (
        "train_loss",
        "test_loss",
        "train_accuracy",
        "test_accuracy",
        "distance",
        "step",
    ):
        walks[column] = np.linspace(0, 1, len(walks))
    drawn = [Figure(figsize=(7, 7.6))]
    heatmaps.heatmap(pairs, scores, COSINE, drawn[0].add_subplot())
    for draw, count in (
        (lambda axes: pair_figures.similarity_to_base(pairs, COSINE, axes), 2),
        (lambda axes: pair_figures.cross_base(pairs, COSINE, axes[0]), 1),
        (lambda axes: models.accuracy_vs_sparsity(scores, 0.02, axes[0]), 1),
        (lambda axes: models.ridge_walk(walks, axes), 4),
        (lambda axes: pair_figures.rises(recipes(variants), 0.05, 0.025, axes[0]), 1),
        (lambda axes: pair_figures.kinds_of_pairs(pairs, COSINE, axes[0]), 1),
    ):
        figure, axes = style.new_figure(6, 4, 1, count)
        draw(axes)
        drawn.append(figure)
    return drawn


@pytest.mark.parametrize(("seeds", "variants"), [(2, 0), (1, 2), (2, 25), (4, 30)])
def test_every_figure_is_drawn_at_every_size(tmp_path: Path, seeds: int, variants: int) -> None:
    with style.styled():
        for number, figure in enumerate(draw_all(seeds, variants)):
            style.save_svg(figure, tmp_path / f"{number}.svg")
            root = ElementTree.parse(tmp_path / f"{number}.svg").getroot()
            assert root.tag == f"{SVG}svg"
            assert len(list(root.iter(f"{SVG}text"))) > 4


@pytest.mark.parametrize(
    ("thresholds", "densities", "axes"),
    [((0.1, 0.2), (), ["threshold"]), ((), (0.02, 0.5), ["density"]), ((0.1,), (0.5,), None)],
)
def test_similarities_are_drawn_against_thresholds_and_densities(
    thresholds: tuple[float, ...], densities: tuple[float, ...], axes: list[str] | None
) -> None:
    chosen = model_ids.grid(
        [Model(1), Model(2)], [1e-4], [1, 2], thresholds, ["base", "pruned"], densities
    )
    random = np.random.default_rng(0)
    rows = [
        {"a": str(a), "b": str(b), "cosine_prob": random.uniform(0.3, 1)}
        for a, b in model_ids.pairs(chosen)
    ]
    labels_of = {"threshold": "pruning threshold", "density": "density after pruning"}
    wanted = [labels_of[name] for name in axes or labels_of]
    both, base = Figure(), Figure()
    pair_figures.cross_base(pd.DataFrame(rows), COSINE, both.add_subplot())
    pair_figures.similarity_to_base(
        pd.DataFrame(rows), COSINE, list(base.subplots(1, 2, squeeze=False).flat)
    )
    for figure, ends in ((both, [f"{one} of both" for one in wanted]), (base, wanted)):
        shown = {ax.get_xlabel(): ax for ax in figure.axes if ax.axison}
        assert shown.keys() - {"epochs of regularisation"} == set(ends)
        for name in ends:
            lines = [line for line in shown[name].get_lines() if line.get_linestyle() != "None"]
            points = [tuple(line.get_xdata()) for line in lines]
            used = densities if name.startswith("density") else thresholds
            assert points.count(used) == 2  # a line per number of epochs


def test_forks_take_no_part_in_the_figure_of_different_bases() -> None:
    """A pruned child of seed 1 and the pruned model of seed 2 are no pair of two bases' models."""
    bases = [str(base) for base in (Model(1), Model(2), Model(3))]
    chosen = [f"{base}{walk}" for base in bases for walk in ("", "_l1=0.0001_ep=1_d=0.2")]
    forks = [f"seed=1_fork=0.9_order={k}_l1=0.0001_ep=1_d=0.2" for k in (1, 2)]
    pairs = [
        {"a": a, "b": b, "cosine_prob": 0.9 if {a, b} & set(forks) else 0.5}
        for a, b in itertools.combinations([*chosen, *forks], 2)
    ]
    figure = Figure()
    pair_figures.cross_base(pd.DataFrame(pairs), COSINE, figure.add_subplot())
    (ax,) = figure.axes
    drawn = [list(line.get_ydata()) for line in ax.get_lines() if list(line.get_xdata()) == [0.2]]
    assert drawn == 3 * [[0.5]]  # the mean, and both ends of the bar


def test_the_same_figure_is_the_same_bytes(tmp_path: Path) -> None:
    with style.styled():
        for name in ("one", "two"):
            for number, figure in enumerate(draw_all(2, 3)):
                style.save_svg(figure, tmp_path / f"{name}{number}.svg")
    for number in range(7):
        one, two = (tmp_path / f"{name}{number}.svg" for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()


def test_the_matrix_is_symmetric_and_does_not_depend_on_the_order_of_rows() -> None:
    pairs, _ = tables(2, 5)
    order = heatmaps.ordered([*pairs.a, *pairs.b])
    assert order[0] == "seed=1"
    assert order[6] == "seed=2"
    matrix = heatmaps.similarity_matrix(pairs, order, COSINE)
    shuffled = pairs.sample(frac=1, random_state=0)
    again = heatmaps.similarity_matrix(
        shuffled, heatmaps.ordered([*shuffled.b, *shuffled.a]), COSINE
    )
    np.testing.assert_array_equal(matrix, again)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert (np.diag(matrix) == 1).all()
    dead = order.index("seed=1_l1=0.0001_ep=2_t=0.05")
    assert np.isnan(np.delete(matrix[dead], dead)).all()


def test_a_dead_pair_has_no_colour_of_the_scale() -> None:
    pairs, scores = tables(2, 3)
    ax = Figure(figsize=(7, 7.6)).add_subplot()
    heatmaps.heatmap(pairs, scores, COSINE, ax)
    image = ax.images[0]
    shown: Any = image.get_array()
    assert np.isnan(np.asarray(shown)).sum() == 2 * 7 * 2 - 2
    assert mpl.colors.to_hex(image.get_cmap().get_bad()) == style.MISSING
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["grey: no value; see the table"]


def test_alike_has_the_same_colour_when_lower_is_more_alike() -> None:
    pairs, scores = tables(8, 0)
    pairs = pairs.assign(disagreement=1 - pairs.cosine_prob)
    shown = {}
    for measure in ("cosine_prob", "disagreement"):
        ax = Figure(figsize=(7, 7.6)).add_subplot()
        heatmaps.heatmap(pairs, scores, catalogue.MEASURES[measure], ax)
        image = ax.images[0]
        shown[measure] = image.to_rgba(np.asarray(image.get_array()))
    np.testing.assert_allclose(shown["cosine_prob"], shown["disagreement"], atol=0.01)


def test_models_that_are_all_alike_have_the_colour_of_what_is_alike() -> None:
    measure = catalogue.MEASURES["kappa"]
    assert heatmaps._colours(measure, np.ones(3), "viridis")[1](1.0) == 1.0
    distance = catalogue.MEASURES["jensen_shannon"]
    assert heatmaps._colours(distance, np.zeros(3), "viridis")[1](0.0) == 0.0


@pytest.mark.parametrize(("alpha", "looks", "level"), [(0.05, 1, "95%"), (0.05, 5, "99%")])
def test_the_axis_of_rises_states_the_level_of_the_intervals(
    alpha: float, looks: int, level: str
) -> None:
    _, axes = style.new_figure(6, 4)
    pair_figures.rises(recipes(2), 0.05, Rules(alpha=alpha, looks=looks).level, axes[0])
    assert f"with {level} interval" in axes[0].get_xlabel()


def test_every_measure_has_a_label() -> None:
    assert set(style.LABELS) == set(catalogue.MEASURES)


def test_every_rise_is_drawn_beside_its_recipe() -> None:
    _, axes = style.new_figure(6, 4)
    pair_figures.rises(recipes(3), 0.05, 0.025, axes[0])
    shown = [text.get_text() for text in axes[0].get_yticklabels()]
    assert shown == ["threshold 0: undecided", "threshold 1: converges", "threshold 2: converges"]
    drawn = {bars.get_label(): bars for bars in axes[0].containers}
    assert set(drawn) == {"beyond the bases", "beyond the models before pruning"}
    places = [bars.lines[0].get_xydata() for bars in drawn.values()]
    assert [len(points) for points in places] == [2, 2]  # a missing value is not drawn
    assert [round(y) for points in places for _, y in points] == [0, 1, 0, 1]
    limits = [line.get_label() for line in axes[0].lines if "limit" in str(line.get_label())]
    assert limits == ["limit, 0.5", "limit, 0.25"]


def test_recipes_of_another_unit_are_not_drawn_on_the_same_axis() -> None:
    _, axes = style.new_figure(6, 4)
    mixed = recipes(3)
    mixed[1]["walk"]["unit"] = "rise"
    pair_figures.rises(mixed, 0.05, 0.025, axes[0])
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [
        "threshold 0: undecided",
        "threshold 2: converges",
    ]
    assert axes[0].get_xlabel().startswith("share of the gap closed")


def test_every_pair_of_a_kind_is_a_point() -> None:
    pairs, _ = tables(4, 0)
    _, axes = style.new_figure(6, 4)
    pair_figures.kinds_of_pairs(pairs, COSINE, axes[0])
    points = axes[0].collections[0].get_offsets()
    np.testing.assert_array_equal(np.asarray(points)[:, 0], pairs.cosine_prob)
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["bases of different seeds (6)"]


def test_the_legend_of_walks_does_not_grow_with_their_number() -> None:
    for seeds, entries in ((2, 3 + 2), (8, 3 + 8), (30, 3)):  # λ, training and test; seeds
        figure, axes = style.new_figure(9, 6, 2, 2)
        epochs = np.tile(np.arange(3), seeds)
        bases = [Model(seed).title for seed in range(seeds)]
        walks = pd.DataFrame({"epoch": epochs, "base": np.repeat(bases, 3), "l1": 1e-4})
        names = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "distance", "step")
        models.ridge_walk(walks.assign(**dict.fromkeys(names, 0.5)), axes)
        legends = [legend for ax in axes if (legend := ax.get_legend())]
        assert [len(legend.get_texts()) for legend in legends] == [entries]
        figure.draw_without_rendering()
        box = legends[0].get_window_extent()
        assert box.y0 > 0
        assert not any(box.overlaps(ax.get_window_extent()) for ax in axes)


# --- labels of the heatmap ------------------------------------------------------------------------

ONE_WALK = {"lambdas": [3e-5], "epochs": [12]}
MANY_WALKS = {"lambdas": [1.25e-5, 1e-4], "epochs": [1, 12, 16]}


def grid(
    seeds: int, walks: dict[str, Any], thresholds: list[float], draws: list[int], **controls: Any
) -> list[str]:
    found = model_ids.grid(map(Model, range(1, seeds + 1)), thresholds=thresholds, **walks)
    found += model_ids.controls(found, controls.get("untrained", False), [1], draws)
    return heatmaps.ordered([str(model) for model in found])


@pytest.mark.parametrize(
    ("walks", "draws", "expected", "shared"),
    [
        (
            ONE_WALK,
            [1],
            ["base", "image order 1", "regularised", "pruned at 0.1", "at random like 0.1"],
            "λ 3e-05, 12 epochs",
        ),
        (
            {"lambdas": [3e-5], "epochs": [1, 4]},
            [1, 2],
            [
                *("base", "image order 1", "1 epoch, not pruned", "1 epoch, pruned at 0.1"),
                *("1 epoch, at random like 0.1, draw 1", "1 epoch, at random like 0.1, draw 2"),
                *("4 epochs, not pruned", "4 epochs, pruned at 0.1"),
                *("4 epochs, at random like 0.1, draw 1", "4 epochs, at random like 0.1, draw 2"),
            ],
            "λ 3e-05",
        ),
    ],
)
def test_labels_say_in_words_what_differs(
    walks: dict[str, Any], draws: list[int], expected: list[str], shared: str
) -> None:
    names = grid(2, walks, [0.1], draws)
    assert labels.recipes(names) == expected * 2  # the same for both bases
    assert labels.shared(names) == shared
    half = len(names) // 2
    assert labels.groups(names) == [
        labels.Group("seed 1", 0, half),
        labels.Group("seed 2", half, 2 * half),
    ]


def test_bases_alone_share_no_walk() -> None:
    assert labels.shared(["seed=1", "seed=2_untrained"]) == ""
    assert labels.recipes(["seed=1", "seed=2_untrained"]) == ["base", "before training"]


@pytest.mark.parametrize(("bases", "named"), [(2, "model"), (12, "base")])
def test_labels_that_would_be_too_small_give_way_to_the_bases(bases: int, named: str) -> None:
    names = [f"seed={k}{end}" for k in range(1, bases + 1) for end in ("", *CUTS)]
    pairs = pd.DataFrame(itertools.combinations(names, 2), columns=["a", "b"]).assign(cosine_prob=1)
    scores = pd.DataFrame({"model": names, "accuracy": 0.9, "sparsity": 0.0})
    with style.styled():
        figure = Figure(figsize=(9, 9))
        ax = figure.add_axes((0.15, 0.25, 0.6, 0.6))
        heatmaps.heatmap(pairs, scores, COSINE, ax)
    shown = [label.get_text() for label in ax.get_yticklabels()]
    wanted = ["base", *(f"pruned at 0.{k}" for k in range(1, 9))] * bases
    assert shown == (wanted if named == "model" else [f"seed {k + 1}" for k in range(bases)])
    assert all(label.get_fontsize() >= 6 for label in ax.get_yticklabels())


CUTS = [f"_l1=0.0001_ep=1_t=0.{k}" for k in range(1, 9)]


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(grid(1, ONE_WALK, [], []), id="few"),
        pytest.param(grid(6, ONE_WALK, [0.05, 0.2], [1], untrained=True), id="science"),
        pytest.param(grid(3, MANY_WALKS, [0.0125, 0.2], [1, 2], untrained=True), id="long labels"),
        pytest.param(grid(8, MANY_WALKS, [0.0125, 0.1, 0.2], []), id="many models"),
        pytest.param([f"seed={k}" for k in range(1, 41)], id="many bases"),
    ],
)
def test_nothing_in_the_heatmap_runs_into_anything(names: list[str], tmp_path: Path) -> None:
    """Labels, names of bases, colour scales with their names and numbers, title and legend."""
    pairs = pd.DataFrame(itertools.combinations(names, 2), columns=["a", "b"])
    pairs["cosine_prob"] = np.linspace(0.3, 0.9, len(pairs))
    pairs.loc[0, "cosine_prob"] = np.nan
    scores = pd.DataFrame({"model": names, "accuracy": 0.971, "sparsity": 0.0})
    scores["accuracy"] += np.linspace(0, 0.008, len(names))  # long numbers at the scale
    saved: list[Figure] = []
    with style.styled(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "save_svg", lambda figure, *rest: saved.append(figure))
        about = captions.drawn("heatmap", "digits", COSINE)
        stages.save_heatmap(pairs, scores, COSINE, "Title", tmp_path / "x", "viridis", about)
        figure = saved[0]
        figure.draw_without_rendering()
        unseen = {  # the numbers of a scale beyond its ends
            id(label)
            for ax in figure.findobj(mpl.axes.Axes)
            for tick in ax.xaxis.get_major_ticks()
            for label in (tick.label1, tick.label2)
            if not min(ax.get_xlim()) <= tick.get_loc() <= max(ax.get_xlim())
        }
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(mpl.text.Text)
            if text.get_text() and text.get_visible() and id(text) not in unseen
        ]
        images = figure.findobj(mpl.image.AxesImage)
        bars = [image.colorbar.ax for image in images if image.colorbar is not None]
        assert len(bars) == 3
        boxes += [("scale", ax.get_window_extent()) for ax in bars]
    assert len(boxes) > min(len(names), 40)  # of many models, only bases are named
    clashes = [
        (one, other)
        for (one, here), (other, there) in itertools.combinations(boxes, 2)
        if here.padded(-0.5).overlaps(there.padded(-0.5))
    ]
    assert clashes == []


def test_figures_of_pruned_models_say_that_there_are_none(tmp_path: Path) -> None:
    """An experiment that only compares models has no empty axes."""
    pairs, _ = tables(seeds=3, variants=0)
    shown = stages._Shown("digits", COSINE, tmp_path, None)
    stages._save_similarity(pairs, shown)
    found = {"by": {"digits": {COSINE.name: {"recipes": []}}}}
    stages._save_verdict(pairs, found, {"margin": 0.05, "alpha": 0.05}, shown)
    drawn = {path.name.split("_digits")[0]: path.read_text() for path in tmp_path.glob("*.svg")}
    assert set(drawn) == {"similarity_to_base", "cross_base", "rises", "kinds_of_pairs"}
    assert "Not available: No pruned models were compared." in drawn["similarity_to_base"]
    assert "Not available: No pruned models were compared." in drawn["cross_base"]
    assert "Not available: No pruned models of different bases" in drawn["rises"]
    assert "Not available" not in drawn["kinds_of_pairs"]
