"""What an experiment found: the verdict first, then what stands behind it.

The verdict, the claims and the walks are tests and certificates, each made by its own module; the
rest describes the models at hand. Here it is gathered, and put into words and numbers.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skeletons import text as prose
from skeletons.findings import (
    comparisons,
    experiment_answer,
    inspections,
    pair_kinds,
    pair_tables,
    post_claims,
    scores,
    walk_certificates,
)
from skeletons.findings import recipe_verdicts as verdicts
from skeletons.findings.pair_tables import ALIKE, SLACK, SPARSE
from skeletons.findings.recipe_verdicts import Verdict
from skeletons.findings.walk_certificates import Certificate
from skeletons.measures import predictions
from skeletons.measures.catalogue import MEASURES, resolve
from skeletons.measures.measure import Measure
from skeletons.measures.predictions import Predictions
from skeletons.model_ids import BASE, CONTROLS, PRUNED, Model
from skeletons.store import artifacts

SHOWN = 5  # of the models that stand apart most


@dataclasses.dataclass(frozen=True)
class Settings:
    """The configuration's section `findings`: levels of tests, and tolerances.

    Attributes:
        alpha: level of the verdicts, after correction.
        margin: the smallest rise that matters, in units of the measure.
        loss_rise: how far the loss may rise on a walk, in nats.
        largest_step: a walk's longest step, as a share of the weights' length.
    """

    alpha: float = verdicts.ALPHA
    margin: float = verdicts.MARGIN
    loss_rise: float = walk_certificates.RISE
    largest_step: float = walk_certificates.STEP


def summarize(
    experiment: str,
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    *,
    known: Mapping[str, Mapping[str, Predictions]] | None = None,
    walked: Mapping[str, pd.DataFrame] | None = None,
    inside: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
    declared: Mapping[str, Measure] = MEASURES,
) -> dict[str, Any]:
    """Everything that was found; `plain` gives what findings.json holds.

    Args:
        experiment: its name.
        table: all models' scores (`scores.read_all`).
        similarity: the table of all pairs by OOD set.
        measures: the measures that the config asks to see; the verdict rests on the first.
        known: predictions by OOD set and model, for verdicts image by image; may lack models.
        walked: by the model at its end, the table of each walk (`walks.certify`).
        inside: what looks inside found (`inspections.inspections`).
        settings: levels and tolerances.
        declared: measures by name.
    """
    chosen = settings or Settings()
    compared = sorted({name for pairs in similarity.values() for name in (*pairs.a, *pairs.b)})
    plain_pairs = {ood: without_controls(pairs) for ood, pairs in similarity.items()}
    main, why = told_by(measures, declared)
    return {
        "experiment": experiment,
        "models": len(table),
        "controls": int(table.state.isin(CONTROLS).sum()),
        "compared_models": len(compared),
        "pairs": len(compared) * (len(compared) - 1) // 2,
        "settings": chosen,
        "verdict": _verdict(similarity, measures, known or {}, table, chosen, declared),
        "claims": {
            ood: post_claims.claims(table, pairs, measure, declared)
            for ood, pairs in plain_pairs.items()
            for measure in main
        },
        "claims_note": why,
        "apart": {
            ood: _records(post_claims.outliers(table, pairs, measure).head(SHOWN))
            for ood, pairs in plain_pairs.items()
            for measure in main
        },
        "kinds": {
            ood: {measure: pair_kinds.summary(pairs, measure, declared) for measure in measures}
            for ood, pairs in similarity.items()
        },
        "bases": _records(
            table[table.state == BASE],
            ["model", "accuracy", "loss", "train_accuracy", "train_loss", "optimal"],
            "optimal_reason",
        ),
        "walks": {
            name: walk_certificates.certify(
                walk,
                float(walk["norm"].iloc[0]),
                rise=chosen.loss_rise,
                step=chosen.largest_step,
            )
            for name, walk in (walked or {}).items()
        },
        "inside": inside or inspections.inspections({}),
        "skeleton_models": _records(
            pair_tables.skeletons(table), ["model", "sparsity", "accuracy", "base_accuracy", "drop"]
        ),
        "dead": _records(table[table.dead], ["model", "sparsity", "dead_reason"]),
        "similarity": {
            ood: {measure: _similarity(pairs, declared[measure]) for measure in measures}
            for ood, pairs in plain_pairs.items()
        },
    }


def told_by(
    measures: Sequence[str], declared: Mapping[str, Measure] = MEASURES
) -> tuple[list[str], str]:
    """The measure by which the post's claims are told, if there is one, and why not by the first.

    The claims are about similarities, so a measure in which lower is more alike tells none.
    """
    unfit = list(itertools.takewhile(lambda m: not declared[m].higher_is_alike, measures))
    main = list(measures[len(unfit) :][:1])
    if not main:
        return [], (
            "The post's claims are about similarities; `figures.measures` names none in which "
            "higher is more alike."
        )
    if not unfit:
        return main, ""
    return main, (
        f"The claims are told by `{main[0]}`, the first of `figures.measures` in which higher is "
        f"more alike; in {prose.listed([f'`{measure}`' for measure in unfit])}, named before it, "
        "lower is."
    )


def without_controls(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of bases and pruned models, which the post compares."""
    asked = {n for n in {*pairs.a, *pairs.b} if Model.parse(n).state in (BASE, PRUNED)}
    return pairs[pairs.a.isin(asked) & pairs.b.isin(asked)]


