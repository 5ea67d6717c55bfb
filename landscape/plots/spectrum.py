"""The top of the spectrum (fig. 3a): eigenvalues against their index, one curve per eps, with both of their errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..errors import ResultError
from ..results.caveats import caveats
from ..results.result import Result
from . import style
from .density import density_note, draw_density, has_density
from .labels import Curve, footnote, group
from .sizes import draw_sizes, has_sizes

Dashes = tuple[float, tuple[float, ...]]  # offset, and lengths of ink and gap
POSITIVE, NEGATIVE = "o", "v"  # a logarithmic axis shows |lambda|; the sign is in the marker
_INSIDE = 4  # entries of a legend that find room among falling curves
DASHES: tuple[Dashes, ...] = ((0, ()), (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def figure_spectrum(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of one or more Hessian results, `width` inches wide, its caveats and its footnote on it.

    Spectral densities, and eigenvalues by the number of examples, have panels of their own where there are any: below,
    or beside in a figure of two columns.
    """
    dense, sized = any(map(has_density, results)), any(map(has_sizes, results))
    extra = [draw_density] * dense + [draw_sizes] * sized
    below = 0 if width >= style.DOUBLE else len(extra)
    with style.paper_style():
        figure = style.new_figure(width)
        ax, *more = figure.subplots(1 + below, 1 + len(extra) - below, squeeze=False).flat
        draw_spectrum(ax, results)
        for panel, draw in zip(more, extra, strict=True):
            draw(panel, results)
        note = f"{footnote(results)}. {errors_note(results)}" + (f" {density_note(results)}" if dense else "")
        lines = style.stamp(figure, stamps(results))
        lines += style.annotate(figure, note)
        legend = ax.get_legend()
        entries = len(legend.get_texts()) if legend else 0
        rows = lines + 1.3 * (entries + 1) // 2 if entries > _INSIDE else lines
        # What is written above and below the axes takes its room from the page, not from the axes.
        height = 0.45 * style.SINGLE + (0.14 if more and not below else 0.28) * width
        figure.set_figheight((1 + below) * height + 0.1 * rows)
    return figure


