"""A plane in weight space in relief (fig. 3b-e): height is the loss, cut at a cap that panels share."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]
from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

from ..errors import ResultError
from ..results.result import Result
from . import style
from .contour import Panel, Scale, colours, common_scale, direction_name, panel_of, shares_scale, shown_values

_MARGIN = 0.05
VIEW = (30, -60)  # elevation and azimuth in degrees: the same for every panel of every figure


def draw_relief(ax: Axes3D, result: Result, *, eps: float | None = None, scale: Scale | None = None) -> None:
    """Draw the loss over a plane in relief, one facet for each cell of the grid, from 0 to the cap of `scale`.

    What lies beyond the cap, skipped points too, is a plateau in the colour for it; a cell with a corner that is not
    finite is left out. `eps` is one of the result's ladder (default: nearest to that of training). Raises ResultError
    for a line.
    """
    panel = panel_of(result, eps)
    if min(panel.loss.shape) < 2:
        raise ResultError("a line has no relief; draw it with draw_slice")
    scale = scale or common_scale([panel])
    corners, faces = facets(panel, scale)
    relief = Poly3DCollection(corners, facecolors=faces, edgecolors="none", antialiased=False, rasterized=True)
    relief.set_gid("relief")
    ax.add_collection3d(relief)
    for limit, name in ((ax.set_xlim, "x"), (ax.set_ylim, "y")):
        low, high = result.arrays[name].min(), result.arrays[name].max()
        limit(low - _MARGIN * (high - low), high + _MARGIN * (high - low))  # the axes' ends would share a corner
    if _within(result):
        centre = min(float(result.arrays["centre_loss"][panel.rung]), scale.cap)
        ax.plot(
            [0, 0], [0, 0], [centre, scale.cap], color=style.INK, linewidth=0.6, linestyle=":", zorder=10, gid="centre"
        )
    ax.set_zlim(0, scale.cap)
    ax.view_init(*VIEW)
    set_box(ax, result)
    ax.set_zticks([0, *_height_ticks(scale.cap)])


def facets(panel: Panel, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners (m, 4, 3) and colours (m, 4) of the cells whose four corners are known, cut at the cap."""
    values = shown_values(panel, scale)
    x, y = np.meshgrid(panel.result.arrays["x"], panel.result.arrays["y"])
    points = np.stack([x, y, np.minimum(values, scale.cap)], axis=-1)
    corners = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    lowest = np.minimum(np.minimum(values[:-1, :-1], values[:-1, 1:]), np.minimum(values[1:, :-1], values[1:, 1:]))
    faces = colours()(np.clip(scale.norm(corners[..., 2].mean(axis=2)), 0, 1))
    faces[lowest >= scale.cap] = colours().get_over()
    faces[..., :3] *= _light(points[..., 2])[..., None]
    known = np.isfinite(corners).all(axis=(2, 3))
    return corners[known], faces[known]


def set_box(ax: Axes3D, result: Result) -> None:
    """Name the directions of a relief; its floor has the shape of the plane where both axes share a scale."""
    spans = [float(np.ptp(result.arrays[name])) for name in "xy"] if shares_scale(result) else [1.0, 1.0]
    ax.set_box_aspect((spans[0] / max(spans), spans[1] / max(spans), 0.8), zoom=0.95)
    ax.set_xlabel(direction_name(result, 0), labelpad=-9)
    ax.set_ylabel(direction_name(result, 1), labelpad=-9)
    for axis, name in ((ax.xaxis, "x"), (ax.yaxis, "y")):
        low, high = result.arrays[name].min(), result.arrays[name].max()
        ticks = [low, 0.0, high] if low < 0 < high else [low, high]
        axis.set_ticks(ticks[name == "y" :])  # where the axes meet there is room for one number
        axis.set_major_formatter(lambda value, position: f"{value:.2g}")
    for axis in (ax.xaxis, ax.yaxis, ax.zaxis):
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_linewidth(0.5)
        axis._axinfo["grid"].update(linewidth=0.3, color="#d5d5d5")
    ax.tick_params(pad=-3, labelsize=6)
    ax.xaxis.label.set_size(6.5)
    ax.yaxis.label.set_size(6.5)


def _light(height: np.ndarray) -> np.ndarray:
    """Return how bright each facet (ny-1, nx-1) is, from 0.8 to 1: the colours stay those of the scale."""
    steps = np.array([size - 1 for size in height.shape], dtype=float)
    rise = [np.diff(height, axis=0)[:, :-1] * steps[0], np.diff(height, axis=1)[:-1] * steps[1]]
    spread = np.nanmax(height) - np.nanmin(height) or 1.0
    slope_y, slope_x = (value / spread for value in rise)
    cosine = (1.2 + 0.5 * slope_x + 0.5 * slope_y) / np.sqrt(1 + slope_x**2 + slope_y**2) / np.sqrt(1.2**2 + 0.5)
    return np.nan_to_num(0.8 + 0.2 * np.clip(cosine, 0, 1), nan=1.0)


def _height_ticks(cap: float) -> list[float]:
    return [float(tick) for tick in MaxNLocator(3).tick_values(0, cap) if 0 < tick < 0.97 * cap]


def _within(result: Result) -> bool:
    return all(result.arrays[name].min() <= 0 <= result.arrays[name].max() for name in "xy")
