"""The points of an unfinished scan, as the scan keeps them: in the file that grows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import GrowingResult
from ..surfaces import Grid


class KeptPoints:
    """The growing file as a scan sees it."""

    def __init__(self, growing: GrowingResult, grid: Grid, ys: np.ndarray, xs: np.ndarray, eps: list[float]) -> None:
        self._growing = growing
        self._state = growing.open(grid.arrays, {"x": xs, "y": ys, "eps": np.array(eps)})

    def load(self) -> dict[str, np.ndarray]:
        """Return the arrays as an earlier run left them, or as they begin."""
        return self._state

    def put(self, row: int, column: int, values: Any) -> None:
        """Write one point."""
        self._growing.put(row, column, values)
