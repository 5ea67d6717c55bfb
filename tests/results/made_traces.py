"""Made-up traces for the tests of files and pictures: a run that leaves its plateau at a step that is known."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.results import Result
from tests.results.made import hessian


def traces(
    *, eps: float = 0.1, seed: int = 0, steps: int = 60, escapes_at: int | None = 20, schedule: str = "constant"
) -> Result:
    """Return traces of a run whose loss is 2.3 until it escapes, then 1; gradient norm 1, then 2; never, for None."""
    step = np.arange(steps)
    out = step >= (steps if escapes_at is None else escapes_at)
    arrays = {
        "step": step,
        "epoch": step / 30,
        "loss": np.where(out, 1.0, 2.3),
        "error_rate": np.where(out, 0.3, 0.9),
        "gradient_norm": np.where(out, 2.0, 1.0),
        "gradient_norm_sq_unbiased": np.where(step % 4 == 0, np.where(out, 3.0, 0.5), np.nan),
        "distance_from_init": 0.1 * step + seed,
        "learning_rate": np.full(steps, 0.05),
        "eps": np.full(steps, eps) if schedule == "constant" else np.minimum(eps, 2 * eps * step / steps),
        "test/step": np.array([0, steps // 2, steps]),
        "test/clean_error_rate": np.array([0.9, 0.5, 0.1]) if escapes_at is not None else np.full(3, 0.9),
        "test/target_robust_error_rate": np.array([0.9, 0.6, 0.2]) if escapes_at is not None else np.full(3, 0.9),
    }
    attrs: dict[str, Any] = {name: value for name, value in hessian().attrs.items() if name in _COMMON}
    training = {"eps": eps, "seed": seed, "eps_schedule": schedule, "optimizer": "sgd", "lr": 0.05, "epoch": 2}
    attrs |= {
        "command": f"landscape train --eps {eps} --seed {seed}",
        "checkpoint": f"runs/eps{eps}-{schedule}-{seed}.pt",
        "seed": seed,
        "train_eps": eps,
        "training": training,
        "attack": "pgd:steps=7,rel_step=0.25,restarts=1,keep=last" if eps else "none",
        "adversary": "reattacked" if eps else "none",
        "measured": "mini-batches",
        "test_attack": "pgd:steps=10,rel_step=0.25,restarts=1",
    }
    return Result("traces", arrays, attrs)


_COMMON = {
    "status", "created", "landscape_version", "torch_version", "device", "checkpoint_sha256", "data_sha256", "model",
    "data", "split", "n_examples", "n_parameters", "norm", "batchnorm", "wall_seconds",
}  # fmt: skip
