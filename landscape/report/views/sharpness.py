"""Charts of sharpness: curvature against the radius of measurement, and the rise of the loss at relative distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...plots.sharpness import RISES, note
from ...results.result import Result
from ...units import format_eps
from ..chart import DASHES, Axis, Chart, Series, tones
from .families import families


def sharpness_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the charts of sharpness results: curvature of all nets, and the rises of one net at a time."""
    found = families(results)
    colours = tones(family.eps for family in found)
    series = []
    for family in found:
        for place, net in family.members:
            tone, eps = colours[family.eps], net.arrays["eps"]
            series.append(
                Series(
                    0, place, family.label, eps, net.arrays["lambda_1"], tone, se=net.arrays["lambda_1_se"],
                    marks="both",
                    also={"residual": net.arrays["lambda_1_residual"], "loss": net.arrays["loss"]}, width=1.0,
                )
            )  # fmt: skip
            if "trace" in net.arrays:
                low, high = net.arrays["trace_low"], net.arrays["trace_high"]
                series.append(
                    Series(
                        1,
                        place,
                        family.label,
                        eps,
                        net.arrays["trace"],
                        tone,
                        low=low,
                        high=high,
                        marks="both",
                        width=1.0,
                    )
                )
    panels = [Axis("λ₁ (nats)", log=True)]
    if any("trace" in net.arrays for net in results):
        panels.append(Axis("trace (nats)", log=True, height=0.8))
    charts = [Chart("Curvature", Axis("ε of measurement"), panels, series, note(results))]
    kinds = [name for name in RISES if any(f"{name}_rise" in net.arrays for net in results)]
    for name in kinds:
        rises = []
        for place, net in enumerate(results):
            if f"{name}_rise" in net.arrays:
                ladder = tones(net.arrays["eps"].tolist())
                for rung, eps in enumerate(net.arrays["eps"].tolist()):
                    rises.append(
                        Series(
                            0, place, f"ε = {format_eps(eps)}", net.arrays[f"{name}_radius"],
                            net.arrays[f"{name}_rise"][rung], ladder[eps], se=net.arrays[f"{name}_rise_se"][rung],
                            marks="both", dash=DASHES[rung % len(DASHES)],
                        )
                    )  # fmt: skip
        panel = Axis("rise of the loss (nats)", log=_positive(rises))
        axis = Axis(RISES[name], log=True)
        title = f"Rise at {'random' if name == 'random' else 'the worst'} shifts"
        charts.append(Chart(title, axis, [panel], rises, "One net, a line for each ε of measurement.", pick=True))
    return charts


def _positive(series: Sequence[Series]) -> bool:
    return all(bool((one.y[np.isfinite(one.y)] > 0).all()) for one in series)
