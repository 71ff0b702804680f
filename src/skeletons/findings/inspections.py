"""What looks inside found, in numbers and in words, from the artifacts of `inspect`.

Like the rest of the findings it needs no network. How long inference took is left out: no two
runs give the same, and findings are the same bytes for the same inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons import text as prose
from skeletons.inspection import barriers
from skeletons.model_ids import BASE, Model
from skeletons.store import artifacts

READ = ("lines", "curve", "exposed", "importance", "matched", "probe")  # kinds of files

BASES, OWN, VARIANTS = "two bases", "a base and its variant", "variants of two bases"
KINDS = (BASES, OWN, VARIANTS)
PATHS = {"naive": "as they are", "aligned": "aligned"}


def inspections(paths: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Everything that looks inside found.

    Args:
        paths: the artifacts by kind, those of `READ`; other kinds are not looked at, and one that
            is absent was not asked for.

    Returns:
        By kind of `READ` a list, empty where there is none. `lines`: one row a pair and path, with
        kind (of `KINDS`), a, b, and the columns of `barriers.by_path`. `curve`: the same of the
        curve, and `line`, the row of the straight line between the same models. `exposed`: model,
        before, after, difference and dead_reason, see `exposure`. `importance` and `matched`: the
        totals of `unit_ranks.summarize` and `matched_units.summarize`, and the model, or a and b.
        `probe`: model and the numbers of `probe.probe_verdict`. None stands for what has no value.

    Raises:
        ArtifactError: a file is missing, broken, or lacks something.
    """
    lines = [row for path in paths.get("lines", ()) for row in _line_rows(path)]
    return {
        "lines": lines,
        "curve": [_curve_row(path, lines) for path in paths.get("curve", ())],
        "exposed": [_exposed_row(path) for path in paths.get("exposed", ())],
        "importance": [
            {"model": Path(path).stem, **_totals(path, ["spearman", "shared", "expected"])}
            for path in paths.get("importance", ())
        ],
        "matched": [
            {**_ends(path), **_totals(path, ["k_a", "k_b", "shared", "expected"])}
            for path in paths.get("matched", ())
        ],
        "probe": [
            {
                "model": Path(path).stem.rpartition("_l1=")[0],
                **artifacts.read_json(path, ["verdict", "sentence", "l1"]),
            }
            for path in paths.get("probe", ())
        ],
    }


def _ends(path: str) -> dict[str, str]:
    a, b = Path(path).stem.split("--")
    return {"a": a, "b": b}


def kind_of(a: str, b: str) -> str:
    """Which of `KINDS` a pair of models is."""
    one, two = Model.parse(a), Model.parse(b)
    if one.seed == two.seed:
        return OWN
    return BASES if one.state == BASE else VARIANTS


