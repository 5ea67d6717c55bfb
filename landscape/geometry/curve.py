"""A curve in weight space between two nets: a Bezier curve, a polygonal chain, a straight line."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import nearest

_NODES = 64  # of the Gauss-Legendre sum behind a length


class Curve(ABC):
    """The points w(t) = sum_k c_k(t) p_k (P,), t in [0, 1], of control points p (m + 2, P), both ends included.

    The coefficients sum to 1. At t = 0 and t = 1 the curve is its first and its last point, bit for bit. Raises
    UsageError for fewer than two points, points that are not finite, and for t outside [0, 1].
    """

    name: str

    def __init__(self, points: Tensor) -> None:
        if points.dim() != 2 or len(points) < 2:
            raise UsageError(
                f"control points of shape {tuple(points.shape)} came; wanted two rows (m + 2, P) or more, ends included"
            )
        if not bool(torch.isfinite(points).all()):
            raise UsageError("a control point holds numbers that are not finite; give others")
        self.points = points

    @property
    def interior(self) -> int:
        """The number m of control points between the ends."""
        return len(self.points) - 2

    def coefficients(self, t: float) -> np.ndarray:
        """Return the weights c(t) (m + 2,) of the control points in w(t)."""
        return self._coefficients(_checked(t))

    def at(self, t: float) -> Tensor:
        """Return the point w(t) (P,)."""
        if _checked(t) in (0, 1):
            return self.points[0 if t == 0 else -1].clone()
        return self._combined(self._coefficients(t))

    def derivative(self, t: float) -> Tensor:
        """Return dw/dt (P,); at the knots of a chain that of the piece which begins there."""
        return self._combined(self._slopes(_checked(t)))

    @property
    def length(self) -> float:
        """The length of the curve, Euclidean: a quadrature of |dw/dt|, exact for chains."""
        shifts = (self.points - self.points[0]).double()
        gram = (shifts @ shifts.T).cpu().numpy()
        nodes, weights = np.polynomial.legendre.leggauss(_NODES)
        total = 0.0
        for low, high in self._pieces():
            for node, weight in zip(nodes, weights, strict=True):
                slopes = self._slopes(low + (high - low) * (node + 1) / 2)
                total += (high - low) / 2 * weight * math.sqrt(max(slopes @ gram @ slopes, 0.0))
        return total

    def _combined(self, coefficients: np.ndarray) -> Tensor:
        return torch.from_numpy(coefficients).to(self.points) @ self.points

    @abstractmethod
    def _coefficients(self, t: float) -> np.ndarray:
        """Return c(t) (m + 2,)."""

    @abstractmethod
    def _slopes(self, t: float) -> np.ndarray:
        """Return dc/dt (m + 2,)."""

    def _pieces(self) -> list[tuple[float, float]]:
        """Return the spans of t inside which the curve is smooth."""
        return [(0.0, 1.0)]


class BezierCurve(Curve):
    """The Bezier curve of degree m + 1: c_k(t) = C(m + 1, k) t^k (1 - t)^(m + 1 - k)."""

    name = "bezier"

    def _coefficients(self, t: float) -> np.ndarray:
        return _bernstein(self.interior + 1, t)

    def _slopes(self, t: float) -> np.ndarray:
        degree = self.interior + 1
        lower = degree * _bernstein(degree - 1, t)
        return np.append(0.0, lower) - np.append(lower, 0.0)


class PolygonalChain(Curve):
    """Straight pieces through the control points, which lie at t = k / (m + 1)."""

    name = "polychain"

    def _coefficients(self, t: float) -> np.ndarray:
        found = np.zeros(len(self.points))
        piece, within = self._place(t)
        found[piece : piece + 2] = 1 - within, within
        return found

    def _slopes(self, t: float) -> np.ndarray:
        found = np.zeros(len(self.points))
        piece, _ = self._place(t)
        found[piece : piece + 2] = -(self.interior + 1), self.interior + 1
        return found

    def _place(self, t: float) -> tuple[int, float]:
        pieces = self.interior + 1
        piece = min(int(t * pieces), pieces - 1)
        return piece, t * pieces - piece

    def _pieces(self) -> list[tuple[float, float]]:
        pieces = self.interior + 1
        return [(piece / pieces, (piece + 1) / pieces) for piece in range(pieces)]


class Line(PolygonalChain):
    """The straight line between two points (2, P)."""

    name = "line"

    def __init__(self, points: Tensor) -> None:
        super().__init__(points)
        if self.interior:
            raise UsageError(f"a line has no interior points, and {self.interior} came; give a bezier or a polychain")


CURVES: dict[str, type[Curve]] = {kind.name: kind for kind in (BezierCurve, PolygonalChain, Line)}


def make_curve(kind: str, points: Tensor) -> Curve:
    """Return the curve of a kind ("bezier", "polychain", "line") through points (m + 2, P); UsageError if unknown."""
    if kind not in CURVES:
        raise UsageError(f"curve {kind!r} is unknown; {nearest(kind, CURVES)}")
    return CURVES[kind](points)


def segment(start: Tensor, end: Tensor, interior: int) -> Tensor:
    """Return control points (interior + 2, P) at equal distances on the segment between two points (P,)."""
    line = Line(torch.stack([start, end]))
    return torch.stack([line.at(k / (interior + 1)) for k in range(interior + 2)])


def on_plane(points: Tensor) -> np.ndarray:
    """Return coordinates (m + 2, 2) of control points projected on the plane through the ends and the middle one.

    The axes are those of `directions_through`: the first leads from the first point to the last, the second from it
    towards the middle point. Since a curve's points are sums of its control points, its projection is the same sum of
    these. The second coordinates are 0 where the middle point lies on the line of the ends.
    """
    shifts = (points - points[0]).double().cpu()
    along = shifts[-1] / shifts[-1].norm()
    middle = shifts[middle_of(len(points) - 2) + 1]
    across = middle - (along @ middle) * along
    length = float(across.norm())
    across = across / length if length > 1e-6 * float(shifts[-1].norm()) else torch.zeros_like(across)
    return torch.stack([shifts @ along, shifts @ across], dim=1).numpy()


def middle_of(interior: int) -> int:
    """Return which of the interior control points (0 to interior - 1) stands for the curve where one net is wanted."""
    return max(interior - 1, 0) // 2


def _bernstein(degree: int, t: float) -> np.ndarray:
    return np.array([math.comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)])


def _checked(t: float) -> float:
    if not 0 <= t <= 1:  # false for what is no number, too
        raise UsageError(f"t = {t} lies outside [0, 1], where a curve has no points; give 0 (one end) to 1 (the other)")
    return float(t)
