"""The top of the spectrum (fig. 3a): eigenvalues against their index, one curve per eps, with both of their errors."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..errors import ResultError
from ..results.caveats import caveats
from ..results.result import Result
from . import style
from .labels import Curve, footnote, group

POSITIVE, NEGATIVE = "o", "v"  # a logarithmic axis shows |lambda|; the sign is in the marker
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


def figure_spectrum(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of one or more Hessian results, `width` inches wide, its caveats and its footnote on it."""
    with style.paper_style():
        figure = style.new_figure(width, 0.5 * style.SINGLE + 0.35 * width)
        ax = figure.add_subplot()
        draw_spectrum(ax, results)
        characters = int(width * 72 / (0.52 * style.NOTE_SIZE))  # of an average width of half the type's size
        if stamped := stamps(results):
            lines = [
                line for stamp in stamped for line in textwrap.wrap(stamp, characters - 2, subsequent_indent="   ")
            ]
            figure.suptitle(
                "\n".join(lines), x=0.02, ha="left", fontsize=style.NOTE_SIZE + 0.5, weight="bold", color=style.ALARM
            )
        note = "\n".join(textwrap.wrap(f"{footnote(results)}. {errors_note(results)}", characters))
        figure.supxlabel(note, x=0.02, ha="left", fontsize=style.NOTE_SIZE, color=style.GREY)
    return figure


