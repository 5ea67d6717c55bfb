"""Training: schedules, recipes, the adversarial trainer, and what the trained net makes of its data."""

from .accuracy import Outcome, collapsed, evaluate_error, judge
from .final import final_errors
from .recipe import DEFAULT_ATTACK, DEFAULT_LR, OPTIMIZERS, Recipe
from .run import TrainingRun, run
from .schedules import EPS_SCHEDULES, LR_SCHEDULES, eps_at, lr_at, position
from .trainer import train

__all__ = [
    "DEFAULT_ATTACK",
    "DEFAULT_LR",
    "EPS_SCHEDULES",
    "LR_SCHEDULES",
    "OPTIMIZERS",
    "Outcome",
    "Recipe",
    "TrainingRun",
    "collapsed",
    "eps_at",
    "evaluate_error",
    "final_errors",
    "judge",
    "lr_at",
    "position",
    "run",
    "train",
]
