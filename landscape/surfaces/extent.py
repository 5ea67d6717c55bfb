"""The grid of a surface: how many points, and how far it reaches: to where the loss has risen by one nat, or by 20."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..arguments import read_integer
from ..errors import UsageError
from .ladder import Ladder
from .point import Points

Bounds = tuple[float, float]

DEFAULT_GRID = (21, 21)
MOST_POINTS = 250_000
RISE = 1.0  # nats
CLIFF = 20.0  # rises: on the side where the loss has risen by so many of them, nothing is to be seen beyond
_WITHIN = 0.05  # the radius is found to this share of itself


def rise_radius(points: Points, *, rise: float = RISE, tick: Callable[[], None] | None = None) -> float:
    """Return the radius inside which the loss has risen by `rise` nats on every half-axis, to two digits, upwards.

    Or, where that is nearer, by CLIFF times as much on one of them: a net may hardly change to one side and be in
    ruins on the other. The loss is that of the largest radius of the ladder, its adversary as frozen at the origin:
    forward passes only. A half-axis on which it does not rise so far within the length of the weights does not count.
    """
    ladder = Ladder(points.ladder.objective, points.ladder.attacks[-1:], moves=False)
    ladder.frozen = points.ladder.frozen[-1:]

    def loss(a: float, b: float) -> float:
        if tick is not None:
            tick()
        return float(ladder.evaluate(points.network(a, b)).means)

    centre = loss(0, 0)
    plane = points.plane
    found = []
    most = 0.0
    sides = [(axis, sign) for axis in range(len(plane.directions)) for sign in (1, -1)]

    def risen(axis: int, sign: int, by: float) -> Callable[[float], bool]:
        # what is not finite has risen
        return lambda r: not loss(*((sign * r, 0) if axis == 0 else (0, sign * r))) < centre + by

    for axis, sign in sides:
        reach = max(float(plane.origin.double().norm() / plane.directions[axis].double().norm()), 1e-6)
        most = max(most, reach)
        enough = risen(axis, sign, rise)
        high = reach / 64
        while high < reach and not enough(high):
            high *= 2
        if high >= reach and not enough(reach):
            continue
        found.append(_bisect(enough, high / 2 if high > reach / 64 else 0.0, min(high, reach)))
    radius = max(found, default=most)
    for side in sides:
        if (fallen := risen(*side, CLIFF * rise))(radius):
            radius = _bisect(fallen, 0.0, radius)
    return _upwards(radius)


def _bisect(risen: Callable[[float], bool], low: float, high: float) -> float:
    while high - low > _WITHIN * high:
        middle = (low + high) / 2
        low, high = (low, middle) if risen(middle) else (middle, high)
    return high


def _upwards(radius: float) -> float:
    """Return a positive number rounded up to two digits."""
    power = 10.0 ** (math.floor(math.log10(radius)) - 1)
    return float(f"{math.ceil(radius / power - 1e-9) * power:.12g}")


def grid_shape(grid: tuple[int, int] | int | None, *, line: bool) -> tuple[int, int]:
    """Return (nx, ny) of a grid, 21x21 or 41x1 where none is given.

    Raises UsageError for one that is empty, larger than can be meant, or of two rows or more on a line.
    """
    if grid is None:
        return (DEFAULT_GRID[0] * 2 - 1, 1) if line else DEFAULT_GRID
    nx, ny = (grid, 1 if line else grid) if isinstance(grid, int) else grid
    nx, ny = read_integer("grid", nx, least=1), read_integer("grid", ny, least=1)
    if nx * ny > MOST_POINTS:
        raise UsageError(f"a grid of {nx}x{ny} has {nx * ny:,} points; wanted at most {MOST_POINTS:,}, such as 51x51")
    if line and ny != 1:
        raise UsageError(f"a grid of {nx}x{ny} came for one direction; give --grid {nx}x1, or two directions")
    return nx, ny


def auto_rule(radius: float) -> str:
    """Return the words that say how a range was chosen by itself."""
    return f"auto: within {radius:g} the loss has risen by {RISE:g} nat to each side, or by {CLIFF:g} to one"


def axes(
    range: str | float | tuple[Bounds, Bounds],
    shape: tuple[int, int],
    points: Points,
    *,
    tick: Callable[[], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the coordinates x (nx,) and y (ny,), and the words that say how they were chosen."""
    if isinstance(range, str):
        if range != "auto":
            raise UsageError(f"range {range!r} is unknown; give auto, half a width, or (low, high) for x and for y")
        radius = rise_radius(points, tick=tick)
        bounds, rule = ((-radius, radius), (-radius, radius)), auto_rule(radius)
    elif isinstance(range, int | float):
        bounds, rule = ((-float(range), float(range)), (-float(range), float(range))), "given"
    else:
        bounds, rule = range, "given"
    for low, high in bounds:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise UsageError(f"a range from {low:g} to {high:g} is empty; give --range LOW:HIGH with LOW below HIGH")
    x, y = (
        np.linspace(*bound, count) if count > 1 else np.zeros(1) for bound, count in zip(bounds, shape, strict=True)
    )
    for axis in (x, y):  # the origin is a point of the grid, and not one rounding away from it
        axis[np.abs(axis) < 1e-12 * np.abs(axis).max(initial=0)] = 0.0
    return x, y, rule
