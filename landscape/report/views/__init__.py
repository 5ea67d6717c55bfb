"""What a page shows of each kind of result, as functions from results to charts; surfaces have a view of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...results.result import Result
from ..chart import Chart
from .curves import curve_charts
from .evaluations import evaluation_charts
from .linear import linear_charts
from .runs import run_charts
from .sharpness import sharpness_charts
from .spectra import spectrum_charts
from .turning import turning_charts

CHARTS: dict[str, Callable[[Sequence[Result]], list[Chart]]] = {
    "hessian": spectrum_charts,
    "traces": run_charts,
    "connect": curve_charts,
    "evaluate": evaluation_charts,
    "scattering": turning_charts,
    "sharpness": sharpness_charts,
    "theory": linear_charts,
}

__all__ = ["CHARTS"]
