from __future__ import annotations

import numpy as np
import pytest

from landscape.results.barrier import measure_barrier


def test_on_a_quadratic_the_barrier_is_analytic() -> None:
    """Along a line through a double well's saddle: L(t) = a (1 - (2t - 1)^2) + b + c t has the barrier a at 1/2."""
    t = np.linspace(0, 1, 51)
    losses = np.outer(0.7 * (1 - (2 * t - 1) ** 2) + 0.2 + 0.5 * t, np.ones(10))
    found = measure_barrier(t, losses)
    assert found.value == pytest.approx(0.7, abs=1e-12)
    assert (found.low, found.high) == pytest.approx((0.7, 0.7), abs=1e-12)  # examples that do not differ
    assert found.at == (0.5, 0.5)
    assert found.over_ends == pytest.approx(losses.max() - 0.7, abs=1e-12)


@pytest.mark.parametrize("bend", [0.0, 0.3])
def test_a_convex_loss_has_no_barrier(bend: float) -> None:
    t = np.linspace(0, 1, 21)
    losses = np.outer(1 + t - bend * t * (1 - t), np.ones(6))
    found = measure_barrier(t, losses)
    # The first place beside an end is the highest above the chord: the bend there, and 0 for a straight loss.
    assert found.value == pytest.approx(-bend * 0.05 * 0.95, abs=1e-12)
    assert found.over_ends == pytest.approx(0, abs=1e-12)


def test_the_value_is_the_mean_of_its_parts_for_an_odd_number_of_examples() -> None:
    draw = np.random.default_rng(0)
    found = measure_barrier(np.linspace(0, 1, 5), draw.random((5, 7)))
    assert found.parts.mean() == pytest.approx(found.value, abs=1e-15)


def flat_noise(draw: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Examples whose losses scatter independently at 51 places, with no barrier at all: true value 0."""
    return np.linspace(0, 1, 51), 1 + draw.exponential(1.0, (51, n))


def test_the_choice_on_one_half_takes_the_bias_of_the_maximum_away() -> None:
    draw = np.random.default_rng(1)
    honest, naive = [], []
    for trial in range(200):
        t, losses = flat_noise(draw, 100)
        honest.append(measure_barrier(t, losses, seed=trial).value)
        means = losses.mean(axis=1)
        naive.append((means - (1 - t) * means[0] - t * means[-1]).max())
    assert np.mean(naive) > 0.2
    assert abs(np.mean(honest)) < 3 * np.std(honest) / np.sqrt(200)


@pytest.mark.parametrize(("height", "least"), [(0.0, 0.95), (0.3, 0.89)])
def test_the_interval_holds_the_true_barrier_as_often_as_it_says(height: float, least: float) -> None:
    """Skewed losses of examples that are correlated along t, as those of nets are.

    Of 200 trials at 95 %, 89 % is four standard errors below. Without a peak the interval is wider than it need be.
    """
    draw = np.random.default_rng(2)
    t, trials, hit = np.linspace(0, 1, 21), 200, 0
    for trial in range(trials):
        own = draw.exponential(1.0, (1, 200)) * (0.5 + height * np.sin(np.pi * t)[:, None])
        found = measure_barrier(t, own + 0.1 * draw.standard_normal((21, 200)), seed=trial)
        hit += found.low <= height <= found.high
    assert least <= hit / trials


def test_what_is_not_finite_or_too_small_is_said_with_nan() -> None:
    t = np.array([0.0, 0.5, 1.0])
    broken = np.ones((3, 8))
    broken[1, 3] = np.inf
    assert np.isnan(measure_barrier(t, broken).value)
    alone = measure_barrier(t, np.array([[1.0], [3.0], [2.0]]))
    assert alone.value == pytest.approx(1.5)
    assert np.isnan(alone.low)
