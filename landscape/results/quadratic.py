"""The quadratic of a surface at its origin, from slope and curvature, and how far from there the loss follows it."""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Polynomial

from .result import Result

TOLERANCE = 0.05  # of the local loss


def quadratic_along(result: Result, rung: int, axis: int) -> Polynomial:
    """Return L + s t + c t^2/2 along a direction of a surface (0 or 1) through its origin, at its `rung`-th eps.

    Its coefficients are NaN where the surface has no slope or curvature along it.
    """
    slope, curvature = (result.arrays[name][rung] for name in ("slope", "curvature"))
    return Polynomial([result.arrays["centre_loss"][rung], slope[axis], curvature[axis, axis] / 2])


def agreement_radius(
    coordinate: np.ndarray, loss: np.ndarray, model: np.ndarray, *, tolerance: float = TOLERANCE
) -> float:
    """Return how far from coordinate 0 `model` (n,) stays within `tolerance` of the local loss (n,) on both sides.

    Between two points the excess of the error is taken to be linear. Infinite where no point of the slice is beyond; 0
    where the points beside the origin are, so that the slice is too coarse to tell; NaN where the origin is not within
    the slice, or the loss or the model is not known beside it.
    """
    order = np.argsort(coordinate)
    coordinate, excess = coordinate[order], (np.abs(model - loss) - tolerance * np.abs(loss))[order]
    sides = [
        _crossing(sign * coordinate[chosen][::sign], excess[chosen][::sign])
        for sign, chosen in ((1, coordinate >= 0), (-1, coordinate <= 0))
        if chosen.sum() > (coordinate[chosen] == 0).sum()
    ]
    return min(sides, default=math.nan) if np.any(coordinate >= 0) and np.any(coordinate <= 0) else math.nan


def _crossing(distance: np.ndarray, excess: np.ndarray) -> float:
    """Return where the excess first passes 0, from the origin outwards; a point that is not known is one beyond."""
    before, inside = 0.0, -math.inf
    for here, value in zip(distance, excess, strict=True):
        if not value <= 0:
            if not math.isfinite(value):
                return before if before else math.nan
            return float(before + inside / (inside - value) * (here - before)) if before else 0.0
        before, inside = float(here), float(value)
    return math.inf
