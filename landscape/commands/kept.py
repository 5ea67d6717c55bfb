"""The points of an unfinished scan, as the scan keeps them: in the file that grows."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..distributed import Lost, current
from ..results import GrowingResult, Result
from ..surfaces import Grid
from ..terminal import Interruption


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


def scanned(
    path: Path,
    identity: Mapping[str, Any],
    scan: Callable[[Callable[..., KeptPoints] | None], Result],
    *,
    overwrite: bool,
) -> Result:
    """Return what `scan` makes with a keeper of its points, saved at `path`; what ends it on the way leaves its points.

    Of several processes the first alone keeps and saves.
    """
    if not current().leads:
        return scan(None)
    with GrowingResult(path, identity, fresh=overwrite) as growing:
        with _leaving(growing.path):
            result = scan(lambda *layout: KeptPoints(growing, *layout))
        result.save(path, overwrite=overwrite)
        growing.remove()
    return result


@contextlib.contextmanager
def _leaving(path: Path) -> Iterator[None]:
    def left() -> str:
        there = f"each finished point is in {path}, and the same command goes on from there"
        return there if path.exists() else "nothing was saved"

    try:
        yield
    except KeyboardInterrupt as interruption:
        kind = Interruption if isinstance(interruption, Interruption) else KeyboardInterrupt
        raise kind(f"interrupted; {left()}") from interruption
    except Lost as error:
        raise Lost(f"{error}; {left()}") from error
