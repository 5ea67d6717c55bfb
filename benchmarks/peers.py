"""The peers by their public doors, each on a copy of the net: PyHessian's power iteration, curvlinops' Hessian."""

from __future__ import annotations

import copy
import importlib.util
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from contenders import Eigsh, Solution
from problems import Problem
from pyhessian import hessian as PyHessianSolver
from torch import Tensor, nn

HAS_CURVLINOPS = importlib.util.find_spec("curvlinops") is not None


def _flat(pieces: list[Tensor]) -> Tensor:
    return torch.cat([piece.reshape(-1) for piece in pieces]).detach()


def _pyhessian(problem: Problem) -> Any:
    twin = copy.deepcopy(problem.model)
    return PyHessianSolver(twin, nn.CrossEntropyLoss(), dataloader=problem.batches(), cuda=False)


def _quiet() -> None:
    # Said at every one of thousands of passes: its backward(create_graph=True) ties a cycle, undone by _forget.
    warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")


def _forget(solver: Any) -> None:
    solver.model.zero_grad(set_to_none=True)  # each gradient holds its graph, which holds the gradient
    solver.gradsH = None


def pyhessian_product(problem: Problem) -> Callable[[Tensor], Tensor]:
    """Return PyHessian's product v (P,) -> Hv (P,) over the loader; it makes the quotient v'Hv on the way."""
    with warnings.catch_warnings():
        _quiet()
        solver = _pyhessian(problem)

    def multiply(v: Tensor) -> Tensor:
        with warnings.catch_warnings():
            _quiet()
            pieces = problem.objective.space.split(v)
            return _flat(solver.dataloader_hv_product(list(pieces))[1])

    return multiply


class PyHessian:
    """PyHessian's `eigenvalues(top_n=k)` on a loader, with its own defaults: deflated power iteration, by magnitude."""

    name = "PyHessian"

    def solve(self, problem: Problem, k: int, *, seed: int, short: bool = False) -> Solution:
        """Return what it returns, the larger magnitude first."""
        seconds, products = 0.0, 0
        began = time.process_time()
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            _quiet()
            torch.manual_seed(seed)  # its starts come from the global generator
            solver = _pyhessian(problem)
            multiply = solver.dataloader_hv_product

            def counted(v: list[Tensor]) -> tuple[float, list[Tensor]]:
                nonlocal seconds, products
                entered = time.process_time()
                product: tuple[float, list[Tensor]] = multiply(v)
                seconds += time.process_time() - entered
                products += 1
                return product

            solver.dataloader_hv_product = counted
            values, pieces = solver.eigenvalues(top_n=k, **({"maxIter": 2} if short else {}))
        total = time.process_time() - began
        _forget(solver)
        order = np.argsort(-np.abs(values), kind="stable")
        vectors = torch.stack([_flat(pieces[i]) for i in order]).double()
        return Solution(np.array(values, dtype=np.float64)[order], vectors, products, total, seconds)


def curvlinops_product(problem: Problem) -> Callable[[np.ndarray], np.ndarray]:
    """Return curvlinops' Hessian product in SciPy's terms, without its start-up check of the data (in its favour)."""
    twin = copy.deepcopy(problem.model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what it imports uses torch.jit.script
        from curvlinops import HessianLinearOperator  # type: ignore[import-untyped]

        H = HessianLinearOperator(
            twin,
            nn.CrossEntropyLoss(),
            [p for p in twin.parameters() if p.requires_grad],
            problem.batches(),
            check_deterministic=False,
            num_data=problem.n,
        )
        operator = H.to_scipy()

    def multiply(v: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch itself scripts at its first forward derivative
            product: np.ndarray = operator.matvec(v)
        return product

    return multiply


def curvlinops() -> Eigsh:
    """Return curvlinops' product under SciPy's solver, the way its documentation shows."""
    return Eigsh("curvlinops + eigsh", curvlinops_product)
