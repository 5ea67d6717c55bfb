"""What is read of an HDF5 file that a stranger may have made: what lies in the file itself, and no more than it holds.

Nothing is opened but the file: links out of it, soft links, external and virtual storage are refused before they are
followed, and sizes are looked at before anything is read.
"""

from __future__ import annotations

import contextlib
import functools
import math
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import ResultError

# Deflate packs a thousand bytes into one. Results are written unpacked; h5repack and friends pack numbers, which gives
# a few times, and a small array may be as regular as it likes.
_MOST_PACKED, _SMALL = 64, 2**24
_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_LZF}
_MOST_TEXT = 2**26  # bytes that all texts of an array or attribute may come to: they can all be one text in the file
_HEAP = b"GCOL\x01"


def own_dataset(file: h5py.File, name: str) -> h5py.Dataset | None:
    """Return a dataset of numbers or texts that lies in the file itself, or None where there is none.

    Raises ResultError where the name leads elsewhere (a soft or external link, external or virtual storage), where the
    dataset holds something else (references, records), or claims more than the file can hold.
    """
    group = name.rpartition("/")[0]
    for part in filter(None, (group, name)):
        if file.get(part, getlink=True) is None:
            return None
        if part == group and not is_own(file, group, h5py.Group):
            raise ResultError(f"{group} is a link or an array; wanted a group in the file itself")
    if not is_own(file, name, h5py.Dataset):
        raise ResultError(f"{name} is a link or a group; wanted an array in the file itself")
    dataset: h5py.Dataset = file[name]
    if dataset.external or dataset.is_virtual:
        raise ResultError(f"{name} lies in another file; wanted an array in the file itself")
    text = h5py.check_string_dtype(dataset.dtype) is not None
    if not text and dataset.dtype.kind not in "biuf":
        raise ResultError(f"{name} is of dtype {dataset.dtype}; wanted numbers or texts")
    _check_size(file, name, dataset)
    if text:
        _check_texts(file, name, dataset.size)
    return dataset


def check_total(file: h5py.File, datasets: Iterable[h5py.Dataset]) -> None:
    """Raise ResultError where datasets that are each of a size to be read come to more than the file can hold."""
    claimed, on_disk = sum(dataset.nbytes for dataset in datasets), os.path.getsize(file.filename)
    if claimed > max(_MOST_PACKED * on_disk, 4 * _SMALL):
        raise ResultError(f"its arrays claim {claimed} bytes, and it has {on_disk}; the file is damaged or forged")


def is_own(file: h5py.File, name: str, kind: type) -> bool:
    """Say whether a name is of this kind and lies in the file itself; no link is followed."""
    return isinstance(file.get(name, getlink=True), h5py.HardLink) and isinstance(file[name], kind)


def attribute(owner: h5py.File | h5py.Dataset, name: str) -> Any:
    """Return an attribute of a file or a dataset as h5py gives it: a number, a text, or a list of them.

    Raises ResultError for anything else, for text that is not UTF-8, and for more than the file can hold.
    """
    file: h5py.File = owner.file
    identity = owner.attrs.get_id(name)
    if identity.get_space().get_simple_extent_type() == h5py.h5s.NULL:
        return h5py.Empty(identity.dtype)
    text = h5py.check_string_dtype(identity.dtype) is not None
    if not text and identity.dtype.kind not in "biuf":
        raise ResultError(f"attribute {name!r} is of dtype {_kind_of(identity.dtype)}; wanted numbers or texts")
    count = math.prod(identity.shape)
    if count * identity.dtype.itemsize > os.path.getsize(file.filename):
        raise ResultError(f"attribute {name!r} claims {count} values; the file is damaged or forged")
    if text:
        _check_texts(file, f"attribute {name!r}", count)
    value = owner.attrs[name]
    if text:
        for item in value.flat if isinstance(value, np.ndarray) else [value]:
            _check_encoding(f"attribute {name!r}", item)
    return value


