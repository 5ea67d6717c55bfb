"""Adversarial training where it can be solved: the logistic loss of one number, and the linear model; no torch."""

from . import one_dimensional
from .bounds import Constants, linear_constants, softplus_constants
from .linear import in_invariant_set, in_version_space, is_constant, loss_bounds, slope_jumps, version_slack
from .multiclass import MulticlassOptimum, multiclass_optimum
from .optimum import Optimum, robust_optimum
from .phases import REGIMES, PhaseDiagram, Regime, Thresholds, find_thresholds, phase_diagram
from .separation import Separation, gamma_star, gamma_star_box
from .thresholds import constant_loss, eps_bar, eps_bar_bias, eps_bar_box

__all__ = [
    "REGIMES",
    "Constants",
    "MulticlassOptimum",
    "Optimum",
    "PhaseDiagram",
    "Regime",
    "Separation",
    "Thresholds",
    "constant_loss",
    "eps_bar",
    "eps_bar_bias",
    "eps_bar_box",
    "find_thresholds",
    "gamma_star",
    "gamma_star_box",
    "in_invariant_set",
    "in_version_space",
    "is_constant",
    "linear_constants",
    "loss_bounds",
    "multiclass_optimum",
    "one_dimensional",
    "phase_diagram",
    "robust_optimum",
    "slope_jumps",
    "softplus_constants",
    "version_slack",
]
