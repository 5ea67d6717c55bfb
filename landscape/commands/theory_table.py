"""A theory result on the terminal: its thresholds with their certificates, and its optima along eps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Result
from ..results.kinds import KINDS
from ..terminal import print_pairs, print_table, say, say_next

_ROWS = 9  # of the table; the file and the figure have them all
_HEADER = ("eps", "regime", "loss", "||u||_1", "margin", "clean", "robust", "KKT")


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a theory result's thresholds and optima, and where it lies; `again`: it was there already."""
    attrs: dict[str, Any] = result.attrs
    counts = " + ".join(f"{count:,} of class {name}" for name, count in attrs["class_counts"].items())
    clipped = "clipped to [0, 1]" if attrs["box"] else "not clipped"
    say(f"{attrs['data']} {attrs['split']}: {counts}; linear model, l-inf, exact adversary, attacked images {clipped}")
    print_pairs(_thresholds(attrs))
    if attrs["gamma_star"] == 0:
        say("caution: no line separates the two classes, so that no eps leaves the loss at 0")
    codes = KINDS["theory"].arrays["regime"].codes
    rows = []
    every = np.unique(np.linspace(0, len(result.arrays["eps"]) - 1, _ROWS).round().astype(int))
    for index in every:
        row = {name: array[index] for name, array in result.arrays.items()}
        rows.append(
            [
                f"{row['eps']:.4g}",
                codes[int(row["regime"])],
                f"{row['loss']:.4f}",
                f"{row['weight_norm']:.4g}",
                "-" if math.isnan(row["margin"]) else f"{row['margin']:.4f}",
                f"{100 * row['clean_error_rate']:.1f} %",
                f"{100 * row['error_rate']:.1f} %",
                "limit" if math.isnan(row["kkt_residual"]) else f"{row['kkt_residual']:.0e}",
            ]
        )
    print_table(
        f"optimum at {len(every)} of {len(result.arrays['eps'])} eps (error rates; residual of optimality):",
        _HEADER,
        rows,
    )
    if attrs["status"] != "complete":
        worst = np.nanmax(result.arrays["kkt_residual"])
        say(
            f"caution: an optimum was found to {worst:.0e} only, wanted {attrs['tol']:.0e}; just over gamma* it is hard"
        )
    say(f"{'found' if again else 'wrote'} {path}")
    say_next("landscape", "plot", path)


def _thresholds(attrs: dict[str, Any]) -> list[tuple[str, str]]:
    def between(name: str) -> str:
        low, high = attrs[name], attrs[f"{name}_bound"]
        if math.isnan(low):
            return "not computed; give --box"
        if high < 1e-9:
            return "0        no robust classifier exists at any eps"
        return f"{low:.5f}  up to here a robust classifier exists (beyond {high:.5f} none does)"

    return [
        ("gamma*", between("gamma_star")),
        ("gamma*, clipped", between("gamma_star_box")),
        ("eps_bar, no bias", f"{attrs['eps_bar']:.5f}  from here W = 0 is the optimum without biases"),
        ("eps_bar", f"{attrs['eps_bar_bias']:.5f}  from here a constant classifier is the optimum"),
        ("eps_bar, clipped", f"{attrs['eps_bar_box']:.5f}  the same where attacked images are clipped to [0, 1]"),
    ]
