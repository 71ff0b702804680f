"""An answer in words: what was measured, why it decides the answer, and what is missing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from skeletons import text
from skeletons.findings.modified_t import FEWEST
from skeletons.findings.pair_values import (
    BASE,
    CEILING,
    PLAIN,
    PRUNED,
    RANDOM,
    REGULARIZED,
    STOPPED,
)
from skeletons.findings.rules import (
    ADDS,
    ADDS_NOT,
    CONVERGES,
    IN_PART,
    NOT,
    PRUNING,
    UNDECIDED,
    WALK,
    Rules,
)
from skeletons.text import number

if TYPE_CHECKING:
    from skeletons.findings.answer import Answer, Comparison

WORDS: Mapping[str, str] = {
    BASE: "the bases",
    PRUNED: "pruned models",
    PLAIN: "the same walk without a penalty",
    STOPPED: "bases stopped at the same training loss",
    RANDOM: "models pruned at random",
    REGULARIZED: "the models before pruning",
    CEILING: "a ceiling",
}
QUESTIONS: Mapping[str, str] = {
    WALK: "Do models of different bases converge on the walk?",
    PRUNING: "Does pruning add to it?",
}
OPENINGS: Mapping[str, str] = {
    CONVERGES: "Models of different bases **converge** on the walk",
    NOT: "Models of different bases **do not converge** on the walk",
    IN_PART: "Models of different bases converge **in part** on the walk",
    ADDS: "Pruning **adds** to the similarity",
    ADDS_NOT: "Pruning **does not add** to the similarity",
}


def sentence(found: Answer, rules: Rules) -> str:
    """The answer, its evidence, and what could not be had."""
    if found.answer == UNDECIDED:
        asked = "models of different bases converge on the walk"
        if found.question == PRUNING:
            asked = "pruning adds to the similarity"
        opening = f"Whether {asked} is **undecided**: {_why_undecided(found, rules)}."
    else:
        opening = f"{OPENINGS[found.answer]}: {_evidence(found, rules)}."
    return " ".join(part for part in (opening, *found.notes, _missing(found)) if part)


def _evidence(found: Answer, rules: Rules) -> str:
    """What was measured beyond the comparison that decides, and the limit that it passes."""
    deciding = next(row for row in found.comparisons if row.against == found.against)
    upper, lower = found.limits
    limit = {
        CONVERGES: f"more than {upper:g}",
        NOT: f"less than {lower:g}",
        IN_PART: f"between {lower:g} and {upper:g}",
        ADDS: f"more than {lower:g}",
        ADDS_NOT: f"less than {lower:g}",
    }[found.answer]
    count = len(found.comparisons)
    # All must pass a lower limit, so the least clear one decides; one below a limit is enough.
    which = "least clear" if found.answer in (CONVERGES, ADDS) else "clearest"
    of = f", the {which} of {count} comparisons" if count > 1 else ""
    return (
        f"{measured(found, deciding, rules)}, {limit}{of}, with "
        f"{text.counted(found.seeds, 'seed')} (p {_equals(deciding.p)} against no rise)"
    )


def measured(found: Answer, row: Comparison, rules: Rules) -> str:
    """The share of the gap or the rise, with its interval."""
    beyond = WORDS[row.against]
    span = f"{number(row.effect)}{_interval(row, rules)}"
    if found.unit == "rise":
        return f"the rise beyond {beyond} is {span}"
    base, ceiling = (found.similarity[kind] for kind in (BASE, CEILING))
    ends = f"the gap from the bases ({base:.3f}) to the ceiling ({ceiling:.3f})"
    if row.against == BASE:
        return f"the share of {ends} that is closed is {span}"
    return f"the share of {ends} that is closed beyond {beyond} is {span}"


def _interval(row: Comparison, rules: Rules) -> str:
    if math.isnan(row.low):
        return " (no interval from so few seeds)"
    return f" ({level(rules)} interval {number(row.low)} to {number(row.high)})"


def level(rules: Rules) -> str:
    """The level of an interval, such as 95%."""
    return f"{100 * (1 - 2 * rules.level):.4g}%"


def _why_undecided(found: Answer, rules: Rules) -> str:
    if PRUNED in found.missing:
        return "no pruned models of different bases were compared"
    if not found.comparisons:
        kind = BASE if found.question == WALK else REGULARIZED
        reason = found.missing[kind]
        return f"no comparison with {WORDS[kind]} could be had ({reason})"
    if found.asked < FEWEST:
        have = "there is 1 seed" if found.asked == 1 else f"there are {found.asked} seeds"
        return f"{have}, and a decision needs {FEWEST} or more"
    dead = found.asked - found.seeds
    if found.seeds < max(2, rules.alive * found.asked):
        have = "has" if dead == 1 else "have"
        return (
            f"{dead} of {found.asked} seeds {have} no living pruned model or comparison. The "
            f"others are a selection, so a decision needs {rules.alive:.0%} of the seeds"
        )
    row = next(row for row in found.comparisons if row.against == found.against)
    upper, lower = found.limits
    between = (
        f"{lower:g}" if upper == lower or found.question == PRUNING else f"{lower:g} and {upper:g}"
    )
    return (
        f"{measured(found, row, rules)}, from {text.counted(found.seeds, 'seed')}. That is not "
        f"clearly on one side of {between}. {needed_text(found)}"
    )


def needed_text(found: Answer) -> str:
    """How many seeds would decide, and what the answer would probably be."""
    if found.needed is None:
        return "Even a new experiment of 100 seeds would probably not decide it"
    likely = f"; *{found.likely}* is the likeliest answer" if found.likely else ""
    return f"A new experiment of about {found.needed} seeds would probably decide it{likely}"


def _missing(found: Answer) -> str:
    """The comparisons that could not be had."""
    reasons = {
        kind: reason
        for kind, reason in found.missing.items()
        if kind not in (BASE, PRUNED, REGULARIZED)
    }
    parts = []
    by_reason: dict[str, list[str]] = {}
    for kind, reason in reasons.items():
        if kind != CEILING:
            by_reason.setdefault(reason, []).append(WORDS[kind])
    for reason, kinds in by_reason.items():
        parts.append(f"Not compared with {text.listed(kinds)}: {reason}.")
    if CEILING in reasons and found.comparisons:
        parts.append(
            f"Without a ceiling ({reasons[CEILING]}), the rise is compared with the margin of "
            f"{found.limits[0]:g}."
        )
    return " ".join(parts)


def _equals(p: float) -> str:
    found = text.p_value(p)
    return found if found.startswith("<") else f"= {found}"
