"""Up to which eps a linear classifier can be perfectly robust: a linear programme, its answer bounded on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.optimize import brentq, linprog

from ..errors import LandscapeError
from .examples import as_two_classes, reach


@dataclass(frozen=True, eq=False)
class Separation:
    """The largest robust margin, with its certificate: a classifier that has `margin`, and a proof of `bound`.

    The classifier is weights (D,), ||weights||_1 = 1, and a bias; the second class is where weights'x + bias > 0. Where
    the classes cannot be separated the margin is 0 and so are the weights.
    """

    margin: float
    bound: float
    weights: np.ndarray
    bias: float


def gamma_star(inputs: Any, labels: Any) -> Separation:
    """Return the largest eps at which some linear classifier of two classes withstands every l-inf attack.

    max over ||w||_1 = 1 and b of min_i s_i (w'x_i + b), which is half the l-inf distance of the two convex hulls: the
    margin comes from w, the bound from a point of each hull. It is at most `eps_bar_bias`, half the distance of the
    means. Raises LandscapeError where the solver ends without a solution.
    """
    rows, signs = as_two_classes(inputs, labels)
    return separate(rows, rows, signs)


def gamma_star_box(inputs: Any, labels: Any, *, tol: float = 1e-5) -> Separation:
    """Return `gamma_star` where attacked inputs are clipped to [0, 1]; margin and bound are at most `tol` apart.

    Raises UsageError for inputs outside [0, 1], LandscapeError where the solver ends without a solution.
    """
    rows, signs = as_two_classes(inputs, labels)
    best = separate(*reach(rows, 0.0, box=True), signs)
    eps = 0.0
    if best.margin <= 0:
        return best
    # The best classifier at one eps withstands a larger one as well: from there the next is sought.
    while True:
        held = best
        eps = _withstood(held, rows, signs, eps)
        best = separate(*reach(rows, min(eps + tol, 1.0), box=True), signs)
        if best.margin <= 0:
            return Separation(eps, eps + tol, held.weights, held.bias)
        eps = min(eps + tol, 1.0)


def _withstood(found: Separation, rows: np.ndarray, signs: np.ndarray, eps: float) -> float:
    def margin(radius: float) -> float:
        return float(robust_scores(found.weights, found.bias, *reach(rows, radius, box=True), signs).min())

    # At 1 every input is the adversary's to choose: no margin is left. From eps, where there is one, it falls.
    return float(brentq(margin, eps, 1.0, xtol=1e-12))


def robust_scores(weights: np.ndarray, bias: float, low: np.ndarray, high: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Return s_i (weights'x + bias) (N,) of each example at its worst between `low` and `high` (N, D)."""
    least = low @ np.maximum(weights, 0) - high @ np.maximum(-weights, 0) + bias
    most = high @ np.maximum(weights, 0) - low @ np.maximum(-weights, 0) + bias
    return np.where(signs > 0, least, -most)


def separate(low: np.ndarray, high: np.ndarray, signs: np.ndarray) -> Separation:
    """Return the largest margin over ||w||_1 <= 1 and b, each input at its worst between `low` and `high` (N, D)."""
    n, pixels = low.shape
    up = (signs > 0)[:, None]
    rises, falls = np.where(up, low, -high), np.where(up, -high, low)  # what w = p - q gains by p and by q
    rows = sparse.hstack(
        [sparse.csr_array(block) for block in (-rises, -falls, -signs[:, None], np.ones((n, 1)))], format="csr"
    )
    norm = sparse.csr_array(np.concatenate([np.ones(2 * pixels), np.zeros(2)])[None])
    done = linprog(
        np.concatenate([np.zeros(2 * pixels + 1), [-1.0]]),
        A_ub=sparse.vstack([rows, norm]),
        b_ub=np.concatenate([np.zeros(n), [1.0]]),
        bounds=[(0, None)] * (2 * pixels) + [(None, None)] * 2,
        method="highs-ds",
    )
    if done.status != 0 or done.x is None:
        raise LandscapeError(
            f"the linear programme for gamma* of {n} examples ended without a solution ({done.message.strip()}); "
            "give fewer --n-examples"
        )
    # The solver is not taken on trust: the margin is that of its classifier, the bound that of its multipliers.
    weights, bias = done.x[:pixels] - done.x[pixels : 2 * pixels], float(done.x[-2])
    shares = np.maximum(-done.ineqlin.marginals[:n], 0.0)
    for group in (signs > 0, signs < 0):
        total = shares[group].sum()
        shares[group] = 0.5 * shares[group] / total if total > 0 else 0.5 / group.sum()
    bound = max(0.0, float((shares @ rises).max()), float((shares @ falls).max()))
    length = float(np.abs(weights).sum())
    margin = float(robust_scores(weights, bias, low, high, signs).min()) / length if length > 1e-9 else 0.0
    if margin <= 0:
        return Separation(0.0, bound, np.zeros(pixels), 0.0)
    return Separation(margin, bound, weights / length, bias / length)
