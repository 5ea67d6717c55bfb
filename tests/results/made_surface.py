"""Made-up surfaces for the tests of pictures and comparisons: values of a function, so that every cell is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from landscape.results import Result
from tests.results.made import hessian

Function = Callable[[float, np.ndarray, np.ndarray], np.ndarray]
EVALUATED, NOT_FINITE, SKIPPED, INTERPOLATED, FAILED = 1, 2, 3, 4, 5


def bowl(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a quadratic that no exchange or mirroring of the axes leaves alone, its minimum beside the origin."""
    return 0.1 + eps + 0.05 * x - 0.02 * y + (20 + 60 * eps) * x**2 / 2 + (4 + 9 * eps) * y**2 / 2 + 3 * x * y


def surface(
    function: Function = bowl,
    *,
    x: Sequence[float] | np.ndarray = (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6),
    y: Sequence[float] | np.ndarray = (-0.3, 0.0, 0.3, 0.6),
    eps: Sequence[float] = (0.0, 0.1),
    change: dict[tuple[int, ...], tuple[float, int]] | None = None,
    n_parameters: int = 5,
    **attrs: Any,
) -> Result:
    """Return a surface of `function(eps, x, y)`; `change` sets (loss, status) of cells (eps, y, x) by their indices.

    `attrs` replace attributes, or arrays by their names. `slope` and `curvature` are the function's at the origin, by
    differences that are exact for quadratics.
    """
    xs, ys, radii = (np.asarray(values, np.float64) for values in (x, y, eps))
    grid = np.meshgrid(xs, ys)
    loss = np.stack([function(radius, *grid) for radius in radii])
    status = np.full(loss.shape, EVALUATED, np.uint8)
    for cell, (value, code) in (change or {}).items():
        loss[cell], status[cell] = value, code
    known = np.isfinite(loss)
    h = 1e-2
    slope, curvature = np.empty((len(radii), 2)), np.empty((len(radii), 2, 2))
    for row, radius in enumerate(radii):

        def at(a: float, b: float, radius: float = radius) -> float:
            return float(function(radius, np.float64(a), np.float64(b)))

        slope[row] = [(at(h, 0) - at(-h, 0)) / (2 * h), (at(0, h) - at(0, -h)) / (2 * h)]
        mixed = (at(h, h) - at(h, -h) - at(-h, h) + at(-h, -h)) / (4 * h * h)
        along = [(at(h, 0) - 2 * at(0, 0) + at(-h, 0)) / h**2, (at(0, h) - 2 * at(0, 0) + at(0, -h)) / h**2]
        curvature[row] = [[along[0], mixed], [mixed, along[1]]]
    directions = np.zeros((2, n_parameters), np.float32)
    directions[0, 0] = directions[1, 1] = 1
    gram = np.eye(2)
    if len(ys) == 1:
        directions[1], gram[1], gram[:, 1] = np.nan, np.nan, np.nan
        slope[:, 1], curvature[:, 1], curvature[:, :, 1] = np.nan, np.nan, np.nan
    arrays = {
        "x": xs,
        "y": ys,
        "eps": radii,
        "loss": loss,
        "loss_se": np.where(known, 0.02 * loss, np.nan),
        "error_rate": np.where(known, np.clip(0.3 * loss, 0, 1), np.nan),
        "attack_gap": np.full(loss.shape, np.nan),
        "attack_gap_se": np.full(loss.shape, np.nan),
        "zero_gradient": np.zeros(loss.shape),
        "status": status,
        "directions": directions,
        "gram": gram,
        "centre_loss": np.array([float(function(radius, np.float64(0), np.float64(0))) for radius in radii]),
        "centre_loss_se": np.full(len(radii), 0.01),
        "centre_error_rate": np.full(len(radii), 0.05),
        "slope": slope,
        "curvature": curvature,
    }
    values: dict[str, Any] = {
        **{name: value for name, value in hessian().attrs.items() if name in _SHARED},
        "command": "landscape surface net.pt --eps 0,0.1",
        "n_parameters": n_parameters,
        "adversary": "reattacked",
        "units": "Euclidean length",
        "direction_names": ["v1"] if len(ys) == 1 else ["v1", "v2"],
        "range_rule": "as asked",
        "adaptive": bool(np.any(status == INTERPOLATED)),
    }
    for name, value in attrs.items():
        (arrays if name in arrays or "/" in name or name.startswith("example_") else values)[name] = value
    return Result("surface", arrays, values)


_SHARED = (
    "status", "created", "landscape_version", "torch_version", "device", "seed", "checkpoint", "checkpoint_sha256",
    "training", "data_sha256", "model", "data", "split", "n_examples", "norm", "train_eps", "attack", "batchnorm",
    "wall_seconds",
)  # fmt: skip