def texts(dataset: h5py.Dataset, name: str) -> np.ndarray:
    """Return a dataset of texts as an array of str; raise ResultError where one is not UTF-8."""
    values = dataset.asstr(errors="surrogateescape")[()]
    for item in np.asarray(values, dtype=object).flat:
        _check_encoding(name, item)
    return np.asarray(values).astype(str)


def _check_encoding(name: str, item: Any) -> None:
    if isinstance(item, str) and not _is_utf8(item):
        raise ResultError(f"{name} holds text that is not UTF-8; the file is damaged, or not ours")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind_of(dtype: np.dtype[Any]) -> str:
    reference = h5py.check_ref_dtype(dtype)
    return str(dtype) if reference is None else reference.__name__


def _check_size(file: h5py.File, name: str, dataset: h5py.Dataset) -> None:
    on_disk = os.path.getsize(file.filename)
    held = min(dataset.id.get_storage_size(), on_disk)
    most = min(max(_MOST_PACKED * held, _SMALL), 1032 * held)
    claimed = max(math.prod(map(int, dataset.shape)), math.prod(map(int, dataset.chunks or (0,))))
    if claimed * dataset.dtype.itemsize > most:
        raise ResultError(
            f"{name} claims {claimed * dataset.dtype.itemsize} bytes with {held} stored; the file is damaged or forged"
        )
    plan = dataset.id.get_create_plist()
    for number in range(plan.get_nfilters()):
        if plan.get_filter(number)[0] not in _FILTERS:
            raise ResultError(f"{name} is packed in a way that is not read; unpack it with h5repack -f NONE")


def _check_texts(file: h5py.File, name: str, count: int) -> None:
    """Refuse a count of texts that could come to more than _MOST_TEXT: any number can refer to one long text."""
    if count * os.path.getsize(file.filename) <= _MOST_TEXT:
        return
    state = os.stat(file.filename)
    if count * _longest(file.filename, state.st_size, state.st_mtime_ns) > _MOST_TEXT:
        raise ResultError(f"{name} holds {count} texts that the file could not; it is damaged or forged")


@functools.lru_cache(maxsize=16)
def _longest(path: str, size: int, changed: int) -> int:
    """Return the size in bytes of the largest part of a file where texts lie; `size` and `changed` name its state.

    A file is looked through once, and not for each of its texts: two gigabytes take seconds.
    """
    with _mapped(path) as content:
        return max((own for _, own in _heaps(content)), default=0)


def check_heaps(path: str | Path) -> None:
    """Refuse a file at whose texts HDF5 would stand still: it steps from text to text by their sizes, unchecked.

    Measured with HDF5 2.0: a size of 0 where a text should be ends in a loop that no signal stops. Call it before the
    file is opened. Raises ResultError.
    """
    left = os.path.getsize(path) // 8  # steps through heaps that do not overlap
    with _mapped(path) as content:
        for place, size in _heaps(content):
            end = place + size
            place += 16
            while place + 16 <= end:
                left -= 1
                own = int.from_bytes(content[place + 8 : place + 16], "little")
                step = own if content[place : place + 2] == b"\0\0" else 16 + -(-own // 8) * 8
                if not 0 < step <= end - place or left < 0:
                    raise ResultError(f"{path} holds texts whose sizes lead nowhere; the file is damaged or forged")
                place += step


@contextlib.contextmanager
def _mapped(path: str | Path) -> Iterator[mmap.mmap]:
    with open(path, "rb") as disk, mmap.mmap(disk.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


def _heaps(content: mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield place and size in bytes of the parts of a file where texts lie; no text is longer than its part."""
    place = content.find(_HEAP)
    while place >= 0:
        size = int.from_bytes(content[place + 8 : place + 16], "little")
        if size <= len(content) - place:  # else HDF5 says so
            yield place, size
        place = content.find(_HEAP, place + 1)
