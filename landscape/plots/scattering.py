"""Scattering: cosines of perturbations and gradients against the distance, the parts of the gradient's change."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from ..errors import UsageError
from ..results.caveats import caveats
from ..results.kinds.scattering import POSITIONS
from ..results.result import Result
from ..units import format_eps
from . import style
from .labels import footnote

# The cosines of one net, each with its baselines: what two random vertices and two random starts give.
READINGS = {
    "perturbation_cosine": ("plain", "cosine"),
    "sign_cosine": ("signs", "sign_cosine"),
    "box_cosine": ("centred", "box_cosine"),
}
PARTS = {
    "gradient_difference": ("change", "-"),
    "gradient_difference_frozen": ("adversary frozen", "--"),
    "gradient_difference_adversary": ("adversary's move", ":"),
}


def figure_scattering(results: Sequence[Result], *, width: float = style.DOUBLE) -> style.PaperFigure:
    """Return the figure of one net, or of several, told apart by the eps of training or else of the attack.

    Three panels: cosines of perturbations, cosines of gradients, and the parts of the gradient's change (of several
    nets, the adversary's share of it). A `width` of one column stacks them. Raises UsageError where results count
    their distances in different ways.
    """
    if len({result.attrs["positions"] for result in results}) > 1:
        raise UsageError("these files count distances in different ways (radii, rises, shares of a way); draw one kind")
    wide = width >= style.DOUBLE
    with style.paper_style():
        figure = style.new_figure(width)
        panels = list(figure.subplots(1 if wide else 3, 3 if wide else 1, squeeze=False).flat)
        if len(results) == 1:
            draw_readings(panels[0], results[0])
            draw_nets(panels[1], results, "gradient_cosine", frozen="gradient_cosine_frozen")
            draw_parts(panels[2], results[0])
        else:
            draw_nets(panels[0], results, "box_cosine", baseline="restart_box_cosine")
            draw_nets(panels[1], results, "gradient_cosine", frozen="gradient_cosine_frozen")
            draw_nets(panels[2], results, "adversary_share")
        lines = style.stamp(figure, stamps(results)) + style.annotate(figure, note(results))
        figure.set_figheight((0.36 * width if wide else 0.62 * width * 3) + 0.1 * lines)
    return figure


def draw_readings(ax: Axes, result: Result) -> None:
    """Draw one net's cosines of perturbations; dotted what two random vertices give, dashed two random starts."""
    x = result.arrays["position"]
    for number, (name, (label, baseline)) in enumerate(READINGS.items()):
        values = result.arrays[name]
        if not np.isfinite(values).any():
            continue
        colour = f"C{number}"
        ax.errorbar(x, values, yerr=result.arrays[f"{name}_se"], fmt="o-", color=colour, label=label, elinewidth=0.7)
        for kind, dashes in (("random", ":"), ("restart", "--")):
            ax.axhline(
                float(result.arrays[f"{kind}_{baseline}"]), color=colour, linestyle=dashes, linewidth=0.8, gid=kind
            )
    _axis(ax, [result], "cosine of perturbations")
    if ax.containers:
        ax.legend(loc="lower left", handlelength=1.2)
    else:
        ax.text(0.5, 0.5, "no perturbation at ε = 0", transform=ax.transAxes, ha="center", color=style.GREY)


