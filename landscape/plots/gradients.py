"""Fig. 2 of the paper: gradient norm, test error and distance at the start of training, gradient norm at its end."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from ..errors import ResultError, UsageError
from ..results.result import Result
from . import style
from .labels import Curve
from .traces import (
    DISTANCE,
    NORM,
    TEST_ERROR,
    arms,
    draw_against_loss,
    draw_escape,
    draw_schedule,
    draw_trace,
    note,
    smoothing,
    stamps,
)

SHOWN = 2000  # mini-batches, as the paper shows
Span = tuple[int, int]


def spans(results: Sequence[Result], *, shown: int = SHOWN) -> tuple[Span, Span]:
    """Return the first and the last mini-batches shown, [begin, end): of a short run all of it, and its last third."""
    steps = min(int(result.arrays["step"][-1]) + 1 for result in results)
    first = min(shown, steps)
    last = shown if steps >= 2 * shown else max(1, steps // 3)
    return (0, first), (steps - last, steps)


def figure_gradients(
    results: Sequence[Result], *, width: float = style.DOUBLE, shown: int = SHOWN
) -> style.PaperFigure:
    """Return fig. 2 of training traces, `width` inches wide; below its panels the schedules in strips.

    Beside the paper's four panels stand what they are confounded with: the escape from the plateau, and the loss that a
    gradient norm was met at. Raises ResultError for none, UsageError for traces of checkpoints.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more traces of training")
    if any(result.attrs["measured"] != "mini-batches" for result in results):
        raise UsageError("fig. 2 is of mini-batches, and a trace of checkpoints came; landscape plot draws those")
    with style.paper_style():
        curves = arms(results)
        first, last = spans(results, shown=shown)
        window = smoothing(curves, shown=first[1])
        figure = style.new_figure(width)
        grid = figure.add_gridspec(4, 3, height_ratios=[1, 0.2, 1, 0.2])
        top = [figure.add_subplot(grid[0, column]) for column in range(3)]
        strips = [figure.add_subplot(grid[1, column], sharex=top[column]) for column in range(3)]
        late = figure.add_subplot(grid[2, 0])
        late_strip = figure.add_subplot(grid[3, 0], sharex=late)
        escapes, against = figure.add_subplot(grid[2:, 1]), figure.add_subplot(grid[2:, 2])
        draw_trace(top[0], curves, NORM, span=first, window=window)
        _draw_error(top[1], curves, first, window)
        draw_trace(top[2], curves, DISTANCE, span=first, window=window)
        draw_trace(late, curves, NORM, span=last, window=window)
        draw_escape(escapes, curves)
        draw_against_loss(against, curves, window=window)
        for ax in (top[0], late):
            ax.set_yscale("log")
        late.set_ylim(top[0].get_ylim())  # one scale: the end is seen against the start
        for panel, strip, span in zip([*top, late], [*strips, late_strip], [first] * 3 + [last], strict=True):
            draw_schedule(strip, curves, span=span)
            panel.tick_params(labelbottom=False)
            strip.set_xlim(span[0] - 0.02 * (span[1] - span[0]), span[1] + 0.02 * (span[1] - span[0]))
            strip.set_xlabel("mini-batch")
        for strip in strips[1:]:
            strip.set_ylabel("")
        told = [f"the first {first[1]:,} mini-batches", "robust test error", "way from the start"]
        told += [f"the last {last[1] - last[0]:,} mini-batches", "escape from the plateau", "at equal loss"]
        for letter, ax, words in zip("abcdef", [*top, late, escapes, against], told, strict=True):
            ax.set_title(f"{letter}  {words}", loc="left", fontsize=7)
        # A legend wider than its panel would push the panels apart: names stand above them all, counts in their panel.
        counts = escapes.legend(handlelength=1.6, labelspacing=0.3, title="escaped", title_fontsize=6)
        counts.set_in_layout(False)
        handles, names = top[0].get_legend_handles_labels()
        if len(names) > 1:
            figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.2, fontsize=6)
        lines = style.stamp(figure, stamps(results))
        lines += style.annotate(figure, f"{note(curves, window)}. Grey dots: learning rate, where it moves.")
        figure.set_figheight(0.78 * width + 0.1 * lines)
    return figure


def _draw_error(ax: Axes, curves: Sequence[Curve], span: Span, window: int) -> None:
    tested = any(TEST_ERROR in result.arrays for curve in curves for result in curve.results)
    if tested:  # the row after the last update belongs to it
        draw_trace(ax, curves, TEST_ERROR, span=(span[0], span[1] + 1), scale=100)
    else:
        draw_trace(ax, curves, "error_rate", span=span, window=window, scale=100)
    ax.set_ylabel("test error at target ε (%)" if tested else "error of mini-batches (%)")
