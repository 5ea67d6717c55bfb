"""Who is measured, in one form: a product with the Hessian, and k eigenpairs with what they cost."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from problems import Problem
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from landscape.curvature import Lanczos, directional_curvature, settle
from landscape.curvature.eigenpairs import rounding_of
from landscape.curvature.krylov import SymmetricOperator

TOL = 1e-3  # of each pair's own |lambda|


@dataclass(frozen=True, eq=False)
class Solution:
    """k eigenpairs as a contender returns them: values (k,), vectors (k, P), and the CPU seconds and products spent.

    `product_seconds` are those of the seconds that went into products; `notes` holds what only that contender can tell.
    """

    values: np.ndarray
    vectors: Tensor
    products: int
    seconds: float
    product_seconds: float
    notes: Mapping[str, float] = field(default_factory=dict)


class Contender(Protocol):
    """One way to the top of the spectrum."""

    name: str

    def solve(self, problem: Problem, k: int, *, seed: int, short: bool = False) -> Solution:
        """Return k eigenpairs; `short` stops early, once all the memory of a whole run has been touched."""
        ...


class Metered:
    """A matrix (P, P) whose products are counted and timed, in CPU seconds."""

    def __init__(self, multiply: Callable[[Tensor], Tensor], *, shape: tuple[int, int], dtype: torch.dtype) -> None:
        self.shape, self.dtype = shape, dtype
        self.device = torch.device("cpu")
        self.multiply = multiply
        self.products = 0
        self.seconds = 0.0

    def __matmul__(self, v: Tensor) -> Tensor:
        began = time.process_time()
        product = self.multiply(v)
        self.seconds += time.process_time() - began
        self.products += 1 if v.dim() == 1 else v.shape[1]
        return product


class Ours:
    """Landscape's Lanczos on its own product, with the guard against missed pairs or without."""

    def __init__(self, *, guard: bool) -> None:
        self.guard = guard
        self.name = "ours" if guard else "ours, no guard"

    def solve(self, problem: Problem, k: int, *, seed: int, short: bool = False) -> Solution:
        """Return the k algebraically largest eigenpairs; their check is timed apart, in the notes."""
        H = problem.operator()
        metered = Metered(H.__matmul__, shape=H.shape, dtype=H.dtype)
        began = time.process_time()
        generator = torch.Generator().manual_seed(seed)
        operator: SymmetricOperator = metered
        solver = Lanczos(operator, k, tol=TOL, guard=self.guard, precision=rounding_of(operator), generator=generator)
        solver.solve()
        vectors = solver.space.vectors(solver.coordinates)
        solved = time.process_time()
        product_seconds = metered.seconds
        pairs = settle(solver, strict=False)
        checked = time.process_time()
        # Below the rounding of a product a claim is noise: such pairs say how good the estimate of rounding is.
        told = solver.residuals > pairs.precision
        ratio = np.max(pairs.residuals[told] / solver.residuals[told]) if told.any() else 1.0
        rounding = np.max(pairs.residuals[~told], initial=0.0) / pairs.precision
        notes = {
            "guard_passed": float(pairs.guard_passed is True),
            "guard_products": pairs.guard_hvps,
            "true_over_claimed": float(ratio),
            "rounding_over_estimate": float(rounding),
            "check_seconds": checked - solved,
            "check_products": pairs.check_hvps,
        }
        return Solution(solver.values, vectors, solver.products, solved - began, product_seconds, notes)


class Eigsh:
    """SciPy's eigsh (ARPACK) on a product: ours, to tell the solver from the product, or a peer's."""

    def __init__(self, name: str, product: Callable[[Problem], Callable[[np.ndarray], np.ndarray]]) -> None:
        self.name = name
        self.product = product

    def solve(self, problem: Problem, k: int, *, seed: int, short: bool = False) -> Solution:
        """Return the k algebraically largest eigenpairs at tolerance TOL, in SciPy's default subspace."""
        size = problem.objective.n_parameters
        start = torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).numpy()
        seconds, products = 0.0, 0
        began = time.process_time()
        multiply = self.product(problem)

        def counted(v: np.ndarray) -> np.ndarray:
            nonlocal seconds, products
            entered = time.process_time()
            product = multiply(v.reshape(-1))
            seconds += time.process_time() - entered
            products += 1
            return product

        operator = LinearOperator((size, size), matvec=counted, dtype=np.float64)
        try:
            values, vectors = eigsh(operator, k=k, which="LA", tol=TOL, v0=start, maxiter=1 if short else None)
        except ArpackNoConvergence as error:
            values, vectors = error.eigenvalues, error.eigenvectors
        total = time.process_time() - began
        columns = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1].T))
        return Solution(values[::-1].copy(), columns, products, total, seconds)


def our_product(problem: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """Return our product with its graphs kept, in SciPy's terms."""
    multiply: Callable[[np.ndarray], np.ndarray] = problem.operator().to_scipy().matvec
    return multiply


def eigsh_on_ours() -> Eigsh:
    """Return SciPy's solver on our product."""
    return Eigsh("eigsh on our product", our_product)


def evidence_seconds(problem: Problem, vectors: Tensor) -> float:
    """Return the CPU seconds that the error bars and Gauss-Newton shares of eigenvectors (k, P) take."""
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch itself scripts at its first forward derivative
        for vector in vectors:
            directional_curvature(problem.objective, problem.w, vector)
    return time.process_time() - began
