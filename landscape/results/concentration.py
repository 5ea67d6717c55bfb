"""Which examples carry an eigenvalue: the terms v'H_i v whose mean it is, and how few of them make most of it."""

from __future__ import annotations

import math

import numpy as np

from .result import Result

CURVATURE, IMAGES = "examples/curvature", "examples/image"
FRACTIONS = (0.01, 0.05, 0.1)  # of the examples, whose share is told


def has_examples(result: Result) -> bool:
    """Return whether a result holds its terms example by example."""
    return CURVATURE in result.arrays


def shares(terms: np.ndarray) -> np.ndarray:
    """Return each term's share (n,) in the sum of the terms (n,); NaN where that sum is zero."""
    total = terms.sum()
    return terms / total if total else np.full(terms.shape, math.nan)


def ranked(terms: np.ndarray) -> np.ndarray:
    """Return the places (n,) of the terms (n,), the largest share of their sum first, ties in their order."""
    return np.argsort(-terms if terms.sum() >= 0 else terms, kind="stable")


def carried(terms: np.ndarray, fraction: float) -> float:
    """Return the share of the sum that a fraction of the terms (n,) carries: those with the most, one at least."""
    most = ranked(terms)[: max(1, round(fraction * len(terms)))]
    return float(shares(terms)[most].sum())


def concentration_curve(terms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return fractions of the terms (n + 1,), from 0 to 1, and the share of the sum that the largest of them carry."""
    fractions = np.linspace(0, 1, len(terms) + 1)
    return fractions, np.concatenate([[0.0], np.cumsum(shares(terms)[ranked(terms)])])


def effective_number(terms: np.ndarray) -> float:
    """Return N = (sum c)^2 / sum c^2 of the terms c (n,): n where all are equal, 1 where one is all, NaN where none is.

    The relative standard error of their mean is sqrt((n / N - 1) / (n - 1)): about 1 / sqrt(N) where few make the sum.
    """
    squares = float(np.square(terms).sum())
    return float(terms.sum()) ** 2 / squares if squares else math.nan


def leading_classes(label: np.ndarray, rival: np.ndarray, share: np.ndarray) -> tuple[tuple[int, int], float]:
    """Return the two classes between which the examples stand that carry the most of the sum, and what they carry.

    `label` (n,) and `rival` (n,), the strongest other class, count in either order; `share` (n,) is each example's.
    """
    pairs, place = np.unique(np.sort([label, rival], axis=0), axis=1, return_inverse=True)
    sums = np.bincount(place.ravel(), weights=share)
    most = int(np.argmax(sums))
    return (int(pairs[0, most]), int(pairs[1, most])), float(sums[most])
