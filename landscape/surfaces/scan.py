"""Every point of a grid, the nearest to the origin first, each kept as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import numpy as np

from ..distributed import ALONE, Group
from ..results.kinds.surface import FAILED, TODO
from .point import Values

Progress = Callable[[int, int], None]
Index = tuple[int, int]  # (row of y, column of x)


class Evaluated(Protocol):
    """Points by two coordinates, such as `Points` of a plane."""

    def values(self, a: float, b: float, /) -> tuple[Values, str]:
        """Return what is found at a point, and what the net said if it failed there."""


class Keeper(Protocol):
    """Where the points of an unfinished scan are kept."""

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the arrays of a scan that was left unfinished, or None."""

    def put(self, row: int, column: int, values: Values) -> None:
        """Keep what one point gave, on disk before this returns."""


class Count:
    """How many points of a stage are done, told to `progress`: one more at each call; `tick` tells the same again.

    Of several processes it is told by `tick` alone, for an interruption is to wait until all that is done is kept.
    """

    def __init__(
        self, progress: Callable[[str, int, int], None] | None, stage: str, total: int, group: Group = ALONE
    ) -> None:
        self._progress, self._stage, self._total, self._alone = progress, stage, total, group.world == 1
        self._done = 0

    def __call__(self) -> None:
        """Count one more."""
        self._done += 1
        if self._alone:
            self.tick()

    def tick(self) -> None:
        """Tell what is done; an interruption is heeded here."""
        if self._progress is not None:
            self._progress(self._stage, self._done, self._total)


class Grid:
    """The arrays of a scan (E, ny, nx, ...): NaN where a point is still to do."""

    def __init__(self, n_eps: int, ny: int, nx: int, n: int, *, keep_examples: bool) -> None:
        shape = n_eps, ny, nx
        self.arrays: dict[str, np.ndarray] = {
            "loss": np.full(shape, np.nan),
            "loss_se": np.full(shape, np.nan),
            "error_rate": np.full(shape, np.nan),
            "zero_gradient": np.full(shape, np.nan),
            "status": np.full(shape, TODO, dtype=np.uint8),
        }
        if keep_examples:
            self.arrays["example_loss"] = np.full((*shape, n), np.nan, dtype=np.float32)
        self.failure = ""  # what the first net that failed said
        self._left: dict[str, np.ndarray] = {}

    def leave(self, arrays: dict[str, np.ndarray]) -> None:
        """Take note of what an earlier scan of the same settings left; its points are known once they are asked for."""
        self._left = arrays

    def left(self, row: int, column: int) -> Values | None:
        """Return what an earlier scan left of a point, or None."""
        if not self._left or np.isin(self._left["status"][:, row, column], (TODO, FAILED)).any():
            return None  # a net that failed may fail for a reason that has gone, and has to say it again
        return {name: self._left[name][:, row, column] for name in self.arrays}

    def done(self, row: int, column: int) -> bool:
        """Say whether a point is known."""
        return bool(np.all(self.arrays["status"][:, row, column] != TODO))

    def put(self, row: int, column: int, values: Values) -> None:
        """Take what one point gave."""
        for name, array in self.arrays.items():
            array[:, row, column] = values[name]


def every(ys: np.ndarray, xs: np.ndarray) -> list[Index]:
    """Return the indices of all points, the nearest to the origin (in grid steps) first."""
    steps = [max(abs(float(axis[-1] - axis[0])), 1e-30) for axis in (ys, xs)]
    far = [
        (np.hypot(y / steps[0], x / steps[1]), row, column) for row, y in enumerate(ys) for column, x in enumerate(xs)
    ]
    return [(row, column) for _, row, column in sorted(far)]


def scan(
    points: Evaluated,
    grid: Grid,
    ys: np.ndarray,
    xs: np.ndarray,
    wanted: Iterable[Index],
    *,
    keeper: Keeper | None = None,
    report: Callable[[], None] | None = None,
    tick: Callable[[], None] | None = None,
    group: Group = ALONE,
) -> None:
    """Evaluate the points of `grid` that are wanted and not known yet; `report` is called after each.

    The processes of a `group` share them, and come by all of them. `tick` is called between points, and may raise.
    """
    todo: list[Index] = []
    for row, column in dict.fromkeys(wanted):
        if grid.done(row, column):
            continue
        values = grid.left(row, column)
        if values is None:
            todo.append((row, column))
            continue
        grid.put(row, column, values)
        if report is not None:
            report()
    for number, (values, words) in group.shared_out(todo, partial(_evaluate, points, ys, xs), tick=tick):
        row, column = todo[number]
        if words and not grid.failure:
            grid.failure = f"at ({xs[column]:g}, {ys[row]:g}): {words}"
        if keeper is not None:
            keeper.put(row, column, values)
        grid.put(row, column, values)
        if report is not None:
            report()


def kept_by(
    keeper: Callable[[Grid, np.ndarray, np.ndarray, list[float]], Keeper] | None,
    grid: Grid,
    ys: np.ndarray,
    xs: np.ndarray,
    eps: list[float],
    group: Group = ALONE,
) -> Keeper | None:
    """Return where the first process of a group keeps the points of `grid`; all come by what an earlier scan left."""
    own: list[Keeper] = []

    def begin() -> dict[str, np.ndarray] | None:
        own.extend([] if keeper is None else [keeper(grid, ys, xs, eps)])
        return own[0].load() if own else None

    state = group.from_first(begin)
    if state is not None:
        grid.leave(state)
    return own[0] if own else None


def _evaluate(points: Evaluated, ys: np.ndarray, xs: np.ndarray, index: Index) -> tuple[Values, str]:
    row, column = index
    return points.values(float(xs[column]), float(ys[row]))
