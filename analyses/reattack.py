"""Beside the eigenpairs of a frozen Hessian: the curvature of the loss whose adversary attacks anew as weights move."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.results import Snapshot
from landscape.results.kinks import ENOUGH
from landscape.surfaces.kinks import Line, unit_directions

STEPS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)  # Euclidean lengths, as the coordinates of a surface
_LEAST = 1e-6  # below it a second difference in float64 is rounding
CHUNK = 128  # examples: what an interruption can cost
_DONE = "reattack_done"
_ARRAYS = ("curvature", "frozen", "raw", "jump", "distance", "own_jump", "crosses", "verdict")
_CODES = ("crosses", "verdict")

State = Callable[[], Mapping[str, np.ndarray]]


def read_steps(h: Sequence[float]) -> tuple[float, ...]:
    """Return the steps of a range of h in their order; raise UsageError where no growth could be told from them."""
    steps = tuple(sorted(float(value) for value in h))
    shown = ", ".join(f"{value:g}" for value in steps)
    if len(set(steps)) < max(ENOUGH, len(steps)):
        raise UsageError(f"h = {shown}; wanted {ENOUGH} different steps or more, such as --h 0.01,0.02,0.05")
    if not all(_LEAST <= value < math.inf for value in steps):
        raise UsageError(f"h = {shown}; wanted lengths from {_LEAST:g} up: a difference over less is rounding")
    return steps


class Stages:
    """One snapshot for the solver, which knows it as its own, and for the differences that follow."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        held = snapshot.load() or {}
        self._later = {name: array for name, array in held.items() if name.startswith("reattack_")}
        self._solver = {name: array for name, array in held.items() if name not in self._later}
        self._state: State = lambda: self._solver

    def load(self) -> dict[str, np.ndarray] | None:
        """Return the solver's state where a run was left unfinished."""
        return dict(self._solver) or None

    def offer(self, state: State) -> None:
        """Take the solver's state now, or let it pass."""
        self._state = state
        self._snapshot.offer(lambda: {**state(), **self._later})

    @property
    def later(self) -> dict[str, np.ndarray]:
        """The state of what follows the solver; empty where that has not begun."""
        return self._later

    def offer_later(self, state: Mapping[str, np.ndarray]) -> None:
        """Take the state of what follows, beside the solver's last."""
        self._later = dict(state)
        self._snapshot.offer(lambda: {**self._state(), **self._later})


def reattack_beside(
    objective: Objective,
    directions: Tensor,
    h: Sequence[float],
    *,
    numbers: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
    stages: Stages | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays `reattack/...` of an attacking objective along directions (d, P), over steps h.

    `numbers` are those of the eigenpairs that the directions are of, 0 for others. A weight decay is in the curvatures.
    """
    directions = unit_directions(directions, objective.n_parameters)
    line = Line(objective, h)
    shape = len(directions), len(line.h), objective.n
    found: dict[str, np.ndarray] = {
        name: np.zeros(shape, np.uint8) if name in _CODES else np.full(shape, np.nan) for name in _ARRAYS
    }
    chunks = range(0, objective.n, CHUNK)
    done = np.zeros((len(directions), len(chunks)), bool)
    if stages is not None and stages.later:
        found = {name: stages.later[f"reattack_{name}"].copy() for name in _ARRAYS}
        done = stages.later[_DONE].astype(bool)
    for number, v in enumerate(directions):
        for chunk, start in enumerate(chunks):
            if progress is not None:
                progress(number * len(chunks) + chunk, done.size)
            if done[number, chunk]:
                continue
            part = slice(start, min(start + CHUNK, objective.n))
            for name, values in line.measure(v, part).items():
                found[name][number, :, part] = values
            done[number, chunk] = True
            if stages is not None:
                state = {f"reattack_{name}": array for name, array in found.items()}
                stages.offer_later({**state, _DONE: done.astype(np.uint8)})
    if progress is not None:
        progress(done.size, done.size)
    for name in ("curvature", "frozen", "raw"):
        found[name] += objective.weight_decay
    return {
        "reattack/h": line.h,
        "reattack/direction": np.asarray(numbers),
        "reattack/index": objective.indices.cpu().numpy(),
        **{f"reattack/{name}": array for name, array in found.items()},
    }


def chosen_directions(along: Any, vectors: Tensor) -> tuple[Tensor, list[int]]:
    """Return directions (d, P) and the numbers of their eigenpairs: the first `along` of `vectors`, or those given."""
    if isinstance(along, int) and not isinstance(along, bool):
        if not 1 <= along <= len(vectors):
            raise UsageError(f"along = {along}; wanted 1 to {len(vectors)} of the eigenvectors, or a larger --top")
        return vectors[:along], list(range(1, along + 1))
    given = unit_directions(torch.as_tensor(along), vectors.shape[1])
    return given, [0] * len(given)