def _line_rows(path: str) -> list[dict[str, Any]]:
    table = barriers.by_path(artifacts.read_table(path, ["path", "t", "loss", "accuracy"]))
    ends = _ends(path)
    return [
        {"kind": kind_of(**ends), **ends, **{str(key): _plain(row[key]) for key in row}}
        for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """A value as JSON knows it; what is no finite number has none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _curve_row(path: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    (row,) = _line_rows(path)
    straight = (
        line
        for line in lines
        if (line["a"], line["b"], line["path"]) == (row["a"], row["b"], "naive")
    )
    return {**row, "line": next(straight, None)}


def _exposed_row(path: str) -> dict[str, Any]:
    found = artifacts.read_json(path, ["dead_reason"])
    keys = ("before", "after", "difference", "dead_reason")
    return {"model": Path(path).parent.name, **{key: found.get(key) for key in keys}}


def _totals(path: str, keys: Sequence[str]) -> dict[str, Any]:
    found = artifacts.read_json(path, keys)
    return {key: value for key, value in found.items() if key != "layers"}


# --- in words -----------------------------------------------------------------------------------


def inspections_markdown(found: Mapping[str, Any]) -> str:
    """What `inspections` returns as sections of a page of Markdown; empty if nothing was looked at.

    Sections have headings of the second level; the text ends without a newline.
    """
    ridge = [_lines_text(found["lines"]), *(_curve_text(row) for row in found["curve"])]
    sections = {
        "Is the ridge connected?": ridge,
        "The exposed skeletons": [_exposed_text(found["exposed"])],
        "Do large units matter?": [_importance_text(found["importance"])],
        "Do the units that matter match across bases?": [_matched_text(found["matched"])],
        "One skeleton or two?": [_probe_text(found["probe"])],
    }
    texts = {title: [text for text in parts if text] for title, parts in sections.items()}
    return "\n\n".join(
        "\n\n".join([f"## {title}", *parts]) for title, parts in texts.items() if parts
    )


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _lines_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The barriers on straight lines, one row a kind of pair and path."""
    groups = {
        (kind, path): [r for r in rows if (r["kind"], r["path"]) == (kind, path)]
        for kind in KINDS
        for path in PATHS
    }
    table = [_barriers_row(kind, path, group) for (kind, path), group in groups.items() if group]
    if not table:
        return ""
    head = ["between", "units", "lines", "mean barrier", "highest barrier", "at", "of the pair"]
    return (
        "A barrier is how far the test loss, in nats, rises over the line between its ends; 0 "
        "means that the straight way stays on the ridge. Its place runs from 0 to 1.\n\n"
        + prose.table(head, table)
    )


def _barriers_row(kind: str, path: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    known = [row for row in rows if row["barrier"] is not None]
    mean = sum(row["barrier"] for row in known) / len(known) if known else None
    worst = max(known, key=lambda row: row["barrier"], default=None)
    where = ["–"] * 3
    if worst:
        pair = f"`{worst['a']}`, `{worst['b']}`"
        where = [f"{worst['barrier']:.3f}", f"{worst['barrier_at']:.2f}", pair]
    return [kind, PATHS[path], str(len(rows)), _number(mean, ".3f"), *where]


def _curve_text(row: Mapping[str, Any]) -> str:
    line = row["line"]
    text = (
        f"On a trained curve between `{row['a']}` and `{row['b']}` the test loss is "
        f"{_number(row['highest_loss'], '.3f')} at the most, a barrier of "
        f"{_number(row['barrier'], '.3f')}"
    )
    if line:
        text += (
            f"; on the straight line it is {_number(line['highest_loss'], '.3f')}, a barrier of "
            f"{_number(line['barrier'], '.3f')}"
        )
    return f"{text}."


def _exposed_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = []
    for row in rows:
        if row["dead_reason"]:
            table.append([f"`{row['model']}`", *["dead"] * 4])
            continue
        sizes = [
            f"{row['before'][key]:,} → {row['after'][key]:,}"
            f" ({row['after'][key] / row['before'][key]:.1%})"
            for key in ("parameters", "flops")
        ]
        gap = row["difference"]
        table.append(
            [
                f"`{row['model']}`",
                *sizes,
                f"{gap['largest']:.1e}" if gap else "–",
                f"{gap['scale']:.3g}" if gap else "–",
            ]
        )
    head = ["model", "parameters", "FLOPs an image", "largest logit difference", "largest logit"]
    dead = [f"\n\n`{row['model']}`: {row['dead_reason']}" for row in rows if row["dead_reason"]]
    return (
        "With its dead units taken out, a pruned model is a smaller dense network that computes "
        "the same, up to rounding.\n\n" + prose.table(head, table) + "".join(dead)
    )


def _importance_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = [
        [
            f"`{row['model']}`",
            _number(row["spearman"], ".2f"),
            f"{row['shared']} of {row['k']}",
            f"{row['expected']:.1f}",
        ]
        for row in rows
    ]
    head = ["variant", "rank correlation", "shared", "by chance"]
    return (
        "A unit matters by how much the test loss rises when it is silenced in the regularised "
        "model. Against that: the size of its weights, by rank (mean over layers), and how many of "
        "the largest units, as many as pruning keeps, are among the most important ones.\n\n"
        + prose.table(head, table)
    )


def _matched_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = [
        [
            f"`{row['a']}`",
            f"`{row['b']}`",
            _number(row["spearman"], ".2f"),
            f"{row['shared']} of {min(row['k_a'], row['k_b'])}",
            f"{row['expected']:.1f}",
        ]
        for row in rows
    ]
    head = ["a", "b", "rank correlation", "shared", "by chance"]
    return (
        "The most important units of two bases, once their units are aligned by weights. Chance "
        "is that of two sets drawn at random; alignment itself puts large units beside large ones, "
        "so that a little more than chance is no evidence of a shared skeleton.\n\n"
        + prose.table(head, table)
    )


def _probe_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [f"- `{row['model']}`, λ = {row['l1']:g}: {row['sentence']}" for row in rows]
    return (
        "The regularised model is trained on with a penalty on its skeleton's own weights "
        "alone.\n\n" + "\n".join(lines)
    )
