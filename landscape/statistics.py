"""Standard errors; intervals and tests for error rates: one net's, two nets' on the same examples, two recipes'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, ndtri, stdtr, stdtrit  # scipy.stats takes half a second to import

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """An estimated difference a - b with its interval at `level` and the two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    p: float
    level: float = LEVEL

    @property
    def sign(self) -> int:
        """-1 or 1 where the interval leaves 0 out, else 0: too small to tell."""
        return int(self.low > 0) - int(self.high < 0)


def standard_error(values: np.ndarray) -> np.ndarray:
    """Return the standard error of the mean over the last axis, the examples; of a single one there is none (NaN)."""
    n = values.shape[-1]
    return values.std(axis=-1, ddof=1) / math.sqrt(n) if n > 1 else np.full(values.shape[:-1], math.nan)


def wilson(wrong: int, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's interval for a share of `wrong` in n (Wilson 1927): it holds near 0 and 1, and lies in [0, 1]."""
    if n == 0:
        return math.nan, math.nan
    z = float(ndtri((1 + level) / 2))
    share = wrong / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the ends the interval holds the share itself; rounding must not leave it out.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mcnemar(correct_a: np.ndarray, correct_b: np.ndarray, *, level: float = LEVEL) -> Difference:
    """Return the difference of two nets' error rates (a - b) on the same examples: verdicts (N,) each, right or wrong.

    The p-value is McNemar's (1947), exact over the examples on which they differ; the interval is Bonett and Price's
    (2012), which is close to its level for as few as 10 examples. It is about these two nets, not about their recipes.
    """
    a, b = np.asarray(correct_a, dtype=bool), np.asarray(correct_b, dtype=bool)
    n, only_a, only_b = len(a), int((~a & b).sum()), int((a & ~b).sum())  # wrong in a alone, in b alone
    z = float(ndtri((1 + level) / 2))
    share_a, share_b = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z * math.sqrt((share_a + share_b - (share_a - share_b) ** 2) / (n + 2))
    centre = share_a - share_b
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))
    return Difference((only_a - only_b) / n, max(-1.0, centre - half), min(1.0, centre + half), p, level)


def paired_over_seeds(rates_a: Sequence[float], rates_b: Sequence[float], *, level: float = LEVEL) -> Difference:
    """Return the mean difference (a - b) of two recipes over shared seeds, by Student's t: the seed is the replicate.

    The rates (S,) are in the order of the seeds. With one seed the interval is infinite: nothing is known of another.
    """
    differences = np.asarray(rates_a, dtype=float) - np.asarray(rates_b, dtype=float)
    count, mean = len(differences), float(differences.mean())
    if count < 2:
        return Difference(mean, -math.inf, math.inf, math.nan, level)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    half = float(stdtrit(count - 1, (1 + level) / 2)) * error
    p = 2 * float(stdtr(count - 1, -abs(mean) / error)) if error else float(mean == 0)
    return Difference(mean, mean - half, mean + half, p, level)


def smallest_detectable(deviation: float, seeds: int, *, level: float = LEVEL, power: float = 0.8) -> float:
    """Return the mean paired difference that a t-interval over `seeds` tells from 0 with about this power.

    `deviation` is that of one paired difference. The quantiles are Student's, which is exact for the interval and a
    little pessimistic for the power.
    """
    if seeds < 2:
        return math.inf
    return float(stdtrit(seeds - 1, (1 + level) / 2) + stdtrit(seeds - 1, power)) * deviation / math.sqrt(seeds)


def with_deviation(values: Sequence[float], *, decimals: int = 2) -> str:
    """Write a mean with its sample deviation in units of the last digit, "18.62(6)"; of one value, the value alone.

    A deviation that rounds to more than 99 such units costs decimals: "54.9(1.3)".
    """
    rows = np.asarray(values, dtype=float)
    if len(rows) < 2:
        return f"{rows.mean():.{decimals}f}"
    mean, deviation = float(rows.mean()), float(rows.std(ddof=1))
    units = round(deviation * 10**decimals)
    if units > 99:
        return f"{mean:.{max(decimals - 1, 0)}f}({deviation:.{max(decimals - 1, 0)}f})"
    return f"{mean:.{decimals}f}({units})"
