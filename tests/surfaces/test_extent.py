import math

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.attacks import PGD, LinfBall
from landscape.errors import UsageError
from landscape.geometry import Plane, Statistics
from landscape.objective import Objective
from landscape.surfaces import Ladder, Points, axes, grid_shape, rise_radius
from tests.surfaces.known import Linear, Probe


def bowl(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return 50 (w_0 - 1/4)^2 + 20 (w_1 + 1/2)^2 of the probe's weights: its minimum is the probe's origin."""
    return 50 * (outputs[:, 0] - 0.25) ** 2 + 20 * (outputs[:, 1] + 0.5) ** 2


def test_within_the_radius_the_loss_has_risen_by_one_nat_on_every_half_axis_and_no_further_than_needed() -> None:
    objective = Objective(Probe(), torch.zeros(3, 1, 2, 2, dtype=torch.float64), torch.zeros(3).long(), loss=bowl)
    plane = Plane(objective.w0, *torch.eye(2, dtype=torch.float64))
    points = Points(Ladder(objective, [PGD(LinfBall(0.0))]), plane, Statistics(objective))
    points.ladder.freeze(points.network(0, 0))
    flattest = math.sqrt(1 / 20)
    radius = rise_radius(points)
    assert flattest <= radius <= 1.11 * flattest  # 5 % of bisection, and two digits upwards
    assert float(f"{radius:.2g}") == radius


def cliff(outputs: Tensor, labels: Tensor) -> Tensor:
    """Return a loss that rises ten thousand times as fast to one side of the probe's origin as to the others."""
    x, y = outputs[:, 0] - 0.25, outputs[:, 1] + 0.5
    return torch.where(x > 0, 1e5, 10.0) * x**2 + 10 * y**2


def test_a_side_that_has_fallen_to_ruins_ends_the_range() -> None:
    objective = Objective(Probe(), torch.zeros(3, 1, 2, 2, dtype=torch.float64), torch.zeros(3).long(), loss=cliff)
    plane = Plane(objective.w0, *torch.eye(2, dtype=torch.float64))
    points = Points(Ladder(objective, [PGD(LinfBall(0.0))]), plane, Statistics(objective))
    points.ladder.freeze(points.network(0, 0))
    fallen = math.sqrt(20 / 1e5)
    assert fallen <= rise_radius(points) <= 1.11 * fallen


def test_a_smaller_rise_needs_a_smaller_radius() -> None:
    points = Linear().points(0.1)
    assert rise_radius(points, rise=0.1) < rise_radius(points, rise=1.0) < rise_radius(points, rise=10.0)


def test_where_the_loss_never_rises_the_length_of_the_weights_bounds_the_range() -> None:
    points = Linear().points()
    longest = max(float(points.plane.origin.norm() / row.norm()) for row in points.plane.directions)
    radius = rise_radius(points, rise=math.inf)
    assert longest <= radius <= 1.1 * longest


def test_axes_reach_from_bound_to_bound_and_hold_the_origin_exactly() -> None:
    xs, ys, rule = axes(((-1.0, 2.0), (-0.3, 0.3)), (4, 7), Linear().points())
    np.testing.assert_allclose(xs, [-1, 0, 1, 2])
    assert ys[3] == 0.0
    assert rule == "given"
    xs, ys, _ = axes(0.7, (41, 1), Linear().points())
    assert (len(xs), xs[20], list(ys)) == (41, 0.0, [0.0])
    xs, _, rule = axes("auto", (3, 3), Linear().points())
    assert rule == f"auto: within {xs[-1]:g} the loss has risen by 1 nat to each side, or by 20 to one"


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, -2.0), (0.0, math.nan), (-math.inf, 1.0)])
def test_an_empty_range_is_refused(bounds: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="is empty; give --range LOW:HIGH"):
        axes(((-1.0, 1.0), bounds), (3, 3), Linear().points())


@pytest.mark.parametrize(
    ("grid", "line", "message"),
    [
        ((0, 3), False, "grid = 0; wanted a whole number, 1 or more"),
        ((1000, 1000), False, "1,000,000 points; wanted at most 250,000"),
        ((5, 2), True, "a grid of 5x2 came for one direction; give --grid 5x1"),
        ((2.5, 2), False, "grid = 2.5"),
    ],
)
def test_a_grid_that_cannot_be_meant_is_refused(grid: tuple[int, int], line: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grid_shape(grid, line=line)


def test_the_default_grids() -> None:
    assert grid_shape(None, line=False) == (21, 21)
    assert grid_shape(None, line=True) == (41, 1)
    assert grid_shape(9, line=False) == (9, 9)
    assert grid_shape(9, line=True) == (9, 1)
