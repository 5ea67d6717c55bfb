"""A quick look at a surface: coarse first, finer where held-out points disagree, the rest interpolated and marked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise, product

import numpy as np
from scipy.interpolate import RBFInterpolator

from ..results.kinds.surface import EVALUATED, INTERPOLATED
from .scan import Grid, Index

COARSE = 8  # cells along an axis to begin with
_NEIGHBOURS = 200  # points behind one interpolated value, at most: the system is solved for each otherwise
_TINY = 1e-12  # nats: the logarithm of a loss is interpolated, and a loss may be zero

Cell = tuple[int, int, int, int]  # rows from and to, columns from and to, both ends included


def refine(grid: Grid, evaluate: Callable[[Iterable[Index]], None], *, tol: float) -> float:
    """Evaluate a part of a grid's points, interpolate the others, and return the largest error at the held-out ones.

    A cell is settled where its middle point, held out, is predicted within `tol` of the local loss at every radius (by
    a cubic radial basis function on the logarithm of the loss); otherwise it is cut in four. Next to a point that is
    not finite or was skipped, every point is evaluated. `evaluate` puts points into the grid.
    """
    status = grid.arrays["status"]
    _, ny, nx = status.shape
    rows, columns = _cuts(ny), _cuts(nx)
    evaluate(list(product(rows, columns)))
    cells = [
        (top, bottom, left, right)
        for top, bottom in _spans(rows)
        for left, right in _spans(columns)
        if bottom - top > 1 or right - left > 1
    ]
    worst = 0.0
    while cells:
        middles = {cell: _middle(cell) for cell in cells}
        new = [index for index in dict.fromkeys(middles.values()) if not grid.done(*index)]
        predicted = _interpolate(grid, new)
        evaluate(new)
        wrong = {
            index: float(np.max(np.abs(guess - _log(grid, index)), initial=0.0)) if _regular(grid, index) else np.inf
            for index, guess in zip(new, predicted, strict=True)
        }
        unsettled = []
        for cell, middle in middles.items():
            error = wrong.get(middle, 0.0)
            if error <= tol and all(_regular(grid, corner) for corner in _corners(cell)):
                worst = max(worst, error)
            else:
                unsettled.append(cell)
        children = [child for cell in unsettled for child in _split(cell)]
        evaluate([corner for child in children for corner in _corners(child)])
        cells = [cell for cell in children if cell[1] - cell[0] > 1 or cell[3] - cell[2] > 1]
    _fill(grid)
    return worst


def _fill(grid: Grid) -> None:
    """Interpolate the points that are not known."""
    missing = [(int(row), int(column)) for row, column in np.argwhere(~_known(grid))]
    for index, guess in zip(missing, _interpolate(grid, missing), strict=True):
        grid.arrays["loss"][:, *index] = np.exp(guess)
        grid.arrays["status"][:, *index] = INTERPOLATED


def _interpolate(grid: Grid, wanted: list[Index]) -> np.ndarray:
    """Return the logarithm of the loss (points, E) at points that are not known."""
    status = grid.arrays["status"]
    if not wanted:
        return np.empty((0, len(status)))
    sure = (status == EVALUATED).all(axis=0)
    if not sure.any():
        return np.full((len(wanted), len(status)), np.nan)
    known = [(int(row), int(column)) for row, column in np.argwhere(sure)]
    size = np.maximum(np.array(status.shape[1:]) - 1.0, 1.0)
    used = [axis for axis in (0, 1) if status.shape[1 + axis] > 1]
    places, asked = (np.array(which)[:, used] / size[used] for which in (known, wanted))
    values = np.stack([_log(grid, index) for index in known])
    neighbours = _NEIGHBOURS if len(known) > _NEIGHBOURS else None
    found: np.ndarray = RBFInterpolator(places, values, kernel="cubic", neighbors=neighbours)(asked)
    return found


def _log(grid: Grid, index: Index) -> np.ndarray:
    return np.log(np.maximum(grid.arrays["loss"][:, *index], _TINY))


def _regular(grid: Grid, index: Index) -> bool:
    return bool((grid.arrays["status"][:, *index] == EVALUATED).all())


def _known(grid: Grid) -> np.ndarray:
    status = grid.arrays["status"]
    return np.array([[grid.done(row, column) for column in range(status.shape[2])] for row in range(status.shape[1])])


def _cuts(count: int) -> list[int]:
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, COARSE + 1))})


def _spans(cuts: list[int]) -> list[tuple[int, int]]:
    return list(pairwise(cuts)) or [(cuts[0], cuts[0])]


def _middle(cell: Cell) -> Index:
    return (cell[0] + cell[1]) // 2, (cell[2] + cell[3]) // 2


def _corners(cell: Cell) -> list[Index]:
    return list(product(cell[:2], cell[2:]))


def _split(cell: Cell) -> list[Cell]:
    row, column = _middle(cell)
    rows, columns = sorted({cell[0], row, cell[1]}), sorted({cell[2], column, cell[3]})
    return [(*across, *along) for across in _spans(rows) for along in _spans(columns)]
