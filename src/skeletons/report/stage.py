"""The report: what an experiment found, on one page that needs nothing but a browser.

Here it is gathered from the experiment's files and put into the templates in `templates/report`,
which say how it looks and what it does when it is clicked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from skeletons import text as prose
from skeletons.errors import ArtifactError
from skeletons.figures import captions
from skeletons.findings import pair_tables
from skeletons.measures.catalogue import MEASURES, resolve
from skeletons.model_ids import MASKED, UNTRAINED, Model
from skeletons.report import colours, html, pair_numbers, pictures, settings
from skeletons.store import artifacts
from skeletons.workflow import costs

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("pages.js", "tables.js", "heatmap.js", "walks.js")
WALKED = {  # columns of a history, and what the page calls them
    "test_loss": "test loss in nats",
    "test_accuracy": "test accuracy",
    "train_loss": "training loss in nats, without the penalty",
    "train_accuracy": "training accuracy",
    "distance": "L2 distance to the base",
    "step": "L2 length of the epoch's step",
    "penalty": "penalty in nats",
}
FOUND = (
    *("experiment", "models", "pairs", "verdict", "claims", "claims_note"),
    *("bases", "walks", "skeleton_models"),
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
    text: str,
    scores: str,
    pairs: Sequence[str],
    histories: Sequence[str],
    figures: Sequence[str],
    benchmarks: Path,
) -> dict[str, Any]:
    """What the templates show, read from an experiment's files.

    Args:
        config: config.yaml.
        versions: versions.json.
        findings: findings.json.
        text: findings.md.
        scores: scores.parquet, all models.
        pairs: the tables of all pairs; of predictions first, as those are shown first.
        histories: history.parquet of each walk's longest checkpoint.
        figures: SVG files.
        benchmarks: the folder of what jobs cost; what is not there is not shown.

    Raises:
        ArtifactError: a file is missing, broken, or not what it should be.
    """
    found = artifacts.read_json(findings, FOUND)
    verdict = _verdict(found["verdict"])
    table = pair_tables.with_base_accuracy(artifacts.read_table(scores, SCORES))
    jobs = costs.read(benchmarks, set(table.model))
    drawn = [pictures.figure(path) for path in figures]
    return {
        "experiment": found["experiment"],
        "numbers": _key_numbers(found),
        "verdict": verdict,
        "claims": _claims(found["claims"]),
        "claims_note": found["claims_note"],
        "rest": html.rendered(_rest(_text(text), verdict)),
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
        "config": _text(config),
        "versions": artifacts.read_json(versions),
        "data": {
            "pairs": pair_numbers.gather(
                [artifacts.read_table(path, ["a", "b"]) for path in pairs],
                table,
                {**MEASURES, **resolve(settings.measures_in(config))},
            ),
            "walks": [_walk(path) for path in histories],
            "walked": WALKED,
            "first": found["verdict"]["measure"],
            "colours": colours.scale(settings.colormap_in(config)),
        },
    }


def page(shown: Mapping[str, Any]) -> str:
    """The report as HTML, from what `gather` gives; a name in it stays text, whatever it is."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "inline": html.rendered_inline,
        "address": address,
        "points": prose.points,
    }
    own = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    scripts = [get_plotlyjs(), own]
    return environment.get_template("page.html").render(
        **{**shown, "data": html.json_block(shown["data"])},
        policy=html.policy(scripts),
        scripts=[Markup(script) for script in scripts],
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
    )


def address(path: str) -> str:
    """A path as a relative link."""
    return quote(path, safe="/=")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"Cannot read {path}: {error}.") from error


# --- findings -----------------------------------------------------------------------------------


def _key_numbers(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a reader wants to know of the experiment's size and success: a number, and of what."""
    said = [row["holds"] for _, rows in _claims(found["claims"]) for row in rows]
    bases = found["bases"]
    return [
        (f"{found['models']}", "models"),
        (f"{found['pairs']:,}", "pairs compared"),
        (f"{sum(bool(base['optimal']) for base in bases)} of {len(bases)}", "bases optimal"),
        (f"{said.count('yes')} of {len(said)}", "claims hold"),
        (f"{len(found['skeleton_models'])}", "skeletons that kept their accuracy"),
    ]


def _verdict(found: Mapping[str, Any]) -> dict[str, Any]:
    """The answer, and the sentence that it is told in for each OOD set."""
    measure = found["measure"]
    sentences = {
        ood: values[measure]["overall"]["sentence"]
        for ood, values in found["by"].items()
        if measure in values
    }
    return {"answer": found["answer"], "sentences": sentences, "caveat": found["caveat"]}


def _claims(
    found: Mapping[str, Sequence[Mapping[str, str]]],
) -> list[tuple[str, list[Mapping[str, str]]]]:
    """The post's claims by OOD set; those that need no OOD images with the first set only."""
    said: list[Mapping[str, str]] = []
    by_set = []
    for ood, rows in found.items():
        new = [row for row in rows if row not in said]
        said += new
        by_set.append((ood, new))
    return by_set


def _rest(text: str, verdict: Mapping[str, Any]) -> str:
    """The findings in words, without title, answers and claims, which have places of their own."""
    told = tuple(filter(None, (*verdict["sentences"].values(), verdict["caveat"])))
    return "\n\n".join(
        block
        for block in text.split("\n\n")
        if not block.startswith(("# ", "| claim |")) and not (told and block.endswith(told))
    )


# --- the other pages ----------------------------------------------------------------------------


def _grid(table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row a model, in the order seed, λ, epochs, threshold; None for what it does not have."""
    plain = table.astype(object).where(table.notna(), None)
    rows = [
        {str(key): value for key, value in settings.items()}
        for settings in plain.to_dict("records")
    ]
    rows.sort(key=lambda row: Model.parse(row["model"]).sort_key)
    return [{**row, "note": _note(row), "files": _files(row["model"])} for row in rows]


def _note(row: Mapping[str, Any]) -> str:
    """What is wrong with a model, if something is."""
    if row["dead"]:
        return f"dead: {row['dead_reason']}"
    return f"not optimal: {row['optimal_reason']}" if row["optimal"] is False else ""


def _files(name: str) -> dict[str, str]:
    """A model's files, from the report's own folder: what each is, and its path."""
    state = Model.parse(name).state
    files = {"weights": f"models/{name}/weights.safetensors", "scores": f"scores/{name}.json"}
    if state in MASKED:
        files["sparsity"] = f"models/{name}/sparsity.json"
    else:
        files["network"] = f"models/{name}/model.json"
        if state != UNTRAINED:
            files["history"] = f"models/{name}/history.parquet"
    return files


def _walk(path: str) -> dict[str, Any]:
    """A walk epoch by epoch, by the model at its end, which the folder is named after."""
    table = artifacts.read_table(path, ["epoch", *WALKED])
    columns = {name: html.rounded(table[name].tolist()) for name in WALKED}
    return {"model": Path(path).parent.name, "epoch": table.epoch.tolist(), **columns}


def report_stage(output: str, *, config: str, **files: Any) -> None:
    """Write the report of the experiment in whose folder `output` is.

    Args:
        output: report.html.
        config: config.yaml.
        files: the others that `gather` reads, by its names for them; but the benchmarks, which are
            sought beside `output`.

    Raises:
        ArtifactError: a file that it shows is missing or broken, or it cannot be written.
        ExtensionError: a reference is none to a measure.
    """
    benchmarks = Path(output).parent / "benchmarks"
    artifacts.write_text(output, page(gather(config=config, benchmarks=benchmarks, **files)))
