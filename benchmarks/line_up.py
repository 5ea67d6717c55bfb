"""The contenders of benchmarks/hessian.py, in the order of its table."""

from __future__ import annotations

from contenders import Contender, Ours, eigsh_on_ours
from peers import HAS_CURVLINOPS, PyHessian, curvlinops
from timing import CURVLINOPS, KEPT, PYHESSIAN

OURS = "ours"
# Which of the timed products a contender multiplies by.
PRODUCT_OF = {
    OURS: KEPT,
    "ours, no guard": KEPT,
    "eigsh on our product": KEPT,
    "curvlinops + eigsh": CURVLINOPS,
    "PyHessian": PYHESSIAN,
}


def contenders() -> list[Contender]:
    """Return who takes part: curvlinops only where it is installed."""
    found: list[Contender] = [Ours(guard=True), Ours(guard=False), eigsh_on_ours()]
    if HAS_CURVLINOPS:
        found.append(curvlinops())
    return [*found, PyHessian()]
