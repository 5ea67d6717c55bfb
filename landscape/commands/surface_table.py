"""A surface on the terminal: its centre, how it rises, how loose its attack is, and what must be said beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..results import Result, caveats
from ..results.quadratic import agreement_radius, quadratic_along
from ..terminal import percent, print_table, say
from ..units import format_eps

_HEADER = ("eps", "loss at 0", "± se", "error", "lowest", "at", "highest", "attack gap", "quadratic")


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print one line for each radius, the caveats, and where the surface lies; `again`: it was there already."""
    arrays, attrs = result.arrays, dict[str, Any](result.attrs)
    rows = [_row(result, number) for number in range(len(arrays["eps"]))]
    nx, ny = len(arrays["x"]), len(arrays["y"])
    spans = f"x {arrays['x'][0]:.4g} to {arrays['x'][-1]:.4g}"
    if ny > 1:
        spans += f", y {arrays['y'][0]:.4g} to {arrays['y'][-1]:.4g}"
    print_table(f"{nx} x {ny} points, {spans} ({attrs['units']}; range {attrs['range_rule']})", _HEADER, rows)
    if attrs["audit_attack"]:
        say(f"audited by {attrs['audit_attack']} on {attrs['audit_examples']} examples; the gap is the largest found")
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    say(f"{'found' if again else 'wrote'} {path}")


def _row(result: Result, number: int) -> list[str]:
    arrays = result.arrays
    loss = arrays["loss"][number]
    finite = np.isfinite(loss)
    lowest = at = highest = "-"
    if finite.any():
        row, column = np.unravel_index(np.argmin(np.where(finite, loss, np.inf)), loss.shape)
        lowest, highest = f"{loss[row, column]:.4g}", f"{np.max(loss[finite]):.4g}"
        at = f"({arrays['x'][column]:.3g}, {arrays['y'][row]:.3g})"
    gaps = arrays["attack_gap"][number]
    worst = np.unravel_index(np.nanargmax(gaps), gaps.shape) if np.isfinite(gaps).any() else None
    gap = "-" if worst is None else f"{gaps[worst]:.2g} ± {arrays['attack_gap_se'][number][worst]:.1g}"
    return [
        format_eps(float(arrays["eps"][number])),
        f"{arrays['centre_loss'][number]:.4g}",
        f"{arrays['centre_loss_se'][number]:.1g}",
        percent(float(arrays["centre_error_rate"][number])),
        lowest,
        at,
        highest,
        gap,
        _radius(result, number),
    ]


def _radius(result: Result, number: int) -> str:
    """Return how far along x the quadratic of slope and curvature stays within 5 % of the loss, in words."""
    x, y = result.arrays["x"], result.arrays["y"]
    rows = np.flatnonzero(y == 0)
    if not len(rows):
        return "-"
    loss = result.arrays["loss"][number, rows[0]]
    radius = agreement_radius(x, loss, quadratic_along(result, number, 0)(x))
    if np.isnan(radius):
        return "-"
    if not radius:  # the points nearest to the origin are beyond it already
        return f"under {np.abs(x[x != 0]).min():.2g}"
    return f"within {radius:.2g}" if np.isfinite(radius) else "throughout"