def draw_nets(
    ax: Axes, results: Sequence[Result], name: str, *, frozen: str | None = None, baseline: str | None = None
) -> None:
    """Draw a quantity of each net against the distance, thin, and the mean of those of one eps, heavy.

    `frozen` names what is drawn dashed beside it, `baseline` what is drawn dotted at all distances.
    """
    groups = grouped(results)
    colours = style.eps_colours(groups)
    for eps, own in groups.items():
        x = own[0].arrays["position"]
        rows = np.array([net.arrays[name] for net in own if np.array_equal(net.arrays["position"], x)])
        if not np.isfinite(rows).any():
            continue
        colour = colours[eps]
        if len(rows) > 1:
            ax.plot(x, rows.T, color=colour, linewidth=0.4, alpha=0.6, gid="net")
        label = f"ε = {format_eps(eps)}" + (f" ({len(rows)} seeds)" if len(rows) > 1 else "")
        ax.plot(x, rows.mean(axis=0), "o-", color=colour, linewidth=1.4, label=label, gid="mean")
        if frozen is not None:
            held = np.mean([net.arrays[frozen] for net in own if len(net.arrays[frozen]) == len(x)], axis=0)
            ax.plot(x, held, "--", color=colour, linewidth=0.9, gid="frozen")
        if baseline is not None:
            level = float(np.mean([net.arrays[baseline] for net in own]))
            ax.axhline(level, color=colour, linestyle=":", linewidth=0.8, gid="baseline")
    words = {
        "perturbation_cosine": "cosine, plain",
        "box_cosine": "cosine, centred",
        "gradient_cosine": "cosine of gradients",
        "adversary_share": "adversary's share of the change",
    }
    _axis(ax, results, words.get(name, name))
    if any(line.get_gid() == "mean" for line in ax.lines):
        ax.legend(loc="best", handlelength=1.0, labelspacing=0.25)


def draw_parts(ax: Axes, result: Result) -> None:
    """Draw the norms of one net's gradient's change and of its two parts over the gradient's norm at the net."""
    x, scale = result.arrays["position"], float(str(result.attrs["centre_gradient_norm"]))
    for name, (label, dashes) in PARTS.items():
        values, errors = result.arrays[name] / scale, result.arrays[f"{name}_se"] / scale
        ax.errorbar(x, values, yerr=errors, fmt="o", linestyle=dashes, label=label, elinewidth=0.7)
    if (result.arrays["gradient_difference_frozen"] > 0).all():
        ax.set_yscale("log", nonpositive="mask")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    _axis(ax, [result], "change of the gradient / its norm")
    ax.legend(loc="best", handlelength=1.6)


def grouped(results: Sequence[Result]) -> dict[float, list[Result]]:
    """Return the results by the eps that they were trained at, or, where that is one, were attacked at."""
    trained = {_number(result, "train_eps") for result in results}
    key = "train_eps" if len(trained) > 1 or len(results) == 1 else "eps"
    found: dict[float, list[Result]] = {}
    for result in sorted(results, key=lambda net: _number(net, key)):
        eps = _number(result, key)
        found.setdefault(eps if math.isfinite(eps) else _number(result, "eps"), []).append(result)
    return found


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands, one line per result that has such a thing."""
    found = [(result, caveats(result)) for result in results]
    return [f"! {result.attrs['checkpoint'] or 'net'}: {'; '.join(said)}" for result, said in found if said]


def note(results: Sequence[Result]) -> str:
    """Return what every number of a figure rests on, and what its lines are."""
    if len(results) == 1:
        return (
            f"{grounds(results)} Dotted: two random vertices; dashed: two random starts, and gradients of the frozen "
            "adversary. Bars: standard errors over examples."
        )
    return f"{grounds(results)} Dotted: two random starts; dashed: gradients of the frozen adversary."


def grounds(results: Sequence[Result]) -> str:
    """Return what every number of a figure rests on."""
    courses = dict.fromkeys(str(result.attrs["direction_name"]) for result in results)
    way = ", ".join(list(courses)[:2]) + (", ..." if len(courses) > 2 else "")
    return (
        f"{footnote(results)}. Along {way}. One random start at all weights; centred: in the coordinates of the box "
        "that [0, 1] leaves of the ball."
    )


def _axis(ax: Axes, results: Sequence[Result], label: str) -> None:
    places = np.unique(np.concatenate([result.arrays["position"] for result in results]))
    positions = str(results[0].attrs["positions"])
    if len(places) > 1 and positions != "share" and places[0] > 0:
        ax.set_xscale("log")
        ax.xaxis.set_minor_formatter(NullFormatter())
    if len(places) <= 8:
        ax.set_xticks(places, [f"{place:g}" for place in places])
    ax.set_xlabel(POSITIONS[positions])
    ax.set_ylabel(label)


def _number(result: Result, name: str) -> float:
    value = result.attrs.get(name)
    return float(value) if isinstance(value, int | float) else math.nan