def _verdict(
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
    known: Mapping[str, Mapping[str, Predictions]],
    table: pd.DataFrame,
    chosen: Settings,
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The experiment's answer by its first measure, and for each OOD set and measure all of it."""
    seeds = int(table.seed.nunique())
    by: dict[str, dict[str, Any]] = {}
    for ood, pairs in similarity.items():
        by[ood] = {}
        for measure in measures:
            recipes = recipe_verdicts(pairs, declared[measure], known.get(ood, {}), chosen)
            answer = experiment_answer.combine(
                recipes, seeds, alpha=chosen.alpha, margin=chosen.margin
            )
            by[ood][measure] = {"overall": answer, "recipes": recipes}
    first = {ood: found[measures[0]]["overall"] for ood, found in by.items() if measures}
    return {
        "answer": experiment_answer.over_sets(first) if first else verdicts.UNDECIDED,
        "measure": measures[0] if measures else None,
        "caveat": off_optimum(table),
        "by": by,
    }


def off_optimum(table: pd.DataFrame) -> str:
    """A sentence on the bases that miss `base.target`; none if all reach it.

    The post's idea is about networks trained to optimality, so a verdict on others must say so.
    """
    bases = table[table.state == BASE]
    names = [f"`{name}`" for name in bases.model[bases.optimal.eq(False)]]
    if not names:
        return ""
    return (
        f"{len(names)} of {prose.counted(len(bases), 'base')} ({prose.listed(names)}) "
        f"{'misses' if len(names) == 1 else 'miss'} `base.target`, so the verdict is about models "
        "off the optimum."
    )


def recipe_verdicts(
    pairs: pd.DataFrame, measure: Measure, known: Mapping[str, Predictions], chosen: Settings
) -> list[Verdict]:
    """A verdict on every recipe that was compared, image by image if that can be.

    Similarities of all pairs of a recipe on 2,000 images take milliseconds; the bootstrap over
    images, on which nothing rests, would take 0.4 s a comparison and is left out.

    Returns:
        None at all if the bases were not compared.
    """
    models = [Model.parse(name) for name in sorted({*pairs.a, *pairs.b})]
    if not any(model.state == BASE for model in models):
        return []
    by_image = bool(known) and measure.per_image
    values = (
        comparisons.from_predictions(known, measure)
        if by_image
        else comparisons.from_table(pairs, measure.name)
    )
    remembered = functools.lru_cache(maxsize=64)(values)  # the bases are asked for again and again
    return comparisons.convergence(
        models,
        lambda names: remembered(tuple(names)),
        comparisons.controls_of(models),
        sign=measure.sign,
        alpha=chosen.alpha,
        margin=chosen.margin,
        resamples=0,
    )


def _similarity(pairs: pd.DataFrame, measure: Measure) -> dict[str, Any]:
    values = pairs[measure.name].dropna()
    return {
        "all_pairs": pair_tables.spread(pairs, measure.name),
        "share_above": {"value": ALIKE, "share": float((values > ALIKE).mean())}
        if len(values) and measure.higher_is_alike
        else None,
        "across_bases": pair_tables.across_bases(pairs, measure.name),
    }


def _records(
    table: pd.DataFrame, columns: Sequence[str] = (), *optional: str
) -> list[dict[str, Any]]:
    """The rows of a table, all columns or some; what has no value is None."""
    records = table[[*(columns or table.columns), *optional]].to_dict("records")
    return [
        {str(key): None if pd.isna(value) else value for key, value in record.items()}
        for record in records
    ]


def plain(found: Any) -> Any:
    """What was found as JSON knows it: no objects, no tuples, None for what has no value."""
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    if isinstance(found, Mapping):
        return {key: plain(value) for key, value in found.items() if key != "bootstrap"}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


# --- in words -----------------------------------------------------------------------------------


def to_markdown(found: Mapping[str, Any]) -> str:
    """The findings as a page of text."""
    parts = [
        f"# Findings of `{found['experiment']}`",
        _verdict_text(found["verdict"], found["settings"]),
        _claims_text(found["claims"], found["claims_note"], found["apart"]),
        _kinds_text(found["kinds"]),
        _bases_text(found["bases"]),
        _walks_text(found["walks"], found["settings"]),
        _skeletons_text(found["skeleton_models"], found["dead"]),
        inspections.inspections_markdown(found["inside"]),
        _details_text(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdict_text(found: Mapping[str, Any], settings: Settings) -> str:
    """The answer in a sentence for each OOD set, then the verdicts that it rests on."""
    main, by = found["measure"], found["by"]
    if not by or main is None:
        return ""
    several = len(by) > 1
    parts = ["## Do models of different bases converge?"]
    if several:
        parts.append(f"On all data sets together: **{found['answer']}**.")
    parts += [
        f"On `{ood}`: {values[main]['overall'].sentence}"
        if several
        else values[main]["overall"].sentence
        for ood, values in by.items()
    ]
    parts.append(found["caveat"])
    for ood, values in by.items():
        recipes = values[main]["recipes"]
        text = verdicts.verdict_markdown(recipes, alpha=settings.alpha, margin=settings.margin)
        parts += [f"### On `{ood}`, by `{main}`", text, _images_text(recipes)]
    return "\n\n".join(part for part in [*parts, _others_text(found)] if part)


def _images_text(recipes: Sequence[Verdict]) -> str:
    """For which images the intervals hold."""
    images = {rise.images for verdict in recipes for rise in verdict.rises if rise.seeds}
    counts = [count for count in images if count is not None]
    if counts:
        return (
            f"Similarities were taken image by image, on {max(counts):,} images: intervals hold "
            "for other images of this kind, too."
        )
    return "Similarities are one number a pair: intervals hold for these images." if images else ""


def _others_text(found: Mapping[str, Any]) -> str:
    """The answers by the other measures, each with a correction of its own."""
    rows = [
        [f"`{ood}`", f"`{measure}`", values["overall"].answer]
        for ood, by_measure in found["by"].items()
        for measure, values in by_measure.items()
        if measure != found["measure"]
    ]
    if not rows:
        return ""
    return (
        "### By other measures\n\nThe verdict rests on the first measure of `figures.measures`. "
        "Each of the others is corrected for the number of recipes but not for that of measures; "
        "all numbers are in findings.json.\n\n"
        + prose.table(["data set", "measure", "answer"], rows)
    )


def _claims_text(
    found: Mapping[str, Sequence[Mapping[str, str]]], note: str, apart: Mapping[str, Any]
) -> str:
    """The post's claims; those that have no need of OOD images stand with the first set only."""
    parts = ["## What the post saw, claim by claim", *([note] if note else [])]
    said: list[Mapping[str, str]] = []
    for ood, rows in found.items():
        new = [row for row in rows if row not in said]
        said += new
        if len(found) > 1:
            parts.append(f"### On `{ood}`")
        parts += [post_claims.claims_markdown(new), _apart_text(apart[ood])]
    return "\n\n".join(parts)


def _apart_text(models: Sequence[Mapping[str, Any]]) -> str:
    """The models least like the others, beside how they do their own task."""
    rows = [
        [
            f"`{row['model']}`",
            f"{row['similarity']:.3f}",
            f"{row['score']:.1f}".replace("-", "−"),
            "**yes**" if row["outlier"] else "no",
            f"{row['loss']:.3f}",
            f"{row['accuracy']:.2%}",
            f"{row['loss_score']:.1f}".replace("-", "−"),
        ]
        for row in models
    ]
    if not rows:
        return ""
    head = ["model", "mean similarity", "robust score", "outlier", "test loss", "test accuracy"]
    return (
        "The models least like all others, beside the loss on their own task; scores are in robust "
        "deviations from the median of all models:\n\n"
        + prose.table([*head, "score of the loss"], rows)
    )


def _kinds_text(found: Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]) -> str:
    """How alike pairs are that have much, little or nothing in common."""
    parts = ["## What a similarity means here"]
    there: set[str] = set()
    for ood, by_measure in found.items():
        for measure, kinds_of in by_measure.items():
            there |= {row["kind"] for row in kinds_of}
            parts += [f"On `{ood}`, by `{measure}`:", _kinds_table(kinds_of)]
    if len(parts) == 1:
        return ""
    missing = [kind for kind in pair_kinds.KINDS if kind not in there]
    if missing:
        parts.append(
            f"Not there to compare with: {prose.listed(missing, most=len(missing))}. `controls` "
            "and `compare.states` in the configuration add them."
        )
    return "\n\n".join(parts)


def _kinds_table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        [
            row["kind"],
            str(row["pairs"]),
            *("–" if row[key] is None else f"{row[key]:.3f}" for key in ("mean", "min", "max")),
            "–" if row["above"] is None else f"{row['above']:.0%}",
            str(row["undefined"]),
        ]
        for row in rows
    ]
    head = ["pairs of models", "pairs", "mean", "least", "largest", f"above {ALIKE:g}"]
    return prose.table([*head, "undefined"], shown)


def _walks_text(found: Mapping[str, Certificate], settings: Settings) -> str:
    title = "## Is regularisation a continuous deformation at constant loss?\n\n"
    text = walk_certificates.walks_markdown(
        found, rise=settings.loss_rise, step=settings.largest_step
    )
    if found and max(one.every for one in found.values()) > 1:
        text += (
            "\n\nSteps were measured one by one, but the loss only at the end of each epoch: a "
            "rise in between is not seen. `regularize.trace` measures it after every step."
        )
    return title + text


def _details_text(found: Mapping[str, Any]) -> str:
    controls = f", {found['controls']} of them controls" if found["controls"] else ""
    parts = [
        f"## Details\n\n{found['models']} models{controls}, of which {found['compared_models']} "
        f"are compared in {found['pairs']} pairs on each OOD set. These figures describe the "
        "models at hand; the tests are above."
    ]
    parts += [
        _similarity_text(ood, measure, values)
        for ood, by_measure in found["similarity"].items()
        for measure, values in by_measure.items()
    ]
    return "\n\n".join(parts)


def _bases_text(bases: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            f"`{base['model']}`",
            f"{base['train_loss']:.4f}",
            f"{base['train_accuracy']:.2%}",
            f"{base['accuracy']:.2%}",
            "yes" if base["optimal"] else f"**no**: {base['optimal_reason']}",
        ]
        for base in bases
    ]
    head = ["base model", "training loss", "training accuracy", "test accuracy", "optimal"]
    return "## Are the base models optimal?\n\n" + prose.table(head, rows)


