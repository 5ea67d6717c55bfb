"""The balls that perturbations live in: how to start in one, step in one, and come back into one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..spec import nearest
from ..units import check_eps


@dataclass(frozen=True)
class Ball(ABC):
    """The perturbations of norm at most `eps`, in pixel units of [0, 1]."""

    eps: float
    norm: ClassVar[str]

    def __post_init__(self) -> None:
        check_eps(self.eps, norm=self.norm)

    def with_eps(self, eps: float) -> Self:
        """Return the ball of the same norm and another radius."""
        return type(self)(eps)

    @abstractmethod
    def random_points(self, streams: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
        """Draw perturbations (N, *shape), uniform in the ball, one from each of N streams; on the CPU, float32."""

    @abstractmethod
    def ascent(self, gradient: Tensor) -> Tensor:
        """Return the steepest unit steps (N, ...) for gradients (N, ...): of norm 1, or 0 where the gradient is 0."""

    @abstractmethod
    def project(self, points: Tensor, centres: Tensor, eps: Tensor | None = None) -> Tensor:
        """Return the points (N, ...) moved into the ball around their centres (N, ...) and into the box [0, 1].

        A radius () on the device, in place of the ball's own, may change between the replays of a recording.
        """


@dataclass(frozen=True)
class LinfBall(Ball):
    """The perturbations that move no pixel by more than `eps`."""

    norm: ClassVar[str] = "linf"

    def random_points(self, streams: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
        """Draw perturbations (N, *shape), uniform in the cube."""
        flat = np.empty((len(streams), math.prod(shape)), dtype=np.float32)
        for row, generator in zip(flat, streams, strict=True):
            generator.random(dtype=np.float32, out=row)
        return torch.from_numpy(flat).mul_(2 * self.eps).sub_(self.eps).view(len(streams), *shape)

    def ascent(self, gradient: Tensor) -> Tensor:
        """Return the signs of the gradients (N, ...)."""
        return gradient.sign()

    def project(self, points: Tensor, centres: Tensor, eps: Tensor | None = None) -> Tensor:
        """Return the points (N, ...) clamped to the cubes around their centres and to [0, 1]."""
        radius = self.eps if eps is None else eps
        return torch.clamp(points, (centres - radius).clamp_(0, 1), (centres + radius).clamp_(0, 1))


@dataclass(frozen=True)
class L2Ball(Ball):
    """The perturbations of Euclidean norm at most `eps` per image."""

    norm: ClassVar[str] = "l2"

    def random_points(self, streams: Sequence[np.random.Generator], shape: Sequence[int]) -> Tensor:
        """Draw perturbations (N, *shape), uniform in the Euclidean ball."""
        size = math.prod(shape)
        flat = np.empty((len(streams), size), dtype=np.float32)
        for row, generator in zip(flat, streams, strict=True):
            generator.standard_normal(dtype=np.float32, out=row)
            row *= self.eps * generator.random() ** (1 / size) / max(float(np.linalg.norm(row)), 1e-30)
        return torch.from_numpy(flat).view(len(streams), *shape)

    def ascent(self, gradient: Tensor) -> Tensor:
        """Return the gradients (N, ...) scaled to length 1; a zero gradient stays zero."""
        ones = [1] * (gradient.dim() - 1)
        # An example classified with certainty has a gradient whose squares underflow: its length is taken in its peak.
        peaks = gradient.flatten(1).abs().amax(dim=1).view(-1, *ones)
        scaled = gradient / peaks
        lengths = scaled.flatten(1).norm(dim=1).view(-1, *ones)
        return torch.where((peaks > 0) & torch.isfinite(lengths), scaled / lengths, 0)

    def project(self, points: Tensor, centres: Tensor, eps: Tensor | None = None) -> Tensor:
        """Return the points (N, ...) pulled into the balls, then clamped to [0, 1], which lengthens no perturbation."""
        radius = self.eps if eps is None else eps
        shift = points - centres
        lengths = shift.flatten(1).norm(dim=1).view(-1, *[1] * (shift.dim() - 1))
        scale = torch.where(
            lengths > radius, radius * lengths.reciprocal(), 1
        )  # the same bits for a number and a tensor
        return (centres + shift * scale).clamp_(0, 1)


_BALLS: dict[str, type[Ball]] = {ball.norm: ball for ball in (LinfBall, L2Ball)}


def make_ball(norm: str, eps: float) -> Ball:
    """Return the ball of a norm by its name, "linf" or "l2"."""
    if norm not in _BALLS:
        raise UsageError(f"norm {norm!r} is unknown; {nearest(norm, _BALLS)}")
    return _BALLS[norm](eps)
