"""A result in words, for a person: what it is, how far to trust it, how it was made, and its table of numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..units import format_eps
from . import schema
from .caveats import caveats
from .result import Result
from .store import array_shapes, read_result

_NORMS = {"linf": "l-inf", "l2": "l2"}
_TOLD = {"status", "norm", "eps", "attack", "adversary", "batchnorm", "model", "checkpoint", "n_parameters"}
_TOLD |= {"train_eps", "data", "split", "n_examples"}  # each in a line of its own before the others
_LARGE = 100_000  # elements: arrays beyond this are told by their shape and not read


def describe(result: Result | str | Path) -> list[tuple[str, str]]:
    """Return (key, text) lines that describe a result or a result file, the most telling first.

    Raises ResultError where the file is none of ours, damaged, or of another schema.
    """
    if isinstance(result, Result):
        shapes, where = {name: array.shape for name, array in result.arrays.items()}, []
    else:
        shapes, where = array_shapes(result), [("file", str(result))]
        result = read_result(result, only=[name for name, shape in shapes.items() if math.prod(shape) <= _LARGE])
    kind = schema.find_kind(result.kind)
    attrs = result.attrs
    lines = [("result", f"{result.kind}: {kind.title}"), *where]
    lines.append(("status", "; ".join([str(attrs.get("status", "unknown")), *caveats(result)])))
    lines += [("threat model", threat_model(result)), ("net", _net(result)), ("examples", _examples(result))]
    lines += [(name, show(value, name)) for name, value in attrs.items() if name not in _TOLD]
    for name, shape in shapes.items():
        spec = kind.arrays[name]
        size = ", ".join(f"{dim} = {size:,}" for dim, size in zip(spec.dims, shape, strict=True))
        lines.append((name, f"({size}) {spec.dtype}, {spec.units}: {spec.meaning}"))
    return lines


def table(result: Result) -> tuple[list[str], list[list[Any]]]:
    """Return the header and the rows of a result's main table: its one-dimensional arrays over their first dimension.

    The first column is that dimension (k: 1, 2, ...); codes are given in words.
    """
    kind = schema.find_kind(result.kind)
    dim = next(spec.dims for name, spec in kind.arrays.items() if name in result.arrays)[0]
    names = [name for name in result.arrays if kind.arrays[name].dims == (dim,)]
    size = len(result.arrays[names[0]])
    columns: list[list[Any]] = [list(range(1, size + 1))]
    for name in names:
        codes = kind.arrays[name].codes
        columns.append([codes.get(value, value) if codes else value for value in result.arrays[name].tolist()])
    return [dim, *names], [list(row) for row in zip(*columns, strict=True)]


def headline(result: Result) -> str:
    """Return a result in one short line, for a repr."""
    parts = [result.kind]
    if isinstance(eps := result.attrs.get("eps"), float):
        parts.append(f"eps = {format_eps(eps)}")
    if "eigenvalues" in result.arrays and result.arrays["eigenvalues"].size:
        values = result.arrays["eigenvalues"]
        parts.append(f"{values.size} eigenvalues {values[0]:.4g} to {values[-1]:.4g}")
    if isinstance(count := result.attrs.get("n_examples"), int):
        parts.append(f"n = {count:,}")
    return ", ".join([*parts, str(result.attrs.get("status", "unknown")), *caveats(result)])


def threat_model(result: Result) -> str:
    """Return what the adversary may do and how it was played: norm, eps, attack, adversary, BatchNorm."""
    attrs = result.attrs
    parts = []
    if isinstance(eps := attrs.get("eps"), float):
        parts.append(f"{_NORMS.get(str(attrs.get('norm')), 'unknown norm')} ball, eps = {format_eps(eps)}")
    if eps != 0:
        parts += [f"attack {show(attrs.get('attack'))}", f"adversary {show(attrs.get('adversary'))}"]
    return "; ".join([*parts, f"BatchNorm {show(attrs.get('batchnorm'))}"])


def show(value: Any, name: str = "") -> str:
    """Return a value as a person reads it: None and NaN as unknown, radii as 8/255, dicts on one line."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "not computed" if isinstance(value, float) and name != "train_eps" else "unknown"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_eps(value) if name.endswith("eps") else f"{value:.6g}"
    if isinstance(value, int) and name != "seed":
        return f"{value:,}"
    if isinstance(value, dict):
        told = {key: item for key, item in value.items() if item is not None and key != "history"}
        words = {key: show(item, key) for key, item in told.items()}
        nested = {key: f"({text})" if isinstance(told[key], dict) else text for key, text in words.items() if text}
        return ", ".join(f"{key} {text}" for key, text in nested.items())
    if isinstance(value, list):
        return ", ".join(show(item, name) for item in value) if value else "none"
    return value if isinstance(value, str) else json.dumps(value)


def _net(result: Result) -> str:
    attrs = result.attrs
    trained = format_eps(eps) if isinstance(eps := attrs.get("train_eps"), float) else "unknown"
    return (
        f"{show(attrs.get('model'))}, P = {show(attrs.get('n_parameters'))}, "
        f"from {show(attrs.get('checkpoint'))}, trained at eps = {trained}"
    )


def _examples(result: Result) -> str:
    attrs = result.attrs
    return f"{show(attrs.get('n_examples'))} of {show(attrs.get('data'))}, split {show(attrs.get('split'))}"
