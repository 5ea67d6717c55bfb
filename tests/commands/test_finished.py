"""A file is found again by its settings, whichever version of the library wrote them down."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape.commands.finished import finished
from landscape.errors import ResultError
from tests.results.made import hessian

SETTINGS = {"seed": 0, "eps": 0.1, "params": None}


@pytest.mark.parametrize(
    "asked", [SETTINGS, {"seed": 0, "eps": 0.1}, {**SETTINGS, "added later": None}, {"seed": 0.0, "eps": 0.1}]
)
def test_a_setting_that_one_version_does_not_know_is_none(asked: dict[str, object]) -> None:
    hessian(settings=SETTINGS).save("x.h5")
    found = finished(Path("x.h5"), asked)
    assert found is not None and found.attrs["settings"] == SETTINGS


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({**SETTINGS, "added later": 3}, r"x\.h5 holds .* \(added later None there, 3 asked\); give --overwrite"),
        ({"eps": 0.1}, r"\(seed 0 there, None asked\)"),
    ],
)
def test_other_settings_are_named(asked: dict[str, object], says: str) -> None:
    hessian(settings=SETTINGS).save("x.h5")
    with pytest.raises(ResultError, match=says):
        finished(Path("x.h5"), asked)


def test_what_was_made_elsewhere_is_never_taken_for_ones_own() -> None:
    hessian().save("x.h5")
    with pytest.raises(ResultError, match="was made elsewhere"):
        finished(Path("x.h5"), {})
    assert finished(Path("none.h5"), {}) is None
