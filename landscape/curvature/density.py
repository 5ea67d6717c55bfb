"""The spectral density of a Hessian, its trace and its Frobenius norm, by stochastic Lanczos quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from ..errors import UsageError
from .krylov import KrylovSpace, SymmetricOperator

CONFIDENCE = 0.95
PROBES, STEPS, SEARCH_STEPS = 8, 6, 15
_KEPT_RESIDUAL = 0.1  # a pair of the search is deflated where its residual is below this share of its |eigenvalue|
_WIDTH = 0.01  # of the kernel, over the spread of the spectrum
_TAIL = 5  # kernel widths that the grid reaches beyond the outermost values
_GRID = 1024


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Density:
    """The spectral measure of H (P, P): values `nodes` (q,) with `weights` (q,) that sum to 1, and its moments.

    trace and frobenius (the root of the sum of squared eigenvalues): Student's intervals at 95 % over the probes, which
    cover the randomness of the probes alone, not that of the examples. kernel_width: the standard deviation of the
    Gaussians that `on_grid` puts on the nodes. deflated: pairs treated exactly; hvps: products spent.
    """

    nodes: np.ndarray
    weights: np.ndarray
    trace: Interval
    frobenius: Interval
    kernel_width: float
    probes: int
    steps: int
    deflated: int
    hvps: int

    def on_grid(self, size: int = _GRID) -> tuple[np.ndarray, np.ndarray]:
        """Return eigenvalues (size,) and the density (size,) of the spectrum there, smoothed by the kernel."""
        reach = _TAIL * self.kernel_width
        grid = np.linspace(self.nodes.min() - reach, self.nodes.max() + reach, size)
        offsets = (grid[:, None] - self.nodes) / self.kernel_width
        kernels = np.exp(-(offsets**2) / 2) / (math.sqrt(2 * math.pi) * self.kernel_width)
        return grid, kernels @ self.weights


def spectral_density(
    H: SymmetricOperator,
    values: np.ndarray,
    vectors: Tensor,
    residuals: np.ndarray,
    *,
    probes: int = PROBES,
    steps: int = STEPS,
    search_steps: int = SEARCH_STEPS,
    generator: torch.Generator | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Density:
    """Return the spectral density of H (P, P), of which orthonormal pairs are known: values (k,), vectors (k, P).

    First one Lanczos run of `search_steps` in the complement of the known pairs finds more, mostly at the other end.
    Then `probes` random starts, orthogonal to all of these, are developed for `steps` products each (Ubaru, Chen and
    Saad 2017). What is deflated enters trace and Frobenius norm exactly, residuals (k,) included, so that only the rest
    is estimated. Raises UsageError for fewer than two probes: one has no interval.
    """
    if probes < 2 or steps < 1:
        raise UsageError(f"probes = {probes} of {steps} steps; wanted two probes or more, of one step or more")
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    n, total = H.shape[0], search_steps + probes * steps
    space = KrylovSpace(H, len(values) + search_steps + max(search_steps, steps) + 1, generator, home=vectors.device)
    space.deflate(values, vectors)
    spent = 0

    def develop(length: int) -> None:
        nonlocal spent
        space.inject()
        for _ in range(length):
            if not space.pending:
                break
            space.expand()
            spent += 1
            if progress is not None:
                progress(spent, total)

    develop(search_steps)
    more, residuals = _search(space, len(values), residuals)
    values = np.concatenate([values, more])
    known, rest = len(values), n - len(values)
    nodes, weights = [values], [np.full(known, 1 / n)]
    moments = np.zeros((probes, 2))
    for i in range(probes if rest else 0):
        space.truncate(known)
        develop(steps)
        square = space.coupling[known : space.processed, known : space.processed]
        ritz, coordinates = np.linalg.eigh((square + square.T) / 2)
        nodes.append(ritz)
        weights.append(coordinates[0] ** 2 * rest / (n * probes))
        moments[i] = rest * square[0, 0], rest * np.sum(space.coupling[known : space.size, known] ** 2)
    measure = np.concatenate(nodes)
    squares = _interval(moments[:, 1], float(np.sum(values**2) + 2 * np.sum(residuals**2)), least=0.0)
    return Density(
        nodes=measure,
        weights=np.concatenate(weights),
        trace=_interval(moments[:, 0], float(np.sum(values))),
        frobenius=Interval(*(math.sqrt(square) for square in (squares.value, squares.low, squares.high))),
        kernel_width=_kernel_width(measure),
        probes=probes,
        steps=steps,
        deflated=known,
        hvps=spent,
    )


def _search(space: KrylovSpace, known: int, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Deflate what has nearly converged of the rows after the first `known`; return its values, and all residuals."""
    end = space.processed
    square = space.coupling[known:end, known:end]
    values, coordinates = np.linalg.eigh((square + square.T) / 2)
    errors = np.linalg.norm(space.coupling[end : space.size, known:end] @ coordinates, axis=0)
    good = errors <= _KEPT_RESIDUAL * np.abs(values)
    vectors = torch.from_numpy(coordinates[:, good].T.copy()).to(space.rows.device) @ space.rows[known:end]
    space.truncate(known)
    space.deflate(values[good], vectors)
    return values[good], np.concatenate([residuals, errors[good]])


def _interval(samples: np.ndarray, exact: float, *, least: float = -math.inf) -> Interval:
    """Return Student's interval for the mean of independent samples (m,), shifted by what is known exactly."""
    m = len(samples)
    mean = float(samples.mean())
    reach = float(stdtrit(m - 1, (1 + CONFIDENCE) / 2) * samples.std(ddof=1)) / math.sqrt(m)
    return Interval(exact + mean, exact + max(least, mean - reach), exact + mean + reach)


def _kernel_width(nodes: np.ndarray) -> float:
    spread = float(nodes.max() - nodes.min())
    return _WIDTH * (spread or float(np.abs(nodes).max()) or 1.0)  # one point has no spread, and zero has no scale
