"""Adversaries: balls, projected gradient ascent in them, the reference's attacks, and how a command names one."""

from .apgd import APGD
from .balls import Ball, L2Ball, LinfBall, make_ball
from .best import Best
from .fab import FAB
from .pgd import PGD, parse_attack
from .reference import ReferenceAttack, package_seed
from .square import Square

__all__ = [
    "APGD",
    "FAB",
    "PGD",
    "Ball",
    "Best",
    "L2Ball",
    "LinfBall",
    "ReferenceAttack",
    "Square",
    "make_ball",
    "package_seed",
    "parse_attack",
]
