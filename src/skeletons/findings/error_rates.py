"""How often answers are wrong, and how often they come at all, over simulated experiments.

`python -m skeletons.findings.error_rates` prints the tables of docs/statistics.md, and writes them
into a page with `--write PAGE`. Experiments are drawn with similarities of the two bases of a pair
of 0.3, a ceiling of 0.7 and pruned models in between, and decided by the functions that decide real
ones. Effects of seeds have one of several shapes, all with the same spread; pairs have noise of
their own. With three comparisons, half of the variance is of the pruned models, which all of them
share, and half of each control, turned so that the skewness of both adds up.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from skeletons import text
from skeletons.arrays import Floats
from skeletons.findings import modified_t
from skeletons.findings.rules import Rules
from skeletons.findings.scale import Scale
from skeletons.findings.share import Contrast
from skeletons.marked import renewed

SHAPES = ("normal", "t3", "exponential", "−exponential", "lognormal", "−lognormal")
NOISES = (0, 2, 10)  # of pairs, in units of a seed's effect
SEEDS = (6, 8, 12)
COMPARISONS = (1, 3)
BASE, CEILING = 0.3, 0.7
EFFECT = 0.004  # standard deviation of a seed's effect on a similarity
RUNS = 10_000
MARKED = "error_rates"  # the text of a page that this module writes
RULES = Rules()


def drawn(shape: str, size: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Numbers with mean 0 and variance 1.

    Args:
        shape: one of `SHAPES`; a minus turns it.
        size: of the array.
        generator: of random numbers.
    """
    if shape.startswith("−"):
        return -drawn(shape[1:], size, generator)
    if shape == "normal":
        return generator.normal(size=size)
    if shape == "t3":
        return np.asarray(generator.standard_t(3, size=size) / math.sqrt(3))
    if shape == "exponential":
        return generator.exponential(size=size) - 1
    spread = math.sqrt((math.e - 1) * math.e)
    return np.asarray((np.exp(generator.normal(size=size)) - math.exp(0.5)) / spread)


def pairs(own: Floats, noise: float, generator: np.random.Generator) -> Floats:
    """Experiments × pairs: the sums of two seeds' effects, and noise of each pair."""
    sums = own @ modified_t.incidence(own.shape[-1]).T
    return np.asarray(sums + noise * generator.normal(size=sums.shape))


def contrasts(
    shape: str,
    noise: float,
    seeds: int,
    shares: Sequence[float],
    generator: np.random.Generator,
    *,
    runs: int = RUNS,
    effect: float = EFFECT,
) -> list[Contrast]:
    """The comparisons of simulated experiments.

    Args:
        shape: of the effects of seeds.
        noise: of pairs, in units of a seed's effect.
        seeds: their number.
        shares: the true share of the gap that is closed beyond each comparison; the highest is the
            one beyond the bases.
        generator: of random numbers.
        runs: number of experiments.
        effect: standard deviation of a seed's effect.
    """
    gap = CEILING - BASE
    several = len(shares) > 1
    part = effect * math.sqrt(0.5) if several else effect
    size = (runs, seeds)
    own = part * pairs(drawn(shape, size, generator), noise, generator)
    pruned = np.asarray(BASE + max(shares) * gap + own)
    shape_of_controls = shape[1:] if shape.startswith("−") else f"−{shape}"
    if shape in ("normal", "t3"):
        shape_of_controls = shape
    flat = np.zeros((runs, pruned.shape[-1]))
    found = []
    for share in shares:
        control = BASE + (max(shares) - share) * gap + flat
        if several:
            control += part * pairs(drawn(shape_of_controls, size, generator), noise, generator)
        found.append(Contrast(pruned, control, (BASE + flat, CEILING + flat), Scale()))
    return found


def rejected(found: Sequence[Contrast], rules: Rules = RULES) -> dict[str, Floats]:
    """Which experiments have each answer, as shares 0 or 1, and pass each limit."""
    level, level_any = rules.level, rules.level_of_any(len(found))
    upper, lower = rules.converges_above, rules.not_below
    above_upper = np.all([one.p_above(upper) < level for one in found], axis=0)
    above_lower = np.all([one.p_above(lower) < level for one in found], axis=0)
    below_upper = np.any([one.p_below(upper) < level_any for one in found], axis=0)
    below_lower = np.any([one.p_below(lower) < level_any for one in found], axis=0)
    return {
        "converges": above_upper & ~below_lower,
        "does not": below_lower,
        "in part": above_lower & below_upper & ~below_lower & ~above_upper,
    }


# --- tables -------------------------------------------------------------------------------------


