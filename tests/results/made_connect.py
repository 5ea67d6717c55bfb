"""Made-up curves between nets for the tests of files and pictures: humps over chords, every barrier known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.results import Result
from tests.results.made import hessian

EVALUATED, NOT_FINITE = 1, 2
ENDS = (0.1, 0.3)  # losses of the two nets, unattacked; each radius of the ladder adds twice itself to both


def connect(
    *,
    eps: Sequence[float] = (0.0, 0.1),
    t: Sequence[float] | np.ndarray | None = None,
    hump: Sequence[float] | None = None,
    line_hump: float = 2.0,
    other: str | None = None,
    lost: dict[tuple[int, int], int] | None = None,
    train_eps: float = 0.1,
    seeds: tuple[int, int] = (0, 1),
    **attrs: Any,
) -> Result:
    """Return a result whose curve lies 4 t (1 - t) `hump[e]` above the chord of its ends, its line `line_hump`.

    So the barriers are `hump` and `line_hump`, at t = 1/2 where t has it. `lost` gives points (eps, t) of the curve a
    status, their values lost; `other` is the split of a group beside. `attrs` replace attributes, or arrays.
    """
    radii = np.asarray(eps, np.float64)
    places = np.linspace(0, 1, 21) if t is None else np.asarray(t, np.float64)
    humps = np.asarray([0.05 + radius for radius in radii] if hump is None else hump)
    arrays: dict[str, Any] = {"t": places, "eps": radii, **_split(radii, places, humps, line_hump)}
    if other is not None:
        held = _split(radii, places, 1.5 * humps, line_hump)
        arrays |= {f"{other}/{name}": array for name, array in held.items()}
    for (rung, point), code in (lost or {}).items():
        arrays["status"][rung, point] = code
        for name in ("loss", "loss_se", "error_rate"):
            arrays[name][rung, point] = np.nan
    names = [f"runs/eps{train_eps:g}-seed{seed}.pt" for seed in seeds]
    values: dict[str, Any] = {
        **{name: value for name, value in hessian().attrs.items() if name in _SHARED},
        "command": f"landscape connect {' '.join(names)}",
        "checkpoint": names,
        "checkpoint_sha256": [f"{seed:02d}" * 32 for seed in seeds],
        "training": [{"eps": train_eps, "seed": seed, "epochs": 20} for seed in seeds],
        "train_eps": train_eps,
        "adversary": "reattacked",
        "curve": "bezier",
        "interior_points": 3,
        "epochs": 10,
        "steps": 120,
        "curve_length": 12.5,
        "line_length": 10.0,
        "control_points": "results/a.connect-abcdef.pt",
        "control_points_sha256": "ef" * 32,
    }
    for name, value in attrs.items():
        of_arrays = name != "status" and (name in arrays or "/" in name or name in _ARRAYS)
        (arrays if of_arrays else values)[name] = value
    return Result("connect", arrays, values)


def _split(radii: np.ndarray, t: np.ndarray, humps: np.ndarray, line_hump: float) -> dict[str, np.ndarray]:
    ends = np.array(ENDS) + 2 * radii[:, None]  # (E, 2)
    chord = ends[:, :1] * (1 - t) + ends[:, 1:] * t
    arrays: dict[str, np.ndarray] = {}
    for prefix, hump in (("", humps[:, None]), ("line_", np.full((len(radii), 1), line_hump))):
        loss = chord + 4 * t * (1 - t) * hump
        top = loss.max(1)
        arrays |= {
            f"{prefix}loss": loss,
            f"{prefix}loss_se": 0.05 * loss,
            f"{prefix}error_rate": np.clip(0.3 * loss, 0, 1),
            f"{prefix}status": np.full(loss.shape, EVALUATED, np.uint8),
            f"{prefix}barrier": hump[:, 0],
            f"{prefix}barrier_low": 0.8 * hump[:, 0],
            f"{prefix}barrier_high": 1.3 * hump[:, 0],
            f"{prefix}barrier_over_ends": top - ends.max(1),
            f"{prefix}barrier_t": np.full((len(radii), 2), 0.5),
        }
    return {
        **arrays,
        "deployed_loss": 0.9 * ends,
        "deployed_error_rate": 0.25 * ends,
    }


_SHARED = (
    "status", "created", "landscape_version", "torch_version", "device", "seed", "data_sha256", "model", "data",
    "split", "n_examples", "n_parameters", "norm", "attack", "batchnorm", "wall_seconds",
)  # fmt: skip
_ARRAYS = (
    "gradient_norm", "lambda_1", "lambda_1_residual", "example_loss", "line_example_loss", "example_index",
    "plane_points",
)  # fmt: skip
