"""Perturbation budgets in pixel units of [0, 1]: "4/255" is 0.0157, and nothing is guessed."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from .errors import UsageError

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_FORM = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER})\s*)?")


def parse_number(text: str, *, name: str = "the number") -> float:
    """Read a plain number ("0.1") or a quotient ("4/255") as a float; raise UsageError on anything else."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise UsageError(f"{name} = {text!r} is no number; write a decimal (0.1) or a quotient (4/255)")
    top, bottom = float(match[1]), float(match[2] or 1)
    if bottom == 0:
        raise UsageError(f"{name} = {text!r} divides by zero; write a quotient such as 4/255")
    value = top / bottom
    if not math.isfinite(value):
        raise UsageError(f"{name} = {text!r} is not finite; write a decimal (0.1) or a quotient (4/255)")
    return value


def parse_eps(text: str, *, norm: str = "linf", name: str = "eps") -> float:
    """Read a radius in pixel units of [0, 1]; for l-inf a bare integer other than 0 is refused (did you mean /255?)."""
    value = parse_number(text, name=name)
    bare = text.strip()
    if norm == "linf" and value != 0 and re.fullmatch(r"[+]?\d+", bare):
        raise UsageError(f"{name} = {bare} is in unclear units; did you mean {bare}/255? (pixels lie in [0, 1])")
    return check_eps(value, norm=norm, shown=bare, name=name)


def check_eps(eps: float, *, norm: str = "linf", shown: str | None = None, name: str = "eps") -> float:
    """Return eps when it is a radius in pixel units (l-inf: at most 1), else raise UsageError."""
    shown = shown if shown is not None else f"{eps:g}"
    if not math.isfinite(eps) or eps < 0:
        raise UsageError(f"{name} = {shown} is no radius; wanted 0 or more in pixel units of [0, 1], such as 4/255")
    if norm == "linf" and eps > 1:
        hint = f"{eps:g}/255" if eps <= 255 else "8/255"
        raise UsageError(f"{name} = {shown} is outside [0, 1], the range of pixels; did you mean {hint}?")
    return eps


def format_eps(eps: float) -> str:
    """Write a radius as people say it: "8/255" where that is exact, else a short decimal."""
    if not math.isfinite(eps):
        return "unknown"
    scaled = eps * 255
    if not math.isfinite(1000 * scaled):  # out of a damaged file
        return f"{eps:.6g}"
    if eps and abs(scaled - round(scaled)) < 1e-9 * max(1.0, abs(scaled)) and round(eps * 1000) != eps * 1000:
        return f"{round(scaled)}/255"
    exact = Fraction(eps).limit_denominator(10_000)
    return f"{float(exact):g}" if abs(float(exact) - eps) < 1e-12 else f"{eps:.6g}"
