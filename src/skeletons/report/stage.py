"""The stage that writes the report: the findings of an experiment on one page for a browser."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skeletons.measures.catalogue import MEASURES, resolve
from skeletons.report import settings
from skeletons.report.gather import gather
from skeletons.report.page import page
from skeletons.store import artifacts


def report_stage(
    *,
    config: str,
    versions: str,
    findings: str,
    scores: str,
    pairs: Sequence[str],
    trained: Sequence[str] = (),
    histories: Sequence[str] = (),
    figures: Sequence[str] = (),
    html: str,
) -> None:
    """Write the report of an experiment.

    Args:
        config: see `gather.gather`, also for the other inputs.
        versions: versions.json.
        findings: findings.json.
        scores: scores.parquet.
        pairs: the tables of all pairs.
        trained: history.parquet of each base.
        histories: history.parquet of each walk.
        figures: SVG files.
        html: report.html to write, in the folder of the experiment. The benchmarks are read from
            the folder `benchmarks` next to it.

    Raises:
        ArtifactError: an input is missing or broken, or the report cannot be written.
        ExtensionError: a reference is not a measure.
    """
    shown = gather(
        config=config,
        versions=versions,
        findings=findings,
        scores=scores,
        pairs=pairs,
        trained=trained,
        histories=histories,
        figures=figures,
        benchmarks=Path(html).parent / "benchmarks",
        measures={**MEASURES, **resolve(settings.measures_in(config))},
    )
    artifacts.write_text(html, page(shown))
