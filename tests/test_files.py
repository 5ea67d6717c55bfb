"""A file is whole or absent, and a failure leaves every file as it was."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from landscape.errors import LandscapeError
from landscape.files import atomic_path, sha256_of


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "new" / "deep" / "result.h5"
    with atomic_path(target) as temporary:
        temporary.write_bytes(b"half")
        assert temporary.parent == target.parent, "a rename is atomic within one file system only"
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert contents(target.parent) == {"result.h5": b"whole"}


def test_a_result_is_as_readable_as_any_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with atomic_path(tmp_path / "result") as temporary:
            temporary.write_bytes(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o644


def test_an_existing_file_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"old")
    with pytest.raises(LandscapeError, match="exists and is kept; give --overwrite"), atomic_path(target):
        pytest.fail("nothing is computed for a file that would not be kept")
    assert contents(tmp_path) == {"result": b"old"}


def test_an_existing_file_is_replaced_when_asked(tmp_path: Path) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"old")
    with atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert contents(tmp_path) == {"result": b"new"}


@pytest.mark.parametrize("failure", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_a_failure_leaves_all_as_it_was(tmp_path: Path, failure: BaseException) -> None:
    target = tmp_path / "result"
    target.write_bytes(b"old")
    with pytest.raises(type(failure)), atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise failure
    assert contents(tmp_path) == {"result": b"old"}


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is spent"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "permission denied"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_disk_that_fails_is_one_sentence(tmp_path: Path, number: int, words: str) -> None:
    """CI runs as root, whom no permission stops, so the failures are injected."""
    target = tmp_path / "result"
    target.write_bytes(b"old")
    with pytest.raises(LandscapeError, match=words) as caught, atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(number, os.strerror(number))
    assert str(target) in str(caught.value)
    assert "--out" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == {"result": b"old"}


@pytest.mark.parametrize("step", ["mkstemp", "fsync", "replace"])
def test_a_disk_that_fills_at_any_step_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = tmp_path / "result"
    target.write_bytes(b"old")
    monkeypatch.setattr({"mkstemp": "tempfile.mkstemp", "fsync": "os.fsync", "replace": "os.replace"}[step], full)
    with pytest.raises(LandscapeError, match="the disk is full"), atomic_path(target, overwrite=True) as temporary:
        temporary.write_bytes(b"new")
    assert contents(tmp_path) == {"result": b"old"}


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LandscapeError, match="is a folder; name a file"), atomic_path(tmp_path, overwrite=True):
        pytest.fail("nothing is computed for a folder")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(LandscapeError, match="cannot be written"), atomic_path(tmp_path / "file" / "result"):
        pytest.fail("nothing is computed for a place that cannot be")
    assert contents(tmp_path) == {"file": b"old"}


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(range(256)) * 9000)
    assert sha256_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()
