"""A line through weight space: loss and error along it, what a stronger attack adds, and the Hessian's parabola."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.polynomial import Polynomial

from ..errors import ResultError, UsageError
from ..results.kinds.surface import EVALUATED, INTERPOLATED, SKIPPED, TODO
from ..results.quadratic import agreement_radius, quadratic_along
from ..results.result import Result
from ..units import format_eps
from . import style
from .contour import axis_label

_ROOM = 1.08  # of the highest value drawn


@dataclass(frozen=True)
class Slice:
    """A line through the origin of a surface at E radii: coordinate (n,), values (E, n), and E quadratics."""

    label: str
    eps: np.ndarray
    coordinate: np.ndarray
    loss: np.ndarray
    error_rate: np.ndarray
    attack_gap: np.ndarray
    status: np.ndarray
    models: tuple[Polynomial, ...]

    @property
    def found(self) -> np.ndarray:
        """Loss (E, n) where a finite one was found, else NaN."""
        shown = np.isin(self.status, (EVALUATED, INTERPOLATED)) & np.isfinite(self.loss)
        return np.where(shown, self.loss, np.nan)

    @property
    def radii(self) -> list[float]:
        """How far from the origin the quadratic stays within 5 % of the loss, for each eps (see agreement_radius)."""
        return [
            agreement_radius(self.coordinate, loss, model(self.coordinate))
            for loss, model in zip(self.found, self.models, strict=True)
        ]


def slice_of(result: Result, axis: int = 0) -> Slice:
    """Return the slice of a line or a plane along its first (0) or second (1) direction, through the origin.

    Raises ResultError where the grid of a plane has no points on that line.
    """
    x, y = result.arrays["x"], result.arrays["y"]
    across = (y, x)[axis]
    (through,) = np.nonzero(np.abs(across) < 1e-12)
    if not through.size and not (axis == 0 and across.size == 1):
        raise ResultError(
            f"no {'row' if axis == 0 else 'column'} of this grid passes through the origin; "
            f"give a --range and a --grid with {'y' if axis == 0 else 'x'} = 0 among its points"
        )
    index = int(through[0]) if through.size else 0
    values = {
        name: result.arrays[name].take(index, axis=1 if axis == 0 else 2)
        for name in ("loss", "error_rate", "attack_gap", "status")
    }
    models = tuple(quadratic_along(result, rung, axis) for rung in range(len(result.arrays["eps"])))
    return Slice(axis_label(result, axis), result.arrays["eps"], (x, y)[axis], models=models, **values)


def has_slice(result: Result, axis: int) -> bool:
    """Say whether a slice along an axis passes through points of the grid."""
    across = result.arrays["yx"[axis]]
    return bool(result.arrays["xy"[axis]].size > 1 and (np.any(np.abs(across) < 1e-12) or across.size == 1))


def draw_slice(
    ax: Axes,
    result: Result,
    *,
    axis: int = 0,
    eps: Sequence[float] | None = None,
    errors: bool = True,
    top: float | None = None,
    colours: dict[float, style.Colour] | None = None,
) -> Axes | None:
    """Draw the loss along a direction through the origin, a solid line for each eps of `eps` (default: all).

    Shaded, or as bars where few points were audited, lies the band from the loss found to what stronger attacks
    found; thin and dashed the quadratic of slope and curvature, its circles where it has left the loss by 5 %. Dotted
    on the axis to the right, which is returned, is the error rate (not with `errors=False`). Points beyond the cap are
    triangles at the upper edge, those that are not finite hatched. `top` is the upper limit of the loss.
    """
    cut = slice_of(result, axis)
    chosen = [rung for rung, value in enumerate(cut.eps) if eps is None or np.isclose(value, eps).any()]
    if not chosen:
        raise UsageError(f"none of the eps asked for is in this surface, which has {_ladder(cut)}")
    colours = colours or style.eps_colours(cut.eps.tolist())
    highest = top or _ROOM * _highest(cut, chosen) or 1.0
    for rung in chosen:
        colour = colours[float(cut.eps[rung])]
        _draw_band(ax, cut, rung, colour)
        ax.plot(cut.coordinate, cut.found[rung], color=colour, gid="loss", label=_label(cut, rung), zorder=3)
        _draw_quadratic(ax, cut, rung, colour)
        _draw_gaps(ax, cut, rung, colour)
    ax.plot(0, 0, transform=ax.get_xaxis_transform(), marker="P", markersize=5, color=style.INK,
            markeredgecolor="white", markeredgewidth=0.6, clip_on=False, zorder=6, gid="centre")  # fmt: skip
    ax.set_xlim(cut.coordinate.min(), cut.coordinate.max())
    ax.set_ylim(0, highest)
    ax.set_xlabel(cut.label)
    ax.set_ylabel("loss (nats)")
    return _draw_errors(ax, cut, chosen, colours) if errors else None


def slice_legend(ax: Axes, cuts: Sequence[Slice], *, errors: bool) -> None:
    """Add the legend of slices: each eps, then what the kinds of line are."""
    handles, labels = ax.get_legend_handles_labels()
    if any(map(_has_quadratic, cuts)):
        handles.append(Line2D([], [], color=style.GREY, linestyle="--", linewidth=0.8))
        labels.append("quadratic at the centre")
    if errors:
        handles.append(Line2D([], [], color=style.GREY, linestyle=":", linewidth=0.9))
        labels.append("error rate")
    ax.legend(handles, labels, handlelength=1.6, labelspacing=0.25, borderaxespad=0.2, loc="upper center", ncols=1)


def radius_note(cut: Slice) -> str:
    """Return how far the quadratic holds along a slice, for each eps; empty where there is none."""
    if all(math.isinf(radius) for radius in cut.radii):
        return f"the edge, {np.abs(cut.coordinate).max():.2g}"
    told = [
        f"{_reach(radius, cut)} (ε = {format_eps(eps)})"
        for eps, radius in zip(cut.eps.tolist(), cut.radii, strict=True)
        if not math.isnan(radius)
    ]
    return ", ".join(told)


def _reach(radius: float, cut: Slice) -> str:
    if radius == 0:
        return f"less than a step, {np.diff(np.sort(np.abs(cut.coordinate))).max():.2g}"
    return f"{radius:.2g}" if math.isfinite(radius) else f"the edge, {np.abs(cut.coordinate).max():.2g}"


def _label(cut: Slice, rung: int) -> str:
    eps = float(cut.eps[rung])
    return "clean" if eps == 0 else f"ε = {format_eps(eps)}"


def _ladder(cut: Slice) -> str:
    return ", ".join(map(format_eps, cut.eps.tolist()))


def _highest(cut: Slice, chosen: Sequence[int]) -> float:
    values = (cut.found + np.nan_to_num(cut.attack_gap))[chosen]
    return float(np.nanmax(values)) if np.isfinite(values).any() else 1.0


def _has_quadratic(cut: Slice) -> bool:
    return any(np.isfinite(model.coef).all() for model in cut.models)


def _draw_band(ax: Axes, cut: Slice, rung: int, colour: style.Colour) -> None:
    found, gap = cut.found[rung], cut.attack_gap[rung]
    audited = np.isfinite(found) & np.isfinite(gap)
    if audited.sum() == np.isfinite(found).sum() > 1:
        ax.fill_between(cut.coordinate, found, found + gap, color=colour, alpha=0.3, linewidth=0, zorder=2, gid="band")
    elif audited.any():  # between audited points nothing is known: no band is drawn there
        ax.errorbar(
            cut.coordinate[audited], found[audited], yerr=[np.zeros(audited.sum()), gap[audited]], fmt="none",
            ecolor=colour, elinewidth=1.6, alpha=0.5, capsize=1.5, zorder=2,
            clip_on=False,
        ).lines[2][0].set_gid("band")  # fmt: skip


def _draw_quadratic(ax: Axes, cut: Slice, rung: int, colour: style.Colour) -> None:
    model = cut.models[rung]
    if not np.isfinite(model.coef).all():
        return
    fine = np.linspace(cut.coordinate.min(), cut.coordinate.max(), 201)
    ax.plot(
        fine, model(fine), color=colour, linestyle=(0, (4, 2)), linewidth=0.7, zorder=2.5, gid="quadratic",
        label="_quadratic",
    )  # fmt: skip
    radius = cut.radii[rung]
    ends = np.array([end for end in {-radius, radius} - {0.0} if cut.coordinate.min() <= end <= cut.coordinate.max()])
    if ends.size:
        ax.plot(
            ends, model(ends), linestyle="none", marker="o", markersize=3, markerfacecolor="white",
            markeredgecolor=colour, markeredgewidth=0.7, zorder=4, gid="radius", label="_radius",
        )  # fmt: skip


def _draw_gaps(ax: Axes, cut: Slice, rung: int, colour: style.Colour) -> None:
    status = cut.status[rung]
    skipped = status == SKIPPED
    if skipped.any():
        ax.plot(
            cut.coordinate[skipped], np.full(skipped.sum(), 0.985), transform=ax.get_xaxis_transform(),
            linestyle="none", marker="^", markersize=3, color=colour, zorder=4, clip_on=False, gid="beyond",
            label="_beyond",
        )  # fmt: skip
    missing = ~np.isfinite(cut.found[rung]) & ~skipped & (status != TODO)
    edges = np.concatenate([cut.coordinate[:1], (cut.coordinate[1:] + cut.coordinate[:-1]) / 2, cut.coordinate[-1:]])
    for index in np.flatnonzero(missing):
        ax.axvspan(
            edges[index], edges[index + 1], facecolor="#e4e4e4", edgecolor="#9a9a9a", hatch="//////", linewidth=0,
            zorder=1, gid="hatched",
        )  # fmt: skip
    evaluated = status == EVALUATED
    if np.any(status == INTERPOLATED):
        ax.plot(
            cut.coordinate[evaluated], cut.found[rung][evaluated], linestyle="none", marker="o", markersize=2,
            color=colour, zorder=4, gid="evaluated", label="_evaluated",
        )  # fmt: skip


def _draw_errors(ax: Axes, cut: Slice, chosen: Sequence[int], colours: dict[float, style.Colour]) -> Axes:
    right = ax.twinx()
    right.spines["right"].set_visible(True)
    for rung in chosen:
        shown = np.where(np.isfinite(cut.found[rung]), 100 * cut.error_rate[rung], np.nan)
        right.plot(
            cut.coordinate, shown, linestyle=(0, (1, 1.2)), linewidth=0.9, color=colours[float(cut.eps[rung])],
            gid="error_rate", label="_error",
        )  # fmt: skip
    right.set_ylim(0, 104)
    right.set_yticks([0, 50, 100])
    right.set_ylabel("error (%)")
    return right
