"""Fig. 1 from its closed form, and the linear model on real data: optimum, errors and regimes along eps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from ..errors import ResultError
from ..results.caveats import caveats
from ..results.result import Result
from ..theory import one_dimensional
from ..units import format_eps
from . import style

VANILLA, ADVERSARIAL, BAND = "#d62728", "#1f4e9c", "#bcd7f0"  # the poster's red, blue and light blue
_PHASES = (("#dcebf7", "separable"), ("#f2dfb4", "finite optimum"), ("#bdbdbd", "constant"))
FIGURE_1 = (0.6, 1.2)  # the radii of the poster, left and right
_TYPE = 5.5  # points: words inside a bar


def draw_one_dimensional(ax: Axes, eps: float, *, x: float = 1.0, reach: float = 3.0) -> None:
    """Draw log(1 + exp(theta x)) over |theta| <= `reach`, plain and adversarial, and the losses within the budget."""
    theta = np.linspace(-reach, reach, 601)  # 0, where the kink is, among them
    low = one_dimensional.lower_envelope(theta, eps=eps, x=x)
    high = one_dimensional.loss(theta, eps=eps, x=x)
    ax.fill_between(theta, low, high, color=BAND, linewidth=0, label="within the budget", gid="band")
    ax.plot(theta, high, color=ADVERSARIAL, linewidth=1.3, label="adversarial", gid="adversarial")
    ax.plot(theta, one_dimensional.loss(theta, x=x), color=VANILLA, linewidth=1.3, label="vanilla", gid="vanilla")
    if np.isfinite(one_dimensional.minimiser(eps=eps, x=x)):
        ax.plot(0, one_dimensional.infimum(eps=eps, x=x), "o", color=ADVERSARIAL, markersize=3, gid="minimum")
        ax.annotate(
            "minimum", (0, one_dimensional.infimum(eps=eps, x=x)), (-5, 9), textcoords="offset points",
            ha="right", va="bottom", fontsize=style.NOTE_SIZE + 0.5, color=ADVERSARIAL,
        )  # fmt: skip
    ax.set_title(f"ε = {format_eps(eps)}", fontsize=8)
    ax.set_xlabel("θ")
    ax.set_ylabel("loss (nats)")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(0, None)


def draw_optimum(ax: Axes, results: Sequence[Result]) -> None:
    """Draw the least L_eps of the linear model against eps, one curve per result: 0 up to gamma*, where it may jump."""
    for result, label, colour in _told(results):
        separable = result.arrays["eps"] < edges(result)[0]
        if separable.any():
            ax.plot([0, edges(result)[0]], [0, 0], color=colour, gid="limit", label="_limit", clip_on=False)
        finite = ~separable
        ax.plot(result.arrays["eps"][finite], result.arrays["loss"][finite], color=colour, gid="loss", label=label)
    ax.set_ylabel("least $L_ε$ (nats)")
    ax.set_ylim(0, None)


def draw_errors(ax: Axes, result: Result) -> None:
    """Draw the error rate of a result's optimum against eps, under attack and without, in per cent."""
    for name, line, label in (("error_rate", "-", "under attack"), ("clean_error_rate", "--", "clean")):
        ax.plot(result.arrays["eps"], 100 * result.arrays[name], line, color=style.INK, gid=name, label=label)
    ax.set_ylabel("its error (%)")
    ax.set_ylim(0, None)
    ax.legend(loc="upper left", handlelength=1.8, labelspacing=0.3)


def draw_phases(ax: Axes, results: Sequence[Result], *, room: float = 0.2) -> None:
    """Draw the phase diagram: a bar for each result along eps, cut at gamma* and at the constant classifier's eps.

    A part that takes less than `room` of the axis has no word in it, its colour alone.
    """
    told = _told(results)
    end = max(float(result.arrays["eps"].max()) for result, *_ in told)
    end = max(end, *(1.05 * edges(result)[1] for result, *_ in told))
    for row, (result, _, _) in enumerate(told):
        cuts = [0.0, *edges(result), end]
        for (colour, word), left, right in zip(_PHASES, cuts, cuts[1:], strict=False):
            ax.barh(row, right - left, left=left, height=0.72, color=colour, edgecolor="white", linewidth=0.6, gid=word)
            if right - left > room * end:
                ax.text((left + right) / 2, row, word, ha="center", va="center", fontsize=_TYPE, color=style.INK)
    ax.set_yticks(range(len(told)), [label for _, label, _ in told])
    ax.set_ylim(len(told) - 0.5, -0.5)
    ax.set_xlim(0, end)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("ε (pixel units)")


