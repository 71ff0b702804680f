"""What the report shows, read from the files of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skeletons.errors import ArtifactError
from skeletons.figures import captions
from skeletons.findings import pair_tables
from skeletons.findings.rules import NOT_TESTED
from skeletons.findings.sections import once
from skeletons.measures.measure import Measure
from skeletons.model_ids import MASKED, UNTRAINED, Model
from skeletons.report import colours, costs, html, pair_numbers, pictures, settings
from skeletons.store import artifacts

WALKED = {  # columns of a history, with their labels on the page
    "train_loss": "training loss in nats, without the penalty",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss in nats",
    "test_accuracy": "test accuracy",
    "distance": "L2 distance to the base",
    "step": "L2 length of the epoch's step",
    "penalty": "penalty in nats",
}
CERTIFIED = "certified_loss"  # the loss that the certificates are about
CERTIFIED_LABEL = "training loss in nats, of the certificate: furthest from the start's"
FOUND = (
    *("experiment", "models", "pairs", "verdict", "claims", "claims_note"),
    *("bases", "walks", "skeleton_models", "sections"),
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
    recorded = _text(config)
    return {
        "experiment": found["experiment"],
        "numbers": _key_numbers(found),
        "verdict": _verdict(found["verdict"]),
        "claims": once(found["claims"]),
        "claims_note": found["claims_note"],
        "evidence": [section for section in found["sections"] if section["text"]],
        "heatmap": pictures.first_heatmap(drawn, found["verdict"]["measure"]),
        "grid": _grid(table),
        "certificates": found["walks"],
        "sections": {
            section: chosen
            for section in captions.SECTIONS
            if (chosen := [figure for figure in drawn if figure["section"] == section])
        },
        "stages": costs.by_stage(jobs).to_dict("records"),
        "jobs": jobs.to_dict("records"),
        "unmeasured": costs.unmeasured(benchmarks, set(table.model)),
        "config": recorded,
        "digest_name": settings.DIGEST,
        "digest": settings.digest(recorded),
        "versions": artifacts.read_json(versions),
        "data": {
            "pairs": pair_numbers.gather(
                [artifacts.read_table(path, ["a", "b"]) for path in pairs], table, measures
            ),
            "walks": [_walk(path, found["walks"]) for path in histories],
            "walked": {CERTIFIED: CERTIFIED_LABEL, **WALKED} if found["walks"] else WALKED,
            "first": found["verdict"]["measure"],
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
        ("not tested", "claims")
        if holds and set(holds) == {NOT_TESTED}
        else (f"{holds.count('yes')} of {len(holds)}", "claims hold"),
        (f"{len(found['skeleton_models'])}", "skeletons that kept their accuracy"),
    ]


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


def _grid(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per model, in the order seed, λ, epochs, threshold; None for a missing value."""
    plain = table.astype(object).where(table.notna(), None)
    rows = [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]
    rows.sort(key=lambda row: Model.parse(row["model"]).sort_key)
    return [
        {**row, "note": _note(row), "files": _files(row["model"], row["state"])} for row in rows
    ]


def _note(row: Mapping[str, Any]) -> str:
    """Why a model is dead or not optimal; empty if it is neither."""
    if row["dead"]:
        return f"dead: {row['dead_reason']}"
    return f"not optimal: {row['optimal_reason']}" if row["optimal"] is False else ""


def _files(name: str, state: str) -> dict[str, str]:
    """The paths of a model's files, relative to the report, by what they contain."""
    files = {"weights": f"models/{name}/weights.safetensors", "scores": f"scores/{name}.json"}
    if state in MASKED:
        files["sparsity"] = f"models/{name}/sparsity.json"
    else:
        files["network"] = f"models/{name}/model.json"
        if state != UNTRAINED:
            files["history"] = f"models/{name}/history.parquet"
    return files


def _walk(path: str, certificates: Mapping[str, Any]) -> dict[str, Any]:
    """A walk epoch by epoch, with its last model, which the folder is named after."""
    table = artifacts.read_table(path, ["epoch", *WALKED])
    columns = {name: html.rounded(table[name].tolist()) for name in WALKED}
    model = Path(path).parent.name
    if model in certificates:
        by_epoch = dict(enumerate(certificates[model]["losses"]))
        columns[CERTIFIED] = html.rounded([by_epoch.get(epoch) for epoch in table.epoch])
    return {"model": model, "epoch": table.epoch.tolist(), **columns}
