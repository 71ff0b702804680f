"""The results of the inspections, in numbers and in words, from the artifacts of `inspect`.

Like the rest of the findings, this needs no network. The time of inference is left out, because it
differs between runs, and the same inputs must give the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from skeletons import text as prose
from skeletons.findings import bridges, layer_maps, transfers, walk_certificates
from skeletons.findings.plain import plain
from skeletons.findings.sections import Section, joined
from skeletons.inspection import absence, barriers
from skeletons.model_ids import BASE, Model
from skeletons.store import artifacts

COLUMNS = (  # of paths
    *("path", "repaired", "t", "loss", "accuracy"),
    *("test_loss", "test_accuracy", "tempered_loss"),
)

BASES, OWN, VARIANTS = "two bases", "a base and its variant", "variants of two bases"
KINDS = (BASES, OWN, VARIANTS)
PATHS = {
    "naive": "as they are",
    "weights": "aligned by weights",
    "activations": "aligned by activations",
}


def inspections(
    paths: Mapping[str, Sequence[str]],
    *,
    rise: float = walk_certificates.RISE,
    step: float = walk_certificates.STEP,
    missed: Collection[str] = (),
) -> dict[str, Any]:
    """The results of all inspections.

    Args:
        paths: the artifacts by kind. Kinds that are not in `inspected.READ` are ignored; a kind may
            be absent if the configuration does not ask for it.
        rise: the limit of a walk's training loss, in nats, which a curve is certified by.
        step: the limit of a walk's steps, as a share of the weights' norm.
        missed: ids of bases that miss their target, which are on no ridge.

    Returns:
        For each kind in `inspected.READ` a list, which is empty without artifacts. Only the key
        `sparsest` is absent then.
        None stands for a missing value. `lines`: one row per pair, path and whether it is repaired,
        with kind (one of `KINDS`), a, b, and the columns of `barriers.by_path`. `curve`: the
        same for the curve; `line`, the row of the straight line between the same ends; certified,
        and broken, a clause for each limit that the curve exceeds; points; and longest, the longest
        step. `exposed`:
        model, before, after, difference and dead_reason (see `inspection.exposure`). `importance`
        and `matched`: the totals of `unit_ranks.summarize` and `matched_units.summarize`, with the
        model, or a and b. `probe`: model and the numbers of `second_skeleton.probe_verdict`.
        `takeover`: model and those of `takeover.takeover_verdict`. Both with `optimal`, whether the
        base reaches its target.
        `bridge` and `transfer`: see `bridges.read` and `transfers.read`. `layer_maps`: see
        `layer_maps.summarize`. `sparsest`: what `sparsest.sparsest_stage` wrote.
        The row of a look that cannot be had has only the models and `absent`, the reason (see
        `inspection.absence`).

    Raises:
        ArtifactError: a file is missing or broken, or lacks a key.
    """
    asked = paths.get("sparsest", ())
    return {
        "lines": [row for path in paths.get("lines", ()) for row in _line_rows(path)],
        "curve": [_curve_row(path, rise, step, missed) for path in paths.get("curve", ())],
        "bridge": [bridges.read(path) for path in paths.get("bridge", ())],
        "transfer": transfers.read(paths.get("transfer", ())),
        "exposed": [_exposed_row(path) for path in paths.get("exposed", ())],
        "importance": [
            {"model": Path(path).stem, **_totals(path, ["spearman", "unit_sets"])}
            for path in paths.get("importance", ())
        ],
        "matched": [
            {**_ends(path), **_totals(path, ["k_a", "k_b", "shared", "expected"])}
            for path in paths.get("matched", ())
        ],
        "probe": [
            {
                "model": Path(path).stem.rpartition("_l1=")[0],
                "optimal": model_of(path) not in missed,
                **_totals(path, ["verdict", "sentence", "l1"]),
            }
            for path in paths.get("probe", ())
        ],
        "takeover": [
            {
                "model": Path(path).stem,
                "optimal": str(Model.parse(Path(path).stem).base) not in missed,
                **_totals(path, ["verdict", "sentence", "room"]),
            }
            for path in paths.get("takeover", ())
        ],
        "layer_maps": layer_maps.summarize(paths.get("layer_maps", ()), kind_of),
        **({"sparsest": [_search(path) for path in asked]} if asked else {}),
    }


def _search(path: str) -> dict[str, Any]:
    if because := absence.reason(path):
        return {"model": model_of(path), absence.KEY: because}
    return artifacts.read_json(path, ["model", "density", "tries"])


def _ends(path: str) -> dict[str, str]:
    a, b = Path(path).stem.split("--")
    return {"a": a, "b": b}


def model_of(path: str) -> str:
    """A base or variant that an artifact is of, from its name or that of its folder."""
    file = Path(path)
    named = file.stem if "=" in file.stem else file.parent.name
    model, _, rest = named.partition("--")
    if not rest and file.parent.name == "transfer":
        return model.partition("_mask=")[0]
    return model.rpartition("_l1=")[0] if not rest and file.parent.name == "probe" else model


def kind_of(a: str, b: str) -> str:
    """The kind of a pair of models, one of `KINDS`."""
    one, two = Model.parse(a), Model.parse(b)
    if one.base == two.base:
        return OWN
    return BASES if one.state == BASE else VARIANTS


def _line_rows(path: str) -> list[dict[str, Any]]:
    if because := absence.reason(path):
        return [{"kind": kind_of(**_ends(path)), **_ends(path), absence.KEY: because}]
    table = barriers.by_path(artifacts.read_table(path, COLUMNS))
    ends = _ends(path)
    return [{"kind": kind_of(**ends), **ends, **plain(row)} for row in table.to_dict("records")]


def _curve_row(path: str, rise: float, step: float, missed: Collection[str]) -> dict[str, Any]:
    rows = {row.get("path"): row for row in _line_rows(path)}
    if None in rows:
        return rows[None]  # why there is none
    table = artifacts.read_table(path, [*COLUMNS, "distance", "step_length"])
    curve = table[table.path == "curve"].reset_index(drop=True)
    walk = curve.assign(step=curve.index, epoch=(curve.index > 0).astype(int))
    optimal = not set(_ends(path).values()) & set(missed)
    found = walk_certificates.certify(walk, 1.0, rise=rise, step=step, optimal=optimal)
    return {
        **rows["curve"],
        "line": rows["straight"],
        "certified": found.holds,
        "broken": list(found.broken),
        "points": len(curve),
        "longest": found.longest,
    }


def _exposed_row(path: str) -> dict[str, Any]:
    model = Path(path).parent.name
    if because := absence.reason(path):
        return {"model": model, absence.KEY: because}
    found = artifacts.read_json(path, ["dead_reason"])
    keys = ("before", "after", "difference", "dead_reason")
    return {"model": model, **{key: found.get(key) for key in keys}}


def _totals(path: str, keys: Sequence[str]) -> dict[str, Any]:
    if because := absence.reason(path):
        return {absence.KEY: because}
    found = artifacts.read_json(path, keys)
    return {key: value for key, value in found.items() if key != "layers"}


# --- in words -----------------------------------------------------------------------------------


def inspection_sections(found: Mapping[str, Any]) -> list[Section]:
    """The results that `inspections` returns, in words; a kind without results has no section."""
    there = {kind: [row for row in rows if absence.KEY not in row] for kind, rows in found.items()}
    missing = {kind: _missing_text(rows) for kind, rows in found.items()}
    ridge = joined(
        _lines_text(there["lines"]),
        missing["lines"],
        *(_curve_text(row) for row in there["curve"]),
        missing["curve"],
    )
    matched = "Do the important units match across bases?"
    sections = [
        Section("ridge", "Is the ridge connected?", ridge),
        *(
            Section(kind, title, joined(in_words(there[kind]), missing[kind]))
            for kind, title, in_words in (
                ("bridge", "Can one machinery be exchanged for another?", bridges.in_words),
                ("transfer", "Does a mask help another base?", transfers.in_words),
                ("exposed", "The exposed skeletons", _exposed_text),
                ("importance", "Are large units important?", _importance_text),
                ("matched", matched, _matched_text),
                ("probe", "One skeleton or two?", _probe_text),
                ("takeover", "Can another skeleton take over?", _takeover_text),
                ("layer_maps", "Which layers of two models correspond?", layer_maps.in_words),
            )
        ),
    ]
    return [section for section in sections if section.text]


def _missing_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """For which models a look cannot be had, and why, one sentence per reason."""
    names: dict[str, list[str]] = {}
    for row in rows:
        if absence.KEY in row:
            ends = [row["model"]] if "model" in row else [row["a"], row["b"]]
            named = " with ".join(f"`{name}`" for name in ends)
            names.setdefault(row[absence.KEY], []).append(named)
    return joined(
        *(f"Not available for {prose.listed(of)}: {because}" for because, of in names.items())
    )


def _lines_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The barriers on straight lines, one row per kind of pair and path."""
    groups = {
        (kind, path): [r for r in rows if (r["kind"], r["path"]) == (kind, path)]
        for kind in KINDS
        for path in PATHS
    }
    table = [_barriers_row(kind, path, group) for (kind, path), group in groups.items() if group]
    if not table:
        return ""
    head = ["between", "units", "lines", "barrier", "repaired"]
    head += ["accuracy lost, points", "repaired", "tempered test loss", "repaired"]
    return (
        "A barrier is the highest rise of the training loss, in nats, over the line between its "
        "ends; 0 means that the straight line stays on the ridge. Each number is a mean over "
        "lines, with the highest in brackets. *Repaired*: at each point, the mean and the "
        "deviation of each unit are set to what lies between those of the ends (REPAIR), because "
        "units of a mixture vary too little. *Accuracy lost*: how far the training accuracy falls "
        "below the line between the ends. *Tempered test loss*: the barrier of the test loss at "
        "its best temperature at each point, which confidence alone cannot move.\n\n"
        + prose.table(head, table)
    )


