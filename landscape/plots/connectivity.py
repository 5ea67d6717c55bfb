"""The panels of appendix C: pairs of nets with their medians, barriers by eps and by training, the plane of a curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from ..results.connectivity import CURVE, LINE, Way, in_plane
from ..results.result import Result
from . import style
from .connect import DASHED, LOSS, dodge, draw_bracket, scale_about_zero
from .contour import Scale, draw_contour
from .pairs import LEAST, Group, budget_of, median, over_pairs, pair_of, ways_at

_STEP = 0.19  # between the series of one group, whose places are 1 apart


def draw_pairs(
    ax: Axes,
    group: Group,
    name: str = LOSS,
    *,
    eps: float | None = None,
    split: str | None = None,
    colours: dict[float, style.Colour],
) -> None:
    """Draw loss or error against t, each pair thin and their median thick: curves solid, lines dashed.

    On the loss a bracket stands on the chord of the median's ends, as high as the mean barrier of the curves, with its
    interval over pairs; of a single pair it is that pair's own.
    """
    scale = 1.0 if name == LOSS else 100.0
    radii = group.radii(eps)
    for prefix in (LINE, CURVE):
        for place, radius in enumerate(radii):
            ways = ways_at(group.results, prefix, radius, split=split)
            look: Any = {"color": colours[radius], "linestyle": DASHED if prefix == LINE else "-"}
            for way, rung in ways:
                ax.plot(way.t, scale * getattr(way, name)[rung], linewidth=0.5, alpha=0.4, zorder=2,
                        gid=f"{prefix}{name}", **look)  # fmt: skip
            if ways:
                t, middle = median(ways, name)
                thick = 1.2 if prefix == LINE else 1.6
                ax.plot(t, scale * middle, linewidth=thick, zorder=3, gid=f"{prefix}median", **look)
                if name == LOSS and prefix == CURVE:
                    ends = middle[[0, -1]]
                    rise = np.nan_to_num(middle - (1 - t) * ends[0] - t * ends[1], nan=-np.inf)
                    top = t[1 + int(np.argmax(rise[1:-1]))] if len(t) > 2 else t[0]
                    found = over_pairs(ways)
                    draw_bracket(
                        ax, ends, float(top), found.value, (found.low, found.high), colours[radius],
                        dodge(place, len(radii)),
                    )  # fmt: skip
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set_ylabel("loss (nats)" if name == LOSS else "error (%)")


def draw_pair_barriers(
    ax: Axes,
    groups: Sequence[Group],
    *,
    relative: bool = False,
    eps: float | None = None,
    split: str | None = None,
    colours: dict[float, style.Colour],
) -> None:
    """Draw the barriers of each group: every pair as a dot, their mean with its interval, clean left of attacked.

    Filled are curves, open lines. A group of fewer than three pairs has no interval over pairs: its pairs have those
    over examples then.
    """
    drawn: list[float] = []
    for place, group in enumerate(groups):
        series = [(radius, prefix) for radius in group.radii(eps) for prefix in (CURVE, LINE)]
        series = [one for one in series if ways_at(group.results, one[1], one[0], split=split)]
        for number, (radius, prefix) in enumerate(series):
            ways = ways_at(group.results, prefix, radius, split=split)
            at = place + _STEP * (number - (len(series) - 1) / 2)
            drawn += _draw_estimate(ax, at, ways, prefix, colours[radius], relative)
    ax.set_xticks(range(len(groups)), [group.label.removeprefix("ε = ") for group in groups])
    ax.set_xlim(-0.5, len(groups) - 0.5)
    ax.set_xlabel("ε of training")
    ax.set_ylabel("barrier / loss of ends" if relative else "barrier (nats)")
    scale_about_zero([ax], np.array(drawn))


def draw_budgets(
    ax: Axes,
    groups: Sequence[Group],
    *,
    eps: float | None = None,
    split: str | None = None,
    colours: dict[float, style.Colour],
) -> None:
    """Draw the barrier of the curve at each group's radius against the steps of its training, each pair a thin line."""
    drawn: list[tuple[int, float]] = []
    for group in groups:
        radius = group.radii(eps)[-1]
        found: dict[str, list[tuple[int, float]]] = {}
        for result in group.budgets:
            steps, points = budget_of(result)
            for way, rung in ways_at([result], CURVE, radius, split=split):
                found.setdefault(f"{pair_of(result)} {points}", []).append((steps, float(way.barrier[rung])))
        # A pair that was trained once says nothing of more training, and would shift the mean where it is.
        rows = [row for pair in found.values() if len(pair) > 1 for row in pair]
        for pair in (pair for pair in found.values() if len(pair) > 1):
            ax.plot(*np.array(sorted(pair)).T, color=colours[radius], linewidth=0.5, alpha=0.4, gid="budget")
        if rows:
            sizes = sorted({size for size, _ in rows})
            means = [np.mean([barrier for size, barrier in rows if size == wanted]) for wanted in sizes]
            ax.plot(sizes, means, color=colours[radius], marker="o", markersize=3, zorder=3, gid="budget_mean")
        drawn += rows
    shown = sorted({size for size, _ in drawn})
    positive = [size for size in shown if size > 0]
    if 0 in shown:
        ax.set_xscale("symlog", base=2, linthresh=min(positive, default=1))
    else:
        ax.set_xscale("log", base=2)
    ax.set_xticks(shown, [f"{size:,}" for size in shown])
    ax.minorticks_off()
    ax.set_xlabel("steps of training")
    ax.set_ylabel("barrier (nats)")
    scale_about_zero([ax], np.array([barrier for _, barrier in drawn]))


