"""Landscape: the loss landscape of robust networks, measured with its evidence.

import landscape
model = landscape.load_model("digits/eps0.1")
result = landscape.hessian(model, (images, labels), eps=0.1, top=20)
result.eigenvalues; result.plot(); result.save("h.h5")
"""

from __future__ import annotations

import importlib
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In a checkout, analyses/ and figures/ lie beside this folder (the brief's layout) and are imported as
# landscape.analyses and landscape.figures all the same. setup.py maps them for installed copies, but a working
# directory that is the checkout shadows any installed copy, so the package looks beside itself as well.
_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "setup.py").is_file() and (_checkout / "analyses" / "__init__.py").is_file():
    __path__.append(str(_checkout))

# Each name with the module that it waits in: `import landscape` loads no torch.
_NAMES = {
    "BezierCurve": "geometry",
    "HessianOperator": "curvature",
    "L2Ball": "attacks",
    "LinfBall": "attacks",
    "NotConverged": "errors",
    "Objective": "objective",
    "PGD": "attacks",
    "Plane": "geometry",
    "Recipe": "training.recipe",
    "Result": "results",
    "connect": "analyses.connect",
    "doctor": "checkup",
    "evaluate": "analyses.evaluate",
    "hessian": "analyses.hessian",
    "is_constant": "training.accuracy",
    "linear_theory": "analyses.theory",
    "load": "results",
    "load_data": "data",
    "load_model": "checkpoint",
    "recheck": "rechecks",
    "save_checkpoint": "checkpoint",
    "scattering": "analyses.scattering",
    "sharpness": "analyses.sharpness",
    "surface": "analyses.surface",
    "top_eigenpairs": "curvature",
    "traces": "analyses.traces",
    "train": "training.trainer",
}
_ORIGINALS = {"load": "read_result"}

__all__ = [
    "PGD",
    "BezierCurve",
    "HessianOperator",
    "L2Ball",
    "LinfBall",
    "NotConverged",
    "Objective",
    "Plane",
    "Recipe",
    "Result",
    "__version__",
    "connect",
    "doctor",
    "evaluate",
    "hessian",
    "is_constant",
    "linear_theory",
    "load",
    "load_data",
    "load_model",
    "recheck",
    "save_checkpoint",
    "scattering",
    "sharpness",
    "surface",
    "top_eigenpairs",
    "traces",
    "train",
]

if TYPE_CHECKING:
    from landscape.analyses.connect import connect
    from landscape.analyses.evaluate import evaluate
    from landscape.analyses.hessian import hessian
    from landscape.analyses.scattering import scattering
    from landscape.analyses.sharpness import sharpness
    from landscape.analyses.surface import surface
    from landscape.analyses.theory import linear_theory
    from landscape.analyses.traces import traces

    from .attacks import PGD, L2Ball, LinfBall
    from .checkpoint import load_model, save_checkpoint
    from .checkup import doctor
    from .curvature import HessianOperator, top_eigenpairs
    from .data import load_data
    from .errors import NotConverged
    from .geometry import BezierCurve, Plane
    from .objective import Objective
    from .rechecks import recheck
    from .results import Result
    from .results import read_result as load
    from .training.accuracy import is_constant
    from .training.recipe import Recipe
    from .training.trainer import train


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f".{_NAMES[name]}", __name__)
    return getattr(module, _ORIGINALS.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})
