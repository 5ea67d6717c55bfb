"""Made-up scattering results: the shape of real ones, numbers from formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.results import KINDS, Result
from tests.results.made import hessian

RADII = np.array([0.02, 0.1, 0.2])
_HESSIAN = ("loss", "loss_se", "gradient_norm", "method", "which", "guard_passed", "orthogonality", "error_rate")


def scattering(
    trained: float = 0.1,
    seed: int = 0,
    *,
    eps: float | None = None,
    along: str = "random",
    positions: str = "radius",
    n: int = 4,
    single: int = 2,
    changed: dict[str, Any] | None = None,
    **attrs: Any,
) -> Result:
    """Return a result of cosines 1 - (2 eps + seed / 100) x, x the position, gradients' 1 - eps x; no attack at eps 0.

    The adversary's share is eps; single examples scatter by 0.01 around their mean; `changed` replaces arrays.
    """
    eps = trained if eps is None else eps
    places = {"radius": RADII, "rise": np.array([0.1]), "share": np.array([1.0])}[positions]
    turned = 1 - (2 * eps + seed / 100) * places if eps else np.full(places.shape, np.nan)
    sizes = {"radius": len(places), "n": n, "m": single}
    arrays: dict[str, np.ndarray] = {}
    for name, array in KINDS["scattering"].arrays.items():
        if not set(array.dims) <= set(sizes) or array.dtype == "int64":
            continue
        shape = tuple(sizes[dim] for dim in array.dims)
        fill: Any = 0.01
        if name.endswith("_se"):
            fill = 0.002
        elif "gradient_cosine" in name:
            fill = 1 - eps * places
        elif "cosine" in name:
            fill = (
                turned
                if array.dims[:1] == ("radius",)
                else {"random": 0.2, "restart": 0.85}.get(name.split("_")[0], 0.9)
            )
        elif name == "adversary_share":
            fill = np.full(len(places), eps)
        elif name.startswith("gradient_difference"):
            fill = places * (0.6 if name.endswith(("frozen", "adversary")) else 1.0)
        if np.shape(fill) and len(shape) == 2:
            spread = np.linspace(-1, 1, shape[1]) if shape[1] > 1 else np.zeros(1)
            arrays[name] = np.asarray(fill)[:, None] + 0.01 * spread
        else:
            arrays[name] = np.broadcast_to(fill, shape)
    arrays |= {"radius": 0.5 * places if positions == "share" else places, "position": places}
    arrays |= {"example_index": np.arange(n), "single_index": np.arange(single)}
    arrays |= {"loss": 0.3 + places, "loss_frozen": 0.3 + 0.9 * places, "undefined": 0 * places}
    arrays |= {"zero_start_undefined": 0 * places, **(changed or {})}
    values: dict[str, Any] = {
        **{name: value for name, value in hessian().attrs.items() if name not in _HESSIAN},
        "command": "landscape scattering net.pt",
        "eps": eps,
        "train_eps": trained,
        "training": {"eps": trained, "seed": seed, "epochs": 8, "lr": 1e-3},
        "checkpoint": f"eps{trained:g}-seed{seed}.pt",
        "checkpoint_sha256": f"{trained}-{seed}",
        "attack": "pgd:steps=10,rel_step=0.25,restarts=1" if eps else "none",
        "adversary": "reattacked" if eps else "none",
        "n_examples": n,
        "centre_loss": 0.3,
        "centre_loss_se": 0.02,
        "centre_gradient_norm": 2.0,
        "weight_norm": 10.0,
        "along": along,
        "direction_name": "random direction 0 (seed 0)" if along == "random" else along,
        "positions": positions,
        "groups": 4,
        "collapsed": False,
        **attrs,
    }
    return Result("scattering", arrays, values)
