"""Where the time of the tests goes, from the report of a run.

pytest --junitxml=suite.xml
python benchmarks/suite.py --report suite.xml --write docs/performance.md

Tests run in three processes at once, so their seconds add up to more than the seconds that pass.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from pathlib import Path
from xml.etree import ElementTree

from sandbox import machine, run

from skeletons import text

SHOWN = 12  # files of tests


def measured(options: argparse.Namespace, _: Path) -> str:
    """The files of tests that take longest, and what all others take."""
    suite = ElementTree.parse(options.report).getroot().find("testsuite")
    assert suite is not None
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: Counter[str] = Counter()
    for case in suite.iter("testcase"):
        name = case.get("classname", "").removeprefix("tests.").replace(".", "/")
        seconds[name] += float(case.get("time", "0"))
        tests[name] += 1
    longest = sorted(seconds.items(), key=lambda one: -one[1])[:SHOWN]
    rest = set(seconds) - {name for name, _ in longest}
    rows = [[f"`{name}`", f"{tests[name]:,}", f"{spent:,.0f}"] for name, spent in longest]
    others = (f"{len(rest)} other files", rest)
    for label, names in (others, ("all", set(seconds))):
        spent = sum(seconds[name] for name in names)
        rows.append([label, f"{sum(tests[name] for name in names):,}", f"{spent:,.0f}"])
    passed = float(suite.get("time", "0"))
    return "\n\n".join(
        [
            text.table(["file", "tests", "seconds"], rows),
            f"{passed / 60:.0f} minutes passed, n = 1; {machine()}.",
        ]
    )


if __name__ == "__main__":
    run(__doc__, "suite", measured, report="suite.xml")
