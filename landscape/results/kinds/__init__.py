"""The kinds of result as data, a module each: which arrays a file holds, over which dimensions, who must say what.

A new kind is one more module and one more entry of `KINDS`; store, plots and `landscape info` read it from there.
"""

from __future__ import annotations

from .connect import CONNECT
from .declare import COMMON, TEXT, Array, Attribute, Kind
from .evaluate import EVALUATE
from .hessian import HESSIAN
from .scattering import SCATTERING
from .sharpness import SHARPNESS
from .surface import SURFACE
from .theory import THEORY
from .traces import TRACES

KINDS: dict[str, Kind] = {
    "connect": CONNECT,
    "evaluate": EVALUATE,
    "hessian": HESSIAN,
    "scattering": SCATTERING,
    "sharpness": SHARPNESS,
    "surface": SURFACE,
    "theory": THEORY,
    "traces": TRACES,
}

__all__ = ["COMMON", "KINDS", "TEXT", "Array", "Attribute", "Kind"]
