"""Sharpness results of several nets as one study: the last checkpoint of each run counts, the earlier are its way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import LandscapeError, ResultError
from .caveats import is_collapsed
from .comparison import Comparison, compare
from .replicates import read_replicates
from .result import Result
from .sharpness_quantities import of_sharpness
from .store import read_result

# The quantities of a study at each net's own radius, and the radius of the shift, by its place among those measured.
OWN = ("lambda_1", "lambda_1/loss", "trace", "worst_rise", "worst_rise/loss", "random_rise")


@dataclass(frozen=True)
class Run:
    """The checkpoints of one training run with their results, in the order of their epochs; the last is the net."""

    paths: tuple[Path, ...]
    results: tuple[Result, ...]

    @property
    def train_eps(self) -> float:
        """The radius that the run was trained at, in pixel units; NaN where that is unknown."""
        return float(str(self.results[-1].attrs["train_eps"]))


def read_runs(paths: Sequence[Path]) -> list[Run]:
    """Read sharpness results and put the checkpoints of one run together, the runs in the order of eps and seed.

    Several files of one checkpoint (other radii, other measures) are several readings of it: each run's last checkpoint
    is taken from the file with the most radii. Raises ResultError where a file is of another kind.
    """
    runs: dict[str, list[tuple[float, int, Path, Result]]] = {}
    for path in paths:
        result = read_result(path)
        if result.kind != "sharpness":
            raise ResultError(f"{path} is a {result.kind} result; wanted those of landscape sharpness")
        training = result.attrs["training"]
        own = training if isinstance(training, dict) else {}
        epoch = own.get("epoch")
        shared = {key: value for key, value in own.items() if key not in ("epoch", "final", "history")}
        key = json.dumps(shared, sort_keys=True, default=str) if own else str(result.attrs["checkpoint_sha256"])
        place = float(epoch) if isinstance(epoch, int | float) else math.inf
        runs.setdefault(key, []).append((place, len(result.arrays["eps"]), path, result))
    found = []
    for entries in runs.values():
        entries.sort(key=lambda entry: entry[:2])
        found.append(Run(tuple(entry[2] for entry in entries), tuple(entry[3] for entry in entries)))
    return sorted(found, key=lambda run: (run.train_eps, str(run.paths[-1])))


def compared(
    runs: Sequence[Run], quantity: str, *, eps: float | None = None, at: float | None = None, seed: int = 0
) -> Comparison | str:
    """Return the comparison of the runs' nets by their training radius, or the sentence that says why there is none."""
    try:
        paths = [run.paths[-1] for run in runs]
        replicates = read_replicates(paths, by="train_eps", quantity=quantity, eps=eps, at=at)
    except LandscapeError as error:
        return str(error)
    return compare(replicates, by="train_eps", seed=seed)


def common_radii(runs: Sequence[Run]) -> list[float]:
    """Return the attack's radii that every run's net was measured at, in growing order."""
    shared: np.ndarray | None = None
    for run in runs:
        own = run.results[-1].arrays["eps"].round(12)
        shared = own if shared is None else np.intersect1d(shared, own)
    return [] if shared is None else shared.tolist()


def matrix(runs: Sequence[Run], quantity: str) -> tuple[list[float], list[float], np.ndarray]:
    """Return the training radii (rows), the common radii of measurement (columns), and a quantity's means over nets.

    Constant classifiers are left out; a mean that there is none of is NaN.
    """
    radii, rows = common_radii(runs), sorted({run.train_eps for run in runs})
    values = np.full((len(rows), len(radii)), np.nan)
    for place in np.ndindex(*values.shape):
        nets = [run for run in runs if run.train_eps == rows[place[0]] and not is_collapsed(run.results[-1])]
        found = [_at(run, radii[place[1]], quantity) for run in nets]
        values[place] = np.mean(found) if found else np.nan
    return rows, radii, values


def _at(run: Run, eps: float, quantity: str) -> float:
    net = run.results[-1]
    if quantity.startswith("trace") and "trace" not in net.arrays:
        return math.nan
    rung = int(np.argmin(np.abs(net.arrays["eps"] - eps)))
    return of_sharpness(run.paths[-1], net, rung, quantity, None)[0]


def shift_of(runs: Sequence[Run], quantity: str) -> float | None:
    """Return the middle one of the relative radii that a rise was measured at in every net; None for no rise."""
    name = {"worst": "worst_radius", "random": "random_radius"}.get(quantity.partition("_")[0])
    if name is None:
        return None
    shared: np.ndarray | None = None
    for run in runs:
        own = run.results[-1].arrays.get(name, np.zeros(0))
        shared = own if shared is None else np.intersect1d(shared, own)
    return None if shared is None or not shared.size else float(shared[shared.size // 2])
