from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

from landscape.errors import LandscapeError
from tests.results.made import hessian


def test_arrays_and_attributes_are_at_hand() -> None:
    result = hessian(eps=4 / 255)
    assert result.eigenvalues is result.arrays["eigenvalues"]
    assert result.eps == 4 / 255
    assert {"eigenvalues", "eps", "save"} <= set(dir(result))
    with pytest.raises(AttributeError, match="a hessian result has no 'eigenvalue'; did you mean eigenvalues"):
        _ = result.eigenvalue


def test_its_repr_is_one_line_that_carries_the_caveats() -> None:
    assert repr(hessian()) == "<Result hessian, eps = 0.1, 20 eigenvalues 40 to 3.641, n = 2,000, complete>"
    status = np.ones(20, np.uint8)
    status[3] = 0
    assert "not-converged, 1 of 20 pairs not converged" in repr(hessian(status="not-converged", pair_status=status))


def test_its_html_is_escaped() -> None:
    shown = hessian(command="<script>")._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


def test_it_survives_copying_and_pickling() -> None:
    for twin in (copy.deepcopy(hessian()), pickle.loads(pickle.dumps(hessian()))):
        np.testing.assert_array_equal(twin.eigenvalues, hessian().eigenvalues)


def test_it_draws_itself() -> None:
    figure = hessian().plot()
    assert len(figure.axes) == 1
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_without_xarray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(LandscapeError, match="pip install xarray"):
        hessian().to_xarray()
