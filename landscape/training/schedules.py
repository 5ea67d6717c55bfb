"""Schedules of the budget and of the learning rate: pure functions of the epoch, which may be a fraction."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from ..errors import UsageError
from ..spec import nearest

EPS_SCHEDULES = ("constant", "linear", "cosine")
LR_SCHEDULES = ("constant", "step", "cosine", "linear", "cyclic")

CYCLE_PEAK = 0.4  # of the period: where a cyclic learning rate is largest (Wong et al. 2020)

# Fractions such as 1/3 of a period are rounded on the way here; a drop due at that moment must still happen at it.
_ROUNDING = 1e-9


def position(epoch: float, boundaries: Sequence[float]) -> float:
    """Return how far `epoch` is into its period, d/D in [0, 1].

    `boundaries` cut the run into periods: (0, 200) is one of 200 epochs, (0, 100, 150, 200) three of them, and each
    starts anew at its first epoch. The last period includes its end. Raises UsageError for an epoch outside the run
    and for boundaries that do not increase.
    """
    if len(boundaries) < 2 or any(not a < b for a, b in pairwise(boundaries)):
        raise UsageError(f"the periods {tuple(boundaries)} do not increase; give boundaries such as 0,100,150,200")
    if not boundaries[0] <= epoch <= boundaries[-1]:
        raise UsageError(f"epoch {epoch:g} is outside the run; it goes from {boundaries[0]:g} to {boundaries[-1]:g}")
    period = min(bisect_right(boundaries, epoch), len(boundaries) - 1)
    start, end = boundaries[period - 1], boundaries[period]
    return (epoch - start) / (end - start)


def eps_at(fraction: float, *, kind: str, target: float, peak: float, start: float = 0.0) -> float:
    """Return the budget at a fraction d/D of the period, in the units of `target` (Liu et al. 2020, section 5).

    The schedule climbs from `start` towards `peak` and is clipped to [0, target]: with a peak above the target (the
    overshoot) the target is reached inside the period and held. "constant" is the target throughout.
    """
    if kind == "constant":
        return target
    if kind == "linear":
        rise = fraction
    elif kind == "cosine":
        rise = (1 - math.cos(math.pi * fraction)) / 2
    else:
        raise UsageError(f"eps schedule {kind!r} is unknown; {nearest(kind, EPS_SCHEDULES)}")
    return min(max(start + (peak - start) * rise, 0.0), target)


def lr_at(fraction: float, *, kind: str, lr: float, drops: Sequence[float] = (), factor: float = 0.1) -> float:
    """Return the learning rate at a fraction d/D of the period.

    "step" multiplies `lr` by `factor` at each of the `drops` (fractions of the period) that has come; "cosine" and
    "linear" fall from `lr` to zero at the period's end; "cyclic" rises from zero to `lr` at 2/5 of the period and falls
    back to zero; "constant" stays.
    """
    if kind == "constant":
        return lr
    if kind == "step":
        return lr * factor ** sum(fraction >= drop - _ROUNDING for drop in drops)
    if kind == "cosine":
        return lr * (1 + math.cos(math.pi * fraction)) / 2
    if kind == "linear":
        return lr * (1 - fraction)
    if kind == "cyclic":
        return lr * min(fraction / CYCLE_PEAK, (1 - fraction) / (1 - CYCLE_PEAK))
    raise UsageError(f"learning-rate schedule {kind!r} is unknown; {nearest(kind, LR_SCHEDULES)}")
