"""Evaluations over training seeds: the nets of one recipe, from whichever files, as mean and deviation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..plots.labels import trainings
from ..results.caveats import is_collapsed
from ..results.describe import show
from ..results.result import Result
from ..statistics import with_deviation
from ..units import format_eps
from .words import text

_SAME = ("eps", "norm", "data_sha256", "split", "n_examples", "ensemble", "cascade")
_OWN = {"seed", "final", "history", "guard", "epoch"}  # of each net, or where training has stopped


def seed_tables(results: Sequence[Result]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield caption, head and rows (HTML) of a table for each sort of evaluation that has a recipe of several seeds."""
    sorts: dict[str, list[Result]] = {}
    for result in results:
        same = [show(result.attrs.get(name)) for name in _SAME]
        sorts.setdefault(json.dumps([*same, *map(str, result.arrays["attacks"])]), []).append(result)
    for members in sorts.values():
        recipes: dict[str, list[tuple[np.ndarray, bool]]] = {}
        for result in members:
            for net, entry in enumerate(_entries(result)):
                key = json.dumps({name: value for name, value in entry.items() if name not in _OWN}, sort_keys=True)
                rates = np.append(result.arrays["error_rate"][net], result.arrays["worst_case"][net])
                recipes.setdefault(key, []).append((rates, is_collapsed(result, net) is True))
        if any(len(nets) > 1 for nets in recipes.values()):
            first = members[0]
            eps = first.attrs.get("eps")
            radius = format_eps(eps) if isinstance(eps, float) else "unknown"
            examples = f"{show(first.attrs.get('n_examples'))} {first.attrs.get('split')} examples"
            caption = f"Over training seeds: mean error in % (standard deviation) of {examples}, ε = {radius}"
            attacks = [str(attack).partition(":")[0] for attack in first.arrays["attacks"]]
            names = ["recipe", "nets", "constant", *attacks, "worst case"]
            head = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
            yield caption, head, [_row(label, recipes[key]) for key, label in _told_apart(list(recipes)).items()]


def _entries(result: Result) -> list[dict[str, Any]]:
    """Return how each net was trained; none where the file does not say of every one."""
    found = trainings(result)
    return found if len(found) == len(result.arrays["checkpoints"]) else []


def _row(label: str, nets: Sequence[tuple[np.ndarray, bool]]) -> str:
    rates = 100 * np.array([rate for rate, _ in nets])
    dead = sum(collapsed for _, collapsed in nets)
    cells = [f'<td class="number">{len(nets)}</td>']
    cells.append(f'<td class="number{" bad" if dead else ""}">{dead}</td>')
    for column in rates.T:
        shown = with_deviation(column) if len(column) > 1 else f"{column[0]:.2f}"
        cells.append(f'<td class="number">{text(shown)}</td>')
    return f'<tr><th scope="row">{text(label)}</th>{"".join(cells)}</tr>'


def _told_apart(keys: Sequence[str]) -> dict[str, str]:
    """Return for each recipe the settings in which it differs from others, in words."""
    recipes = [json.loads(key) for key in keys]
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    telling = [name for name in names if len({show(recipe.get(name), name) for recipe in recipes}) > 1]
    words = [", ".join(f"{name} {show(recipe.get(name), name)}" for name in telling) for recipe in recipes]
    return dict(zip(keys, (word or "all nets" for word in words), strict=True))