def draw_plane(ax: Axes, surface: Result, result: Result, *, eps: float | None = None, scale: Scale) -> Any:
    """Draw the plane through two nets and their curve's middle control point, the curve and the line on it.

    Returns the contours. The nets are called A and B, the control points are diamonds.
    """
    contours = draw_contour(ax, surface, eps=eps, scale=scale)
    for text in [text for text in ax.texts if text.get_gid() == "landmark"]:
        text.remove()
    for line in [line for line in ax.lines if line.get_gid() in ("landmarks", "centre", "minimum")]:
        line.remove()
    way, points = in_plane(result), result.arrays["plane_points"]
    assert way is not None
    light: Any = {"path_effects": [withStroke(linewidth=2.4, foreground="white")], "color": style.INK}
    ax.plot(*points[[0, -1]].T, linestyle=DASHED, linewidth=1.0, zorder=5, gid="line", **light)
    ax.plot(*way.T, linewidth=1.3, zorder=5, gid="curve", **light)
    marks: Any = {"linestyle": "none", "markeredgecolor": style.INK, "markeredgewidth": 0.7, "clip_on": False}
    ax.plot(*points[1:-1].T, marker="D", markersize=3, markerfacecolor="white", zorder=6, gid="control", **marks)
    ax.plot(*points[[0, -1]].T, marker="o", markersize=4.5, markerfacecolor="white", zorder=6, gid="nets", **marks)
    for name, (x, y), side in (("A", points[0], -1), ("B", points[-1], 1)):
        ax.annotate(
            name, (x, y), (5 * side, -5), textcoords="offset points", ha="center", va="center", fontsize=7,
            color=style.INK, zorder=7, gid="net", path_effects=[withStroke(linewidth=1.8, foreground="white")],
        )  # fmt: skip
    return contours


def _draw_estimate(
    ax: Axes, at: float, ways: Sequence[tuple[Way, int]], prefix: str, colour: Any, relative: bool
) -> list[float]:
    """Draw one series of pairs at x = `at`; return the values drawn."""
    found = over_pairs(ways, relative=relative)
    face = "white" if prefix == LINE else colour
    shape = "s" if prefix == LINE else "o"
    drawn = [*found.each.tolist(), found.value, found.low, found.high]
    if len(ways) >= LEAST:
        ax.plot([at - 0.05] * len(found.each), found.each, linestyle="none", marker=shape, markersize=1.8,
                markerfacecolor=face, markeredgecolor=colour, markeredgewidth=0.4, alpha=0.6, zorder=2,
                gid=f"{prefix}each")  # fmt: skip
        means = [(at + 0.05, found.value, found.low, found.high)]
    else:
        means = []
        for number, (way, rung) in enumerate(ways):
            ends = float(way.ends[rung].mean()) if relative else 1.0
            low, high = float(way.barrier_low[rung]) / ends, float(way.barrier_high[rung]) / ends
            means.append((at + 0.06 * (number - (len(ways) - 1) / 2), float(found.each[number]), low, high))
            drawn += [low, high]
    for x, value, low, high in means:
        bars = [[max(value - low, 0)], [max(high - value, 0)]] if np.isfinite([low, high]).all() else None
        ax.errorbar(
            x, value, yerr=bars, fmt=shape, markersize=3.4, markerfacecolor=face, markeredgecolor=colour,
            markeredgewidth=0.8, ecolor=colour, elinewidth=0.8, capsize=1.5, capthick=0.7, zorder=3,
        ).lines[0].set_gid(f"{prefix}mean")  # fmt: skip
    return drawn
