"""A result as one HDF5 file: written whole or not at all, read by h5py, xarray and netCDF, and read with suspicion.

Every dimension has a scale. A counted dimension (k, m) holds 1, 2, ...; P, the parameters of a net, follows netCDF's
convention for a dimension without a variable: a scale whose values are never stored, so that it takes no room.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import ResultError
from ..files import atomic_path
from ..spec import nearest
from . import schema
from .kinds import TEXT, Array, Kind
from .result import Result
from .untrusted import attribute, check_heaps, check_total, is_own, own_dataset, texts
from .values import Value, decode, encode

SNAPSHOT, GROWING = "snapshot", "growing"  # the `kind` of an unfinished computation's file

_BARE_SCALE = "This is a netCDF dimension but not a netCDF variable. {:10d}"
_RUN_AGAIN = "run the command that wrote it again"
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)


def write_result(result: Result, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write a result to `path`, atomically, and return the path.

    Raises ResultError where the result is incomplete or has changed out of its schema, LandscapeError where the path
    exists (unless `overwrite`) or cannot be written.
    """
    path = Path(path)
    arrays = schema.canonical_arrays(result.kind, result.arrays)
    attrs = schema.canonical_attributes(result.kind, result.attrs)
    schema.check_complete(result.kind, attrs, arrays)
    kind = schema.find_kind(result.kind)
    with atomic_path(path, overwrite=overwrite) as temporary, open_to_write(temporary) as file:
        file.attrs["kind"] = result.kind
        file.attrs["schema_version"] = np.int64(schema.SCHEMA_VERSION)
        for name, value in attrs.items():
            file.attrs[name] = encode(value, _type(kind, name))
        for name, array in arrays.items():
            spec = kind.arrays[name]
            dataset = _create(file, name, array, spec)
            dataset.attrs.update(attributes_of_array(spec))
        _write_scales(file, kind, arrays)
    return path


def read_result(
    path: str | Path, *, only: Iterable[str] | None = None, parts: Mapping[str, slice] | None = None
) -> Result:
    """Read a result; with `only`, of its arrays those named (eigenvectors are large, and a figure needs none).

    With `parts`, of a dimension that it names those places alone, in all arrays: a page need not show every row.

    Raises ResultError, in one sentence, where the path is missing, a folder, no HDF5, truncated or damaged, of another
    schema, or lacks an array or an attribute.
    """
    with open_to_read(path) as file:
        kind_name = _kind_of(file, path)
        kind = schema.find_kind(kind_name)
        attrs = _read_attributes(file, kind)
        wanted = set(kind.arrays if only is None else only)
        if unknown := wanted - set(kind.arrays):
            raise ResultError(f"{unknown.pop()!r} is no array of a {kind_name} result; {nearest('', kind.arrays)}")
        arrays: dict[str, np.ndarray] = {}
        for name, dataset in _datasets(file, kind).items():
            if name in wanted:
                arrays[name] = _values(dataset, kind.arrays[name], parts or {})
        attrs = schema.canonical_attributes(kind_name, attrs)
        schema.check_complete(kind_name, attrs, arrays)
        return Result._as_read(kind_name, arrays, attrs)


def read_kind(path: str | Path) -> str:
    """Return the kind of a result file, whatever else it holds; raise ResultError where it is no result of ours."""
    with open_to_read(path) as file:
        return _kind_of(file, path)


