from __future__ import annotations

import numpy as np
import pytest

from landscape.errors import UsageError
from landscape.theory import (
    constant_loss,
    gamma_star,
    in_invariant_set,
    in_version_space,
    is_constant,
    linear_constants,
    loss_bounds,
    slope_jumps,
    version_slack,
)
from tests.theory.oracle import losses, problem, vertices

LADDER = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@pytest.mark.parametrize("classes", [2, 3])
def test_version_spaces_are_nested_and_are_what_no_vertex_breaks(classes: int) -> None:
    rng = np.random.default_rng(classes)
    inside = 0
    for seed in range(60):
        inputs, labels = problem(seed, classes=classes, pixels=4, n=7)
        # Columns near the class means about the middle: some of them separate, random ones hardly ever do.
        means = np.stack([inputs[labels == k].mean(0) for k in range(classes)], axis=1)
        W = means - 0.5 + 0.02 * rng.normal(size=means.shape)
        inputs = inputs - 0.5
        held = [in_version_space(W, inputs, labels, eps) for eps in LADDER]
        assert held == sorted(held, reverse=True)
        for eps, within in zip(LADDER, held, strict=True):
            logits = vertices(inputs, eps) @ W
            rises = logits - np.take_along_axis(logits, labels[:, None, None], 2)
            others = np.arange(classes) != labels[:, None]
            assert version_slack(W, inputs, labels, eps) == pytest.approx(rises.max(1)[others].max(), abs=1e-12)
            inside += within
        assert in_version_space(np.ones_like(W), inputs, labels, 9.0)
    assert inside > 15


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_invariant_sets_are_nested_and_are_where_the_origin_is_least_along_the_line(classes: int) -> None:
    rng = np.random.default_rng(classes)
    seen = set()
    for seed in range(20):
        inputs, labels = problem(seed, classes=classes, n=2 * classes)
        W = rng.normal(size=(2, classes))
        held = [in_invariant_set(W, inputs, labels, eps) for eps in LADDER]
        assert held == sorted(held)
        for eps, within in zip(LADDER, held, strict=True):
            corners = vertices(inputs, eps)
            along = [losses(step * W, np.zeros(classes), corners, labels).max(1).mean() for step in (-1e-5, 0, 1e-5)]
            slopes = np.array([along[0] - along[1], along[2] - along[1]]) / 1e-5
            if np.abs(slopes).min() > 1e-3:  # so near to the edge of T_eps finite differences do not decide
                assert within == bool((slopes > 0).all())
                seen.add(within)
    assert seen == {False, True}


def test_of_one_example_every_direction_is_invariant_once_eps_reaches_its_largest_pixel() -> None:
    rng = np.random.default_rng(0)
    x, label = np.array([[0.3, -0.8, 0.5]]), np.array([1])
    aligned = np.zeros((3, 3))
    aligned[1, 1] = -1.0  # all weight on the largest pixel
    for W in [aligned, *rng.normal(size=(50, 3, 3))]:
        assert in_invariant_set(W, x, label, 0.8)
        assert not in_version_space(W, x, label, 0.81)
    assert not in_invariant_set(aligned, x, label, 0.79)
    assert in_version_space(aligned, x, label, 0.79)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_loss_bounds_hold_every_vertex_between_them_and_close_for_two_classes(classes: int) -> None:
    rng = np.random.default_rng(classes)
    inputs, labels = problem(1, classes=classes, pixels=4, n=12)
    for eps in LADDER:
        W = 3 * rng.normal(size=(4, classes))
        worst = losses(W, np.zeros(classes), vertices(inputs, eps), labels).max(1)
        lower, upper = loss_bounds(W, inputs, labels, eps)
        assert (lower <= worst + 1e-12).all()
        assert (worst <= upper + 1e-12).all()
        if classes == 2 or eps == 0:
            np.testing.assert_allclose(lower, upper, atol=1e-12)


