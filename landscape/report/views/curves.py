"""Charts of curves between nets: loss and error along curve and line with their barriers, and all barriers by eps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ...plots.connect import prefixes_of
from ...plots.connect_figure import curve_words
from ...results.connectivity import LINE, Way, splits_of, way_of
from ...results.result import Result
from ...units import format_eps
from ..chart import DASHES, GREY, Axis, Chart, Series, Tone, tones

_NOTE = (
    "Solid: the curve; dashed: the line; dotted: the chord of the ends. Bands: one standard error over examples. "
    "Upright: the barrier above the chord, at the place of the highest rise, with its 95 % interval over examples, t "
    "chosen on other examples. Rings: the nets as they are deployed. A trained curve's barrier is an upper bound of "
    "the best curve's."
)


def curve_charts(results: Sequence[Result]) -> list[Chart]:
    """Return the charts of connect results: one result at a time along t, and the barriers of all of them."""
    curved = any(name in result.arrays for result in results for name in _ALONG)
    panels = [Axis("loss (nats)", log=_far_apart(results)), Axis("error", percent=True, height=0.7)]
    panels += [Axis(label, height=0.5) for label in _ALONG.values()] if curved else []
    series = [one for place, result in enumerate(results) for one in _along(place, result, curved=curved)]
    told = "; ".join(dict.fromkeys(map(curve_words, results)))
    charts = [Chart("Along curve and line", Axis("t"), panels, series, f"{told}. {_NOTE}", pick=True)]
    colours = tones(_trained(result) for result in results)
    barriers = [one for place, result in enumerate(results) for one in _barriers(place, result, colours)]
    note = (
        "One dot for each result and radius: the curve's barrier, and the line's; bars: its 95 % interval over the "
        "examples, not over pairs of nets."
    )
    charts.append(Chart("Barriers", Axis("ε of the attack"), [Axis("barrier (nats)")], barriers, note))
    return charts


_ALONG = {"gradient_norm": "gradient norm", "lambda_1": "λ₁ (nats)"}


def _ways(result: Result) -> Iterator[tuple[str, str, Way]]:
    for split in splits_of(result):
        for prefix in prefixes_of(result):
            yield split, prefix, way_of(result, prefix, split=split)


def _along(place: int, result: Result, *, curved: bool) -> Iterator[Series]:
    colours = tones(result.arrays["eps"].tolist())
    own = str(result.attrs.get("split"))
    for split, prefix, way in _ways(result):
        word = "line" if prefix == LINE else "curve"
        for rung, eps in enumerate(way.eps.tolist()):
            group = f"{_eps(eps)}, {split}"
            second = split != own
            look: dict[str, Any] = {"tone": colours[eps], "dash": DASHES[prefix == LINE], "second": second}
            yield Series(0, place, group, way.t, way.loss[rung], name=word, se=way.loss_se[rung], **look)
            yield Series(1, place, group, way.t, way.error_rate[rung], name=word, se=way.error_se[rung], **look)
            yield from _bracket(place, way, rung, group, word, look["tone"], second=second)
            if prefix != LINE or len(prefixes_of(result)) == 1:
                deployed = "" if split == own else f"{split}/"
                rates = {0: "deployed_loss", 1: "deployed_error_rate"}
                for panel, name in rates.items():
                    y = result.arrays[f"{deployed}{name}"][rung]
                    yield Series(panel, place, group, np.array([0.0, 1.0]), y, look["tone"], name="net as deployed",
                                 marks="markers", symbols=[2, 2])  # fmt: skip
    for panel, name in enumerate(_ALONG, 2) if curved else ():
        if name in result.arrays:
            at = result.attrs.get("curvature_eps")
            group = f"{_eps(at)}, {own}" if isinstance(at, float) else own
            known = np.isfinite(result.arrays[name])
            errors = result.arrays.get(f"{name}_residual")
            yield Series(panel, place, group, result.arrays["t"][known], result.arrays[name][known], GREY, name="curve",
                         se=None if errors is None else errors[known], marks="both")  # fmt: skip


def _bracket(place: int, way: Way, rung: int, group: str, word: str, tone: Tone, *, second: bool) -> Iterator[Series]:
    ends, at = way.ends[rung], float(way.top_t[rung])
    yield Series(0, place, group, np.array([0.0, 1.0]), ends, tone, name=f"chord of the {word}", dash="dot", width=0.8)
    foot = (1 - at) * float(ends[0]) + at * float(ends[1])
    values = [float(values[rung]) for values in (way.barrier, way.barrier_low, way.barrier_high)]
    if np.isfinite([foot, values[0]]).all():
        low, high = (np.array([np.nan, foot + value]) for value in values[1:])
        also = {"barrier": np.array([values[0]] * 2)}
        y = np.array([foot, foot + values[0]])
        yield Series(0, place, group, np.array([at, at]), y, tone, name=f"barrier of the {word}", low=low, high=high,
                     also=also, width=1.2)  # fmt: skip


def _barriers(place: int, result: Result, colours: dict[float, Tone]) -> Iterator[Series]:
    for split, prefix, way in _ways(result):
        if split == str(result.attrs.get("split")):
            trained, line = _trained(result), prefix == LINE
            yield Series(
                0, place, "trained at " + _radius(trained), way.eps, way.barrier, colours[trained],
                name="line" if line else "curve", low=way.barrier_low, high=way.barrier_high, marks="both",
                dash=DASHES[line], symbols=[2 * line] * len(way.eps),
            )  # fmt: skip


def _trained(result: Result) -> float:
    value = result.attrs.get("train_eps")
    return float(value) if isinstance(value, float) and np.isfinite(value) else -1.0


def _eps(eps: float) -> str:
    return "clean" if eps == 0 else _radius(eps)


def _radius(eps: float) -> str:
    return f"ε = {format_eps(eps)}" if eps >= 0 else "ε unknown"


def _far_apart(results: Sequence[Result]) -> bool:
    """Say whether a linear scale of losses would hide what is low, as in the paper's figure of these."""
    values = np.concatenate([result.arrays[name].ravel() for result in results for name in ("loss", "line_loss")])
    values = values[np.isfinite(values) & (values > 0)]
    return bool(values.size and values.max() > 12 * values.min())
