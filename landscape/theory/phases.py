"""The phase diagram of the two-class linear model: as eps grows, separable, a finite optimum, a constant classifier."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from .examples import as_two_classes, reach
from .optimum import Optimum, robust_optimum
from .separation import Separation, gamma_star, gamma_star_box, robust_scores
from .thresholds import eps_bar, eps_bar_bias, eps_bar_box


class Regime(IntEnum):
    """What adversarial training of the linear model comes to."""

    SEPARABLE = 0  # eps < gamma*: the loss falls to 0 as the weights grow without bound
    FINITE = 1  # gamma* <= eps < eps_bar: a finite optimum that is no constant
    CONSTANT = 2  # eps >= eps_bar: the best classifier ignores its input


REGIMES = {
    Regime.SEPARABLE: "separable: the loss falls to 0",
    Regime.FINITE: "finite optimum",
    Regime.CONSTANT: "constant classifier",
}


@dataclass(frozen=True, eq=False)
class Thresholds:
    """The radii at which the regimes change, without and with the box [0, 1]; `separation_box` is None if not asked."""

    eps_bar: float
    eps_bar_bias: float
    eps_bar_box: float
    separation: Separation
    separation_box: Separation | None

    def edges(self, *, box: bool) -> tuple[Separation, float]:
        """Return where the separable regime ends and where the constant one begins."""
        if not box:
            return self.separation, self.eps_bar_bias
        assert self.separation_box is not None
        return self.separation_box, self.eps_bar_box

    def regime(self, eps: float, *, box: bool) -> Regime:
        """Return the regime at one eps."""
        separation, constant_from = self.edges(box=box)
        if eps < separation.margin:
            return Regime.SEPARABLE
        return Regime.FINITE if eps < constant_from else Regime.CONSTANT


@dataclass(frozen=True, eq=False)
class PhaseDiagram:
    """The optimum at each eps, all arrays (E,); `loss` and `norm` are the limits 0 and infinity where separable.

    `margin` is the least s_i (u'x + b) under attack over ||u||_1, NaN for a constant; errors are fractions, a score of
    0 counted as the first class; `kkt_residual` is NaN where a limit stands for an optimum.
    """

    eps: np.ndarray
    regime: np.ndarray
    loss: np.ndarray
    norm: np.ndarray
    margin: np.ndarray
    error_rate: np.ndarray
    clean_error_rate: np.ndarray
    kkt_residual: np.ndarray


def find_thresholds(inputs: Any, labels: Any, *, box: bool = False) -> Thresholds:
    """Return every threshold of two classes of inputs (N, D) in [0, 1]; gamma* with the box only if asked.

    Raises DataError unless there are two classes, UsageError for inputs outside [0, 1].
    """
    rows, signs = as_two_classes(inputs, labels)
    return Thresholds(
        eps_bar(rows, signs),
        eps_bar_bias(rows, signs),
        eps_bar_box(rows, signs),
        gamma_star(rows, signs),
        gamma_star_box(rows, signs) if box else None,
    )


def phase_diagram(
    inputs: Any,
    labels: Any,
    eps: Sequence[float] | np.ndarray,
    thresholds: Thresholds,
    *,
    box: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PhaseDiagram:
    """Return the regime and the optimum at each eps; `thresholds` are those of the same examples and the same `box`."""
    rows, signs = as_two_classes(inputs, labels)
    radii = np.asarray(eps, float)
    separation = thresholds.edges(box=box)[0]
    columns = np.full((7, len(radii)), np.nan)
    last: Optimum | None = None
    # From the largest down: the constant classifier is known, and each optimum starts the search for the next.
    for done, index in enumerate(np.argsort(-radii)):
        if progress is not None:
            progress(done, len(radii))
        regime = thresholds.regime(radii[index], box=box)
        if regime is Regime.SEPARABLE:
            told = (0.0, math.inf, math.nan)
            weights, bias = separation.weights, separation.bias
        else:
            last = robust_optimum(rows, signs, radii[index], box=box, start=last)
            told = (last.loss, last.norm, last.kkt_residual)
            weights, bias = last.weights, last.bias
        low, high = reach(rows, radii[index], box=box)
        length = np.abs(weights).sum()
        worst = robust_scores(weights, bias, low, high, signs)
        margin = worst.min() / length if length > 0 else math.nan
        robust, clean = _error(worst, signs), _error(signs * (rows @ weights + bias), signs)
        columns[:, index] = regime, told[0], told[1], margin, robust, clean, told[2]
    if progress is not None:
        progress(len(radii), len(radii))
    regimes, *others = columns
    return PhaseDiagram(radii, regimes.astype(np.uint8), *others)


def _error(scores: np.ndarray, signs: np.ndarray) -> float:
    return float(np.where(signs > 0, scores <= 0, scores < 0).mean())
