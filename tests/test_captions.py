"""Captions are stored in the files of figures, and the report reads them from there."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from skeletons import model_ids
from skeletons.errors import ArtifactError
from skeletons.figures import captions, stages, style
from skeletons.figures.inspections import inspection_figures_stage
from skeletons.measures.catalogue import MEASURES
from skeletons.model_ids import Model
from skeletons.report import pictures
from skeletons.store import artifacts


def saved(path: Path, about: captions.Drawn | None) -> Path:
    with style.styled():
        figure = Figure(figsize=(2, 2))
        figure.add_subplot().plot([0, 1])
        style.save_svg(figure, path, about)
    return path


@pytest.mark.parametrize("kind", captions.CAPTIONS)
def test_a_caption_is_read_back_from_the_figure(kind: str, tmp_path: Path) -> None:
    about = captions.drawn(kind, "<a> & “b”")
    path = saved(tmp_path / "figure.svg", about)
    assert captions.read(path) == about
    assert (about.kind, about.of, about.measure) == (kind, "<a> & “b”", None)
    before = path.read_bytes()
    assert saved(path, about).read_bytes() == before
    assert b"<dc:date" not in before


@pytest.mark.parametrize(
    ("measure", "kind", "title"),
    [
        ("cosine_logit_flat", "heatmap", "Predictions of every pair"),
        ("linear_cka", "heatmap_of_features", "Features of every pair"),
        ("mask_overlap_aligned", "heatmap_of_masks", "Masks of every pair"),
    ],
)
def test_a_heatmap_says_which_measure_it_shows(
    measure: str, kind: str, title: str, tmp_path: Path
) -> None:
    about = captions.drawn("heatmap", "digits", MEASURES[measure])
    found = captions.read(saved(tmp_path / "figure.svg", about))
    assert (found.kind, found.title, found.measure) == (kind, title, measure)
    assert found.of == f"digits, {MEASURES[measure].label}"


def test_every_caption_stands_in_a_section() -> None:
    assert {caption.section for caption in captions.CAPTIONS.values()} == set(captions.SECTIONS)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"^Cannot read .*figure\.svg: No such file or directory\.$"),
        (b"<svg", r"figure\.svg is not a whole SVG file \(.*\); delete it and run snakemake again"),
        (b"<svg/>", r"figure\.svg has no caption in its metadata; delete it and run snakemake"),
    ],
)
def test_a_figure_without_a_caption_is_refused(
    content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / "figure.svg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=sentence):
        captions.read(path)


def test_a_figure_that_was_saved_without_a_caption_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no caption"):
        captions.read(saved(tmp_path / "figure.svg", None))


def test_the_report_finds_the_heatmap_of_a_measure(tmp_path: Path) -> None:
    drawn = []
    for name in ("agreement", "cosine_prob", "linear_cka"):
        about = captions.drawn("heatmap", "digits", MEASURES[name])
        path = saved(tmp_path / f"heatmap_digits_{name}.svg", about)
        drawn.append(pictures.figure(str(path)))
    assert drawn[0]["file"] == "figures/heatmap_digits_agreement.svg"
    assert drawn[0]["source"].startswith("data:image/svg+xml;base64,")
    assert pictures.first_heatmap(drawn, "cosine_prob") is drawn[1]
    assert pictures.first_heatmap(drawn, None) is drawn[0]
    assert pictures.first_heatmap(drawn, "jensen_shannon") is None
    assert pictures.first_heatmap(drawn, "linear_cka") is None  # a heatmap of features
    about = captions.drawn("heatmap", "svhn", MEASURES["cosine_prob"])
    path = saved(tmp_path / "heatmap_svhn_cosine_prob.svg", about)
    drawn.append(pictures.figure(str(path)))
    assert pictures.first_heatmap(drawn, "cosine_prob", ["digits"]) is drawn[3]


def test_the_heatmap_of_a_costly_measure_names_its_data_set(tmp_path: Path) -> None:
    grid = model_ids.grid(map(Model, [1, 2, 3]), [], [], [])
    pairs = pd.DataFrame(
        {"a": str(a), "b": str(b), "ood": "digits", "linear_cka": 0.5, "mask_overlap": 0.1}
        for a, b in model_ids.pairs(grid)
    )
    artifacts.write_table(tmp_path / "features.parquet", pairs)
    artifacts.write_table(tmp_path / "masks.parquet", pairs.drop(columns="ood"))
    scores = pd.DataFrame({"model": map(str, grid), "accuracy": 0.9, "sparsity": 0.0})
    artifacts.write_table(tmp_path / "scores.parquet", scores)
    shown = {}
    for table, measure in (("features", "linear_cka"), ("masks", "mask_overlap")):
        path = tmp_path / f"{table}.svg"
        stages.heatmap_stage(
            table=str(tmp_path / f"{table}.parquet"),
            scores=str(tmp_path / "scores.parquet"),
            heatmap=str(path),
            measure=measure,
            title="Every pair",
            colormap="viridis",
        )
        shown[table] = captions.read(path)
    assert shown["features"].of == "digits, linear CKA of penultimate activations"
    assert shown["masks"].of == "overlap of masks beyond chance, units as they are"
    assert shown["masks"].kind == "heatmap_of_masks"


def test_every_figure_of_an_inspection_has_its_caption(tmp_path: Path) -> None:
    t = [0.0, 0.5, 1.0]
    loss = [1.0, 2.0, 1.0]
    line = pd.DataFrame({"path": "naive", "repaired": False, "t": t, "loss": loss, "accuracy": 0.9})
    files = {name: tmp_path / name / "seed=1--seed=2.parquet" for name in ("lines", "curve")}
    artifacts.write_table(files["lines"], line)
    artifacts.write_table(files["curve"], line.assign(path="curve"))
    artifacts.write_json(tmp_path / "exposed/seed=1/exposed.json", {"dead_reason": "empty"})
    inspection_figures_stage(
        folder=str(tmp_path),
        colormap="mako",
        lines=[str(files["lines"])],
        curve=str(files["curve"]),
        curve_weights="not read",
        exposed=[str(tmp_path / "exposed/seed=1/exposed.json")],
    )
    found = {path.stem: captions.read(path).kind for path in tmp_path.glob("*.svg")}
    assert found == {"lines": "lines", "curve": "curve", "exposure": "exposure"}


def test_public_names_are_imported_when_they_are_used() -> None:
    """Neither the package nor the captions load matplotlib; a drawing function does."""
    script = """
import sys
import skeletons.figures
from skeletons.figures import captions
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
missing = [name for name in skeletons.figures.__all__ if not hasattr(skeletons.figures, name)]
assert not missing, missing
assert set(skeletons.figures.__all__) <= set(dir(skeletons.figures))
assert not hasattr(skeletons.figures, "pie")
from skeletons.ridge_figures import plane
from skeletons.unit_figures import probe_curve
assert "matplotlib" in sys.modules and "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
