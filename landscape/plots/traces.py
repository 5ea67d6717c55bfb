"""Training runs along their steps: median and band over seeds, one colour per eps, the schedule in a strip below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from ..errors import ResultError, UsageError
from ..results.caveats import caveats
from ..results.result import Result
from ..units import format_eps
from . import style
from .escape import PLATEAU, draw_survival, escape
from .labels import Curve, footnote, group

LOSS, NORM, DISTANCE = "loss", "gradient_norm", "distance_from_init"
TEST_ERROR = "test/target_robust_error_rate"
NAMES = {
    LOSS: "loss (nats)",
    NORM: "gradient norm",
    DISTANCE: "distance from start",
    "error_rate": "error",
    TEST_ERROR: "robust test error",
    "gradient_cosine": "cosine of clean and\nadversarial gradient",
    "lambda_1": "$\\lambda_1$ (nats)",
}
EXTRAS = ("gradient_cosine", "lambda_1")  # `landscape train --trace`: at some of the rows
LAYERS = "layer_gradient_norm"
_DASHES = {"constant": "-", "linear": (0, (4, 1.5)), "cosine": (0, (1, 1))}
_MIXED = "a figure shows traces of training or of checkpoints, and both came; name one sort's files"


@dataclass(frozen=True)
class Band:
    """Median (m,) over runs and where their middle 80 % lie (m,), at steps (m,)."""

    steps: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray


def arms(results: Sequence[Result]) -> list[Curve]:
    """Return the runs that differ in their seed alone as one curve each, in the order of their training eps."""
    # A run has no eps of measurement: it is what it was trained at.
    return group(
        [Result(result.kind, result.arrays, {**result.attrs, "eps": result.attrs["train_eps"]}) for result in results]
    )


def look(curve: Curve, colours: dict[float, style.Colour]) -> dict[str, Any]:
    """Return the colour of a curve's eps and the dashes of its schedule, as matplotlib's words."""
    training = curve.results[0].attrs.get("training")
    schedule = training.get("eps_schedule", "constant") if isinstance(training, dict) else "constant"
    return {"color": colours[curve.eps], "linestyle": _DASHES.get(str(schedule), "-")}


def band(results: Sequence[Result], name: str, *, span: tuple[int, int] | None = None, window: int = 1) -> Band | None:
    """Return what runs have in common of an array over the steps in `span` (its end left out); None where none has it.

    Each run is first smoothed by the mean over `window` neighbouring rows, and taken at the steps that all runs have;
    of EXTRAS, at those where they were measured.
    """
    of_steps = "test/step" if name.startswith("test/") else "step"
    found = {}
    for number, result in enumerate(results):
        if name in result.arrays and of_steps in result.arrays:
            steps, values = result.arrays[of_steps], _smooth(result.arrays[name], window)
            rows = np.isfinite(values) if name in EXTRAS else np.full(len(values), fill_value=True)
            found[number] = dict(zip(steps[rows].tolist(), values[rows].tolist(), strict=True))
    shared = sorted(set.intersection(*(set(rows) for rows in found.values()))) if found else []
    shared = [step for step in shared if span is None or span[0] <= step < span[1]]
    if not shared:
        return None
    runs = np.array([[values[step] for step in shared] for values in found.values()])
    low, median, high = np.quantile(runs, [0.1, 0.5, 0.9], axis=0)
    return Band(np.array(shared), median, low, high)


def draw_trace(
    ax: Axes,
    curves: Sequence[Curve],
    name: str,
    *,
    span: tuple[int, int] | None = None,
    window: int = 1,
    scale: float = 1.0,
) -> None:
    """Draw the median of an array over the seeds of each curve against the step, and the band of their middle 80 %."""
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        shown = band(curve.results, name, span=span, window=window)
        if shown is None:
            continue
        appearance = look(curve, colours)
        marker = "o" if len(shown.steps) < 40 else ""
        ax.plot(shown.steps, scale * shown.median, label=curve.label, marker=marker, **appearance)
        if len(curve.results) > 1:
            low, high = scale * shown.low, scale * shown.high
            ax.fill_between(shown.steps, low, high, color=appearance["color"], alpha=0.18, linewidth=0)
    ax.set_ylabel(NAMES.get(name, name))


def draw_schedule(ax: Axes, curves: Sequence[Curve], *, span: tuple[int, int] | None = None) -> None:
    """Draw the schedules in a strip: eps in the curves' colours, the learning rate, over its largest, in grey dots."""
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        shown = band(curve.results, "eps", span=span)
        if shown is not None:
            ax.plot(shown.steps, shown.median, **look(curve, colours))
    top = max((float(result.arrays["eps"].max()) for curve in curves for result in curve.results), default=0.0) or 1.0
    for curve in curves:
        rates = band(curve.results, "learning_rate", span=span)
        if rates is not None and np.ptp(rates.median) > 0:
            share = rates.median / max(float(result.arrays["learning_rate"].max()) for result in curve.results)
            ax.plot(rates.steps, top * share, color=style.GREY, linestyle=":", linewidth=0.8, label="_rate")
    ax.set_ylim(-0.08 * top, 1.12 * top)
    ax.set_yticks([0, top], ["0", format_eps(top)])
    ax.set_ylabel("ε", rotation=0, labelpad=6, va="center")


