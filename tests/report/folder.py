"""A folder with a result of every kind for the tests of reports: made-up numbers, none of them round."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landscape.results import Result
from tests.results.made import hessian, with_density
from tests.results.made_connect import connect
from tests.results.made_evaluate import evaluation
from tests.results.made_scattering import scattering
from tests.results.made_sharpness import sharpness
from tests.results.made_surface import NOT_FINITE, SKIPPED, surface
from tests.results.made_traces import traces

HOSTILE = (
    'landscape surface \'</script><script>document.title = "broken"</script>\' "<img src=x onerror=alert(1)>" {{data}}'
)


def plane(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a loss that no mirroring leaves alone, and whose values fill all digits."""
    return np.exp(0.7 * np.sin(3 * x) + 0.3 * y) / 7 + (3 + 20 * eps) * (x - 0.05) ** 2 + (1.3 + 7 * eps) * y**2


def other_plane(eps: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return another loss over the same plane."""
    return 1.1 * plane(eps, x, y) + 0.03 * np.cos(5 * x - y)


def surfaces() -> dict[str, Result]:
    """Return two planes on one grid, the first with cells that are lost and an audit, and a line."""
    x, y = np.linspace(-0.4, 0.6, 6), np.linspace(-0.3, 0.6, 4)
    gap = np.full((2, 4, 6), np.nan)
    gap[1, 1, 2], gap[1, 2, 4] = 0.0123456789, 0.0031415926
    lost = {(1, 3, 5): (np.nan, NOT_FINITE), (1, 3, 0): (np.nan, SKIPPED), (0, 0, 0): (np.inf, NOT_FINITE)}
    audit = {"attack_gap": gap, "attack_gap_se": 0.1 * gap, "audit_attack": "apgd-ce", "audit_examples": 32}
    return {
        "net-a": surface(plane, x=x, y=y, change=lost, command=HOSTILE, cap=9.0, **audit),
        "net-b": surface(other_plane, x=x, y=y, train_eps=0.2, batchnorm="recalibrated"),
        "line": surface(plane, x=x, y=(0.0,)),
    }


def results() -> dict[str, Result]:
    """Return one result or more of each kind that a page draws charts of, by the names of their files."""
    return {
        **surfaces(),
        "h0": hessian(eps=0.0, train_eps=0.0, **with_density()),
        "h1": hessian(top=77.7, pair_status=np.array([1] * 19 + [0], dtype=np.uint8), status="not-converged"),
        "run0": traces(eps=0.0),
        "run1": traces(eps=0.1, seed=1, schedule="linear"),
        "pair": connect(other="test"),
        "tested": evaluation(((10, 40, 45, 30), (3, 20, 22, 21)), curve=True, verdicts=["sound: x", "suspect: y"]),
        "scattered": scattering(),
        "sharp": sharpness(),
    }


def write(folder: Path) -> Path:
    """Write all of them to a folder, and return it."""
    for name, result in results().items():
        result.save(folder / f"{name}.h5")
    return folder
