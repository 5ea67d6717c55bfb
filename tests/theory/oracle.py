"""Another solver for small problems: the adversary is a list of vertices, the loss an epigraph, for SciPy's SLSQP."""

from __future__ import annotations

from itertools import product

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import logsumexp, softmax


def problem(
    seed: int, *, classes: int = 2, pixels: int = 2, n: int = 9, gap: float = 0.3
) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs (n, pixels) in [0, 1] and labels (n,), every class present and unequally often."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(np.arange(n) // 2, classes - 1)
    centres = rng.uniform(gap, 1 - gap, (classes, pixels))
    return np.clip(centres[labels] + rng.normal(0, 0.15, (n, pixels)), 0, 1), labels


def vertices(inputs: np.ndarray, eps: float, *, box: bool = False) -> np.ndarray:
    """Return the corners (n, 2^D, D) of what the adversary can make of each input."""
    corners = np.array(list(product([-eps, eps], repeat=inputs.shape[1])))
    moved = inputs[:, None] + corners
    return np.clip(moved, 0, 1) if box else moved


def losses(W: np.ndarray, b: np.ndarray, corners: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the cross entropy (n, 2^D) of every example at every corner."""
    logits = corners @ W + b
    return logsumexp(logits, axis=2) - np.take_along_axis(logits, labels[:, None, None], 2)[..., 0]


def minimum(
    inputs: np.ndarray, labels: np.ndarray, eps: float, *, box: bool = False, bias: bool = True
) -> tuple[float, np.ndarray]:
    """Return the least mean loss and its W (D, K), columns centred, by minimising the mean of t_i >= loss_i,vertex."""
    corners = vertices(inputs, eps, box=box)
    n, _, pixels = corners.shape
    classes = int(labels.max()) + 1
    one_hot = np.eye(classes)[labels][:, None]

    def parts(point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return point[: pixels * classes].reshape(pixels, classes), point[pixels * classes : -n] * bias

    def slack(point: np.ndarray) -> np.ndarray:
        return (point[-n:, None] - losses(*parts(point), corners, labels)).ravel()

    def slack_gradient(point: np.ndarray) -> np.ndarray:
        W, b = parts(point)
        excess = softmax(corners @ W + b, axis=2) - one_hot
        by_w = -np.einsum("nvd,nvk->nvdk", corners, excess).reshape(n, -1, pixels * classes)
        by_t = np.broadcast_to(np.eye(n)[:, None], (n, corners.shape[1], n))
        return np.concatenate([by_w, -excess * bias, by_t], axis=2).reshape(-1, len(point))

    rng = np.random.default_rng(0)
    start = np.concatenate([0.1 * rng.normal(size=pixels * classes), np.zeros(classes), np.full(n, 5.0)])
    mean = np.concatenate([np.zeros(len(start) - n), np.full(n, 1 / n)])
    done = minimize(
        lambda point: (mean @ point, mean),
        start,
        jac=True,
        method="SLSQP",
        constraints={"type": "ineq", "fun": slack, "jac": slack_gradient},
        options={"maxiter": 2000, "ftol": 1e-15},
    )
    W, b = parts(done.x)
    return float(losses(W, b, corners, labels).max(1).mean()), W - W.mean(1, keepdims=True)


def withstands(inputs: np.ndarray, labels: np.ndarray, eps: float, *, box: bool = False) -> bool:
    """Return whether some linear classifier of two classes is right at every corner, by a linear programme."""
    corners = vertices(inputs, eps, box=box)
    signs = np.where(labels == labels.max(), 1.0, -1.0)[:, None, None]
    rows = -(signs * np.concatenate([corners, np.ones((*corners.shape[:2], 1))], axis=2)).reshape(
        -1, inputs.shape[1] + 1
    )
    done = linprog(np.zeros(rows.shape[1]), A_ub=rows, b_ub=-np.ones(len(rows)), bounds=(None, None), method="highs")
    return bool(done.status == 0)
