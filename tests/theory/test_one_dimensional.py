from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.theory import one_dimensional as fig1

# paper.md 1.3: slopes at 0- and 0+, the loss at -3, -1, 0, 1, 3, the lower envelope at -3 and 3.
TABLE = {
    0.0: ((0.5, 0.5), (0.04859, 0.31326, 0.69315, 1.31326, 3.04859), (0.04859, 3.04859)),
    0.6: ((0.2, 0.8), (0.26328, 0.51302, 0.69315, 1.78390, 4.80820), (0.00820, 1.46328)),
    1.2: ((-0.1, 1.1), (1.03749, 0.79814, 0.69315, 2.30508, 6.60136), (0.00136, 0.43749)),
}


@pytest.mark.parametrize("eps", TABLE)
def test_the_table_of_figure_1(eps: float) -> None:
    slopes, values, lower = TABLE[eps]
    np.testing.assert_allclose(fig1.slopes(eps=eps), slopes, atol=1e-12)
    np.testing.assert_allclose(fig1.loss([-3, -1, 0, 1, 3], eps=eps), values, atol=1e-5)
    np.testing.assert_allclose(fig1.lower_envelope([-3, 3], eps=eps), lower, atol=1e-5)
    assert fig1.slopes(eps=eps)[1] - fig1.slopes(eps=eps)[0] == pytest.approx(eps, abs=1e-12)
    assert fig1.minimiser(eps=eps) == (0 if eps > 1 else -math.inf)
    assert fig1.infimum(eps=eps) == (pytest.approx(math.log(2)) if eps > 1 else 0)


@pytest.mark.parametrize("x", [-0.7, 1.0, 2.5])
@pytest.mark.parametrize("share", [0.0, 0.99, 1.01, 3.0])
def test_the_origin_is_the_minimum_once_eps_reaches_x(x: float, share: float) -> None:
    eps = share * abs(x)
    theta = np.linspace(-50, 50, 2001)
    values = fig1.loss(theta, eps=eps, x=x)
    if share > 1:
        assert fig1.minimiser(eps=eps, x=x) == 0 == theta[values.argmin()]
        assert values.min() == pytest.approx(fig1.infimum(eps=eps, x=x))
    else:
        assert fig1.minimiser(eps=eps, x=x) == -math.copysign(math.inf, x)
        assert values.argmin() == (0 if x > 0 else 2000)
        far = -math.copysign(1e6, x)
        assert fig1.loss(far, eps=eps, x=x) == pytest.approx(fig1.infimum(eps=eps, x=x))


@pytest.mark.parametrize("theta", [-2.0, -0.5, 0.5, 2.0])
def test_envelopes_and_slopes_are_those_of_the_best_and_worst_input(theta: float) -> None:
    deltas = np.linspace(-0.6, 0.6, 1201)
    plain = np.logaddexp(0, theta * (1 + deltas))
    assert fig1.loss(theta, eps=0.6) == pytest.approx(plain.max(), abs=1e-12)
    assert fig1.lower_envelope(theta, eps=0.6) == pytest.approx(plain.min(), abs=1e-12)
    h = 1e-6
    difference = (fig1.loss(theta + h, eps=0.6) - fig1.loss(theta - h, eps=0.6)) / (2 * h)
    assert fig1.slopes(theta, eps=0.6) == pytest.approx((difference, difference), abs=1e-8)


def test_the_second_difference_over_the_kink_is_eps_over_h_and_the_frozen_one_is_not() -> None:
    for h in (1e-2, 1e-4, 1e-6):
        assert fig1.second_difference(h, eps=0.6) * h == pytest.approx(0.6, rel=1e-2)
    assert fig1.frozen_curvatures(eps=0.6) == pytest.approx((0.04, 0.64))
    left, right = fig1.frozen_curvatures(eps=0.6)
    mean = (left + right) / 2
    assert fig1.second_difference(1e-2, eps=0.6) - 60 == pytest.approx(mean, rel=1e-2)


def test_inequality_3_is_attained_at_the_origin() -> None:
    theta = np.linspace(-20, 20, 400_001)
    assert np.abs(fig1.mixed_derivative(theta)).max() == pytest.approx(1.09984, abs=1e-5)
    for eps in (0.1, 0.6, 1.2):
        left, right = fig1.slopes(eps=eps)
        assert right - left == pytest.approx(2 * eps * float(fig1.mixed_derivative(0.0)), rel=1e-12)
