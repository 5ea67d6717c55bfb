"""A plane in weight space seen from above: filled contours on levels that panels share, and what must be marked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm
from matplotlib.contour import QuadContourSet
from matplotlib.figure import FigureBase
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from ..errors import ResultError, UsageError
from ..results.kinds.surface import EVALUATED, INTERPOLATED, SKIPPED
from ..results.result import Result
from ..units import format_eps
from . import style

LEVELS = 16
BEYOND = "#fbf7dc"  # lighter than the end of viridis, on grey paper too
_QUANTILE = 0.95  # of all values: where the scale ends when nothing else says so
_NEAR = 1.25  # times that quantile: a highest value below it is the end of the scale itself
_SIMILAR = 2.0  # spans of two axes within this ratio may share a scale


@dataclass(frozen=True)
class Scale:
    """The scale of several panels: levels (L,) in nats, spaced in the logarithm, and whether values lie beyond."""

    levels: np.ndarray
    cut: bool

    @property
    def cap(self) -> float:
        """The loss at which the scale ends."""
        return float(self.levels[-1])

    @property
    def norm(self) -> LogNorm:
        """The colours' norm."""
        return LogNorm(float(self.levels[0]), self.cap)


@dataclass(frozen=True)
class Panel:
    """One surface of a ladder: the result and the number of its eps."""

    result: Result
    rung: int

    @property
    def eps(self) -> float:
        """The radius of the attack."""
        return float(self.result.arrays["eps"][self.rung])

    @property
    def loss(self) -> np.ndarray:
        """Loss (ny, nx); NaN wherever nothing finite was found."""
        loss = self.result.arrays["loss"][self.rung]
        shown = np.isin(self.result.arrays["status"][self.rung], (EVALUATED, INTERPOLATED)) & np.isfinite(loss)
        return np.where(shown, loss, np.nan)

    @property
    def skipped(self) -> np.ndarray:
        """Whether a value (ny, nx) is known to lie beyond the cap, and no more."""
        return np.asarray(self.result.arrays["status"][self.rung] == SKIPPED)


def panel_of(result: Result, eps: float | None = None) -> Panel:
    """Return the surface of a result at one eps of its ladder; without `eps`, at the one nearest to that of training.

    Raises UsageError, naming those there are, where `eps` is none of them.
    """
    ladder = result.arrays["eps"]
    if eps is None:
        trained = result.attrs.get("train_eps")
        known = isinstance(trained, float) and math.isfinite(trained)
        return Panel(result, int(np.argmin(np.abs(ladder - trained))) if known else len(ladder) - 1)
    rung = int(np.argmin(np.abs(ladder - eps)))
    if not math.isclose(ladder[rung], eps, rel_tol=1e-9, abs_tol=1e-12):
        there = ", ".join(map(format_eps, ladder))
        raise UsageError(f"eps = {format_eps(eps)} is not in this surface, which has {there}; give one of these")
    return Panel(result, rung)


def common_scale(panels: Sequence[Panel], *, cap: float | None = None) -> Scale:
    """Return levels from the lowest value of all panels to the cap, spaced evenly in the logarithm.

    The cap is `cap`; else the lowest of the results' own, where points beyond it were skipped; else the highest value,
    or the 95 % quantile where the highest is more than a quarter above it. Raises ResultError where no value is known.
    """
    values = np.concatenate([panel.loss[np.isfinite(panel.loss)] for panel in panels] or [np.empty(0)])
    if not values.size:
        raise ResultError("no value of this surface is finite, so that there is nothing to draw")
    positive = values[values > 0]
    low = float(positive.min()) if positive.size else 1e-6
    own = [float(str(panel.result.attrs["cap"])) for panel in panels if panel.skipped.any()]
    top = cap if cap is not None else min((value for value in own if math.isfinite(value)), default=None)
    if top is None:
        top = float(np.quantile(values, _QUANTILE))
        top = float(values.max()) if values.max() <= _NEAR * top else top
    if not top > low * 1.001:  # also where all is zero, which has no place on a logarithmic scale
        low, top = low * 0.99, max(top, low) * 1.01  # a constant surface
    cut = bool(np.any(values > top * (1 + 1e-9))) or any(panel.skipped.any() for panel in panels)
    return Scale(np.geomspace(low, top, LEVELS), cut)


