"""Geometry of weight space: directions, the plane through them, and which BatchNorm statistics hold off the net."""

from .batchnorm import POLICIES, Statistics, batchnorm_policy, recalibration
from .directions import (
    Directions,
    directions_through,
    principal_directions,
    random_directions,
    unit_directions,
)
from .plane import Plane

__all__ = [
    "POLICIES",
    "Directions",
    "Plane",
    "Statistics",
    "batchnorm_policy",
    "directions_through",
    "principal_directions",
    "random_directions",
    "recalibration",
    "unit_directions",
]
