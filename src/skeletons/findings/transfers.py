"""Transfer of masks: how a base does with another base's mask, with its own and with a random one.

The pairs of bases share seeds, so the interval of a mean over pairs is that of `modified_t`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skeletons import text as prose
from skeletons.findings import modified_t
from skeletons.findings.modified_t import FEWEST
from skeletons.findings.plain import plain
from skeletons.findings.sections import joined
from skeletons.inspection import absence
from skeletons.store import artifacts

OWN, RANDOM = "own", "random"
SEPARATOR = "_mask="


def read(paths: Sequence[str]) -> list[dict[str, Any]]:
    """What was found of all transfers between the bases of a network.

    Args:
        paths: the files of `inspection.transfer`, named `<base>_mask=<base, own or random>.json`.

    Returns:
        One row for each mask that another base's is compared with, `own` and `random`: against;
        transferred and other, the mean test accuracies with the two masks; mean, the mean of their
        differences over pairs of bases; low and high, its 95 % interval, None for fewer than
        `FEWEST` bases; bases, their number; and pairs: a, b, difference and the densities of both.
        A row with `absent` for each training that could not be had, with the base as `model`.

    Raises:
        ArtifactError: a file is missing or broken, or lacks a key.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    missing = []
    for path in paths:
        base, _, mask = Path(path).stem.partition(SEPARATOR)
        if because := absence.reason(path):
            missing.append({"model": base, absence.KEY: because})
        else:
            found[base, mask] = artifacts.read_json(path, ["density", "test_accuracy"])
    rows = (_against(kind, found) for kind in (OWN, RANDOM))
    return [*(plain(row) for row in rows if row["pairs"]), *missing]


def _against(kind: str, found: Mapping[tuple[str, str], Mapping[str, Any]]) -> dict[str, Any]:
    """The differences between other bases' masks and the masks of one kind."""
    pairs = [
        {
            "a": mask,
            "b": base,
            "transferred": one["test_accuracy"],
            "other": found[base, kind]["test_accuracy"],
            "difference": one["test_accuracy"] - found[base, kind]["test_accuracy"],
            "densities": [one["density"], found[base, kind]["density"]],
        }
        for (base, mask), one in found.items()
        if mask not in (OWN, RANDOM) and (base, kind) in found
    ]
    named = list(dict.fromkeys(name for pair in pairs for name in (pair["a"], pair["b"])))
    low, high = _interval(pairs, named)
    return {
        "against": kind,
        "transferred": _mean([pair["transferred"] for pair in pairs]),
        "other": _mean([pair["other"] for pair in pairs]),
        "mean": _mean([pair["difference"] for pair in pairs]),
        "low": low,
        "high": high,
        "bases": len(named),
        "pairs": pairs,
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _interval(pairs: Sequence[Mapping[str, Any]], named: Sequence[str]) -> tuple[float, float]:
    """The interval of the mean difference; NaN if a pair is missing, or bases are too few."""
    known = {frozenset((pair["a"], pair["b"])): pair["difference"] for pair in pairs}
    wanted = [frozenset(both) for both in itertools.combinations(named, 2)]
    if len(named) < FEWEST or any(both not in known for both in wanted):
        return float("nan"), float("nan")
    return modified_t.interval(np.array([known[both] for both in wanted]))


# --- in words -------------------------------------------------------------------------------------


def in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """The transfers in Markdown; empty if there is none."""
    if not rows:
        return ""
    table = [
        [
            "its own mask" if row["against"] == OWN else "a random mask",
            str(len(row["pairs"])),
            f"{row['transferred']:.2%}",
            f"{row['other']:.2%}",
            prose.points(row["mean"], 2),
            _range(row),
        ]
        for row in rows
    ]
    head = ["compared with", "pairs", "another's mask", "that mask", "difference, points", "95 %"]
    return joined(
        "Each base is trained again from its own initial weights, with all weights outside of a "
        "mask held at zero: the mask of another base's variant, with units aligned; that of its "
        "own variant; and a random one that keeps as many weights in each layer as its own. Shown "
        "are test accuracies. If bases share a skeleton, another's mask does as well as the own "
        "one. A random mask that does as well shows that the task does not need the skeleton.",
        prose.table(head, table),
        _densities(rows),
    )


def _range(row: Mapping[str, Any]) -> str:
    if row["low"] is None:
        return f"– (needs {FEWEST} bases)"
    return f"{prose.points(row['low'], 2)} to {prose.points(row['high'], 2)}"


def _densities(rows: Sequence[Mapping[str, Any]]) -> str:
    both = [pair["densities"] for row in rows for pair in row["pairs"]]
    apart = max(abs(one - other) for one, other in both)
    low, high = (choose(density for pair in both for density in pair) for choose in (min, max))
    return (
        f"The masks keep {low:.1%} to {high:.1%} of the weights; two that are compared differ by "
        f"at most {prose.points(apart, 2)} points."
    )
