"""Balls: what is drawn in one is uniform, what is projected lies in it and in the box, and steps are steepest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.attacks import L2Ball, LinfBall, make_ball
from landscape.errors import UsageError
from landscape.streams import example_streams

BALLS = [LinfBall(0.1), L2Ball(0.7)]


def norms(shift: torch.Tensor, norm: str) -> torch.Tensor:
    flat = shift.flatten(1).double()
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


@pytest.mark.parametrize("ball", BALLS, ids=lambda ball: ball.norm)
def test_random_points_fill_the_ball_evenly(ball: LinfBall | L2Ball) -> None:
    n, shape = 4000, (1, 2, 3)
    points = ball.random_points(example_streams(0, "test", range(n)), shape)
    radii = norms(points, ball.norm).numpy() / ball.eps
    assert points.shape == (n, *shape) and points.dtype == torch.float32
    assert radii.max() <= 1 + 1e-6
    # A ball of radius r holds r^6 of the volume of six dimensions; Kolmogorov's distance is below 1.95/sqrt(n) in 999
    # draws of 1,000, and these draws are fixed.
    filled = np.sort(radii**6)
    assert np.abs(filled - (np.arange(n) + 0.5) / n).max() < 1.95 / np.sqrt(n)
    # No direction is preferred: each coordinate's mean is 0 within four standard errors.
    means = points.flatten(1).mean(0) / (points.flatten(1).std(0) / np.sqrt(n))
    assert means.abs().max() < 4


@pytest.mark.parametrize("ball", BALLS, ids=lambda ball: ball.norm)
def test_projection_lands_in_ball_and_box_and_leaves_what_is_inside(ball: LinfBall | L2Ball) -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(50, 1, 4, 4, generator=generator)
    points = centres + 2 * torch.randn(50, 1, 4, 4, generator=generator)
    projected = ball.project(points, centres)
    assert norms(projected - centres, ball.norm).max() <= ball.eps + 1e-6
    assert projected.min() >= 0 and projected.max() <= 1
    again = ball.project(projected, centres)
    assert torch.allclose(again, projected, atol=1e-6)
    assert torch.equal(ball.project(centres, centres), centres)


def test_steepest_steps_have_length_one() -> None:
    gradient = torch.randn(5, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    gradient[2] = 0
    assert torch.equal(LinfBall(0.1).ascent(gradient), gradient.sign())
    step = L2Ball(0.1).ascent(gradient)
    assert torch.allclose(step.flatten(1).norm(dim=1), torch.tensor([1.0, 1, 0, 1, 1]))
    assert torch.allclose(step[0], gradient[0] / gradient[0].norm())


def test_l2_step_of_a_gradient_whose_square_underflows() -> None:
    gradient = torch.tensor([[3e-30, -4e-30], [1e-44, 0.0]])
    expected = torch.tensor([[0.6, -0.8], [1.0, 0.0]])
    assert torch.allclose(L2Ball(1.0).ascent(gradient), expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_no_step_along_what_is_not_a_number(value: float) -> None:
    gradient = torch.tensor([[1.0, value], [3.0, 4.0]])
    step = L2Ball(1.0).ascent(gradient)
    assert torch.allclose(step, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    assert torch.isfinite(LinfBall(1.0).ascent(gradient)).all()


def test_balls_by_name() -> None:
    assert make_ball("l2", 2.0) == L2Ball(2.0)
    assert LinfBall(0.1).with_eps(0.2) == LinfBall(0.2)
    with pytest.raises(UsageError, match="did you mean linf"):
        make_ball("linff", 0.1)


@pytest.mark.parametrize("eps", [-0.1, 4.0, float("nan"), float("inf")])
def test_a_radius_that_cannot_be_meant(eps: float) -> None:
    with pytest.raises(UsageError):
        LinfBall(eps)
