"""Scattering on the terminal: how far perturbations and gradients have turned at each distance, and the baselines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..results import Result, caveats
from ..results.kinds.scattering import BASELINES, POSITIONS
from ..terminal import print_table, say

_BASELINES = {"random": "two random vertices", "restart": "two random starts", "zero": "a random start, the zero start"}
assert set(_BASELINES) == set(BASELINES)


def show(result: Result, path: Path, *, again: bool) -> None:
    """Print a net's scattering, a line for each distance, and where it lies; `again`: it was there already."""
    attrs = dict[str, Any](result.attrs)
    arrays = result.arrays
    where = f"||w|| = {attrs['weight_norm']:.4g}"
    asked = POSITIONS[attrs["positions"]]
    rows = []
    for r in range(len(result.radius)):
        rows.append([_place(result, r), *(_cell(arrays, name, r) for name in _COSINES)])
    if attrs["eps"]:
        header = ["r", "loss", "cosine", "signs", "centred", "zero start, centred"]
        print_table(f"perturbations at the net and at {asked} r, one start; {where}; mean ± se", header, rows)
        rows = [
            [words, *(_cell(arrays, f"{name}_{kind}", None) for kind in ("cosine", "sign_cosine", "box_cosine"))]
            for name, words in _BASELINES.items()
        ]
        print_table("baselines, the weights at rest", ["", "cosine", "signs", "centred"], rows)
    rows = [
        [_place(result, r), *(_cell(arrays, name, r, told=told) for name, told in _GRADIENTS.items())]
        for r in range(len(result.radius))
    ]
    header = ["r", "cosine", "frozen", "change", "weights", "adversary", "inner", "adv. share"]
    title = f"gradients; ||g|| = {attrs['centre_gradient_norm']:.3g} at the net; change = weights (frozen) + adversary"
    print_table(title, header, rows)
    rows = [
        [_place(result, r), *(_cell(arrays, f"adversary_first_{name}", r) for name in ("adversary", "frozen", "inner"))]
        for r in range(len(result.radius))
    ]
    print_table("the same change, the adversary moved first", ["r", "adversary", "weights", "inner"], rows)
    if "single_index" in arrays:
        _show_single(result)
    for caveat in caveats(result):
        say(f"caution: {caveat}")
    say(f"{'found' if again else 'wrote'} {path}")


_COSINES = ("loss", "perturbation_cosine", "sign_cosine", "box_cosine", "zero_start_box_cosine")
# The columns of the gradients, and whether their standard errors are told.
_GRADIENTS = {
    "gradient_cosine": True,
    "gradient_cosine_frozen": False,
    "gradient_difference": True,
    "gradient_difference_frozen": False,
    "gradient_difference_adversary": False,
    "gradient_difference_inner": False,
    "adversary_share": True,
}


def _show_single(result: Result) -> None:
    names = ("gradient_cosine", "gradient_difference", "gradient_difference_frozen", "gradient_difference_adversary")
    rows = [
        [_place(result, r), *(f"{np.nanmean(result.arrays[f'single/{name}'][r]):.3g}" for name in names)]
        for r in range(len(result.radius))
        if np.isfinite(result.arrays["single/gradient_difference"][r]).any()
    ]
    title = f"means over {len(result.single_index)} single examples"
    print_table(title, ["r", "cosine", "change", "weights", "adversary"], rows)


def _place(result: Result, r: int) -> str:
    radius = f"{float(result.radius[r]):.3g}"
    if result.attrs["positions"] == "radius":
        return radius
    return f"{float(result.position[r]):.3g} ({radius} ||w||)"


def _cell(arrays: dict[str, np.ndarray], name: str, r: int | None, *, told: bool = True) -> str:
    value, error = (float(arrays[key] if r is None else arrays[key][r]) for key in (name, f"{name}_se"))
    if math.isnan(value):
        return "-"
    return f"{value:.3g}" if math.isnan(error) or not told else f"{value:.3g} ± {error:.1g}"
