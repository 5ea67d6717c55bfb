"""The extreme eigenpairs of a Hessian, each checked by one more product, whatever method found it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from ..errors import NotConverged
from ..results import Snapshot
from .krylov import SymmetricOperator
from .lanczos import Lanczos

# Relative rounding of a product, in units of the operator's epsilon: 5 were measured on a LeNet, 19 on a ResNet18.
_ROUNDING = 20
# Relative rounding of the pairs themselves, sums of float64 vectors: below it no residual can come.
_OWN_ROUNDING = 1e-13
_COLUMNS = 4  # vectors checked in one call: shares rebuilt graphs, bounds memory


class PairStatus(IntEnum):
    """What the check of a pair found."""

    NOT_CONVERGED = 0
    CONVERGED = 1
    PRECISION_LIMIT = 2


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenpairs of H with their evidence: an eigenvalue of H lies within `residuals[i]` of `values[i]`.

    values (k,) in the order of `which`; vectors (k, P) float64, of unit length; residuals (k,) = ||Hv - value v|| by a
    product of its own; status (k,) as PairStatus; hvps: products spent to find them, those of the guard among them;
    check_hvps: products spent on the residuals; guard_passed: None where no guard was asked for; guard_bound: the value
    beyond which the guard would have seen a missed eigenvector orthogonal to its space, 99 times in 100 (infinite where
    P is too small to say; NaN without a guard, or where the space is all of R^P); orthogonality: the largest entry of
    |VV' - I|; precision: the length below which a residual is rounding.
    """

    values: np.ndarray
    vectors: Tensor
    residuals: np.ndarray
    status: np.ndarray
    hvps: int
    guard_hvps: int
    check_hvps: int
    guard_passed: bool | None
    guard_bound: float
    orthogonality: float
    precision: float
    which: str
    tol: float

    @property
    def converged(self) -> bool:
        """Whether every pair holds what was asked, and the guard, where there was one, found nothing missed."""
        return bool(np.all(self.status != PairStatus.NOT_CONVERGED)) and self.guard_passed is not False


def rounding_of(H: SymmetricOperator) -> float:
    """Return the relative rounding error to expect of a product with H."""
    dtype = getattr(H, "dtype", torch.float64)
    return max(_ROUNDING * float(torch.finfo(dtype).eps), _OWN_ROUNDING)


def top_eigenpairs(
    H: SymmetricOperator,
    k: int,
    *,
    tol: float = 1e-3,
    which: str = "la",
    guard: bool = True,
    max_products: int | None = None,
    generator: torch.Generator | None = None,
    strict: bool = True,
    progress: Callable[[int, int], None] | None = None,
    snapshot: Snapshot | None = None,
    stored: str = "float64",
) -> Eigenpairs:
    """Return k extreme eigenpairs of H (P, P) by Lanczos; `tol` bounds each residual over its own |eigenvalue|.

    The basis is kept where H is, or in the host's memory where there is no room, as numbers `stored` in "float64",
    "float32" or "bfloat16". `progress` is told between products, when the run is whole; with a `snapshot` it goes on,
    bit for bit, from where that stands. Raises NotConverged (with the pairs as its `result`) where a pair or the guard
    fails, unless `strict` is false.
    """
    solver = Lanczos(
        H,
        k,
        tol=tol,
        which=which,
        guard=guard,
        precision=rounding_of(H),
        max_products=max_products,
        generator=generator,
        stored=stored,
    )
    if snapshot is not None and (state := snapshot.load()) is not None:
        solver.load(state)
    report = progress or (lambda done, total: None)
    while not solver.done:
        report(solver.converged, k)
        solver.step()
        if snapshot is not None:
            snapshot.offer(solver.state)
    report(solver.converged, k)
    return settle(solver, strict=strict)


def settle(solver: Lanczos, *, strict: bool = True) -> Eigenpairs:
    """Return the pairs that a Lanczos run has, checked."""
    pairs = check_pairs(
        solver.space.H,
        solver.values,
        solver.space.vectors(solver.coordinates),
        tol=solver.tol,
        which=solver.which,
        hvps=solver.products,
        guard_hvps=solver.guard_products,
        guard_passed=solver.guard_passed if solver.guard_steps else None,
        guard_bound=solver.guard_bound,
        scale=solver.space.scale,
    )
    if strict and not pairs.converged:
        raise NotConverged(shortfall(pairs), pairs)
    return pairs


def check_pairs(
    H: SymmetricOperator,
    values: np.ndarray,
    vectors: Tensor,
    *,
    tol: float,
    which: str,
    hvps: int,
    guard_hvps: int = 0,
    guard_passed: bool | None = None,
    guard_bound: float = math.nan,
    scale: float = 0.0,
) -> Eigenpairs:
    """Return eigenpairs, values (k,) and vectors (k, P), which become theirs, with the residual of each by a product.

    `scale` is the longest product with a unit vector so far, where it is known: rounding is relative to that, which the
    other end of the spectrum may set.
    """
    k = len(values)
    vectors /= vectors.norm(dim=1, keepdim=True)  # in place: at P = 1e8 each of them takes 0.8 GB
    residuals = np.empty(k)
    scale = max(scale, float(np.max(np.abs(values))))
    for start in range(0, k, _COLUMNS):
        block = vectors[start : start + _COLUMNS]
        sent = block.T.to(H.device, getattr(H, "dtype", torch.float64))
        products = (H @ sent).T.to(block)
        shifts = torch.from_numpy(values[start : start + _COLUMNS].copy()).to(block)[:, None] * block
        residuals[start : start + _COLUMNS] = (products - shifts).norm(dim=1).cpu().numpy()
    overlaps = vectors @ vectors.T - torch.eye(k, dtype=vectors.dtype, device=vectors.device)
    precision = rounding_of(H) * scale
    status = np.full(k, PairStatus.NOT_CONVERGED, dtype=np.uint8)
    status[residuals <= precision] = PairStatus.PRECISION_LIMIT
    status[residuals <= tol * np.abs(values)] = PairStatus.CONVERGED
    return Eigenpairs(
        values=values,
        vectors=vectors,
        residuals=residuals,
        status=status,
        hvps=hvps,
        guard_hvps=guard_hvps,
        check_hvps=k,
        guard_passed=guard_passed,
        guard_bound=guard_bound,
        orthogonality=float(overlaps.abs().max()),
        precision=precision,
        which=which,
        tol=tol,
    )


def shortfall(pairs: Eigenpairs) -> str:
    """Say in one sentence what a set of pairs lacks, and what to try."""
    short = int(np.sum(pairs.status == PairStatus.NOT_CONVERGED))
    if short:
        worst = float(np.max(pairs.residuals / np.maximum(np.abs(pairs.values), np.finfo(float).tiny)))
        return (
            f"{short} of {len(pairs.values)} eigenpairs have residuals above {pairs.tol:g} of their eigenvalue after "
            f"{pairs.hvps} products (the worst: {worst:.1e}); try lanczos with a larger max_products, a larger tol, "
            "or a smaller top"
        )
    return (
        f"the guard was still finding missed eigenpairs when the limit of {pairs.hvps} products was reached; "
        "try a smaller top, or no guard and treat the set as incomplete"
    )