def draw_spectrum(ax: Axes, results: Sequence[Result]) -> None:
    """Draw |lambda_i| against i = 1..k on a logarithmic axis, one curve per result, coloured by eps.

    Thin bars are the standard error over examples, broad pale ones the residual of the pair. Hollow markers are pairs
    that did not converge, triangles negative eigenvalues; zeros sit on the axis as crosses. Results that differ in the
    training seed alone share a colour and a label, and a heavy line through their medians.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more Hessian results")
    for curve, colour, dashes in styled(results):
        _draw_curve(ax, curve, colour, dashes)
    _limit(ax, results)
    _legend(ax, results)
    ax.set_xlabel("index")
    ax.set_ylabel("|Hessian eigenvalue|" if _any(results, np.less) else "Hessian eigenvalue")
    most = max(1, *(result.arrays["eigenvalues"].size for result in results))
    ax.set_xlim(1 - 0.03 * most, most + 0.03 * most)
    step = max(1, round(most / 20) * 5) if most > 6 else 1
    ax.set_xticks([1, *range(step if step > 1 else 2, most + 1, step)])


def styled(results: Sequence[Result]) -> Iterator[tuple[Curve, style.Colour, Dashes]]:
    """Yield the curves of a figure, each with its eps's colour and with dashes of its own among those of one eps."""
    curves = group(results)
    colours = style.eps_colours(curve.eps for curve in curves)
    used: dict[float, int] = {}
    for curve in curves:
        yield curve, colours[curve.eps], DASHES[used.setdefault(curve.eps, 0) % len(DASHES)]
        used[curve.eps] += 1


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands, one line per result that has such a thing."""
    return [
        f"! {result_label}: {'; '.join(found)}"
        for curve in group(results)
        for result in curve.results
        for result_label in [curve.label if len(curve.results) == 1 else f"{curve.label}, seed {_seed(result)}"]
        if (found := caveats(result))
    ]


def errors_note(results: Sequence[Result]) -> str:
    """Return what the bars are, the largest residual, and whether anyone looked for skipped pairs."""
    worst = [
        np.max(result.arrays["residuals"][nonzero] / np.abs(result.arrays["eigenvalues"][nonzero]))
        for result in results
        if (nonzero := (result.arrays["eigenvalues"] != 0) & np.isfinite(result.arrays["residuals"])).any()
    ]
    known = any(np.isfinite(result.arrays["eigenvalue_se"]).any() for result in results)
    parts = ["Bars: ± standard error over examples" if known else "Standard errors not computed"]
    if worst:
        parts.append(f"broad pale bars: solver's residual, at most {_short(max(worst))} |λ|")
    if limited := sum(int(np.sum(result.arrays["pair_status"] == 2)) for result in results):
        parts.append(f"pairs at the precision of the product: {limited}")
    if any(result.attrs.get("guard_passed") is None for result in results):
        parts.append("no guard against skipped pairs was run")
    return "; ".join(parts) + "."


def _draw_curve(ax: Axes, curve: Curve, colour: style.Colour, dashes: Dashes) -> None:
    several = len(curve.results) > 1
    for result in curve.results:
        values = result.arrays["eigenvalues"]
        index = np.arange(1, values.size + 1)
        ax.plot(
            index, np.abs(values), color=colour, linestyle=dashes, gid="eigenvalues", linewidth=0.5 if several else 1.0,
            alpha=0.5 if several else 1.0, label="_run" if several else curve.label,
        )  # fmt: skip
        _draw_errors(ax, index, result, colour)
        _draw_markers(ax, index, result, colour)
    if several:
        size = min(result.arrays["eigenvalues"].size for result in curve.results)
        median = np.median([np.abs(result.arrays["eigenvalues"][:size]) for result in curve.results], axis=0)
        line = Line2D(
            index[:size], median, color=colour, linestyle=dashes, linewidth=1.6, label=curve.label, gid="median"
        )
        ax.add_line(line)


def _draw_errors(ax: Axes, index: np.ndarray, result: Result, colour: style.Colour) -> None:
    centre = np.abs(result.arrays["eigenvalues"])
    for name, line, alpha in (("eigenvalue_se", 0.6, 1.0), ("residuals", 2.6, 0.35)):
        errors = result.arrays[name]
        known = np.isfinite(errors) & (errors > 0) & (centre > 0)
        if known.any():
            bars = ax.errorbar(
                index[known], centre[known], yerr=errors[known], fmt="none", ecolor=colour, elinewidth=line,
                alpha=alpha, zorder=2.2,
            )  # fmt: skip
            bars.lines[2][0].set_gid(name)


def _draw_markers(ax: Axes, index: np.ndarray, result: Result, colour: style.Colour) -> None:
    values = result.arrays["eigenvalues"]
    hollow = result.arrays["pair_status"] == 0
    for sign, marker in ((values > 0, POSITIVE), (values < 0, NEGATIVE)):
        for chosen, face in ((sign & ~hollow, colour), (sign & hollow, "white")):
            size = 2.0 if (marker, face) == (POSITIVE, colour) else 3.0
            if chosen.any():
                ax.plot(
                    index[chosen], np.abs(values[chosen]), linestyle="none", marker=marker, markeredgecolor=colour,
                    markerfacecolor=face, markeredgewidth=0.7,
                    markersize=size, zorder=3, gid="hollow" if face == "white" else "filled",
                )  # fmt: skip
    zero = values == 0
    if zero.any():  # on the axis itself: no place on a logarithmic scale is right for them
        ax.plot(
            index[zero], np.zeros(zero.sum()), transform=ax.get_xaxis_transform(), linestyle="none", marker="x",
            markersize=3.0, color=colour, clip_on=False, zorder=4, gid="zero",
        )  # fmt: skip


def _limit(ax: Axes, results: Sequence[Result]) -> None:
    """Set scale and limits by values and bars; a bar that passes zero runs off the axis and does not stretch it."""
    sizes = np.concatenate([np.abs(result.arrays["eigenvalues"]) for result in results])
    errors = np.concatenate([np.nan_to_num(result.arrays["eigenvalue_se"]) for result in results])
    shown = np.isfinite(sizes) & (sizes > 0)
    if not shown.any():
        ax.set_ylim(0, 1)  # all is zero, and lies on the axis; a logarithmic one has no place for it
        ax.set_yticks([])
    else:
        ax.set_yscale("log")
        low = np.where(errors < 0.9 * sizes, sizes - errors, 0.5 * sizes)[shown].min()
        ax.set_ylim(low / 1.25, (sizes + errors)[shown].max() * 1.25)


def _legend(ax: Axes, results: Sequence[Result]) -> None:
    handles, labels = ax.get_legend_handles_labels()
    unconverged = any((result.arrays["pair_status"] == 0).any() for result in results)
    for shown, label, marker, face in (
        (_any(results, np.less), "λ < 0, drawn as |λ|", NEGATIVE, style.INK),
        (unconverged, "not converged", POSITIVE, "white"),
        (_any(results, np.equal), "λ = 0, on the axis", "x", style.INK),
    ):
        if shown:
            look = Line2D([], [], linestyle="none", color=style.INK, markerfacecolor=face, markersize=3, marker=marker)
            handles.append(look)
            labels.append(label)
    # More entries would cover the curves, and stand above the axes.
    place = {"loc": "best"} if len(labels) <= _INSIDE else {"loc": "lower left", "bbox_to_anchor": (0, 1.0), "ncols": 2}
    ax.legend(handles, labels, handlelength=1.8, labelspacing=0.3, columnspacing=1.0, borderaxespad=0.2, **place)


def _any(results: Sequence[Result], compare: np.ufunc) -> bool:
    return any(bool(compare(result.arrays["eigenvalues"], 0).any()) for result in results)


def _seed(result: Result) -> object:
    training = result.attrs.get("training")
    return training.get("seed") if isinstance(training, dict) else None


def _short(number: float) -> str:
    return f"{number:.1g}" if 1e-3 <= number < 10 else f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e+")
