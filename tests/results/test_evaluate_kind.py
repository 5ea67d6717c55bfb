"""Evaluations as files: names and verdicts come back as they were, for h5py and xarray too."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray

from landscape.errors import ResultError
from landscape.results import Result, read_result
from tests.results.made_evaluate import evaluation


def test_names_and_verdicts_come_back(tmp_path: Path) -> None:
    made = evaluation([[10, 40, 45, 30], [0, 1, 2, 3]], names=["réseau.pt", "a longer name.pt"], curve=True)
    back = read_result(made.save(tmp_path / "e.h5"))
    for name, array in made.arrays.items():
        assert back.arrays[name].dtype == array.dtype and np.array_equal(back.arrays[name], array), name
    assert back.attrs == made.attrs
    assert back.checkpoints.tolist() == ["réseau.pt", "a longer name.pt"]
    assert back.correct.dtype == bool


def test_h5py_and_xarray_read_them(tmp_path: Path) -> None:
    path = evaluation().save(tmp_path / "e.h5")
    with h5py.File(path) as file:
        assert file["correct"].dtype == bool and file["correct"].shape == (1, 4, 100)
        assert file["attacks"].asstr()[:].tolist() == ["clean", "pgd100", "apgd-ce", "square"]
    with xarray.open_dataset(path, engine="h5netcdf") as data:
        assert data["error_rate"].dims == ("M", "A")
        assert data["attacks"].values.tolist()[-1] == "square" and data["correct"].dtype == bool
    assert evaluation().to_xarray()["correct"].dtype == bool


def test_numbers_are_no_names() -> None:
    made = evaluation()
    with pytest.raises(ResultError, match=r"attacks is of dtype int64; wanted text"):
        Result("evaluate", {**made.arrays, "attacks": np.arange(4)}, made.attrs)


def test_a_file_whose_names_are_numbers_is_damaged(tmp_path: Path) -> None:
    path = evaluation().save(tmp_path / "e.h5")
    with h5py.File(path, "a") as file:
        del file["attacks"]
        file["attacks"] = np.arange(4.0)
    with pytest.raises(ResultError, match=r"attacks is of dtype float64; wanted text"):
        read_result(path)
