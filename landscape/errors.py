"""The errors that users meet: each message says what came, what was wanted, and what to type next."""

from __future__ import annotations

from typing import Any


class LandscapeError(Exception):
    """A failure that its message explains; the command line prints it as one sentence and exits with `exit_code`."""

    exit_code = 1


class UsageError(LandscapeError):
    """A request that cannot be meant: wrong units, an unknown name, a number out of range."""

    exit_code = 2


class DataError(LandscapeError):
    """Examples that are missing, damaged, or not images in [0, 1] with labels."""


class CheckpointError(LandscapeError):
    """A checkpoint that is missing, damaged, unsafe to read, or of another net."""


class ResultError(LandscapeError):
    """A result file that is missing, damaged, of another schema, or in the way of a new one."""


class NotConverged(LandscapeError):
    """A computation that stopped short of what was asked; `result` holds what it has."""

    exit_code = 3

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result
