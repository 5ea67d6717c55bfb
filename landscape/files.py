"""Files that are whole or absent: written beside their place, synced, and renamed into it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .errors import LandscapeError


@contextlib.contextmanager
def atomic_path(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` and rename it there on success; on any failure leave all as it was.

    Raises LandscapeError, in one sentence, where `path` exists and `overwrite` is false, and where the folder cannot
    be made or written, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        if path.is_dir():
            raise LandscapeError(f"{path} is a folder; name a file with --out")
        if path.exists() and not overwrite:
            raise LandscapeError(f"{path} exists and is kept; give --overwrite, or another --out")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp made it private; a result is as readable as any file of the user's
        os.replace(temporary, path)
    except OSError as error:
        raise LandscapeError(f"{path} cannot be written: {_reason(error)}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Raise LandscapeError unless a file can be made in the folder of `path`, which is made where it is not there."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise LandscapeError(f"{path} cannot be written: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    hints = {
        errno.ENOSPC: "the disk is full; free some space, or name another place with --out",
        errno.EDQUOT: "the disk quota is spent; free some space, or name another place with --out",
        errno.EACCES: "permission denied; name a place that you may write with --out",
        errno.EPERM: "permission denied; name a place that you may write with --out",
        errno.EROFS: "the file system is read-only; name another place with --out",
        errno.ENOTDIR: "its folder is a file; name another place with --out",
        errno.EEXIST: "its folder is a file; name another place with --out",
    }
    return hints.get(error.errno or 0, f"{error.strerror or error}; name another place with --out")


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
