"""The figure of curves between nets: for each result, or each split of one, its loss, its error and its barriers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory

from ..errors import ResultError
from ..results.caveats import caveats
from ..results.connectivity import splits_of, way_of
from ..results.describe import show
from ..results.result import Result
from ..units import format_eps
from . import style
from .connect import (
    ERROR,
    LOSS,
    draw_barriers,
    draw_connect,
    lost_handle,
    prefixes_of,
    scale_barriers,
    scale_losses,
    way_handles,
)
from .labels import footnote, net_name

SHARED = ("norm", "model", "data_sha256", "n_examples", "attack", "adversary", "batchnorm", "curve", "interior_points")
_OF_ATTACKS = ("attack", "adversary")
_WORDS = {"data_sha256": "data", "n_examples": "N", "batchnorm": "BatchNorm", "interior_points": "interior points"}
_ALONG = {"gradient_norm": "gradient norm", "lambda_1": "$\\lambda_1$ (nats)"}


@dataclass(frozen=True)
class Panel:
    """A column of the figure: one split of one result."""

    result: Result
    split: str


def figure_connect(results: Sequence[Result], *, width: float = style.SINGLE) -> style.PaperFigure:
    """Return the figure of curves between nets, `width` inches wide: a column for each result, of one for each split.

    Loss over error along curve and line, what was measured of the curvature there, and the barriers against eps.
    Raises ResultError where there is nothing to draw.
    """
    if not results:
        raise ResultError("there is nothing to draw; give one or more connect results")
    panels = [Panel(result, str(result.attrs["split"])) for result in results]
    if len(results) == 1:
        panels = [Panel(results[0], split) for split in splits_of(results[0])]
    colours = style.eps_colours(eps for result in results for eps in result.arrays["eps"].tolist())
    curved = [name for name in _ALONG if any(_has(panel, name) for panel in panels)]
    heights = [1.35, 1.0, *[0.8] * len(curved), 1.0]
    columns = min(len(panels), 4 if width >= style.DOUBLE else 2)
    blocks = math.ceil(len(panels) / columns)
    with style.paper_style():
        figure = style.new_figure(width)
        # The legend has a row of its own: one beside the axes would lie on what is stamped above them.
        entries = _legend_entries(panels, colours)
        across = 4 if width < style.DOUBLE else 8
        named = 0.16 * math.ceil(len(entries) / across)
        grid = figure.add_gridspec(1 + blocks * len(heights), columns, height_ratios=[named, *heights * blocks])
        names = figure.add_subplot(grid[0, :])
        names.axis("off")
        middle = blended_transform_factory(figure.transFigure, names.transAxes)
        names.legend(
            handles=entries, loc="center", bbox_to_anchor=(0.5, 0.5), bbox_transform=middle, ncols=across,
            handlelength=1.6, columnspacing=1.0, fontsize=6,
        ).set_in_layout(False)  # fmt: skip
        rows: list[list[Axes]] = []
        for number, (panel, title) in enumerate(zip(panels, panel_titles(panels), strict=True)):
            block, column = divmod(number, columns)
            first = 1 + block * len(heights)
            rows.append([figure.add_subplot(grid[first + k, column]) for k in range(len(heights))])
            _draw_column(rows[-1], panel, curved, colours)
            rows[-1][0].set_title(title, fontsize=7, pad=3)
            for ax in rows[-1] if column else ():
                ax.set_ylabel("")
        _share_scales(panels, rows, columns)
        lines = style.stamp(figure, stamps(results)) + style.annotate(figure, note(results))
        figure.set_figheight(blocks * (sum(heights) + 0.75) + named + 0.1 * lines)
    return figure


def panel_titles(panels: Sequence[Panel]) -> list[str]:
    """Return what tells the columns apart: the split, the radius trained at, then the nets."""
    results = list({id(panel.result): panel.result for panel in panels}.values())
    if len(results) == 1:
        return [f"{panel.split} split" if len(panels) > 1 else "" for panel in panels]
    trained = [_trained(result) for result in results]
    titles = [f"trained at ε = {format_eps(eps)}" if math.isfinite(eps) else pair_name(result)
              for eps, result in zip(trained, results, strict=True)]  # fmt: skip
    if len(set(titles)) < len(titles):
        titles = [pair_name(result) for result in results]
    return [title if titles.count(title) == 1 else f"{title} [{k + 1}]" for k, title in enumerate(titles)]


def pair_name(result: Result) -> str:
    """Return the two nets of a result in one short text."""
    names = result.attrs.get("checkpoint")
    return " – ".join(net_name(str(name)) for name in (names if isinstance(names, list) else [names]))


def stamps(results: Sequence[Result]) -> list[str]:
    """Return what forbids trusting a figure as it stands: each result's caveats, and how results differ."""
    said: dict[str, list[str]] = {}
    for result in results:
        for clause in caveats(result):
            said.setdefault(clause, []).append(pair_name(result))
    found = [
        f"! {clause}"
        + ("" if len(results) == 1 else f": {', '.join(names) if len(names) < 3 else f'{len(names)} results'}")
        for clause, names in said.items()
    ]
    differing = []
    for name in SHARED:
        # Nothing attacks the clean loss: it has no attack to differ in.
        asked = [result for result in results if name not in _OF_ATTACKS or np.any(result.arrays["eps"] > 0)]
        values = list(dict.fromkeys(show(result.attrs.get(name)) for result in asked))
        if len(values) > 1:
            listed = "" if name == "data_sha256" else f" ({' / '.join(values[:3])})"
            differing.append(f"{_WORDS.get(name, name)}{listed}")
    return [*found, f"! results differ in {'; '.join(differing)}"] if differing else found