def draw_escape(ax: Axes, curves: Sequence[Curve], *, level: float = PLATEAU) -> None:
    """Draw the share of runs that are still on the plateau against the step, one staircase for each curve."""
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        escapes = [escape(result, level=level) for result in curve.results]
        gone = sum(one.seen for one in escapes)
        draw_survival(ax, escapes, label=f"{gone} of {len(escapes)}", **look(curve, colours))
    ax.set_ylim(-0.04, 1.06)
    ax.set_ylabel(f"share with loss ≥ {level:g} so far")
    ax.set_xscale("log")  # escapes lie tens of steps apart, and runs last for thousands
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlim(left=max(1, 0.5 * min(escape(result, level=level).step for c in curves for result in c.results)))
    ax.set_xlabel("mini-batch")


def draw_against_loss(ax: Axes, curves: Sequence[Curve], *, window: int = 10) -> None:
    """Draw each run's gradient norm against its loss, both smoothed: what is left of eps at equal loss."""
    colours = style.eps_colours(curve.eps for curve in curves)
    for curve in curves:
        for number, result in enumerate(curve.results):
            loss, norm = (_smooth(result.arrays[name], window) for name in (LOSS, NORM))
            label = curve.label if number == 0 else "_run"
            ax.plot(loss, norm, linewidth=0.6, alpha=0.8, label=label, **look(curve, colours))
    ax.set_yscale("log")
    ax.set_xlabel("loss of the mini-batch (nats)")
    ax.set_ylabel(NAMES[NORM])