def _skeletons_text(found: Sequence[Mapping[str, Any]], dead: Sequence[Mapping[str, Any]]) -> str:
    title = (
        f"## Which pruned models lost at least {SPARSE:.0%} of their weights and at most "
        f"{prose.points(SLACK, 0)} points of accuracy?\n\n"
    )
    rows = [
        [
            f"`{row['model']}`",
            f"{row['sparsity']:.2%}",
            f"{row['accuracy']:.2%}",
            prose.points(-row["drop"], 2),
        ]
        for row in found
    ]
    head = ["model", "sparsity", "test accuracy", "against its base, points"]
    text = title + (prose.table(head, rows) if rows else "None.")
    if dead:
        names = "; ".join(f"`{row['model']}` ({row['dead_reason']})" for row in dead)
        text += f"\n\nDead, {len(dead)} of all models: {names}."
    return text


def _similarity_text(ood: str, measure: str, found: Mapping[str, Any]) -> str:
    text = f"### Similarity on `{ood}` by `{measure}`\n\n"
    if found["share_above"]:
        share = found["share_above"]
        text += (
            f"Of {found['all_pairs']['pairs']} pairs of bases and pruned models, "
            f"{share['share']:.1%} are above {share['value']}; "
            f"mean {found['all_pairs']['mean']:.3f}, least {found['all_pairs']['min']:.3f}. "
        )
    text += "Pairs of models of different bases, made the same way:\n\n"
    rows = [
        [
            "unpruned bases" if row["threshold"] is None else f"{row['threshold']:g}",
            str(row["pairs"]),
            *("–" if row[key] is None else f"{row[key]:.3f}" for key in ("mean", "min", "max")),
            str(row["undefined"]),
        ]
        for row in found["across_bases"]
    ]
    return text + prose.table(["threshold", "pairs", "mean", "least", "largest", "undefined"], rows)


