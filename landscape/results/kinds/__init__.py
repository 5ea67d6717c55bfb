"""The kinds of result as data, a module each: which arrays a file holds, over which dimensions, who must say what.

A new kind is one more module and one more entry of `KINDS`; store, plots and `landscape info` read it from there.
"""

from __future__ import annotations

from .declare import COMMON, Array, Attribute, Kind
from .hessian import HESSIAN
from .surface import SURFACE
from .theory import THEORY
from .traces import TRACES

KINDS: dict[str, Kind] = {"hessian": HESSIAN, "surface": SURFACE, "theory": THEORY, "traces": TRACES}

__all__ = ["COMMON", "KINDS", "Array", "Attribute", "Kind"]
