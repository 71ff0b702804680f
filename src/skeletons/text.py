"""Format tables, lists, counts and numbers as text."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; vertical bars inside cells are escaped."""
    lines = [
        [str(cell).replace("|", "\\|") for cell in head],
        ["---"] * len(head),
        *([str(cell).replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def listed(words: Sequence[str], most: int = 5) -> str:
    """`a`, `a and b`, `a, b and c`; of more than `most`, the first and the number of others."""
    shown = list(words)
    if len(shown) > most:
        shown = [*shown[: most - 1], f"{len(shown) - most + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 seed`, `2 seeds`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def sized(count: int) -> str:
    """A number of bytes, such as `12 bytes`, `3.4 kB` or `1.2 GB`; a kB has 1,000."""
    if count < 1_000:
        return counted(count, "byte")
    size = count / 1_000
    for unit in ("kB", "MB", "GB"):
        if size < 999.95:
            return f"{size:.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"


def points(difference: float, digits: int = 1) -> str:
    """A difference of two shares in percentage points, such as `−1.2`.

    Args:
        difference: −1..1; NaN becomes a dash.
        digits: number of decimals.
    """
    if difference != difference:
        return "–"
    return signed(100 * difference, digits)


def signed(value: float, digits: int = 2) -> str:
    """A number such as `−1.20`, with a minus sign; what rounds to 0 has none."""
    return with_minus(f"{value:.{digits}f}")


def number(value: Any, form: str = ".3f") -> str:
    """A number in a format, as `with_minus` writes it; None and NaN become a dash."""
    return "–" if value is None or value != value else with_minus(format(value, form))


def with_minus(shown: str) -> str:
    """A formatted number with a minus sign in place of a hyphen; what is shown as 0 has none."""
    if not shown.startswith("-"):
        return shown
    is_zero = re.fullmatch(r"[0.,%]+", shown[1:])
    return shown[1:] if is_zero else f"−{shown[1:]}"


def there_are(names: Collection[str]) -> str:
    """`there is`, or `there are` for several."""
    return f"there {'is' if len(names) == 1 else 'are'}"


def p_value(p: float) -> str:
    """A p-value such as `0.031` or `< 0.001`; NaN becomes a dash."""
    if p != p:
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
