"""A result that an earlier run of the same command left: found again by its settings, never taken for another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import ResultError
from ..results import Result, read_result


def finished(path: Path, identity: dict[str, Any], *, only: Iterable[str] | None = None) -> Result | None:
    """Return the result of these settings at `path`, with the arrays `only`, or None where no file is.

    A setting that one of the two does not know is None there: a file stays found when a later version adds a setting.
    Raises ResultError where the file is of other settings, was made elsewhere, or is damaged.
    """
    if not path.exists():
        return None
    result = read_result(path, only=only)
    own = result.attrs.get("settings")
    if not isinstance(own, dict):
        raise ResultError(f"{path} holds a result that was made elsewhere; give --overwrite, or another --out")
    if differing := [key for key in {**identity, **own} if own.get(key) != identity.get(key)]:
        shown = ", ".join(f"{key} {own.get(key)} there, {identity.get(key)} asked" for key in differing[:3])
        raise ResultError(f"{path} holds a result of other settings ({shown}); give --overwrite, or another --out")
    return result