def draw_contour(ax: Axes, result: Result, *, eps: float | None = None, scale: Scale | None = None) -> QuadContourSet:
    """Draw the loss over a plane, filled between the levels of `scale`; return the contours, for a colour bar.

    `eps` is one of the result's ladder (default: nearest to that of training). Cells that touch a point which is not
    finite, failed or is still to do stay hatched; points that were skipped are drawn beyond the cap. A cross marks
    the origin, a circle the lowest value where that lies elsewhere, dots the points evaluated among interpolated ones.
    Raises ResultError for a line.
    """
    panel = panel_of(result, eps)
    if min(panel.loss.shape) < 2:
        raise ResultError("a line has no contours; draw it with draw_slice")
    scale = scale or common_scale([panel])
    x, y = result.arrays["x"], result.arrays["y"]
    values = np.ma.masked_invalid(shown_values(panel, scale))
    ax.set_facecolor("#e4e4e4")
    if values.mask.any():
        ax.patch.set_hatch("//////")
        ax.patch.set_edgecolor("#9a9a9a")
        ax.patch.set_linewidth(0)
    contours = ax.contourf(
        x, y, values, levels=scale.levels, cmap=colours(), norm=scale.norm, extend="max", corner_mask=False
    )
    contours.set_edgecolor("face")  # no white seams between neighbours in a PDF
    contours.set_linewidth(0.2)
    contours.set_rasterized(False)
    ax.contour(
        x, y, values, levels=scale.levels[1::2], colors="white", linewidths=0.3, alpha=0.6, corner_mask=False
    ).set_gid("lines")
    _mark(ax, panel)
    set_plane_axes(ax, result)
    return contours


def shown_values(panel: Panel, scale: Scale) -> np.ndarray:
    """Return the values (ny, nx) to draw: NaN where none is known, just beyond the cap where a point was skipped."""
    values = np.maximum(panel.loss, scale.levels[0])
    return np.where(panel.skipped, scale.cap * 1.02, values)


def colours() -> Colormap:
    """Return viridis with a colour of its own for what lies beyond the cap."""
    return mpl.colormaps["viridis"].with_extremes(over=BEYOND)


def set_plane_axes(ax: Axes, result: Result) -> None:
    """Name the axes of a plane and set their limits; one scale for both only where their spans allow it."""
    x, y = result.arrays["x"], result.arrays["y"]
    ax.set_xlabel(axis_label(result, 0))
    ax.set_ylabel(axis_label(result, 1))
    ax.set_xlim(x.min(), x.max())
    ax.set_ylim(y.min(), y.max())
    for axis in (ax.xaxis, ax.yaxis):  # few and short numbers: panels are small
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(lambda value, position: f"{value:g}".replace("-", "−"))
    if shares_scale(result):
        ax.set_aspect("equal")


def shares_scale(result: Result) -> bool:
    """Say whether a unit is the same on both axes of a plane and their ranges are similar."""
    if result.attrs["units"] == "direction":
        lengths = np.sqrt(np.diag(result.arrays["gram"]))
        if not np.allclose(lengths[0], lengths[1], rtol=1e-3):
            return False
    spans = [np.ptp(result.arrays[name]) for name in "xy"]
    return bool(0 < max(spans) <= _SIMILAR * min(spans))


def axis_label(result: Result, axis: int) -> str:
    """Return the label of an axis: its units and the direction that it runs along."""
    name = direction_name(result, axis)
    variance = result.attrs.get("explained_variance")
    if isinstance(variance, list) and axis < len(variance) and isinstance(variance[axis], int | float):
        name += f" ({100 * float(variance[axis]):.1f} % of variance)"
    if result.attrs["units"] == "direction":
        return f"multiples of {name}"
    units = "filter norms" if result.attrs["units"] == "filter norm" else result.attrs["units"]
    return f"{units} along {name}"


def direction_name(result: Result, axis: int) -> str:
    """Return what a direction is called."""
    names = result.attrs["direction_names"]
    names = names if isinstance(names, list) else [names]
    return str(names[axis]) if axis < len(names) else f"direction {axis + 1}"


def add_colour_bar(figure: FigureBase, contours: QuadContourSet, axes: Sequence[Axes], scale: Scale) -> None:
    """Add the colour bar of panels on one scale, with round numbers on it and the cap in its label."""
    bar = figure.colorbar(contours, ax=list(axes), aspect=30, pad=0.02, fraction=0.08)
    bar.set_ticks(round_ticks(float(scale.levels[0]), scale.cap))
    bar.ax.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
    bar.ax.minorticks_off()
    bar.outline.set_linewidth(0.4)
    bar.set_label(f"loss (nats), cap {scale.cap:.3g}" if scale.cut else "loss (nats)")


