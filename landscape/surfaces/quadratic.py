"""The quadratic that a surface should be near its origin: slope and curvature along its directions."""

from __future__ import annotations

import numpy as np
import torch

from ..curvature import HessianOperator
from ..objective import Objective
from .point import Points


def quadratic(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes g'd (E, directions) and curvatures d'Hd (E, directions, directions) at the origin, per radius.

    The adversary is held at the images frozen there. NaN where BatchNorm statistics move with the weights: the surface
    then is no function of the weights alone whose derivatives these are.
    """
    ladder, plane = points.ladder, points.plane
    count = len(plane.directions)
    slope = np.full((len(ladder.eps), count), np.nan)
    curvature = np.full((len(ladder.eps), count, count), np.nan)
    if points.statistics.recalibrates:
        return slope, curvature
    for number, images in enumerate(ladder.frozen):
        held = frozen_objective(ladder.objective, images)
        directions = torch.stack(plane.directions).double()
        slope[number] = (directions @ held.gradient(plane.origin).double()).cpu().numpy()
        operator = HessianOperator(held, plane.origin, keep_graphs=False)
        products = torch.stack([operator @ direction for direction in plane.directions]).double()
        crossed = (directions @ products.T).cpu().numpy()
        curvature[number] = (crossed + crossed.T) / 2
    return slope, curvature


def frozen_objective(objective: Objective, images: torch.Tensor) -> Objective:
    """Return the objective of the same examples at fixed images (n, ...)."""
    return Objective(
        objective.model,
        images,
        objective.labels,
        loss=objective.loss,
        batch_size=objective.batch_size,
        seed=objective.seed,
        indices=objective.indices,
        params=objective.params,
    )
