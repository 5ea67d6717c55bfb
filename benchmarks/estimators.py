"""Who estimates a spectrum, its trace and its norm from products: ours, PyHessian and curvlinops, in one form.

All multiply by the same dense float64 matrix, so that what is compared is the estimator and not the product. A
quadrature is judged by its nodes: the kernels that each of the packages lays over them would be errors of their own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyhessian import hessian as PyHessianSolver
from torch import Tensor, nn

from landscape.curvature import Eigenpairs, spectral_density

HAS_CURVLINOPS = importlib.util.find_spec("curvlinops") is not None


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a number of products gave: nodes (q,) and weights (q,) of a quadrature, trace, and squared norm; or None."""

    products: int
    trace: float | None = None
    squares: float | None = None
    nodes: np.ndarray | None = None
    weights: np.ndarray | None = None


class Counted:
    """A dense matrix (P, P) that counts its products, a column each."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix
        self.shape, self.device, self.dtype = tuple(matrix.shape), matrix.device, matrix.dtype
        self.products = 0

    def __matmul__(self, v: Tensor) -> Tensor:
        """Return the product with v (P,) or (P, m)."""
        self.products += v[0].numel()
        return self.matrix @ v.to(self.dtype)


Estimator = Callable[[Counted, int], Estimate]  # of a matrix and a seed


def ours(pairs: Eigenpairs | None, *, probes: int, steps: int, search: int) -> Estimator:
    """Return our density with eigenpairs deflated, or without any known; products are those spent here."""

    def estimate(H: Counted, seed: int) -> Estimate:
        known = (np.empty(0), torch.empty(0, H.shape[0], dtype=torch.float64), np.empty(0))
        if pairs is not None:
            known = (pairs.values, pairs.vectors, pairs.residuals)
        generator = torch.Generator().manual_seed(seed)
        found = spectral_density(H, *known, probes=probes, steps=steps, search_steps=search, generator=generator)
        return Estimate(H.products, found.trace.value, found.frobenius.value**2, found.nodes, found.weights)

    return estimate


def pyhessian_density(steps: int, runs: int) -> Estimator:
    """Return PyHessian's `density(iter=steps, n_v=runs)`, and the moments of what it returns."""

    def estimate(H: Counted, seed: int) -> Estimate:
        with _torch_eig():
            nodes, weights = _pyhessian(H).density(iter=steps, n_v=runs)
        return _of_quadrature(H, np.concatenate(nodes), np.concatenate(weights) / runs)

    return estimate


def pyhessian_trace(products: int) -> Estimator:
    """Return PyHessian's `trace`, with a tolerance of 0 so that it uses all its products, and their mean."""

    def estimate(H: Counted, seed: int) -> Estimate:
        return Estimate(H.products, float(np.mean(_pyhessian(H).trace(maxIter=products, tol=0.0))))

    return estimate


def curvlinops_quadrature(steps: int, runs: int) -> Estimator:
    """Return the quadrature behind curvlinops' `lanczos_approximate_spectrum(ncv=steps, num_repeats=runs)`."""

    def estimate(H: Counted, seed: int) -> Estimate:
        from curvlinops.papyan2020traces.spectrum import fast_lanczos  # type: ignore[import-untyped]

        pieces = [fast_lanczos(H, steps) for _ in range(runs)]
        nodes = torch.cat([values for values, _ in pieces])
        weights = torch.cat([vectors[0] ** 2 for _, vectors in pieces]) / runs
        return _of_quadrature(H, nodes.numpy(), weights.numpy())

    return estimate


def curvlinops_trace(name: str, products: int) -> Estimator:
    """Return one of curvlinops' estimators of the trace, or of the squared Frobenius norm, by its name there."""

    def estimate(H: Counted, seed: int) -> Estimate:
        import curvlinops

        divisor = {"hutchpp_trace": 3, "xtrace": 2}.get(name, 1)
        most = min(products, H.shape[0] - 1) // divisor * divisor
        if name == "hutchinson_squared_fro":
            from curvlinops.norm.hutchinson import hutchinson_squared_fro  # type: ignore[import-untyped]

            return Estimate(H.products, squares=float(hutchinson_squared_fro(H, most)))
        return Estimate(H.products, float(getattr(curvlinops, name)(H, most)))

    return estimate


def run(estimator: Estimator, matrix: Tensor, seed: int) -> Estimate:
    """Return an estimate and the products that it took, the global generator seeded and put back."""
    H = Counted(matrix)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # what curvlinops imports uses torch.jit.script
        torch.manual_seed(seed)
        found = estimator(H, seed)
    return Estimate(H.products, found.trace, found.squares, found.nodes, found.weights)


def transport(nodes: np.ndarray, weights: np.ndarray, spectrum: np.ndarray) -> float:
    """Return the 1-Wasserstein distance from a quadrature to the uniform measure on a spectrum (P,)."""
    places = np.concatenate([nodes, spectrum])
    order = np.argsort(places)
    mass = np.concatenate([weights, np.full(len(spectrum), -1 / len(spectrum))])[order]
    return float(np.abs(np.cumsum(mass)[:-1]) @ np.diff(places[order]))


def _of_quadrature(H: Counted, nodes: np.ndarray, weights: np.ndarray) -> Estimate:
    n = H.shape[0]
    return Estimate(H.products, float(n * weights @ nodes), float(n * weights @ nodes**2), nodes, weights)


def _pyhessian(H: Counted) -> Any:
    """Return PyHessian's solver, multiplying by the matrix in place of its own product over a loader."""
    net = nn.Module()
    net.weights = nn.Parameter(torch.zeros(H.shape[0], dtype=H.dtype))
    solver = PyHessianSolver(net, None, dataloader=[None], cuda=False)

    def multiply(v: Sequence[Tensor]) -> tuple[None, list[Tensor]]:
        return None, [H @ v[0]]

    solver.dataloader_hv_product = multiply
    return solver


@contextlib.contextmanager
def _torch_eig() -> Iterator[None]:
    """Put back torch.eig, which was removed from torch and which PyHessian 0.1 calls for a symmetric matrix."""

    def eig(matrix: Tensor, eigenvectors: bool = True) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        return torch.stack([values, torch.zeros_like(values)], 1), vectors

    gone, torch.eig = torch.eig, eig  # what is left there says that it is gone
    try:
        yield
    finally:
        torch.eig = gone
