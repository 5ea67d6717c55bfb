"""How far the loss rises when every layer moves by a share of its own length: the worst way that an ascent finds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import UsageError
from ..objective import Objective
from ..params import ParameterSpace

STEPS = 12
_ENOUGH = 1e-3  # of the rise: an ascent that gains less by a step has ended


class RelativeBall:
    """The shifts d (P,) with ||d_l|| <= radius ||w_l|| for each layer l: adversarial weight perturbation's set.

    A layer is a parameter of two axes or more; biases and BatchNorm's scales stay where they are (Wu et al. 2020; Li et
    al. 2018 for the latter). In a net of ReLUs, layers that are scaled against each other give another w and the same
    function: the ball is scaled with them, and what is found in it is the same.
    """

    def __init__(self, space: ParameterSpace, w: Tensor, radius: float) -> None:
        if not radius > 0:
            raise UsageError(f"radius = {radius:g} of a ball around the weights; wanted a positive share, such as 0.05")
        self.space, self.radius = space, radius
        self.reach = [radius * float(piece.norm()) if piece.dim() > 1 else 0.0 for piece in space.split(w)]
        if not any(self.reach):
            raise UsageError("no layer of the net has weights of two axes other than zero; there is no relative radius")

    def farthest(self, direction: Tensor) -> Tensor:
        """Return the shift of the ball (P,) of the largest inner product with `direction` (P,).

        A layer in which the direction is zero stays where it is.
        """
        pieces = []
        for piece, reach in zip(self.space.split(direction), self.reach, strict=True):
            length = float(piece.norm())
            pieces.append((piece * (reach / length if length else 0.0)).reshape(-1))
        return torch.cat(pieces)


@dataclass(frozen=True, eq=False)
class Worst:
    """The shift (P,) of a ball that raises the mean loss most, as found; `rises` (nats) are those of each start."""

    shift: Tensor
    rises: tuple[float, ...]

    @property
    def rise(self) -> float:
        """The largest rise found, in nats: a lower bound of the ball's."""
        return max(self.rises)


def worst_shift(
    objective: Objective,
    ball: RelativeBall,
    *,
    starts: tuple[Tensor, ...],
    w: Tensor | None = None,
    steps: int = STEPS,
) -> Worst:
    """Return the shift of `ball` around w (P,) that raises the mean loss of a frozen objective most, as found.

    From each start (P,), a direction, the shift goes to the point of the ball that the gradient there points at
    (Journee et al. 2010): for a convex loss every such step rises, and no step size is to be chosen. Where the loss is
    not convex and has not risen, half of the way is gone instead, up to three times. The net is left as it was.
    """
    w = objective.w0 if w is None else w.to(objective.device, objective.dtype)
    centre = objective.value(w)
    best = torch.zeros_like(w)
    rises: list[float] = []
    for start in starts:
        shift = ball.farthest(start.to(w))
        value = objective.value(w + shift) - centre
        for _ in range(steps):
            target = ball.farthest(objective.gradient(w + shift))
            found, rise = _between(objective, w, centre, shift, target, value)
            gain, shift, value = rise - value, found, rise
            if gain <= _ENOUGH * abs(value):
                break
        if value > max(rises, default=-torch.inf):
            best = shift
        rises.append(value)
    return Worst(best, tuple(rises))


def _between(
    objective: Objective, w: Tensor, centre: float, shift: Tensor, target: Tensor, value: float
) -> tuple[Tensor, float]:
    """Return the first point on the way from `target` back to `shift` whose rise is above `value`, else `shift`."""
    for share in (1.0, 0.5, 0.25, 0.125):
        tried = shift + share * (target - shift)
        rise = objective.value(w + tried) - centre
        if rise > value:
            return tried, rise
    return shift, value
