"""The first Hessian eigenvalues against the number of examples that the mean is over, one colour per eps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from ..errors import ResultError
from ..results.result import Result
from . import style
from .labels import group

SIZES, VALUES, ERRORS = "by_size/n", "by_size/eigenvalues", "by_size/eigenvalue_se"


def has_sizes(result: Result) -> bool:
    """Return whether a result holds eigenvalues of several numbers of examples."""
    return SIZES in result.arrays and VALUES in result.arrays


def draw_sizes(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the first eigenvalues against n on a logarithmic axis, with their standard errors, lambda_1 heaviest.

    Raises ResultError where no result holds them.
    """
    chosen = [result for result in results if has_sizes(result)]
    if not chosen:
        raise ResultError("there are no sizes to draw; make some with: landscape hessian CKPT --sizes 250,500,1000")
    curves = group(chosen)
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        for number, result in enumerate(curve.results):
            n, values, errors = (result.arrays[name] for name in (SIZES, VALUES, ERRORS))
            for j in range(values.shape[1]):
                label = curve.label if number == j == 0 else "_more"
                ax.errorbar(
                    n, values[:, j], yerr=errors[:, j], color=colours[curve.eps], label=label, marker="o",
                    markersize=2.5, linewidth=1.2 if j == 0 else 0.6, elinewidth=0.6, alpha=1.0 if j == 0 else 0.6,
                )  # fmt: skip
    sizes = np.unique(np.concatenate([result.arrays[SIZES] for result in chosen]))
    ax.set_xscale("log")
    ax.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    ax.xaxis.set_major_locator(FixedLocator(apart(sizes)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    ax.set_xlabel("examples")
    ax.set_ylabel("first eigenvalues")
    if len(curves) > 1:
        ax.legend(handlelength=1.8, labelspacing=0.3, borderaxespad=0.2)


def apart(sizes: np.ndarray) -> list[float]:
    """Return the sizes that find room for their numbers on the axis, the largest always."""
    kept = [float(sizes[-1])]
    for size in sizes[-2::-1]:
        if kept[-1] >= 1.5 * size:
            kept.append(float(size))
    return kept
