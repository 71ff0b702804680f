from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from skeletons.figures import ridge, style
from skeletons.store import artifacts

SVG = "{http://www.w3.org/2000/svg}"


def some_paths(*names: str) -> pd.DataFrame:
    t = np.linspace(0, 1, 9)
    tables = [
        pd.DataFrame(
            {
                "path": name,
                "repaired": False,
                "t": t,
                "loss": 0.5 + t * (1 - t) * k,
                "accuracy": 0.9 - t / 9,
            }
        )
        for k, name in enumerate(names)
    ]
    return pd.concat(tables, ignore_index=True)


def some_grid(scale: float = 1) -> pd.DataFrame:
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-1, 9, 6), np.linspace(-2, 4, 5)))
    return pd.DataFrame({"x": x, "y": y, "loss": scale * (x**2 + y**2), "accuracy": 0.5})


def some_models() -> pd.DataFrame:
    rows = [
        ("seed=1", 0, 0, 0),
        ("seed=1_l1=0.0001_ep=1", 1, 1, 0.3),
        ("seed=1_l1=0.0001_ep=4", 2, 2, 0),
        ("seed=1_l1=0.0001_ep=4_t=0.05", 3, 2, 0.04),
        ("seed=2", 8, 0, 0),
        ("seed=2_l1=0.0001_ep=2_t=0.05", 7, 1, 3),
        ("control point", 4, 3, 0),
    ]
    return pd.DataFrame(rows, columns=["model", "x", "y", "residual"]).assign(loss=0.25)


def test_a_barrier_is_said_and_marked_where_there_is_one() -> None:
    figure, axes = style.new_figure(8, 3, 1, 2)
    ridge.paths(some_paths("naive", "curve", "weights"), axes)
    legend = axes[1].get_legend()
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [
        "units as they are:\nbarrier 0 nats",
        "trained curve:\nbarrier 0.25 nats",
        "units aligned by weights:\nbarrier 0.5 nats",
    ]
    upright = [
        line.get_ydata()
        for line in axes[0].lines
        if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
    ]
    assert [tuple(y) for y in upright] == [(0.5, 0.75), (0.5, 1.0)]
    colours = [line.get_color() for line in axes[1].lines]
    assert all(same_color(a, style.PALETTE[k]) for a, k in zip(colours, (0, 4, 1), strict=True))
    assert figure.axes == axes


def test_repaired_lines_have_a_row_of_their_own() -> None:
    plain = some_paths("naive", "weights", "activations").assign(pair="a")
    second = plain.assign(pair="b", loss=plain.loss + 1)
    both = pd.concat([plain, second, plain.assign(repaired=True, loss=2 * plain.loss)])
    groups = {"two bases": both, "a base and its variant": plain[plain.path == "naive"]}
    assert ridge.rows_of_lines(groups) == 2
    assert ridge.rows_of_lines({"two bases": plain}) == 1
    _, axes = style.new_figure(8, 8, 2, 2)
    ridge.lines(groups, axes)
    titles = [ax.get_title() for ax in axes]
    assert titles[0] == "two bases (2 pairs)"
    assert titles[2] == "two bases, repaired"
    legends = [ax.get_legend() for ax in axes]
    assert legends[3] is None, "nothing was repaired"
    texts = [[text.get_text() for text in legend.get_texts()] for legend in legends[:3]]
    assert texts[0][2].startswith("units aligned by activations:\nbarrier 0.5 nats on average")
    assert texts[2][2].startswith("units aligned by activations:\nbarrier 1 nats on average")
    assert texts[1] == ["units as they are:\nbarrier 0 nats on average, 0 at most"]


def test_a_walk_is_drawn_from_model_to_model() -> None:
    figure, axes = style.new_figure(6, 5)
    ridge.plane(some_grid(), some_models(), axes[0])
    segments = [
        (*zip(*line.get_data(), strict=True), line.get_linestyle())
        for line in axes[0].lines
        if len(line.get_xdata()) == 2
    ]
    assert segments == [
        ((0, 0), (1, 1), "-"),
        ((1, 1), (2, 2), "-"),
        ((2, 2), (3, 2), ":"),
    ], "the pruned model of seed 2 has nothing on the plane that it comes from"
    texts = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert texts == ["seed 1", "seed 2", "control point"]
    assert axes[0].get_title().split("\n") == [
        "Training loss 0.25 at seed 1 and 0.25 at seed 1, up to 2 nats between them",
        "2 of 7 models lie beside this plane: the colour at their marks is not their loss",
    ]
    assert len(figure.axes) == 2, "the plane and the scale of its losses"
    hollow = [line for line in axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [tuple(*line.get_xydata()) for line in hollow] == [(3, 2), (7, 1)]


@pytest.mark.parametrize("scale", [0, 1e-9, 1, 1e6])
def test_every_loss_can_be_drawn(tmp_path: Path, scale: float) -> None:
    with style.styled():
        figure, axes = style.new_figure(6, 5)
        ridge.plane(some_grid(scale), some_models(), axes[0])
        style.save_svg(figure, tmp_path / "plane.svg")
        figure = Figure(figsize=(5, 5))
        ridge.surface(some_grid(scale), figure.add_subplot(projection="3d"))
        style.save_svg(figure, tmp_path / "surface.svg")
    for name in ("plane", "surface"):
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        assert len(list(root.iter(f"{SVG}text"))) > 4


def test_stages_draw_the_same_bytes_from_the_same_tables(tmp_path: Path) -> None:
    tables = {
        "line": some_paths("naive", "weights"),
        "curve": some_paths("curve"),
        "grid": some_grid(),
        "models": some_models(),
    }
    for name, table in tables.items():
        artifacts.write_table(tmp_path / f"{name}.parquet", table)
    line, curve, grid, models = (str(tmp_path / f"{name}.parquet") for name in tables)
    seen = set()
    for number in range(2):
        drawn = [tmp_path / f"{name}{number}.svg" for name in ("paths", "plane", "surface")]
        ridge.save_paths([line, curve], drawn[0], "seed=1 and seed=2")
        ridge.save_plane(grid, models, drawn[1], drawn[2], "mako")
        seen.add(tuple(path.read_bytes() for path in drawn))
    assert len(seen) == 1
    assert b"seed=1 and seed=2" in next(iter(seen))[0]