def wrong(
    shape: str, noise: float, seeds: int, comparisons: int, runs: int = RUNS
) -> dict[str, float]:
    """The share of experiments with each kind of wrong answer, each at its worst truth.

    *Converges* at a share of exactly the upper limit, with any other comparison clearly passed;
    *does not* at the lower limit in all comparisons; *in part* at the upper limit in all
    comparisons and at the lower limit, whichever is more.
    """
    rules = RULES
    generator = np.random.default_rng([seeds, comparisons, SHAPES.index(shape), int(noise)])
    upper, lower = rules.converges_above, rules.not_below
    far = 0.9

    def rate(answer: str, *shares: float) -> float:
        found = contrasts(shape, noise, seeds, shares, generator, runs=runs)
        return float(rejected(found, rules)[answer].mean())

    rest = [far] * (comparisons - 1)
    return {
        "converges": rate("converges", upper, *rest),
        "does not": rate("does not", *[lower] * comparisons),
        "in part": max(
            rate("in part", *[upper] * comparisons),
            rate("in part", lower, *[0.4] * (comparisons - 1)),
        ),
    }


def table_of_errors(comparisons: int, runs: int = RUNS) -> str:
    """The wrong answers by shape, noise and number of seeds."""
    rows = []
    for shape in SHAPES:
        for noise in NOISES:
            cells = []
            for seeds in SEEDS:
                found = wrong(shape, noise, seeds, comparisons, runs)
                cells.append(" / ".join(f"{100 * rate:.1f}" for rate in found.values()))
            rows.append([shape, f"{noise} ×", *cells])
    return text.table(["effects of seeds", "noise of pairs", *map(_seeds, SEEDS)], rows)


def table_of_power(runs: int = RUNS) -> str:
    """How often the right answer comes, by the spread of pairs within the gap."""
    rows = []
    truths = ((1.0, "converges"), (0.75, "converges"), (0.375, "in part"), (0.0, "does not"))
    for share, answer in truths:
        for spread in (0.05, 0.1, 0.2):
            for comparisons in COMPARISONS:
                generator = np.random.default_rng(0)
                effect = spread * (CEILING - BASE) / math.sqrt(2 + 1)
                cells = []
                for seeds in SEEDS:
                    found = contrasts(
                        "normal",
                        1,
                        seeds,
                        [share] * comparisons,
                        generator,
                        runs=runs,
                        effect=effect,
                    )
                    cells.append(f"{100 * rejected(found)[answer].mean():.0f}")
                rows.append([f"{share:g}", answer, f"{spread:g}", str(comparisons), *cells])
    head = ["true share", "answer", "spread of pairs", "comparisons"]
    return text.table([*head, *map(_seeds, SEEDS)], rows)


def table_of_tests(runs: int = RUNS) -> str:
    """False *converges* of several tests, each at 2.5 %, with effects of seeds only."""
    rows = []
    tests: Mapping[str, Callable[[Floats], Floats]] = {
        "Student's t": _student,
        "Johnson's modified t": _johnson,
        "studentised bootstrap of seeds": _bootstrap,
        "Hall's transformation, n − 3 (used)": lambda values: modified_t.p_above(values),
    }
    for name, test in tests.items():
        for what, mean in (("wrong", 0.0), ("8 errors above", 8.0)):
            cells = []
            for shape in ("normal", "−exponential", "−lognormal"):
                for seeds in SEEDS:
                    generator = np.random.default_rng([seeds, SHAPES.index(shape)])
                    few = min(runs, 2000) if test is _bootstrap else runs
                    values = pairs(drawn(shape, (few, seeds), generator), 0.0, generator)
                    values += mean * 2 / math.sqrt(seeds)
                    rate = 100 * (test(values) < RULES.level).mean()
                    cells.append(f"{rate:.1f}" if mean == 0 else f"{rate:.0f}")
            grouped = [" / ".join(cells[k : k + len(SEEDS)]) for k in range(0, 9, len(SEEDS))]
            rows.append([name, what, *grouped])
    return text.table(["test", "mean", "normal", "−exponential", "−lognormal"], rows)


def table_of_looks(runs: int = RUNS) -> str:
    """Wrong answers of experiments that get more seeds until they are decided."""
    rows = []
    for shape in ("normal", "−exponential", "exponential"):
        for looks in (1, 4):
            rules = Rules(looks=looks)
            cells = []
            for answer, share in (("converges", 0.5), ("does not", 0.25)):
                generator = np.random.default_rng(0)
                [whole] = contrasts(shape, 2, 12, [share], generator, runs=runs)
                ever = np.zeros(runs, dtype=bool)
                for seeds in (6, 8, 10, 12):
                    ever |= rejected([_first(whole, seeds)], rules)[answer]
                cells.append(f"{100 * ever.mean():.1f}")
            rows.append([shape, str(looks), *cells])
    return text.table(["effects of seeds", "`findings.looks`", "converges", "does not"], rows)


