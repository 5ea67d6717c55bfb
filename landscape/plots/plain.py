"""Texts of results as pictures may show them: a name out of a file is no formula, and no page long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..results.result import Result

_LONGEST = 600  # letters: more would take a layout for ever, and nobody would read it


def plain(result: Result) -> Result:
    """Return a result whose texts matplotlib shows as they are: dollars begin no formula, and what is long is cut."""
    arrays = {name: _texts(array) if array.dtype.kind == "U" else array for name, array in result.arrays.items()}
    return Result._as_read(result.kind, arrays, {name: _plain(value) for name, value in result.attrs.items()})


def _texts(array: np.ndarray) -> np.ndarray:
    return np.array([_plain(str(item)) for item in array.flat], dtype=str).reshape(array.shape)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        text = value if len(value) <= _LONGEST else value[: _LONGEST - 3] + "..."
        text = text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
        return text.replace("$", r"\$")
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
