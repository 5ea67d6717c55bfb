"""An unfinished run on disk, FILE.h5.partial: written now and then, and when the run is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..results import read_snapshot, snapshot_path, write_snapshot

_LEAST_SECONDS = 10.0  # between two writes; what a crash can cost
_SHARE = 20  # and at least so many times the seconds that a write takes: writing stays under 5 % of the run


class Partial:
    """The state of one unfinished result; `identity` are the settings that it belongs to.

    A Hessian's state is a few gigabytes for a large net, so it is not written at every step: `offer` writes when that
    is cheap, `flush` at once.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = snapshot_path(path)
        self.identity = identity
        self._fresh = fresh
        self._state: Callable[[], Mapping[str, np.ndarray]] | None = None
        self._written = time.monotonic()
        self._cost = 0.0

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the state to go on from, or None to begin; raise ResultError where it is another run's, or damaged."""
        if self._fresh or not self.path.exists():
            return None
        arrays, _ = read_snapshot(self.path, identity=self.identity)
        return arrays

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Take note of the present state, and write it if the last writing is long enough ago."""
        self._state = state
        if time.monotonic() - self._written > max(_LEAST_SECONDS, _SHARE * self._cost):
            self.flush()

    def flush(self) -> bool:
        """Write the present state; return whether there is any."""
        if self._state is None:
            return False
        began = time.monotonic()
        write_snapshot(self.path, self._state(), {}, identity=self.identity)
        self._written = time.monotonic()
        self._cost = self._written - began
        return True

    def remove(self) -> None:
        """Take the file away: the result is complete."""
        self.path.unlink(missing_ok=True)