def table_of_the_dead(runs: int = RUNS) -> str:
    """False *converges* if the seeds with the lowest effects die."""
    rows = []
    upper = RULES.converges_above
    for seeds, dead in ((6, 1), (8, 2), (12, 1), (12, 4), (20, 1), (20, 2), (20, 6)):
        cells = []
        for shape in ("normal", "−exponential"):
            generator = np.random.default_rng([seeds, dead])
            own = np.sort(drawn(shape, (runs, seeds), generator), axis=1)[:, ::-1]
            values = BASE + upper * (CEILING - BASE) + EFFECT * pairs(own, 0.0, generator)
            living = _among(values, seeds, seeds - dead)
            gap = (np.full_like(living, BASE), np.full_like(living, CEILING))
            left_out, bounded = (
                100
                * (
                    Contrast(living, gap[0], gap, Scale(), count).p_above(upper) < RULES.level
                ).mean()
                for count in (0, dead)
            )
            enough = seeds - dead >= RULES.alive * seeds
            cells += [f"{left_out:.1f}", f"{bounded:.1f}" if enough else "undecided"]
        rows.append([f"{dead} of {seeds}", *cells])
    head = ["dead", "normal, left out", "as decided", "−exponential, left out", "as decided"]
    return text.table(head, rows)


def _seeds(count: int) -> str:
    return text.counted(count, "seed")


def _first(one: Contrast, seeds: int) -> Contrast:
    """The same experiments with their first seeds only."""
    count = modified_t.seeds_of(one.pruned.shape[-1])
    assert one.gap is not None
    parts = [_among(part, count, seeds) for part in (one.pruned, one.control, *one.gap)]
    return Contrast(parts[0], parts[1], (parts[2], parts[3]), one.scale)


def _among(values: Floats, count: int, seeds: int) -> Floats:
    """The values of the pairs of the first seeds, of all pairs."""
    _, second = np.triu_indices(count, 1)
    return np.asarray(values[..., second < seeds])


# --- tests that are not used ----------------------------------------------------------------------


def _student(values: Floats) -> Floats:
    """One-sided p of Student's t on pseudo-values."""
    found, seeds = modified_t.effects(values), modified_t.seeds_of(values.shape[-1])
    return np.asarray(stats.t.sf(found.mean / found.error, seeds - 1))


def _johnson(values: Floats) -> Floats:
    """One-sided p of Johnson's (1978) modified t, with Student's critical values."""
    found, seeds = modified_t.effects(values), modified_t.seeds_of(values.shape[-1])
    t = found.mean / found.error
    t = t + found.skewness * (2 * t**2 + 1) / (6 * math.sqrt(seeds))
    return np.asarray(stats.t.sf(t, seeds - 1))


def _bootstrap(values: Floats, resamples: int = 499) -> Floats:
    """One-sided p of the studentised bootstrap of seeds (Efron and Tibshirani 1993, §16.4)."""
    found, seeds = modified_t.effects(values), modified_t.seeds_of(values.shape[-1])
    t = found.mean / found.error
    generator = np.random.default_rng(0)
    as_high = np.ones(len(values))
    for _ in range(resamples):
        chosen = found.own[:, generator.integers(0, seeds, seeds)]
        spread = chosen.std(axis=1, ddof=1) / math.sqrt(seeds)
        with np.errstate(divide="ignore", invalid="ignore"):
            as_high += np.nan_to_num(chosen.mean(axis=1) / spread, nan=0.0) >= t
    return as_high / (resamples + 1)


# --- the page -------------------------------------------------------------------------------------


def parts(runs: int = RUNS) -> Iterator[str]:
    """The tables with their headings, in Markdown."""
    kinds = "*converges* / *does not converge* / *in part*"
    yield f"Wrong answers of each kind in %, {kinds}, at their worst truth. One comparison:"
    yield table_of_errors(1, runs)
    yield "The same with three comparisons:"
    yield table_of_errors(3, runs)
    yield (
        "How often the right answer comes, in %. The spread is the standard deviation of the "
        "values of pairs as a share of the gap; two thirds of its variance are effects of seeds:"
    )
    yield table_of_power(runs)
    yield (
        "Tests of a mean at a nominal 2.5 %, at 6 / 8 / 12 seeds: how often each is passed in %, "
        "if the true mean is 0, and if it is 8 standard errors above 0:"
    )
    yield table_of_tests(runs)
    yield "Looking at 6, 8, 10 and 12 seeds until there is an answer, wrong answers in %:"
    yield table_of_looks(runs)
    yield "If the seeds with the lowest effects die, false *converges* in %:"
    yield table_of_the_dead(runs)


def main() -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="experiments a cell")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with the two markers")
    options = parser.parse_args()
    tables = "\n\n".join(parts(options.runs))
    if options.write is None:
        print(tables)
        return
    page = options.write.read_text(encoding="utf-8")
    options.write.write_text(renewed(page, MARKED, tables), encoding="utf-8")


if __name__ == "__main__":
    main()