def _barriers_row(kind: str, path: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    pairs = {(row["a"], row["b"]) for row in rows}
    cells = [
        _mean_and_highest([row[key] for row in rows if row["repaired"] == repaired], scale, digits)
        for key, scale, digits in (
            ("barrier", 1, 3),
            ("accuracy_drop", 100, 1),
            ("tempered_barrier", 1, 3),
        )
        for repaired in (False, True)
    ]
    return [kind, PATHS[path], str(len(pairs)), *cells]


def _mean_and_highest(values: Sequence[float | None], scale: float, digits: int) -> str:
    known = [scale * value for value in values if value is not None]
    if not known:
        return "–"
    return f"{sum(known) / len(known):.{digits}f} ({max(known):.{digits}f})"


def _curve_text(row: Mapping[str, Any]) -> str:
    line = row["line"]
    text = (
        f"On a trained curve between `{row['a']}` and `{row['b']}`, whose units are aligned to "
        f"those of `{row['a']}`, the highest training loss is "
        f"{prose.number(row['highest_loss'])}, a barrier of {prose.number(row['barrier'])}, "
        f"and the accuracy falls by {prose.points(row['accuracy_drop'])} points; on the "
        f"straight line the loss is {prose.number(line['highest_loss'])}, a barrier of "
        f"{prose.number(line['barrier'])}, and the accuracy falls by "
        f"{prose.points(line['accuracy_drop'])} points. "
    )
    measured = f"{row['points']} points, no further apart than {row['longest']:.1%} of the weights"
    if row["certified"]:
        return f"{text}By the limits of a walk, the curve lies on the ridge: {measured}."
    return f"{text}By the limits of a walk, it is not on a ridge: {' and '.join(row['broken'])}."


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
    head = ["model", "parameters", "FLOPs per image", "largest logit difference", "largest logit"]
    dead = [f"\n\n`{row['model']}`: {row['dead_reason']}" for row in rows if row["dead_reason"]]
    return (
        "Without its dead units, a pruned model is a smaller dense network that computes the same "
        "function, up to rounding.\n\n" + prose.table(head, table) + "".join(dead)
    )


def _importance_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = [
        [
            f"`{row['model']}`",
            prose.number(row["spearman"], ".2f"),
            f"{row['shared']} of {row['k']}",
            f"{row['expected']:.1f}",
            f"{row['kept']} of {row['k']}",
            f"{row['kept_expected']:.1f}",
        ]
        for row in rows
    ]
    head = ["variant", "rank correlation", "largest tenth", "by chance", "kept", "by chance"]
    return (
        f"The importance of a unit is {_measured(rows)} when it is silenced in the "
        "regularised model. It is compared with the size of the unit's weights: by rank "
        "correlation (mean over layers), by how many of the most important tenth of each layer are "
        "in the largest tenth, and by how many of them pruning keeps.\n\n"
        + prose.table(head, table)
        + "\n\n"
        + _sets_text(rows)
    )


def _measured(rows: Sequence[Mapping[str, Any]]) -> str:
    if rows[0]["by"] == "loss":
        return "the rise of the training loss"
    return "the divergence of the outputs, on training images,"


def _sets_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The loss with and without each set of units and of weights, beside random ones."""
    table = [
        [f"`{row['model']}`", name, _nats(each["without"]), _nats(each["alone"])]
        for row in rows
        for name, each in (
            ("most important tenth of units", row["unit_sets"]["important"]),
            ("largest tenth of units", row["unit_sets"]["largest"]),
            ("random tenth of units", row["unit_sets"]["random"]),
            ("the skeleton's weights", row["weight_sets"]["skeleton"]),
            ("random weights, as many per layer", row["weight_sets"]["random"]),
        )
    ]
    what = "Training loss" if rows[0]["by"] == "loss" else "Divergence from the intact model"
    intact = prose.listed([f"{row['intact']:.3f}" for row in rows])
    return (
        f"{what} in nats without each set (its units silenced, or its weights zero), and with this "
        f"set alone. The intact training loss is {intact}. Of random sets, the mean and the range "
        "of several draws.\n\n" + prose.table(["variant", "set", "without it", "alone"], table)
    )


def _nats(found: float | Mapping[str, float]) -> str:
    """A loss, or the mean and the range of several."""
    if isinstance(found, Mapping):
        return f"{found['mean']:.3f} ({found['lowest']:.3f} to {found['highest']:.3f})"
    return f"{found:.3f}"


def _matched_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    table = [
        [
            f"`{row['a']}`",
            f"`{row['b']}`",
            prose.number(row["spearman"], ".2f"),
            f"{row['shared']} of {min(row['k_a'], row['k_b'])}",
            f"{row['expected']:.1f}",
        ]
        for row in rows
    ]
    head = ["a", "b", "rank correlation", "shared", "by chance"]
    return (
        "The most important tenth of units of two bases, layer by layer, after their units were "
        "aligned. Chance means two sets drawn at random. Alignment itself pairs large units with "
        "large ones, so a little more than chance is not evidence of a shared skeleton.\n\n"
        + prose.table(head, table)
    )


def _probe_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [f"- `{row['model']}`, λ = {row['l1']:g}: {_found(row)}" for row in rows]
    return (
        "The regularised model is trained further with a penalty on only the weights of its "
        "skeleton.\n\n" + "\n".join(lines)
    )


def _found(row: Mapping[str, Any]) -> str:
    """What was found; of a base that is off its optimum, any weights are as good as others."""
    off = "" if row["optimal"] else " Its base misses `base.target`, so this shows nothing."
    return f"{row['sentence']}{off}"


def _takeover_text(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    lines = [f"- `{row['model']}`: {_found(row)}" for row in rows]
    return (
        "The weights of the skeleton are scaled to zero step by step, while all others are trained "
        "and the training loss is held.\n\n" + "\n".join(lines)
    )
