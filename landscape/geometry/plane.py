"""A plane in weight space, or a line: points on it by their coordinates, and the coordinates of any point."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError

_PARALLEL = 1e-4  # sine of the angle between two directions under which they span no plane in float32


class Plane:
    """The points w(a, b) = origin + a u + b v (P,) of weight space; without v the line w(a) = origin + a u.

    The directions u, v (P,) need be neither of length 1 nor at a right angle: coordinates are those of the least
    squares, by the Gram matrix. Raises UsageError for a direction that is zero, not finite, of another size than the
    origin, or parallel to the other.
    """

    def __init__(self, origin: Tensor, u: Tensor, v: Tensor | None = None) -> None:
        directions = [u] if v is None else [u, v]
        for name, direction in zip("uv", directions, strict=False):
            if direction.shape != origin.shape or origin.dim() != 1:
                raise UsageError(
                    f"direction {name} has shape {tuple(direction.shape)}, the weights {tuple(origin.shape)}; "
                    "give directions of the same net"
                )
            if not bool(torch.isfinite(direction).all()):
                raise UsageError(f"direction {name} holds numbers that are not finite; give another")
            if not bool(direction.any()):
                raise UsageError(f"direction {name} is zero; give one of positive length")
        self.origin = origin
        self.directions = tuple(direction.to(origin) for direction in directions)
        rows = torch.stack([direction.double() for direction in directions])
        self.gram: np.ndarray = (rows @ rows.T).cpu().numpy()  # inner products of the directions (1, 1) or (2, 2)
        if v is not None:
            cosine = self.gram[0, 1] / np.sqrt(self.gram[0, 0] * self.gram[1, 1])
            if 1 - cosine**2 < _PARALLEL**2:
                raise UsageError(
                    f"the two directions are parallel (cosine {cosine:.6f}) and span no plane; give one, or another"
                )

    @property
    def is_line(self) -> bool:
        """Whether there is one direction only."""
        return len(self.directions) == 1

    def at(self, a: float, b: float = 0.0) -> Tensor:
        """Return the point w(a, b) (P,); at (0, 0) it is the origin, bit for bit."""
        if self.is_line and b != 0:
            raise UsageError(f"b = {b} came for a line, which has one coordinate; give 0")
        point = self.origin.clone()
        for length, direction in zip((a, b), self.directions, strict=False):
            if length:
                point.add_(direction, alpha=length)
        return point

    def coordinates(self, w: Tensor) -> tuple[float, float]:
        """Return (a, b) of the point of the plane that is nearest to w (P,); b is 0 on a line."""
        shift = w.double() - self.origin.double()
        found = np.linalg.solve(self.gram, [float(direction.double() @ shift) for direction in self.directions])
        return float(found[0]), float(found[1]) if len(found) > 1 else 0.0

    def distance(self, w: Tensor) -> float:
        """Return how far w (P,) lies from the plane, in Euclidean length."""
        shift = w.double() - self.origin.double()
        for length, direction in zip(self.coordinates(w), self.directions, strict=False):
            shift -= length * direction.double()
        return float(shift.norm())
