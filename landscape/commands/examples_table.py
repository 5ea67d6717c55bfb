"""The examples behind an eigenvalue on the terminal: the sharpest of them, and how few make most of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..results import Result
from ..results.concentration import FRACTIONS, carried, effective_number, leading_classes, ranked, shares
from ..terminal import print_table, say

_TOLD = ("index", "label", "predicted", "rival", "loss", "clean_loss", "margin", "curvature")
COLUMNS = tuple(f"examples/{name}" for name in _TOLD)
_MOST = 10  # examples that are listed
_HEADER = ("example", "label", "predicted", "rival", "loss", "clean loss", "margin", "v'H_i v", "share of λ_1")


def show_examples(result: Result) -> None:
    """Print the examples with most of the first eigenvalue, then how concentrated each of the leading ones is."""
    told = {name: result.arrays.get(f"examples/{name}") for name in _TOLD}
    index, label, terms = (result.arrays[f"examples/{name}"] for name in ("index", "label", "curvature"))
    share = shares(terms[0])
    rows = [
        [*(_cell(told[name], i) for name in _TOLD[:-1]), f"{terms[0, i]:.4g}", _percent(share[i])]
        for i in ranked(terms[0])[:_MOST]
    ]
    print_table(f"the examples that add most to λ_1, the mean of {len(index):,} terms v'H_i v", _HEADER, rows)
    predicted, rival = told["predicted"], told["rival"]
    wrong = None if predicted is None else predicted != label
    header = ["pair", *(f"top {100 * fraction:g} %" for fraction in FRACTIONS), "effective n", "negative"]
    if wrong is not None:
        header += [f"the {100 * wrong.mean():.0f} % wrong", "most between"]
    rows = []
    for number, row in enumerate(terms, 1):
        share = shares(row)
        cells = [str(number), *(_percent(carried(row, fraction)) for fraction in FRACTIONS)]
        cells += [f"{effective_number(row):,.0f}" if row.any() else "-", _percent(share[share < 0].sum())]
        if wrong is not None and rival is not None:
            (one, other), most = leading_classes(label, rival, share)
            cells += [_percent(share[wrong].sum()), f"{one}, {other}: {_percent(most)}"]
        rows.append(cells)
    print_table(f"what the sharpest of these {len(index):,} examples carry of each eigenvalue", header, rows)
    decay: Any = result.attrs.get("weight_decay")
    if decay:
        say(f"each term holds {decay:g} of the weight decay")


def _cell(column: np.ndarray | None, place: int) -> str:
    if column is None:
        return "-"
    return f"{column[place]:.3g}" if column.dtype.kind == "f" else str(column[place])


def _percent(share: float) -> str:
    """Return a share in per cent, to a tenth; a smaller one to its first digit, so that none looks like nothing."""
    if not np.isfinite(share):
        return "-"
    return f"{100 * share:.1f} %" if abs(share) >= 5e-4 or not share else f"{100 * share:.0e} %"