def array_shapes(path: str | Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of every array in a result file, without reading them."""
    with open_to_read(path) as file:
        kind = schema.find_kind(_kind_of(file, path))
        return {name: dataset.shape for name, dataset in _datasets(file, kind).items()}


def coordinates(kind: Kind, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the values 1, 2, ... of every counted dimension (not of P, nor of one that an array gives its values)."""
    return {
        dim: np.arange(1, size + 1)
        for dim, size in _sizes(kind, arrays).items()
        if dim not in kind.bare and dim not in kind.arrays
    }


def attributes_in_file(kind_name: str, attrs: Mapping[str, Value]) -> dict[str, Any]:
    """Return attributes in netCDF's types: truth values as 0 or 1, dicts as JSON, None as an empty text."""
    kind = schema.find_kind(kind_name)
    return {
        "kind": kind_name,
        "schema_version": schema.SCHEMA_VERSION,
        **{name: "" if value is None else encode(value, _type(kind, name)) for name, value in attrs.items()},
    }


def attributes_of_array(spec: Array) -> dict[str, str]:
    """Return what is written beside an array: its units, its meaning, and what each of its codes stands for."""
    codes = {f"code_{number}": meaning for number, meaning in spec.codes.items()}
    return {"units": spec.units, "long_name": spec.meaning, **codes}


@contextlib.contextmanager
def open_to_write(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file; a failure of the disk is raised as the OSError that it is, once the file is closed."""
    with open(path, "wb+", buffering=0) as disk:
        sink = _Sink(disk)
        # Creation order keeps the attributes in the schema's order, so that a listing reads from general to special.
        with h5py.File(sink, "w", track_order=True) as file:
            yield file
        if sink.failure is not None:
            raise sink.failure


class _Sink(io.RawIOBase):
    """The file that HDF5 writes to, which never fails in its face: HDF5 crashes the process when a close fails.

    Measured: with a full disk, h5py's own driver ends in a segmentation fault. Here the first failure is kept, and what
    comes after it is let go.
    """

    def __init__(self, disk: io.FileIO) -> None:
        super().__init__()
        self.disk = disk
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.failure is None:  # one call may write less than all, 2 GiB at most
            try:
                done += self.disk.write(view[done:]) or 0
            except OSError as error:
                self.failure = error
        return len(view)

    def readinto(self, buffer: Any) -> int:
        if self.failure is not None:
            return len(buffer)
        return self.disk.readinto(buffer) or 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.disk.seek(offset, whence)

    def tell(self) -> int:
        return self.disk.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            return self.disk.truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return self.disk.tell()


@contextlib.contextmanager
def open_to_read(path: str | Path, *, remedy: str = _RUN_AGAIN) -> Iterator[h5py.File]:
    """Yield an HDF5 file to read; whatever is wrong with it, here or in the block, becomes one ResultError.

    `remedy` is what to do about a file that is damaged.
    """
    path = Path(path)
    if path.is_dir():
        raise ResultError(f"{path} is a folder; name a result file (.h5)")
    if not path.exists():
        raise ResultError(f"{path} is not there; name a result file (.h5) that a landscape command wrote")
    if not path.is_file():
        raise ResultError(f"{path} is a pipe or a device, not a file; save it to disk first")
    try:
        if path.stat().st_size == 0:
            raise ResultError(f"{path} is empty; {remedy}")
        check_heaps(path)
        with h5py.File(path, "r", locking="best-effort") as file:
            yield file
    except ResultError as error:
        raise error if str(path) in str(error) else ResultError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise ResultError(f"{path} {_trouble(path, error, remedy)}") from error


def _trouble(path: Path, error: BaseException, remedy: str) -> str:
    text = str(error)
    if isinstance(error, PermissionError):
        return "cannot be read: permission denied"
    if "truncated" in text:
        return f"is truncated ({path.stat().st_size} bytes are left); {remedy}"
    if "signature not found" in text:
        with open(path, "rb") as file:
            start = file.read(16)
        wanted = "wanted a result that a landscape command wrote" if remedy == _RUN_AGAIN else remedy
        return f"is no HDF5 file (it begins with {start!r}); {wanted}"
    return f"is damaged ({text.splitlines()[0] if text else type(error).__name__}); {remedy}"


def _kind_of(file: h5py.File, path: str | Path) -> str:
    if "kind" not in file.attrs or "schema_version" not in file.attrs:
        raise ResultError(f"{path} is HDF5, but no result of ours: it lacks the attributes kind and schema_version")
    kind = decode("kind", attribute(file, "kind"), "text")
    version = decode("schema_version", attribute(file, "schema_version"), "integer")
    if kind in (SNAPSHOT, GROWING):
        raise ResultError(f"{path} is an unfinished computation; repeat the command that began it, and it goes on")
    if version != schema.SCHEMA_VERSION:
        raise ResultError(
            f"{path} has schema {version}; wanted {schema.SCHEMA_VERSION}: read it with the landscape that wrote it"
        )
    schema.find_kind(kind)
    assert isinstance(kind, str)
    return kind


def _read_attributes(file: h5py.File, kind: Kind) -> dict[str, Value]:
    ours = [name for name in file.attrs if name not in ("kind", "schema_version") and not name.startswith("_NC")]
    return {name: decode(name, attribute(file, name), _type(kind, name)) for name in ours}


def _datasets(file: h5py.File, kind: Kind) -> dict[str, h5py.Dataset]:
    """Return the kind's datasets, each checked for its type, its shape, and that the file can hold what it claims."""
    found: dict[str, h5py.Dataset] = {}
    sizes: dict[str, tuple[int, str]] = {}
    for name, spec in kind.arrays.items():
        dataset = own_dataset(file, name)
        if dataset is None:
            if spec.required:
                raise ResultError(f"it lacks the array {name!r}; wanted {schema.describe_array(spec)}")
            continue
        text = h5py.check_string_dtype(dataset.dtype) is not None
        if text != (spec.dtype == TEXT) or not (text or dataset.dtype == np.dtype(spec.dtype)):
            raise ResultError(f"{name} is of dtype {dataset.dtype}; wanted {spec.dtype}")
        schema.check_shape(name, dataset.shape, spec, sizes)
        found[name] = dataset
    check_total(file, found.values())
    for name in _contents(file, {name.partition("/")[0] for name in kind.arrays if "/" in name}):
        if name not in kind.arrays and name not in sizes:
            raise ResultError(f"{name!r} is no array of this kind; {nearest(name, kind.arrays)}")
    return found


def _create(file: h5py.File, name: str, array: np.ndarray, spec: Array) -> h5py.Dataset:
    if spec.dtype == TEXT:
        return file.create_dataset(name, data=array.astype(object), dtype=h5py.string_dtype())
    return file.create_dataset(name, data=array)


def _values(dataset: h5py.Dataset, spec: Array, parts: Mapping[str, slice]) -> np.ndarray:
    if spec.dtype == TEXT:
        return texts(dataset, dataset.name)
    chosen = tuple(parts.get(dim, slice(None)) for dim in spec.dims)
    values: np.ndarray = dataset[chosen] if chosen else dataset[()]
    return values


def _contents(file: h5py.File, groups: set[str]) -> Iterator[str]:
    """Yield the names in a file, those in the groups that its kind has with the group's."""
    for name in file:
        if name in groups and is_own(file, name, h5py.Group):
            yield from (f"{name}/{member}" for member in file[name])
        else:
            yield name


def _write_scales(file: h5py.File, kind: Kind, arrays: Mapping[str, np.ndarray]) -> None:
    values = coordinates(kind, arrays)
    for dim, size in _sizes(kind, arrays).items():
        if dim in values:
            file.create_dataset(dim, data=values[dim]).make_scale(dim)
        elif dim in kind.bare:
            file.create_dataset(dim, shape=(size,), dtype=">f4").make_scale(_BARE_SCALE.format(size))
        else:
            file[dim].make_scale(dim.rpartition("/")[2])
    for name in arrays:
        for axis, dim in enumerate(kind.arrays[name].dims):
            if dim != name:  # a scale has no scale
                file[name].dims[axis].attach_scale(file[dim])


def _sizes(kind: Kind, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    return {
        dim: size
        for name, array in arrays.items()
        for dim, size in zip(kind.arrays[name].dims, array.shape, strict=True)
    }


def _type(kind: Kind, name: str) -> str:
    return kind.attributes[name].type if name in kind.attributes else "any"
