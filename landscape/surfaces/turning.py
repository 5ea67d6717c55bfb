"""Places along a curve: evenly spread, and closer together where the loss turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..arguments import read_integer
from ..errors import UsageError

MOST_PLACES = 10_001
CUTS = 4  # parts that an interval may be cut into where the loss turns


def places_along(points: int | Sequence[float] | np.ndarray) -> np.ndarray:
    """Return places t (T,) in growing order: so many evenly spread, or those given; both ends and 1/2 are among them.

    Raises UsageError for fewer than two, more than can be meant, and for t outside [0, 1].
    """
    if isinstance(points, Sequence | np.ndarray):
        given: Any = np.asarray(points, dtype=np.float64)
        if outside := [t for t in given.tolist() if not 0 <= t <= 1]:
            raise UsageError(f"t = {outside[0]} lies outside [0, 1]; 0 is the first net and 1 the second")
    else:
        count = read_integer("points", points, least=2)
        if count > MOST_PLACES:
            raise UsageError(f"points = {count} is more than {MOST_PLACES}; give fewer, such as 51")
        given = np.linspace(0, 1, count)
    return np.unique(np.concatenate([given, [0.0, 0.5, 1.0]]))


def finer(t: np.ndarray) -> np.ndarray:
    """Return the places t (T,) and those between (CUTS (T - 1) + 1,), each interval in CUTS equal parts."""
    shares = np.arange(CUTS) / CUTS
    return np.append((t[:-1, None] + shares * np.diff(t)[:, None]).ravel(), t[-1])


def turn(t: np.ndarray, evaluate: Callable[[list[int]], np.ndarray], *, tol: float) -> list[int]:
    """Evaluate every CUTS-th of the places t (T,), then those next to which the loss turns; return their indices.

    `evaluate` takes indices and returns the losses (K, T) of K curves, NaN where they are not known. A place is a turn
    where the loss of any curve departs by more than `tol` of itself from the chord of its neighbours, or is no number.
    """
    known = list(range(0, len(t), CUTS))
    losses = evaluate(known)
    step = CUTS
    while step > 1:
        new = set()
        for before, at, after in zip(known, known[1:], known[2:], strict=False):
            share = (t[at] - t[before]) / (t[after] - t[before])
            chord = (1 - share) * losses[:, before] + share * losses[:, after]
            if not bool(np.all(np.abs(losses[:, at] - chord) <= tol * np.abs(losses[:, at]))):
                new |= {(one + other) // 2 for one, other in ((before, at), (at, after)) if other - one == step}
        known = sorted({*known, *new})
        losses = evaluate(sorted(new))
        step //= 2
    assert all(one < other for one, other in pairwise(known))
    return known
