"""Two nets and the ways between them: loss and error along curve and line, and the barriers that they meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.ticker import NullFormatter

from ..results.connectivity import CURVE, LINE, Way, group_of, way_of
from ..results.result import Result
from ..units import format_eps
from . import style
from .contour import round_ticks

LOSS, ERROR = "loss", "error_rate"
DASHED = (0, (3.2, 1.6))
_LOGARITHMIC = 12.0  # times the lowest loss: beyond that a linear scale hides what is low
_DODGE = 0.03  # of t, between the brackets of two radii
_CAP = 0.02  # of t: how wide the ends of a bracket are
_BRACKET = Path([(-0.5, -1), (0.5, -1), (0, -1), (0, 1), (-0.5, 1), (0.5, 1)], [1, 2, 1, 2, 1, 2])
_NAMES = {"bezier": "Bézier curve", "polychain": "polygonal chain"}


def draw_connect(
    ax: Axes,
    result: Result,
    name: str = LOSS,
    *,
    split: str | None = None,
    eps: Sequence[float] | None = None,
    colours: dict[float, style.Colour] | None = None,
    brackets: bool = True,
    deployed: bool = True,
) -> None:
    """Draw the loss in nats (or ERROR, in percent) against t: the curve solid, the line dashed, a colour for each eps.

    Bands are one standard error over examples either way. On the loss, a bracket spans the curve's barrier at the
    place of its highest rise above the chord, which is dotted; shaded on it lies the barrier's interval. Rings at the
    ends are the nets as they are deployed, each with its own BatchNorm buffers. Places where a value was lost are
    hatched.
    """
    colours = colours or style.eps_colours(result.arrays["eps"].tolist())
    ways = {prefix: way_of(result, prefix, split=split) for prefix in prefixes_of(result)}
    rungs = [k for k, radius in enumerate(result.arrays["eps"]) if eps is None or np.isclose(radius, eps).any()]
    for prefix, way in ways.items():
        for rung in rungs:
            _draw_way(ax, way, rung, name, prefix, colours[float(way.eps[rung])])
        _hatch(ax, way, rungs)
    main = ways[next(iter(ways))]
    for place, rung in enumerate(rungs):
        colour = colours[float(main.eps[rung])]
        if name == LOSS and brackets:
            interval = (float(main.barrier_low[rung]), float(main.barrier_high[rung]))
            shift = dodge(place, len(rungs))
            draw_bracket(
                ax, main.ends[rung], float(main.top_t[rung]), float(main.barrier[rung]), interval, colour, shift
            )
        if deployed:
            _draw_deployed(ax, result, rung, name, split, colour)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.set_ylabel("loss (nats)" if name == LOSS else "error (%)")


def draw_bracket(
    ax: Axes,
    ends: np.ndarray,
    at: float,
    barrier: float,
    interval: tuple[float, float],
    colour: Any,
    shift: float = 0.0,
) -> None:
    """Draw a barrier at t = `at` as a bracket that stands on the chord of the ends (2,), its interval a bar upon it.

    The chord is dotted; `shift` moves the bracket aside, along t, where another stands. What is NaN is not drawn.
    """
    fine = np.linspace(0, 1, 101)
    chord = (1 - fine) * ends[0] + fine * ends[1]
    ax.plot(fine, chord, color=colour, linestyle=(0, (1, 1.6)), linewidth=0.7, zorder=2.2, gid="chord")
    foot = (1 - at) * float(ends[0]) + at * float(ends[1])
    if not np.isfinite([foot, barrier]).all():
        return
    at += shift
    if np.isfinite(interval).all():
        ax.plot([at, at], np.add(foot, interval), color=colour, linewidth=3.2, alpha=0.45, solid_capstyle="butt",
                zorder=3.8, gid="interval")  # fmt: skip
    across = [at - 0.5 * _CAP, at + 0.5 * _CAP, at, at, at - 0.5 * _CAP, at + 0.5 * _CAP]
    up = [foot, foot, foot, foot + barrier, foot + barrier, foot + barrier]
    ax.plot(across, up, color=colour, linewidth=0.9, solid_joinstyle="miter", zorder=4, gid="bracket")


def draw_barriers(
    ax: Axes, result: Result, *, split: str | None = None, colours: dict[float, style.Colour] | None = None
) -> None:
    """Draw the barriers of the curve (filled) and of the line (open) against eps, with their 95 % intervals."""
    colours = colours or style.eps_colours(result.arrays["eps"].tolist())
    ways = {prefix: way_of(result, prefix, split=split) for prefix in prefixes_of(result)}
    for prefix, way in ways.items():
        shift = 0.0 if len(ways) == 1 else 0.1 if prefix == LINE else -0.1
        for rung, radius in enumerate(way.eps.tolist()):
            draw_barrier(
                ax, rung + shift, way.barrier[rung], way.barrier_low[rung], way.barrier_high[rung], prefix,
                colours[radius],
            )  # fmt: skip
    ladder = result.arrays["eps"].tolist()
    ax.set_xticks(range(len(ladder)), list(map(format_eps, ladder)))
    ax.set_xlim(-0.5, len(ladder) - 0.5)
    ax.set_xlabel("ε of the attack")
    ax.set_ylabel("barrier (nats)")
    scale_barriers([ax], list(ways.values()))


def draw_barrier(ax: Axes, x: float, value: float, low: float, high: float, prefix: str, colour: Any) -> None:
    """Draw one barrier at x with its interval: a filled circle for a curve, an open square for a line."""
    bars = None if not np.isfinite([low, high]).all() else [[max(value - low, 0)], [max(high - value, 0)]]
    ax.errorbar(
        x, value, yerr=bars, fmt="s" if prefix == LINE else "o", markersize=3.6 if prefix == LINE else 4,
        markerfacecolor="white" if prefix == LINE else colour, markeredgecolor=colour, markeredgewidth=0.9,
        ecolor=colour, elinewidth=0.9, capsize=1.8, capthick=0.8, zorder=3,
    ).lines[0].set_gid("line_barrier" if prefix == LINE else "barrier")  # fmt: skip


def scale_barriers(axes: Sequence[Axes], ways: Sequence[Way]) -> None:
    """Give panels of barriers one scale for all values and bounds: linear, or logarithmic beyond what is small.

    Barriers may be negative, and a line's are often a hundred times a curve's: then the scale is linear up to a power
    of ten and logarithmic from there. A thin line marks 0, no barrier.
    """
    scale_about_zero(axes, np.concatenate([np.r_[way.barrier, way.barrier_low, way.barrier_high] for way in ways]))


def scale_about_zero(axes: Sequence[Axes], values: np.ndarray) -> None:
    """Give panels one scale for values (n,) of either sign, as `scale_barriers` says."""
    for ax in axes:
        if not any(line.get_gid() == "none" for line in ax.lines):
            ax.axhline(0, color=style.GREY, linewidth=0.5, zorder=1, gid="none")
    values = values[np.isfinite(values)]
    sizes = np.abs(values[values != 0])
    if not sizes.size:
        return
    low, high, small = min(float(values.min()), 0.0), max(float(values.max()), 0.0), float(np.quantile(sizes, 0.25))
    if sizes.max() <= _LOGARITHMIC * small:
        for ax in axes:
            ax.set_ylim(1.15 * low - 0.05 * (high - low), 1.12 * high - 0.03 * low)
        return
    top = int(np.ceil(np.log10(sizes.max())))
    bottom = max(int(np.floor(np.log10(small))), top - 3)
    ticks = [0.0, *(10.0**k for k in range(bottom, top + 1))]
    if low < -0.5 * ticks[1]:
        ticks.insert(0, -ticks[1])
    for ax in axes:
        ax.set_yscale("symlog", linthresh=10.0**bottom, linscale=0.6)
        ax.set_yticks(ticks, [f"{tick:g}".replace("-", "−") for tick in ticks])
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax.set_ylim(min(1.3 * low, -0.3 * 10.0**bottom), 1.6 * high)


def scale_losses(axes: Sequence[Axes], ways: Sequence[Way]) -> None:
    """Give panels of losses one scale: logarithmic where the highest is many times the lowest."""
    values = np.concatenate([way.loss[np.isfinite(way.loss)] for way in ways] or [np.zeros(0)])
    positive = values[values > 0]
    if positive.size and positive.max() > _LOGARITHMIC * positive.min():
        for ax in axes:
            ax.set_yscale("log")
            ax.set_ylim(0.6 * positive.min(), 1.6 * positive.max())
            ticks = round_ticks(0.6 * float(positive.min()), 1.6 * float(positive.max()))
            ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            ax.yaxis.set_minor_formatter(NullFormatter())
        return
    top = 1.08 * float(positive.max()) if positive.size else 1.0
    for ax in axes:
        ax.set_ylim(0, top)


def dodge(place: int, count: int) -> float:
    """Return how far along t to move one of `count` brackets, so that they stand apart."""
    return _DODGE * (place - (count - 1) / 2)


def prefixes_of(result: Result) -> list[str]:
    """Return the ways of a result: the curve and the line, or the line alone where it is the curve asked for."""
    return [LINE] if result.attrs["curve"] == "line" else [CURVE, LINE]


def way_handles(
    results: Sequence[Result], colours: dict[float, style.Colour], *, brackets: bool = True, deployed: bool = True
) -> list[Any]:
    """Return the entries of a legend: each eps, then what curve, line, bracket and ring are."""
    handles: list[Any] = [
        Line2D([], [], color=colour, linewidth=2, label="clean" if radius == 0 else f"ε = {format_eps(radius)}")
        for radius, colour in colours.items()
    ]
    curves = list(dict.fromkeys(str(result.attrs["curve"]) for result in results))
    for curve in (name for name in curves if name != "line"):
        handles.append(Line2D([], [], color=style.GREY, label=_NAMES[curve]))
    handles.append(Line2D([], [], color=style.GREY, linestyle=DASHED, label="line"))
    marks: Any = {"color": style.GREY, "linestyle": "none", "markerfacecolor": "white"}
    if brackets:
        handles.append(Line2D([], [], marker=_BRACKET, markersize=6, markeredgewidth=0.9, label="barrier", **marks))
    if deployed:
        handles.append(Line2D([], [], marker="o", markersize=4, label="net as deployed", **marks))
    return handles


def lost_handle() -> Patch:
    """Return the legend entry of places where a value was lost."""
    return Patch(facecolor="#e4e4e4", edgecolor="#9a9a9a", hatch="//////", linewidth=0, label="not finite")


def _draw_way(ax: Axes, way: Way, rung: int, name: str, prefix: str, colour: Any) -> None:
    scale = 1.0 if name == LOSS else 100.0
    errors = way.loss_se if name == LOSS else way.error_se
    values, error = scale * getattr(way, name)[rung], scale * errors[rung]
    dashes = DASHED if prefix == LINE else "-"
    few = "o" if way.t.size < 15 else ""
    ax.plot(
        way.t, values, color=colour, linestyle=dashes, linewidth=0.9 if prefix == LINE else 1.3, marker=few, zorder=3,
        gid=f"{prefix}{name}",
    )  # fmt: skip
    if np.isfinite(error).any():
        low = np.maximum(values - error, 1e-3 * np.nanmin(np.where(values > 0, values, np.inf)))
        ax.fill_between(way.t, low, values + error, color=colour, alpha=0.22, linewidth=0, zorder=2,
                        gid=f"{prefix}{name}_band")  # fmt: skip


def _hatch(ax: Axes, way: Way, rungs: Sequence[int]) -> None:
    edges = np.concatenate([way.t[:1], (way.t[1:] + way.t[:-1]) / 2, way.t[-1:]])
    for place in np.flatnonzero(way.lost[list(rungs)].any(axis=0)):
        ax.axvspan(
            edges[place], edges[place + 1], facecolor="#e4e4e4", edgecolor="#9a9a9a", hatch="//////", linewidth=0,
            zorder=1, gid="hatched",
        )  # fmt: skip


def _draw_deployed(ax: Axes, result: Result, rung: int, name: str, split: str | None, colour: Any) -> None:
    array = "deployed_loss" if name == LOSS else "deployed_error_rate"
    values = result.arrays[f"{group_of(result, split)}{array}"][rung]
    ax.plot(
        [0, 1], (1.0 if name == LOSS else 100.0) * values, linestyle="none", marker="o", markersize=4,
        markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.0, zorder=5, clip_on=False, gid="deployed",
    )  # fmt: skip