def figure_one_dimensional(results: Sequence[Result] = (), *, width: float = style.DOUBLE) -> style.PaperFigure:
    """Return fig. 1: the loss of one number at both radii of the paper, over the phase diagram of `results` if any."""
    with style.paper_style():
        figure = style.new_figure(width)
        bars = 0.45 + 0.17 * len(results)
        # Apart, so that the names beside the bars take no room from the curves.
        parts: list[Any] = [figure]
        if results:
            parts = list(figure.subfigures(2, 1, squeeze=False, height_ratios=[0.33 * width, bars]).ravel())
        left, right = parts[0].subplots(1, 2, sharey=True)
        slopes = []
        for ax, eps in ((left, FIGURE_1[0]), (right, FIGURE_1[1])):
            draw_one_dimensional(ax, eps)
            slopes.append(" and ".join(f"{slope:.2g}" for slope in one_dimensional.slopes(eps=eps)))
        left.set_ylim(0, 1.03 * float(one_dimensional.loss(3.0, eps=FIGURE_1[1])))  # one scale, the steeper whole
        right.set_ylabel("")
        left.legend(loc="upper left", handlelength=1.5, labelspacing=0.3)
        told = "; ".join(slopes).replace("-", "−")
        note = f"g(θ) = log(1 + exp(θx)), x = 1; closed form. One-sided slopes at 0: {told}. "
        lines = 0
        if results:
            draw_phases(parts[1].add_subplot(), results, room=0.2 * style.SINGLE / width)
            lines = style.stamp(figure, stamps(results))
            note += f"Below: {footnote(results)[0].lower()}{footnote(results)[1:]}"
        lines += style.annotate(figure, note)
        figure.set_figheight(0.33 * width + 0.55 + (bars + 0.35 if results else 0) + 0.1 * lines)
    return figure


def figure_theory(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of one or more theory results, `width` inches wide: optimum and regimes along one axis of eps.

    One result shows its error rates too.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more theory results")
    with style.paper_style():
        figure = style.new_figure(width)
        count = len(results)
        curves = 2 if count == 1 else 1  # the errors of several would be a tangle
        heights = [1.1] * curves + [0.25 + 0.17 * count]
        panels = figure.subplots(curves + 1, 1, sharex=True, height_ratios=heights)
        draw_optimum(panels[0], results)
        if curves == 2:
            draw_errors(panels[1], results[0])
        draw_phases(panels[-1], results, room=(0.15 if count == 1 else 0.2) * style.SINGLE / width)
        if count == 1:
            for panel in panels[:-1]:
                for edge in edges(results[0]):
                    panel.axvline(edge, color=style.GREY, linewidth=0.6, linestyle=":", zorder=0)
        else:  # the names beside the bars are the legend
            for text, (_, _, colour) in zip(panels[-1].get_yticklabels(), _told(results), strict=True):
                text.set_color(colour)
        lines = style.stamp(figure, stamps(results))
        lines += style.annotate(figure, footnote(results))
        figure.set_figheight(0.2 * width + sum(heights) + 0.1 * lines)
    return figure


def edges(result: Result) -> tuple[float, float]:
    """Return gamma* and the eps of the constant classifier, with the box where the result has it."""
    names = ("gamma_star_box", "eps_bar_box") if result.attrs["box"] else ("gamma_star", "eps_bar_bias")
    low, high = (float(str(result.attrs[name])) for name in names)
    return low, high


def footnote(results: Sequence[Result]) -> str:
    """Return what the numbers rest on: model, adversary, box, examples."""
    counts = ", ".join(dict.fromkeys(f"{result.attrs['n_examples']:,}" for result in results))
    splits = " / ".join(dict.fromkeys(str(result.attrs["split"]) for result in results))
    clipped = {bool(result.attrs["box"]) for result in results}
    box = "attacked images clipped to [0, 1]" if clipped == {True} else "attacked images not clipped"
    if len(clipped) == 2:
        box += " unless said"
    return (
        f"Linear model with biases, two classes; exact ℓ∞ adversary, {box}; {splits} split, N = {counts}. "
        "Separable: a classifier withstands every attack, and the loss falls to 0 as its weights grow."
    )


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands, one line per result that has such a thing."""
    return [f"! {label}: {'; '.join(found)}" for result, label, _ in _told(results) if (found := caveats(result))]


def _told(results: Sequence[Result]) -> list[tuple[Result, str, style.Colour]]:
    """Return each result with a label that tells it apart and a colour, in the order of the data, classes and N."""
    ordered = sorted(
        results, key=lambda result: [str(result.attrs["data"]), _pair(result), _size(result), _box(result)]
    )
    labels = [f"{Path(str(result.attrs['data'])).stem} {_pair(result)[0]}|{_pair(result)[1]}" for result in ordered]
    for phrase in (
        lambda result: f"N = {_size(result):,}",
        lambda result: "clipped" if _box(result) else "",
        lambda result: f"{result.attrs['split']}",
    ):
        told = [phrase(result) for result in ordered]
        doubled = {label for label in labels if labels.count(label) > 1}
        groups = {
            label: {word for other, word in zip(labels, told, strict=True) if other == label} for label in doubled
        }
        labels = [
            f"{label}, {word}" if word and len(groups.get(label, ())) > 1 else label
            for label, word in zip(labels, told, strict=True)
        ]
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.8, max(2, len(ordered))))
    return [(result, label, tuple(colour)) for result, label, colour in zip(ordered, labels, colours, strict=False)]


def _pair(result: Result) -> list[int]:
    return [int(part) for part in str(result.attrs["class_pair"]).split(",")]


def _size(result: Result) -> int:
    return int(str(result.attrs["n_examples"]))


def _box(result: Result) -> bool:
    return bool(result.attrs["box"])
