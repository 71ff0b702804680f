"""Inference for a mean over pairs of seeds.

The unit of replication is the seed. Pairs that share one are not independent: with n seeds there
are n(n−1)/2 pairs, but only n things that were drawn. So every function here takes the values of
all pairs of n seeds, in the order of `itertools.combinations`, and reduces them to n pseudo-values,
one a seed, before it says how sure one can be. Nothing here knows what the values mean.

How well it does, by 4,000 simulated tables each (nominal 95 % intervals, true mean 0):

| pairs are | seeds | covered, pseudo-values | covered, vertex bootstrap |
|---|---|---|---|
| sums of two seeds' effects | 4, 6, 8 | 95, 94, 95 % | 74, 81, 88 % |
| independent of each other | 4, 6, 8 | 99, 99, 99 % | 97, 99, 99 % |
| products of two seeds' vectors | 4, 6, 8 | 99, 99, 99 % | 93, 98, 99 % |
| sums of exponential (skewed) effects | 4, 6, 8 | 88, 89, 89 % | 69, 77, 80 % |

So decisions rest on the pseudo-values, and the bootstrap is shown for comparison. Neither saves a
handful of seeds from a strongly skewed distribution.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from skeletons.arrays import Floats

EXACT_UP_TO = 14  # seeds: 16,384 patterns of signs are tried one by one, of more a sample
RESAMPLES = 9999
MOST_SEEDS = 1000  # no experiment is planned beyond


def seeds_of(values: Floats) -> int:
    """How many seeds a table of all pairs has.

    Args:
        values: one row a pair.

    Raises:
        ValueError: the number of rows is not n(n−1)/2 of any n.
    """
    count = (1 + math.isqrt(1 + 8 * len(values))) // 2
    if count * (count - 1) // 2 != len(values):
        raise ValueError(f"{len(values)} is not the number of pairs of any number of seeds")
    return count


def pseudo_values(values: Floats) -> Floats:
    """Tukey's pseudo-values of the mean over pairs: one a seed, and their mean is that mean.

    A seed's pseudo-value is n times the mean over all pairs, less n−1 times the mean without the
    seed (Tukey 1958; for statistics over pairs Arvesen 1969). Where a pair's value is a sum of two
    seeds' effects, they are twice those effects exactly, hence independent. Where pairs have a
    noise of their own besides, their spread overstates the mean's error, by a factor of up to two
    in its variance (Efron and Stein 1981; for networks Lin, Lunde and Sarkar 2020): the interval
    is too wide then, not too narrow.

    Args:
        values: all pairs of n seeds.

    Returns:
        n values; NaN if n < 3, where leaving one seed out leaves no pair.
    """
    count = seeds_of(values)
    if count < 3:
        return np.full(count, np.nan)
    first, second = np.triu_indices(count, 1)
    own = np.bincount(first, values, count) + np.bincount(second, values, count)
    mean = values.mean()
    return np.asarray(mean + 2 * (count - 1) / (count - 2) * (own / (count - 1) - mean))


def standard_error(values: Floats) -> float:
    """The standard error of the mean over pairs, for other seeds and, if given, other images.

    The variances of the two samples are added. That counts what they share twice, so the error is
    rather too large (Owen 2007).

    Args:
        values: all pairs of n seeds; or pairs × images, then images are a second sample.
    """
    over_seeds = pseudo_values(values if values.ndim == 1 else values.mean(axis=1))
    variance = over_seeds.var(ddof=1) / len(over_seeds) if len(over_seeds) > 1 else math.nan
    if values.ndim == 2 and values.shape[1] > 1:
        variance += values.mean(axis=0).var(ddof=1) / values.shape[1]
    return float(np.sqrt(variance))


def interval(values: Floats, alpha: float = 0.05) -> tuple[float, float]:
    """The 1 − alpha confidence interval of the mean over pairs, by Student's t with n − 1 degrees.

    Args:
        values: all pairs of n seeds, or pairs × images.
        alpha: the share of such intervals that may miss the truth, half at each end.

    Returns:
        Its ends; NaN for fewer than three seeds.
    """
    reach = stats.t.ppf(1 - alpha / 2, seeds_of(values) - 1) * standard_error(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def mean_interval(values: Floats, alpha: float = 0.05) -> tuple[float, float]:
    """The same for the mean of n independent values, one a seed; NaN for fewer than two."""
    if len(values) < 2:
        return math.nan, math.nan
    reach = stats.t.ppf(1 - alpha / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - reach), float(values.mean() + reach)


def vertex_bootstrap(
    values: Floats, seed: int, resamples: int = 2000, alpha: float = 0.05
) -> tuple[float, float]:
    """The percentile interval of the mean over pairs when seeds, and images, are drawn again.

    Seeds are drawn with replacement and every pair of two different ones among them counts
    (Snijders and Borgatti 1999, who fill a seed's pair with itself from other pairs instead of
    leaving it out); images are drawn independently of them (Owen 2007). With few seeds it is too
    narrow: see the table above.

    Args:
        values: all pairs of n seeds, or pairs × images.
        seed: of the draws.
        resamples: how many.
        alpha: the share of draws outside, half at each end.

    Returns:
        Its ends; NaN for fewer than three seeds or without draws.
    """
    count = seeds_of(values)
    if count < 3 or not resamples:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    first, second = np.triu_indices(count, 1)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = (drawn[:, first] * drawn[:, second]).astype(np.float64)
    weights = weights[weights.sum(axis=1) > 0]  # one seed drawn n times makes no pair
    weights /= weights.sum(axis=1, keepdims=True)
    if values.ndim == 1:
        means = weights @ values
    else:
        means = np.concatenate(
            [_image_draws(part, values, generator) for part in np.array_split(weights, 10)]
        )
    low, high = np.quantile(means, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def _image_draws(weights: Floats, values: Floats, generator: np.random.Generator) -> Floats:
    """Means over pairs, by weights (draws × pairs), and over images drawn again for each."""
    images = values.shape[1]
    drawn = generator.multinomial(images, np.full(images, 1 / images), size=len(weights))
    return np.asarray(np.einsum("di,di->d", weights @ values, drawn) / images)


# --- tests --------------------------------------------------------------------------------------


def sign_flip(values: Floats, seed: int = 0, resamples: int = RESAMPLES) -> float:
    """One-sided p for a mean above 0: the share of patterns of signs with a mean as high.

    Under the null each seed's value is as likely to be x as −x, independently of the others: that
    is what must be exchangeable (Fisher 1935, §21). It is so for pseudo-values of a difference
    where neither side is favoured and a seed's effect is symmetric. Pseudo-values of pairs with a
    noise of their own are negatively correlated, which makes the test cautious: in the simulations
    above it rejects 0.8 to 5.1 % at 5 %.

    Args:
        values: one a seed.
        seed: of the sample of patterns, where there are too many to try all.
        resamples: how many are sampled then.

    Returns:
        At least `smallest_p(n)`; 1 for no values, NaN if one of them is.
    """
    if np.isnan(values).any():
        return math.nan
    count = len(values)
    if count <= EXACT_UP_TO:
        signs, extra = _all_signs(count), 0
    else:
        generator = np.random.default_rng(seed)
        signs = generator.choice((1.0, -1.0), size=(resamples, count))
        extra = 1  # the pattern observed is one of those that could have been drawn
    slack = 1e-12 * float(np.abs(values).sum())  # equal sums that were added in another order
    as_high = int((signs @ values >= values.sum() - slack).sum())
    return (as_high + extra) / (len(signs) + extra)


@functools.cache
def _all_signs(count: int) -> Floats:
    """All 2ⁿ patterns of n signs, one a row."""
    return np.array(list(itertools.product((1.0, -1.0), repeat=count))).reshape(-1, count)


def smallest_p(seeds: int, resamples: int = RESAMPLES) -> float:
    """The smallest p that `sign_flip` can give: all signs alike is one pattern of 2ⁿ."""
    return 2.0**-seeds if seeds <= EXACT_UP_TO else 1 / (resamples + 1)


def seeds_for_p(alpha: float, tests: int = 1) -> int:
    """The fewest seeds with which `sign_flip`, corrected for the number of tests, can be < alpha.

    At least 3, as pseudo-values need as many.
    """
    return max(3, math.floor(math.log2(tests / alpha)) + 1)


def seeds_for_power(distance: float, spread: float, alpha: float, power: float = 0.8) -> int | None:
    """The fewest seeds with which a one-sided t-test would see a distance with the given power.

    It takes the distance and the spread as observed for the truth, so it is a guess as rough as
    they are. As pairs with a noise of their own average out faster than seeds do, it is rather too
    high.

    Args:
        distance: of the mean from what it is tested against, ≥ 0.
        spread: standard deviation of the pseudo-values.
        alpha: level of the test.
        power: probability of seeing it.

    Returns:
        At least 3; None if more than 1,000 or if it cannot be said.
    """
    if not distance > 0 or not np.isfinite(spread):
        return None
    if spread == 0:
        return 3
    counts = np.arange(3, MOST_SEEDS + 1)
    critical = stats.t.ppf(1 - alpha, counts - 1)
    seen = stats.nct.sf(critical, counts - 1, distance / spread * np.sqrt(counts))
    enough = np.flatnonzero(seen >= power)
    return int(counts[enough[0]]) if len(enough) else None


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979).

    The probability of one wrong rejection among all is then at most alpha, however the tests hang
    together, and no test is harder than with Bonferroni's correction. Tests of one experiment share
    seeds, so a correction that needs independence would not do. A NaN stays NaN but counts: the
    question was asked.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(np.nan_to_num(values, nan=np.inf), kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(value) for value in corrected]


def same_base(
    values: Floats, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float, float]:
    """Whether models of one base are more alike than models of different bases.

    Compared are pairs of different recipes (a recipe is a λ, a number of epochs and a threshold):
    recipe r of seed i with recipe s of seed i, against recipe s of the other seeds. Under the null
    it makes no difference which base a model has, so within each recipe the seeds' labels can be
    permuted; rows and columns of a model go together (the quadratic assignment procedure, Mantel
    1967; Hubert and Schultz 1976). Recipes are never mixed: they differ for reasons of their own.

    Args:
        values: R×R×n×n, entry r, s, i, j the similarity of recipe r of seed i and s of seed j.
        seed: of the sample of permutations, where there are too many to try all.
        resamples: how many are sampled then.

    Returns:
        How much more alike models of one base are; one-sided p; the smallest p possible. NaN for
        fewer than two seeds or recipes.
    """
    recipes, _, count, _ = values.shape
    if recipes < 2 or count < 2:
        return math.nan, math.nan, math.nan
    first, second = np.triu_indices(recipes, 1)
    blocks = values[first, second]  # one n×n block for each two recipes
    within = np.trace(blocks, axis1=1, axis2=2).sum() / (len(blocks) * count)
    across = (blocks.sum() - within * len(blocks) * count) / (len(blocks) * count * (count - 1))
    labels, extra = _permutations(recipes, count, seed, resamples)
    total = np.zeros(len(labels))
    for r, s in zip(first, second, strict=True):
        total += values[r, s][labels[:, r], labels[:, s]].sum(axis=1)
    # The sum over all pairs is always the same, so the mean within alone orders permutations.
    as_high = int((total >= within * len(blocks) * count - 1e-9).sum())
    ways = len(labels) + extra
    return float(within - across), (as_high + extra) / ways, 1 / ways


def _permutations(
    recipes: int, count: int, seed: int, resamples: int
) -> tuple[npt.NDArray[np.int64], int]:
    """Labels, ways × recipes × n, and 1 if they are a sample (without the order observed).

    The first recipe keeps its labels: only how the others lie against it matters.
    """
    ways = math.factorial(count) ** (recipes - 1) if recipes < 20 else math.inf
    still = np.arange(count)
    if ways <= resamples:
        orders = list(itertools.permutations(range(count)))
        chosen = list(itertools.product(orders, repeat=recipes - 1))
        rest = np.array(chosen, dtype=np.int64)
        return np.concatenate([np.tile(still, (len(rest), 1, 1)), rest], axis=1), 0
    generator = np.random.default_rng(seed)
    tiled = np.tile(still, (resamples, recipes, 1))
    return generator.permuted(tiled, axis=2), 1
