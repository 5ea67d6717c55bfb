"""The one number that a scattering result gives to a comparison: a cosine, or a part of the gradient's change."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..errors import ResultError
from .kinds.scattering import COSINES
from .result import Result
from .store import read_result

# The quantities, the default first: in words, and the unit. "X/gradient" is X over the gradient's norm at the net.
SCATTERING_MEASURES = {
    "box_cosine": ("cosine of perturbations, centred and scaled by the feasible box", "1"),
    "perturbation_cosine": ("cosine of perturbations", "1"),
    "sign_cosine": ("sign-cosine of perturbations", "1"),
    "zero_start_box_cosine": ("cosine of perturbations from the zero start, centred and scaled", "1"),
    "restart_box_cosine": ("cosine of perturbations from two random starts at the net, centred and scaled", "1"),
    "random_cosine": ("cosine of two random vertices of the feasible box", "1"),
    "gradient_cosine": ("cosine of gradients", "1"),
    "gradient_cosine_frozen": ("cosine of gradients, the adversary frozen", "1"),
    "adversary_share": ("share of the gradient's change due to the adversary's move", "1"),
    "gradient_difference": ("norm of the gradient's change", "1"),
    "gradient_difference/gradient": ("norm of the gradient's change over the gradient's", "1"),
    "gradient_difference_adversary/gradient": ("norm of the adversary's part over the gradient's", "1"),
    "gradient_difference_frozen/gradient": ("norm of the frozen part over the gradient's", "1"),
    "radius": ("distance over ||w||", "1"),
    "loss": ("loss at the weights", "nats"),
}
_AT_REST = ("restart_box_cosine", "random_cosine", "loss")  # no distance is theirs


def needs_distance(quantity: str) -> bool:
    """Say whether a quantity is one at some distance from the net."""
    return quantity not in _AT_REST


def of_scattering(
    path: Path, result: Result, quantity: str, at: float | None
) -> tuple[float, np.ndarray | None, float]:
    """Return a quantity, its parts (n,) by example where they are stored, and its standard error over examples.

    It is that at the position `at` that was asked for when measuring; left out, the middle one of the file. Raises
    ResultError where the file has no such position.
    """
    if quantity == "loss":
        return float(str(result.attrs["centre_loss"])), None, float(str(result.attrs["centre_loss_se"]))
    if not needs_distance(quantity):
        return float(result.arrays[quantity]), None, float(result.arrays[f"{quantity}_se"])
    places = result.arrays["position"]
    at = float(places[places.size // 2]) if at is None else at
    row = int(np.argmin(np.abs(places - at)))
    if not math.isclose(places[row], at, rel_tol=1e-9):
        there = ", ".join(f"{place:g}" for place in places)
        raise ResultError(f"{path} measures at a {result.attrs['positions']} of {there}, and not {at:g}; give --at one")
    name = quantity.removesuffix("/gradient")
    value = float(result.arrays[name][row])
    error = float(result.arrays[f"{name}_se"][row]) if name != "radius" else 0.0
    if name != quantity:
        scale = float(str(result.attrs["centre_gradient_norm"]))
        if not scale > 0:
            raise ResultError(f"{path} has a gradient of {scale:g}, and nothing over it; choose --quantity {name}")
        return value / scale, None, error / scale  # the error of the gradient's norm is left aside
    if name in COSINES:
        single = read_result(path, only=[f"examples/{name}"]).arrays[f"examples/{name}"][row].astype(np.float64)
        if np.isfinite(single).all():  # examples without a perturbation have no part
            return value, single, math.nan
    return value, None, error
