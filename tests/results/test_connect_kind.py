"""Curves between nets as files: both splits, both paths and both nets come back as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

from landscape.errors import ResultError
from landscape.results import read_result
from tests.results.made_connect import NOT_FINITE, connect


def test_a_curve_and_a_line_come_back(tmp_path: Path) -> None:
    made = connect(
        eps=(0, 0.1, 0.2),
        other="test",
        lost={(1, 4): NOT_FINITE},
        gradient_norm=np.ones(21),
        example_loss=np.zeros((3, 21, 4)),
        example_index=np.arange(4),
    )
    back = read_result(made.save(tmp_path / "c.h5"))
    assert back.arrays.keys() == made.arrays.keys()
    for name, array in made.arrays.items():
        assert back.arrays[name].dtype == array.dtype and np.array_equal(back.arrays[name], array, equal_nan=True), name
    assert back.attrs == made.attrs
    assert back.arrays["test/line_loss"].shape == (3, 21) and back.deployed_loss.shape == (3, 2)
    with xarray.open_dataset(tmp_path / "c.h5", engine="h5netcdf") as data:
        assert data["loss"].dims == ("eps", "t") and data["barrier"].dims == ("eps",)
        assert data["t"].values[-1] == 1


def test_a_group_belongs_to_a_split(tmp_path: Path) -> None:
    made = connect(other="train")
    assert made.arrays["train/loss"].max() > made.arrays["loss"].max()
    with pytest.raises(ResultError, match=r"'test/los' is no array of a connect result; did you mean test/loss"):
        connect(**{"test/los": made.loss})
    with pytest.raises(ResultError, match=r"test/loss has t = 20; wanted t = 21, as in t"):
        connect(**{"test/loss": made.loss[:, 1:]})


def test_the_line_alone_has_no_control_points() -> None:
    made = connect(curve="line", interior_points=0, epochs=0, steps=0, control_points=None, control_points_sha256=None)
    assert made.attrs["control_points"] is None
    with pytest.raises(ResultError, match=r"'curve' = 'arc'; wanted one of bezier, polychain, line"):
        connect(curve="arc")
