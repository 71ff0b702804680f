"""What the report shows, read from the files of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons.errors import ArtifactError
from skeletons.figures import captions
from skeletons.findings import pair_tables
from skeletons.findings.rules import NOT_TESTED
from skeletons.findings.sections import once
from skeletons.measures.measure import Measure
from skeletons.report import (
    colours,
    commands,
    costs,
    lines,
    pair_numbers,
    pictures,
    settings,
    tables,
)
from skeletons.store import artifacts

FOUND = (
    *("experiment", "models", "pairs", "verdict", "claims", "claims_note"),
    *("bases", "dead", "walks", "skeleton_models", "next", "sections"),
)
SCORES = (
    *("model", "state", "seed", "l1", "epochs", "threshold", "accuracy", "loss", "sparsity"),
    *("kept", "dead", "dead_reason", "optimal", "optimal_reason"),
)


def gather(
    *,
    config: str,
    versions: str,
    findings: str,
    scores: str,
    pairs: Sequence[str],
    trained: Sequence[str],
    histories: Sequence[str],
    figures: Sequence[str],
    benchmarks: Path,
    measures: Mapping[str, Measure],
) -> dict[str, Any]:
    """Everything that the template shows.

    Args:
        config: config.yaml.
        versions: versions.json.
        findings: findings.json.
        scores: scores.parquet, with all models.
        pairs: the tables of all pairs. Those of predictions come first, because the page shows them
            first.
        trained: history.parquet of each base.
        histories: history.parquet of the longest checkpoint of each walk.
        figures: SVG files.
        benchmarks: the folder with the costs of jobs; it may be missing or incomplete.
        measures: the measures after which columns of `pairs` are named.

    Raises:
        ArtifactError: a file is missing or broken, or lacks something.
    """
    found = artifacts.read_json(findings, FOUND)
    table = pair_tables.with_base_accuracy(artifacts.read_table(scores, SCORES))
    jobs = costs.read(benchmarks, set(table.model))
    drawn = [pictures.figure(path) for path in figures]
    recorded, target = _text(config), settings.target_in(config)
    return {
        "experiment": found["experiment"],
        "numbers": _key_numbers(found),
        "verdict": _verdict(found["verdict"]),
        "claims": once(found["claims"]),
        "claims_note": found["claims_note"],
        "evidence": [section for section in found["sections"] if section["text"]],
        "bases": tables.bases(found),
        "target": target,
        "steps": found["next"],
        "commands": _commands(found),
        "heatmap": pictures.first_heatmap(
            drawn, found["verdict"]["measure"], found["verdict"]["controls"]
        ),
        "grid": tables.models(table),
        "certificates": tables.certificates(found),
        "bridges": tables.bridges(found),
        "sections": {
            section: groups
            for section in captions.SECTIONS
            if (groups := pictures.by_title(drawn, section))
        },
        "stages": costs.by_stage(jobs).to_dict("records"),
        "jobs": jobs.to_dict("records"),
        "unmeasured": costs.unmeasured(benchmarks, set(table.model)),
        "config": recorded,
        "digest_name": settings.DIGEST,
        "digest": settings.digest(recorded),
        "versions": [
            {"name": name, "version": version}
            for name, version in artifacts.read_json(versions).items()
        ],
        "data": {
            "pairs": pair_numbers.gather(
                [artifacts.read_table(path, ["a", "b"]) for path in pairs], table, measures
            ),
            "charts": {
                "training": lines.training(trained, target),
                "walk": lines.walks(histories, found["walks"]),
            },
            "first": found["verdict"]["measure"],
            "controls": list(found["verdict"]["controls"]),
            "colours": colours.scale(settings.colormap_in(config)),
        },
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"Cannot read {path}: {error}.") from error


def _key_numbers(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The size and success of the experiment in a few numbers, each with its label."""
    holds = [row["holds"] for rows in once(found["claims"]).values() for row in rows]
    bases = found["bases"]
    return [
        (f"{found['models']}", "models"),
        (f"{found['pairs']:,}", "pairs compared"),
        (f"{sum(bool(base['optimal']) for base in bases)} of {len(bases)}", "bases optimal"),
        *_claims_in_short(holds),
        (f"{len(found['skeleton_models'])}", "skeletons that kept their accuracy"),
    ]


def _claims_in_short(holds: Sequence[str]) -> list[tuple[str, str]]:
    """How many claims hold; nothing for several networks, of which each has its own."""
    if not holds:
        return []
    if set(holds) == {NOT_TESTED}:
        return [("not tested", "claims")]
    return [(f"{holds.count('yes')} of {len(holds)}", "claims hold")]


def _verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, and its sentence for each OOD set that has a vote."""
    measure = found["measure"]
    sentences = {
        ood: values[measure]["sentence"]
        for ood, values in found["by"].items()
        if measure in values and ood not in found["controls"]
    }
    answer = found["answer"]
    return {
        "answer": f"{answer[:1].upper()}{answer[1:]}",
        "sentences": sentences,
        "caveat": found["caveat"],
        "controls": found["controls"],
    }


def _commands(found: Mapping[str, Any]) -> dict[str, str]:
    """The command that repeats the experiment, and one with the values of all next steps."""
    values: dict[str, Any] = {}
    for step in found["next"]:
        values |= step["values"]
    name = found["experiment"]
    return {
        "repeat": commands.repeat(name),
        "next": commands.changed(name, values) if values else "",
    }
