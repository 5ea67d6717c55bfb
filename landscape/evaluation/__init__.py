"""Robust evaluation: which attacks run, what each example withstands, and whether the attacks were strong enough."""

from .examination import Examination
from .suite import NAMES, PRESETS, Suite, parse_suite
from .verdicts import Examinee, Verdicts

__all__ = ["NAMES", "PRESETS", "Examination", "Examinee", "Suite", "Verdicts", "parse_suite"]
