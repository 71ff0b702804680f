"""Controls whose answer is known beforehand: does the method see what is there, and only that?

Three families of controls are walked and pruned as bases are, and each gets the answer of the same
verdict on the same recipe:

- `planted`: one small network was laid into a wide one for each seed, so the pruned models are
  known to have the same skeleton. It must be found.
- `forked`: children that share most of one base's training. They must converge.
- `labels`: bases that learned permuted classes, others for each seed, so they cannot be alike.

An answer of the bases counts only if these are as they must be.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from skeletons import text
from skeletons.findings import model_pairs, scale
from skeletons.findings.pair_values import BASE, CEILING, COLUMNS
from skeletons.findings.preconditions import Precondition
from skeletons.findings.rules import CONVERGES, IN_PART, NOT
from skeletons.measures.measure import Measure
from skeletons.model_ids import FORKED, LABELS, PLANTED, Model

Adjust = Callable[..., pd.DataFrame]  # of a tidy table, and `ood`
Verdict = Callable[..., dict[str, Any]]

MUST: Mapping[str, bool] = {PLANTED: True, FORKED: True, LABELS: False}  # whether they converge
EFFECT = ("effect", "low", "high", "p")
NAMES: Mapping[str, str] = {
    PLANTED: "planted skeletons",
    FORKED: "late forks of one base",
    LABELS: "bases with permuted labels",
}


@dataclass(frozen=True)
class Known:
    """The answer about one family of controls.

    Attributes:
        family: one of `MUST`.
        must: whether its models must converge.
        answer: that of the verdict over all voting sets.
        holds: whether the answer is as it must be: they converge on all sets, or on none.
        sentences: the answer in words, by data set.
        similarity: mean similarities by kind, by data set.
        effect: `effect`, its interval from `low` to `high`, and `p`, see `Answer`, by data set.
    """

    family: str
    must: bool
    answer: str
    holds: bool
    sentences: Mapping[str, str]
    similarity: Mapping[str, Mapping[str, float]]
    effect: Mapping[str, Mapping[str, float]]

    @property
    def shown(self) -> bool:
        """Whether the answer shows that it holds: an undecided one excludes nothing."""
        return self.holds and self.answer in (CONVERGES, NOT)

    @property
    def briefly(self) -> str:
        """The answer without the reasons why nothing was tested."""
        return self.answer.partition(":")[0]


def cast(models: Sequence[Model], family: str) -> dict[str, str]:
    """By the id of each model of a family, the id of the model whose part it plays.

    A child of a base plays the part of another seed's base; the base itself is the first child.

    Args:
        models: all compared models of one network, and the ends of its walks.
        family: one of `MUST`.
    """
    if family != FORKED:
        return {
            str(model): str(dataclasses.replace(model, labels=False, planted=False))
            for model in models
            if model.family == family
        }
    seeds = sorted(model.seed for model in models if model.state == BASE and model.seed is not None)
    roots = model_pairs.latest_forks(models)
    part = dict(zip(roots, seeds, strict=False))
    return {
        str(model): str(dataclasses.replace(model, seed=part[model.root], fork=None, order=None))
        for model in models
        if model.root in part and (model.family == FORKED or model.state in model_pairs.WALKED)
    }


def answers(
    verdict: Verdict,
    recipe: str,
    models: Sequence[Model],
    table: pd.DataFrame,
    similarity: Mapping[str, pd.DataFrame],
    walked: Mapping[str, pd.DataFrame],
    voting: Sequence[str],
    measure: Measure,
) -> list[Known]:
    """The answers about the families that an experiment has.

    Args:
        verdict: `verdict.verdict` with its settings and measures.
        recipe: the primary one, in words.
        models: all compared models of one network.
        table: their scores.
        similarity: their pairs by data set.
        walked: their walks by the last model.
        voting: the sets that have a vote.
        measure: the primary one.
    """
    found = []
    # The walks are judged whether or not regularised models are compared.
    ends = (Model.parse(name) for name in walked if "_l1=" in name)
    known = list(dict.fromkeys([*models, *ends]))
    for family, must in MUST.items():
        parts = cast(known, family)
        if not any(Model.parse(name).family == family for name in parts):
            continue
        if not any(Model.parse(name).is_cut for name in parts):
            continue  # forks that are only compared as bases
        adjust = _adjustment(family, models, similarity, recipe, measure)
        made = verdict(
            {ood: _renamed_pairs(similarity[ood], parts, measure) for ood in voting},
            voting,
            [measure.name],
            _renamed_scores(table, parts),
            {parts[name]: walk for name, walk in walked.items() if name in parts},
            {ood: {measure.name: []} for ood in voting},
            recipe=recipe,
            adjust=adjust,
        )
        by = {ood: values[measure.name] for ood, values in made["by"].items()}
        walks = {ood: _primary_walk(values["recipes"]) for ood, values in by.items()}
        answer = made["answer"]
        converge = any(values["walk"] in (CONVERGES, IN_PART) for values in by.values())
        found.append(
            Known(
                family,
                must,
                answer,
                answer == CONVERGES if must else not converge,
                {ood: values["sentence"] for ood, values in by.items()},
                {ood: walk.similarity if walk else {} for ood, walk in walks.items()},
                {
                    ood: {name: getattr(walk, name) for name in EFFECT} if walk else {}
                    for ood, walk in walks.items()
                },
            )
        )
    return found


def _primary_walk(recipes: Sequence[Any]) -> Any | None:
    return next((one.walk for one in recipes if one.primary), None)


def _renamed_scores(table: pd.DataFrame, parts: Mapping[str, str]) -> pd.DataFrame:
    """The scores of a family, under the names of the parts that its models play."""
    own = table[table.model.isin(list(parts))]
    played = [Model.parse(parts[name]) for name in own.model]
    return own.assign(
        model=[str(model) for model in played],
        state=[model.state for model in played],
        base=[str(model.base) for model in played],
        seed=pd.array([model.seed for model in played], dtype="Int64"),
    )


def _renamed_pairs(pairs: pd.DataFrame, parts: Mapping[str, str], measure: Measure) -> pd.DataFrame:
    own = pairs[pairs.a.isin(list(parts)) & pairs.b.isin(list(parts))]
    return own[["a", "b", measure.name]].assign(a=own.a.map(parts), b=own.b.map(parts))


def _adjustment(
    family: str,
    models: Sequence[Model],
    similarity: Mapping[str, pd.DataFrame],
    recipe: str,
    measure: Measure,
) -> Adjust:
    """What a family's tidy table takes from elsewhere: its ceiling, and the bases of forks.

    - Planted and labels: the ceiling is that of the experiment, so that the question is the same.
      If it has none, planted models may become as alike as one model is with itself.
    - Forked: the children before their walks are the ceiling. Compared with them are the
      independent bases.
    """
    group = model_pairs.by_recipe(models).get(recipe, [])

    def main(ood: str) -> pd.DataFrame:
        value = model_pairs.from_table(similarity[ood], measure.name)
        return model_pairs.tidy(group, list(models), value) if group else _rows([])

    def adjust(own: pd.DataFrame, ood: str) -> pd.DataFrame:
        rest = own[own.kind != CEILING]
        others = main(ood)
        ceiling = others[others.kind == CEILING]
        if family == PLANTED and ceiling.empty:
            best = scale.of_measure(measure)
            first = own.seed_a.iloc[0] if len(own) else ""
            same = [(first, first, CEILING, recipe, best.value(1.0))] if best.bounded else []
            ceiling = _rows(same)
        if family != FORKED:
            return pd.concat([rest, ceiling], ignore_index=True)
        before = own[own.kind == BASE].assign(kind=CEILING)
        bases = others[others.kind == BASE]
        return pd.concat([rest[rest.kind != BASE], bases, before], ignore_index=True)

    return adjust


def _rows(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


def preconditions(found: Sequence[Known]) -> list[Precondition]:
    """Whether the controls are as they must be; it says which are not. None without controls."""
    if not found:
        return []
    wrong = [
        f"{NAMES[one.family]} are not found ({one.briefly})"
        if one.must
        else f"{NAMES[one.family]} are found to converge ({one.briefly})"
        for one in found
        if not one.holds
    ]
    if wrong:
        return [Precondition("controls", False, text.listed(wrong))]
    shown = [NAMES[one.family] for one in found if one.shown]
    parts = [f"{text.listed(shown)}: as they must be"] if shown else []
    parts += [f"{NAMES[one.family]}: {one.briefly}" for one in found if not one.shown]
    return [Precondition("controls", True, "; ".join(parts))]


# --- the dose and the response ------------------------------------------------------------------


def doses(
    models: Sequence[Model], similarity: Mapping[str, pd.DataFrame], measure: Measure
) -> dict[str, list[dict[str, Any]]]:
    """How alike children of one base are, by the share of its training that they share.

    Args:
        models: all compared models of one network.
        similarity: their pairs by data set.
        measure: the primary one.

    Returns:
        By data set one row per share: `share` (0..1, or None for independent bases), and pairs,
        mean, min and max of the similarity. Empty without forks.
    """
    if not any(model.family == FORKED for model in models):
        return {}
    bases = [str(model) for model in models if model.state == BASE]
    groups: dict[float | None, list[str]] = {None: bases}
    for share, children in sorted(model_pairs.forks(models).items()):
        groups[share] = model_pairs.compared(children, models)
    found: dict[str, list[dict[str, Any]]] = {}
    for ood, pairs in similarity.items():
        value = model_pairs.from_table(pairs, measure.name)
        found[ood] = [{"share": share, **_spread(group, value)} for share, group in groups.items()]
    return found


def _spread(group: Sequence[str], value: model_pairs.Values) -> dict[str, Any]:
    values = pd.Series(
        [value(a, b) for a, b in itertools.combinations(group, 2)], dtype=float
    ).dropna()
    known = len(values) > 0
    return {
        "pairs": len(values),
        "mean": float(values.mean()) if known else None,
        "min": float(values.min()) if known else None,
        "max": float(values.max()) if known else None,
    }
