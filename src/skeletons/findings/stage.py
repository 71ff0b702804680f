"""The stage that writes the findings, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from skeletons.findings import (
    inspections,
    judged,
    networks,
    page,
    post_claims,
    sections,
    shared_weights,
)
from skeletons.findings.gather import summarize
from skeletons.findings.plain import plain
from skeletons.findings.preconditions import short_of_target
from skeletons.findings.scores import read_all
from skeletons.findings.settings import Settings
from skeletons.measures.catalogue import resolve
from skeletons.measures.predictions import Predictions, read
from skeletons.store import artifacts
from skeletons.user_code.references import name_of


def read_predictions(paths: Sequence[str]) -> dict[str, dict[str, Predictions]]:
    """Predictions by OOD set (the name of the folder) and model (the name of the file)."""
    found: dict[str, dict[str, Predictions]] = {}
    for path in map(Path, paths):
        found.setdefault(path.parent.name, {})[path.stem] = read(path)
    return found


def findings_stage(
    *,
    scored: Sequence[str],
    similarity: Sequence[str],
    verdict: str,
    walks: Sequence[str] = (),
    histories: Sequence[str] = (),
    predictions: Sequence[str] = (),
    masks: Sequence[str] = (),
    json: str,
    text: str,
    experiment: str,
    measures: Sequence[str],
    ood: Sequence[str],
    controls: Sequence[str] = (),
    drawn: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    **looks: Sequence[str],
) -> None:
    """Write findings.json and findings.md.

    Args:
        scored: scores/*.json, one per model.
        similarity: the tables of all pairs, one per OOD set in the order of `ood`.
        verdict: verdict.json, with the answers of each network.
        walks: tables of walks, one row per step.
        histories: see `judged.read_walks`.
        predictions: of the compared models, for the multiplicity of the set.
        masks: tables of the overlap of masks in each layer, one per measure.
        json: findings.json to write.
        text: findings.md to write.
        experiment: its name.
        measures: names and references of measures, the primary one first.
        ood: the names of the OOD sets.
        controls: those of them that are controls, see `gather.summarize`.
        drawn: those of them that are drawn, which the claims use; by default all.
        settings: the section `findings` of the configuration.
        **looks: artifacts of inspections by kind, see `inspections.inspections`.

    Raises:
        ArtifactError: a file is missing or broken, or cannot be written.
        ExtensionError: a reference is not a measure.
    """
    declared = resolve(measures)
    table = read_all(scored)
    pairs = judged.read_similarity(similarity, ood, [*declared, post_claims.COSINE])
    parts = networks.split(table, pairs)
    chosen = Settings(**(settings or {}))
    walked, known = judged.read_walks(walks, histories), read_predictions(predictions)
    overlaps = shared_weights.read(masks)
    summaries = [
        summarize(
            experiment,
            part.table,
            part.similarity,
            list(declared),
            walked=_own(part, walked),
            known={name: _own(part, by_model) for name, by_model in known.items()},
            inside=inspections.inspections(
                _looks(part, looks),
                rise=chosen.loss_rise,
                step=chosen.largest_step,
                missed=short_of_target(part.table),
            ),
            masks={name: rows[rows.a.map(part.owns)] for name, rows in overlaps.items()},
            controls=controls,
            drawn=[name_of(measure) for measure in drawn or measures],
            settings=chosen,
            declared=declared,
            answered=answers,
        )
        for part, answers in zip(parts, judged.read(verdict), strict=True)
    ]
    several = len(parts) > 1
    found = networks.together(parts, summaries, pairs, declared) if several else summaries[0]
    artifacts.write_json(json, as_json(found))
    artifacts.write_text(text, as_markdown(found))


Value = TypeVar("Value")


def _own(part: networks.Part, by_model: Mapping[str, Value]) -> dict[str, Value]:
    """The values of a network's models."""
    return {model: value for model, value in by_model.items() if part.owns(model)}


def _looks(part: networks.Part, paths: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The artifacts of a network's inspections."""
    return {
        kind: [path for path in found if part.owns(inspections.model_of(path))]
        for kind, found in paths.items()
    }


def as_json(found: Mapping[str, Any]) -> dict[str, Any]:
    """The content of findings.json: everything that was found, and the page as `sections`."""
    return {**plain(found), "sections": plain(_sections(found))}


def as_markdown(found: Mapping[str, Any]) -> str:
    """The content of findings.md."""
    title = f"Findings of `{found['experiment']}`"
    return sections.to_markdown(title, _sections(found))


def _sections(found: Mapping[str, Any]) -> list[sections.Section]:
    if "networks" in found:
        explained = page.explanations(found["settings"])
        return networks.sections(found, page.sections, explained)
    return page.sections(found)
