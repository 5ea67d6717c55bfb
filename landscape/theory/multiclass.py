"""The minimum of L_eps of a linear model of any number of classes: convex, between a proved and an attained value."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from ..errors import UsageError
from .examples import as_examples, reach

TOL = 1e-6  # nats between the two values
_ENUMERATED = 10  # pixels of which all settings are tried when the worst input is bounded
_ROUNDS = 200  # of inputs added for each smoothing
_HASTY, _PATIENT = 40, 3000  # steps of the minimisation while inputs are still added, and once they are all there
_ASCENTS = 12


@dataclass(frozen=True, eq=False)
class MulticlassOptimum:
    """The least mean loss under attack, in nats, between `lower` and `loss`, and the classifier that has `loss`.

    `loss` bounds the worst-case loss of weights (D, K) and bias (K,) from above, exactly where no more than ten pixels
    are contested between classes; `lower` is what no classifier beats, up to `residual` times its distance from this
    one, the largest entry of the gradient that should be 0.
    """

    loss: float
    lower: float
    weights: np.ndarray
    bias: np.ndarray
    residual: float

    @property
    def gap(self) -> float:
        """How much the classifier may be worse than the best one, in nats."""
        return self.loss - self.lower

    @property
    def norm(self) -> float:
        """The largest l1 distance of two columns: 0 for a constant classifier."""
        columns = self.weights
        return float(np.abs(columns[:, :, None] - columns[:, None, :]).sum(0).max())


def multiclass_optimum(
    inputs: Any, labels: Any, eps: float, *, box: bool = False, bias: bool = True, tol: float = TOL
) -> MulticlassOptimum:
    """Return the minimum over W (D, K) and b (K,) of the mean cross-entropy, each input at its worst within `eps`.

    The loss is convex in W and b, a maximum over inputs, which are vertices of a box; for more than two classes no
    form is known that says which. So the worst found are collected, and the mean of the largest losses over the
    collection is minimised, smoothed by a temperature t that falls under `tol`: at the minimum the weights of the
    smoothing prove what no classifier beats, within t times the logarithm of their number. `box` clips attacked inputs
    to [0, 1]; without `bias` b is 0. Below gamma* the infimum 0 is approached and never attained. Raises DataError for
    a single class.
    """
    rows, numbers = as_examples(inputs, labels)
    low, high = reach(rows, eps, box=box)
    if not 0 < tol < 1:
        raise UsageError(f"tol = {tol}; wanted nats between 0 and 1, such as {TOL:g}")
    classes = int(numbers.max()) + 1
    pixels = rows.shape[1]
    prior = np.log(np.bincount(numbers) / len(numbers)) * bias
    point = np.concatenate([np.zeros(pixels * classes), prior])
    seen = rows[:, None]
    problem = _Problem(numbers, classes, bias)
    last = tol / 4
    for temperature in [*10.0 ** np.arange(-1, np.log10(last), -1), last]:
        steps = _HASTY
        for _ in range(_ROUNDS):
            point = problem.minimise(point, seen, temperature, steps)
            worst, found, _ = _worst(*problem.parts(point), numbers, low, high)
            if (found - problem.losses(point, seen).max(1)).mean() > temperature:
                seen = np.concatenate([seen, worst[:, None]], axis=1)
            elif steps == _PATIENT:
                break
            else:
                steps = _PATIENT
    weights, offsets = problem.parts(point)
    lower, residual = problem.proved(point, seen, last)
    loss = float(_worst(weights, offsets, numbers, low, high)[2].mean())
    constant = float(_worst(np.zeros_like(weights), prior, numbers, low, high)[2].mean())
    if constant <= loss:  # a smoothed minimum is never exactly constant, and the constant classifier may be better
        loss, weights, offsets = constant, np.zeros_like(weights), prior
    return MulticlassOptimum(loss, lower, weights - weights.mean(1, keepdims=True), offsets - offsets.mean(), residual)


class _Problem:
    """Smoothed maxima over collected inputs (N, S, D), as a function of one point: W (D, K) and b (K,) in a row."""

    def __init__(self, numbers: np.ndarray, classes: int, bias: bool) -> None:
        self._numbers, self._classes, self._bias = numbers, classes, bias
        self._right = np.eye(classes)[numbers][:, None]

    def parts(self, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return W (D, K) and b (K,)."""
        return point[: -self._classes].reshape(-1, self._classes), point[-self._classes :] * self._bias

    def losses(self, point: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return the cross-entropy (N, S) of each collected input."""
        W, b = self.parts(point)
        logits = seen @ W + b
        losses: np.ndarray = logsumexp(logits, axis=2) - (logits * self._right).sum(2)
        return losses

    def minimise(self, point: np.ndarray, seen: np.ndarray, temperature: float, steps: int) -> np.ndarray:
        """Return the minimum of the mean of t log sum_s exp(loss_s / t), as near as `steps` of L-BFGS come."""

        def smoothed(point: np.ndarray) -> tuple[float, np.ndarray]:
            losses = self.losses(point, seen)
            value = float(temperature * logsumexp(losses / temperature, axis=1).mean())
            return value, self._gradient(point, seen, softmax(losses / temperature, axis=1))

        options = {"maxiter": steps, "maxfun": 2 * steps, "gtol": 1e-10, "ftol": 0.0, "maxcor": 40}
        return np.asarray(minimize(smoothed, point, jac=True, method="L-BFGS-B", options=options).x)

    def proved(self, point: np.ndarray, seen: np.ndarray, temperature: float) -> tuple[float, float]:
        """Return the mean loss under the smoothing's weights, and the largest entry of its gradient.

        With these weights held the mean is smooth and convex, and no maximum over inputs is below it; where its
        gradient is 0 the point is its minimum.
        """
        losses = self.losses(point, seen)
        shares = softmax(losses / temperature, axis=1)
        return float((shares * losses).sum(1).mean()), float(np.abs(self._gradient(point, seen, shares)).max())

    def _gradient(self, point: np.ndarray, seen: np.ndarray, shares: np.ndarray) -> np.ndarray:
        W, b = self.parts(point)
        excess = shares[..., None] * (softmax(seen @ W + b, axis=2) - self._right) / len(seen)
        by_weights = seen.reshape(-1, seen.shape[2]).T @ excess.reshape(-1, self._classes)
        return np.concatenate([by_weights.ravel(), excess.sum((0, 1)) * self._bias])


def _worst(
    W: np.ndarray, b: np.ndarray, numbers: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the worst inputs found (N, D), their losses (N,), and an upper bound of any input's loss (N,).

    A pixel on which all other classes gain by the same move is no question. Of those contested, all settings of the
    ten that matter most are tried; for the bound each class has its own way with the others, and for an input they
    follow the gradient of the loss, uphill at every step since the loss is convex.
    """
    worst, found, bound = np.empty_like(low), np.empty(len(low)), np.empty(len(low))
    for label in np.unique(numbers):
        own = numbers == label
        gaps, offsets = (W - W[:, [label]]).T, b - b[label]
        contested = np.minimum(gaps.max(0), -gaps.min(0))
        chosen = np.argsort(-contested * (high - low)[own].mean(0), kind="stable")[:_ENUMERATED]
        chosen = chosen[contested[chosen] > 0]
        settings = np.array(list(product([0, 1], repeat=len(chosen))), bool).reshape(2 ** len(chosen), len(chosen))
        worst[own], found[own], bound[own] = _worst_of(gaps, offsets, low[own], high[own], chosen, settings)
    return worst, found, bound


def _worst_of(
    gaps: np.ndarray, offsets: np.ndarray, low: np.ndarray, high: np.ndarray, chosen: np.ndarray, settings: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    others = np.setdiff1d(np.arange(gaps.shape[1]), chosen)
    up, down = np.maximum(gaps[:, others], 0), np.minimum(gaps[:, others], 0)
    free = high[:, others] @ up.T + low[:, others] @ down.T + offsets  # (n, K): each class at its own worst
    at_low, at_high = (side[:, chosen, None] * gaps[:, chosen].T for side in (low, high))
    set_scores = at_low.sum(1)[:, None] + np.einsum("sc,nck->nsk", settings.astype(float), at_high - at_low)
    bounds = logsumexp(free[:, None] + set_scores, axis=2)
    most = bounds.argmax(1)
    x = np.where(gaps.sum(0) > 0, high, low)
    x[:, chosen] = np.where(settings[most], high[:, chosen], low[:, chosen])
    best, value = x, logsumexp(x @ gaps.T + offsets, axis=1)
    starts = [x, *(np.where(gap > 0, high, low) for gap in gaps)]
    for start in starts:
        for _ in range(_ASCENTS):
            uphill = softmax(start @ gaps.T + offsets, axis=1) @ gaps
            start = np.where(uphill > 0, high, np.where(uphill < 0, low, start))
        reached = logsumexp(start @ gaps.T + offsets, axis=1)
        best = np.where((reached > value)[:, None], start, best)
        value = np.maximum(value, reached)
    return best, value, bounds.max(1)
