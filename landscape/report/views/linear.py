"""Charts of the linear model: its optimum, errors and regimes along eps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...plots.theory import edges, footnote
from ...results.kinds import KINDS
from ...results.result import Result
from ..chart import GREY, INK, SORTS, Axis, Chart, Series

_ERRORS = {"error_rate": ("under attack", "solid"), "clean_error_rate": ("clean", "dash")}


def linear_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the chart of theory results, one at a time."""
    series = []
    for place, result in enumerate(results):
        eps, regime = result.arrays["eps"], result.arrays["regime"]
        also = {name: result.arrays[name] for name in ("weight_norm", "margin", "kkt_residual", "regime")}
        series.append(Series(0, place, "optimum", eps, result.arrays["loss"], SORTS[0], also=also))
        for name, (word, dash) in _ERRORS.items():
            series.append(Series(1, place, "errors", eps, result.arrays[name], SORTS[1], name=word, dash=dash))
        series.append(Series(2, place, "regime", eps, regime.astype(float), INK, marks="markers"))
        for name, edge in zip(("γ*", "constant from here"), edges(result), strict=True):
            if np.isfinite(edge):
                for panel, array in enumerate(("loss", "error_rate")):
                    top = float(np.nanmax(np.append(result.arrays[array], 0)))
                    ends = np.array([0.0, top])
                    x = np.array([edge, edge])
                    series.append(Series(panel, place, "thresholds", x, ends, GREY, name=name, dash="dot", width=1.0))
    panels = [
        Axis("least L_ε (nats)"),
        Axis("its error", percent=True),
        Axis("regime", height=0.4, ticks=KINDS["theory"].arrays["regime"].codes),
    ]
    note = f"{footnote(results)} Dotted: the thresholds γ* and of the constant classifier."
    return [Chart("The linear model", Axis("ε (pixel units)"), panels, series, note, pick=True)]
