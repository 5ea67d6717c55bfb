"""Sharpness on the terminal: a net over its radii; then all nets, trained at against measured at, with the effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Result, caveats
from ..results.comparison import LEAST, Comparison
from ..results.sharpness_study import OWN, Run, common_radii, compared, matrix, read_runs, shift_of
from ..terminal import percent, print_table, say
from ..units import format_eps

_MATRICES = {"loss": "loss", "trace": "trace", "gauss_newton_share": "Gauss-Newton share of λ₁"}


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a net's sharpness, a line for each radius, and where it lies; `again`: it was there already."""
    attrs = dict[str, Any](result.attrs)
    header = ["eps", "loss", "error", "gradient", "λ₁", "± se", "v'Gv/λ₁", "trace", "95 %"]
    rows = [_curvature(result, e) for e in range(len(result.eps))]
    if "trace" not in result.arrays:
        header, rows = header[:-2], [row[:-2] for row in rows]
    print_table(f"curvature, by {attrs['hvps']} products; ||w|| = {attrs['weight_norm']:.4g}", header, rows)
    shifts = {"random": "random filter-normalised shifts", "worst": "the worst shifts found"}
    for name, words in shifts.items():
        if f"{name}_rise" in result.arrays:
            radii = [f"{radius:g}" for radius in result.arrays[f"{name}_radius"]]
            rows = [_rises(result, name, e) for e in range(len(result.eps))]
            print_table(f"rise of the loss (nats) at {words}, by their share of the weights", ["eps", *radii], rows)
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    say(f"{'found' if again else 'wrote'} {path}")


def _curvature(result: Result, e: int) -> list[str]:
    arrays = {name: array[e] for name, array in result.arrays.items() if array.ndim and array.shape[0] > e}
    value = arrays["lambda_1"]
    row = [
        format_eps(float(arrays["eps"])),
        f"{arrays['loss']:.4g}",
        percent(float(arrays["error_rate"])),
        f"{arrays['gradient_norm']:.2g}",
        f"{value:.4g}",
        f"{arrays['lambda_1_se']:.2g}",
        f"{100 * arrays['gauss_newton'] / value:.1f} %" if value else "-",
    ]
    if "trace" not in arrays:
        return [*row, "-", "-"]
    return [*row, f"{arrays['trace']:.4g}", f"{arrays['trace_low']:.4g} to {arrays['trace_high']:.4g}"]


def _rises(result: Result, name: str, e: int) -> list[str]:
    values = result.arrays[f"{name}_rise"][e]
    errors = result.arrays["random_rise_se" if name == "random" else "worst_rise_se"][e]
    cells = [f"{value:.3g} ± {error:.1g}" for value, error in zip(values, errors, strict=True)]
    return [format_eps(float(result.arrays["eps"][e])), *cells]


def show_study(paths: Sequence[Path], *, seed: int) -> None:
    """Print what several nets say together: lambda_1 by training radius and measured radius, then each effect."""
    runs = read_runs(paths)
    if len(runs) < 2:
        return
    whole = compared(runs, "lambda_1", seed=seed)
    columns = [(eps, compared(runs, "lambda_1", eps=eps, seed=seed)) for eps in common_radii(runs)]
    _show_matrix([(eps, column) for eps, column in columns if isinstance(column, Comparison)])
    for quantity, words in _MATRICES.items():
        _show_means(quantity, words, runs)
    rows, shifts = [_effect("lambda_1", whole)], {}
    for quantity in OWN[1:]:
        at = shift_of(runs, quantity)
        rows.append(_effect(quantity, compared(runs, quantity, at=at, seed=seed)))
        if at is not None:
            shifts[quantity.partition("_")[0]] = at
    rows += [_effect(f"lambda_1, eps {format_eps(eps)}", column) for eps, column in columns]
    effects = [] if isinstance(whole, str) else whole.effects
    header = ["quantity", "group means", f"{effects[0].words if effects else 'effect'} (95 %)", "verdict"]
    told = ", ".join(f"{name} shifts of {at:g}" for name, at in shifts.items())
    title = f"with the eps of training, each net at its own eps unless said{told and f'; {told}'}:"
    if found := [row for row in rows if row]:
        print_table(title, header, found)
    elif not isinstance(whole, str):
        say("there is one eps of training that counts, and nothing to compare it with")
    if isinstance(whole, str):
        say(f"lambda_1 is not compared: {whole}")
        return
    if collapsed := sum(group.collapsed for group in whole.groups):
        say(f"{collapsed} constant classifiers were left out")
    for caution in whole.cautions:
        say(f"caution: {caution}")
    if any(effect.seeds < LEAST for effect in whole.effects):
        say(f"try: {LEAST} training seeds or more for each eps (landscape train --seed N), better 5 to 10")


def _show_matrix(columns: Sequence[tuple[float, Comparison]]) -> None:
    if not columns:
        return
    rows = []
    for number, group in enumerate(columns[0][1].groups):
        cells = [_mean(column, number) for _, column in columns]
        rows.append([format_eps(float(group.name)), str(len(group.nets)), *cells])
    header = ["trained at", "seeds", *(f"eps {format_eps(eps)}" for eps, _ in columns)]
    print_table("λ₁ by the eps of training (rows) and of measurement (columns), mean ± half of the 95 %", header, rows)


def _show_means(quantity: str, words: str, runs: Sequence[Run]) -> None:
    trained, radii, values = matrix(runs, quantity)
    if np.isfinite(values).any():
        rows = [[format_eps(eps), *(f"{value:.3g}" for value in row)] for eps, row in zip(trained, values, strict=True)]
        print_table(f"{words}, likewise, means", ["trained at", *(f"eps {format_eps(eps)}" for eps in radii)], rows)


def _mean(column: Comparison, number: int) -> str:
    mean = column.groups[number].mean
    if not math.isfinite(mean.value):
        return "-"
    return f"{mean.value:.3g}" + (f" ± {mean.high - mean.value:.2g}" if math.isfinite(mean.high) else "")


def _effect(label: str, found: Comparison | str) -> list[str]:
    """Return a row of the table of effects; an empty one where there is nothing to say."""
    if isinstance(found, str) or not found.effects:
        return []
    first = found.effects[0]
    means = " ".join(f"{group.mean.value:.3g}" for group in found.groups if math.isfinite(group.mean.value))
    interval = first.interval
    told = f" ({interval.low:.3g} to {interval.high:.3g})" if math.isfinite(interval.low) else ""
    return [label, means, f"{interval.value:+.3g}{told}", first.verdict]
