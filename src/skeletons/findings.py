"""What an experiment found, in numbers and in words, from its scores and similarity tables.

These are descriptions, not tests: they say what was measured on these models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import markdown
import pandas as pd

from skeletons import artifacts, prose, scores
from skeletons.catalogue import MEASURES
from skeletons.models import Model

SPARSE = 0.8  # the share of weights that must go before a subnetwork is called a skeleton
SLACK = 0.02  # how far its accuracy may fall below its base's
ALIKE = 0.6  # the post's observation: most pairs are above this cosine


def with_base_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with `base_accuracy` and `drop` (base's accuracy − own, in shares 0..1)."""
    base = table[table.state == "base"].set_index("seed").accuracy
    return table.assign(
        base_accuracy=table.seed.map(base), drop=table.seed.map(base) - table.accuracy
    )


def skeletons(table: pd.DataFrame) -> pd.DataFrame:
    """The pruned models that lost ≥ 80 % of their weights and ≤ 2 points of accuracy."""
    table = with_base_accuracy(table)
    kept = table[
        (table.state == "pruned")
        & ~table.dead
        & (table.sparsity >= SPARSE)
        & (table["drop"] <= SLACK)
    ]
    return kept.sort_values(["sparsity", "model"], ascending=[False, True])


def annotate(pairs: pd.DataFrame) -> pd.DataFrame:
    """A similarity table with both sides' seed, state, l1, epochs and threshold as *_a and *_b."""
    parsed = {name: Model.parse(name) for name in {*pairs.a, *pairs.b}}
    columns = {
        f"{field}_{side}": [getattr(parsed[name], field) for name in pairs[side]]
        for side in ("a", "b")
        for field in ("seed", "state", "l1", "epochs", "threshold")
    }
    return pairs.assign(**columns)


def across_bases(pairs: pd.DataFrame, measure: str) -> list[dict[str, Any]]:
    """Similarity of models of different bases made the same way: unpruned, then by threshold.

    Returns:
        One row for the bases themselves (threshold None) and one a threshold, with the number of
        pairs, their mean, least and largest similarity, and the pairs that have none.
    """
    table = annotate(pairs)
    table = table[table.seed_a != table.seed_b]
    bases = table[(table.state_a == "base") & (table.state_b == "base")]
    rows = [{"threshold": None, **_spread(bases, measure)}]
    alike = table[
        (table.state_a == "pruned")
        & (table.state_b == "pruned")
        & (table.l1_a == table.l1_b)
        & (table.epochs_a == table.epochs_b)
        & (table.threshold_a == table.threshold_b)
    ]
    return rows + [
        {"threshold": threshold, **_spread(group, measure)}
        for threshold, group in _groups(alike, "threshold_a")
    ]


def _groups(table: pd.DataFrame, column: str) -> list[tuple[float, pd.DataFrame]]:
    """The rows of a table by the value of a numeric column, in ascending order."""
    return [(value, table[table[column] == value]) for value in sorted(set(table[column].dropna()))]


def _spread(pairs: pd.DataFrame, measure: str) -> dict[str, Any]:
    values = pairs[measure].dropna()
    known = len(values) > 0
    return {
        "pairs": len(pairs),
        "undefined": int(len(pairs) - len(values)),
        "mean": float(values.mean()) if known else None,
        "min": float(values.min()) if known else None,
        "max": float(values.max()) if known else None,
    }


def summarize(
    experiment: str,
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    measures: Sequence[str],
) -> dict[str, Any]:
    """Everything that findings.json holds.

    Args:
        experiment: its name.
        table: all models' scores (`scores.read_all`).
        similarity: the table of all pairs by OOD set.
        measures: the measures that the config asks to see.
    """
    bases = table[table.state == "base"]
    compared = sorted({name for pairs in similarity.values() for name in (*pairs.a, *pairs.b)})
    return {
        "experiment": experiment,
        "models": len(table),
        "compared_models": len(compared),
        "pairs": len(compared) * (len(compared) - 1) // 2,
        "bases": _records(
            bases,
            ["model", "accuracy", "loss", "train_accuracy", "train_loss", "optimal"],
            "optimal_reason",
        ),
        "skeletons": _records(
            skeletons(table), ["model", "sparsity", "accuracy", "base_accuracy", "drop"]
        ),
        "dead": _records(table[table.dead], ["model", "sparsity", "dead_reason"]),
        "similarity": {
            ood: {measure: _similarity(pairs, measure) for measure in measures}
            for ood, pairs in similarity.items()
        },
    }


