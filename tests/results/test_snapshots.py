from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from landscape.errors import ResultError
from landscape.results import describe, is_snapshot_of, read_result, read_snapshot, snapshot_path, write_snapshot
from tests.results.made import hessian

ROOT = Path(__file__).resolve().parents[2]
IDENTITY = {"checkpoint_sha256": "ab", "eps": 0.1, "k": 20, "attack": {"steps": 10}}
ARRAYS = {
    "basis": np.random.default_rng(0).standard_normal((4, 100)),
    "vectors": np.ones((2, 3), np.float32),
    "step": np.array(7),
    "random_state": np.arange(16, dtype=np.uint8),
    "none": np.zeros((0, 5)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_snapshot(
        snapshot_path(tmp_path / "h.h5"), ARRAYS, {"hvps": 31, "big": 2**100, "beta": None}, identity=IDENTITY
    )


def test_whose_a_snapshot_is_can_be_asked(path: Path) -> None:
    assert is_snapshot_of(path, IDENTITY)
    assert not is_snapshot_of(path, {**IDENTITY, "eps": 0.2})
    assert not is_snapshot_of(path.with_name("none"), IDENTITY)
    path.write_bytes(path.read_bytes()[:100])
    assert not is_snapshot_of(path, IDENTITY)


def test_a_snapshot_comes_back_as_it_was(path: Path) -> None:
    assert path.name == "h.h5.partial"
    arrays, attrs = read_snapshot(path, identity=IDENTITY)
    assert attrs == {"hvps": 31, "big": 2**100, "beta": None}
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array, strict=True)


def test_a_column_major_basis_comes_back_too(tmp_path: Path) -> None:
    basis = np.asfortranarray(ARRAYS["basis"])
    write_snapshot(tmp_path / "s", {"basis": basis[:, ::2]}, {}, identity={})
    np.testing.assert_array_equal(read_snapshot(tmp_path / "s")[0]["basis"], basis[:, ::2])


def test_other_settings_are_named(path: Path) -> None:
    with pytest.raises(ResultError, match=r"belongs to other settings \(eps was 0.1, now 0.2; k was 20, now 5\)"):
        read_snapshot(path, identity={**IDENTITY, "eps": 0.2, "k": 5})


def spoilt(data: bytes) -> bytes:
    place = data.index(np.ascontiguousarray(ARRAYS["basis"]).tobytes())
    return data[: place + 5] + bytes([data[place + 5] ^ 1]) + data[place + 6 :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoilt, "is damaged .basis fails its checksum"),
        (lambda data: data[:3_000], "is truncated"),
        (lambda data: b"", "is empty"),
        (lambda data: b"no" * 900, "is no HDF5 file"),
    ],
)
def test_a_damaged_snapshot_is_refused(path: Path, spoil: Any, message: str) -> None:
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ResultError, match=message):
        read_snapshot(path, identity=IDENTITY)


def test_a_result_and_a_snapshot_are_never_taken_for_each_other(path: Path, tmp_path: Path) -> None:
    for read in (read_result, describe):
        with pytest.raises(ResultError, match="is an unfinished computation; repeat the command"):
            read(path)
    with pytest.raises(ResultError, match="is no snapshot that this version can resume"):
        read_snapshot(hessian().save(tmp_path / "h.h5"))
    with pytest.raises(ResultError, match="is not there"):
        read_snapshot(tmp_path / "none.partial")


def test_an_unknown_layout_is_refused(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["attrs"]
    with pytest.raises(ResultError, match="lacks the attribute 'attrs'; delete it"):
        read_snapshot(path)


def test_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="x is of dtype object; wanted numbers"):
        write_snapshot(tmp_path / "s", {"x": np.array([None])}, {}, identity={})
    assert list(tmp_path.iterdir()) == []


def test_a_writer_killed_at_any_moment_leaves_a_whole_snapshot(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from landscape.results import write_snapshot\n"
        "for step in range(100_000):\n"
        "    arrays = {'basis': np.full((8, 20_000), step, dtype=float)}\n"
        "    write_snapshot(sys.argv[1], arrays, {'step': step}, identity={})\n"
    )
    path = tmp_path / "h.h5.partial"
    for wait in (0.02, 0.05):
        with subprocess.Popen([sys.executable, "-c", code, path], cwd=ROOT) as writer:
            deadline = time.monotonic() + 30
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(wait)
            writer.kill()
        arrays, attrs = read_snapshot(path, identity={})
        assert (arrays["basis"] == attrs["step"]).all()
        path.unlink()
