"""The spectral density, the trace and the Frobenius norm, against dense spectra; and how often the intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.curvature import Density, HessianOperator, spectral_density, top_eigenpairs
from landscape.errors import UsageError
from landscape.objective import Objective
from tests.problems import Dense, dense_hessian, examples, fill, mlp, symmetric


class Diagonal:
    """diag(values) as an operator: the cheapest matrix there is."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = torch.from_numpy(values)
        self.shape = (len(values), len(values))
        self.device = torch.device("cpu")
        self.products = 0

    def __matmul__(self, v: Tensor) -> Tensor:
        self.products += 1
        return self.values * v


def density(values: np.ndarray, known: int, *, seed: int = 0, **settings: int) -> Density:
    """Return the density of diag(values), whose `known` first pairs are given exactly."""
    H = Diagonal(values)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.eye(len(values), dtype=torch.float64)[:known]
    found = spectral_density(H, values[:known], vectors, np.zeros(known), generator=generator, **settings)
    assert found.hvps == H.products
    return found


def transport(found: Density, spectrum: np.ndarray) -> float:
    """Return the 1-Wasserstein distance from a density's quadrature to the uniform measure on a spectrum."""
    places = np.concatenate([found.nodes, spectrum])
    order = np.argsort(places)
    mass = np.concatenate([found.weights, np.full(len(spectrum), -1 / len(spectrum))])[order]
    return float(np.abs(np.cumsum(mass)[:-1]) @ np.diff(places[order]))


@pytest.mark.parametrize("top", [3, 20])
def test_a_net_s_own_spectrum(top: int) -> None:
    # The shape of a net's spectrum: a few outliers at both ends, the rest in a narrow bulk.
    rng = np.random.default_rng(0)
    bulk = rng.standard_normal(960) * np.exp(rng.standard_normal(960)) / 20
    spectrum = np.sort(np.concatenate([300 * 0.75 ** np.arange(30), -100 * 0.6 ** np.arange(10), bulk]))[::-1].copy()
    H = Dense(symmetric(spectrum))
    pairs = top_eigenpairs(H, top)
    found = spectral_density(H, pairs.values, pairs.vectors, pairs.residuals)
    assert found.hvps == 15 + 8 * 6 and found.deflated > top
    # What field prototypes reached with 15 products and 20 known pairs: 4.1e-4, 1.2 % and 0.04 %.
    trace, squares = spectrum.sum(), (spectrum**2).sum()
    assert transport(found, spectrum) <= (4.1e-4 if top == 20 else 2e-3) * spectrum[0]
    assert abs(found.frobenius.value**2 - squares) <= (4e-4 if top == 20 else 3e-2) * squares
    assert found.trace.value == pytest.approx(trace, rel=0.02 if top == 20 else 0.15)
    assert found.trace.low <= trace <= found.trace.high


def test_a_hessian_by_products() -> None:
    objective = Objective(fill(mlp((16,), inputs=(1, 4, 4))), *examples(20, (1, 4, 4)))
    spectrum = torch.linalg.eigvalsh(dense_hessian(objective)).numpy()
    H = HessianOperator(objective)
    pairs = top_eigenpairs(H, 5)
    found = spectral_density(H, pairs.values, pairs.vectors, pairs.residuals)
    assert transport(found, spectrum) <= 1e-2 * spectrum[-1]  # the bulk of an untrained net is wide: 4e-3 was measured
    for interval, exact in ((found.trace, spectrum.sum()), (found.frobenius, math.sqrt((spectrum**2).sum()))):
        assert abs(interval.value - exact) <= interval.high - interval.low


def test_the_intervals_cover_at_their_rate() -> None:
    held = np.zeros(2)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(150, 400))
        values = np.sort(rng.standard_normal(n) * np.exp(rng.uniform(0, 1) * rng.standard_normal(n)))[::-1].copy()
        found = density(values, 6, seed=seed, probes=int(rng.integers(2, 10)), steps=1, search_steps=4)
        held += (
            found.trace.low <= values.sum() <= found.trace.high,
            found.frobenius.low <= math.sqrt((values**2).sum()) <= found.frobenius.high,
        )
    # 95 % of 200 is 190; five binomial deviations of 3.1 are the slack.
    assert (held >= 175).all() and held[0] < 200, held


def test_all_that_was_deflated_is_exact() -> None:
    values = np.array([9.0, 4.0, 1.0, -2.0])
    found = density(values, 4)
    assert (found.hvps, found.deflated) == (0, 4)
    assert (found.trace.value, found.trace.low, found.trace.high) == (12, 12, 12)
    assert found.frobenius.value == found.frobenius.high == pytest.approx(math.sqrt(102))
    assert np.array_equal(np.sort(found.nodes), np.sort(values)) and found.weights.sum() == 1


def test_a_search_that_reaches_every_dimension_leaves_nothing_to_estimate() -> None:
    values = np.array([9.0, 4.0, 1.0, 0.5, -2.0, -3.0])
    found = density(values, 1)
    assert found.deflated == 6 and found.hvps == 5
    assert found.trace.low == pytest.approx(9.5) == found.trace.high


def test_known_pairs_may_be_rough() -> None:
    # Trace and norm split exactly over any orthonormal vectors, once the residuals are counted.
    H = Dense(symmetric(np.concatenate([[50.0, 20.0], np.random.default_rng(1).standard_normal(98)])))
    Q, _ = torch.linalg.qr(torch.randn(100, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    small, turn = torch.linalg.eigh(Q.T @ H.matrix @ Q)
    vectors = (Q @ turn).T
    residuals = (H.matrix @ vectors.T - vectors.T * small).norm(dim=0).numpy()
    many = spectral_density(H, small.numpy(), vectors, residuals, probes=600, steps=1, search_steps=0)
    assert many.trace.low <= float(H.matrix.trace()) <= many.trace.high
    assert many.frobenius.low <= float(H.matrix.norm()) <= many.frobenius.high
    assert many.frobenius.high - many.frobenius.low < 0.15 * many.frobenius.value


def test_a_hessian_of_zero() -> None:
    found = density(np.zeros(50), 3)
    assert (found.trace.value, found.trace.low, found.trace.high) == (0, 0, 0)
    assert (found.frobenius.value, found.frobenius.high) == (0, 0)
    grid, values = found.on_grid()
    assert np.isfinite(values).all() and np.trapezoid(values, grid) == pytest.approx(1, abs=1e-6)


def test_the_density_on_its_grid_is_one_of_a_kernel_s_width() -> None:
    values = np.array([10.0, 5.0, 0.0, -10.0])
    found = density(values, 4)
    assert found.kernel_width == 0.2  # a hundredth of the spread
    grid, height = found.on_grid(4001)
    assert np.trapezoid(height, grid) == pytest.approx(1, abs=1e-5)
    peak = 0.25 / (0.2 * math.sqrt(2 * math.pi))
    assert height[np.argmin(np.abs(grid - 5))] == pytest.approx(peak, rel=1e-3)


@pytest.mark.parametrize(("probes", "steps"), [(0, 6), (1, 6), (2, 0)])
def test_fewer_than_two_probes_have_no_interval(probes: int, steps: int) -> None:
    with pytest.raises(UsageError, match="two probes or more"):
        density(np.ones(5), 1, probes=probes, steps=steps)


def test_the_same_generator_gives_the_same_numbers_and_another_does_not() -> None:
    values = np.linspace(5, -1, 60)
    one, same, other = (density(values, 2, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.nodes, same.nodes) and one.trace == same.trace
    assert one.trace != other.trace
