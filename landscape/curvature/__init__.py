"""Curvature: the Hessian as an operator, its extreme eigenpairs, and the evidence for each."""

from .eigenpairs import Eigenpairs, PairStatus, settle, shortfall, top_eigenpairs
from .evidence import directional_curvature
from .lanczos import WHICH, Lanczos
from .operator import HessianOperator
from .power import power_eigenpairs

__all__ = [
    "WHICH",
    "Eigenpairs",
    "HessianOperator",
    "Lanczos",
    "PairStatus",
    "directional_curvature",
    "power_eigenpairs",
    "settle",
    "shortfall",
    "top_eigenpairs",
]
