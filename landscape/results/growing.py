"""A result that grows point by point in FILE.h5.partial: each point is on disk once it is put, and can be read at once.

The arrays are laid out beforehand and only their numbers change afterwards, so that a kill at any moment leaves a file
that HDF5 can open. A point counts as known once its checksum has been written, which comes last: a point that was cut
off half way is to do again.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import LandscapeError, ResultError
from ..files import atomic_path
from .snapshots import check_identity, is_of, read_mapping, snapshot_path
from .store import GROWING, open_to_read, open_to_write
from .untrusted import own_dataset
from .values import jsonable

fcntl: Any = None  # no such locks on Windows: there, two runs of one command are not told apart
with contextlib.suppress(ImportError):
    import fcntl

GROWING_VERSION = 1
_NONE = 0  # the checksum of a point that is not known; a real one is never 0


class GrowingResult:
    """The arrays (E, ny, nx, ...) of an unfinished scan, filled along their second and third axes.

    `identity` holds the settings that they belong to: a file of other settings is refused, naming what differs, or
    passed over where `fresh`. Raises LandscapeError where another run is writing, or the path cannot be written.
    """

    def __init__(self, path: str | Path, identity: Mapping[str, Any], *, fresh: bool = False) -> None:
        self.path = snapshot_path(path)
        self.identity = jsonable("identity", identity)
        self.fresh = fresh
        self.known = 0  # points that an earlier run has left
        self._file: h5py.File | None = None
        self._lock = Path(f"{self.path}.lock")
        self._held: int | None = None

    def open(self, arrays: Mapping[str, np.ndarray], coordinates: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Begin with `arrays`, or go on where an earlier run stopped; return the arrays as they stand.

        `coordinates` are written beside them for whoever reads the file as it grows.
        """
        self._take_lock()
        try:
            found = None if self.fresh or not self.path.exists() else self._resume(arrays)
            if found is None:
                self._lay_out(arrays, coordinates)
                found = {name: array.copy() for name, array in arrays.items()}
            self._file = h5py.File(self.path, "r+", locking=False)  # readers are welcome; writers meet at the lock
        except OSError as error:
            self.close()
            raise LandscapeError(
                f"{self.path} cannot be written: {error.strerror or error}; name another --out"
            ) from error
        except BaseException:
            self.close()
            raise
        return found

    def put(self, row: int, column: int, values: Mapping[str, np.ndarray]) -> None:
        """Write what one point gave; it is on disk when this returns."""
        assert self._file is not None
        held = [name for name in self._file if name not in ("checksum", "coordinates")]
        for name in held:
            self._file[name][:, row, column] = values[name]
        self._file.flush()
        self._file["checksum"][row, column] = _checksum({name: values[name] for name in held}, self._file)
        self._file.flush()

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._held is not None:
            os.close(self._held)
            self._held = None
            self._lock.unlink(missing_ok=True)

    def remove(self) -> None:
        """Take the file away: the result is complete."""
        self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> GrowingResult:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _take_lock(self) -> None:
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return
        while True:
            handle = os.open(self._lock, os.O_CREAT | os.O_RDWR, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                raise LandscapeError(
                    f"{self.path} is being written by another run; wait for it, or give another --out"
                ) from error
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self._lock).st_ino == os.fstat(handle).st_ino:
                    self._held = handle
                    return
            os.close(handle)  # the run that held it has ended meanwhile and taken its lock away

    def _lay_out(self, arrays: Mapping[str, np.ndarray], coordinates: Mapping[str, np.ndarray]) -> None:
        with atomic_path(self.path, overwrite=True) as temporary, open_to_write(temporary) as file:
            file.attrs["kind"] = GROWING
            file.attrs["schema_version"] = np.int64(GROWING_VERSION)
            file.attrs["identity"] = json.dumps(self.identity, sort_keys=True)
            for name, array in arrays.items():
                file.create_dataset(name, data=array)  # contiguous, and written: its room on disk is taken now
            shape = next(iter(arrays.values())).shape[1:3]
            file.create_dataset("checksum", data=np.full(shape, _NONE, dtype=np.uint32))
            for name, values in coordinates.items():
                file.create_dataset(f"coordinates/{name}", data=values)

    def _resume(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with open_to_read(self.path, remedy="delete it to begin afresh") as file:
            if not is_of(file, GROWING, GROWING_VERSION):
                raise ResultError(f"{self.path} is no scan that this version can resume; delete it to begin afresh")
            check_identity(self.path, read_mapping(file, "identity"), self.identity)
            found = {name: array.copy() for name, array in arrays.items()}
            held = {name: _like(file, name, array) for name, array in found.items()}
            checksums = _like(file, "checksum", np.empty(next(iter(arrays.values())).shape[1:3], dtype=np.uint32))[()]
            for row, column in _known(checksums):
                values = {name: dataset[:, row, column] for name, dataset in held.items()}
                if _checksum(values, held) == checksums[row, column]:
                    self.known += 1
                    for name, value in values.items():
                        found[name][:, row, column] = value
        return found


def is_growing(path: str | Path) -> bool:
    """Say whether the file at `path` is a scan that grows; raise ResultError where it is no HDF5 file."""
    with open_to_read(path) as file:
        return is_of(file, GROWING, GROWING_VERSION)


def growing_progress(path: str | Path) -> tuple[int, int]:
    """Return how many points of the scan at `path` are known, and how many there are; it may be growing."""
    with open_to_read(path) as file:
        if not is_of(file, GROWING, GROWING_VERSION):
            raise ResultError(f"{path} is no scan that grows")
        checksums = own_dataset(file, "checksum")
        if checksums is None or checksums.dtype.kind != "u" or checksums.ndim != 2:
            raise ResultError(f"{path} lacks its checksums; delete it to begin afresh")
        return len(list(_known(checksums[()]))), checksums.size


def _like(file: h5py.File, name: str, array: np.ndarray) -> h5py.Dataset:
    """Return a dataset of the shape and type of `array`; raise ResultError where the file holds another."""
    dataset = own_dataset(file, name)
    if dataset is None or dataset.shape != array.shape or dataset.dtype != array.dtype:
        raise ResultError(f"{name} is not what this scan keeps; delete it to begin afresh")
    return dataset


def _known(checksums: np.ndarray) -> Iterator[tuple[int, int]]:
    yield from ((int(row), int(column)) for row, column in np.argwhere(checksums != _NONE))


def _checksum(values: Mapping[str, np.ndarray], held: Mapping[str, Any]) -> int:
    total = 0
    for name in sorted(values):
        total = zlib.crc32(np.ascontiguousarray(values[name], dtype=held[name].dtype).tobytes(), total)
    return total or 1
