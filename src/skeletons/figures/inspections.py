"""The stage that draws the figures of `inspect`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from skeletons.figures import captions, exchange, layers, ridge, sparsest, units
from skeletons.figures.absence import save_absent
from skeletons.findings import inspections
from skeletons.inspection import absence
from skeletons.model_ids import net_of, suffix

SUMMED = ("lines", "bridge_points", "original_width", "transfer", "layer_maps")


def inspection_figures_stage(*, folder: str, colormap: str, **kinds: str | Sequence[str]) -> None:
    """Draw every figure for which there are artifacts.

    Args:
        folder: the folder that the SVG files are written to: curve, plane, plane_surface, exposure,
            sparsest; one of lines, bridge and transfer per network, and of layers per network, data
            set and measure; one of importance and of the takeover per model, and one of the probe
            per model and λ.
        colormap: the colour map of the plane and of layers.
        kinds: the artifacts of each kind. Drawn are lines, curve, plane, located, bridge_points,
            original_width, transfer, exposed, importance_units, probe, probe_epochs, takeover,
            takeover_epochs, sparsest and layer_maps; other kinds are ignored.

    Raises:
        ArtifactError: a file is missing or broken.
    """
    target = Path(folder)
    files = {kind: [one] if isinstance(one, str) else list(one) for kind, one in kinds.items()}
    for path in files.get("curve", []):
        _draw_curve(path, target / "curve.svg")
    for grid, located in _both(files, "plane", "located"):
        flat, surface = target / "plane.svg", target / "plane_surface.svg"
        if not _absent(grid, captions.drawn("plane"), flat):
            ridge.save_plane(grid, located, flat, surface, colormap)
        _absent(grid, captions.drawn("plane", "surface"), surface)
    # Lines, bridges, transfers and layers are summed up over pairs of models of one network.
    for tag, own in _by_network(files):
        _draw_lines(own, target, tag)
        _draw_exchange(own, target, tag)
        layers.save_maps(own["layer_maps"], target, tag, colormap)
    _draw_units(files, target)
    asked = files.get("sparsest", [])
    if found := _there(asked):
        sparsest.save_searches(found, target / "sparsest.svg")
    elif asked:
        _absent(asked[0], captions.drawn("sparsest"), target / "sparsest.svg")


def _by_network(
    files: Mapping[str, list[str]],
) -> Iterator[tuple[str | None, dict[str, list[str]]]]:
    """The artifacts of pairs that figures sum up, of each network."""
    summed = {kind: files.get(kind, []) for kind in SUMMED}
    tags = dict.fromkeys(net_of(path) for paths in summed.values() for path in paths)
    for tag in tags:
        yield tag, {kind: [p for p in paths if net_of(p) == tag] for kind, paths in summed.items()}


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


def _draw_curve(curve: str, path: Path) -> None:
    """Draw the curve between two bases."""
    if not _absent(curve, captions.drawn("curve"), path):
        a, b = Path(curve).stem.split("--")
        ridge.save_paths([curve], path, f"From a, {a}, to b, {b}, units aligned")


def _draw_lines(files: dict[str, list[str]], target: Path, tag: str | None) -> None:
    """Draw the lines between models of one network."""
    asked, about = files["lines"], captions.drawn("lines", tag or "")
    path = target / f"lines{suffix(tag)}.svg"
    kinds = {line: inspections.kind_of(*Path(line).stem.split("--")) for line in _there(asked)}
    if kinds:
        ridge.save_lines(kinds, inspections.KINDS, path, about)
    elif asked:
        _absent(asked[0], about, path)


def _draw_exchange(files: dict[str, list[str]], target: Path, tag: str | None) -> None:
    """Draw the bridges between bases of one network, and the transfers of their masks."""
    asked, about = files["bridge_points"], captions.drawn("bridge", tag or "")
    path = target / f"bridge{suffix(tag)}.svg"
    if there := _there(asked):
        exchange.save_bridges(there, _there(files["original_width"]), path, about)
    elif asked:
        _absent(asked[0], about, path)
    masks, about = files["transfer"], captions.drawn("transfer", tag or "")
    path = target / f"transfer{suffix(tag)}.svg"
    if pairs := exchange.read_transfers([Path(mask) for mask in _there(masks)]):
        exchange.save_transfers(pairs, path, about)
    elif masks:  # every pair lacks one of its trainings
        save_absent(about, absence.first_reason(*masks), path)


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
