"""The stage that draws the figures of `inspect`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from skeletons.figures import captions, exchange, layers, ridge, sparsest, units
from skeletons.figures.absence import save_absent
from skeletons.findings import inspections
from skeletons.inspection import absence


def inspection_figures_stage(*, folder: str, colormap: str, **kinds: str | Sequence[str]) -> None:
    """Draw every figure for which there are artifacts.

    Args:
        folder: the folder that the SVG files are written to: lines, curve, plane, plane_surface,
            bridge, transfer, exposure, sparsest, one of importance and of the takeover per
            model, one of the probe per model and λ, and one of layers per data set and measure.
        colormap: the colour map of the plane and of layers.
        kinds: the artifacts of each kind. Drawn are lines, curve, plane, located, bridge_points,
            original_width, transfer, exposed, importance_units, probe, probe_epochs, takeover,
            takeover_epochs, sparsest and layer_maps; other kinds are ignored.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    target = Path(folder)
    files = {kind: [one] if isinstance(one, str) else list(one) for kind, one in kinds.items()}
    _draw_paths(files, target)
    for grid, located in _both(files, "plane", "located"):
        flat, surface = target / "plane.svg", target / "plane_surface.svg"
        if not _absent(grid, captions.drawn("plane"), flat):
            ridge.save_plane(grid, located, flat, surface, colormap)
        _absent(grid, captions.drawn("plane", "surface"), surface)
    _draw_exchange(files, target)
    _draw_units(files, target)
    asked = files.get("sparsest", [])
    if found := _there(asked):
        sparsest.save_searches(found, target / "sparsest.svg")
    elif asked:
        _absent(asked[0], captions.drawn("sparsest"), target / "sparsest.svg")
    layers.save_maps(files.get("layer_maps", []), target, colormap)


def _absent(artifact: str, drawn: captions.Drawn, path: Path) -> bool:
    """Whether a look cannot be had; if so, its figure says why."""
    because = absence.reason(artifact)
    if because:
        save_absent(drawn, because, path)
    return bool(because)


def _there(paths: Iterable[str]) -> list[str]:
    """The artifacts of looks that can be had."""
    return [path for path in paths if not absence.reason(path)]


def _both(files: dict[str, list[str]], one: str, other: str) -> list[tuple[str, str]]:
    """The files of two kinds, which belong together one by one."""
    return list(zip(files.get(one, []), files.get(other, []), strict=True))


def _draw_paths(files: dict[str, list[str]], target: Path) -> None:
    """Draw the lines and the curve."""
    asked = files.get("lines", [])
    kinds = {path: inspections.kind_of(*Path(path).stem.split("--")) for path in _there(asked)}
    if kinds:
        ridge.save_lines(kinds, inspections.KINDS, target / "lines.svg")
    elif asked:
        _absent(asked[0], captions.drawn("lines"), target / "lines.svg")
    for path in files.get("curve", []):
        if _absent(path, captions.drawn("curve"), target / "curve.svg"):
            continue
        a, b = Path(path).stem.split("--")
        ridge.save_paths([path], target / "curve.svg", f"From a, {a}, to b, {b}, units aligned")


def _draw_exchange(files: dict[str, list[str]], target: Path) -> None:
    """Draw the bridges between bases, and the transfers of their masks."""
    asked = files.get("bridge_points", [])
    if there := _there(asked):
        original = _there(files.get("original_width", []))
        exchange.save_bridges(there, original, target / "bridge.svg")
    elif asked:
        _absent(asked[0], captions.drawn("bridge"), target / "bridge.svg")
    masks = files.get("transfer", [])
    if pairs := exchange.read_transfers([Path(path) for path in _there(masks)]):
        exchange.save_transfers(pairs, target / "transfer.svg")
    elif masks:  # every pair lacks one of its trainings
        because = absence.first_reason(*masks)
        save_absent(captions.drawn("transfer"), because, target / "transfer.svg")


def _draw_units(files: dict[str, list[str]], target: Path) -> None:
    """Draw the exposed skeletons, the importance of units, and the second skeletons."""
    asked = files.get("exposed", [])
    exposed = {Path(path).parent.name: path for path in _there(asked)}
    if exposed:
        units.save_exposure(exposed, target / "exposure.svg")
    elif asked:
        _absent(asked[0], captions.drawn("exposure"), target / "exposure.svg")
    for path in files.get("importance_units", []):
        name = Path(path).stem
        shown = target / f"importance_{name}.svg"
        if not _absent(path, captions.drawn("importance", name), shown):
            units.save_importance(path, shown, name)
    for rows, verdict in _both(files, "probe_epochs", "probe"):
        name = Path(verdict).stem
        shown = target / f"probe_{name}.svg"
        if not _absent(verdict, captions.drawn("probe", name), shown):
            units.save_probe(rows, verdict, shown, name)
    for rows, verdict in _both(files, "takeover_epochs", "takeover"):
        name = Path(verdict).stem
        shown = target / f"takeover_{name}.svg"
        if not _absent(verdict, captions.drawn("takeover", name), shown):
            units.save_takeover(rows, verdict, shown, name)
