"""The minimum of L_eps of a two-class linear model: a smooth convex problem, solved, with its KKT residual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from .examples import as_two_classes, reach

TOL = 1e-7  # nats per unit of weight; 1e-9 is what L-BFGS-B reaches on digits and MNIST


@dataclass(frozen=True, eq=False)
class Optimum:
    """The least mean loss under attack, in nats, and where it lies: u = w_2 - w_1 (D,) and the difference of biases.

    `kkt_residual` is the largest violation of optimality in nats per unit of weight: 0 at the exact minimum, where no
    coordinate of u may move either way and win.
    """

    loss: float
    weights: np.ndarray
    bias: float
    kkt_residual: float

    @property
    def norm(self) -> float:
        """The norm ||u||_1 that the l-inf adversary multiplies by eps."""
        return float(np.abs(self.weights).sum())


def robust_optimum(
    inputs: Any,
    labels: Any,
    eps: float,
    *,
    box: bool = False,
    bias: bool = True,
    start: Optimum | None = None,
    max_steps: int = 20_000,
) -> Optimum:
    """Return the minimum over u and b of mean_i log(1 + exp(-s_i (u'x + b))), each x at its worst within `eps`.

    For two classes the worst input is known, and with u = p - q, p and q >= 0, the loss is smooth: a logistic
    regression on 2 D features with non-negative weights, exactly the same problem. `box` clips attacked inputs to
    [0, 1]; without `bias` b is 0. `start` may be a minimum at a nearby eps. Under `gamma_star` the infimum 0 is
    approached and never attained. Raises DataError unless there are two classes.
    """
    rows, signs = as_two_classes(inputs, labels)
    low, high = reach(rows, eps, box=box)
    n, pixels = rows.shape
    up, down = signs > 0, signs < 0
    up_low, up_high, down_low, down_high = low[up], high[up], low[down], high[down]

    def value_and_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
        p, q, b = point[:pixels], point[pixels:-1], point[-1]
        least = up_low @ p - up_high @ q + b
        most = down_high @ p - down_low @ q + b
        loss = (np.logaddexp(0, -least).sum() + np.logaddexp(0, most).sum()) / n
        wrong, right = expit(-least) / n, expit(most) / n
        gradient = [right @ down_high - wrong @ up_low, wrong @ up_high - right @ down_low]
        return float(loss), np.concatenate([*gradient, [(right.sum() - wrong.sum()) * bias]])

    # A constant classifier is the start: where it is the optimum, the residual there is 0 and says so.
    begin = np.concatenate([np.zeros(2 * pixels), [np.log(up.sum() / down.sum()) * bias]])
    if start is not None:
        begin = np.concatenate([np.maximum(start.weights, 0), np.maximum(-start.weights, 0), [start.bias * bias]])
    bounds = [(0, None)] * (2 * pixels) + [(None, None)]
    options = {"maxiter": max_steps, "maxfun": 2 * max_steps, "gtol": 1e-11, "ftol": 0.0, "maxcor": 30}
    done = minimize(value_and_gradient, begin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    point = done.x
    both = np.minimum(point[:pixels], point[pixels:-1])  # taking it from p and from q never raises the loss
    point = np.concatenate([point[:pixels] - both, point[pixels:-1] - both, point[-1:]])
    loss, gradient = value_and_gradient(point)
    violation = np.where(point > 0, np.abs(gradient), np.maximum(-gradient, 0.0))
    violation[-1] = abs(gradient[-1])
    return Optimum(loss, point[:pixels] - point[pixels:-1], float(point[-1]), float(violation.max()))
