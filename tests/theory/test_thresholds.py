"""Every threshold of paper.md 1.2, items 4 to 7, between 0.99 and 1.01, by a solver that knows no closed form."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import landscape.theory.separation as separation
from landscape.errors import DataError, LandscapeError, UsageError
from landscape.theory import (
    constant_loss,
    eps_bar,
    eps_bar_bias,
    eps_bar_box,
    find_thresholds,
    gamma_star,
    gamma_star_box,
    is_constant,
)
from tests.theory.oracle import minimum, problem, withstands


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    ("threshold", "box", "bias"),
    [(eps_bar, False, False), (eps_bar_bias, False, True), (eps_bar_box, True, True)],
)
def test_beyond_the_threshold_the_optimum_is_a_constant_and_before_it_is_not(
    threshold: Any, box: bool, bias: bool, classes: int, seed: int
) -> None:
    inputs, labels = problem(seed, classes=classes)
    if threshold is eps_bar:
        inputs = inputs - 0.4  # without biases the origin matters
    constant = constant_loss(labels) if bias else np.log(classes)
    eps = threshold(inputs, labels)
    assert 0 < eps < 1
    loss, W = minimum(inputs, labels, 1.01 * eps, box=box, bias=bias)
    assert is_constant(W)
    assert np.abs(W).max() < 1e-6
    assert loss == pytest.approx(constant, abs=1e-9)
    loss, W = minimum(inputs, labels, 0.99 * eps, box=box, bias=bias)
    assert not is_constant(W)
    assert np.abs(W).max() > 1e-3
    assert loss < constant - 1e-7


def test_the_box_can_raise_the_threshold_and_never_lowers_it_nor_lifts_it_over_a_half() -> None:
    raised = 0
    for seed in range(50):
        inputs, labels = problem(seed, classes=3, n=12)
        inputs = inputs**6  # ink on black: most pixels cannot fall by eps
        free, boxed = eps_bar_bias(inputs, labels), eps_bar_box(inputs, labels)
        assert free <= boxed + 1e-12
        assert boxed <= 0.5
        raised += boxed > 1.05 * free
    assert raised > 20
    ends = np.array([[0.0], [1.0]])
    assert eps_bar_box(ends, [0, 1]) == 0.5 == eps_bar_bias(ends, [0, 1])


def test_the_threshold_with_the_box_is_the_root_of_its_condition() -> None:
    for seed in range(20):
        inputs, labels = problem(seed, gap=0.1)
        one, two = inputs[labels == 0], inputs[labels == 1]
        eps = eps_bar_box(inputs, labels)
        least = min(
            (np.minimum(a + eps, 1).mean(0) - np.maximum(b - eps, 0).mean(0)).min() for a, b in ((one, two), (two, one))
        )
        assert least == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("pixels", [2, 3])
def test_gamma_star_is_where_the_last_robust_classifier_falls(pixels: int) -> None:
    separable = 0
    for seed in range(25):
        inputs, labels = problem(seed, pixels=pixels, n=7)
        found = gamma_star(inputs, labels)
        assert found.margin <= found.bound + 1e-12
        assert found.bound - found.margin < 1e-9
        assert found.bound <= eps_bar_bias(inputs, labels) + 1e-12
        if found.margin > 1e-3:
            separable += 1
            assert np.abs(found.weights).sum() == pytest.approx(1)
            assert withstands(inputs, labels, 0.99 * found.margin)
        assert not withstands(inputs, labels, 1.01 * found.bound + 1e-9)
    assert separable > 6


def test_gamma_star_with_the_box_is_where_the_last_robust_classifier_falls() -> None:
    separable = 0
    for seed in range(16):
        inputs, labels = problem(seed, n=7, gap=0.15)
        found = gamma_star_box(inputs, labels)
        assert found.margin >= gamma_star(inputs, labels).margin - 1e-9
        assert found.bound <= eps_bar_box(inputs, labels) + 1.1e-5
        if found.margin > 1e-3:
            separable += 1
            assert found.bound - found.margin <= 1.1e-5
            assert withstands(inputs, labels, 0.99 * found.margin, box=True)
            assert not withstands(inputs, labels, 1.01 * found.bound, box=True)
    assert separable > 5


def test_without_a_separator_gamma_star_is_0_and_so_are_its_weights() -> None:
    crossed = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    for found in (gamma_star(crossed, [0, 0, 1, 1]), gamma_star_box(crossed, [0, 0, 1, 1])):
        assert found.margin == 0
        assert found.bound == pytest.approx(0, abs=1e-12)
        assert not found.weights.any()
    assert find_thresholds(crossed, [0, 0, 1, 1]).separation_box is None


def test_a_programme_without_a_solution_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(status=2, x=None, message="The problem is infeasible. ")
    monkeypatch.setattr(separation, "linprog", lambda *args, **kwargs: failed)
    with pytest.raises(LandscapeError, match=r"gamma\* of 9 examples ended without a solution \(The problem is infeas"):
        gamma_star(*problem(0))


@pytest.mark.parametrize("threshold", [eps_bar, eps_bar_bias, eps_bar_box, gamma_star, gamma_star_box])
@pytest.mark.parametrize(
    ("inputs", "labels", "said"),
    [
        (np.ones((3, 2)), [4, 4, 4], "all 3 examples are of class 4; wanted two classes or more"),
        (np.ones((0, 2)), [], "hold no example; wanted"),
        (np.ones((3, 2)), [0, 1], "the labels have shape (2,), the inputs (3, 2); wanted one label per input"),
        (np.full((2, 2), np.nan), [0, 1], "the inputs are not all finite; wanted pixels in [0, 1]"),
    ],
)
def test_data_that_cannot_be_meant_are_refused(threshold: Any, inputs: Any, labels: Any, said: str) -> None:
    with pytest.raises(DataError) as caught:
        threshold(inputs, labels)
    assert said in str(caught.value)


def test_what_only_two_classes_or_the_box_allow_is_said() -> None:
    with pytest.raises(DataError, match="the examples are of 3 classes; wanted two"):
        gamma_star(*problem(0, classes=3))
    inputs, labels = problem(0)
    for threshold in (eps_bar_box, gamma_star_box):
        with pytest.raises(UsageError, match=r"with the box they have to lie in \[0, 1\]"):
            threshold(3 * inputs, labels)


def test_equal_classes_are_constant_at_every_eps() -> None:
    inputs, labels = np.zeros((4, 3)), np.array([0, 0, 1, 1])
    assert [f(inputs, labels) for f in (eps_bar, eps_bar_bias, eps_bar_box)] == [0, 0, 0]
    assert gamma_star(inputs, labels).bound == 0


def test_more_examples_never_raise_gamma_star() -> None:
    inputs, labels = problem(3, n=40, gap=0.2)
    order = np.random.default_rng(0).permutation(40)
    order = np.concatenate([[0, 39], order[(order != 0) & (order != 39)]])
    margins = [gamma_star(inputs[order[:n]], labels[order[:n]]).margin for n in (2, 5, 10, 20, 40)]
    assert all(before >= after - 1e-12 for before, after in pairwise(margins))
