"""At which distances along a ray the loss has risen by so much."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..errors import LandscapeError

_FIRST, _FARTHEST = 1e-3, 4.0  # of the length of the weights
_WITHIN = 0.02  # of the rise asked for
_MOST = 40  # halvings of one bracket


def radii_of_rises(rise: Callable[[float], float], wanted: Sequence[float]) -> np.ndarray:
    """Return the radii (R,) at which `rise(r)` is each of the `wanted` (R,), in growing order, to 2 % of the rise.

    From r = 0 the radius is doubled until the loss has risen by so much; then the interval is narrowed. Raises
    LandscapeError where it does not within four times the length of the weights, or jumps past the rise.
    """
    found: list[float] = []
    low, at_low = 0.0, 0.0
    high, at_high = _FIRST, rise(_FIRST)
    for target in wanted:
        while at_high < target:  # what is not finite is no smaller
            if high >= _FARTHEST:
                raise LandscapeError(
                    f"within {high:.2g} ||w|| the loss rises by {at_high:.3g} nats, and {target:g} were asked for; "
                    "give smaller rises, or radii"
                )
            low, at_low = high, at_high
            high *= 2
            at_high = rise(high)
        found.append(_narrow(rise, target, (low, at_low), (high, at_high)))
    return np.array(found)


def _narrow(
    rise: Callable[[float], float], target: float, low: tuple[float, float], high: tuple[float, float]
) -> float:
    """Return where between two points (radius, rise) on either side of the target it is met."""
    for end in (low, high):
        if abs(end[1] - target) <= _WITHIN * target:
            return end[0]
    for number in range(_MOST):
        share = (target - low[1]) / (high[1] - low[1]) if math.isfinite(high[1]) else 0.5
        # Every third step halves: the chord alone creeps where the loss bends.
        share = 0.5 if number % 3 == 2 else min(max(share, 0.05), 0.95)
        middle = low[0] + share * (high[0] - low[0])
        value = rise(middle)
        if abs(value - target) <= _WITHIN * target:
            return middle
        low, high = ((middle, value), high) if value < target else (low, (middle, value))
    raise LandscapeError(
        f"the loss jumps from {low[1]:.3g} to {high[1]:.3g} nats above the net's at {high[0]:.4g} ||w||, past the "
        f"{target:g} asked for; give other rises, or radii"
    )
