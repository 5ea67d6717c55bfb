import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from landscape.errors import LandscapeError, ResultError
from landscape.results import GrowingResult, growing_progress, read_result
from landscape.results.growing import fcntl

IDENTITY = {"checkpoint_sha256": "ab", "eps": [0.0, 0.1]}


def arrays() -> dict[str, np.ndarray]:
    return {
        "loss": np.full((2, 3, 4), np.nan),
        "status": np.zeros((2, 3, 4), dtype=np.uint8),
        "example_loss": np.full((2, 3, 4, 5), np.nan, dtype=np.float32),
    }


def point(number: int) -> dict[str, np.ndarray]:
    return {
        "loss": np.array([number, number + 0.5]),
        "status": np.array([1, 1], dtype=np.uint8),
        "example_loss": np.full((2, 5), number, dtype=np.float32),
    }


def grown(path: Path, numbers: range) -> None:
    with GrowingResult(path, IDENTITY) as growing:
        growing.open(arrays(), {"x": np.arange(4.0), "y": np.arange(3.0)})
        for number in numbers:
            growing.put(number // 4, number % 4, point(number))


def test_a_later_run_finds_what_was_put_and_nothing_else(tmp_path: Path) -> None:
    grown(tmp_path / "s.h5", range(7))
    with GrowingResult(tmp_path / "s.h5", IDENTITY) as growing:
        found = growing.open(arrays(), {})
        assert growing.known == 7
    np.testing.assert_array_equal(found["loss"][1].reshape(-1)[:7], np.arange(7) + 0.5)
    assert np.isnan(found["loss"][:, 1, 3]).all()
    assert (found["status"].reshape(2, -1)[:, 7:] == 0).all()
    assert growing_progress(tmp_path / "s.h5.partial") == (7, 12)


def test_a_reader_sees_each_point_while_the_file_grows(tmp_path: Path) -> None:
    with GrowingResult(tmp_path / "s.h5", IDENTITY) as growing:
        growing.open(arrays(), {"x": np.arange(4.0), "y": np.arange(3.0)})
        growing.put(0, 2, point(2))
        code = "import h5py, sys; f = h5py.File(sys.argv[1], 'r'); print(f['loss'][1, 0, 2], f['coordinates/x'][3])"
        read = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "s.h5.partial")], capture_output=True, text=True, check=True
        )
    assert read.stdout.split() == ["2.5", "3.0"]


def test_a_point_that_was_cut_off_half_way_is_to_do_again(tmp_path: Path) -> None:
    grown(tmp_path / "s.h5", range(3))
    with h5py.File(tmp_path / "s.h5.partial", "r+") as file:
        file["loss"][1, 0, 1] = 99  # what a write that a kill tore apart leaves: numbers without their checksum
    with GrowingResult(tmp_path / "s.h5", IDENTITY) as growing:
        found = growing.open(arrays(), {})
        assert growing.known == 2
    assert np.isnan(found["loss"][:, 0, 1]).all()


def test_another_run_s_settings_are_refused_with_the_difference_named(tmp_path: Path) -> None:
    grown(tmp_path / "s.h5", range(3))
    before = (tmp_path / "s.h5.partial").read_bytes()
    other = GrowingResult(tmp_path / "s.h5", {**IDENTITY, "eps": [0.0, 0.2]})
    with pytest.raises(ResultError, match=r"other settings \(eps was \[0.0, 0.1\], now \[0.0, 0.2\]\)"):
        other.open(arrays(), {})
    assert (tmp_path / "s.h5.partial").read_bytes() == before
    with GrowingResult(tmp_path / "s.h5", {**IDENTITY, "eps": [0.0, 0.2]}, fresh=True) as growing:
        assert np.isnan(growing.open(arrays(), {})["loss"]).all()


@pytest.mark.skipif(fcntl is None, reason="this system has no file locks")
def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with GrowingResult(tmp_path / "s.h5", IDENTITY) as growing:
        growing.open(arrays(), {})
        growing.put(0, 0, point(0))
        with pytest.raises(LandscapeError, match="is being written by another run; wait for it, or give another --out"):
            GrowingResult(tmp_path / "s.h5", IDENTITY).open(arrays(), {})
        growing.put(0, 1, point(1))
    assert growing_progress(tmp_path / "s.h5.partial") == (2, 12)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.h5.partial"]  # the lock has gone with its run


def test_a_lock_that_a_killed_run_has_left_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "s.h5.partial.lock").touch()
    grown(tmp_path / "s.h5", range(1))
    assert growing_progress(tmp_path / "s.h5.partial") == (1, 12)


def test_what_is_unfinished_is_no_result_and_what_is_complete_leaves_nothing(tmp_path: Path) -> None:
    grown(tmp_path / "s.h5", range(2))
    with pytest.raises(ResultError, match="unfinished computation; repeat the command that began it"):
        read_result(tmp_path / "s.h5.partial")
    with GrowingResult(tmp_path / "s.h5", IDENTITY) as growing:
        growing.open(arrays(), {})
        growing.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "s.h5.partial").write_bytes(b"no HDF5 at all")
    with pytest.raises(ResultError, match="delete it to begin afresh"):
        GrowingResult(tmp_path / "s.h5", IDENTITY).open(arrays(), {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(LandscapeError, match="cannot be written"):
        GrowingResult(tmp_path / "s.h5", IDENTITY).open(arrays(), {})
