"""Robust evaluation: which attacks run, what each example withstands, and whether the attacks were strong enough."""

from .examination import Examination
from .of_numbers import LossExamination, check_for_numbers
from .suite import NAMES, PRESETS, Suite, parse_suite
from .verdicts import Examinee, Verdicts

__all__ = [
    "NAMES",
    "PRESETS",
    "Examination",
    "Examinee",
    "LossExamination",
    "Suite",
    "Verdicts",
    "check_for_numbers",
    "parse_suite",
]
