"""The rows of a Krylov space: stored as one chooses, where there is room, and always reckoned with in float64."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

STORED = {"float64": torch.float64, "float32": torch.float32, "bfloat16": torch.bfloat16}
_COLUMNS = 2**20  # of the rows that are taken to float64, or replaced, at once


def dot(rows: Tensor, vector: Tensor) -> Tensor:
    """Return the products (m,) of rows (m, P) with a float64 vector (P,)."""
    if rows.dtype == vector.dtype:
        return rows @ vector
    total = vector.new_zeros(len(rows))
    for part in _parts(rows):
        total += rows[:, part].to(vector.dtype) @ vector[part]
    return total


def subtract(vector: Tensor, components: Tensor, rows: Tensor) -> None:
    """Take components (m,) times rows (m, P) from a float64 vector (P,), in place."""
    if rows.dtype == vector.dtype:
        vector -= components @ rows
        return
    for part in _parts(rows):
        vector[part] -= components @ rows[:, part].to(vector.dtype)


def combine(coordinates: Tensor, rows: Tensor, out: Tensor | None = None) -> Tensor:
    """Return the float64 vectors (k, P) that coordinates (k, m) in rows (m, P) stand for."""
    if out is None and rows.dtype == coordinates.dtype:
        return coordinates @ rows
    out = rows.new_empty(len(coordinates), rows.shape[1], dtype=coordinates.dtype) if out is None else out
    for part in _parts(rows):
        out[:, part] = coordinates @ rows[:, part].to(coordinates.dtype)
    return out


def replace(coordinates: Tensor, rows: Tensor, pending: int) -> None:
    """Put the k combinations (k, m) of the first m rows (m + pending, P) in their place, the pending ones after them.

    In place, some columns at a time: a copy of the basis would take half as much memory again.
    """
    k, m = coordinates.shape
    for part in _parts(rows):
        kept = coordinates @ rows[:m, part].to(coordinates.dtype)
        waiting = rows[m : m + pending, part].clone()
        rows[:k, part] = kept.to(rows.dtype)
        rows[k : k + pending, part] = waiting


def _parts(rows: Tensor) -> Iterator[slice]:
    for start in range(0, rows.shape[1], _COLUMNS):
        yield slice(start, start + _COLUMNS)