def _similarity(pairs: pd.DataFrame, measure: str) -> dict[str, Any]:
    values = pairs[measure].dropna()
    return {
        "all_pairs": _spread(pairs, measure),
        "share_above": {"value": ALIKE, "share": float((values > ALIKE).mean())}
        if len(values) and MEASURES[measure].higher_is_alike
        else None,
        "across_bases": across_bases(pairs, measure),
    }


def _records(table: pd.DataFrame, columns: Sequence[str], *optional: str) -> list[dict[str, Any]]:
    records = table[[*columns, *optional]].to_dict("records")
    return [
        {str(key): None if pd.isna(value) else value for key, value in record.items()}
        for record in records
    ]


def to_markdown(found: Mapping[str, Any]) -> str:
    """The findings as a page of text."""
    parts = [
        f"# Findings of `{found['experiment']}`",
        f"{found['models']} models, of which {found['compared_models']} are compared in "
        f"{found['pairs']} pairs on each OOD set.",
        _bases_text(found["bases"]),
        _skeletons_text(found["skeletons"], found["dead"]),
    ]
    for ood, by_measure in found["similarity"].items():
        for measure, values in by_measure.items():
            parts.append(_similarity_text(ood, measure, values))
    parts.append("These figures describe the models at hand; no test stands behind them.")
    return "\n\n".join(parts) + "\n"


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
        f"{SLACK:.0%} of accuracy?\n\n"
    )
    rows = [
        [
            f"`{row['model']}`",
            f"{row['sparsity']:.2%}",
            f"{row['accuracy']:.2%}",
            f"{-row['drop']:+.2%}",
        ]
        for row in found
    ]
    head = ["model", "sparsity", "test accuracy", "against its base"]
    text = title + (prose.table(head, rows) if rows else "None.")
    if dead:
        names = "; ".join(f"`{row['model']}` ({row['dead_reason']})" for row in dead)
        text += f"\n\nDead, {len(dead)} of all models: {names}."
    return text


def _similarity_text(ood: str, measure: str, found: Mapping[str, Any]) -> str:
    text = f"## Similarity on `{ood}` by `{measure}`\n\n"
    if found["share_above"]:
        share = found["share_above"]
        text += (
            f"Of {found['all_pairs']['pairs']} pairs, {share['share']:.1%} are above "
            f"{share['value']}; mean {found['all_pairs']['mean']:.3f}, least "
            f"{found['all_pairs']['min']:.3f}. "
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


PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Findings</title>
<style>
  body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
  table {{ border-collapse: collapse; margin: 1rem 0; }}
  th, td {{ padding: 0.25rem 0.75rem; border-bottom: 1px solid #ccc; text-align: left; }}
  td {{ font-variant-numeric: tabular-nums; }}
  code {{ font-size: 90%; }}
</style>
{body}
</html>
"""


def to_html(text: str) -> str:
    """A page of Markdown as a page that needs nothing else."""
    return PAGE.format(body=markdown.markdown(text, extensions=["tables"]))


def findings_stage(
    output: str,
    text: str,
    table: str,
    page: str,
    experiment: str,
    measures: Sequence[str],
    scores_of: Sequence[str],
    similarity: Mapping[str, str],
) -> None:
    """Write findings.json, findings.md, the same as a page, and all scores as one table."""
    all_scores = scores.read_all(scores_of)
    tables = {
        ood: artifacts.read_table(path, ["a", "b", *measures]) for ood, path in similarity.items()
    }
    found = summarize(experiment, all_scores, tables, measures)
    artifacts.write_table(table, all_scores)
    artifacts.write_json(output, found)
    artifacts.write_text(text, to_markdown(found))
    artifacts.write_text(page, to_html(to_markdown(found)))
