"""The loss of fig. 1: g(theta) = log(1 + exp(theta x)) of one number theta, its adversarial form, and its kink at 0."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

Array = np.ndarray


def loss(theta: ArrayLike, *, eps: float = 0.0, x: float = 1.0) -> Array:
    """Return g_eps at each theta (any shape), in nats: log(1 + exp(theta x + eps |theta|)), the upper envelope."""
    theta = np.asarray(theta, float)
    return np.logaddexp(0.0, theta * x + eps * np.abs(theta))


def lower_envelope(theta: ArrayLike, *, eps: float, x: float = 1.0) -> Array:
    """Return the least loss over the budget at each theta (any shape), in nats: log(1 + exp(theta x - eps |theta|))."""
    theta = np.asarray(theta, float)
    return np.logaddexp(0.0, theta * x - eps * np.abs(theta))


def slopes(theta: float = 0.0, *, eps: float, x: float = 1.0) -> tuple[float, float]:
    """Return the slopes of g_eps on the left and on the right of theta; at 0 they are (x - eps)/2 and (x + eps)/2."""
    weight = float(expit(theta * x + eps * abs(theta)))
    left, right = (math.copysign(1.0, theta),) * 2 if theta else (-1.0, 1.0)
    return weight * (x + eps * left), weight * (x + eps * right)


def minimiser(*, eps: float, x: float = 1.0) -> float:
    """Return where g_eps is least: 0 once eps >= |x|, else infinite, of the sign opposite to x."""
    return 0.0 if eps >= abs(x) else -math.copysign(math.inf, x)


def infimum(*, eps: float, x: float = 1.0) -> float:
    """Return the infimum of g_eps, in nats: ln 2 once eps >= |x|, else 0, which no theta attains."""
    return math.log(2) if eps >= abs(x) else 0.0


def frozen_curvatures(*, eps: float, x: float = 1.0) -> tuple[float, float]:
    """Return the second derivatives at 0 on the left and on the right, the adversary held: (x -+ eps)^2 / 4.

    Neither sees the kink between them.
    """
    return (x - eps) ** 2 / 4, (x + eps) ** 2 / 4


def second_difference(h: float, *, eps: float, x: float = 1.0) -> float:
    """Return (g_eps(h) - 2 g_eps(0) + g_eps(-h)) / h^2: eps / h + O(1), without limit as h -> 0."""
    values = loss([h, 0.0, -h], eps=eps, x=x)
    return float(values[0] - 2 * values[1] + values[2]) / h**2


def mixed_derivative(theta: ArrayLike, *, x: float = 1.0) -> Array:
    """Return d2g/dtheta dx at each theta (any shape), the local L_tx of inequality (3): 1/2 at theta = 0.

    Its largest value over all theta is 1.09984. The jump of the slope at 0 is eps = 2 eps / 2: there (3) is attained.
    """
    product = np.asarray(theta, float) * x
    return expit(product) + product * expit(product) * expit(-product)
