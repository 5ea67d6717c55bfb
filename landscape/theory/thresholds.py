"""Beyond which eps the best linear classifier is a constant: exact, from class means, for any number of classes."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import numpy as np

from ..errors import UsageError
from .examples import as_examples


def eps_bar(inputs: Any, labels: Any) -> float:
    """Return the least eps at which W = 0 minimises L_eps of the linear model without biases.

    max over classes a, b and pixels of |n_a mu_a - n_b mu_b| / (n_a + n_b); the loss is ln K there and beyond.
    """
    rows, numbers = as_examples(inputs, labels)
    counts = np.bincount(numbers)
    sums = _class_means(rows, numbers) * counts[:, None]
    return max(
        float(np.abs(sums[a] - sums[b]).max() / (counts[a] + counts[b])) for a, b in combinations(range(len(counts)), 2)
    )


def eps_bar_bias(inputs: Any, labels: Any) -> float:
    """Return the least eps at which W = 0, with the biases of the class frequencies, minimises L_eps.

    Half the largest l-inf distance of two class means, whatever the balance of the classes; the loss is the entropy of
    the class frequencies there and beyond.
    """
    rows, numbers = as_examples(inputs, labels)
    means = _class_means(rows, numbers)
    return max(float(np.abs(means[a] - means[b]).max() / 2) for a, b in combinations(range(len(means)), 2))


def eps_bar_box(inputs: Any, labels: Any) -> float:
    """Return the threshold of `eps_bar_bias` where attacked inputs are clipped to [0, 1], as PGD clips images.

    The least eps with mean_a[min(x + eps, 1)] >= mean_b[max(x - eps, 0)] for all classes a, b and pixels; 1/2 at most.
    Raises UsageError for inputs outside [0, 1].
    """
    rows, numbers = as_examples(inputs, labels)
    if rows.min() < 0 or rows.max() > 1:
        raise UsageError(
            f"the inputs run from {rows.min():g} to {rows.max():g}; with the box they have to lie in [0, 1]"
        )
    groups = [rows[numbers == number] for number in range(int(numbers.max()) + 1)]
    return max(float(_crossing(a, b).max()) for a, b in permutations(groups, 2))


def constant_loss(labels: Any) -> float:
    """Return the loss of the best constant classifier, in nats: the entropy of the class frequencies, ln K at most."""
    _, counts = np.unique(np.asarray(labels), return_counts=True)
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _crossing(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return, for each pixel (D,), the least eps >= 0 with mean_a[min(x + eps, 1)] >= mean_b[max(x - eps, 0)].

    The difference of both sides is concave and piecewise linear in eps: Newton's method from the left never passes the
    root, and crosses a corner at each step, so that it ends there exactly.
    """
    eps = np.zeros(a.shape[1])
    while True:
        lacking = np.maximum(b - eps, 0.0).mean(0) - np.minimum(a + eps, 1.0).mean(0)
        slope = (a + eps < 1).mean(0) + (b - eps > 0).mean(0)
        step = np.where((lacking > 0) & (slope > 0), lacking / np.maximum(slope, 1 / (len(a) + len(b))), 0.0)
        further = eps + step
        if not (further > eps + 1e-15).any():
            return eps
        eps = further


def _class_means(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.stack([rows[numbers == number].mean(0) for number in range(int(numbers.max()) + 1)])
