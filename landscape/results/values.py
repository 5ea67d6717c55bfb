"""Attribute values as plain Python, and as HDF5 that h5py, xarray and netCDF can all read, there and back unchanged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import ResultError

Value = None | bool | int | float | str | list[Any] | dict[str, Any]

_INT64 = range(-(2**63), 2**63)


def plain(name: str, value: Any, kind: str = "any") -> Value:
    """Return an attribute as plain Python of the type asked for; raise ResultError naming it, got and wanted.

    `kind` is "text", "texts", "integer", "number", "flag", "json" or "any". A number that is None becomes NaN.
    """
    if kind == "json":
        document: Value = jsonable(name, value)
        return document
    value = _unwrapped(value)
    if value is None:
        return math.nan if kind == "number" else None
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, list):
        value = _plain_list(name, value)
    fits = {
        "text": isinstance(value, str),
        "texts": isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value)),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "flag": isinstance(value, bool),
        "any": isinstance(value, bool | int | float | str | list),
    }
    if not fits.get(kind, False):
        wanted = {"any": "a number, a text, a truth value or a list", "texts": "a text or a list of texts"}
        raise ResultError(f"attribute {name!r} is {_shown(value)}; wanted {wanted.get(kind, kind)}")
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, int) and item not in _INT64:
            raise ResultError(f"attribute {name!r} = {item} passes 64 bits; wanted a smaller whole number")
        if isinstance(item, str) and "\0" in item:
            raise ResultError(f"attribute {name!r} holds a NUL character; wanted plain text")
    plain_value: Value = value
    return plain_value


def jsonable(name: str, value: Any) -> Any:
    """Return `value` as what JSON gives back: dicts with text keys, lists, numbers, texts; NaN as None."""
    value = _unwrapped(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(name, item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(name, item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN, and readers other than Python's refuse it
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ResultError(f"{name!r} holds {_shown(value)}; wanted numbers, texts, lists and dicts of them")


def encode(value: Value, kind: str = "any") -> Any:
    """Return a plain value as h5py should store it.

    A truth value is a uint8 (netCDF knows no HDF5 enum, and drops it silently), every other whole number an int64; None
    is an empty dataspace; a list of texts an array of texts; "json" a text.
    """
    if value is None:
        return h5py.Empty(h5py.string_dtype())
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, bool):
        return np.uint8(value)
    if isinstance(value, int):
        return np.int64(value)
    if isinstance(value, list):
        if not value or isinstance(value[0], str):
            return np.array(value, dtype=h5py.string_dtype())
        return np.array(value, dtype=np.float64 if isinstance(value[0], float) else np.int64)
    return value


def decode(name: str, stored: Any, kind: str = "any") -> Value:
    """Return the plain value that `encode` stored; raise ResultError on any type that it never stores."""
    if isinstance(stored, h5py.Empty):
        return None
    if isinstance(stored, np.ndarray) and stored.ndim != 1:
        raise ResultError(f"attribute {name!r} has {stored.ndim} dimensions; wanted one value or a list")
    if isinstance(stored, np.uint8 | np.bool_) and kind in ("any", "flag"):
        return bool(stored)
    if kind == "json" and isinstance(stored, str):
        try:
            return plain(name, json.loads(stored), kind)
        except (ValueError, RecursionError) as error:
            raise ResultError(f"attribute {name!r} is no JSON ({error}); is the file damaged?") from error
    return plain(name, stored, kind)


def _unwrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Path):
        return str(value)
    for base in (str, int, float):  # torch.__version__ is a subclass of str, which h5py cannot store
        if isinstance(value, base) and not isinstance(value, bool):
            return base(value)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_unwrapped(item) for item in value]
    return value


def _plain_list(name: str, items: list[Any]) -> list[Any]:
    numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    if numbers and any(isinstance(item, float) for item in items):
        return [float(item) for item in items]
    if numbers or all(isinstance(item, str) for item in items):
        return items
    raise ResultError(f"attribute {name!r} is {_shown(items)}; wanted a list of numbers or a list of texts")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
