"""Sharpness of nets: curvature against the radius of measurement, rises against relative distance, groups of seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullFormatter

from ..results.caveats import caveats
from ..results.comparison import Comparison
from ..results.result import Result
from ..results.sharpness_study import Run
from ..units import format_eps
from . import style
from .labels import footnote

RISES = {"random": "random shift / filter", "worst": "worst shift / layer"}


def figure_sharpness(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of one net, its radii of measurement told apart, or of several, each at its own radius.

    Three panels: curvature against the radius, and the rise of the loss at random and at worst relative shifts. A
    `width` of one column stacks them.
    """
    kinds = [name for name in RISES if any(f"{name}_rise" in result.arrays for result in results)]
    count = 1 + len(kinds)
    wide = width >= style.DOUBLE
    with style.paper_style():
        figure = style.new_figure(width)
        panels = list(figure.subplots(1 if wide else count, count if wide else 1, squeeze=False).flat)
        draw_curvature(panels[0], results)
        for ax, name in zip(panels[1:], kinds, strict=True):
            draw_rises(ax, results, name)
        lines = style.stamp(figure, stamps(results))
        lines += style.annotate(figure, note(results))
        figure.set_figheight((0.33 * width if wide else 0.62 * width * count) + 0.1 * lines)
    return figure


def draw_curvature(ax: Axes, results: Sequence[Result]) -> None:
    """Draw lambda_1 with its standard error over examples, and the trace with its interval over probes, against eps."""
    colours = style.eps_colours(_trained(result) for result in results)
    told: set[float] = set()
    for result in sorted(results, key=_trained):
        arrays, trained = result.arrays, _trained(result)
        colour = colours[trained]
        name = "λ₁" if len(results) == 1 else f"λ₁, trained at {format_eps(trained)}"
        ax.errorbar(
            arrays["eps"], arrays["lambda_1"], yerr=arrays["lambda_1_se"], fmt="o-", color=colour, elinewidth=0.7,
            label="_net" if trained in told else name,
        )  # fmt: skip
        if "trace" in arrays:
            reach = [arrays["trace"] - arrays["trace_low"], arrays["trace_high"] - arrays["trace"]]
            ax.errorbar(
                arrays["eps"], arrays["trace"], yerr=reach, fmt="s:", ms=2, color=colour, elinewidth=0.7,
                label="_net" if told else "trace",
            )  # fmt: skip
        told.add(trained)
    values = np.concatenate([result.arrays["lambda_1"] for result in results])
    if (values > 0).all():
        ax.set_yscale("log")
        _plain(ax, "y")
    ax.set_xlabel("ε of measurement")
    ax.set_ylabel("curvature (nats)")
    ax.set_xticks(sorted({float(eps) for result in results for eps in result.arrays["eps"]}))
    ax.xaxis.set_major_formatter(lambda value, _: format_eps(float(value)))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1.0, borderaxespad=0.2)


def draw_rises(ax: Axes, results: Sequence[Result], name: str) -> None:
    """Draw the rise of the loss against the relative radius, `name` "random" or "worst", on logarithmic axes.

    Of a single net a curve for each eps of measurement; of several, each net's at its own eps, those of one training
    radius in one colour with a heavy line through their medians.
    """
    alone = len(results) == 1
    curves: dict[float, list[np.ndarray]] = {}
    radii = results[0].arrays[f"{name}_radius"]
    for result in results:
        if f"{name}_rise" not in result.arrays or not np.array_equal(result.arrays[f"{name}_radius"], radii):
            continue
        for rung, eps in enumerate(result.arrays["eps"]):
            if alone or math.isclose(eps, _trained(result), abs_tol=1e-12):
                curves.setdefault(float(eps), []).append(result.arrays[f"{name}_rise"][rung])
    colours = style.eps_colours(curves)
    for eps, own in sorted(curves.items()):
        if len(own) > 1:
            ax.plot(radii, np.array(own).T, color=colours[eps], linewidth=0.4, alpha=0.6, gid="net")
        label = f"ε = {format_eps(eps)}" + (f" ({len(own)} seeds)" if len(own) > 1 else "")
        ax.plot(radii, np.median(own, axis=0), "o-", color=colours[eps], linewidth=1.4, label=label, gid="median")
    ax.set_xscale("log")
    if all((rise > 0).all() for own in curves.values() for rise in own):
        ax.set_yscale("log")
        _plain(ax, "y")
    ax.set_xticks(radii, [f"{radius:g}" for radius in radii])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(RISES[name])
    ax.set_ylabel("rise of the loss (nats)")
    ax.legend(loc="upper left", handlelength=1.0, borderaxespad=0.2, labelspacing=0.25)


