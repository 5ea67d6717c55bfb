from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape import BezierCurve
from landscape.errors import UsageError
from landscape.geometry import Curve, Line, PolygonalChain, directions_through, make_curve, on_plane, segment

PLACES = (0.0, 0.1, 0.25, 1 / 3, 0.5, 0.77, 1.0)


def drawn(rows: int, *, seed: int = 0, size: int = 40, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def bernstein_sum(points: np.ndarray, t: float) -> np.ndarray:
    """The curve by exact rational coefficients and de Casteljau's construction, which shares no formula with ours."""
    exact = Fraction(t)
    rows = [[Fraction(int(k == j)) for j in range(len(points))] for k in range(len(points))]
    while len(rows) > 1:
        rows = [[(1 - exact) * a + exact * b for a, b in zip(one, other, strict=True)] for one, other in pairwise(rows)]
    return np.array([float(c) for c in rows[0]]) @ points


@pytest.mark.parametrize("interior", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("t", PLACES)
def test_a_bezier_curve_is_the_dense_sum(interior: int, t: float) -> None:
    points = drawn(interior + 2)
    np.testing.assert_allclose(BezierCurve(points).at(t), bernstein_sum(points.numpy(), t), rtol=0, atol=1e-12)


def test_degree_one_two_and_three_are_the_written_polynomials() -> None:
    a, b, c, d = drawn(4)
    t = 0.3
    torch.testing.assert_close(BezierCurve(torch.stack([a, b])).at(t), 0.7 * a + 0.3 * b)
    torch.testing.assert_close(BezierCurve(torch.stack([a, b, c])).at(t), 0.49 * a + 0.42 * b + 0.09 * c)
    torch.testing.assert_close(
        BezierCurve(torch.stack([a, b, c, d])).at(t), 0.343 * a + 0.441 * b + 0.189 * c + 0.027 * d
    )


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
@pytest.mark.parametrize("interior", [1, 2, 3, 5])
def test_points_on_the_segment_give_the_segment(kind: str, interior: int) -> None:
    a, b = drawn(2)
    curve = make_curve(kind, segment(a, b, interior))
    for t in PLACES:  # equal distances: not the set alone, but the same speed
        torch.testing.assert_close(curve.at(t), a + t * (b - a), rtol=0, atol=1e-12)
    assert curve.length == pytest.approx(float((b - a).norm()), rel=1e-12)


def test_bezier_points_anywhere_on_the_segment_stay_on_it() -> None:
    a, b = drawn(2)
    shares = torch.tensor([0.0, 0.9, 0.2, 1.0], dtype=torch.float64).unsqueeze(1)
    curve = BezierCurve(a + shares * (b - a))
    for t in PLACES:
        share = bernstein_sum(shares.numpy(), t)[0]
        torch.testing.assert_close(curve.at(t), a + share * (b - a), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
@pytest.mark.parametrize("interior", [0, 1, 3, 6])
def test_coefficients_sum_to_one_and_are_not_negative(kind: str, interior: int) -> None:
    curve = make_curve(kind, drawn(interior + 2))
    for t in np.linspace(0, 1, 101):
        found = curve.coefficients(t)
        assert found.sum() == pytest.approx(1, abs=1e-14)
        assert found.min() >= 0


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_are_the_given_weights_bit_for_bit(kind: str, dtype: torch.dtype) -> None:
    points = drawn(5, dtype=dtype)
    points[0, 0] = -0.0
    curve = make_curve(kind, points)
    for t, end in ((0, points[0]), (0.0, points[0]), (1, points[-1]), (1.0, points[-1])):
        assert curve.at(t).numpy().tobytes() == end.numpy().tobytes()


def test_a_polygonal_chain_passes_its_knots_and_is_straight_between() -> None:
    points = drawn(5)
    chain = PolygonalChain(points)
    for k in range(5):
        torch.testing.assert_close(chain.at(k / 4), points[k], rtol=0, atol=1e-12)
        if k < 4:
            torch.testing.assert_close(chain.at((k + 0.25) / 4), 0.75 * points[k] + 0.25 * points[k + 1])
    legs = (points[1:] - points[:-1]).norm(dim=1)
    assert chain.length == pytest.approx(float(legs.sum()), rel=1e-12)


@pytest.mark.parametrize("kind", ["bezier", "polychain"])
def test_the_derivative_is_that_of_central_differences(kind: str) -> None:
    curve, h = make_curve(kind, drawn(4)), 1e-6
    for t in (0.1, 0.45, 0.9):
        torch.testing.assert_close(
            curve.derivative(t), (curve.at(t + h) - curve.at(t - h)) / (2 * h), rtol=1e-7, atol=1e-7
        )


def test_the_length_of_a_parabola_is_its_closed_form() -> None:
    """w = (2t, 4t(1 - t)): y = x(2 - x), whose length from 0 to 2 is that of u^2 from -1 to 1."""
    points = torch.tensor([[0.0, 0.0], [1.0, 2.0], [2.0, 0.0]], dtype=torch.float64)
    assert BezierCurve(points).length == pytest.approx(math.sqrt(5) + math.asinh(2) / 2, rel=1e-12)


def test_a_point_on_the_curve_keeps_its_coordinates_on_the_plane_of_ends_and_middle() -> None:
    points = drawn(5)
    found = on_plane(points)
    plane = directions_through(points[[0, 4, 2]], ["a", "b", "c"])
    np.testing.assert_allclose(found, (points - points[0]) @ plane.vectors.T, atol=1e-12)
    curve = BezierCurve(points)
    np.testing.assert_allclose(curve.coefficients(0.4) @ found, plane.vectors @ (curve.at(0.4) - points[0]), atol=1e-12)
    flat = on_plane(segment(points[0], points[4], 1))
    np.testing.assert_array_equal(flat[:, 1], 0)


@pytest.mark.parametrize("t", [-0.01, 1.2, math.nan])
@pytest.mark.parametrize("kind", [BezierCurve, PolygonalChain, Line])
def test_t_outside_the_curve_is_refused(kind: type[Curve], t: float) -> None:
    with pytest.raises(UsageError, match=r"lies outside \[0, 1\]"):
        kind(drawn(2)).at(t)


def test_what_is_no_curve_is_refused() -> None:
    with pytest.raises(UsageError, match="two rows"):
        BezierCurve(drawn(1))
    with pytest.raises(UsageError, match="a line has no interior points, and 1 came"):
        Line(drawn(3))
    with pytest.raises(UsageError, match="not finite"):
        BezierCurve(torch.full((2, 3), torch.inf))
    with pytest.raises(UsageError, match="bezier"):
        make_curve("beziers", drawn(2))
