"""The controls with a known answer, and the forks, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skeletons import text
from skeletons.findings.answer_text import WORDS
from skeletons.findings.known_controls import NAMES, Known
from skeletons.findings.pair_values import BASE, CEILING, PRUNED, REGULARIZED
from skeletons.findings.sections import joined
from skeletons.text import number

SHOWN = (BASE, REGULARIZED, PRUNED, CEILING)


def markdown(found: Mapping[str, Any], measure: str) -> str:
    """The table of answers, each answer in words, and the dose–response of forks.

    Args:
        found: `answers`, of `known_controls.answers`, and `doses`, of `known_controls.doses`.
        measure: the primary one.
    """
    return joined(_answers(found["answers"]), _doses(found["doses"], measure))


def _answers(found: Sequence[Known]) -> str:
    if not found:
        return ""
    rows = [
        [
            NAMES[one.family],
            "converge" if one.must else "do not converge",
            one.answer,
            "yes" if one.shown else "not shown" if one.holds else "**no**",
        ]
        for one in found
    ]
    sentences = [
        f"- {_capital(NAMES[one.family])}{_on(one, ood)}: "
        + " ".join(part for part in (sentence, _means(one, ood)) if part)
        for one in found
        for ood, sentence in one.sentences.items()
    ]
    return joined(
        "The models of these controls are walked and pruned as the bases are, and judged by the "
        "same verdict on the primary recipe. What they must do is known. If one does not, nothing "
        "is tested.",
        text.table(["models", "must", "answer", "as it must be"], rows),
        "\n".join(sentences),
    )


def _capital(words: str) -> str:
    return words[0].upper() + words[1:]


def _on(one: Known, ood: str) -> str:
    return f" on `{ood}`" if len(one.sentences) > 1 else ""


def _means(one: Known, ood: str) -> str:
    """The mean similarities that an answer is based on."""
    means = one.similarity.get(ood, {})
    shown = [f"{WORDS[kind]} {number(means[kind])}" for kind in SHOWN if kind in means]
    return f"(Mean similarity: {text.listed(shown)}.)" if shown else ""


def _doses(found: Mapping[str, Sequence[Mapping[str, Any]]], measure: str) -> str:
    """How alike children are by the share of training that they share."""
    if not found:
        return ""
    parts = []
    for ood, rows in found.items():
        shown = [
            [
                "independent bases" if row["share"] is None else f"{row['share']:.3g}",
                str(row["pairs"]),
                *(number(row[key]) for key in ("mean", "min", "max")),
            ]
            for row in rows
        ]
        head = ["share of training in common", "pairs", "mean", "min", "max"]
        parts += [f"On `{ood}`, by `{measure}`:", text.table(head, shown)]
    return joined(
        "### Forks: children that share a part of one base's training",
        "The children of one base see the same images in the same order up to the fork, and then "
        "in orders of their own (Frankle et al. 2020). A share of 0 leaves the initial weights in "
        "common. A share of 1 is the same training, and one model. The latest fork below 1, "
        "pruned, is the ceiling of the share of the gap closed.",
        *parts,
    )
