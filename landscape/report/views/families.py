"""Which results are repeats of one experiment, and the words that tell each such family from the others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...plots.labels import short_spec, trainings
from ...results.describe import show
from ...results.result import Result
from ...units import format_eps


@dataclass(frozen=True)
class Family:
    """Results that differ in the seed of training alone, by their places on the page, with what they are called."""

    label: str
    eps: float
    members: tuple[tuple[int, Result], ...]


def families(results: Sequence[Result], *, of: Callable[[Result], bool] = lambda result: True) -> list[Family]:
    """Return the families of results, in the order of their eps; only those that `of` says are looked at."""
    found: dict[tuple[str, ...], list[tuple[int, Result]]] = {}
    for place, result in enumerate(results):
        if of(result):
            found.setdefault(_words(result), []).append((place, result))
    ordered = sorted(found, key=lambda words: _eps(found[words][0][1]))
    labels = [words[0] for words in ordered]
    for column in range(1, len(ordered[0]) if ordered else 0):
        for label in {label for label in labels if labels.count(label) > 1}:
            alike = [row for row, other in enumerate(labels) if other == label]
            if len({ordered[row][column] for row in alike}) > 1:
                for row in alike:
                    labels[row] = f"{label}, {ordered[row][column] or 'unsaid'}"
    return [
        Family(f"{label}{_count(found[words])}", _eps(found[words][0][1])[0], tuple(found[words]))
        for label, words in zip(labels, ordered, strict=True)
    ]


def _words(result: Result) -> tuple[str, ...]:
    """Return what an experiment is, a phrase for each of its settings, the most telling first; "" where not known."""
    attrs, recipe = result.attrs, next(iter(trainings(result)), {})
    trained, eps = (_number(attrs.get(name)) for name in ("train_eps", "eps"))
    first = "ε unknown" if math.isnan(trained) and math.isnan(eps) else f"ε = {format_eps(_own(trained, eps))}"
    apart = not (math.isnan(trained) or math.isnan(eps) or trained == eps)
    told: list[tuple[str, Any]] = [
        ("measured at {}", format_eps(eps) if apart else None),
        ("{}", short_spec(attrs.get("data")) if attrs.get("data") else None),
        ("{}", short_spec(attrs.get("model")) if attrs.get("model") else None),
        ("{}", "a curve between nets" if str(attrs.get("command")).startswith("landscape connect") else "nets"),
        *((f"{{}} {word}", recipe.get(key)) for key, word in (("eps_schedule", "ε"), ("optimizer", ""))),
        *((f"{word} {{}}", recipe.get(key)) for key, word in _RECIPE.items()),
        *((f"{word} {{}}", attrs.get(key)) for key, word in _SETTINGS.items()),
    ]
    return (first, *(phrase.format(show(value)).strip() if value is not None else "" for phrase, value in told))


_RECIPE = {
    "lr": "learning rate",
    "lr_schedule": "learning rate",
    "epochs": "epochs",
    "epoch": "epoch",
    "batch_size": "batches of",
    "weight_decay": "weight decay",
    "momentum": "momentum",
    "attack": "trained by",
}
_SETTINGS = {
    "split": "split",
    "n_examples": "N =",
    "params": "block",
    "weight_decay": "weight decay in the loss",
    "adversary": "adversary",
    "batchnorm": "BatchNorm",
    "which": "which",
    "method": "method",
    "attack": "attacked by",
    "direction_name": "along",
    "along": "along",
}


def _eps(result: Result) -> tuple[float, float]:
    trained, eps = (_number(result.attrs.get(name)) for name in ("train_eps", "eps"))
    return _own(trained, eps), 0.0 if math.isnan(eps) else eps


def _own(trained: float, eps: float) -> float:
    """Return the eps that a family is coloured by: of training, else of the attack; below all others where unknown."""
    return next((value for value in (trained, eps) if not math.isnan(value)), -1.0)


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _count(members: Sequence[tuple[int, Result]]) -> str:
    seeds = {entry.get("seed") for _, result in members for entry in trainings(result)[:1]}
    if len(members) == 1:
        return ""
    return f" ({len(members)} seeds)" if len(seeds) == len(members) else f" ({len(members)} runs)"
