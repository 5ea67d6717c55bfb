"""What a scan will take, from one point of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from .point import Points


@dataclass(frozen=True)
class Forecast:
    """What a scan will take: points, passes of one example through the net (forward or backward), seconds."""

    points: int
    passes: int
    seconds: float


def forecast(points: Points, grid: tuple[int, int]) -> Forecast:
    """Return what a scan of all points of a grid will take, from the time of one."""
    ladder = points.ladder
    began = time.perf_counter()
    points.values(0.0, 0.0)
    seconds = time.perf_counter() - began
    each = len(ladder.eps)
    if ladder.moves:
        attacked = [attack for attack in ladder.attacks if attack.ball.eps > 0]
        each = 1 + sum(1 + attack.restarts * (2 * attack.steps + 1) for attack in attacked)
    count = grid[0] * grid[1]
    return Forecast(count, count * each * ladder.objective.n, count * seconds)
