"""Which examples carry an eigenvalue, on terms whose shares are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.results.concentration import (
    carried,
    concentration_curve,
    effective_number,
    leading_classes,
    ranked,
    shares,
)

TERMS = np.array([1.0, 6.0, 0.0, -1.0, 4.0])


def test_shares_and_order_by_hand() -> None:
    assert shares(TERMS).tolist() == [0.1, 0.6, 0.0, -0.1, 0.4]
    assert ranked(TERMS).tolist() == [1, 4, 0, 2, 3]
    # The order of a negative eigenvalue begins with the most negative term: that is where the curvature is.
    assert shares(-TERMS).tolist() == shares(TERMS).tolist() and ranked(-TERMS).tolist() == ranked(TERMS).tolist()
    assert [carried(TERMS, fraction) for fraction in (0.01, 0.2, 0.4, 1)] == pytest.approx([0.6, 0.6, 1.0, 1.0])
    fractions, shown = concentration_curve(TERMS)
    assert fractions == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert shown == pytest.approx([0, 0.6, 1.0, 1.1, 1.1, 1.0])  # beyond 1 where the last terms are negative


def test_terms_of_a_hessian_of_zero_have_no_shares() -> None:
    for terms in (np.zeros(3), np.array([1.0, -1.0])):
        assert np.isnan(shares(terms)).all() and math.isnan(carried(terms, 0.1))
        assert sorted(ranked(terms)) == list(range(len(terms)))
    assert math.isnan(effective_number(np.zeros(3))) and effective_number(np.array([1.0, -1.0])) == 0


@pytest.mark.parametrize(("terms", "number"), [(np.full(7, 0.3), 7), (np.eye(7)[2], 1), (np.array([3.0, 1.0]), 1.6)])
def test_the_effective_number(terms: np.ndarray, number: float) -> None:
    assert effective_number(terms) == pytest.approx(number)


def test_the_effective_number_is_the_relative_standard_error() -> None:
    terms = np.random.default_rng(0).lognormal(sigma=1.5, size=400)
    n, number = len(terms), effective_number(terms)
    relative = terms.std(ddof=1) / math.sqrt(n) / terms.mean()
    assert relative == pytest.approx(math.sqrt((n / number - 1) / (n - 1)), rel=1e-12)
    assert relative == pytest.approx(1 / math.sqrt(number), rel=0.1)


def test_the_classes_between_which_most_lies() -> None:
    label, rival = np.array([4, 9, 4, 2]), np.array([9, 4, 2, 4])
    assert leading_classes(label, rival, np.array([0.3, 0.4, 0.2, 0.1])) == ((4, 9), pytest.approx(0.7))
    assert leading_classes(label, rival, np.array([0.1, 0.1, 0.4, 0.4])) == ((2, 4), pytest.approx(0.8))