def test_two_classes_have_kinks_on_the_coordinate_hyperplanes_alone() -> None:
    """One-sided differences of the exact loss: the slope jumps by 2 eps sigma where u_d = 0, and nowhere else."""
    rng = np.random.default_rng(4)
    inputs, labels = problem(2, pixels=4)
    u, h = rng.normal(size=4), 1e-6
    u[[1, 3]] = 0

    def mean(point: np.ndarray) -> float:
        W = np.stack([-point, point], axis=1) / 2
        return float(loss_bounds(W, inputs, labels, 0.2)[0].mean())

    jumps = slope_jumps(u, inputs, labels, 0.2)
    for d, axis in enumerate(np.eye(4)):
        measured = (mean(u + h * axis) - 2 * mean(u) + mean(u - h * axis)) / h
        assert measured == pytest.approx(jumps[d], abs=1e-4)
    assert (jumps[[1, 3]] > 0.1).all() and not jumps[[0, 2]].any()
    with pytest.raises(UsageError, match=r"u has shape \(3,\); wanted \(4,\)"):
        slope_jumps(u[:3], inputs, labels, 0.2)


@pytest.mark.parametrize("box", [False, True])
def test_inequality_3_holds_for_linear_models_with_provable_constants(box: bool) -> None:
    """Gradients of L_eps are those at the worst inputs, which are known; pairs are near and far, kinks between them."""
    rng = np.random.default_rng(5)
    nearest = 0.0
    for seed in range(200):
        inputs, labels = problem(seed, pixels=3)
        signs = 2.0 * labels - 1
        eps = float(rng.uniform(0.01, 0.5))
        first = rng.normal(size=4)
        first[:3] *= rng.uniform(0, 4) / np.abs(first[:3]).sum()
        second = first + 10.0 ** rng.uniform(-6, 0) * rng.normal(size=4)
        if seed % 2:
            second[:3] = -1e-6 * first[:3]  # over every kink at once
            first[:3] *= 1e-6
        pair = []
        for theta in (first, second):
            moved = inputs - eps * signs[:, None] * np.sign(theta[:3])
            worst = np.concatenate([np.clip(moved, 0, 1) if box else moved, np.ones((len(inputs), 1))], axis=1)
            margins = signs * (worst @ theta)
            gradient = -((signs / (1 + np.exp(margins)))[:, None] * worst).mean(0)
            pair.append((np.logaddexp(0, -margins).mean(), gradient))
        radius = max(np.abs(theta[:3]).sum() for theta in (first, second))
        constants = linear_constants(inputs, labels, eps, radius=radius, box=box)
        distance = float(np.linalg.norm(first - second))
        assert abs(pair[0][0] - pair[1][0]) <= constants.loss_gap(distance) + 1e-12
        gap = float(np.linalg.norm(pair[0][1] - pair[1][1]))
        assert gap <= constants.gradient_gap(distance, eps) + 1e-12
        nearest = max(nearest, gap / constants.gradient_gap(distance, eps))
    assert nearest > 0.4  # half the bound is L_tx, which is sigma sqrt(D) with sigma = 1/2 at the origin


def test_wrong_shapes_are_refused_in_a_sentence() -> None:
    inputs, labels = problem(0)
    with pytest.raises(UsageError, match=r"W has shape \(3, 2\); wanted \(2, K\)"):
        version_slack(np.zeros((3, 2)), inputs, labels, 0.1)
    with pytest.raises(UsageError, match=r"the labels have to be 9 column numbers of W, from 0 to 1"):
        version_slack(np.zeros((2, 2)), inputs, labels + 1, 0.1)
    with pytest.raises(UsageError, match=r"radius = -1; wanted the largest"):
        linear_constants(inputs, labels, 0.1, radius=-1)
    assert gamma_star(inputs, labels).margin >= 0


def test_constant_classifiers_are_those_with_equal_columns_and_cost_the_entropy_of_the_classes() -> None:
    W = np.array([[0.3, 0.3, 0.3], [-2.0, -2.0, -2.0]])
    assert is_constant(W)
    assert not is_constant(W + np.array([[0, 0, 1e-5], [0, 0, 0]]))
    assert constant_loss([4, 4, 7, 7]) == pytest.approx(np.log(2))
    inputs, labels = problem(0, classes=3, n=12)
    shares = np.bincount(labels) / 12
    for eps in (0.0, 5.0):
        worst = losses(W, np.log(shares), vertices(inputs, eps), labels).max(1)
        assert worst.mean() == pytest.approx(constant_loss(labels))
