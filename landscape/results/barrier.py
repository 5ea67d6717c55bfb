"""The barrier between two nets along a curve: how far the loss rises above the chord of its ends, with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from ..errors import UsageError
from ..streams import stream

LEVEL = 0.95
DRAWS = 300


@dataclass(frozen=True, eq=False)
class Barrier:
    """max over t of L(t) - (1 - t) L(0) - t L(1) with its interval at LEVEL over examples; `over_ends` likewise.

    `over_ends` is max over t of L(t), less the larger of L(0) and L(1). `parts` (N,) are the contributions of the
    examples to `value`, whose mean it is. `at` are the places t at which the halves have their maximum. NaN where a
    loss is not finite, and the interval for fewer than two examples in a half.
    """

    value: float
    low: float
    high: float
    over_ends: float
    parts: np.ndarray
    at: tuple[float, float]


def measure_barrier(t: np.ndarray, losses: np.ndarray, *, seed: int = 0) -> Barrier:
    """Return the barrier of the losses (T, N) of N examples, in nats, at places t (T,) that begin at 0 and end at 1.

    The maximum of noisy means is too large. So the place of the maximum is chosen on one half of the examples and the
    rise there is measured on the other, both ways, and averaged: what is measured is never above the true maximum in
    expectation. The ends, whose rise is 0 by definition and without error, are not chosen: where the loss lies below
    the chord all the way, the barrier is a little below 0, with its interval, and not exactly 0. The interval is
    Student's, with the bootstrap's standard error: examples are drawn anew within each half, and places chosen anew,
    for the two halves' choices depend on one another where the loss has no clear peak.
    """
    if len(t) < 3:
        raise UsageError(f"{len(t)} places came; a barrier needs the ends and one or more between them")
    losses = np.asarray(losses, dtype=np.float64)
    n = losses.shape[1]
    rise = losses - np.outer(1 - t, losses[0]) - np.outer(t, losses[-1])
    if not np.isfinite(losses).all():
        return Barrier(math.nan, math.nan, math.nan, math.nan, np.full(n, math.nan), (math.nan, math.nan))
    order = stream(seed, "barrier").permutation(n)
    halves = (order[: (n + 1) // 2], order[(n + 1) // 2 :])
    if n < 2:
        halves = (order, order)
    parts, tops, at = np.empty(n), np.empty(n), []
    for chosen, measured in (halves, halves[::-1]):
        best = 1 + int(np.argmax(rise[1:-1, chosen].mean(axis=1)))
        means = losses[:, chosen].mean(axis=1)
        parts[measured] = rise[best, measured]
        tops[measured] = losses[int(np.argmax(means)), measured] - losses[0 if means[0] >= means[-1] else -1, measured]
        at.append(float(t[best]))
    # Each half counts the same: with an odd number of examples one of them has one more.
    weights = np.empty(n)
    for half in halves:
        weights[half] = n / (2 * len(half)) if n > 1 else 1.0
    parts, tops = weights * parts, weights * tops
    value = float(parts.mean())
    reach = math.nan
    if n >= 4:
        reach = float(stdtrit(n - 2, (1 + LEVEL) / 2)) * _error(rise[1:-1], halves, seed)
    return Barrier(value, value - reach, value + reach, float(tops.mean()), parts, (at[0], at[1]))


def _error(rise: np.ndarray, halves: tuple[np.ndarray, np.ndarray], seed: int) -> float:
    """Return the standard error over examples of the barrier of rises (T, N) between the ends, by the bootstrap."""
    rng = stream(seed, "barrier/bootstrap")
    means = []
    for half in halves:
        counts = rng.multinomial(len(half), np.full(len(half), 1 / len(half)), size=DRAWS)
        means.append(rise[:, half] @ counts.T / len(half))  # (T, DRAWS)
    one, other = means
    every = np.arange(DRAWS)
    drawn = (one[other.argmax(axis=0), every] + other[one.argmax(axis=0), every]) / 2
    return float(drawn.std(ddof=1))
