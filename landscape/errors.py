"""The errors that users meet: each message says what came, what was wanted, and what to type next."""

from __future__ import annotations

from typing import Any

_BEGINNING, _END = 700, 280  # letters of a message: what came stands at its beginning, what to type next at its end


class LandscapeError(Exception):
    """A failure that its message explains; the command line prints it as one sentence and exits with `exit_code`.

    Whatever a message quotes, out of a stranger's file, it is a line of at most about a thousand letters.
    """

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(_line(message))


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


def _line(message: str) -> str:
    """Return a message as a line: short, and what moves a cursor or turns letters round written out."""
    if len(message) > _BEGINNING + _END:
        message = f"{message[:_BEGINNING]} ... {message[-_END:]}"
    if message.isprintable():
        return message
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in message)
