"""The table of the jobs of a run."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table


def job_stats(planned: Mapping[str, int]) -> Table:
    """The number of jobs of each rule and in total; rule names are shown as typed."""
    table = Table(
        "rule",
        title="Job stats",
        title_style="bold",
        title_justify="left",
        header_style="bold blue",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("count", justify="right")
    for rule, count in planned.items():
        table.add_row(rule, str(count))
    table.add_section()
    table.add_row("total", str(sum(planned.values())), style="bold")
    return table
