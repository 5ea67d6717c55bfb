"""The one number that a sharpness result gives to a comparison: lambda_1 and its relatives, or a rise at a distance."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy.special import stdtrit

from ..errors import ResultError
from .result import Result

# The quantities, the default first: in words, and the unit. "X/loss" is X over the loss at the net.
SHARPNESS_MEASURES = {
    "lambda_1": ("largest Hessian eigenvalue", "nats"),
    "trace": ("trace of the Hessian", "nats"),
    "loss": ("loss at the weights", "nats"),
    "gauss_newton_share": ("Gauss-Newton share of lambda_1", "1"),
    "relative_lambda_1": ("lambda_1 times the squared length of the weights", "nats"),
    "worst_rise": ("rise of the loss at the worst relative shift", "nats"),
    "random_rise": ("mean rise of the loss at random relative shifts", "nats"),
    "lambda_1/loss": ("largest Hessian eigenvalue over the loss", "1"),
    "trace/loss": ("trace of the Hessian over the loss", "1"),
    "worst_rise/loss": ("rise at the worst relative shift over the loss", "1"),
    "random_rise/loss": ("mean rise at random relative shifts over the loss", "1"),
}
_RADII = {"worst_rise": "worst_radius", "random_rise": "random_radius"}


def is_rise(quantity: str) -> bool:
    """Say whether a quantity is a rise at some relative radius."""
    return quantity.removesuffix("/loss") in _RADII


def of_sharpness(path: Path, result: Result, rung: int, quantity: str, at: float | None) -> tuple[float, float]:
    """Return a quantity of the ladder's `rung`-th radius and its standard error over examples (of a trace: probes).

    A rise is that at the relative radius `at`; left out, at the middle one of the file. Raises ResultError where the
    file has no such number.
    """
    arrays = result.arrays
    name = quantity.removesuffix("/loss")
    if name in _RADII:
        value, error = _rise(path, result, rung, name, at)
    elif name == "trace":
        if "trace" not in arrays:
            raise ResultError(f"{path} has no trace; measure it, or choose another --quantity")
        probes = int(str(result.attrs["probes"]))
        half = (arrays["trace_high"][rung] - arrays["trace_low"][rung]) / 2  # Student's, over the probes
        value, error = float(arrays["trace"][rung]), float(half / stdtrit(probes - 1, 0.975))
    elif name == "gauss_newton_share":
        return float(arrays["gauss_newton"][rung] / arrays["lambda_1"][rung]), math.nan
    else:
        source = "lambda_1" if name == "relative_lambda_1" else name
        value, error = float(arrays[source][rung]), float(arrays[f"{source}_se"][rung])
        if name == "relative_lambda_1":
            scale = float(str(result.attrs["weight_norm"])) ** 2
            value, error = scale * value, scale * error
    if name == quantity:
        return value, error
    loss, loss_error = float(arrays["loss"][rung]), float(arrays["loss_se"][rung])
    if not loss > 0:
        raise ResultError(f"{path} has a loss of {loss:g}, and nothing over it; choose --quantity {name}")
    # Both errors at their worst together: the two are over the same examples, and how they go together is not stored.
    return value / loss, error / loss + abs(value) * loss_error / loss**2


def _rise(path: Path, result: Result, rung: int, name: str, at: float | None) -> tuple[float, float]:
    arrays = result.arrays
    if name not in arrays:
        raise ResultError(f"{path} has no {name}; measure it, or choose another --quantity")
    radii = arrays[_RADII[name]]
    at = float(radii[radii.size // 2]) if at is None else at
    column = int(np.argmin(np.abs(radii - at)))
    if not math.isclose(radii[column], at, rel_tol=1e-9):
        there = ", ".join(f"{radius:g}" for radius in radii)
        raise ResultError(f"{path} has {name} at the relative radii {there}, and not at {at:g}; give --at one of them")
    error = arrays["random_rise_example_se" if name == "random_rise" else "worst_rise_se"]
    return float(arrays[name][rung, column]), float(error[rung, column])
