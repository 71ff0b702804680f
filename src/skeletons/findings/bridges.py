"""Bridges between bases: certificates, and what they say about the exchange of machinery.

The points of a bridge are measured by `inspection.bridge` and `inspection.original_width`. Here
they are certified by the rule for walks, so this needs no network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skeletons import text as prose
from skeletons.findings import walk_certificates
from skeletons.findings.plain import plain
from skeletons.findings.sections import joined
from skeletons.findings.walk_certificates import Certificate, certify
from skeletons.inspection import absence
from skeletons.measures import behaviour, predictions, user_defined
from skeletons.store import artifacts
from skeletons.user_code.references import is_reference, name_of

EXCHANGED = (
    " A certified bridge joins networks that need not be alike, in small steps at constant loss. "
    "So at that width, one machinery can be exchanged for another continuously."
)
POINTS = [*walk_certificates.COLUMNS, "part", "rise", "error", "norm"]
WALKS = ("the walk of a", "the walk of b")  # the second is walked backwards


def judge_bridge_stage(
    *,
    points: str,
    original: str,
    units: str,
    walks: Sequence[str],
    histories: Sequence[str],
    scores: Sequence[str],
    summary: str,
    predictions_a: Sequence[str],
    predictions_b: Sequence[str],
    bridge: str,
    models: Sequence[str],
    ood: Sequence[str],
    labelled: Sequence[str],
    measure: str,
    loss_rise: float,
    largest_step: float,
) -> None:
    """Write what was found of the bridge between two bases.

    Keys: a and b, their ids; network, its name, width and doubled_width (None if its size is not
    set by a width); points, highest_rise, its upper_bound, deepest_fall, longest_step (a share of
    the weights' norm), lowest_accuracy, certified, and broken, the limits that it exceeds;
    similarity, the primary measure of the two ends by OOD set; and original, see `_original`.
    Losses are in nats. If the bridge cannot be had, `absent` is the reason.

    Args:
        points: the table of the bridge in twice the width.
        original: the table of the path in the original width.
        units: the JSON file that says whether the skeletons fit.
        walks: walk.parquet of the regularised models of a and b.
        histories: history.parquet of the same models.
        scores: the scores of a and b.
        summary: the model.json of their network.
        predictions_a: predictions of a, in the order of `ood`.
        predictions_b: predictions of b.
        bridge: the JSON file to write.
        models: the ids of a and b.
        ood: the names of the OOD sets.
        labelled: those of them whose labels are classes of the task.
        measure: the primary measure, or a reference to it.
        loss_rise: the limit of rise and fall of the loss, in nats.
        largest_step: the limit of a step, as a share of the norm of the weights.

    Raises:
        ArtifactError: a file is missing or broken.
        ExtensionError: a user-defined measure cannot be used.
    """
    a, b = models
    network = artifacts.read_json(summary, ["network"])["network"]
    ends = [artifacts.read_json(path, ["model", "optimal"]) for path in scores]
    limits = {
        "rise": loss_rise,
        "step": largest_step,
        "optimal": all(end["optimal"] is not False for end in ends),
    }
    found = {
        "a": a,
        "b": b,
        "network": network["name"],
        "width": network.get("width"),
        "doubled_width": 2 * network["width"] if network.get("width") else None,
        **_certified(points, limits),
        "similarity": _similarity(predictions_a, predictions_b, ood, labelled, measure),
        "original": _original(original, units, walks, histories, network.get("width"), limits),
    }
    artifacts.write_json(bridge, plain(found))


def _certified(points: str, limits: Mapping[str, Any]) -> dict[str, Any]:
    if because := absence.reason(points):
        return {absence.KEY: because}
    table = artifacts.read_table(points, POINTS)
    return _numbers(certify(table, float(table["norm"].iloc[0]), **limits), table)


def _numbers(one: Certificate, table: pd.DataFrame) -> dict[str, Any]:
    return {
        "points": len(table),
        "highest_rise": one.rise,
        "upper_bound": one.bound,
        "deepest_fall": one.descent,
        "longest_step": one.longest,
        "lowest_accuracy": float(table.accuracy.min()),
        "certified": one.holds,
        "broken": list(one.broken),
    }


def _original(
    points: str,
    units: str,
    walks: Sequence[str],
    histories: Sequence[str],
    width: int | None,
    limits: Mapping[str, Any],
) -> dict[str, Any]:
    """Whether two skeletons fit into the original width, and the certificate of the whole path.

    Returns:
        fits; times, the width that it takes as a multiple of the network's, and width, as a number;
        layers, see `original_width.fit`; and, if they fit, the numbers of the path between the two
        walks as in `judge_bridge_stage`, with certified and broken for the whole path.
    """
    if because := absence.reason(units):
        return {absence.KEY: because}
    found = artifacts.read_json(units, ["fits", "times", "layers"])
    needed = math.ceil(found["times"] * width - 1e-9) if width else None
    known = {key: found[key] for key in ("fits", "times", "layers")} | {"width": needed}
    if not found["fits"]:
        return {**known, "certified": False}
    tables = [_walk(*paths) for paths in zip(walks, histories, strict=True)]
    norms = [float(table["norm"].iloc[0]) for table in tables]
    table = artifacts.read_table(points, POINTS)
    between = certify(table, norms[0], **limits)
    parts = {
        name: certify(walk, norm, **limits)
        for name, walk, norm in zip(WALKS, tables, norms, strict=True)
    }
    broken = [f"{name}: {clause}" for name, one in parts.items() for clause in one.broken]
    return {
        **known,
        **_numbers(between, table),
        "certified": between.holds and not broken,
        "broken": [*between.broken, *broken],
    }


def _walk(path: str, history: str) -> pd.DataFrame:
    walk = artifacts.read_table(path, [*walk_certificates.COLUMNS, "norm"])
    if walk["loss"].notna().any():
        return walk
    epochs = artifacts.read_table(history, ["epoch", "train_loss", "train_accuracy"])
    return walk_certificates.with_losses(walk, epochs)


def _similarity(
    ours: Sequence[str],
    others: Sequence[str],
    ood: Sequence[str],
    labelled: Sequence[str],
    measure: str,
) -> dict[str, Any]:
    """The primary measure of the two ends on each OOD set; without a value if it has none."""
    more = user_defined.load_all([measure] if is_reference(measure) else [])
    name = name_of(measure)
    found = {}
    for data, one, other in zip(ood, ours, others, strict=True):
        both = predictions.read(one), predictions.read(other)
        row = behaviour.compare(*both, more, labelled=data in labelled)
        found[data] = {"measure": name, "value": row.get(name), "reason": row["reason"]}
    return found


# --- for the findings -----------------------------------------------------------------------------


def read(path: str) -> dict[str, Any]:
    """A bridge, from its JSON file."""
    a, b = Path(path).stem.split("--")
    return {"a": a, "b": b, **artifacts.read_json(path, ["a", "b", "original"])}


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The bridges in Markdown; empty if there is none."""
    if not rows:
        return ""
    held = sum(bool(row["certified"]) for row in rows)
    certified = f"{'is' if held == 1 else 'are'} certified by the rule for walks."
    return joined(
        "Two bases lie side by side in twice the width, and one is turned on while the other is "
        "turned off. Cross-entropy is convex in the logits, so the loss never exceeds that of the "
        f"worse end. {held} of {prose.counted(len(rows), 'bridge')} {certified}"
        f"{EXCHANGED if held else ''}",
        _doubled_table(rows),
        *_clauses(rows),
        _original_text(rows),
    )


def _doubled_table(rows: Sequence[Mapping[str, Any]]) -> str:
    sets = list(dict.fromkeys(data for row in rows for data in row["similarity"]))
    head = ["a", "b", "points", "highest rise", "deepest fall", "longest step", "certified"]
    measured = next((one["measure"] for row in rows for one in row["similarity"].values()), "")
    table = [
        [
            f"`{row['a']}`",
            f"`{row['b']}`",
            str(row["points"]),
            f"{row['highest_rise']:.3f} (≤ {row['upper_bound']:.3f})",
            f"{row['deepest_fall']:.3f}",
            f"{row['longest_step']:.2%}",
            "yes" if row["certified"] else "**no**",
            *(_value(row["similarity"].get(data)) for data in sets),
        ]
        for row in rows
    ]
    return prose.table([*head, *(f"`{measured}` of the ends on `{data}`" for data in sets)], table)


def _value(found: Mapping[str, Any] | None) -> str:
    return "–" if found is None or found["value"] is None else f"{found['value']:.3f}"


def _clauses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why bridges are not certified."""
    return [
        f"- `{row['a']}` to `{row['b']}` is not certified: {' and '.join(row['broken'])}."
        for row in rows
        if not row["certified"]
    ]


def _original_text(rows: Sequence[Mapping[str, Any]]) -> str:
    there = [row for row in rows if absence.KEY not in row["original"]]
    missing = [
        f"- `{row['a']}` and `{row['b']}`: {row['original'][absence.KEY]}"
        for row in rows
        if absence.KEY in row["original"]
    ]
    table = [
        [
            f"`{row['a']}`",
            f"`{row['b']}`",
            _fullest(row["original"]),
            _width(row["original"]),
            "yes" if row["original"]["fits"] else "no",
            _certificate(row["original"]),
        ]
        for row in there
    ]
    head = ["a", "b", "fullest layer", "width that it takes", "fits", "certified"]
    return joined(
        "In the original width, a base can be exchanged for another by their skeletons, if the "
        "living units of both fit together in every layer: base a → skeleton a beside the skeleton "
        "of b, which nobody reads → skeleton b → base b, with its units in another order. The two "
        "walks are parts of this path.",
        prose.table(head, table) if table else "",
        *(
            f"- `{row['a']}` to `{row['b']}` in the original width is not certified: "
            f"{' and '.join(row['original']['broken'])}."
            for row in there
            if row["original"]["fits"] and not row["original"]["certified"]
        ),
        *missing,
    )


def _fullest(found: Mapping[str, Any]) -> str:
    if not found["layers"]:
        return "–"
    most = max(found["layers"], key=lambda row: (row["a"] + row["b"]) / row["units"])
    return f"{most['layer']}: {most['a']} + {most['b']} of {most['units']}"


def _width(found: Mapping[str, Any]) -> str:
    times = f"{found['times']:.2f} times"
    return times if found["width"] is None else f"{found['width']} ({times})"


def _certificate(found: Mapping[str, Any]) -> str:
    if not found["fits"]:
        return "–"
    return "yes" if found["certified"] else "**no**"
