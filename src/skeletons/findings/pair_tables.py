"""Tables of scores and of pairs, grouped by the recipes of the models."""

from __future__ import annotations

from typing import Any

import pandas as pd

from skeletons.model_ids import BASE, PRUNED, REGULARIZED, Model

SPARSE = 0.8  # a skeleton has lost at least this share of its weights
RISE = 0.05  # nats; the training loss of one that was retrained rises by at most this
MAX_DROP = 0.02  # a skeleton has lost at most this much of its base's accuracy
ALIKE = 0.6  # the post's observation: most pairs have a cosine above this
FIELDS = ("network", "seed", "own", "state", "l1", "epochs", "threshold", "density", "draw")


def identified(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with the id of each model's `base` and the tag of its `network`."""
    if "base" in table:
        return table
    models = [Model.parse(name) for name in table.model]
    tags = pd.Series([model.net for model in models], index=table.index, dtype=object)
    return table.assign(base=[str(model.base) for model in models], network=tags)


def with_base_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with `base_accuracy` and `drop` (the base's accuracy minus its own, −1..1)."""
    table = identified(table)
    base = table[table.state == BASE].set_index("base").accuracy
    return table.assign(
        base_accuracy=table.base.map(base), drop=table.base.map(base) - table.accuracy
    )


def with_unpruned_accuracy(table: pd.DataFrame) -> pd.DataFrame:
    """The scores with what each pruned model is compared with: itself before pruning.

    Returns:
        The table with `unpruned` (the state of that model: regularised, or base if the table lacks
        the regularised one), `unpruned_accuracy` and `lost` (that accuracy minus the model's own,
        −1..1). They mean nothing for models that are not pruned.
    """
    table = with_base_accuracy(table)
    keys = ["base", "l1", "epochs"]
    walked = table[table.state == REGULARIZED].set_index(keys).accuracy
    own = pd.Series(
        [walked.get(key, float("nan")) for key in table[keys].itertuples(index=False, name=None)],
        index=table.index,
        dtype=float,
    )
    before = own.fillna(table.base_accuracy)
    return table.assign(
        unpruned=own.isna().map({True: BASE, False: REGULARIZED}),
        unpruned_accuracy=before,
        lost=before - table.accuracy,
    )


def retrained(table: pd.DataFrame) -> set[str]:
    """The pruned models that were trained on after pruning, of the scores of all models."""
    return set(table.model[table.loss_bound.notna()]) if "loss_bound" in table else set()


def skeletons(
    table: pd.DataFrame, sparsity: float = SPARSE, drop: float = MAX_DROP, rise: float = RISE
) -> pd.DataFrame:
    """The living pruned models that lost enough weights and little accuracy.

    Retrained ones also keep the training loss; of others, it is not known.

    Args:
        table: all models' scores.
        sparsity: the least share of weights that a skeleton has lost.
        drop: the most accuracy that it has lost against its base.
        rise: the most that the upper bound of its training loss lies above its base's, in nats.
    """
    table = with_base_accuracy(table)
    bound = table.loss_bound if "loss_bound" in table else pd.Series(float("nan"), table.index)
    # A density is rounded to whole weights, so it may keep half a weight more than was asked for.
    half_a_weight = 0.5 / table.get("prunable", float("inf"))
    kept = table[
        (table.state == PRUNED)
        & ~table.dead.astype(bool)
        & (table.sparsity + half_a_weight >= sparsity)
        & (table["drop"] <= drop)
        & ~(bound > rise)
    ]
    return kept.sort_values(["sparsity", "model"], ascending=[False, True])


def annotate(pairs: pd.DataFrame) -> pd.DataFrame:
    """A table of pairs with the `FIELDS` and the base of both models as columns *_a and *_b.

    A table that has these columns already is returned as it is, so model ids are parsed only once.
    """
    if f"{FIELDS[0]}_a" in pairs:
        return pairs
    columns = {}
    for side in ("a", "b"):
        places, names = pd.factorize(pairs[side])  # a model takes part in many pairs
        models = [Model.parse(name) for name in names]
        fields = {field: [getattr(model, field) for model in models] for field in FIELDS}
        fields |= {"base": [str(model.base) for model in models]}
        for field, values in fields.items():
            column = pd.Series(values).take(places)
            columns[f"{field}_{side}"] = column.set_axis(pairs.index)
    return pairs.assign(**columns)


def models_in(pairs: pd.DataFrame) -> set[str]:
    """The ids of all models in a table of pairs."""
    return {*pairs.a.unique(), *pairs.b.unique()}


def same(table: pd.DataFrame, *keys: str) -> pd.Series[bool]:
    """Whether both models of a pair have the same value of each key, or both have none."""
    alike = pd.Series(True, index=table.index)
    for key in keys:
        a, b = table[f"{key}_a"], table[f"{key}_b"]
        alike &= (a == b) | (a.isna() & b.isna())
    return alike


def without_controls(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of bases and pruned models, which are the pairs that the post compares."""
    table = annotate(pairs)
    compared = (BASE, PRUNED)
    return table[table.state_a.isin(compared) & table.state_b.isin(compared)]


def across_bases(pairs: pd.DataFrame, measure: str) -> list[dict[str, Any]]:
    """Similarity of models of different bases with the same recipe: unpruned, then by recipe.

    Returns:
        One row for the bases themselves (threshold None), one per density (with a key `density`),
        and one per threshold, with the columns of `spread`.
    """
    table = annotate(pairs)
    table = table[table.base_a != table.base_b]
    bases = table[(table.state_a == BASE) & (table.state_b == BASE)]
    rows = [{"threshold": None, **spread(bases, measure)}]
    alike = pruned_alike(table)
    for cut in ("density", "threshold"):
        rows += [
            {"threshold": None, cut: amount, **spread(group, measure)}
            for amount, group in _groups(alike, f"{cut}_a")
        ]
    return rows


def pruned_alike(pairs: pd.DataFrame) -> pd.DataFrame:
    """The pairs of pruned models of different bases by one recipe; controls take no part."""
    table = annotate(pairs)
    return table[
        (table.base_a != table.base_b)
        & (table.state_a == PRUNED)
        & (table.state_b == PRUNED)
        & same(table, "l1", "epochs", "threshold", "density")
    ]


def _groups(table: pd.DataFrame, column: str) -> list[tuple[float, pd.DataFrame]]:
    """The rows of a table by the value of a numeric column, in ascending order."""
    return [(value, table[table[column] == value]) for value in sorted(set(table[column].dropna()))]


def spread(pairs: pd.DataFrame, measure: str) -> dict[str, Any]:
    """The number of pairs, the number without a value, and mean, min and max of the values."""
    values = pairs[measure].dropna()
    known = len(values) > 0
    return {
        "pairs": len(pairs),
        "undefined": int(len(pairs) - len(values)),
        "mean": float(values.mean()) if known else None,
        "min": float(values.min()) if known else None,
        "max": float(values.max()) if known else None,
    }


def one_measure(wide: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One measure of a table of pairs, with the same columns for every measure."""
    known = wide[measure].notna()
    columns = {
        "ood": wide["ood"] if "ood" in wide.columns else "",
        "measure": measure,
        "value": wide[measure],
        "std": wide[f"{measure}_std"] if f"{measure}_std" in wide.columns else float("nan"),
        "reason": wide["reason"].where(~known, ""),
    }
    return wide[["a", "b"]].assign(**columns)