def draw_matrix(ax: Axes, columns: Sequence[tuple[float, Comparison]]) -> None:
    """Draw the mean of each group (rows: the eps of training) at each eps of measurement (columns), and write it."""
    trained = [group.name for group in columns[0][1].groups]
    values = np.array([[column.groups[row].mean.value for _, column in columns] for row in range(len(trained))])
    positive = np.isfinite(values).all() and (values > 0).all()
    norm = LogNorm(values.min(), values.max()) if positive and values.min() < values.max() else None
    shades = colormaps["viridis"].resampled(256)
    image = ax.imshow(values, cmap=shades, norm=norm, origin="lower", aspect="auto")
    for row, column in np.ndindex(*values.shape):
        interval = columns[column][1].groups[row].mean
        told = f"{interval.value:.3g}"
        if math.isfinite(interval.high):
            told += f"\n±{interval.high - interval.value:.2g}"
        light = sum(shades(image.norm(values[row, column]))[:3]) > 1.5
        ax.text(column, row, told, ha="center", va="center", fontsize=6, color=style.INK if light else "white")
        if math.isclose(float(trained[row]), columns[column][0], abs_tol=1e-12):
            ax.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, fill=False, edgecolor="white", lw=1.2))
    ax.set_xticks(range(len(columns)), [format_eps(eps) for eps, _ in columns])
    ax.set_yticks(range(len(trained)), [format_eps(float(eps)) for eps in trained])
    ax.set_xlabel("ε of measurement")
    ax.set_ylabel("ε of training")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)


def draw_groups(ax: Axes, comparison: Comparison, *, label: str) -> None:
    """Draw each net's number as a point over its training radius, the group's mean with its 95 %, and the verdict."""
    groups = [group for group in comparison.groups if group.nets]
    colours = style.eps_colours(float(group.name) for group in groups)
    for place, group in enumerate(groups):
        colour = colours[float(group.name)]
        ax.plot([place] * len(group.nets), [net.value for net in group.nets], "o", ms=3, mfc="none", color=colour)
        low, high = group.mean.low, group.mean.high
        reach = [[group.mean.value - low], [high - group.mean.value]] if math.isfinite(low) else None
        ax.errorbar([place + 0.22], [group.mean.value], yerr=reach, fmt="D", ms=3, color=colour, elinewidth=1.0)
    values = [net.value for group in groups for net in group.nets]
    if min(values) > 0 and max(values) > 20 * min(values):
        ax.set_yscale("log")
        _plain(ax, "y")
    elif min(values) >= 0:
        ax.set_ylim(bottom=0)
    ax.set_xlim(-0.5, len(groups) - 0.3)
    ax.set_xticks(range(len(groups)), [format_eps(float(group.name)) for group in groups])
    ax.set_xlabel("ε of training")
    ax.set_ylabel(label)
    if comparison.effects:
        ax.set_title(comparison.effects[0].verdict, fontsize=6.5, color=style.GREY, loc="right", pad=3)


def draw_ways(ax: Axes, runs: Sequence[Run]) -> None:
    """Draw lambda_1 against the loss along the checkpoints of each run at its own eps, ending in a disc."""
    colours = style.eps_colours(run.train_eps for run in runs)
    seen: set[float] = set()
    for run in runs:
        points = [point for result in run.results if (point := _own(result)) is not None]
        if not points:
            continue
        losses, values = np.array(points).T
        colour, label = colours[run.train_eps], f"ε = {format_eps(run.train_eps)}"
        ax.plot(losses, values, "-", marker=".", ms=2, linewidth=0.5, color=colour, gid="way")
        ax.plot(losses[-1:], values[-1:], "o", ms=3.5, color=colour, label="_" if run.train_eps in seen else label)
        seen.add(run.train_eps)
    ax.set_xscale("log")
    ax.set_yscale("log")
    _plain(ax, "x", "y")
    ax.set_xlabel("loss at the run's own ε (nats)")
    ax.set_ylabel("λ₁ (nats)")


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands, one line per result that has such a thing."""
    found = [(result, caveats(result)) for result in results]
    return [f"! {result.attrs['checkpoint'] or 'net'}: {'; '.join(said)}" for result, said in found if said]


def note(results: Sequence[Result]) -> str:
    """Return what every number of a figure rests on."""
    return (
        f"{footnote(results)}. λ₁ and trace: the adversary frozen; bars: standard error over examples, and 95 % over "
        "probes. Rises: attacked anew at the shifted weights; the worst shifts are what ascents find, a lower bound."
    )


def _own(result: Result) -> tuple[float, float] | None:
    """Return loss and lambda_1 at the radius that the net was trained at, or None."""
    rung = np.flatnonzero(np.isclose(result.arrays["eps"], _trained(result), rtol=1e-9, atol=1e-12))
    if not rung.size:
        return None
    return float(result.arrays["loss"][rung[0]]), float(result.arrays["lambda_1"][rung[0]])


def _trained(result: Result) -> float:
    """Return the radius of training; where that is unknown, the largest one measured."""
    eps = float(str(result.attrs["train_eps"]))
    return eps if math.isfinite(eps) else float(result.arrays["eps"][-1])


def _plain(ax: Axes, *names: str) -> None:
    """Write the ticks of logarithmic axes as plain numbers, 1, 2 and 5 of each decade where there are few decades."""
    for name in names:
        axis = ax.xaxis if name == "x" else ax.yaxis
        low, high = sorted(axis.get_view_interval())
        decades = math.log10(high / low) if low > 0 else math.inf
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 3 else (1.0, 2.0, 5.0)))
        axis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_minor_formatter(NullFormatter())
