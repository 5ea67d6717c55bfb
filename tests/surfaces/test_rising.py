"""At which distance a loss has risen by so much: on curves whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.errors import LandscapeError
from landscape.surfaces.rising import radii_of_rises


def test_the_radii_of_a_quadratic_and_of_a_cliff() -> None:
    calls: list[float] = []

    def quadratic(r: float) -> float:
        calls.append(r)
        return 3 * r * r

    wanted = [0.01, 0.1, 1.0]
    np.testing.assert_allclose(
        quadratic_roots := radii_of_rises(quadratic, wanted), np.sqrt(np.array(wanted) / 3), rtol=0.011
    )
    assert np.all(np.abs(3 * quadratic_roots**2 / wanted - 1) <= 0.02)
    assert len(calls) < 30
    steep = radii_of_rises(lambda r: math.expm1(80 * r) if r < 1 else math.inf, [0.5, 5.0])
    np.testing.assert_allclose(np.expm1(80 * steep), [0.5, 5.0], rtol=0.02)


def test_a_dip_on_the_way_and_what_is_not_finite_are_passed_over() -> None:
    found = radii_of_rises(lambda r: -0.1 if r < 0.05 else (math.nan if r > 0.5 else r), [0.2])
    np.testing.assert_allclose(found, 0.2, rtol=0.021)


def test_a_flat_loss_and_a_jump_are_said() -> None:
    with pytest.raises(
        LandscapeError, match=r"within 4\.1 \|\|w\|\| the loss rises by 0 nats, and 0\.1 were asked for"
    ):
        radii_of_rises(lambda r: 0.0, [0.1])
    with pytest.raises(LandscapeError, match="the loss jumps from 0 to 1 nats"):
        radii_of_rises(lambda r: float(r > 0.123), [0.5])
