"""The state of an unfinished computation (FILE.h5.partial): replaced whole, checked on reading, bound to its settings.

A crash at any moment leaves the previous snapshot or the new one. Arrays carry a CRC-32, so that a solver never goes on
from a basis that a disk has changed.
"""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from ..errors import ResultError
from ..files import atomic_path
from .store import SNAPSHOT, open_to_read, open_to_write
from .untrusted import attribute, check_total, own_dataset
from .values import jsonable

SNAPSHOT_VERSION = 1


class Snapshot(Protocol):
    """Where an unfinished run is kept: `load` returns its state or None, `offer` says where it stands now."""

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the state where a run was left unfinished."""

    def offer(self, state: Callable[[], Mapping[str, np.ndarray]]) -> None:
        """Take the state now, or let it pass."""


def snapshot_path(path: str | Path) -> Path:
    """Return where the computation of the result at `path` keeps its snapshot: `path` with .partial behind."""
    path = Path(path)
    return path.with_name(path.name + ".partial")


def write_snapshot(
    path: str | Path, arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any], *, identity: Mapping[str, Any]
) -> Path:
    """Replace the snapshot at `path` by these arrays (any numeric dtype and shape) and attributes (what JSON holds).

    `identity` holds the settings that the state belongs to: checkpoint, examples, budget, solver. Raises LandscapeError
    where the path cannot be written.
    """
    path = Path(path)
    with atomic_path(path, overwrite=True) as temporary, open_to_write(temporary) as file:
        file.attrs["kind"] = SNAPSHOT
        file.attrs["schema_version"] = np.int64(SNAPSHOT_VERSION)
        file.attrs["identity"] = json.dumps(jsonable("identity", identity), sort_keys=True)
        file.attrs["attrs"] = json.dumps(jsonable("attrs", attrs))
        for name, array in arrays.items():
            array = np.ascontiguousarray(array).reshape(np.shape(array))  # ascontiguousarray makes a scalar a vector
            if array.dtype.kind not in "biuf":
                raise ResultError(f"{name} is of dtype {array.dtype}; wanted numbers")
            file.create_dataset(name, data=array).attrs["crc32"] = np.int64(_crc32(array))
    return path


def read_snapshot(
    path: str | Path, *, identity: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays and the attributes of a snapshot.

    Raises ResultError where it is missing, damaged or no snapshot, and, naming the settings that differ, where
    `identity` is given and is not the snapshot's own; the caller may then begin afresh.
    """
    with open_to_read(path, remedy="delete it to begin afresh") as file:
        if not is_of(file, SNAPSHOT, SNAPSHOT_VERSION):
            raise ResultError(f"{path} is no snapshot that this version can resume; delete it to begin afresh")
        own = read_mapping(file, "identity")
        if identity is not None:
            check_identity(path, own, jsonable("identity", identity))
        held = {name: dataset for name in file if (dataset := own_dataset(file, name)) is not None}
        check_total(file, held.values())
        return {name: _read_array(dataset, name, path) for name, dataset in held.items()}, read_mapping(file, "attrs")


def is_snapshot_of(path: str | Path, identity: Mapping[str, Any]) -> bool:
    """Say whether a snapshot that belongs to these settings is at `path`; its arrays are not read."""
    with contextlib.suppress(ResultError), open_to_read(path) as file:
        check_identity(path, read_mapping(file, "identity"), jsonable("identity", identity))
        return True
    return False


def is_of(file: h5py.File, kind: str, version: int) -> bool:
    """Say whether an open file is an unfinished computation of this kind and version."""
    told = {name: attribute(file, name) for name in ("kind", "schema_version") if name in file.attrs}
    return bool(np.array_equal(told.get("kind", ""), kind) and np.array_equal(told.get("schema_version", -1), version))


def read_mapping(file: h5py.File, name: str) -> dict[str, Any]:
    """Return the mapping that an attribute holds as JSON; raise ResultError where it holds none."""
    if name not in file.attrs:
        raise ResultError(f"it lacks the attribute {name!r}; delete it to begin afresh")
    mapping = json.loads(attribute(file, name))
    if not isinstance(mapping, dict):
        raise ResultError(f"its attribute {name!r} is no mapping; delete it to begin afresh")
    return mapping


def _read_array(dataset: h5py.Dataset, name: str, path: str | Path) -> np.ndarray:
    array = np.asarray(dataset[()])
    told = attribute(dataset, "crc32") if "crc32" in dataset.attrs else -1
    if array.dtype.kind not in "biuf" or not np.array_equal(told, _crc32(array)):
        raise ResultError(f"{path} is damaged ({name} fails its checksum); delete it to begin afresh")
    return array


def check_identity(path: str | Path, own: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ResultError, naming the settings that differ, unless what a file belongs to is what is asked for."""
    differing = [key for key in sorted({*own, *asked}) if own.get(key) != asked.get(key)]
    if differing:
        shown = "; ".join(f"{key} was {own.get(key)!r}, now {asked.get(key)!r}" for key in differing[:3])
        raise ResultError(f"{path} belongs to other settings ({shown}); give another --out, or delete it")


def _crc32(array: np.ndarray) -> int:
    flat = array.reshape(-1).view(np.uint8) if array.size else array.reshape(-1)
    return zlib.crc32(flat.data)
