"""Several networks in one experiment: the findings of each, and what lies between them.

Each network has its own verdict, as if it were alone in the experiment. Models of different
networks are compared as well: a table shows how alike they are, and a trend shows whether models of
larger networks are more alike among themselves.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from skeletons import text
from skeletons.findings import pair_tables
from skeletons.findings.next_steps import Step
from skeletons.findings.sections import Section, joined
from skeletons.measures.measure import Measure
from skeletons.model_ids import BASE, PRUNED, Model

OWN = ("base", "regularize", "prune")  # sections that a network may have its own keys of
RESAMPLES = 9_999
FEWEST = 4  # bases and networks' sizes for a trend


@dataclass(frozen=True)
class Part:
    """The models of one network.

    Attributes:
        tag: of the network; None for the unnamed one.
        table: their scores.
        similarity: their pairs, by OOD set.
    """

    tag: str | None
    table: pd.DataFrame
    similarity: Mapping[str, pd.DataFrame]

    @property
    def title(self) -> str:
        """What the network is called in the findings."""
        return self.tag or "network"

    def owns(self, model: str) -> bool:
        """Whether a model is of this network."""
        return Model.parse(model).net == self.tag


def split(table: pd.DataFrame, similarity: Mapping[str, pd.DataFrame]) -> list[Part]:
    """The models of each network, in canonical order.

    Args:
        table: all models' scores (`scores.read_all`).
        similarity: the table of all pairs by OOD set; pairs of two networks are in no part.
    """
    table = pair_tables.identified(table)
    pairs = {ood: pair_tables.annotate(found) for ood, found in similarity.items()}
    tags = dict.fromkeys(None if pd.isna(tag) else tag for tag in table.network)
    return [
        Part(
            tag,
            _of(table, table.network, tag),
            {ood: _of(p, p.network_a, tag, p.network_b) for ood, p in pairs.items()},
        )
        for tag in sorted(tags, key=lambda tag: tag or "")
    ]


def _of(table: pd.DataFrame, networks: pd.Series, tag: str | None, *others: Any) -> pd.DataFrame:
    """The rows whose network is, or whose networks are, this one."""
    keep = np.ones(len(table), dtype=bool)
    for column in (networks, *others):
        keep &= column.isna() if tag is None else column == tag
    return table[keep]


# --- between networks -----------------------------------------------------------------------------


def together(
    parts: Sequence[Part],
    found: Sequence[Mapping[str, Any]],
    similarity: Mapping[str, pd.DataFrame],
    declared: Mapping[str, Measure],
) -> dict[str, Any]:
    """The findings of an experiment with several networks.

    Args:
        parts: the models of each network.
        found: what `gather.summarize` returns for each.
        similarity: the table of all pairs by OOD set.
        declared: the measures by their names.

    Returns:
        What `gather.summarize` returns, with one answer for each network in the verdict and without
        claims and inspections of its own; and `networks` (title and findings of each), `between`
        (see `between`) and `trends` (see `trend`).
    """
    first = found[0]
    measure = first["verdict"]["measure"]
    pairs = {ood: pair_tables.annotate(table) for ood, table in similarity.items()}
    compared = {name for table in pairs.values() for name in (*table.a, *table.b)}
    answers = [f"{part.title}: {one['verdict']['answer']}" for part, one in _both(parts, found)]
    return {
        "experiment": first["experiment"],
        "models": sum(one["models"] for one in found),
        "controls": sum(one["controls"] for one in found),
        "compared_models": len(compared),
        "pairs": len(compared) * (len(compared) - 1) // 2,
        "settings": first["settings"],
        "verdict": {**first["verdict"], "answer": "; ".join(answers), "by": {}, "caveat": ""},
        "claims": {},
        "claims_note": "",
        "apart": {},
        "networks": [{"title": part.title, **one} for part, one in _both(parts, found)],
        "between": {
            ood: {name: between(table, declared[name]) for name in declared if name in table}
            for ood, table in pairs.items()
        },
        "trends": {} if measure is None else _trends(parts, measure),
        **{key: _all(found, key) for key in ("bases", "skeleton_models", "dead")},
        "next": [_named(step, part) for part, one in _both(parts, found) for step in one["next"]],
        "walks": {name: walk for one in found for name, walk in one["walks"].items()},
    }


def _both(
    parts: Sequence[Part], found: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Part, Mapping[str, Any]]]:
    return zip(parts, found, strict=True)


def _named(step: Step, part: Part) -> Step:
    """A step of one network, with that network's own keys."""
    if part.tag is None:
        return dataclasses.replace(step, change=f"`{part.title}`: {step.change}")
    at = f"networks.{part.tag}."
    own = {key: f"{at}{key}" if key.split(".")[0] in OWN else key for key in step.keys}
    return dataclasses.replace(
        step,
        change=f"`{part.title}`: {step.change}",
        keys=tuple(own.values()),
        values={own.get(key, key): value for key, value in step.values.items()},
    )


