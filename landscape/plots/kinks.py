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
from .labels import Curve, group
from .sizes import apart

_REMEDY = "make some with: landscape hessian CKPT --adversary reattack"


def draw_reattacked(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the curvature of the mean loss along v1 against h: solid where the adversary attacks anew, dashed held.

    The band is one standard error over examples of what is added. Results that differ in the training seed alone are
    thin lines under their median. Raises ResultError where no result holds them.
    """
    for curve, colour in _curves(results):
        tops, helds = [], []
        for result in curve.results:
            told = census(result)
            tops.append(told.frozen + told.excess)
            helds.append(told.frozen)
            if len(curve.results) == 1:
                low, high = tops[0] - told.excess_se, tops[0] + told.excess_se
                ax.fill_between(told.h, low, high, color=colour, alpha=0.15, linewidth=0, gid="error")
        _draw(ax, curve, tops, colour, "-", gid="reattacked", label=curve.label)
        _draw(ax, curve, helds, colour, "--", gid="frozen", label="_held")
    _steps(ax, results)
    ax.set_ylim(0, None)
    ax.set_ylabel("curvature of the mean loss")
    ax.legend(handlelength=1.8, labelspacing=0.3, borderaxespad=0.2, loc="lower left", bbox_to_anchor=(0, 1.0))


def draw_census(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the share of examples with a kink within h, solid, and of those that the attack alone misses, dotted."""
    for curve, colour in _curves(results):
        found = [census(result) for result in curve.results]
        _draw(ax, curve, [told.kinks for told in found], colour, "-", gid="kinks", label="_kinks")
        _draw(ax, curve, [told.lattice for told in found], colour, ":", gid="missed", label="_missed")
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


def _draw(
    ax: Axes, curve: Curve, rows: list[np.ndarray], colour: style.Colour, line: str, *, gid: str, label: str
) -> None:
    several = len(rows) > 1
    for result, row in zip(curve.results, rows, strict=True):
        h = result.arrays["reattack/h"]
        ax.plot(
            h, row, color=colour, linestyle=line, gid=gid, linewidth=0.5 if several else 1.0,
            alpha=0.4 if several else 1.0, label="_run" if several else label,
        )  # fmt: skip
    if several and len({len(row) for row in rows}) == 1:
        ax.plot(h, np.median(rows, axis=0), color=colour, linestyle=line, linewidth=1.6, gid="median", label=label)


def _curves(results: Sequence[Result]) -> list[tuple[Curve, style.Colour]]:
    chosen = [result for result in results if has_kinks(result)]
    if not chosen:
        raise ResultError(f"no result holds an adversary attacking anew; {_REMEDY}")
    curves = group(chosen)
    colours = style.eps_colours(curve.eps for curve in curves)
    return [(curve, colours[curve.eps]) for curve in curves]
