import math

import numpy as np
import pytest
import torch

from landscape.errors import UsageError
from landscape.geometry import Plane


def drawn(*, seed: int, size: int = 50) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("a", "b"), [(0.3, -1.2), (0.0, 2.0), (-4.0, 0.0)])
def test_coordinates_undo_at_for_axes_that_are_neither_unit_nor_orthogonal(a: float, b: float) -> None:
    u, v = 3 * drawn(seed=1), drawn(seed=2) + 2 * drawn(seed=1)
    plane = Plane(drawn(seed=0), u, v)
    assert plane.coordinates(plane.at(a, b)) == pytest.approx((a, b), abs=1e-12)
    torch.testing.assert_close(plane.at(a, b), drawn(seed=0) + a * u + b * v)


def test_a_point_off_the_plane_is_projected_at_a_right_angle() -> None:
    plane = Plane(drawn(seed=0), drawn(seed=1), drawn(seed=2) + drawn(seed=1))
    w = drawn(seed=3)
    a, b = plane.coordinates(w)
    rest = w - plane.at(a, b)
    for direction in plane.directions:  # what is left is orthogonal to both: the nearest point, by definition
        assert float(rest @ direction) == pytest.approx(0, abs=1e-10)
    assert plane.distance(w) == pytest.approx(float(rest.norm()))


def test_the_origin_is_given_back_bit_for_bit_and_is_a_copy() -> None:
    origin = drawn(seed=0).float()
    plane = Plane(origin, drawn(seed=1).float(), drawn(seed=2).float())
    assert torch.equal(plane.at(0, 0), origin)
    plane.at(0, 0).zero_()
    assert torch.equal(plane.at(0, 0), origin)


def test_a_line_has_one_coordinate() -> None:
    line = Plane(drawn(seed=0), 2 * drawn(seed=1))
    assert line.is_line
    assert line.coordinates(line.at(0.7)) == pytest.approx((0.7, 0))
    assert line.distance(line.at(0.7)) == pytest.approx(0, abs=1e-12)
    with pytest.raises(UsageError, match=r"b = 1 came for a line"):
        line.at(0, 1)


def test_the_gram_matrix_holds_the_inner_products() -> None:
    u, v = drawn(seed=1), drawn(seed=2)
    expected = [[float(u @ u), float(u @ v)], [float(u @ v), float(v @ v)]]
    np.testing.assert_allclose(Plane(drawn(seed=0), u, v).gram, expected)


@pytest.mark.parametrize(
    ("u", "v", "message"),
    [
        (torch.zeros(50), drawn(seed=2), "direction u is zero"),
        (drawn(seed=1), torch.full((50,), math.nan), "direction v holds numbers that are not finite"),
        (drawn(seed=1), -2 * drawn(seed=1), r"parallel \(cosine -1.000000\)"),
        (drawn(seed=1), drawn(seed=2, size=49), r"shape \(49,\), the weights \(50,\); give directions of the same net"),
    ],
)
def test_directions_that_span_no_plane_are_refused(u: torch.Tensor, v: torch.Tensor, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Plane(drawn(seed=0), u, v)