def note(results: Sequence[Result]) -> str:
    """Return what curves were walked, what the marks mean and what every number rests on."""
    curves = list(dict.fromkeys(curve_words(result) for result in results))
    lengths = [f"{result.attrs['curve_length']:.3g} against {result.attrs['line_length']:.3g}" for result in results]
    told = f"{'; '.join(curves)}." if len(curves) < 4 else f"{len(curves)} curves."
    if len(results) == 1 and results[0].attrs["curve"] != "line":
        told += f" Length {lengths[0]} of the line."
    straight = all(result.attrs["curve"] == "line" for result in results)
    told += " Bands: one standard error over examples. Brackets: barrier above the chord of the ends (dotted), shaded "
    told += "its 95 % interval"
    if not straight:
        told += "; below, of curve (filled) and line (open). A trained curve's is an upper bound of the best curve's"
    policies = {result.attrs.get("batchnorm") for result in results}
    told += ". Rings: the nets" + ("." if policies == {"none"} else ", each with its own BatchNorm statistics.")
    nets = f"{pair_name(results[0])}: " if len(results) == 1 else ""
    return f"{nets}{told} {footnote(results)}"


def curve_words(result: Result) -> str:
    """Return a curve in words: its form, its control points and how long these were trained."""
    attrs = result.attrs
    if attrs["curve"] == "line":
        return "straight line"
    form = {"bezier": "Bézier curve", "polychain": "polygonal chain"}[str(attrs["curve"])]
    points = attrs["interior_points"]
    trained = (
        f"trained for {show(attrs['epochs'])} epoch{'s' if attrs['epochs'] != 1 else ''} ({show(attrs['steps'])} steps)"
    )
    return f"{form} of {points} interior point{'s' if points != 1 else ''}, {trained}"


def _draw_column(axes: Sequence[Axes], panel: Panel, curved: Sequence[str], colours: dict[float, Any]) -> None:
    loss, error, *others, barriers = axes
    draw_connect(loss, panel.result, LOSS, split=panel.split, colours=colours)
    draw_connect(error, panel.result, ERROR, split=panel.split, colours=colours)
    error.set_ylim(0, None)
    for name, ax in zip(curved, others, strict=True):
        _draw_along(ax, panel, name, colours)
    for ax in axes[:-2]:
        ax.tick_params(labelbottom=False)
    axes[-2].set_xlabel("t")
    draw_barriers(barriers, panel.result, split=panel.split, colours=colours)


def _draw_along(ax: Axes, panel: Panel, name: str, colours: dict[float, Any]) -> None:
    """Draw gradient norm or largest eigenvalue along the curve, in the colour of the radius that it is at."""
    if not _has(panel, name):
        ax.set_visible(False)
        return
    result = panel.result
    at = result.attrs.get("curvature_eps")
    colour = next((tone for eps, tone in colours.items() if isinstance(at, float) and np.isclose(at, eps)), style.INK)
    t, values = result.arrays["t"], result.arrays[name]
    known = np.isfinite(values)
    bars = result.arrays.get(f"{name}_residual")
    ax.errorbar(
        t[known], values[known], yerr=None if bars is None else bars[known], color=colour, linewidth=1.1,
        elinewidth=0.6, marker="o" if known.sum() < 25 else "",
    ).lines[0].set_gid(name)  # fmt: skip
    ax.set_ylim(0, None)
    ax.set_xlim(-0.03, 1.03)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
    ax.yaxis.set_major_locator(MaxNLocator(3))
    ax.set_ylabel(_ALONG[name])


def _share_scales(panels: Sequence[Panel], rows: Sequence[Sequence[Axes]], columns: int) -> None:
    """Give all losses, all errors and all barriers one scale each; numbers stand on the left column alone."""
    ways = [way_of(p.result, prefix, split=p.split) for p in panels for prefix in prefixes_of(p.result)]
    scale_losses([axes[0] for axes in rows], ways)
    scale_barriers([axes[-1] for axes in rows], ways)
    top = max(axes[1].get_ylim()[1] for axes in rows)
    for number, (loss, error, *_, barriers) in enumerate(rows):
        error.set_ylim(0, top)
        for ax in (loss, error, barriers):
            ax.tick_params(labelleft=number % columns == 0)


def _legend_entries(panels: Sequence[Panel], colours: dict[float, Any]) -> list[Any]:
    ways = [way_of(p.result, prefix, split=p.split) for p in panels for prefix in prefixes_of(p.result)]
    entries = way_handles([panel.result for panel in panels], colours)
    return [*entries, lost_handle()] if any(way.lost.any() for way in ways) else entries


def _has(panel: Panel, name: str) -> bool:
    """Say whether a panel has values of an array that is of the result's own split."""
    own = panel.split == panel.result.attrs["split"]
    return own and name in panel.result.arrays and bool(np.isfinite(panel.result.arrays[name]).any())


def _trained(result: Result) -> float:
    value = result.attrs.get("train_eps")
    return float(value) if isinstance(value, float) else math.nan
