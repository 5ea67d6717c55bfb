"""Curvature: the Hessian as an operator, its extreme eigenpairs with their evidence, and its spectral density."""

from ..statistics import standard_error
from .density import Density, Interval, spectral_density
from .eigenpairs import Eigenpairs, PairStatus, settle, shortfall, top_eigenpairs
from .evidence import ExampleTerms, curvature_by_example, directional_curvature
from .lanczos import WHICH, Lanczos
from .operator import HessianOperator
from .power import power_eigenpairs

__all__ = [
    "WHICH",
    "Density",
    "Eigenpairs",
    "ExampleTerms",
    "HessianOperator",
    "Interval",
    "Lanczos",
    "PairStatus",
    "curvature_by_example",
    "directional_curvature",
    "power_eigenpairs",
    "settle",
    "shortfall",
    "spectral_density",
    "standard_error",
    "top_eigenpairs",
]
