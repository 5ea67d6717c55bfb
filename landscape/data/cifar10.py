"""CIFAR-10 from its binary or its Python version, as folders or as the archives that are downloaded."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..errors import DataError
from .array_pickle import read_array_pickle
from .download import Progress, download
from .examples import ImageData, checked

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"  # published beside the archive
_BATCHES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_PIXELS = 3 * 32 * 32  # planes R, G, B, each row by row
_PER_BATCH = 10_000
_LARGEST = 64 << 20  # bytes; an official batch of either version has about 30 million

# (suffix of a batch's file, its folder, its archive), the fastest to read first.
_VERSIONS = (
    (".bin", "cifar-10-batches-bin", "cifar-10-binary.tar.gz"),
    ("", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
)


def load_cifar10(split: str, folder: Path, *, progress: Progress | None = None) -> ImageData:
    """Load one split: images (50000 or 10000, 3, 32, 32) uint8, labels 0..9; what is absent is downloaded.

    `folder` holds cifar-10-batches-bin/, cifar-10-batches-py/ or one of their .tar.gz archives, or is one of these
    folders. Raises DataError for a damaged or incomplete copy, and where a download fails.
    """
    names = _BATCHES[split]
    images = np.empty((len(names), _PER_BATCH, _PIXELS), np.uint8)
    labels = np.empty((len(names), _PER_BATCH), np.int64)
    for i, (where, content) in enumerate(_batches(split, folder, progress)):
        read = _read_binary if where.endswith(".bin") else _read_python
        images[i], labels[i] = read(where, content)
    return checked(images.reshape(-1, 3, 32, 32), labels.reshape(-1), classes=10, spec="cifar10", split=split)


def _batches(split: str, folder: Path, progress: Progress | None) -> Iterator[tuple[str, bytes]]:
    """Yield (place, content) of each batch of a split, in order, from the first complete copy under `folder`."""
    incomplete = ""
    for suffix, place, _ in _VERSIONS:
        for home in (folder / place, folder):
            paths = [home / f"{name}{suffix}" for name in _BATCHES[split]]
            missing = [path.name for path in paths if not path.is_file()]
            if not missing:
                yield from ((str(path), _read_file(path)) for path in paths)
                return
            if len(missing) < len(paths):
                incomplete = f"{home} lacks {', '.join(missing)}; add what is missing, or delete the folder"
    for suffix, place, name in _VERSIONS:
        if (folder / name).is_file():
            yield from _read_archive(folder / name, [f"{place}/{batch}{suffix}" for batch in _BATCHES[split]])
            return
    if incomplete:
        raise DataError(f"{incomplete} and run again to download CIFAR-10")
    suffix, place, name = _VERSIONS[0]
    try:
        archive = download([_URL], folder / name, md5=_MD5, progress=progress)
    except DataError as error:
        known = ", ".join(f"{place}/, {name}" for _, place, name in _VERSIONS)
        raise DataError(f"{folder} holds no CIFAR-10 ({known}), and {error}") from error
    yield from _read_archive(archive, [f"{place}/{batch}{suffix}" for batch in _BATCHES[split]])


def _read_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise DataError(f"{path} is no batch of CIFAR-10: it is too large; delete it, or name another --data-dir")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}; mend it, or name another --data-dir") from error


def _read_archive(archive: Path, members: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield (place, content) of the members in order; nothing is unpacked to the disk, so no path can lead astray."""
    again = "delete it, and it is downloaded again"
    wanted, found = set(members), {}
    try:
        with tarfile.open(archive, "r|gz") as tar:  # one pass: going back in a gzip stream starts it over
            for member in tar:
                name = member.name.removeprefix("./")
                if name not in wanted or not member.isfile():
                    continue
                if member.size > _LARGEST:
                    raise DataError(f"{name} in {archive} is too large for a batch of CIFAR-10; {again}")
                stream = tar.extractfile(member)
                assert stream is not None  # isfile() said so
                found[name] = stream.read()
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive} is damaged ({error or type(error).__name__}); {again}") from error
    for member_name in members:
        if member_name not in found:
            raise DataError(f"{archive} holds no {member_name}; {again}")
        yield f"{archive}/{member_name}", found.pop(member_name)


def _read_binary(where: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read 10,000 records of one label byte and 3,072 pixel bytes."""
    size = _PER_BATCH * (1 + _PIXELS)
    if len(content) != size:
        raise DataError(f"{where} is damaged: it has {len(content)} bytes, wanted {size}; delete it and fetch it again")
    records = np.frombuffer(content, np.uint8).reshape(_PER_BATCH, 1 + _PIXELS)
    return records[:, 1:], records[:, 0]


def _read_python(where: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Read a pickled dict with `data` (10000, 3072) uint8 and `labels`, by an unpickler that runs nothing."""
    batch = read_array_pickle(content, where)
    if isinstance(batch, dict):
        fields = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
        data, labels = fields.get("data"), fields.get("labels")
        if (
            isinstance(data, np.ndarray)
            and (data.dtype, data.shape) == (np.uint8, (_PER_BATCH, _PIXELS))
            and isinstance(labels, list)
            and len(labels) == _PER_BATCH
            and all(type(label) is int and 0 <= label < 10 for label in labels)
        ):
            return data, np.array(labels)
    raise DataError(f"{where} is no batch of CIFAR-10 (data, labels); delete it and fetch it again")
