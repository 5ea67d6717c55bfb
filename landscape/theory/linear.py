"""The linear model with W (D, K): its losses under attack, its version space V_eps, and T_eps, where 0 is best."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from ..errors import UsageError
from .examples import as_two_classes


def version_slack(W: Any, inputs: Any, labels: Any, eps: float) -> float:
    """Return the largest (w_j - w_y)'x + eps ||w_j - w_y||_1 over examples and classes j other than y; W is (D, K)."""
    W, rows, numbers = _checked(W, inputs, labels)
    rises, norms = _rises(W, rows, numbers)
    others = np.arange(W.shape[1]) != numbers[:, None]
    return float((rises + eps * norms)[others].max())


def in_version_space(W: Any, inputs: Any, labels: Any, eps: float) -> bool:
    """Return whether W (D, K) is in V_eps: no attack within eps brings any class above the right one.

    Ties count as in: every V_eps holds the constant classifiers (all columns equal). V_eps shrinks as eps grows
    (Liu et al. 2020, proposition 1).
    """
    return version_slack(W, inputs, labels, eps) <= 0


def in_invariant_set(W: Any, inputs: Any, labels: Any, eps: float) -> bool:
    """Return whether W (D, K) is in T_eps: along the line of W, the origin minimises the mean loss under attack.

    With v_i = sum_j w_j - K w_y(i) the one-sided slopes at 0 are proportional to sum_i (+-v_i'x_i + eps ||v_i||_1);
    for one example that is |v'x| <= eps ||v||_1. T_eps grows with eps (Liu et al. 2020, theorem 1).
    """
    W, rows, numbers = _checked(W, inputs, labels)
    v = (W.sum(1, keepdims=True) - W.shape[1] * W).T[numbers]
    return bool(abs(np.einsum("nd,nd->", v, rows)) <= eps * np.abs(v).sum())


def slope_jumps(u: Any, inputs: Any, labels: Any, eps: float) -> np.ndarray:
    """Return by how much the slope of L_eps rises over each coordinate hyperplane u_d = 0 that u (D,) lies on, (D,).

    Of two classes, u = w_2 - w_1: g_eps = log(1 + exp(-s u'x + eps ||u||_1)) has its kinks there and nowhere else, each
    2 eps sigma(-s u'x + eps ||u||_1); in the mean over examples. 0 for the coordinates of u that are not 0.
    """
    rows, signs = as_two_classes(inputs, labels)
    u = np.asarray(u, float)
    if u.shape != rows.shape[1:]:
        raise UsageError(f"u has shape {u.shape}; wanted ({rows.shape[1]},), a weight for each pixel")
    weight = expit(-signs * (rows @ u) + eps * np.abs(u).sum()).mean()
    return np.where(u == 0, 2 * eps * weight, 0.0)


def is_constant(W: Any, *, tol: float = 1e-6) -> bool:
    """Return whether a linear model with W (D, K) ignores its input: no two columns differ by more than `tol` in l1."""
    columns = np.asarray(W, float)
    return bool(np.abs(columns[:, :, None] - columns[:, None, :]).sum(0).max() <= tol)


def loss_bounds(W: Any, inputs: Any, labels: Any, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (N,), lower and upper, of each example's largest loss over the l-inf ball, in nats; W is (D, K).

    The loss is convex in the input, so its maximum lies at one of the 2^D vertices of the ball. For two classes that
    vertex is known, and both bounds are the loss: log(1 + exp(s u'x + eps ||u||_1)). For more, the lower one is the
    best of K vertices, each worst for one class or for all together, and the upper one lets every class choose its own.
    """
    W, rows, numbers = _checked(W, inputs, labels)
    rises, norms = _rises(W, rows, numbers)
    gaps = W.T[None] - W.T[numbers][:, None]
    directions = np.sign(np.concatenate([gaps, gaps.sum(1, keepdims=True)], axis=1))
    attacked = rises[:, None] + eps * np.einsum("nvd,nkd->nvk", directions, gaps)
    return logsumexp(attacked, axis=2).max(1), logsumexp(rises + eps * norms, axis=1)


def _rises(W: np.ndarray, rows: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (w_j - w_y)'x and ||w_j - w_y||_1, both (N, K)."""
    logits = rows @ W
    distances = np.abs(W[:, :, None] - W[:, None, :]).sum(0)
    return logits - logits[np.arange(len(rows)), numbers][:, None], distances[numbers]


def _checked(W: Any, inputs: Any, labels: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W (D, K), inputs (N, D) and labels (N,), which here are column numbers of W."""
    W, rows = np.asarray(W, float), np.asarray(inputs, float)
    rows = rows.reshape(len(rows), -1)
    numbers = np.asarray(labels)
    if W.ndim != 2 or W.shape[0] != rows.shape[1] or W.shape[1] < 2:
        raise UsageError(
            f"W has shape {W.shape}; wanted ({rows.shape[1]}, K), a column for each of two classes or more"
        )
    if (
        numbers.shape != rows.shape[:1]
        or numbers.dtype.kind not in "iu"
        or numbers.min() < 0
        or numbers.max() >= W.shape[1]
    ):
        raise UsageError(f"the labels have to be {len(rows)} column numbers of W, from 0 to {W.shape[1] - 1}")
    return W, rows, numbers
