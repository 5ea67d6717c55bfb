"""The constant classifier over width and eps: the share of collapsed runs in each cell, and the frontier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ..results.collapse import Collapse
from . import style


def draw_collapse(ax: Axes, grid: Collapse) -> None:
    """Draw the share of collapsed runs of each cell, eps to the right and width upwards, and the frontier over it.

    The frontier is where half of the runs collapse; of a width of which never half does it lies beyond the right edge.
    """
    shares = np.ma.masked_invalid(grid.shares)
    colours = mpl.colormaps["Greys"].with_extremes(bad="#ffffff")
    columns, rows = len(grid.eps), len(grid.widths)
    ax.imshow(shares, origin="lower", aspect="auto", cmap=colours, vmin=0, vmax=2.2, interpolation="nearest")
    for edge in range(1, max(rows, columns)):
        if edge < columns:
            ax.axvline(edge - 0.5, color="#dddddd", linewidth=0.5, zorder=1)
        if edge < rows:
            ax.axhline(edge - 0.5, color="#dddddd", linewidth=0.5, zorder=1)
    for row in range(rows):
        for column in range(columns):
            runs = grid.runs[row, column]
            text = f"{grid.failed[row, column]}/{runs}" if runs else "–"
            ax.text(column, row, text, ha="center", va="center", fontsize=7, color=style.INK)
    places = [_place(eps, grid.eps) for eps in grid.frontier()]
    for row, place in enumerate(places):
        if math.isfinite(place):
            ax.plot([place, place], [row - 0.5, row + 0.5], color=style.ALARM, linewidth=1.8, label="_frontier")
    for row, (place, above) in enumerate(pairwise(places)):
        ends = [columns - 0.5 if math.isinf(end) else end for end in (place, above)]
        if not any(math.isnan(end) for end in ends):
            ax.plot(ends, [row + 0.5] * 2, color=style.ALARM, linewidth=1.8, label="_step")
    ax.set_xticks(range(columns), [f"{eps:g}" for eps in grid.eps])
    ax.set_yticks(range(rows), [str(width) for width in grid.widths])
    ax.set_xlim(-0.5, columns - 0.5)
    ax.set_ylim(-0.5, rows - 0.5)
    ax.tick_params(length=0)
    ax.set_xlabel("ε of training")
    ax.set_ylabel("width")


def figure_collapse(
    grid: Collapse, *, note: str, stamps: Sequence[str] = (), width: float = style.SINGLE
) -> style.PaperFigure:
    """Return the figure of a grid, `width` inches wide."""
    with style.paper_style():
        figure = style.new_figure(width)
        draw_collapse(figure.subplots(), grid)
        lines = style.stamp(figure, stamps) + style.annotate(figure, note)
        figure.set_figheight(0.7 + 0.32 * len(grid.widths) + 0.1 * lines)
    return figure


def _place(eps: float, radii: Sequence[float]) -> float:
    """Return where an eps lies among the columns, which stand at equal distances whatever their eps."""
    if math.isinf(eps) or math.isnan(eps):
        return eps
    return float(np.interp(eps, radii, range(len(radii))))
