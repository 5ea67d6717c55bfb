"""Charts of a kind that has no view of its own: what lies along its first dimension, a panel for each array."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...results.kinds import KINDS
from ...results.result import Result
from ..chart import SORTS, Axis, Chart, Series

_MOST = 8  # panels


def plain_charts(results: Sequence[Result]) -> list[Chart]:
    """Return one chart of the arrays over the first dimension of results of one kind, one result at a time."""
    kind = KINDS[results[0].kind]
    dim = next((array.dims[0] for array in kind.arrays.values() if array.dims), "")
    names = [
        name
        for name, array in kind.arrays.items()
        if array.dims == (dim,) and name != dim and array.dtype.startswith(("float", "int", "uint"))
    ][:_MOST]
    series = []
    for place, result in enumerate(results):
        for panel, name in enumerate(names):
            if name in result.arrays:
                y = result.arrays[name].astype(float)
                x = result.arrays[dim].astype(float) if dim in result.arrays else np.arange(1.0, len(y) + 1)
                series.append(Series(panel, place, name, x, y, SORTS[0], marks="both"))
    if not series:
        return []
    panels = [Axis(f"{name} ({kind.arrays[name].units})", height=0.6) for name in names]
    note = "; ".join(f"{name}: {kind.arrays[name].meaning}" for name in names)
    return [Chart(kind.title.capitalize(), Axis(dim), panels, series, f"{note}.", pick=True)]
