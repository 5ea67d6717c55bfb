"""Checkpoints marked on a surface: where they project to, how far off the plane they lie, and their own loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import nn

from ..borrow import with_weights
from .ladder import Ladder
from .point import Points


@dataclass(frozen=True)
class Landmark:
    """A checkpoint to be marked: its name, and a net of the surface's architecture with its weights and buffers."""

    name: str
    model: nn.Module = field(repr=False)


def judge_landmarks(landmarks: Sequence[Landmark], points: Points) -> dict[str, np.ndarray]:
    """Return the arrays `landmarks/...` of a surface, each checkpoint judged as it is, off the plane too."""
    ladder, objective, plane = points.ladder, points.ladder.objective, points.plane
    own = Ladder(objective, ladder.attacks)  # what was frozen at the origin says little so far from it
    x, y, distance, losses = [], [], [], []
    for mark in landmarks:
        w = objective.space.point(mark.model).to(objective.device)
        state = {name: value.detach().to(objective.device) for name, value in mark.model.state_dict().items()}
        a, b = plane.coordinates(w)
        x.append(a)
        y.append(b)
        distance.append(plane.distance(w))
        losses.append(own.evaluate(with_weights(objective.model, state)).means.numpy())
    if not landmarks:
        return {}
    return {
        "landmarks/x": np.array(x),
        "landmarks/y": np.array(y),
        "landmarks/off_plane": np.array(distance),
        "landmarks/loss": np.stack(losses, axis=1),
    }
