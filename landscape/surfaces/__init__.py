"""Surfaces: the loss and the error on a plane in weight space, the adversary at each point kept honest."""

from .adaptive import refine
from .audit import Audit, audit
from .extent import Bounds, axes, grid_shape, rise_radius
from .forecast import Forecast, forecast
from .ladder import Found, Ladder
from .landmarks import Landmark, judge_landmarks
from .point import Points
from .quadratic import quadratic
from .scan import Count, Grid, Index, Keeper, every, kept_by, scan

__all__ = [
    "Audit",
    "Bounds",
    "Count",
    "Forecast",
    "Found",
    "Grid",
    "Index",
    "Keeper",
    "Ladder",
    "Landmark",
    "Points",
    "audit",
    "axes",
    "every",
    "forecast",
    "grid_shape",
    "judge_landmarks",
    "kept_by",
    "quadratic",
    "refine",
    "rise_radius",
    "scan",
]
