"""Geometry of weight space: directions, the plane through them, and which BatchNorm statistics hold off the net."""

from .batchnorm import POLICIES, Statistics, batchnorm_policy, recalibration, statistics_names
from .curve import CURVES, BezierCurve, Curve, Line, PolygonalChain, make_curve, middle_of, on_plane, segment
from .directions import (
    Directions,
    directions_through,
    principal_directions,
    random_directions,
    unit_directions,
)
from .plane import Plane

__all__ = [
    "CURVES",
    "POLICIES",
    "BezierCurve",
    "Curve",
    "Directions",
    "Line",
    "Plane",
    "PolygonalChain",
    "Statistics",
    "batchnorm_policy",
    "directions_through",
    "make_curve",
    "middle_of",
    "on_plane",
    "principal_directions",
    "random_directions",
    "recalibration",
    "segment",
    "statistics_names",
    "unit_directions",
]
