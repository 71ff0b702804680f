"""The verdict in words: the section of the findings that opens the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from skeletons import text
from skeletons.findings.answer import Answer
from skeletons.findings.answer_text import QUESTIONS, WORDS, level
from skeletons.findings.preconditions import Precondition
from skeletons.findings.rules import NOT_TESTED, PRUNING, WALK, Rules
from skeletons.findings.sections import Section, joined
from skeletons.findings.settings import Settings
from skeletons.findings.verdict import RecipeAnswers
from skeletons.text import number

TITLE = "Do models of different bases converge?"


def section(found: Mapping[str, Any], settings: Settings) -> Section:
    """The answer for each OOD set, then the answers that it is based on.

    Args:
        found: what `verdict.verdict` returns.
        settings: levels and limits.
    """
    main, by = found["measure"], found["by"]
    if not by or main is None:
        return Section("verdict", TITLE, "")
    lead = joined(*_opening(found), found["caveat"])
    parts = [_question(found), _required(found["preconditions"])]
    for ood, values in by.items():
        control = ", a control without a vote" if ood in found["controls"] else ""
        recipes = values[main]["recipes"]
        parts += [f"### On `{ood}`, by `{main}`{control}", _recipes(recipes, settings.rules)]
    decided = f"### How it is decided\n\n{method(settings)}"
    return Section("verdict", TITLE, joined(*parts, _other_measures(found), decided), lead)


def _opening(found: Mapping[str, Any]) -> list[str]:
    """The answer in a sentence for each OOD set that has a vote."""
    main = found["measure"]
    voting = {ood: values for ood, values in found["by"].items() if ood not in found["controls"]}
    sentences = [
        (f"On `{ood}`: " if len(voting) > 1 else "") + values[main]["sentence"]
        for ood, values in voting.items()
        if values[main]["sentence"]
    ]
    if found["answer"].startswith(NOT_TESTED):
        sentences.insert(0, f"**Not tested**{found['answer'].removeprefix(NOT_TESTED)}.")
    elif len(voting) > 1:
        sentences.insert(0, f"On all data sets together: **{found['answer']}**.")
    if voting and found["controls"]:
        names = text.listed([f"`{ood}`" for ood in found["controls"]])
        have = "has" if len(found["controls"]) == 1 else "have"
        sentences.append(f"{names} {have} no vote: control data sets are shown for comparison.")
    return sentences


def _question(found: Mapping[str, Any]) -> str:
    """The primary question, and who chose it."""
    if not found["recipe"]:
        return ""
    chosen = (
        "`findings.primary` names it"
        if found["fixed"]
        else "a rule chose it by sparsity and accuracy alone, because `findings.primary.recipe` "
        "names none"
    )
    return (
        f"The primary question is about `{found['measure']}` and the recipe {found['recipe']}: "
        f"{chosen}. Everything else is exploratory: not corrected for the number of questions."
    )


def _required(required: Sequence[Precondition]) -> str:
    rows = [
        [one.name, "yes" if one.holds else "**no**", one.found] for one in required if one.found
    ]
    return text.table(["precondition", "holds", "found"], rows) if rows else ""


def _recipes(recipes: Sequence[RecipeAnswers], rules: Rules) -> str:
    """One row per recipe, then all comparisons of the primary one."""
    if not recipes:
        return "No pruned models of different bases were compared, so there is nothing to decide."
    unit = "share of the gap closed" if recipes[0].walk.unit == "share" else "rise"
    head = ["recipe", "", "walk", unit, f"{level(rules)} interval", "seeds", "pruning"]
    rows = [
        [
            one.recipe,
            "**primary**" if one.primary else "exploratory",
            one.walk.answer,
            number(one.walk.effect),
            _interval(one.walk.low, one.walk.high),
            f"{one.walk.seeds} of {one.walk.asked}",
            one.pruning.answer,
        ]
        for one in recipes
    ]
    first = next((one for one in recipes if one.primary), None)
    return joined(text.table(head, rows), _comparisons(first.walk, first.pruning) if first else "")


def _comparisons(*found: Answer) -> str:
    """The comparisons of the primary recipe, and what could not be had."""
    rows = [
        [
            QUESTIONS[one.question],
            WORDS[row.against],
            "–" if row.against not in one.similarity else f"{one.similarity[row.against]:.3f}",
            number(row.effect),
            _interval(row.low, row.high),
            text.p_value(row.p),
        ]
        for one in found
        for row in one.comparisons
    ]
    if not rows:
        return ""
    head = ["primary question", "compared with", "their similarity", "beyond it", "interval", "p"]
    return text.table(head, rows)


def _interval(low: float, high: float) -> str:
    return "–" if math.isnan(low) else f"{number(low)} to {number(high)}"


def _other_measures(found: Mapping[str, Any]) -> str:
    """The answers for the primary recipe by the other measures."""
    rows = [
        [f"`{ood}`", f"`{measure}`", values[WALK], values[PRUNING]]
        for ood, by_measure in found["by"].items()
        for measure, values in by_measure.items()
        if measure != found["measure"]
    ]
    if not rows:
        return ""
    return joined(
        "### By other measures (exploratory)",
        "The same recipe. All numbers are in findings.json.",
        text.table(["data set", "measure", "walk", "pruning"], rows),
    )


def method(settings: Settings) -> str:
    """How answers follow from intervals, in a paragraph."""
    rules = settings.rules
    looks = (
        f" Alpha is divided by the {rules.looks} looks that are planned." if rules.looks > 1 else ""
    )
    return (
        "*Walk* compares the pruned models of different bases with the bases and with every "
        "living control. The share of the gap closed is (pruned − compared) / (ceiling − bases), "
        "from mean similarities over pairs of seeds (of Fisher's z, so they differ a little from "
        "plain means); without a ceiling, the rise itself is "
        f"compared with the margin of {rules.margin:g}. *Converges*: the interval is above "
        f"{rules.converges_above:g} in every comparison. *Does not converge*: it is below "
        f"{rules.not_below:g} in one of them. *In part*: in between. *Pruning* compares them with "
        "the models before pruning, and never decides about the walk; it *adds* if the interval "
        f"is above {rules.not_below:g}. The unit of replication is the seed, not the pair. The "
        "test stands skewed effects of seeds (Hall 1992), and upper ends of several comparisons "
        f"are corrected for their number.{looks} Fix the number of seeds beforehand, or plan the "
        "looks with `findings.looks`."
    )
