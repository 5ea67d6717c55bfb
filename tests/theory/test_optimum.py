from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.theory import (
    Regime,
    eps_bar,
    eps_bar_bias,
    eps_bar_box,
    find_thresholds,
    loss_bounds,
    phase_diagram,
    robust_optimum,
)
from tests.theory.oracle import minimum, problem


@pytest.mark.parametrize("box", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_optimum_is_that_of_the_independent_solver(seed: int, box: bool) -> None:
    inputs, labels = problem(seed, pixels=3)
    found = find_thresholds(inputs, labels, box=box)
    separated, constant_from = found.edges(box=box)
    for share in (0.3, 0.7, 0.95, 1.05):
        eps = separated.bound + share * (constant_from - separated.bound)
        ours = robust_optimum(inputs, labels, eps, box=box)
        loss, W = minimum(inputs, labels, eps, box=box)
        assert ours.kkt_residual < 1e-7
        assert ours.loss == pytest.approx(loss, abs=1e-8)
        assert ours.loss <= loss + 1e-10
        np.testing.assert_allclose(ours.weights, W[:, 1] - W[:, 0], atol=2e-3 * max(1, ours.norm))


def test_its_loss_is_the_loss_of_its_weights() -> None:
    inputs, labels = problem(2, pixels=5, n=20)
    found = robust_optimum(inputs, labels, 0.1, bias=False)
    W = np.stack([-found.weights, found.weights], axis=1) / 2
    assert loss_bounds(W, inputs, labels, 0.1)[0].mean() == pytest.approx(found.loss, abs=1e-12)
    assert found.bias == 0


@pytest.mark.parametrize("seed", range(5))
def test_it_is_constant_just_beyond_each_threshold_and_not_just_before(seed: int) -> None:
    """Check 4: loss = ln K or the prior's entropy and ||W*|| < 1e-6 at 1.01, on data too large for the other solver."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(200) < 0.3).astype(int)
    inputs = np.clip(0.5 + 0.2 * labels[:, None] * rng.normal(size=30) + 0.2 * rng.normal(size=(200, 30)), 0, 1)
    share = labels.mean()
    prior = -share * np.log(share) - (1 - share) * np.log(1 - share)
    for threshold, box, bias in ((eps_bar, False, False), (eps_bar_bias, False, True), (eps_bar_box, True, True)):
        eps, constant = threshold(inputs, labels), prior if bias else np.log(2)
        after = robust_optimum(inputs, labels, 1.01 * eps, box=box, bias=bias)
        assert (after.norm, after.kkt_residual) == (0, pytest.approx(0, abs=1e-12))
        assert after.loss == pytest.approx(constant, abs=1e-12)
        before = robust_optimum(inputs, labels, 0.99 * eps, box=box, bias=bias)
        assert before.norm > 1e-3
        assert before.loss < constant - 1e-7


@pytest.mark.parametrize("box", [False, True])
def test_the_three_regimes_in_their_order(box: bool) -> None:
    inputs, labels = problem(5, pixels=6, n=30, gap=0.1)
    found = find_thresholds(inputs, labels, box=box)
    separated, constant_from = found.edges(box=box)
    assert separated.margin > 0.01
    eps = np.linspace(0, 1.3 * constant_from, 14)
    seen: list[tuple[int, int]] = []
    diagram = phase_diagram(inputs, labels, eps, found, box=box, progress=lambda *told: seen.append(told))
    assert seen == [(done, 14) for done in range(15)]
    assert diagram.regime.tolist() == sorted(diagram.regime.tolist())
    assert set(diagram.regime.tolist()) == set(Regime)
    separable, finite, constant = (diagram.regime == regime for regime in Regime)
    np.testing.assert_array_equal(diagram.regime, np.digitize(eps, [separated.margin, constant_from]))
    assert not diagram.loss[separable].any()
    assert np.isinf(diagram.norm[separable]).all()
    assert (diagram.margin[separable] > 0).all()
    assert not diagram.error_rate[separable].any()
    assert np.isnan(diagram.kkt_residual[separable]).all()
    assert (diagram.kkt_residual[~separable] < 1e-7).all()
    assert (np.diff(diagram.loss[finite]) > 0).all()
    assert (diagram.margin[finite] <= 0).all()
    assert (diagram.error_rate[finite] >= diagram.clean_error_rate[finite]).all()
    assert not diagram.norm[constant].any()
    assert np.isnan(diagram.margin[constant]).all()
    least = np.bincount(labels).min() / len(labels)
    np.testing.assert_allclose(diagram.error_rate[constant], least)


def test_a_radius_beyond_the_box_is_refused() -> None:
    inputs, labels = problem(0)
    with pytest.raises(UsageError, match=r"eps = 2 is outside \[0, 1\]"):
        robust_optimum(inputs, labels, 2.0, box=True)
    with pytest.raises(UsageError, match="eps = -0.1 is no radius"):
        robust_optimum(inputs, labels, -0.1)