def draw_spectrum(ax: Axes, results: Sequence[Result]) -> None:
    """Draw |lambda_i| against i = 1..k on a logarithmic axis, one curve per result, coloured by eps.

    Thin bars are the standard error over examples, wide caps the residual of the pair. Hollow markers are pairs that
    did not converge, triangles negative eigenvalues; zeros sit on the axis as crosses. Results that differ in the
    training seed alone share a colour and a label, and a heavy line through their medians.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more Hessian results")
    curves = group(results)
    colours = style.eps_colours(curve.eps for curve in curves)
    used: dict[float, int] = {}
    ax.set_yscale("log")
    for curve in curves:
        dashes = _DASHES[used.setdefault(curve.eps, 0) % len(_DASHES)]
        used[curve.eps] += 1
        _draw_curve(ax, curve, colours[curve.eps], dashes)
    _limit(ax, results)
    _legend(ax, results, len(curves))
    ax.set_xlabel("index of the eigenvalue")
    ax.set_ylabel(r"$|\lambda|$ of the Hessian" if _any(results, np.less) else r"$\lambda$ of the Hessian")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


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
    parts = ["Bars: ± standard error over examples"]
    if worst:
        parts.append(f"wide caps: solver's residual, at most {_short(max(worst))} |λ|")
    if limited := sum(int(np.sum(result.arrays["pair_status"] == 2)) for result in results):
        parts.append(f"{limited} pairs at the precision of the product")
    if any(result.attrs.get("guard_passed") is None for result in results):
        parts.append("no guard against skipped pairs was run")
    return "; ".join(parts) + "."


def _draw_curve(
    ax: Axes, curve: Curve, colour: tuple[float, float, float, float], dashes: str | tuple[int, tuple[float, ...]]
) -> None:
    several = len(curve.results) > 1
    for result in curve.results:
        values = result.arrays["eigenvalues"]
        index = np.arange(1, values.size + 1)
        alone = {} if several else {"label": curve.label}
        ax.plot(
            index, np.abs(values), color=colour, linestyle=dashes, linewidth=0.5 if several else 1.0, gid="eigenvalues",
            alpha=0.5 if several else 1.0, **alone,
        )  # fmt: skip
        _draw_errors(ax, index, result, colour)
        _draw_markers(ax, index, result, colour)
    if several:
        size = min(result.arrays["eigenvalues"].size for result in curve.results)
        median = np.median([np.abs(result.arrays["eigenvalues"][:size]) for result in curve.results], axis=0)
        ax.plot(
            np.arange(1, size + 1),
            median,
            color=colour,
            linestyle=dashes,
            linewidth=1.6,
            label=curve.label,
            gid="median",
        )


def _draw_errors(ax: Axes, index: np.ndarray, result: Result, colour: tuple[float, ...]) -> None:
    centre = np.abs(result.arrays["eigenvalues"])
    for name, cap, line in (("eigenvalue_se", 0.0, 0.7), ("residuals", 2.6, 0.9)):
        errors = result.arrays[name]
        known = np.isfinite(errors) & (errors > 0) & (centre > 0)
        if known.any():
            bars = ax.errorbar(
                index[known], centre[known], yerr=errors[known], fmt="none", ecolor=colour, elinewidth=line,
                capsize=cap, capthick=line, zorder=2.2,
            )  # fmt: skip
            bars.lines[2][0].set_gid(name)


def _draw_markers(ax: Axes, index: np.ndarray, result: Result, colour: tuple[float, ...]) -> None:
    values = result.arrays["eigenvalues"]
    hollow = result.arrays["pair_status"] == 0
    for sign, marker in ((values > 0, POSITIVE), (values < 0, NEGATIVE)):
        for chosen, face in ((sign & ~hollow, colour), (sign & hollow, "white")):
            if chosen.any():
                ax.plot(
                    index[chosen], np.abs(values[chosen]), linestyle="none", marker=marker, markeredgecolor=colour,
                    markerfacecolor=face, markeredgewidth=0.7, zorder=3, gid="hollow" if face == "white" else "filled",
                )  # fmt: skip
    zero = values == 0
    if zero.any():  # on the axis itself: no place on a logarithmic scale is right for them
        ax.plot(
            index[zero], np.zeros(zero.sum()), transform=ax.get_xaxis_transform(), linestyle="none", marker="x",
            color=colour, clip_on=False, zorder=4, gid="zero",
        )  # fmt: skip


def _limit(ax: Axes, results: Sequence[Result]) -> None:
    """Set the limits by values and bars; a bar that reaches past zero runs off the axis and does not stretch it."""
    sizes = np.concatenate([np.abs(result.arrays["eigenvalues"]) for result in results])
    errors = np.concatenate([np.nan_to_num(result.arrays["eigenvalue_se"]) for result in results])
    shown = sizes > 0
    if shown.any():
        low = np.where(errors < 0.9 * sizes, sizes - errors, 0.5 * sizes)[shown].min()
        ax.set_ylim(low / 1.25, (sizes + errors)[shown].max() * 1.25)
    most = max(result.arrays["eigenvalues"].size for result in results)
    ax.set_xlim(1 - 0.03 * most, most + 0.03 * most)


def _legend(ax: Axes, results: Sequence[Result], curves: int) -> None:
    handles, labels = ax.get_legend_handles_labels()
    for shown, label, look in (
        (_any(results, np.less), "λ < 0 (|λ| drawn)", {"marker": NEGATIVE, "markerfacecolor": style.INK}),
        (any((result.arrays["pair_status"] == 0).any() for result in results), "not converged",
         {"marker": POSITIVE, "markerfacecolor": "white"}),
        (_any(results, np.equal), "λ = 0 (on the axis)", {"marker": "x"}),
    ):  # fmt: skip
        if shown:
            handles.append(Line2D([], [], linestyle="none", color=style.INK, markeredgewidth=0.7, **look))
            labels.append(label)
    ax.legend(handles, labels, ncols=2 if len(labels) > 5 else 1, handlelength=1.8, labelspacing=0.3, columnspacing=1.0)


def _any(results: Sequence[Result], compare: np.ufunc) -> bool:
    return any(bool(compare(result.arrays["eigenvalues"], 0).any()) for result in results)


def _seed(result: Result) -> object:
    training = result.attrs.get("training")
    return training.get("seed") if isinstance(training, dict) else None


def _short(number: float) -> str:
    return f"{number:.1g}" if 1e-3 <= number < 10 else f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e+")
