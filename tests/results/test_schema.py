from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from landscape.errors import ResultError
from landscape.results import KINDS, Result
from landscape.results.kinds import TEXT
from landscape.results.schema import canonical_arrays, canonical_attributes
from tests.results.made import hessian, with_density


class Version(str):
    """As torch.__version__ is: a text of a class of its own, which h5py cannot store."""


HOUSE = """kind schema_version status command created landscape_version torch_version device seed checkpoint
checkpoint_sha256 training data_sha256 eps model data split n_examples n_parameters norm train_eps attack adversary
batchnorm wall_seconds"""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_demands_the_attributes_of_the_house(kind: str) -> None:
    demanded = {name for name, spec in KINDS[kind].attributes.items() if spec.required} | {"kind", "schema_version"}
    if "eps" in KINDS[kind].arrays:
        demanded.add("eps")
    assert set(HOUSE.split()) <= demanded


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_says_its_units_and_its_meaning(kind: str) -> None:
    for spec in KINDS[kind].arrays.values():
        assert spec.units
        assert spec.meaning
        assert spec.dtype == TEXT or np.dtype(spec.dtype).kind in "fuib"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("residuals", np.zeros(19), r"residuals has k = 19; wanted k = 20, as in eigenvalues"),
        ("eigenvalues", np.zeros((20, 1)), r"eigenvalues has shape \(20, 1\); wanted \(k\)"),
        ("eigenvalues", np.zeros(20, complex), r"eigenvalues is of dtype complex128; wanted float64"),
        ("eigenvalues", np.array(["1"] * 20), r"eigenvalues is of dtype <U1; wanted float64"),
        ("pair_status", np.full(20, 7), r"pair_status holds the code 7; wanted 0 \(not converged\), 1 \(converged\)"),
        ("pair_status", np.full(20, 257), r"pair_status holds values outside uint8"),
        ("pair_status", np.full(20, 1.0), r"pair_status is of dtype float64; wanted uint8"),
    ],
)
def test_a_wrong_array_is_named_with_what_came_and_what_was_wanted(name: str, value: Any, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        hessian(**{name: value})


def test_arrays_come_in_the_dtypes_of_the_file_and_share_no_memory() -> None:
    values = np.arange(20, 0, -1).astype(np.float32)
    result = hessian(eigenvalues=values, eigenvectors=np.ones((2, 1000)))
    assert result.eigenvalues.dtype == np.float64
    assert result.eigenvectors.dtype == np.float32
    values[0] = 0
    assert result.eigenvalues[0] == 20
    exact = np.zeros(20)
    assert not np.shares_memory(hessian(eigenvalues=exact).eigenvalues, exact)


def test_missing_and_unknown_arrays_are_named() -> None:
    arrays = dict(hessian().arrays)
    with pytest.raises(ResultError, match=r"'eigenvalue' is no array of a hessian result; did you mean eigenvalues"):
        canonical_arrays("hessian", {**arrays, "eigenvalue": np.zeros(20)})
    del arrays["residuals"]
    with pytest.raises(ResultError, match=r"lacks the array 'residuals'; wanted float64 \(k\), "):
        canonical_arrays("hessian", arrays)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("status", "done", r"'status' = 'done'; wanted one of complete, partial, not-converged"),
        ("status", 9999 * "a", r"'status' = 'a{12}\.\.\.a{13}'; wanted one of"),
        ("hvps", 2.5, r"'hvps' is 2.5 \(float\); wanted integer"),
        ("hvps", None, r"'hvps' is None; wanted integer: Hessian products spent"),
        ("guard_passed", 1, r"'guard_passed' is 1 \(int\); wanted flag"),
        ("loss", "low", r"'loss' is 'low' \(str\); wanted number"),
        ("loss", True, r"'loss' is True \(bool\); wanted number"),
        ("checkpoint", ["a", 1], r"'checkpoint' is \['a', 1\] \(list\); wanted a list"),
        ("note", {"a": 1}, r"'note' is \{'a': 1\} \(dict\); wanted a number, a text"),
        ("note", 2**70, r"passes 64 bits"),
        ("note", "a\0b", r"NUL character"),
        ("training", {"net": object()}, r"'training' holds <object"),
    ],
)
def test_a_wrong_attribute_is_named_with_what_came_and_what_was_wanted(name: str, value: Any, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        hessian(**{name: value})


def test_attributes_become_plain_values() -> None:
    given = {"eps": 0, "loss": None, "hvps": np.int32(7), "guard_passed": np.bool_(True), "note": (1, 2.5)}
    attrs = canonical_attributes("hessian", {**given, "tol": np.float32(0.5), "torch_version": Version("2.13.0")})
    assert type(attrs["torch_version"]) is str
    assert attrs["eps"] == 0.0
    assert isinstance(attrs["eps"], float)
    assert isinstance(attrs["loss"], float)
    assert math.isnan(attrs["loss"])
    assert attrs["guard_passed"] is True
    assert (attrs["hvps"], attrs["tol"], attrs["note"]) == (7, 0.5, [1.0, 2.5])


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ResultError, match=r"'hesian' is no kind of result that this version knows; did you mean hessian"
    ):
        Result("hesian", {}, {})


def test_values_without_their_places_are_refused() -> None:
    half = with_density()
    del half["density/grid"]
    with pytest.raises(ResultError, match="density/values has no density/grid"):
        hessian(**half)
