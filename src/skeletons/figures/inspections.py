"""The stage that draws the figures of `inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeletons.figures import ridge, units
from skeletons.findings import inspections


def inspection_figures_stage(*, folder: str, colormap: str, **kinds: str | Sequence[str]) -> None:
    """Draw every figure for which there are artifacts.

    Args:
        folder: the folder that the SVG files are written to: lines, curve, plane, plane_surface,
            exposure, one of importance per model, and one of the probe per model and λ.
        colormap: the colour map of the plane.
        kinds: the artifacts of each kind. Drawn are lines, curve, plane, located, exposed,
            importance_units, probe and probe_epochs; other kinds are ignored.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    target = Path(folder)
    files = {kind: [one] if isinstance(one, str) else list(one) for kind, one in kinds.items()}
    _draw_paths(files, target)
    for grid, located in _both(files, "plane", "located"):
        flat, surface = target / "plane.svg", target / "plane_surface.svg"
        ridge.save_plane(grid, located, flat, surface, colormap)
    _draw_units(files, target)


def _both(files: dict[str, list[str]], one: str, other: str) -> list[tuple[str, str]]:
    """The files of two kinds, which belong together one by one."""
    return list(zip(files.get(one, []), files.get(other, []), strict=True))


def _draw_paths(files: dict[str, list[str]], target: Path) -> None:
    """Draw the lines and the curve; the curve is shown with the line between the same models."""
    lines = {Path(path).name: path for path in files.get("lines", [])}
    kinds = {path: inspections.kind_of(*Path(path).stem.split("--")) for path in lines.values()}
    if lines:
        ridge.save_lines(kinds, inspections.KINDS, target / "lines.svg")
    for path in files.get("curve", []):
        a, b = Path(path).stem.split("--")
        tables = [lines[Path(path).name], path]
        ridge.save_paths(tables, target / "curve.svg", f"From a, {a}, to b, {b}")


def _draw_units(files: dict[str, list[str]], target: Path) -> None:
    """Draw the exposed skeletons, the importance of units, and the second skeletons."""
    exposed = {Path(path).parent.name: path for path in files.get("exposed", [])}
    if exposed:
        units.save_exposure(exposed, target / "exposure.svg")
    for path in files.get("importance_units", []):
        name = Path(path).stem
        units.save_importance(path, target / f"importance_{name}.svg", name)
    for rows, verdict in _both(files, "probe_epochs", "probe"):
        name = Path(verdict).stem
        units.save_probe(rows, verdict, target / f"probe_{name}.svg", name)
