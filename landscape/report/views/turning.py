"""Charts of scattering: cosines of perturbations and gradients against the distance, and the parts of the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...plots.scattering import PARTS, READINGS, grounds
from ...results.kinds.scattering import POSITIONS
from ...results.result import Result
from ..chart import GREY, SORTS, Axis, Chart, Series, Tone, tones
from .families import families

_LINES = {"-": "solid", "--": "dash", ":": "dot"}
_NETS = {
    "box_cosine": "cosine of perturbations, centred",
    "gradient_cosine": "cosine of gradients",
    "adversary_share": "adversary's share of the change",
}


def turning_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the charts of scattering results, for each way of counting distances: all nets, and one at a time."""
    found = []
    for way, label in POSITIONS.items():
        chosen = [result for result in results if result.attrs.get("positions") == way]
        if chosen:
            axis = Axis(label, log=way != "share" and all((net.arrays["position"] > 0).all() for net in chosen))
            told = "" if way == "radius" else f" by {label}"
            if all(len(net.arrays["position"]) == 1 for net in chosen):  # one place is no curve: the nets side by side
                found.append(_nets(results, chosen, Axis("ε of training"), told, alone=True))
            else:
                found += [_nets(results, chosen, axis, told), _single(results, chosen, axis, told)]
    return found


def _nets(results: Sequence[Result], chosen: Sequence[Result], axis: Axis, told: str, *, alone: bool = False) -> Chart:
    found = families(results, of=lambda result: any(result is one for one in chosen))
    colours = tones(family.eps for family in found)
    series = []
    for family in found:
        for place, net in family.members:
            look: Any = {"result": place, "group": family.label, "tone": colours[family.eps]}
            for panel, name in enumerate(_NETS):
                y, se = net.arrays[name], net.arrays[f"{name}_se"]
                if not np.isfinite(y).any():
                    continue
                if alone:
                    x = np.array([float(str(net.attrs["train_eps"]))])
                    series.append(Series(panel, x=x, y=y, se=se, marks="markers", **look))
                else:  # the bands of many nets would hide them
                    x, also = net.arrays["position"], {"standard error over examples": se}
                    series.append(Series(panel, x=x, y=y, also=also, width=1.0, **look))
    panels = [Axis(label, linear=True) for label in _NETS.values()]
    return Chart(
        f"Scattering of all nets{told}",
        axis,
        panels,
        series,
        f"One {'dot' if alone else 'line'} a net. {grounds(chosen)}",
    )


def _single(results: Sequence[Result], chosen: Sequence[Result], axis: Axis, told: str) -> Chart:
    series = []
    for place, net in enumerate(results):
        if not any(net is one for one in chosen):
            continue
        for (name, (word, kind)), tone in zip(READINGS.items(), SORTS, strict=True):
            if np.isfinite(net.arrays[name]).any():
                series.append(_cosine(0, place, word, net, name, tone, marks="both"))
                ends = net.arrays["position"][[0, -1]]
                for baseline, dash in (("random", "dot"), ("restart", "dash")):
                    level = np.full(2, float(net.arrays[f"{baseline}_{kind}"]))
                    series.append(
                        Series(0, place, word, ends, level, tone, name=f"two {baseline}s", dash=dash, width=0.9)
                    )
        for name, word, dash in (
            ("gradient_cosine", "gradients", "solid"),
            ("gradient_cosine_frozen", "adversary held", "dash"),
        ):
            series.append(_cosine(1, place, "gradients", net, name, SORTS[0], word=word, dash=dash, marks="both"))
        scale = float(str(net.attrs["centre_gradient_norm"])) or np.nan
        for name, (word, dash) in PARTS.items():
            x, y, se = net.arrays["position"], net.arrays[name] / scale, net.arrays[f"{name}_se"] / scale
            series.append(
                Series(2, place, "parts of the change", x, y, GREY, name=word, se=se, dash=_LINES[dash], marks="both")
            )
    panels = [
        Axis("cosine of perturbations", linear=True),
        Axis("cosine of gradients", linear=True),
        Axis("change of the gradient / its norm", log=True),
    ]
    note = (
        f"{grounds(chosen)} Dotted: two random vertices; dashed: two random starts, and gradients of the frozen "
        "adversary. Bars: one standard error over examples."
    )
    return Chart(f"Scattering of one net{told}", axis, panels, series, note, pick=True)


def _cosine(
    panel: int, place: int, label: str, net: Result, name: str, tone: Tone, *, word: str = "", **look: Any
) -> Series:
    x, y, se = (net.arrays[key] for key in ("position", name, f"{name}_se"))
    return Series(panel, place, label, x, y, tone, name=word, se=se, **look)
