"""Intervals and tests: against SciPy's, against exact enumeration, and by how often they cover."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from landscape.statistics import (
    mcnemar,
    paired_over_seeds,
    smallest_detectable,
    wilson,
    with_deviation,
)


@pytest.mark.parametrize(("wrong", "n"), [(0, 10), (3, 10), (10, 10), (1, 2000), (1137, 2000)])
def test_wilson_is_scipys(wrong: int, n: int) -> None:
    low, high = stats.binomtest(wrong, n).proportion_ci(method="wilson")
    assert wilson(wrong, n) == pytest.approx((low, high), rel=1e-9, abs=1e-15)
    assert wilson(wrong, n)[0] <= wrong / n <= wilson(wrong, n)[1]


def test_mcnemar_is_the_exact_test_of_the_examples_that_differ() -> None:
    a = np.array([1] * 50 + [0] * 9 + [1] * 2 + [0] * 20, dtype=bool)
    b = np.array([1] * 50 + [1] * 9 + [0] * 2 + [0] * 20, dtype=bool)
    found = mcnemar(a, b)
    assert found.value == pytest.approx(7 / 81)
    assert found.p == pytest.approx(stats.binomtest(2, 11).pvalue)
    assert found.low < found.value < found.high and found.sign == 1
    assert mcnemar(b, a).value == -found.value and mcnemar(b, a).sign == -1


def test_mcnemar_of_equal_nets_tells_nothing() -> None:
    same = mcnemar(np.ones(30, dtype=bool), np.ones(30, dtype=bool))
    assert same.value == 0 and same.p == 1 and same.sign == 0 and same.low < 0 < same.high


def test_the_paired_interval_covers_the_true_difference() -> None:
    # Exact, by enumeration: of 30 examples, how many only a gets wrong and how many only b, at 15 % and 5 %.
    n, p_a, p_b, covered = 30, 0.15, 0.05, 0.0
    for only_a, only_b in itertools.product(range(n + 1), repeat=2):
        if only_a + only_b > n:
            continue
        weight = stats.multinomial.pmf([only_a, only_b, n - only_a - only_b], n, [p_a, p_b, 1 - p_a - p_b])
        a = np.r_[np.zeros(only_a), np.ones(only_b), np.ones(n - only_a - only_b)].astype(bool)
        b = np.r_[np.ones(only_a), np.zeros(only_b), np.ones(n - only_a - only_b)].astype(bool)
        found = mcnemar(a, b)
        covered += weight * (found.low <= p_a - p_b <= found.high)
    assert 0.935 < covered < 0.98  # Bonett and Price: about its level, a little above in small samples


def test_seeds_are_paired_by_students_t() -> None:
    a, b = [0.30, 0.33, 0.29, 0.35], [0.28, 0.30, 0.28, 0.31]
    found = paired_over_seeds(a, b)
    wanted = stats.ttest_rel(a, b)
    low, high = wanted.confidence_interval()
    assert (found.value, found.p) == pytest.approx((0.025, wanted.pvalue))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_one_seed_says_nothing_of_another() -> None:
    found = paired_over_seeds([0.5], [0.1])
    assert found.value == pytest.approx(0.4) and found.low == -math.inf and found.sign == 0 and math.isnan(found.p)


def test_equal_differences_leave_no_doubt() -> None:
    assert paired_over_seeds([0.5, 0.5], [0.25, 0.25]).sign == 1
    assert paired_over_seeds([0.5, 0.5], [0.5, 0.5]).p == 1


def test_what_is_detectable_is_detected_four_times_in_five() -> None:
    size = smallest_detectable(0.1, 5)
    generator = np.random.default_rng(0)
    draws = size + 0.1 * generator.standard_normal((2000, 5))
    power = np.mean([paired_over_seeds(row, np.zeros(5)).sign == 1 for row in draws])
    assert 0.76 < power < 0.92  # 0.8 within what 2,000 draws tell, and the approximation's pessimism
    assert smallest_detectable(0.1, 1) == math.inf


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([18.56, 18.62, 18.68], "18.62(6)"),
        ([54.97], "54.97"),
        ([10.0, 10.0], "10.00(0)"),
        ([50.0, 60.0], "55.0(7.1)"),
        ([99.0, 100.0], "99.50(71)"),
    ],
)
def test_a_mean_is_written_with_its_deviation(values: list[float], text: str) -> None:
    assert with_deviation(values) == text
