"""Inequality (3): L_eps stays Lipschitz in the weights, its gradient only up to 2 eps L_tx; provable constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from .examples import as_examples, as_two_classes, reach


@dataclass(frozen=True)
class Constants:
    """The constants of the paper's equation 2: of g in theta, of its gradient in theta, and in x by the l-inf norm."""

    theta: float
    theta_theta: float
    theta_x: float

    def loss_gap(self, distance: float) -> float:
        """Return the most that L_eps can differ between weights at a distance (l2)."""
        return self.theta * distance

    def gradient_gap(self, distance: float, eps: float) -> float:
        """Return the most that the gradient of L_eps can differ (l2); the second term stays where the distance is 0."""
        return self.theta_theta * distance + 2 * eps * self.theta_x

    def stalling_gradient(self, eps: float, step: float) -> float:
        """Return the gradient norm up to which a step of gradient descent need not lower L_eps; 0 without an adversary.

        By (3) a step of size `step` along -g changes L_eps by at most step |g| (2 eps L_tx - (1 - step L_tt / 2) |g|).
        Raises UsageError for a step that lowers nothing for sure, 2 / L_tt and beyond.
        """
        if not 0 < step * self.theta_theta < 2:
            raise UsageError(f"step = {step}; wanted one between 0 and 2 / L_tt = {2 / self.theta_theta:g}")
        return 2 * eps * self.theta_x / (1 - step * self.theta_theta / 2)


def linear_constants(inputs: Any, labels: Any, eps: float, *, radius: float, box: bool = False) -> Constants:
    """Return constants for log(1 + exp(-s (u'x + b))) in theta = (u, b), for attacked inputs and ||u||_1 <= `radius`.

    With z = (x, 1): |dg/dtheta| <= ||z||, the Hessian is sigma' z z', and the derivative of the gradient by x is
    sigma I + sigma' z u', at most sqrt(D) + ||z|| radius / 4 from l-inf to l2. Raises UsageError for a negative radius.
    """
    if not radius >= 0:
        raise UsageError(f"radius = {radius}; wanted the largest ||u||_1, 0 or more")
    rows, _ = as_two_classes(inputs, labels)
    low, high = reach(rows, eps, box=box)
    longest = float(np.sqrt(1 + np.maximum(low**2, high**2).sum(1)).max())
    return Constants(longest, longest**2 / 4, float(np.sqrt(rows.shape[1])) + longest * radius / 4)


def softplus_constants(
    inputs: Any,
    labels: Any,
    eps: float,
    *,
    hidden: int,
    first_norm: float,
    second_norm: float,
    beta: float = 1.0,
    box: bool = False,
) -> Constants:
    """Return constants of the cross-entropy of V phi(U x + a) + c in theta = (U, a, V, c), phi softplus of `beta`.

    They hold for attacked inputs, for any number of classes, and for all theta with spectral norms ||(U a)|| <=
    `first_norm` and ||V|| <= `second_norm`, a convex set. With X = max ||(x, 1)||, h = phi(U x + a) and t = phi' V'r
    for the residual r = p - e_y: ||r|| <= sqrt 2, the Hessian in the logits is at most 1/2, 0 < phi' <= 1 and
    0 < phi'' <= beta / 4, so that ||(h, 1)|| <= N = ||(sqrt(m) log 2 / beta + first X, 1)||. The gradient is r (h, 1)'
    in (V, c) and t (x, 1)' in (U, a); each line below bounds the change of one of the two. Raises UsageError for norms
    that are none.
    """
    sizes = {"hidden": hidden, "first_norm": first_norm, "second_norm": second_norm, "beta": beta}
    for name, size in sizes.items():
        if not 0 < size < np.inf:
            raise UsageError(f"{name} = {size}; wanted a positive number")
    rows, _ = as_examples(inputs, labels)
    low, high = reach(rows, eps, box=box)
    x = float(np.sqrt(1 + np.maximum(low**2, high**2).sum(1)).max())
    n = float(np.hypot(np.sqrt(hidden) * np.log(2) / beta + first_norm * x, 1))
    v, root2 = second_norm, np.sqrt(2)
    # By a unit move of (U, a), first column, and of (V, c), second: how far the gradients in (V, c) and in (U, a) turn.
    turns = np.array(
        [
            [v * x * n / 2 + root2 * x, n**2 / 2],
            [x * (root2 * beta * v * x / 4 + v**2 * x / 2), x * (root2 + v * n / 2)],
        ]
    )
    # By a move of every pixel by 1, sqrt(D) long: U x moves by at most `moved`.
    length = float(np.sqrt(rows.shape[1]))
    moved = first_norm * length
    by_pixels = np.hypot(
        v * moved * n / 2 + root2 * moved, x * (root2 * beta * v * moved / 4 + v**2 * moved / 2) + root2 * v * length
    )
    return Constants(float(root2 * np.hypot(n, v * x)), float(np.linalg.norm(turns, 2)), float(by_pixels))
