"""Inequality (3) on small softplus nets, with the constants that `softplus_constants` proves."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus

from landscape.errors import UsageError
from landscape.theory import Constants, one_dimensional, softplus_constants
from tests.theory.oracle import problem

HIDDEN, PIXELS, CLASSES = 3, 2, 3
Theta = list[Tensor]


def loss(theta: Theta, x: Tensor, labels: Tensor, beta: float) -> Tensor:
    """Return the losses (N,) of a net of one hidden layer."""
    U, a, V, c = theta
    return cross_entropy(softplus(x @ U.T + a, beta=beta) @ V.T + c, labels, reduction="none")


def at(theta: Theta, inputs: Tensor, labels: Tensor, deltas: Tensor, beta: float) -> tuple[float, Tensor]:
    """Return the mean over examples of the largest loss over the deltas (M, D), and its gradient in theta, flat."""
    leaves = [part.clone().requires_grad_() for part in theta]
    each = torch.stack([loss(leaves, inputs + delta, labels, beta) for delta in deltas])
    worst = each.max(0).values.mean()
    return float(worst.detach()), torch.cat([part.flatten() for part in torch.autograd.grad(worst, leaves)])


def norms(*thetas: Theta) -> tuple[float, float]:
    first = max(float(torch.linalg.matrix_norm(torch.cat([U, a[:, None]], 1), 2)) for U, a, _, _ in thetas)
    return first, max(float(torch.linalg.matrix_norm(V, 2)) for _, _, V, _ in thetas)


def drawn(generator: torch.Generator, scale: float) -> Theta:
    shapes = [(HIDDEN, PIXELS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)]
    return [scale * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_inequality_3_holds_and_its_second_term_is_needed(beta: float) -> None:
    """The maximum is over a grid of perturbations, vertices included: (3) holds for a maximum over any such set."""
    generator = torch.Generator().manual_seed(7)
    inputs, labels = (torch.from_numpy(part) for part in problem(2, classes=CLASSES, pixels=PIXELS, n=12))
    jumped = 0
    for trial in range(30):
        eps = 0.1 + 0.01 * trial
        deltas = eps * torch.tensor(list(product(np.linspace(-1, 1, 5), repeat=PIXELS)), dtype=torch.float64)
        one = drawn(generator, 0.3 + trial / 20)
        step = 10.0 ** (-6 * (trial % 5) / 4)
        other = [part + step * move for part, move in zip(one, drawn(generator, 0.3), strict=True)]
        if trial % 2:  # over a kink at next to no distance: with U the best perturbation turns round
            one[0] = 1e-7 * one[0]
            other = [-one[0], *one[1:]]
        first, second = norms(one, other)
        bound = softplus_constants(
            inputs.numpy(), labels.numpy(), eps, hidden=HIDDEN, first_norm=first, second_norm=second, beta=beta
        )
        (value, gradient), (moved, turned) = (at(theta, inputs, labels, deltas, beta) for theta in (one, other))
        distance = float(torch.cat([(a - b).flatten() for a, b in zip(one, other, strict=True)]).norm())
        gap = float((gradient - turned).norm())
        assert abs(value - moved) <= bound.loss_gap(distance) + 1e-12
        assert gap <= bound.gradient_gap(distance, eps) + 1e-12
        jumped += gap > bound.theta_theta * distance
    assert jumped > 10


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_the_constants_bound_the_derivatives_and_are_within_reach_of_them(beta: float) -> None:
    """Hessian, mixed derivative and gradient by autograd, at the corner of the set where they are largest of many."""
    generator = torch.Generator().manual_seed(3)
    inputs, labels = (torch.from_numpy(part) for part in problem(1, classes=CLASSES, pixels=PIXELS, n=3))
    closest = np.zeros(3)
    for trial in range(6):
        theta = drawn(generator, 0.2 + 0.2 * trial)
        first, second = norms(theta)
        bound = softplus_constants(
            inputs.numpy(), labels.numpy(), 0.0, hidden=HIDDEN, first_norm=first, second_norm=second, beta=beta
        )
        point = torch.cat([part.flatten() for part in theta])
        for x, label in zip(inputs, labels, strict=True):

            def one(flat: Tensor, pixels: Tensor, label: Tensor = label, theta: Theta = theta) -> Tensor:
                pieces = flat.split([part.numel() for part in theta])
                parts = [piece.view_as(part) for piece, part in zip(pieces, theta, strict=True)]
                return loss(parts, pixels[None], label[None], beta)[0]

            gradient = torch.autograd.functional.jacobian(lambda w, x=x: one(w, x), point)
            blocks = torch.autograd.functional.hessian(one, (point, x))
            corners = torch.tensor(list(product([-1.0, 1.0], repeat=PIXELS)), dtype=torch.float64)
            found = [
                float(gradient.norm()),
                float(torch.linalg.matrix_norm(blocks[0][0], 2)),
                float((blocks[0][1] @ corners.T).norm(dim=0).max()),  # from l-inf to l2, at a vertex
            ]
            allowed = [bound.theta, bound.theta_theta, bound.theta_x]
            assert all(f <= b * (1 + 1e-12) for f, b in zip(found, allowed, strict=True))
            closest = np.maximum(closest, np.array(found) / allowed)
    assert (closest > [0.4, 0.05, 0.05]).all()


def test_gradient_descent_stalls_below_that_norm_only() -> None:
    """On fig. 1 with eps 1.2, whose minimum is a kink: wherever a step does not lower the loss, the slope is small."""
    constants = Constants(theta=2.2, theta_theta=2.2**2 / 4, theta_x=1.09985)  # |x + delta| <= 2.2; paper.md 1.3's L_tx
    eps, stalled = 1.2, 0
    for step in (0.1, 0.5, 1.0):
        level = constants.stalling_gradient(eps, step)
        for theta in np.linspace(-2, 2, 400):
            slope = one_dimensional.slopes(theta, eps=eps)[1]
            if one_dimensional.loss(theta - step * slope, eps=eps) >= one_dimensional.loss(theta, eps=eps):
                assert abs(slope) <= level
                stalled += 1
    assert stalled > 10
    assert constants.stalling_gradient(0.0, 0.1) == 0
    with pytest.raises(UsageError, match="step = 2.0; wanted one between 0 and 2 / L_tt = 1.65289"):
        constants.stalling_gradient(eps, 2.0)


def test_without_an_adversary_there_is_no_second_term_and_sizes_have_to_be_positive() -> None:
    inputs, labels = problem(0)
    settings = {"hidden": 2, "first_norm": 1.0, "second_norm": 1.0}
    constants = softplus_constants(inputs, labels, 0.0, **settings)
    assert constants.gradient_gap(0.0, 0.0) == 0 < constants.gradient_gap(0.0, 0.1)
    assert isinstance(constants, Constants)
    with pytest.raises(UsageError, match="beta = 0; wanted a positive number"):
        softplus_constants(inputs, labels, 0.1, **settings, beta=0)
