"""Check a tidy table of similarities that a user brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skeletons import text
from skeletons.errors import SkeletonsError
from skeletons.findings.pair_values import BASE, CEILING, COLUMNS, KINDS, PRUNED
from skeletons.findings.scale import Scale


def read(path: str | Path) -> pd.DataFrame:
    """A tidy table from a file.

    Args:
        path: CSV or parquet.

    Returns:
        The columns of `pair_values.COLUMNS`; seeds as text, value as float64, NaN if empty.

    Raises:
        SkeletonsError: the file cannot be read, or is not a tidy table.
    """
    place = Path(path)
    if not place.is_file():
        raise SkeletonsError(f"{place} is not a file; name a table in CSV or parquet.")
    try:
        if place.suffix.lower() in (".parquet", ".pq"):
            table = pd.read_parquet(place)
        else:
            table = pd.read_csv(place, dtype=str, keep_default_na=False)
    except Exception as error:  # readers raise many kinds, all because of the file
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SkeletonsError(
            f"{place} cannot be read as a table in CSV or parquet ({first.rstrip('.')})."
        ) from None
    return checked(table, str(place))


def checked(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A tidy table whose columns, kinds, values and pairs are in order.

    Args:
        table: as read.
        name: of the table, for messages.

    Raises:
        SkeletonsError: something is not in order; one sentence.
    """
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise SkeletonsError(
            f"{name}: found no column {text.listed(missing)}; needed: {', '.join(COLUMNS)}."
        )
    table = table[list(COLUMNS)].copy()
    for column in ("seed_a", "seed_b", "kind", "recipe"):
        table[column] = _texts(table[column])
    for column in ("seed_a", "seed_b"):
        if (empty := table[column] == "").any():
            raise SkeletonsError(
                f"{name}, row {_row(empty)}: found no {column}; every pair has two."
            )
    if (unknown := ~table.kind.isin(KINDS)).any():
        found = table.kind[unknown].iloc[0]
        raise SkeletonsError(
            f"{name}, row {_row(unknown)}: found the kind {found!r}; allowed: {', '.join(KINDS)}."
        )
    table["value"] = _numbers(table["value"], name)
    _check_pairs(table, name)
    return table.reset_index(drop=True)


def _texts(column: pd.Series[Any]) -> pd.Series[str]:
    """Names as text: 1 and 1.0 are both "1", and what is missing is ""."""
    return column.map(_text)


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _numbers(column: pd.Series[Any], name: str) -> pd.Series[float]:
    """Values as numbers; empty ones are NaN.

    Raises:
        SkeletonsError: one is not a finite number.
    """
    texts = column.map(lambda value: "" if _text(value).lower() in ("", "nan", "na") else value)
    values = pd.to_numeric(texts.where(texts != "", np.nan), errors="coerce").astype(float)
    wrong = (values.isna() & (texts != "")) | np.isinf(values)
    if wrong.any():
        raise SkeletonsError(
            f"{name}, row {_row(wrong)}: found the value {str(column[wrong].iloc[0])!r}; allowed: "
            "a number, or nothing for a pair with a dead model."
        )
    return values


def _check_pairs(table: pd.DataFrame, name: str) -> None:
    """Every pair is of two seeds, and is there once."""
    own = (table.seed_a == table.seed_b) & (table.kind != CEILING)
    if own.any():
        row = table[own].iloc[0]
        raise SkeletonsError(
            f"{name}, row {_row(own)}: found the seed {row.seed_a} with itself; allowed: two seeds "
            f"(one seed twice only for the kind {CEILING})."
        )
    ends = np.sort(table[["seed_a", "seed_b"]].to_numpy(dtype=object), axis=1)
    keys = pd.DataFrame({"a": ends[:, 0], "b": ends[:, 1], "k": table.kind, "r": table.recipe})
    if (twice := keys.duplicated()).any():
        row = table[twice.to_numpy()].iloc[0]
        recipe = f" of recipe {row.recipe!r}" if row.recipe else ""
        raise SkeletonsError(
            f"{name}, row {_row(twice)}: found the pair {row.seed_a}, {row.seed_b} of kind "
            f"{row.kind}{recipe} twice; allowed: each pair once."
        )
    for kind in (BASE, PRUNED):
        if not (table.kind == kind).any():
            raise SkeletonsError(
                f"{name}: found no row of the kind {kind}; an answer needs pairs of {BASE} and "
                f"{PRUNED}."
            )


def _row(wrong: pd.Series[bool]) -> int:
    """The line of the first wrong row in a CSV file, whose first line names the columns."""
    return int(np.argmax(wrong.to_numpy())) + 2


def check_range(table: pd.DataFrame, scale: Scale, name: str) -> None:
    """Every value is within the range of its measure.

    Args:
        table: checked.
        scale: of the values.
        name: of the table, for messages.

    Raises:
        SkeletonsError: one is not.
    """
    slack = 1e-6  # of sums in another order
    outside = (table["value"] < scale.low - slack) | (table["value"] > scale.high + slack)
    if outside.any():
        raise SkeletonsError(
            f"{name}, row {_row(outside)}: found the value {table['value'][outside].iloc[0]:g}; "
            f"allowed: {scale.low:g} to {scale.high:g}, the range of the measure."
        )
