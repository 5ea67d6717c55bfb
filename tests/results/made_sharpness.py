"""Made-up sharpness results: the shape of real ones, numbers from formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.results import Result
from tests.results.made import hessian

_HESSIAN = ("eps", "loss", "gradient_norm", "method", "which", "guard_passed", "orthogonality", "error_rate")
RANDOM, WORST = np.array([0.1, 0.2, 0.5]), np.array([0.002, 0.005, 0.01])


def sharpness(
    trained: float = 0.1,
    seed: int = 0,
    *,
    eps: tuple[float, ...] = (0.0, 0.1, 0.2),
    epoch: int = 8,
    factor: float = 1.0,
    rises: bool = True,
    **attrs: Any,
) -> Result:
    """Return a result whose lambda_1 is (20 + 100 trained + 50 eps) factor (1 + seed / 50); `attrs` replace."""
    radii = np.array(eps)
    value = (20 + 100 * trained + 50 * radii) * factor * (1 + seed / 50)
    loss = 0.1 + 4 * np.abs(radii - trained) + trained + 1 / epoch - 1 / 8
    arrays: dict[str, np.ndarray] = {
        "eps": radii,
        "loss": loss,
        "loss_se": 0.05 * loss,
        "error_rate": 0.2 + 0 * radii,
        "gradient_norm": 1 + radii,
        "lambda_1": value,
        "lambda_1_residual": 1e-4 * value,
        "lambda_1_se": 0.05 * value,
        "gauss_newton": 0.99 * value,
        "pair_status": np.ones(len(radii), dtype=np.uint8),
        "trace": 6 * value,
        "trace_low": 5.5 * value,
        "trace_high": 6.5 * value,
    }
    if rises:
        random = value[:, None] * RANDOM**2 / 20
        worst = value[:, None] * WORST
        arrays |= {
            "random_radius": RANDOM,
            "worst_radius": WORST,
            "random_rises": random[:, :, None] * np.array([0.8, 1.0, 1.2]),
            "random_rise": random,
            "random_rise_se": 0.1 * random,
            "random_rise_example_se": 0.05 * random,
            "worst_rise": worst,
            "worst_rise_se": 0.05 * worst,
            "worst_rise_frozen": 0.9 * worst,
            "worst_rise_gap": 0.01 * worst,
        }
    base = {
        name: value
        for name, value in hessian().attrs.items()
        if name
        not in ("eps", "loss", "gradient_norm", "method", "which", "guard_passed", "orthogonality", "error_rate")
    }
    values: dict[str, Any] = {
        **base,
        "command": "landscape sharpness net.pt --eps 0,0.1,0.2",
        "train_eps": trained,
        "training": {"eps": trained, "seed": seed, "epoch": epoch, "epochs": 8, "lr": 1e-3},
        "checkpoint": f"eps{trained:g}-seed{seed}-epoch{epoch}.pt",
        "checkpoint_sha256": f"{trained}-{seed}-{epoch}",
        "adversary": "reattacked" if rises else "frozen",
        "measures": ["lambda_1", "trace", *(["random_rise", "worst_rise"] if rises else [])],
        "weight_norm": 10.0,
        "tol": 1e-3,
        "hvps": 300,
        "probes": 8,
        "starts": 2,
        "collapsed": False,
        **attrs,
    }
    return Result("sharpness", arrays, values)
