"""Curvature of a loss whose adversary attacks anew, against the step of its differences; and how many examples kink."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from ..errors import ResultError
from ..results.kinks import census, has_kinks
from ..results.result import Result
from . import style
from .labels import group
from .sizes import apart

_REMEDY = "make some with: landscape hessian CKPT --adversary reattack"


def draw_reattacked(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the curvature of the mean loss along v1 against h: solid where the adversary attacks anew, dashed held.

    The band is one standard error over examples of what is added. Raises ResultError where no result holds them.
    """
    for result, label, colour in _told(results):
        told = census(result)
        top = told.frozen + told.excess
        ax.fill_between(
            told.h, top - told.excess_se, top + told.excess_se, color=colour, alpha=0.15, linewidth=0, gid="error"
        )
        ax.plot(told.h, top, color=colour, marker="o", markersize=2.5, label=label, gid="reattacked")
        ax.plot(told.h, told.frozen, color=colour, linestyle="--", linewidth=0.8, label="_held", gid="frozen")
    _steps(ax, results)
    ax.set_ylabel("curvature of the mean loss")
    ax.legend(handlelength=1.8, labelspacing=0.3, borderaxespad=0.2)


def draw_census(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the share of examples with a kink within h, solid, and of those that the attack alone misses, dotted."""
    for result, _, colour in _told(results):
        told = census(result)
        ax.plot(told.h, told.kinks, color=colour, marker="o", markersize=2.5, gid="kinks")
        ax.plot(told.h, told.lattice, color=colour, linestyle=":", linewidth=0.8, gid="missed")
    _steps(ax, results)
    ax.set_ylim(0, None)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylabel("share of the examples")


def kinks_note() -> str:
    """Return what the lines of both panels are."""
    return (
        "Eigenvalues: adversary frozen. Second differences: solid, adversary attacking anew, the best perturbation "
        "known at each place; dashed, held. Shares: solid, examples whose added curvature grows like 1/h; dotted, "
        "those where the attack's own answers fail cross-evaluation."
    )


def _steps(ax: Axes, results: Sequence[Result]) -> None:
    steps = np.unique(np.concatenate([result.arrays["reattack/h"] for result in results if has_kinks(result)]))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(apart(steps)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_xlabel("step $h$ along $v_1$")


def _told(results: Sequence[Result]) -> list[tuple[Result, str, style.Colour]]:
    chosen = [result for result in results if has_kinks(result)]
    if not chosen:
        raise ResultError(f"no result holds an adversary attacking anew; {_REMEDY}")
    curves = group(chosen)
    colours = style.eps_colours(curve.eps for curve in curves)
    return [
        (result, "_more" if number else curve.label, colours[curve.eps])
        for curve in curves
        for number, result in enumerate(curve.results)
    ]