def figure_traces(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of one or more traces, `width` inches wide: loss, gradient norm, distance, error, schedule.

    Traces of training are medians and bands over seeds; traces of checkpoints show each checkpoint at each radius, with
    its standard error. Raises ResultError for none, UsageError for both sorts together.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more traces results")
    sorts = {str(result.attrs["measured"]) for result in results}
    if len(sorts) > 1:
        raise UsageError(_MIXED)
    with style.paper_style():
        if sorts == {"checkpoints"}:
            return _of_checkpoints(results, width)
        return _of_runs(results, width)


def _of_runs(results: Sequence[Result], width: float) -> style.PaperFigure:
    curves = arms(results)
    window = smoothing(curves)
    figure = style.new_figure(width)
    tested = any(TEST_ERROR in result.arrays for result in results)
    extras = [name for name in EXTRAS if any(name in result.arrays for result in results)]
    by_layer = len(results) == 1 and LAYERS in results[0].arrays  # the layers of several runs are too many lines
    names = [LOSS, NORM, DISTANCE, TEST_ERROR if tested else "error_rate", *extras]
    count = len(names) + by_layer
    panels = figure.subplots(count + 1, 1, sharex=True, height_ratios=[*[1] * count, 0.4])
    for ax, name in zip(panels, names, strict=False):
        some_rows = name == TEST_ERROR or name in EXTRAS
        percent = 100.0 if name.endswith("error_rate") else 1.0
        draw_trace(ax, curves, name, window=1 if some_rows else window, scale=percent)
        if percent > 1:
            ax.set_ylabel(f"{NAMES[name]} (%)")
    panels[1].set_yscale("log")
    if len(curves) > 1 or len(curves[0].results) > 1:
        panels[0].legend(handlelength=2.2, labelspacing=0.3)
    if by_layer:
        _draw_layers(panels[-2], results[0])
    draw_schedule(panels[-1], curves)
    panels[-1].set_xlabel("mini-batch")
    lines = style.stamp(figure, stamps(results))
    lines += style.annotate(figure, note(curves, window))
    figure.set_figheight((1.75 + 0.38 * (count - 4)) * width + 0.1 * lines)
    return figure


def _draw_layers(ax: Axes, result: Result) -> None:
    """Draw the gradient norm of each layer where it was measured, from the first layer, dark, to the last."""
    norms = result.arrays[LAYERS]  # (T, layer)
    rows = np.isfinite(norms).all(axis=1)
    told: Any = result.attrs["layers"]  # a text where there is one layer
    names = [str(name) for name in np.atleast_1d(told)]
    colours = style.eps_colours(range(len(names))).values()
    for name, colour, values in zip(names, colours, norms[rows].T, strict=True):
        ax.plot(result.arrays["step"][rows], values, color=colour, label=name, linewidth=0.8)
    ax.set_yscale("log")
    ax.set_ylabel("gradient norm\nby layer")
    if len(names) <= 8:
        ax.legend(ncols=2, handlelength=1.2, labelspacing=0.2, fontsize="x-small")


def _of_checkpoints(results: Sequence[Result], width: float) -> style.PaperFigure:
    figure = style.new_figure(width)
    panels = figure.subplots(4, 1, sharex=True)
    radii = style.eps_colours(float(eps) for result in results for eps in np.unique(result.arrays["eps"]))
    for result in results:
        for eps in np.unique(result.arrays["eps"]):
            rows = result.arrays["eps"] == eps
            x = result.arrays["step"][rows]
            label = f"measured at ε = {format_eps(float(eps))}"
            for ax, name in zip(panels, (LOSS, NORM, DISTANCE, "error_rate"), strict=True):
                y, errors = result.arrays[name][rows], None
                if name + "_se" in result.arrays:
                    errors = result.arrays[name + "_se"][rows]
                if name == DISTANCE and eps != min(radii):
                    continue  # weights have no radius: one line for all
                colour = style.INK if name == DISTANCE else radii[float(eps)]
                ax.errorbar(x, y, yerr=errors, color=colour, marker="o", linewidth=1.0, elinewidth=0.6, label=label)
                ax.set_ylabel(NAMES[name])
    if any((result.arrays[NORM] > 0).all() for result in results):
        panels[1].set_yscale("log")
    handles, names = panels[0].get_legend_handles_labels()
    told = dict(zip(names, handles, strict=True))
    panels[0].legend(list(told.values()), list(told), handlelength=1.8, labelspacing=0.3)
    panels[-1].set_xlabel("updates of the weights")
    lines = style.stamp(figure, stamps(results))
    measured = [
        Result(result.kind, result.arrays, {**result.attrs, "eps": float(eps)})
        for result in results
        for eps in np.unique(result.arrays["eps"])
    ]
    lines += style.annotate(figure, f"Bars: one standard error over examples. {footnote(measured)}")
    figure.set_figheight(1.6 * width + 0.1 * lines)
    return figure


def smoothing(curves: Sequence[Curve], *, shown: int | None = None) -> int:
    """Return over how many neighbouring rows to take a mean, so that a curve of that length can be read."""
    rows = shown or max(len(result.arrays["step"]) for curve in curves for result in curve.results)
    return min(50, max(1, rows // 40))


def note(curves: Sequence[Curve], window: int) -> str:
    """Return what a figure of runs rests on."""
    counts = sorted({len(curve.results) for curve in curves})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    over = f"Median and middle 80 % over {seeds} seeds" if counts[-1] > 1 else "One seed"
    results = [result for curve in curves for result in curve.results]
    smooth = f", rows smoothed over {window}" if window > 1 else ""
    tested = next((result.attrs["test_attack"] for result in results if "test_attack" in result.attrs), None)
    words = footnote(results)
    return f"{over}{smooth}. {words}" + ("" if tested is None else f"; tested with {_short(str(tested))}")


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands, one line for each sort of trouble with the runs it is of."""
    found: dict[str, list[str]] = {}
    for result in results:
        for caveat in caveats(result):
            found.setdefault(caveat, []).append(str(result.attrs.get("checkpoint")))
    return [
        f"! {caveat}: " + (", ".join(names) if len(names) <= 3 else f"{len(names)} of {len(results)} runs")
        for caveat, names in found.items()
    ]


def _short(attack: str) -> str:
    head, _, tail = attack.partition(":")
    settings = dict(part.split("=", 1) for part in tail.split(",") if "=" in part)
    return f"PGD-{settings['steps']}" if head == "pgd" and "steps" in settings else attack


def _smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean (T,) over the `window` rows around each of values (T,); fewer at the ends, NaN left aside."""
    if window <= 1:
        return values
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    index = np.arange(len(values))
    low = np.maximum(index - (window - 1) // 2, 0)
    high = np.minimum(index + window // 2 + 1, len(values))
    with np.errstate(invalid="ignore"):
        return (sums[high] - sums[low]) / (counts[high] - counts[low])
