"""The optimum of more than two classes against the independent solver, and around each threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from landscape.errors import DataError, UsageError
from landscape.theory import (
    constant_loss,
    eps_bar,
    eps_bar_bias,
    eps_bar_box,
    is_constant,
    multiclass_optimum,
    robust_optimum,
)
from landscape.theory.multiclass import _worst
from tests.theory.oracle import losses, minimum, problem, vertices

CASES = [(eps_bar, False, False), (eps_bar_bias, False, True), (eps_bar_box, True, True), (eps_bar_box, True, False)]
TOL = 1e-5


@pytest.mark.parametrize(("threshold", "box", "bias"), CASES)
@pytest.mark.parametrize("classes", [3, 4])
def test_it_is_that_of_the_independent_solver(threshold: Any, box: bool, bias: bool, classes: int) -> None:
    inputs, labels = problem(classes, classes=classes, n=3 * classes)
    eps = 0.7 * threshold(inputs, labels)
    ours = multiclass_optimum(inputs, labels, eps, box=box, bias=bias, tol=TOL)
    loss, W = minimum(inputs, labels, eps, box=box, bias=bias)
    assert ours.gap <= TOL
    assert ours.lower - 1e-8 <= loss <= ours.loss + 1e-8
    np.testing.assert_allclose(ours.weights, W, atol=5e-3 * max(1, np.abs(W).max()))
    assert ours.residual < 1e-5
    corners = vertices(inputs, eps, box=box)
    assert losses(ours.weights, ours.bias, corners, labels).max(1).mean() == pytest.approx(ours.loss, abs=1e-12)


@pytest.mark.parametrize(("threshold", "box", "bias"), CASES[:3])
def test_it_is_constant_just_beyond_each_threshold_and_not_just_before(threshold: Any, box: bool, bias: bool) -> None:
    """On data too large for the other solver's vertices to be many: 40 examples of 3 classes, 8 pixels."""
    rng = np.random.default_rng(1)
    labels = np.minimum(np.arange(40) // 8, 2)  # 8, 8 and 24 of a class
    centres = rng.uniform(0.3, 0.7, (3, 8))
    inputs = np.clip(centres[labels] + rng.normal(0, 0.15, (40, 8)), 0, 1)
    if threshold is eps_bar:
        inputs = inputs - 0.4
    constant = constant_loss(labels) if bias else np.log(3)
    eps = threshold(inputs, labels)
    after = multiclass_optimum(inputs, labels, 1.01 * eps, box=box, bias=bias, tol=TOL)
    assert is_constant(after.weights)
    assert after.norm == 0
    assert after.loss == pytest.approx(constant, abs=1e-12)
    assert after.gap <= TOL
    before = multiclass_optimum(inputs, labels, 0.98 * eps, box=box, bias=bias, tol=1e-6)
    assert before.norm > 1e-3
    assert before.loss < constant - 1e-6


def test_of_two_classes_it_is_what_the_smooth_problem_gives() -> None:
    inputs, labels = problem(3, pixels=6, n=20)
    eps = 0.6 * eps_bar_bias(inputs, labels)
    ours, exact = multiclass_optimum(inputs, labels, eps, tol=TOL), robust_optimum(inputs, labels, eps)
    assert ours.lower - 1e-8 <= exact.loss <= ours.loss + 1e-8
    np.testing.assert_allclose(ours.weights[:, 1] - ours.weights[:, 0], exact.weights, atol=1e-2 * exact.norm)


def test_the_worst_input_is_attained_and_bounded_by_the_vertices() -> None:
    rng = np.random.default_rng(0)
    for classes, pixels in ((3, 5), (5, 11), (4, 12)):
        inputs, labels = problem(classes, classes=classes, pixels=pixels, n=2 * classes)
        W, b = rng.normal(size=(pixels, classes)), rng.normal(size=classes)
        exact = losses(W, b, vertices(inputs, 0.2), labels).max(1)
        worst, found, bound = _worst(W, b, labels, inputs - 0.2, inputs + 0.2)
        np.testing.assert_allclose(losses(W, b, worst[:, None], labels)[:, 0], found, rtol=1e-12)
        assert (found <= exact + 1e-12).all()
        assert (exact <= bound + 1e-12).all()
        np.testing.assert_allclose(bound, exact, rtol=0 if pixels < 10 else 0.05, atol=1e-12)
        np.testing.assert_allclose(found, exact, rtol=0 if pixels < 10 else 0.02, atol=1e-12)


def test_what_cannot_be_meant_is_said() -> None:
    inputs, labels = problem(0, classes=3)
    with pytest.raises(DataError, match="are of class 1; wanted two classes or more"):
        multiclass_optimum(inputs, np.ones(9, int), 0.1)
    with pytest.raises(UsageError, match=r"eps = 2 is outside \[0, 1\]"):
        multiclass_optimum(inputs, labels, 2.0, box=True)
    with pytest.raises(UsageError, match="tol = 0; wanted nats between 0 and 1"):
        multiclass_optimum(inputs, labels, 0.1, tol=0)
