"""How sharp a net is over radii of attack: lambda_1, the trace, and rises of the loss at relative distances."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from landscape.arguments import check_model, check_outputs, read_integer, read_ladder, read_positive
from landscape.attacks import PGD
from landscape.curvature import PairStatus
from landscape.curvature.density import PROBES
from landscape.data import as_data, select
from landscape.errors import UsageError
from landscape.geometry import batchnorm_policy
from landscape.losses import Loss, cross_entropy
from landscape.objective import Objective
from landscape.results import Result, Snapshot, provenance
from landscape.spec import nearest
from landscape.surfaces.sharpness import Place
from landscape.training.accuracy import constant_on

Progress = Callable[[str, int, int], None]
MEASURES = ("lambda_1", "trace", "random_rise", "worst_rise")
RANDOM_RADII, WORST_RADII = (0.1, 0.2, 0.5), (0.002, 0.005, 0.01)  # the worst way is a hundred times steeper
DIRECTIONS = 3
STARTS = 2
_CURVATURE = ("loss", "loss_se", "error_rate", "gradient_norm", "lambda_1", "lambda_1_residual", "lambda_1_se",
              "gauss_newton", "pair_status", "hvps")  # fmt: skip
_TRACE = ("trace", "trace_low", "trace_high")
_WORST = ("worst_rise", "worst_rise_se", "worst_rise_frozen", "worst_rise_gap")


def sharpness(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str | Sequence[float | str],
    measures: Sequence[str] = MEASURES,
    random_radii: Sequence[float] = RANDOM_RADII,
    worst_radii: Sequence[float] = WORST_RADII,
    directions: int = DIRECTIONS,
    starts: int = STARTS,
    probes: int = PROBES,
    tol: float = 1e-3,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
) -> Result:
    """Return how sharp a net is under attack at each radius `eps` (E), each radius measured by itself.

    lambda_1 with its evidence and the trace are those of `hessian`, the adversary frozen at the weights. The rises are
    relative, so that scaling layers against each other changes none: at shifts of `random_radii` times the length of
    each filter in `directions` random directions, +d and -d, whose mean has no first-order part (Li et al. 2018), and
    of `worst_radii` times that of each layer in the worst direction that ascents from `starts` starts find (Wu et al.
    2020). At a shifted point the adversary attacks anew, so that a rise is one of L_eps as the attack sees it. `data`
    and the other settings are as in `hessian`; `measures` names what is measured beside the loss.
    """
    began = time.perf_counter()
    check_model(model)
    if unknown := [name for name in measures if name not in MEASURES]:
        raise UsageError(f"measure {unknown[0]!r} is unknown; {nearest(unknown[0], MEASURES)}")
    if "lambda_1" not in measures:
        raise UsageError("lambda_1 is part of every sharpness result; name it among the measures")
    random_radii, worst_radii = _radii("random_radii", random_radii), _radii("worst_radii", worst_radii)
    directions, starts = read_integer("directions", directions, least=2), read_integer("starts", starts, least=1)
    probes, seed = read_integer("probes", probes, least=2), read_integer("seed", seed, least=0)
    tol = read_positive("tol", tol, such_as="1e-3")
    attacks = read_ladder(attack, norm, eps)
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, n_examples, seed=seed)
    check_outputs(model, examples.images, classes=int(examples.labels.max()) + 1, loss=loss)

    def objective(pgd: PGD | None) -> Objective:
        return Objective(
            model,
            examples.images,
            examples.labels,
            attack=pgd,
            loss=loss,
            batch_size=batch_size,
            seed=seed,
            indices=examples.indices,
        )

    clean = objective(None)
    with_random, with_worst = "random_rise" in measures, "worst_rise" in measures
    rows = _Rows(
        len(attacks),
        clean.n,
        trace="trace" in measures,
        random=(directions, len(random_radii)) if with_random else None,
        worst=len(worst_radii) if with_worst else None,
    )
    if snapshot is not None and (state := snapshot.load()) is not None:
        rows.load(state)
    units = len(attacks) * (1 + with_random * directions + with_worst * len(worst_radii))
    done = 0

    def finished(unit: str, work: Callable[[], Mapping[str, Any]]) -> None:
        nonlocal done
        if progress is not None:
            progress("measurements", done, units)
        if unit not in rows.finished:
            rows.put(unit, work())
            if snapshot is not None:
                snapshot.offer(rows.state)
        done += 1

    for number, pgd in enumerate(attacks):
        place = Place(clean, objective(pgd), pgd, seed=seed, probes=probes, tol=tol, batch_size=batch_size)
        finished(f"{number}/curvature", partial(place.curvature, with_trace="trace" in measures))
        if with_random:
            for j in range(directions):
                finished(f"{number}/random/{j}", partial(place.random_rises, random_radii, j))
        if with_worst:
            for r, radius in enumerate(worst_radii):
                finished(f"{number}/worst/{r}", partial(place.worst_rise, radius, starts))
    if progress is not None:
        progress("measurements", units, units)
    arrays = rows.arrays()
    status = arrays["pair_status"]
    return Result(
        "sharpness",
        {
            "eps": np.array([pgd.ball.eps for pgd in attacks]),
            **({"random_radius": np.array(random_radii)} if with_random else {}),
            **({"worst_radius": np.array(worst_radii)} if with_worst else {}),
            **{name: array for name, array in arrays.items() if name != "hvps"},
        },
        {
            **provenance(command="landscape.sharpness", device=str(clean.device), torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": type(model).__name__,
            "train_eps": math.nan,
            "seed": seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": clean.n,
            "n_parameters": clean.n_parameters,
            "norm": attacks[0].ball.norm,
            "attack": str(attacks[-1]) if attacks[-1].ball.eps else "none",
            "adversary": ("reattacked" if with_random or with_worst else "frozen") if attacks[-1].ball.eps else "none",
            "batchnorm": batchnorm_policy(model),
            **(provenance_of or {}),
            "status": "complete" if np.all(status != PairStatus.NOT_CONVERGED) else "not-converged",
            "measures": list(measures),
            "weight_norm": float(clean.w0.double().norm()),
            "tol": tol,
            "hvps": int(arrays["hvps"].sum()),
            **({"probes": probes} if "trace" in measures else {}),
            **({"starts": starts} if with_worst else {}),
            "classes": data.classes,
            "collapsed": constant_on(clean),
            "wall_seconds": time.perf_counter() - began,
        },
    )


class _Rows:
    """What has been measured so far, as arrays that a snapshot can hold."""

    def __init__(self, n_eps: int, n: int, *, trace: bool, random: tuple[int, int] | None, worst: int | None) -> None:
        self.finished: set[str] = set()
        self._held = {name: np.full(n_eps, np.nan) for name in (*_CURVATURE, *(_TRACE if trace else ()))}
        if random is not None:
            self._held["rises"] = np.full((n_eps, *random, n), np.nan)
        if worst is not None:
            self._held |= {name: np.full((n_eps, worst), np.nan) for name in _WORST}

    def put(self, unit: str, values: Mapping[str, Any]) -> None:
        """Take what one measurement gave: "EPS/curvature", "EPS/random/DIRECTION" or "EPS/worst/RADIUS"."""
        place = tuple(int(part) for part in unit.split("/") if part.isdecimal())
        for name, value in values.items():
            self._held[name][place] = value
        self.finished.add(unit)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that `load` needs."""
        return {**self._held, "finished": np.frombuffer("\n".join(sorted(self.finished)).encode(), dtype=np.uint8)}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        self.finished = set(bytes(state["finished"]).decode().split())
        for name in self._held:
            self._held[name] = np.array(state[name])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of a result."""
        found = {name: array for name, array in self._held.items() if name != "rises"}
        found["pair_status"] = found["pair_status"].astype(np.uint8)
        if "rises" in self._held:
            rises = self._held["rises"]  # (E, D, R, n)
            by_direction = rises.mean(axis=3).transpose(0, 2, 1)
            by_example = rises.mean(axis=1)
            n, count = by_example.shape[2], by_direction.shape[2]
            found |= {
                "random_rises": by_direction,
                "random_rise": by_direction.mean(axis=2),
                "random_rise_se": by_direction.std(axis=2, ddof=1) / math.sqrt(count),
                "random_rise_example_se": by_example.std(axis=2, ddof=1) / math.sqrt(n)
                if n > 1
                else np.full(by_example.shape[:2], np.nan),
            }
        return found


def _radii(name: str, radii: Sequence[float]) -> list[float]:
    found = sorted({read_positive(name, radius, such_as="0.05") for radius in radii})
    if not found:
        raise UsageError(f"{name} is empty; give one or more, such as 0.05")
    return found
