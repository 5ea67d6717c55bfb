"""A chart as data: panels over one axis, and series in them; the page draws, lists, smooths and exports any of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex

from .blob import Blob

Tone = tuple[str, str]  # a colour on white paper, and on black
INK: Tone = ("#222222", "#e8e8e8")
GREY: Tone = ("#6e6e6e", "#a8a8a8")
DASHES = ("solid", "dash", "dot", "dashdot")
# Okabe and Ito's colours that differ in lightness too: for what has no order.
SORTS: tuple[Tone, ...] = (("#0072b2", "#56b4e9"), ("#d55e00", "#e69f00"), ("#222222", "#e8e8e8"))


@dataclass(frozen=True)
class Axis:
    """An axis: what it shows, whether it begins logarithmic or is in per cent, its height, words at its ticks."""

    label: str
    log: bool = False
    percent: bool = False
    height: float = 1.0
    ticks: Mapping[int, str] = field(default_factory=dict)
    linear: bool = False  # and never logarithmic
    low: float = 0.0  # below this a logarithmic axis shows nothing

    def packed(self) -> dict[str, Any]:
        """Return the axis as the page reads it."""
        entry: dict[str, Any] = {"label": self.label, "log": self.log, "percent": self.percent, "height": self.height}
        entry |= {"ticks": [list(tick) for tick in self.ticks.items()]} if self.ticks else {}
        entry |= {"low": self.low} if self.low > 0 else {}
        return {**entry, "linear": True} if self.linear or self.ticks else entry


@dataclass(frozen=True, eq=False)
class Series:
    """Values y (n,) over x (n,) in one panel; `se` is drawn as bars or a band, `low` and `high` as an interval.

    Series of one `group` are switched on and off together. `also` are more columns for reading and export, by their
    headings. `marks` is "lines", "markers" or "both"; a `second` reading is not shown until it is asked for.
    """

    panel: int
    result: int
    group: str
    x: np.ndarray
    y: np.ndarray
    tone: Tone
    name: str = ""
    se: np.ndarray | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    also: Mapping[str, np.ndarray] = field(default_factory=dict)
    dash: str = "solid"
    marks: str = "lines"
    width: float = 1.5
    symbols: Sequence[int] = ()
    second: bool = False

    def packed(self, blob: Blob) -> dict[str, Any]:
        """Return the series as the page reads it, its arrays in the blob."""
        entry: dict[str, Any] = {
            "panel": self.panel,
            "result": self.result,
            "group": self.group,
            "name": self.name,
            "x": blob.add(self.x),
            "y": blob.add(self.y),
            "tone": list(self.tone),
            "dash": self.dash,
            "marks": self.marks,
            "width": self.width,
            "also": {name: blob.add(array) for name, array in self.also.items()},
        }
        for name in ("se", "low", "high"):
            array = getattr(self, name)
            if array is not None and np.isfinite(array).any():
                entry[name] = blob.add(array)
        if len(self.symbols):
            entry["symbols"] = list(self.symbols)
        if self.second:
            entry["second"] = True
        return entry


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart; with `pick`, of one result at a time. `smooth` is over how many rows lines are a mean of at first."""

    title: str
    x: Axis
    panels: Sequence[Axis]
    series: Sequence[Series]
    note: str = ""
    pick: bool = False
    smooth: int = 0

    def packed(self, blob: Blob) -> dict[str, Any]:
        """Return the chart as the page reads it."""
        return {
            "title": self.title,
            "x": self.x.packed(),
            "panels": [panel.packed() for panel in self.panels],
            "series": [series.packed(blob) for series in self.series],
            "pick": self.pick,
            "smooth": self.smooth,
        }


def tones(values: Iterable[float]) -> dict[float, Tone]:
    """Return a colour for each value, in the order of viridis: dark to light on paper, light to bright on black."""
    ordered = sorted(set(values))
    shades = mpl.colormaps["viridis"]
    found = {}
    for rank, value in enumerate(ordered):
        place = rank / max(1, len(ordered) - 1)
        found[value] = (to_hex(shades(0.8 * place)), to_hex(shades(0.45 + 0.55 * place)))
    return found
