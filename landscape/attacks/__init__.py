"""Adversaries: balls, projected gradient ascent in them, and how a command names one."""

from .balls import Ball, L2Ball, LinfBall, make_ball
from .best import Best
from .pgd import PGD, parse_attack

__all__ = ["PGD", "Ball", "Best", "L2Ball", "LinfBall", "make_ball", "parse_attack"]
