"""Evaluations: the error of every net under every attack as points with their intervals, and the error against eps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ..results.describe import show
from ..results.result import Result
from ..units import format_eps
from .style import DOUBLE, GREY, INK, SINGLE, PaperFigure, eps_colours, new_figure, paper_style

_MOST_NAMES = 8  # nets that a legend can hold; of more, one note says how many
_COARSE = 4  # radii that the adequacy checks take by themselves: no curve


def draw_errors(axes: Axes, result: Result) -> None:
    """Draw the error of each net (a colour) under each attack (a place), with Wilson's 95 % intervals over examples."""
    attacks = [attack.partition(":")[0] for attack in result.attacks.tolist()]
    names = [_short(name) for name in result.checkpoints.tolist()]
    colours = list(eps_colours(range(len(names))).values())
    width = 0.6 / max(len(names), 1)
    for net, (name, colour) in enumerate(zip(names, colours, strict=True)):
        places = np.arange(len(attacks)) + (net - (len(names) - 1) / 2) * width
        rates = 100 * result.error_rate[net]
        bars = [np.maximum(rates - 100 * result.error_low[net], 0), np.maximum(100 * result.error_high[net] - rates, 0)]
        label = name if len(names) <= _MOST_NAMES else None
        axes.errorbar(places, rates, yerr=bars, fmt="o", ms=3, color=colour, elinewidth=0.8, label=label)
        middle = len(attacks) + (net - (len(names) - 1) / 2) * width
        axes.plot([middle], [100 * result.worst_case[net]], "D", ms=3, color=colour)
    axes.axvline(len(attacks) - 0.5, color=GREY, linewidth=0.4)
    axes.set_xticks(range(len(attacks) + 1), [*attacks, "worst case"], rotation=30, ha="right")
    axes.set_xlim(-0.5, len(attacks) + 0.5)
    top = 100 * max(float(result.error_high.max()), float(result.worst_case.max()))
    axes.set_ylim(0, min(100.0, 1.08 * top) or 1.0)
    axes.set_ylabel("error (%)")
    if len(names) > 1 and len(names) <= _MOST_NAMES:
        axes.legend(loc="best")


def draw_losses(axes: Axes, result: Result) -> None:
    """Draw the mean loss of each net (a colour) under each attack (a place) with two standard errors over examples."""
    attacks = [attack.partition(":")[0] for attack in result.attacks.tolist()]
    names = [_short(name) for name in result.checkpoints.tolist()]
    losses, errors = result.arrays["loss"], result.arrays["loss_se"]
    for net, (name, colour) in enumerate(zip(names, eps_colours(range(len(names))).values(), strict=True)):
        places = np.arange(len(attacks)) + (net - (len(names) - 1) / 2) * 0.6 / len(names)
        label = name if len(names) <= _MOST_NAMES else None
        bars = 2 * np.nan_to_num(errors[net])
        axes.errorbar(places, losses[net], yerr=bars, fmt="o", ms=3, color=colour, elinewidth=0.8, label=label)
    axes.set_xticks(range(len(attacks)), attacks, rotation=30, ha="right")
    axes.set_xlim(-0.5, len(attacks) - 0.5)
    axes.set_ylabel("mean loss")
    if 1 < len(names) <= _MOST_NAMES:
        axes.legend(loc="upper left")


def draw_error_curve(axes: Axes, result: Result) -> None:
    """Draw the error of each net against the radius of the ball; the radius of the evaluation is marked."""
    colours = list(eps_colours(range(len(result.checkpoints))).values())
    radii = result.arrays["curve/eps"]
    for name, rates, colour in zip(result.checkpoints, result.arrays["curve/error_rate"], colours, strict=True):
        axes.plot(radii, 100 * rates, "o-", ms=2.5, color=colour, label=_short(str(name)))
    axes.axvline(float(str(result.attrs["eps"])), color=GREY, linewidth=0.6, linestyle=":")
    axes.set_xlabel("ε (pixel units)")
    axes.set_ylabel("error (%)")
    axes.set_ylim(0, 103)
    reached = [eps for eps, rates in zip(radii, result.arrays["curve/error_rate"].T, strict=True) if rates.min() > 0.99]
    axes.set_xlim(0, 1.05 * (min(reached) if reached else radii[-1]))  # what lies behind 100 % tells nothing


def figure_evaluate(results: Sequence[Result], *, width: float = SINGLE) -> PaperFigure:
    """Return the figure of evaluations, a row each: their errors, and beside them the error against eps if it is there.

    A `width` of one column is taken as both where there is a curve.
    """
    curved = any(len(result.arrays.get("curve/eps", ())) > _COARSE for result in results)
    width = DOUBLE if curved and width == SINGLE else width
    with paper_style():
        figure = new_figure(width)
        height = (0.42 if curved else 0.9) * width
        figure.set_size_inches(width, len(results) * height)
        grid = figure.subplots(len(results), 2 if curved else 1, squeeze=False)
        for row, result in zip(grid, results, strict=True):
            if "loss" in result.arrays:
                draw_losses(row[0], result)
            else:
                draw_errors(row[0], result)
            row[0].set_title(_title(result), fontsize=7, color=INK, loc="left")
            if curved and len(result.arrays.get("curve/eps", ())) > _COARSE:
                draw_error_curve(row[1], result)
                note = f"{result.attrs['curve_attack']}, {show(result.attrs['curve_examples'])} examples"
                row[1].set_title(note, fontsize=6, color=GREY, loc="left")
            elif curved:
                row[1].set_axis_off()
    return figure


def _title(result: Result) -> str:
    attrs = result.attrs
    count = len(result.checkpoints)
    whose = _short(result.checkpoints[0]) if count == 1 else f"{count} nets"
    eps = float(str(attrs["eps"]))
    title = f"{whose}, ε = {format_eps(eps)}, {show(attrs['n_examples'])} {attrs['split']} examples"
    return title + (", cascade" if attrs["cascade"] else "")


def _short(name: str) -> str:
    return " + ".join(Path(part).stem if part.endswith((".pt", ".safetensors")) else part for part in name.split(" + "))
