from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.attacks import PGD, LinfBall
from landscape.geometry import Plane, Statistics
from landscape.losses import Loss
from landscape.objective import Objective
from landscape.results.kinds.surface import EVALUATED, FAILED, NOT_FINITE, SKIPPED
from landscape.surfaces import Grid, Ladder, Points, every, scan
from tests.surfaces.known import Linear, N, Probe, first, second

XS, YS = np.array([-0.5, 0.25, 2.0]), np.array([0.75, 1.5])  # 3 x 2, off-centre: nothing square, nothing symmetric


def grid_of(points: Points, xs: np.ndarray = XS, ys: np.ndarray = YS) -> Grid:
    grid = Grid(len(points.ladder.eps), len(ys), len(xs), points.ladder.objective.n, keep_examples=True)
    scan(points, grid, ys, xs, every(ys, xs))
    return grid


def test_every_value_of_a_quadratic_is_the_analytic_one() -> None:
    known = Linear()
    expected = np.array([[known.loss(a, b) for a in XS] for b in YS])
    grid = grid_of(known.points())
    np.testing.assert_allclose(grid.arrays["loss"][0], expected, rtol=1e-12)
    assert (grid.arrays["status"] == EVALUATED).all()


@pytest.mark.parametrize("transposed", [False, True])
def test_transposing_the_directions_transposes_the_surface(transposed: bool) -> None:
    known = Linear()
    points = known.points()
    swapped = Plane(points.plane.origin, *reversed(points.plane.directions))
    one = grid_of(points).arrays["loss"]
    other = grid_of(replace(points, plane=swapped), YS, XS).arrays["loss"]
    np.testing.assert_allclose(one, other.transpose(0, 2, 1), rtol=1e-12)


def probe(loss: Loss) -> Points:
    net = Probe()
    objective = Objective(
        net, torch.zeros(3, 1, 2, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.long), loss=loss
    )
    plane = Plane(objective.w0, *torch.eye(2, dtype=torch.float64))
    return Points(Ladder(objective, [PGD(LinfBall(0.0))]), plane, Statistics(objective))


def test_a_net_that_reports_its_own_coordinates_reads_the_axes_row_by_row() -> None:
    np.testing.assert_allclose(grid_of(probe(first)).arrays["loss"][0], np.tile(0.25 + XS, (2, 1)), rtol=1e-6)
    np.testing.assert_allclose(grid_of(probe(second)).arrays["loss"][0], np.tile(-0.5 + YS, (3, 1)).T, rtol=1e-6)


def test_a_point_does_not_depend_on_the_order_or_on_the_others() -> None:
    points = Linear().points(0.0, 0.1)
    forth, back = (Grid(2, 2, 3, N, keep_examples=True) for _ in range(2))
    scan(points, forth, YS, XS, every(YS, XS))
    scan(points, back, YS, XS, reversed(every(YS, XS)))
    for name, array in forth.arrays.items():
        np.testing.assert_array_equal(array, back.arrays[name])


def test_the_nearest_to_the_origin_come_first() -> None:
    order = every(np.linspace(-1, 1, 5), np.linspace(-2, 2, 3))
    assert order[0] == (2, 1)
    assert len(set(order)) == 15
    assert order[-1][0] in (0, 4)
    assert order[-1][1] in (0, 2)


def test_what_is_not_finite_is_kept_as_it_is() -> None:
    grid = grid_of(Linear().points(), np.array([0.0, 1e200]))
    assert (grid.arrays["status"][0, :, 1] == NOT_FINITE).all()
    assert np.isinf(grid.arrays["loss"][0, :, 1]).all()
    assert np.isfinite(grid.arrays["loss"][0, :, 0]).all()


def test_points_beyond_the_cap_are_marked_and_their_clean_loss_kept() -> None:
    known = Linear()
    points = replace(known.points(0.0, 0.1), cap=known.loss(0, 0.75) + 0.5)
    grid = grid_of(points)
    beyond = np.array([[known.loss(a, b) > points.cap for a in XS] for b in YS])
    assert beyond.any()
    assert not beyond.all()
    np.testing.assert_array_equal(grid.arrays["status"][1] == SKIPPED, beyond)
    np.testing.assert_array_equal(np.isnan(grid.arrays["loss"][1]), beyond)
    assert (grid.arrays["status"][0] == EVALUATED).all()
    assert np.isnan(grid.arrays["error_rate"][1][beyond]).all()


class Touchy(nn.Module):
    """A net that refuses large weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if float(self.weight.detach().abs().max()) > 1:
            raise ValueError("too large\nfor me")
        return self.weight.expand(len(x), 2)


def test_a_point_where_the_net_raises_is_marked_failed_with_its_words_and_the_scan_goes_on() -> None:
    objective = Objective(Touchy(), torch.zeros(3, 1, 2, 2, dtype=torch.float64), torch.zeros(3, dtype=torch.long))
    plane = Plane(objective.w0, *torch.eye(2, dtype=torch.float64))
    grid = grid_of(Points(Ladder(objective, [PGD(LinfBall(0.0))]), plane, Statistics(objective)))
    np.testing.assert_array_equal(grid.arrays["status"][0] == FAILED, (XS > 1)[None, :] | (YS > 1)[:, None])
    assert np.isnan(grid.arrays["loss"][0, 1]).all()
    assert grid.failure.endswith("ValueError: too large for me")


def test_what_an_earlier_scan_left_is_taken_and_not_computed_again() -> None:
    points = Linear().points(0.0, 0.1)
    whole = grid_of(points)
    left = {name: array.copy() for name, array in whole.arrays.items()}
    for array in left.values():
        array[:, 1, 1:] = 0 if array.dtype == np.uint8 else np.nan
    asked: list[tuple[int, int]] = []

    class Keeper:
        def load(self) -> None:
            return None

        def put(self, row: int, column: int, values: object) -> None:
            asked.append((row, column))

    grid = Grid(2, 2, 3, N, keep_examples=True)
    grid.leave(left)
    scan(points, grid, YS, XS, every(YS, XS), keeper=Keeper())
    assert sorted(asked) == [(1, 1), (1, 2)]
    for name, array in whole.arrays.items():
        np.testing.assert_array_equal(array, grid.arrays[name])
