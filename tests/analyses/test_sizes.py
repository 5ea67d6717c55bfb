"""Eigenvalues by the number of examples: each row is the run of so many, and the last one is the result's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from landscape.analyses.hessian import hessian

from landscape.data import ImageData, load_data
from landscape.errors import UsageError
from landscape.models import build_model
from landscape.plots import plot
from landscape.results import Result, read_result
from tests.problems import fill


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_data("digits")


def run(data: ImageData, **settings: Any) -> Result:
    net = fill(build_model("mlp:hidden=4,activation=softplus", seed=0)[0], scale=0.3).double()
    return hessian(net, data, **{"eps": 0.1, "top": 4, "n_examples": 50} | settings)


@pytest.fixture(scope="module")
def result(digits: ImageData) -> Result:
    return run(digits, sizes=(40, 20))


def test_each_row_is_the_run_of_so_many_examples(digits: ImageData, result: Result) -> None:
    assert result.arrays["by_size/n"].tolist() == [20, 40, 50]
    for row, n in enumerate((20, 40, 50)):
        alone = run(digits, n_examples=n)
        for name, of in (("eigenvalues", alone.eigenvalues), ("eigenvalue_se", alone.eigenvalue_se)):
            assert result.arrays[f"by_size/{name}"][row] == pytest.approx(of[:3], rel=1e-4)
        residuals = result.arrays["by_size/residuals"][row]
        assert (residuals <= 1e-3 * np.abs(alone.eigenvalues[:3])).all()


def test_the_rest_of_the_result_is_as_ever(digits: ImageData, result: Result, tmp_path: Path) -> None:
    plain = run(digits)
    for name, array in plain.arrays.items():
        assert np.array_equal(result.arrays[name], array), name
    kept = read_result(result.save(tmp_path / "s.h5"))
    assert np.array_equal(kept.arrays["by_size/eigenvalues"], result.arrays["by_size/eigenvalues"])


def test_a_panel_shows_them(result: Result) -> None:
    spectrum, sizes = plot(result).axes
    assert spectrum.get_ylabel() == "Hessian eigenvalue" and sizes.get_xlabel() == "examples"
    first = sizes.containers[0].lines[0]
    assert first.get_xdata().tolist() == [20, 40, 50]
    assert np.array_equal(first.get_ydata(), result.arrays["by_size/eigenvalues"][:, 0])
    assert len(sizes.containers) == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"sizes": (20, 50)}, "sizes = 20,50; wanted whole numbers from 2 to 49"),
        ({"sizes": (1,)}, "from 2 to 49"),
        ({"sizes": (2.5,)}, "from 2 to 49"),
        ({"sizes": (20,), "method": "power"}, "--method lanczos"),
    ],
)
def test_sizes_that_cannot_be_meant(digits: ImageData, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        run(digits, **settings)
