"""The sparsest skeleton of each base in words, from the searches of `inspect.sparsest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skeletons import text
from skeletons.findings.sections import Section, joined
from skeletons.inspection import absence

NAME, TITLE = "sparsest", "How sparse can a skeleton of each base be?"
HEAD = (
    "walk",
    "certified",
    "sparsest density",
    "weights",
    "upper 95 % bound of the rise, nats",
    "accuracy lost, points",
    "densest that fails",
    "because",
)


def section(rows: Sequence[Mapping[str, Any]]) -> Section:
    """The section of the findings; without text if nothing was searched.

    Args:
        rows: what `sparsest.sparsest_stage` wrote, with `walk`: whether the walk to the model is
            certified (None if it was not recorded); one that cannot be had has `absent`, the
            reason, in place of what was written.
    """
    if not rows:
        return Section(NAME, TITLE, "")
    there = [row for row in rows if absence.KEY not in row]
    missing = [
        f"Not available for `{row['model']}`: {row[absence.KEY]}"
        for row in rows
        if absence.KEY in row
    ]
    table = text.table(HEAD, [_row(row) for row in there]) if there else ""
    return Section(NAME, TITLE, joined(_method(there[0]) if there else "", table, *missing))


def _method(row: Mapping[str, Any]) -> str:
    trained = f", each retrained for {text.counted(row['epochs'], 'epoch')}"
    return (
        "The model at the end of each walk was pruned to various densities by "
        f"`{row['criterion']}`{trained if row['epochs'] else ''}. A density holds if the training "
        f"loss rises by at most {row['rise']:g} nats above the base's (upper 95 % bound) and the "
        f"accuracy falls by at most {text.points(row['drop'], 0)} points. The sparsest that holds "
        f"is at most {row['ratio'] - 1:.0%} denser than one that fails. The search takes for "
        "granted that below a density that fails, all fail. The pruned model is a skeleton if the "
        "walk is certified."
    )


def _row(row: Mapping[str, Any]) -> list[str]:
    found = next((one for one in row["tries"] if one["density"] == row["density"]), None)
    fails = [one for one in row["tries"] if not one["certified"]]
    worst = max(fails, key=lambda one: one["density"], default=None)
    return [
        f"`{row['model']}`",
        "–" if row["walk"] is None else "yes" if row["walk"] else "**no**",
        "none" if found is None else f"{found['density']:g}",
        "–" if found is None else f"{found['kept']:,}",
        "–" if found is None else f"{found['bound']:.3f}",
        "–" if found is None else text.points(found["lost"], 2),
        "–" if worst is None else f"{worst['density']:g}",
        "–" if worst is None else _because(worst, row),
    ]


def _because(one: Mapping[str, Any], limits: Mapping[str, Any]) -> str:
    """Which limits a pruned model exceeds."""
    if one["dead_reason"] is not None:
        return str(one["dead_reason"])
    broken = []
    if "bound" not in one:
        broken.append("the loss is not a number")
    elif one["bound"] > limits["rise"]:
        broken.append(f"the loss rises by {one['bound']:.3f}")
    if one["lost"] > limits["drop"]:
        broken.append(f"{text.points(one['lost'])} points of accuracy are lost")
    return " and ".join(broken)
