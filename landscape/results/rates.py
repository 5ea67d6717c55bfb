"""Runs against their learning rate: an arm for each recipe, failures counted, every arm at its own best rate."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ResultError
from ..statistics import wilson
from .comparison import Comparison, compare
from .provenance import settings_hash
from .replicates import Replicate, Replicates, read_replicates, recipe_of

_ORDER = ("constant", "linear", "cosine")
# How a control is called after what it has otherwise than the other arms of its schedule, in this order.
_WORDS = {"lr_warmup": "lr warm-up {:g} epochs", "epochs": "{} epochs", "eps_overshoot": "towards {:g}"}


@dataclass(frozen=True)
class Cell:
    """The runs of one arm at one learning rate, by their seeds."""

    rate: float
    runs: tuple[Replicate, ...]

    @property
    def failed(self) -> int:
        """How many are constant classifiers, as their files say."""
        return sum(run.collapsed is True for run in self.runs)

    @property
    def failure_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share that fails."""
        return wilson(self.failed, len(self.runs))

    @property
    def median(self) -> float:
        """The median over the runs that did not fail; NaN where all did."""
        alive = [run.value for run in self.runs if run.collapsed is not True]
        return float(np.median(alive)) if alive else math.nan

    @property
    def moments(self) -> tuple[float, float]:
        """Mean and sample deviation over all runs, as the paper has them: over failed ones and others alike."""
        values = [run.value for run in self.runs]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Arm:
    """Runs of one recipe but for seed and learning rate; `control` where another arm of its schedule has more rates."""

    label: str
    schedule: str
    control: bool
    cells: tuple[Cell, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates, growing."""
        return tuple(cell.rate for cell in self.cells)

    @property
    def runs(self) -> list[Replicate]:
        """All runs."""
        return [run for cell in self.cells for run in cell.runs]

    def at(self, rate: float) -> Cell:
        """Return the runs at one of its rates."""
        return next(cell for cell in self.cells if cell.rate == rate)


def read_arms(paths: Sequence[Path], *, quantity: str | None = None) -> list[Arm]:
    """Read evaluations as arms, the schedules in the paper's order, each followed by its controls.

    `quantity` is one of `landscape compare` ("worst_case", the name of an attack). Raises what `read_replicates`
    raises, and ResultError for a net that does not say its schedule, learning rate and seed.
    """
    nets = read_replicates(paths, by=_place, quantity=quantity).nets
    by_recipe: dict[str, list[Replicate]] = {}
    for net in nets:
        by_recipe.setdefault(_recipe(net.training), []).append(net)
    schedules: dict[str, list[list[Replicate]]] = {}
    for runs in by_recipe.values():
        schedules.setdefault(str(runs[0].training["eps_schedule"]), []).append(runs)
    arms = []
    for schedule in sorted(schedules, key=lambda name: (_ORDER.index(name) if name in _ORDER else 9, name)):
        first, *others = sorted(schedules[schedule], key=lambda runs: (-len(_rates(runs)), -len(runs)))
        arms.append(Arm(schedule, schedule, False, _cells(first)))
        labels = [_label(schedule, runs[0].training, first[0].training) for runs in others]
        for label, runs in sorted(zip(labels, others, strict=True), key=lambda pair: pair[0]):
            if labels.count(label) > 1:
                raise ResultError(f"two recipes are both called {label!r}; name the files of one of them alone")
            arms.append(Arm(label, schedule, True, _cells(runs)))
    return arms


def best_rate(arm: Arm, held_out: Mapping[str, float]) -> float:
    """Return the rate of the lowest median error over seeds on held-out examples; of equals that of the lower mean.

    `held_out` is the error of each net by the SHA-256 of its checkpoint. Failed runs count with theirs. Rates at which
    fewer seeds have run than at others are passed over. Raises ResultError for a net that it does not know.
    """
    scores = []
    seeds = max(len(cell.runs) for cell in arm.cells)
    for cell in (cell for cell in arm.cells if len(cell.runs) == seeds):
        errors = []
        for run in cell.runs:
            if run.sha256 not in held_out:
                raise ResultError(
                    f"{run.name} was not evaluated on the held-out examples; evaluate its checkpoint there too"
                )
            errors.append(held_out[str(run.sha256)])
        scores.append((float(np.median(errors)), float(np.mean(errors)), cell.rate))
    return min(scores)[2]


def comparisons(arms: Sequence[Arm], best: Mapping[str, float], **options: Any) -> Iterator[tuple[str, Comparison]]:
    """Yield each endpoint by name with its comparison, paired over seeds by `landscape compare`'s function.

    "best rate": the error at each arm's own `best` rate (by label; none of these three where it is empty), every run
    counting; "best rate, survivors": failed runs left out; "sensitivity": the mean over the rates less the error at the
    best; "mean over rates"; "rate R": the error at each rate, controls too. The first four are of the arms that are no
    controls, and of seeds that have run at all rates; sensitivity and mean where all arms have the same rates.
    """
    main = [arm for arm in arms if not arm.control]
    if best:
        at_best = [(arm.label, run) for arm in main for run in arm.at(best[arm.label]).runs]
        yield "best rate", _compared(at_best, everyone=True, **options)
        yield "best rate, survivors", _compared(at_best, everyone=False, **options)
    if len({arm.rates for arm in main}) == 1 and len(main[0].rates) > 1:
        means = [(arm.label, run) for arm in main for run in _means(arm)]
        if best:
            tuned = {(arm.label, run.seed): run for arm in main for run in arm.at(best[arm.label]).runs}
            less = [(label, _less(run, tuned[label, run.seed])) for label, run in means]
            yield "sensitivity", _compared(less, everyone=True, **options)
        yield "mean over rates", _compared(means, everyone=True, **options)
    for rate in sorted({rate for arm in arms for rate in arm.rates}):
        there = [(arm.label, run) for arm in arms if rate in arm.rates for run in arm.at(rate).runs]
        yield f"rate {rate:g}", _compared(there, everyone=True, **options)


def _compared(nets: Sequence[tuple[str, Replicate]], *, everyone: bool, **options: Any) -> Comparison:
    own = [replace(net, group=label, collapsed=None if everyone else net.collapsed) for label, net in nets]
    return compare(Replicates(tuple(own), "error", "1", ()), by="arm", **options)


def _means(arm: Arm) -> list[Replicate]:
    """Return the mean over the rates of each seed that has run at all of them."""
    found = []
    for run in arm.cells[0].runs:
        rows = [other for cell in arm.cells for other in cell.runs if other.seed == run.seed]
        if len(rows) == len(arm.cells):
            value, parts = (
                float(np.mean([row.value for row in rows])),
                np.mean([np.asarray(row.parts) for row in rows], axis=0),
            )
            found.append(replace(run, value=value, parts=parts, sha256=None))
    return found


def _less(one: Replicate, other: Replicate) -> Replicate:
    return replace(one, value=one.value - other.value, parts=np.asarray(one.parts) - np.asarray(other.parts))


def _place(training: Mapping[str, Any]) -> str:
    """Return what two nets of one seed may not share: the recipe and the rate."""
    for name in ("eps_schedule", "lr", "seed"):
        if training.get(name) is None:
            raise ResultError(f"a net does not say its {name}; give evaluations of nets that landscape train made")
    recipe = settings_hash(json.loads(_recipe(training)))  # in full it would fill the line that names it
    return f"{training['eps_schedule']}, lr {training['lr']:g}, recipe {recipe}"


def _recipe(training: Mapping[str, Any]) -> str:
    # The best of a run's epochs is another one in every run.
    aside = ("lr", "epoch") if training.get("best") else ("lr",)
    shared = {name: value for name, value in recipe_of(training).items() if name not in aside}
    return json.dumps(shared, sort_keys=True)


def _rates(runs: Sequence[Replicate]) -> list[float]:
    return sorted({float(run.training["lr"]) for run in runs})


def _cells(runs: Sequence[Replicate]) -> tuple[Cell, ...]:
    ordered = sorted(runs, key=lambda run: run.training["seed"])
    return tuple(Cell(rate, tuple(run for run in ordered if run.training["lr"] == rate)) for rate in _rates(runs))


def _label(schedule: str, own: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    known = [words.format(own[name]) for name, words in _WORDS.items() if own.get(name) and own[name] != base.get(name)]
    names = sorted({*recipe_of(own), *recipe_of(base)} - {*_WORDS, "lr", "epoch"})
    more = [f"{name} {own.get(name)}" for name in names if own.get(name) != base.get(name)]
    return ", ".join([schedule, *known, *more])