def read_walks(paths: Sequence[str], histories: Sequence[str]) -> dict[str, pd.DataFrame]:
    """The table of each walk by the model at its end, named by the folder that it is in.

    Args:
        paths: tables of walks, step by step.
        histories: of the same models, if walks were recorded without a loss; then it is taken from
            there, once an epoch.
    """
    columns = ["epoch", "train_loss", "train_accuracy"]
    epochs = {Path(path).parent.name: artifacts.read_table(path, columns) for path in histories}
    found = {}
    for path in paths:
        name, walk = (
            Path(path).parent.name,
            artifacts.read_table(path, [*walk_certificates.COLUMNS, "norm"]),
        )
        found[name] = walk_certificates.with_losses(walk, epochs[name]) if name in epochs else walk
    return found


def read_predictions(paths: Sequence[str]) -> dict[str, dict[str, Predictions]]:
    """Predictions by OOD set, the folder, and model, the file."""
    found: dict[str, dict[str, Predictions]] = {}
    for path in map(Path, paths):
        found.setdefault(path.parent.name, {})[path.stem] = predictions.read(path)
    return found


def findings_stage(
    output: str,
    text: str,
    table: str,
    experiment: str,
    measures: Sequence[str],
    scores_of: Sequence[str],
    similarity: Mapping[str, str],
    predictions_of: Sequence[str] = (),
    walks_of: Sequence[str] = (),
    histories: Sequence[str] = (),
    settings: Mapping[str, float] | None = None,
    looks: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write findings.json, findings.md, and all scores as one table."""
    declared = resolve(measures)
    all_scores = scores.read_all(scores_of)
    pairs = {
        ood: artifacts.read_table(path, ["a", "b", *declared]) for ood, path in similarity.items()
    }
    found = summarize(
        experiment,
        all_scores,
        pairs,
        list(declared),
        known=read_predictions(predictions_of),
        walked=read_walks(walks_of, histories),
        inside=inspections.inspections(looks or {}),
        settings=Settings(**(settings or {})),
        declared=declared,
    )
    artifacts.write_table(table, all_scores)
    artifacts.write_json(output, plain(found))
    artifacts.write_text(text, to_markdown(found))
