"""The chart of evaluations: the error of each net against the radius; their errors by attack stand in tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...plots.labels import net_name
from ...results.describe import show
from ...results.result import Result
from ..chart import DASHES, Axis, Chart, Series, tones

_CURVE, _COARSE = "curve/eps", 4  # so few radii are the adequacy checks' own, and no curve


def evaluation_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the chart of error against radius where any evaluation has one; their errors stand in tables."""
    series = [one for place, result in enumerate(results) for one in _curve(place, result)]
    if not series:
        return []
    told = "; ".join(
        dict.fromkeys(
            f"{result.attrs.get('curve_attack')}, {show(result.attrs.get('curve_examples'))} examples"
            for result in results
            if len(result.arrays.get(_CURVE, ())) > _COARSE
        )
    )
    panel = Axis("error", percent=True)
    return [Chart("Error against the radius", Axis("ε (pixel units)"), [panel], series, f"{told}.", pick=True)]


def _curve(place: int, result: Result) -> Iterator[Series]:
    radii = result.arrays.get(_CURVE, np.zeros(0))
    if len(radii) > _COARSE:
        names = [net_name(str(name)) for name in result.arrays["checkpoints"]]
        colours = tones(range(len(names)))
        for net, rates in enumerate(result.arrays["curve/error_rate"]):
            yield Series(0, place, names[net], radii, rates, colours[net], marks="both", dash=DASHES[net % len(DASHES)])
