"""Inequality (3): L_eps stays Lipschitz in the weights, its gradient only up to 2 eps L_tx; provable constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UsageError
from .examples import as_two_classes, reach


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
