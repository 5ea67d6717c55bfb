from collections.abc import Callable, Iterable

import numpy as np
import pytest

from landscape.results.kinds.surface import EVALUATED, INTERPOLATED, NOT_FINITE
from landscape.surfaces import Grid
from landscape.surfaces.adaptive import refine

Surface = Callable[[np.ndarray, np.ndarray], np.ndarray]


def bowl(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.05 + 3 * x**2 + x * y + y**2 + 0.3 * x


def cliff(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.2 + np.logaddexp(0, 12 * (x - 0.4)) + 0.5 * np.logaddexp(0, 20 * (y + 0.1 * x - 0.3))


def sampled(surface: Surface, ny: int, nx: int) -> np.ndarray:
    y, x = np.meshgrid(np.linspace(-1, 1, ny), np.linspace(-1, 1, nx), indexing="ij")
    return surface(x, y)


def run(values: np.ndarray, tol: float) -> tuple[Grid, float]:
    """Refine a surface (E, ny, nx) that is known; not finite where it is NaN."""
    grid = Grid(*values.shape, 1, keep_examples=False)

    def evaluate(wanted: Iterable[tuple[int, int]]) -> None:
        for row, column in wanted:
            grid.arrays["loss"][:, row, column] = values[:, row, column]
            finite = np.isfinite(values[:, row, column])
            grid.arrays["status"][:, row, column] = np.where(finite, EVALUATED, NOT_FINITE)

    return grid, refine(grid, evaluate, tol=tol)


@pytest.mark.parametrize("surface", [bowl, cliff])
@pytest.mark.parametrize(("tol", "saved"), [(0.02, 5), (0.005, 3)])
def test_a_smooth_surface_is_known_to_the_tolerance_from_a_part_of_its_points(
    surface: Surface, tol: float, saved: int
) -> None:
    values = sampled(surface, 49, 49)[None]
    grid, claimed = run(values, tol)
    error = np.abs(grid.arrays["loss"] / values - 1).max()
    assert claimed <= tol
    assert error < 2 * tol  # held-out middles bound the rest of a cell only about
    assert (grid.arrays["status"] == EVALUATED).sum() * saved < values.size


def test_a_smaller_tolerance_takes_more_points() -> None:
    values = sampled(cliff, 49, 49)[None]
    counts = [(run(values, tol)[0].arrays["status"] == EVALUATED).sum() for tol in (0.1, 0.02)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_what_is_evaluated_is_left_alone_and_the_rest_is_marked() -> None:
    values = np.stack([sampled(bowl, 25, 33), sampled(cliff, 25, 33)])
    grid, _ = run(values, 0.02)
    status = grid.arrays["status"]
    assert set(np.unique(status)) == {EVALUATED, INTERPOLATED}
    assert (status[0] == status[1]).all()  # one set of points for every radius
    np.testing.assert_array_equal(grid.arrays["loss"][status == EVALUATED], values[status == EVALUATED])


def test_a_rough_patch_is_evaluated_and_a_smooth_one_is_not() -> None:
    values = sampled(bowl, 49, 49)
    noise = np.random.default_rng(0).random((24, 24))
    values[:24, :24] *= 1 + 0.5 * noise
    grid, _ = run(values[None], 0.02)
    known = grid.arrays["status"][0] == EVALUATED
    assert known[1:23, 1:23].mean() > 0.9
    assert known[30:, 30:].mean() < 0.3


def test_around_what_is_not_finite_every_point_is_evaluated() -> None:
    values = sampled(bowl, 41, 41)
    values[:, 30:] = np.nan
    grid, _ = run(values[None], 0.02)
    status = grid.arrays["status"][0]
    np.testing.assert_array_equal(status == NOT_FINITE, np.isnan(values))
    assert np.isfinite(grid.arrays["loss"][0][~np.isnan(values)]).all()


@pytest.mark.parametrize(("ny", "nx"), [(1, 61), (61, 1), (1, 1), (2, 3), (5, 40)])
def test_lines_and_small_grids_work_too(ny: int, nx: int) -> None:
    values = sampled(bowl, ny, nx)[None]
    grid, _ = run(values, 0.02)
    np.testing.assert_allclose(grid.arrays["loss"], values, rtol=0.05)
    assert (grid.arrays["status"] != 0).all()
