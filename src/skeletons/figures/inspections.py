"""The figures of what looks inside found, each in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from skeletons.figures import ridge, units
from skeletons.findings import inspections


def inspection_figures_stage(
    paths: Mapping[str, Sequence[str]], folder: str, colormap: str
) -> None:
    """Draw every figure that the artifacts at hand allow.

    Args:
        paths: artifacts by kind: lines, curve, plane, located, exposed, importance_units, probe and
            probe_epochs.
        folder: where the SVG files go: lines, curve, plane, plane_surface, exposure, and one of
            importance and of the probe for each model that has been looked at so.
        colormap: of the plane.
    """
    place = Path(folder)
    lines = {Path(path).name: path for path in paths.get("lines", ())}
    kinds = {path: inspections.kind_of(*Path(path).stem.split("--")) for path in lines.values()}
    if lines:
        ridge.lines_figure_stage(kinds, inspections.KINDS, str(place / "lines.svg"))
    for path in paths.get("curve", ()):
        a, b = Path(path).stem.split("--")
        title = f"From a, {a}, to b, {b}"
        straight = lines[Path(path).name]
        ridge.paths_figure_stage(str(place / "curve.svg"), title, straight, path)
    for grid, located in zip(paths.get("plane", ()), paths.get("located", ()), strict=True):
        flat, surface = (str(place / f"{name}.svg") for name in ("plane", "plane_surface"))
        ridge.plane_figure_stage(grid, located, flat, surface, colormap)
    exposed = {Path(path).parent.name: path for path in paths.get("exposed", ())}
    if exposed:
        units.exposure_figure_stage(exposed, str(place / "exposure.svg"))
    for path in paths.get("importance_units", ()):
        name = Path(path).stem
        units.importance_figure_stage(path, str(place / f"importance_{name}.svg"), name)
    for rows, verdict in zip(paths.get("probe_epochs", ()), paths.get("probe", ()), strict=True):
        name = Path(verdict).stem
        model, _, l1 = name.rpartition("_l1=")
        title = f"{model}, skeleton penalised by λ = {l1}"
        units.probe_figure_stage(rows, verdict, str(place / f"probe_{name}.svg"), title)
