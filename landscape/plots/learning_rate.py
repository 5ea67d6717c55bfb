"""Fig. 4: error against the learning rate, every run a point, and how many of the runs fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ..results.rates import Arm
from . import style

_MARKS = "osD^v<>"
_SPREAD = 0.12  # of the distance of two rates: how far arms are drawn apart


@dataclass(frozen=True)
class Panel:
    """What one panel shows: its title, and the arms with their errors under one attack."""

    title: str
    arms: Sequence[Arm]


def places(arms: Sequence[Arm]) -> dict[str, float]:
    """Return the factor that each arm's learning rates are drawn at, so that no points hide others."""
    rates = sorted({rate for arm in arms for rate in arm.rates})
    step = min((b / a for a, b in pairwise(rates)), default=2.0)
    shifts = np.linspace(-_SPREAD, _SPREAD, len(arms)) if len(arms) > 1 else [0.0]
    return {arm.label: float(step**shift) for arm, shift in zip(arms, shifts, strict=True)}


def draw_rates(ax: Axes, arms: Sequence[Arm], *, best: Mapping[str, float], moments: bool = False) -> None:
    """Draw every run's error (%) against its learning rate: a cross where it failed; lines join survivors' medians.

    A ring marks the median at an arm's own best rate. `moments` adds, in grey, mean and deviation over all runs, as the
    paper has them.
    """
    at = places(arms)
    for arm, colour, mark in _looks(arms):
        x = np.array(arm.rates) * at[arm.label]
        line = ":" if arm.control else "-"
        medians = 100 * np.array([cell.median for cell in arm.cells])
        ax.plot(x, medians, linestyle=line, color=colour, linewidth=1.2, label="_median", zorder=3)
        for failed in (False, True):
            shown = [(place, 100 * run.value) for place, cell in zip(x, arm.cells, strict=True) for run in cell.runs
                     if (run.collapsed is True) == failed]  # fmt: skip
            if shown:
                face = "none" if arm.control else colour
                look: dict[str, Any] = (
                    {"marker": "x", "markersize": 3.6} if failed else {"marker": mark, "markerfacecolor": face}
                )
                label = "_failed" if failed else "_runs"
                ax.plot(*zip(*shown, strict=True), linestyle="none", color=colour, label=label, alpha=0.75, **look)
        if arm.label in best:
            chosen = arm.rates.index(best[arm.label])
            ring: dict[str, Any] = {"markersize": 7.5, "markerfacecolor": "none", "markeredgewidth": 0.7}
            ax.plot(x[chosen], medians[chosen], "o", color=colour, label="_best", zorder=4, **ring)
        if moments:
            means, deviations = 100 * np.array([cell.moments for cell in arm.cells]).T
            bars: dict[str, Any] = {
                "color": style.GREY,
                "linewidth": 0.7,
                "elinewidth": 0.5,
                "capsize": 1.5,
                "alpha": 0.8,
            }
            ax.errorbar(x, means, yerr=np.nan_to_num(deviations), linestyle=line, label="_moments", zorder=1, **bars)
    _finish(ax, arms)
    ax.set_ylabel("test error (%)")


def draw_failures(ax: Axes, arms: Sequence[Arm]) -> None:
    """Draw the share of the runs that fail (%) against the learning rate, with Wilson's 95 % intervals."""
    at = places(arms)
    for arm, colour, mark in _looks(arms):
        shares = 100 * np.array([cell.failed / len(cell.runs) for cell in arm.cells])
        low, high = 100 * np.array([cell.failure_interval for cell in arm.cells]).T
        ax.errorbar(
            np.array(arm.rates) * at[arm.label],
            shares,
            yerr=[np.maximum(shares - low, 0), np.maximum(high - shares, 0)],
            fmt=mark,
            color=colour,
            markerfacecolor="none" if arm.control else colour,
            linestyle=":" if arm.control else "-",
            elinewidth=0.7,
            linewidth=0.8,
            label=arm.label,
        )
    _finish(ax, arms)
    ax.set_ylim(-6, 106)
    ax.set_ylabel("failed runs (%)")


def figure_learning_rate(
    panels: Sequence[Panel],
    *,
    best: Mapping[str, float],
    note: str,
    stamps: Sequence[str] = (),
    moments: bool = False,
    width: float = style.DOUBLE,
) -> style.PaperFigure:
    """Return fig. 4: the panels side by side and the failures after them; one panel has the failures under it."""
    arms = panels[-1].arms
    with style.paper_style():
        figure = style.new_figure(width)
        if len(panels) > 1:
            axes = list(figure.subplots(1, len(panels) + 1, sharex=True))
            height = 0.36 * width
        else:
            axes = list(figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1]))
            height = 1.05 * width
        for ax, panel in zip(axes, panels, strict=False):
            draw_rates(ax, panel.arms, best=best, moments=moments)
        draw_failures(axes[-1], arms)
        titles = [*(panel.title for panel in panels), "failures"]
        for letter, ax, title in zip("abcd", axes, titles, strict=False):
            ax.set_title(f"{letter}  {title}", loc="left", fontsize=7)
        for ax in axes[1:] if len(panels) == 1 else axes:
            ax.set_xlabel("learning rate")
        handles, names = axes[-1].get_legend_handles_labels()
        columns = len(names) if width > style.SINGLE else 2
        figure.legend(handles, names, loc="outside upper center", ncols=columns, handlelength=2, fontsize=6)
        lines = style.stamp(figure, stamps) + style.annotate(figure, note)
        figure.set_figheight(height + 0.1 * lines + 0.12 * -(-len(names) // columns))
    return figure


def _looks(arms: Sequence[Arm]) -> list[tuple[Arm, style.Colour, str]]:
    """Return each arm with the colour of its schedule and a mark of its own."""
    colours = style.eps_colours(range(len({arm.schedule for arm in arms})))
    names = list(dict.fromkeys(arm.schedule for arm in arms))
    return [(arm, colours[names.index(arm.schedule)], _MARKS[k % len(_MARKS)]) for k, arm in enumerate(arms)]


def _finish(ax: Axes, arms: Sequence[Arm]) -> None:
    rates = sorted({rate for arm in arms for rate in arm.rates})
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(rates))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
