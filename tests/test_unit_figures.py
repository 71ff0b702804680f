from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from skeletons.figures import style
from skeletons.figures import units as unit_figures
from skeletons.inspection import second_skeleton
from skeletons.store import artifacts

SVG = "{http://www.w3.org/2000/svg}"


def importance(layers: int, units: int = 12, silent: bool = False) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "layer": np.repeat([f"body.{k}.weight" for k in range(layers)], units),
            "unit": np.tile(np.arange(units), layers),
            "loss_change": 0.0 if silent else random.normal(size=layers * units) ** 3,
            "magnitude_l1": random.uniform(1, 9, layers * units),
            "kept_share": 0.5,
            "dead": random.uniform(size=layers * units) < 0.4,
        }
    )


def probed(count: int = 5) -> pd.DataFrame:
    left = np.linspace(1, 0.1, count)
    rows: dict[str, Any] = {"epoch": range(count), "skeleton_left": left}
    for part in ("test", "skeleton", "others"):
        rows |= {f"{part}_accuracy": left, f"{part}_loss": 1.1 - left}
    return pd.DataFrame(rows)


SIZES = {"parameters": 1000, "flops": 5000}
ALIVE = {"dead_reason": None, "before": SIZES, "after": {"parameters": 250, "flops": 400}}


def faded() -> pd.DataFrame:
    left = np.linspace(1, 0, 5)
    rows: dict[str, Any] = {"epoch": range(5), "left": left, "rise": 0.04 * (1 - left)}
    return pd.DataFrame(rows | {f"{p}_accuracy": left for p in ("test", "skeleton", "others")})


def test_a_takeover_is_drawn_with_its_room_in_the_same_bytes(tmp_path: Path) -> None:
    artifacts.write_table(tmp_path / "rows.parquet", faded())
    artifacts.write_json(tmp_path / "a.json", {"verdict": "another takes over", "room": 0.05})
    drawn = [tmp_path / f"{k}.svg" for k in (1, 2)]
    for path in drawn:
        unit_figures.save_takeover(
            str(tmp_path / "rows.parquet"),
            str(tmp_path / "a.json"),
            path,
            "seed=1_l1=0.1_ep=1_d=0.1",
        )
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    shown = texts(drawn[0])
    assert "seed=1_l1=0.1_ep=1_d=0.1: another takes over" in shown
    assert {"the room", "the skeleton alone", "all but the skeleton"} <= set(shown)


def draw(folder: Path, layers: int, silent: bool = False, by: str = "loss") -> list[Path]:
    """Every figure, drawn by its stage."""
    artifacts.write_table(folder / "importance.parquet", importance(layers, silent=silent))
    artifacts.write_json(folder / "importance.json", {"by": by})
    rows = probed()
    artifacts.write_table(folder / "probe.parquet", rows)
    artifacts.write_json(folder / "probe.json", second_skeleton.probe_verdict(rows, 0.02))
    reports = {"one": ALIVE, "two": {"dead_reason": "nothing is left"}}
    for name, report in reports.items():
        artifacts.write_json(folder / name / "exposed.json", report)
    drawn = [folder / f"{name}.svg" for name in ("importance", "probe", "exposure")]
    unit_figures.save_importance(str(folder / "importance.parquet"), drawn[0], "seed=1")
    unit_figures.save_probe(
        str(folder / "probe.parquet"), str(folder / "probe.json"), drawn[1], "seed=1_l1=0.1"
    )
    unit_figures.save_exposure(
        {name: str(folder / name / "exposed.json") for name in reports}, drawn[2]
    )
    return drawn


def texts(path: Path) -> list[str]:
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("layers", [1, 6])
def test_every_figure_says_what_it_shows_in_the_same_bytes(tmp_path: Path, layers: int) -> None:
    one, two = (draw(tmp_path / name, layers) for name in ("one", "two"))
    for first, second in zip(one, two, strict=True):
        assert first.read_bytes() == second.read_bytes()
    scatter, curve, bars = map(texts, one)
    assert sum(text.startswith(f"{layers - 1}: ρ = ") for text in scatter) == 1
    assert "seed=1, skeleton penalised by λ = 0.1: the loss cannot be held" in curve
    assert {"25.0%", "8.0%", " dead"} <= {text if text != "dead" else " dead" for text in bars}


def test_a_network_that_misses_nothing_is_drawn_too(tmp_path: Path) -> None:
    scatter = texts(draw(tmp_path, 3, silent=True)[0])
    assert sum("ρ undefined" in text for text in scatter) == 3


@pytest.mark.parametrize(
    ("by", "label"), [("loss", "rise of the loss"), ("divergence", "divergence of the answers")]
)
def test_the_axis_says_what_importance_is(by: str, label: str, tmp_path: Path) -> None:
    shown = texts(draw(tmp_path, 2, by=by)[0])
    assert f"{label} in nats" in " ".join(shown)


def test_each_layer_has_its_own_axes_and_units() -> None:
    with style.styled():
        figure, axes = style.new_figure(6, 4, 2, 2)
        table = importance(3)
        unit_figures.importance_scatter(table, "loss", axes)
    assert len(figure.axes) == 3
    for ax, (_, group) in zip(figure.axes, table.groupby("layer", sort=False), strict=True):
        alive, dead = (collection.get_offsets() for collection in ax.collections)
        assert len(np.asarray(dead)) == int(group.dead.sum())
        assert len(np.asarray(alive)) + len(np.asarray(dead)) == 12


def test_a_probe_of_nothing_goes_by_epochs_and_dead_skeletons_have_no_bars(tmp_path: Path) -> None:
    rows = probed().assign(skeleton_left=np.nan)
    artifacts.write_table(tmp_path / "probe.parquet", rows)
    artifacts.write_json(tmp_path / "probe.json", second_skeleton.probe_verdict(rows, 0.02))
    drawn = [tmp_path / "probe.svg", tmp_path / "exposure.svg"]
    unit_figures.save_probe(
        str(tmp_path / "probe.parquet"), str(tmp_path / "probe.json"), drawn[0], "seed=1_l1=0.1"
    )
    curve = texts(drawn[0])
    assert "seed=1, skeleton penalised by λ = 0.1: there is no skeleton" in curve
    assert curve.count("epoch; the skeleton has no weight") == 2
    artifacts.write_json(tmp_path / "two/exposed.json", {"dead_reason": "nothing is left"})
    unit_figures.save_exposure({"two": str(tmp_path / "two/exposed.json")}, drawn[1])
    assert sum("dead" in text for text in texts(drawn[1])) == 2
