"""Surfaces as the page needs them: values, axes, marks, what must be shared, and a picture that stands in."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import LandscapeError, ResultError
from ..plots.contour import Panel, axis_label, common_scale, direction_name, landmark_names, panel_of, shares_scale
from ..plots.relief import draw_relief
from ..plots.style import PaperFigure, paper_style
from ..plots.surface import is_line, shared_settings, surface_note
from ..results.kinds import KINDS
from ..results.result import Result
from ..units import format_eps
from .blob import Blob
from .chart import tones

GRIDS = ("loss", "loss_se", "error_rate", "attack_gap", "attack_gap_se", "zero_gradient", "status")
CODES = KINDS["surface"].arrays["status"].codes


def packed_surface(place: int, result: Result, blob: Blob) -> dict[str, Any]:
    """Return a surface as the page reads it; `place` is its place among the results of the page.

    Raises ResultError where its axes are none.
    """
    arrays = result.arrays
    for name in "xy":
        if not arrays[name].size or not np.all(np.isfinite(arrays[name])) or np.any(np.diff(arrays[name]) <= 0):
            raise ResultError(f"{name} are no numbers in growing order, as the axis of a surface has them")
    colours = tones(arrays["eps"].tolist())
    entry: dict[str, Any] = {
        "result": place,
        "line": is_line(result),
        "x": blob.add(arrays["x"]),
        "y": blob.add(arrays["y"]),
        "eps": blob.add(arrays["eps"]),
        "radii": [format_eps(eps) for eps in arrays["eps"].tolist()],
        "tones": [list(colours[eps]) for eps in arrays["eps"].tolist()],
        "grids": {name: blob.add(arrays[name]) for name in GRIDS},
        "centre": blob.add(arrays["centre_loss"]),
        "slope": blob.add(arrays["slope"]),
        "curvature": blob.add(arrays["curvature"]),
        "labels": [axis_label(result, axis) for axis in (0, 1)],
        "names": [direction_name(result, axis) for axis in (0, 1)],
        "square": not is_line(result) and shares_scale(result),
        "cap": _cap(result),
        "first": panel_of(result).rung,
        # What paper hatches is crossed out here.
        "note": surface_note([Panel(result, rung) for rung in range(len(arrays["eps"]))]).replace("hatched", "crossed"),
        "shared": shared_settings(result),
    }
    if "landmarks/x" in arrays:
        entry["landmarks"] = {
            "x": blob.add(arrays["landmarks/x"]),
            "y": blob.add(arrays["landmarks/y"]),
            "names": landmark_names(result),
            "joined": bool(result.attrs.get("landmarks_joined")),
        }
    return entry


def picture(result: Result) -> str | None:
    """Return the relief of a plane as the data of a PNG, in base64; None for a line, and where no value is known."""
    if is_line(result):
        return None
    with paper_style():
        figure = PaperFigure(figsize=(4.2, 3.4))
        try:
            ax: Any = figure.add_axes((0, 0.02, 0.94, 0.98), projection="3d")
            draw_relief(ax, result)
            eps = panel_of(result).eps
            figure.text(0.03, 0.95, f"ε = {format_eps(eps)}", fontsize=8)
            file = io.BytesIO()
            figure.savefig(file, format="png", dpi=110, metadata={"Software": "Landscape"})
        except (LandscapeError, ArithmeticError, ValueError):
            return None
    return base64.b64encode(file.getvalue()).decode("ascii")


def _cap(result: Result) -> float | None:
    """Return where the scale of a surface's loss ends at first: the rule of the printed figures, over all its radii."""
    try:
        panels: Sequence[Panel] = [Panel(result, rung) for rung in range(len(result.arrays["eps"]))]
        cap = common_scale(panels).cap
    except (LandscapeError, ValueError):
        return None
    return cap if np.isfinite(cap) else None
