"""A curve between nets on the terminal: its ends, its highest point and its barriers, beside the line's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..results import Result, caveats
from ..results.connectivity import CURVE, LINE, splits_of, way_of
from ..terminal import percent, print_table, say
from ..units import format_eps

_HEADER = ("eps", "way", "loss at 0", "at 1", "highest", "at t", "barrier", "95 % from", "to", "error")


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a table for each split, the caveats, and where the file lies; `again`: it was there already."""
    attrs = result.attrs
    for split in splits_of(result):
        n = attrs["n_examples"] if split == attrs["split"] else attrs.get("other_examples")
        print_table(f"{split} split, {n:,} examples, {len(result.arrays['t'])} places t", _HEADER, _rows(result, split))
    if _policy_matters(result):
        losses = result.arrays["deployed_loss"]
        told = [
            f"{format_eps(float(eps))}: {one:.4g}, {other:.4g}"
            for eps, (one, other) in zip(result.arrays["eps"], losses, strict=True)
        ]
        say(f"loss of the nets with their own BatchNorm statistics, at eps {'; '.join(told)}")
    length, line = float(str(attrs["curve_length"])), float(str(attrs["line_length"]))
    if attrs["curve"] != "line":
        trained = f"{attrs['epochs']} epochs ({attrs['steps']:,} updates)"
        say(f"the curve is {length / line:.3g} times as long as the line ({line:.4g}), after {trained} of training: ")
        say("its barrier is an upper bound, which more training may lower")
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    held = f", control points in {attrs['control_points']}" if attrs["control_points"] else ""
    say(f"{'found' if again else 'wrote'} {path}{held}")


def _rows(result: Result, split: str) -> list[list[str]]:
    ways = [("line", way_of(result, LINE, split=split))]
    if result.attrs["curve"] != "line":
        ways.insert(0, (str(result.attrs["curve"]), way_of(result, CURVE, split=split)))
    rows = []
    for rung, eps in enumerate(result.arrays["eps"]):
        for name, way in ways:
            loss = way.loss[rung]
            top = int(np.nanargmax(loss)) if np.isfinite(loss).any() else 0
            rows.append(
                [
                    format_eps(float(eps)),
                    name,
                    *(f"{value:.3g}" for value in (loss[0], loss[-1], loss[top])),
                    f"{way.t[top]:.3g}",
                    *(f"{value:.3g}" for value in (way.barrier[rung], way.barrier_low[rung], way.barrier_high[rung])),
                    percent(float(np.fmax.reduce(way.error_rate[rung]))),
                ]
            )
    return rows


def _policy_matters(result: Result) -> bool:
    ends = result.arrays["loss"][:, [0, -1]]
    return not np.array_equal(ends, result.arrays["deployed_loss"], equal_nan=True)
