"""The command `skeletons verdict`: the answers that follow from a table of similarities."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from skeletons import text
from skeletons.errors import SkeletonsError

if TYPE_CHECKING:
    from skeletons.findings.answer import Answer

SHOWN = ("answer", "effect", "low", "high", "p", "seeds")
NOT_KNOWN = "it is not known whether they are as accurate as the pruned models"


def add(commands: Any) -> None:
    """Add the command to those of `skeletons`."""
    parser = commands.add_parser(
        "verdict",
        help="whether models of different bases converge, from a table of similarities",
        description="Columns: seed_a, seed_b, kind, recipe, value. Kinds: base, pruned, "
        "regularized, plain, stopped, random, ceiling. docs/statistics.md explains the answers.",
    )
    parser.add_argument("table", help="a CSV or parquet file")
    parser.add_argument("--json", action="store_true", help="print numbers instead of words")
    parser.add_argument("--recipe", help="the recipe to judge, if the table has several")
    parser.add_argument(
        "--measure", help="the built-in measure of the values: its range, and which end is similar"
    )
    parser.add_argument(
        "--random-alive",
        action="store_true",
        help="models pruned at random are as accurate as the pruned ones, so they take part",
    )
    parser.add_argument(
        "--margin", type=float, default=0.05, help="without a ceiling, the rise that matters"
    )
    parser.add_argument(
        "--looks", type=int, default=1, help="how often the answer is looked at as seeds are added"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the answers.

    Raises:
        SkeletonsError: the table or an option is not in order.
    """
    from skeletons.findings import answer_text, recipes_together, scale, tidy
    from skeletons.findings.pair_values import RANDOM, recipes
    from skeletons.findings.rules import Rules
    from skeletons.measures.catalogue import MEASURES

    if not options.margin > 0:
        raise SkeletonsError(f"--margin: found {options.margin:g}; allowed: a number > 0.")
    if options.looks < 1:
        raise SkeletonsError(f"--looks: found {options.looks}; allowed: a number ≥ 1.")
    if options.measure is not None and options.measure not in MEASURES:
        raise SkeletonsError(
            f"--measure: found {options.measure!r}; allowed: {', '.join(MEASURES)}."
        )
    table = tidy.read(options.table)
    known = recipes(table)
    if options.recipe is not None and options.recipe not in known:
        named = text.listed([repr(recipe) for recipe in known])
        raise SkeletonsError(
            f"--recipe: found {options.recipe!r}; allowed: {named}, the recipes of pruned models."
        )
    on = (
        scale.of_measure(MEASURES[options.measure])
        if options.measure
        else scale.of_values(table["value"].to_numpy())
    )
    tidy.check_range(table, on, options.table)
    found = recipes_together.answers(
        table,
        known if options.recipe is None else [options.recipe],
        Rules(margin=options.margin, looks=options.looks),
        on,
        left_out={} if options.random_alive else {RANDOM: NOT_KNOWN},
    )
    if options.json:
        print(json.dumps({key: _numbers(one) for key, one in found.items()}, indent=2))
        return
    for one in found.values():
        print(answer_text.QUESTIONS[one.question])
        print(f"  {one.sentence.replace('**', '').replace('*', '')}")


def _numbers(found: Answer) -> dict[str, Any]:
    """An answer in numbers; None for one that is not finite."""
    from skeletons.findings.plain import plain

    return {key: plain(getattr(found, key)) for key in SHOWN}
