"""An unfinished run on disk, FILE.h5.partial: written now and then, and when the run is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..distributed import Lost
from ..errors import LandscapeError, ResultError
from ..results import Result, is_snapshot_of, read_snapshot, snapshot_path, write_snapshot
from ..terminal import Interruption, warn
from .finished import finished

SECONDS_BETWEEN_WRITES = 10.0  # at least; what a crash can cost
_NOT_A_STATE = (LookupError, RuntimeError, TypeError, ValueError)  # what arrays of other names and shapes lead to
_SHARE = 20  # and at least so many times the seconds that a write takes: writing stays under 5 % of the run


class Partial:
    """The state of one unfinished result; `identity` are the settings that it belongs to.

    A Hessian's state is a few gigabytes for a large net, so it is not written at every step: `offer` writes when that
    is cheap, `flush` at once. `fresh` passes over a file of other settings, or a damaged one, instead of raising.
    `trouble` says why the last writing failed: a full disk does not end the run.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = snapshot_path(path)
        # Another version may lay its state out differently.
        self.identity = {**identity, "landscape_version": __version__}
        self.trouble = ""
        self._fresh = fresh
        self._passed_over = False
        self._saved = self._resumed = False
        self._state: Callable[[], Mapping[str, np.ndarray]] | None = None
        self._written = time.monotonic()
        self._cost = 0.0

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the state to go on from, or None to begin; raise ResultError where it is another run's, or damaged."""
        if not self.path.exists():
            return None
        try:
            arrays, _ = read_snapshot(self.path, identity=self.identity)
        except ResultError:
            if self._fresh:
                self._passed_over = True
                return None
            raise
        self._saved = self._resumed = True
        return arrays

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Take note of the present state, and write it if the last writing is long enough ago."""
        self._state = state
        if time.monotonic() - self._written > max(SECONDS_BETWEEN_WRITES, _SHARE * self._cost):
            self.flush()

    def flush(self) -> None:
        """Write the present state, if there is any."""
        if self._state is None:
            return
        began = time.monotonic()
        try:
            write_snapshot(self.path, self._state(), {}, identity=self.identity)
        except LandscapeError as error:
            self.trouble = str(error)
        else:
            self.trouble = ""
            self._saved = True
        self._written = time.monotonic()
        self._cost = self._written - began

    @property
    def resuming(self) -> bool:
        """Whether a run has taken up what an earlier one left, and has not come further yet."""
        return self._resumed and self._state is None

    def what_is_left(self) -> str:
        """Say what a run that ends here leaves behind."""
        if self.trouble:
            return self.trouble
        if not self._saved:
            return "nothing was saved"
        return f"what is saved is in {self.path}, and the same command resumes it"

    def remove(self) -> None:
        """Take the file away, for the result is complete; what another run has put there meanwhile is left to it."""
        if self._passed_over or is_snapshot_of(self.path, self.identity):
            self.path.unlink(missing_ok=True)


def compute_and_save(
    path: Path,
    identity: Mapping[str, Any],
    compute: Callable[[Partial], Result],
    *,
    overwrite: bool,
    only: Iterable[str] | None = None,
) -> Result:
    """Return what `compute` makes of the unfinished run at `path`, saved; what is interrupted is kept and says so.

    Where another run of the same settings came first, its result is returned, with the arrays `only`.
    """
    partial = Partial(path, identity, fresh=overwrite)
    try:
        result = compute(partial)
    except Interruption as interruption:  # at a report the state is whole
        partial.flush()
        raise Interruption(f"interrupted; {partial.what_is_left()}") from interruption
    except Lost as error:  # the step that it spoiled has not begun
        partial.flush()
        raise Lost(f"{error}; {partial.what_is_left()}") from error
    except _NOT_A_STATE as error:
        if not partial.resuming:
            raise
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise ResultError(
            f"{partial.path} does not hold what this run goes on from ({what}); delete it to begin afresh"
        ) from error
    except KeyboardInterrupt as interruption:  # in the midst of a step it is not
        raise KeyboardInterrupt(f"interrupted at once; {partial.what_is_left()}") from interruption
    if partial.trouble:
        warn(f"caution: nothing could be saved on the way ({partial.trouble})")
    try:
        result.save(path, overwrite=overwrite)
    except LandscapeError:
        partial.flush()  # with --overwrite the same command goes on from there
        twin = None if overwrite else finished(path, dict(identity), only=only)
        if twin is None:
            raise
        result = twin
    partial.remove()
    return result
