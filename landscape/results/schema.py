"""What a result must be to fit its kind: names, dtypes, dimensions and types checked, in one sentence each."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ResultError
from ..spec import nearest
from .kinds import KINDS, TEXT, Array, Attribute, Kind
from .values import Value, plain

SCHEMA_VERSION = 1


def find_kind(name: Any) -> Kind:
    """Return the kind called `name`; raise ResultError with the nearest names."""
    if not isinstance(name, str) or name not in KINDS:
        raise ResultError(f"{name!r} is no kind of result that this version knows; {nearest(str(name), KINDS)}")
    return KINDS[name]


def canonical_arrays(kind: str, arrays: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays in the kind's order and dtypes; raise ResultError naming the array, what came, what was wanted.

    Sizes are checked too: every dimension has one size, whichever arrays it appears in.
    """
    wanted = find_kind(kind).arrays
    for name in arrays:
        if name not in wanted:
            raise ResultError(f"{name!r} is no array of a {kind} result; {nearest(name, wanted)}")
    found: dict[str, np.ndarray] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name, spec in wanted.items():
        if name not in arrays:
            if spec.required:
                raise ResultError(f"a {kind} result lacks the array {name!r}; wanted {describe_array(spec)}")
            continue
        array = _with_dtype(name, arrays[name], spec)
        check_shape(name, array.shape, spec, sizes)
        for code in np.unique(array) if spec.codes else ():
            if int(code) not in spec.codes:
                known = ", ".join(f"{value} ({word})" for value, word in spec.codes.items())
                raise ResultError(f"{name} holds the code {code}; wanted {known}")
        found[name] = array
    for name in found:
        for dim in wanted[name].dims:
            if dim in wanted and dim not in found:
                raise ResultError(f"{name} has no {dim}, which says where its values lie; give both")
    return found


def canonical_attributes(kind: str, attrs: Mapping[str, Any]) -> dict[str, Value]:
    """Return the attributes as plain values, the kind's own first; raise ResultError where one is of a wrong type.

    Missing ones are let pass (see `check_complete`), and so are attributes that the kind does not name.
    """
    wanted = find_kind(kind).attributes
    found: dict[str, Value] = {}
    for name in sorted(attrs, key=lambda key: (list(wanted).index(key) if key in wanted else len(wanted), key)):
        spec = wanted.get(name, Attribute("any", "", optional=True))
        value = plain(name, attrs[name], spec.type)
        if value is None and not spec.optional:
            raise ResultError(f"attribute {name!r} is None; wanted {spec.type}: {spec.meaning}")
        if spec.choices and value not in spec.choices:
            # a file's text may be of any length
            raise ResultError(f"attribute {name!r} = {reprlib.repr(value)}; wanted one of {', '.join(spec.choices)}")
        found[name] = value
    return found


def check_complete(kind: str, attrs: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Raise ResultError, naming them, where required attributes are missing or contradict the arrays."""
    spec = find_kind(kind)
    missing = [name for name, attribute in spec.attributes.items() if attribute.required and name not in attrs]
    if missing:
        raise ResultError(f"a {kind} result lacks the attributes {', '.join(missing)}; a file has to explain itself")
    for name, array in arrays.items():
        dims = spec.arrays[name].dims
        if "P" in dims and array.shape[dims.index("P")] != attrs["n_parameters"]:
            raise ResultError(
                f"{name} spans P = {array.shape[dims.index('P')]} parameters; n_parameters says {attrs['n_parameters']}"
            )


def check_shape(name: str, shape: tuple[int, ...], spec: Array, sizes: dict[str, tuple[int, str]]) -> None:
    """Raise ResultError unless `shape` fits the dimensions; `sizes` maps each to (size, array that set it)."""
    if len(shape) != len(spec.dims):
        raise ResultError(f"{name} has shape {shape}; wanted ({', '.join(spec.dims)})")
    for dim, size in zip(spec.dims, shape, strict=True):
        known, setter = sizes.setdefault(dim, (size, name))
        if size != known:
            raise ResultError(f"{name} has {dim} = {size}; wanted {dim} = {known}, as in {setter}")


def describe_array(spec: Array) -> str:
    """Say what an array is: dtype, dimensions and meaning."""
    return f"{spec.dtype} ({', '.join(spec.dims)}), {spec.meaning}"


def _with_dtype(name: str, value: Any, spec: Array) -> np.ndarray:
    array = np.asarray(value)
    if spec.dtype == TEXT:
        if array.dtype.kind not in "UO" or not all(isinstance(item, str) for item in array.flat):
            raise ResultError(f"{name} is of dtype {array.dtype}; wanted {spec.dtype}")
        return array.astype(str)
    wanted = np.dtype(spec.dtype)
    if array.dtype.kind not in "biuf" or (wanted.kind in "iu" and array.dtype.kind == "f"):
        raise ResultError(f"{name} is of dtype {array.dtype}; wanted {spec.dtype}")
    # A copy: a result that shares memory with the solver's buffers would change under its owner.
    cast = array.astype(wanted, order="C")
    if wanted.kind in "iu" and not np.array_equal(cast, array):
        raise ResultError(f"{name} holds values outside {spec.dtype}")
    return cast