def _all(found: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    return [row for one in found for row in one[key]]


def between(pairs: pd.DataFrame, measure: Measure) -> list[dict[str, Any]]:
    """How alike models of two networks are: bases, and pruned models of one recipe.

    Args:
        pairs: all pairs of one OOD set, with the columns of `pair_tables.annotate`.
        measure: the measure.

    Returns:
        One row per pair of networks (with itself as well) and state: a and b (titles of the
        networks), state, and the columns of `pair_tables.spread`. Pairs of one base are left out.
    """
    across = pairs[pairs.base_a != pairs.base_b]
    recipe = pair_tables.same(across, "l1", "epochs", "threshold", "density")
    chosen = {
        BASE: across[(across.state_a == BASE) & (across.state_b == BASE)],
        PRUNED: across[(across.state_a == PRUNED) & (across.state_b == PRUNED) & recipe],
    }
    titles = sorted({_title(tag) for side in "ab" for tag in pairs[f"network_{side}"]})
    rows = []
    for state, table in chosen.items():
        ends = [table[f"network_{side}"].map(_title, na_action=None) for side in "ab"]
        for a, b in itertools.combinations_with_replacement(titles, 2):
            these = (ends[0] == a) & (ends[1] == b) | (ends[0] == b) & (ends[1] == a)
            if these.any():
                found = pair_tables.spread(table[these], measure.name)
                rows.append({"a": a, "b": b, "state": state, **found})
    return rows


def _title(tag: Any) -> str:
    return "network" if tag is None or pd.isna(tag) else str(tag)


def trend(parts: Sequence[Part], ood: str, measure: str, state: str) -> dict[str, Any] | None:
    """Whether models of larger networks are more alike among themselves, on one OOD set.

    Each base counts once, by its mean similarity to the other bases of its network (or that of its
    pruned models to those of one recipe). Spearman's rank correlation of these means with the
    number of prunable weights is tested by permuting the bases. Bases of one network share pairs,
    so its p is a little too small.

    Returns:
        networks and bases (numbers), rho (−1..1) and p (two-sided); None with fewer than four bases
        or with networks of one size.
    """
    sizes, means = [], []
    for part in parts:
        table = part.similarity[ood]
        rows = table[(table.state_a == state) & (table.state_b == state)]
        rows = rows[rows.base_a != rows.base_b]
        rows = rows[pair_tables.same(rows, "l1", "epochs", "threshold", "density")]
        both = pd.concat(
            [
                rows[["base_a", measure]].set_axis(["base", "value"], axis=1),
                rows[["base_b", measure]].set_axis(["base", "value"], axis=1),
            ]
        ).dropna()
        values = both.groupby("base")["value"].mean()
        sizes += [float(part.table.prunable.iloc[0])] * len(values)
        means += values.tolist()
    if len(means) < FEWEST or len(set(sizes)) < 2 or len(set(means)) < 2:
        return None
    found = stats.spearmanr(sizes, means)
    test = stats.permutation_test(
        (means,),
        lambda order: stats.spearmanr(sizes, order).statistic,
        permutation_type="pairings",
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return {
        "networks": len(set(sizes)),
        "bases": len(means),
        "rho": float(found.statistic),
        "p": float(test.pvalue),
    }


def _trends(parts: Sequence[Part], measure: str) -> dict[str, dict[str, Any]]:
    """The trends of bases and of pruned models by OOD set, if they can be had."""
    found = {
        ood: {state: trend(parts, ood, measure, state) for state in (BASE, PRUNED)}
        for ood in parts[0].similarity
    }
    return {ood: {s: one for s, one in by.items() if one} for ood, by in found.items()}


# --- in words -------------------------------------------------------------------------------------

Words = Callable[[Mapping[str, Any]], list[Section]]


def sections(
    found: Mapping[str, Any], words: Words, explained: Sequence[str] = ()
) -> list[Section]:
    """The page of an experiment with several networks.

    Args:
        found: what `together` returns.
        words: the sections of one network.
        explained: paragraphs that are shown only where they come first.
    """
    shown: set[str] = set()
    parts = [
        Section("networks", "Do models of different bases converge?", "", _answers(found)),
        Section("between", "How alike are models of different networks?", _between(found)),
    ]
    for one in found["networks"]:
        parts += [
            Section(
                f"{s.name}-{one['title']}",
                f"{one['title']}: {s.title}",
                _once(s.text, explained, shown),
                s.lead,
            )
            for s in words(one)
        ]
    return parts


def _once(words: str, explained: Sequence[str], shown: set[str]) -> str:
    """A text without explanations that were shown before, and without headings of nothing."""
    parts = [part for part in words.split("\n\n") if part not in shown]
    shown.update(part for part in parts if part in explained)
    following = [*parts, "#"][1:]
    return joined(
        *(
            part
            for part, after in zip(parts, following, strict=True)
            if not (part.startswith("#") and after.startswith("#"))
        )
    )


def _answers(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"`{one['title']}`",
            str(len(one["bases"])),
            f"{np.mean([base['accuracy'] for base in one['bases']]):.2%}",
            str(sum(bool(base["optimal"]) for base in one["bases"])),
            f"**{one['verdict']['answer']}**",
        ]
        for one in found["networks"]
    ]
    head = ["network", "bases", "mean test accuracy", "optimal bases", "answer"]
    return text.table(head, rows)


def _between(found: Mapping[str, Any]) -> str:
    measure = found["verdict"]["measure"]
    parts = []
    for ood, by in found["between"].items():
        rows = [
            [
                f"`{row['a']}`",
                f"`{row['b']}`",
                row["state"],
                str(row["pairs"]),
                *("–" if row[key] is None else f"{row[key]:.3f}" for key in ("mean", "min", "max")),
            ]
            for row in by.get(measure, ())
        ]
        head = ["network", "network", "models", "pairs", "mean", "min", "max"]
        if rows:
            parts += [f"### On `{ood}`, by `{measure}`", text.table(head, rows)]
        parts += [_trend(state, one) for state, one in found["trends"].get(ood, {}).items()]
    return joined(*parts)


def _trend(state: str, found: Mapping[str, Any]) -> str:
    direction = "more" if found["rho"] > 0 else "less"
    return (
        f"Models ({state}) of networks with more weights are {direction} alike among themselves: "
        f"Spearman's ρ = {found['rho']:.2f} over {found['bases']} bases of networks of "
        f"{found['networks']} sizes, p {text.p_value(found['p'])}.".replace("-", "−")
    )
