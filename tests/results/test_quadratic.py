from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.results.quadratic import agreement_radius, quadratic_along
from tests.results.made_surface import surface


def test_the_quadratic_of_a_quadratic_is_itself_along_both_directions() -> None:
    def exact(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 1 + eps + 0.3 * x - 0.2 * y + (5 + eps) * x**2 - 2 * y**2 + 7 * x * y

    result = surface(exact, eps=(0.0, 0.5))
    t = np.linspace(-2, 3, 7)
    for rung, eps in enumerate((0.0, 0.5)):
        # Differences of a quadratic over 1e-2 are exact but for rounding, 1e-16 / 1e-4.
        np.testing.assert_allclose(quadratic_along(result, rung, 0)(t), exact(eps, t, 0 * t), rtol=1e-9)
        np.testing.assert_allclose(quadratic_along(result, rung, 1)(t), exact(eps, 0 * t, t), rtol=1e-9)
    assert agreement_radius(t, exact(0.0, t, 0 * t), quadratic_along(result, 0, 0)(t)) == math.inf


def test_a_line_has_no_quadratic_along_the_second_direction() -> None:
    result = surface(y=[0.0])
    assert np.isfinite(quadratic_along(result, 0, 0).coef).all()
    assert not np.isfinite(quadratic_along(result, 0, 1).coef).all()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_radius_of_a_cubic_is_where_its_third_power_takes_the_share(sign: float) -> None:
    """|k t^3| = 0.05 (1 + c t^2 + k t^3): solved by NumPy's roots on both sides, the smaller one wins."""
    c, k = 2.0, sign * 4.0
    t = np.linspace(-0.6, 0.8, 1401)
    loss, model = 1 + c * t**2 + k * t**3, 1 + c * t**2
    crossings = []
    for side in (1, -1):  # where k t^3 is positive and where it is negative
        roots = np.roots([side * k - 0.05 * k, -0.05 * c, 0, -0.05])
        crossings += [abs(root.real) for root in roots if abs(root.imag) < 1e-9 and side * k * root.real**3 > 0]
    # Taking the excess as linear within a cell of 1e-3 costs its square.
    assert agreement_radius(t, loss, model) == pytest.approx(min(crossings), abs=1e-5)
    assert agreement_radius(t[::-1], loss[::-1], model[::-1]) == pytest.approx(min(crossings), abs=1e-5)


def test_the_tolerance_is_of_the_local_loss() -> None:
    t = np.linspace(0, 1, 101)
    loss = 10 + 0 * t
    assert agreement_radius(t, loss, 10 + t) == pytest.approx(0.5)
    assert agreement_radius(t, loss, 10 + t, tolerance=0.02) == pytest.approx(0.2)


def test_one_side_alone_decides_where_the_origin_is_the_end() -> None:
    t = np.linspace(-1, 0, 101)
    assert agreement_radius(t, 10 + 0 * t, 10 + t) == pytest.approx(0.5)
    assert math.isnan(agreement_radius(t - 1, 10 + 0 * t, 10 + t))


def test_a_value_that_is_not_finite_ends_the_radius_before_it() -> None:
    t = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    loss = np.array([1.0, 1.0, 1.0, 1.0, np.nan, 1.0])
    assert agreement_radius(t, loss, np.ones(6)) == 1.0
    assert math.isnan(agreement_radius(t, np.where(t == 0, np.nan, 1.0), np.ones(6)))
    assert math.isnan(agreement_radius(t, loss, np.full(6, np.nan)))


def test_a_slice_that_is_too_coarse_does_not_tell() -> None:
    t = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])
    assert agreement_radius(t, 1 + 0 * t, 1 + 8 * t**2) == 0.0
    assert agreement_radius(t, 1 + 0 * t, 1 + 3 * t**2) > 0.1