def round_ticks(low: float, high: float) -> list[float]:
    """Return a few round numbers within [low, high], apart in the logarithm."""
    if high <= 2.5 * low:
        step = 10 ** math.floor(math.log10((high - low) / 2))
        step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (factor * step) <= 5)
        return [round(step * k, 12) for k in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for digits in ((1,), (1, 3), (1, 2, 5)):
        found = [value for k in decades for digit in digits if low <= (value := float(f"{digit}e{k}")) <= high]
        if len(found) >= 3:
            break
    return found


def lowest(panel: Panel) -> tuple[float, float, float] | None:
    """Return (x, y, loss) of the lowest value that was evaluated, the origin's included; None where none is finite."""
    evaluated = np.where(panel.result.arrays["status"][panel.rung] == EVALUATED, panel.loss, np.nan)
    centre = float(panel.result.arrays["centre_loss"][panel.rung])
    if not np.isfinite(evaluated).any():
        return (0.0, 0.0, centre) if math.isfinite(centre) else None
    if centre <= np.nanmin(evaluated):
        return 0.0, 0.0, centre
    row, column = np.unravel_index(np.nanargmin(evaluated), evaluated.shape)
    x, y = panel.result.arrays["x"][column], panel.result.arrays["y"][row]
    return float(x), float(y), float(evaluated[row, column])


def at_origin(x: float, y: float) -> bool:
    """Say whether a point is the net itself."""
    return abs(x) < 1e-12 and abs(y) < 1e-12


def _mark(ax: Axes, panel: Panel) -> None:
    result = panel.result
    status = result.arrays["status"][panel.rung]
    if np.any(status == INTERPOLATED):
        rows, columns = np.nonzero(status == EVALUATED)
        ax.plot(
            result.arrays["x"][columns], result.arrays["y"][rows], linestyle="none", marker="o", markersize=1.2,
            markeredgewidth=0, color="white", alpha=0.9, gid="evaluated",
        )  # fmt: skip
    _mark_landmarks(ax, result)
    low = lowest(panel)
    if low is not None and not at_origin(*low[:2]):
        ax.plot(
            *low[:2], linestyle="none", marker="o", markersize=4.5, markerfacecolor="none", markeredgecolor=style.INK,
            markeredgewidth=1.0, path_effects=[withStroke(linewidth=2.4, foreground="white")],
            zorder=5, gid="minimum", clip_on=False,
        )  # fmt: skip
    ax.plot(
        0, 0, linestyle="none", marker="P", markersize=5.5, markerfacecolor=style.INK, markeredgecolor="white",
        markeredgewidth=0.7, zorder=6, gid="centre",
    )  # fmt: skip


def _mark_landmarks(ax: Axes, result: Result) -> None:
    if "landmarks/x" not in result.arrays:
        return
    x, y = result.arrays["landmarks/x"], result.arrays["landmarks/y"]
    if result.attrs.get("landmarks_joined"):
        ax.plot(
            x, y, color=style.INK, linewidth=0.8, marker="o", markersize=1.8, markerfacecolor="white",
            markeredgewidth=0.5, path_effects=[withStroke(linewidth=1.8, foreground="white")],
            zorder=4, gid="trajectory",
        )  # fmt: skip
        return
    ax.plot(
        x, y, linestyle="none", marker="D", markersize=3.2, markerfacecolor="white", markeredgecolor=style.INK,
        markeredgewidth=0.7, zorder=5, gid="landmarks",
    )  # fmt: skip
    for name, a, b in zip(landmark_names(result), x, y, strict=True):
        text = ax.annotate(
            name, (a, b), (3, 3), textcoords="offset points", fontsize=6.5, color=style.INK, gid="landmark", zorder=6,
            path_effects=[withStroke(linewidth=1.5, foreground="white")],
        )  # fmt: skip
        text.set_in_layout(False)


def landmark_names(result: Result) -> list[str]:
    """Return the names of the checkpoints marked."""
    names = result.attrs.get("landmarks")
    names = names if isinstance(names, list) else [names]
    count = len(result.arrays["landmarks/x"])
    return [str(names[i]) if i < len(names) and names[i] else str(i + 1) for i in range(count)]
