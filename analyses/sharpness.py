"""How sharp a net is, at its own radius and others: lambda_1, the trace, and rises of the loss at relative distances."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.arguments import check_model, check_outputs, read_integer, read_ladder, read_positive
from landscape.attacks import PGD
from landscape.curvature import (
    HessianOperator,
    PairStatus,
    directional_curvature,
    spectral_density,
    top_eigenpairs,
)
from landscape.curvature.density import PROBES
from landscape.curvature.flatness import RelativeBall, worst_shift
from landscape.data import as_data, select
from landscape.errors import LandscapeError, UsageError
from landscape.geometry import batchnorm_policy
from landscape.geometry.directions import random_direction
from landscape.losses import Loss, cross_entropy
from landscape.objective import Objective
from landscape.results import Result, Snapshot, provenance
from landscape.spec import nearest
from landscape.streams import stream_key
from landscape.surfaces import Ladder
from landscape.surfaces.replica import Replica
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
    each filter in `directions` random directions, +d and -d, whose mean has no first-order part (Li et al. 2018), and of
    `worst_radii` times that of each layer in the worst direction that ascents from `starts` starts find (Wu et al. 2020). At a shifted point the
    adversary attacks anew, so that a rise is one of L_eps as the attack sees it. `data` and the other settings are as in
    `hessian`; `measures` names what is measured beside the loss.
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
    data = as_data(data)
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
        place = _Place(clean, objective(pgd), pgd, seed=seed, probes=probes, tol=tol, batch_size=batch_size)
        finished(f"{number}/curvature", lambda place=place: place.curvature("trace" in measures))
        if with_random:
            for j in range(directions):
                finished(f"{number}/random/{j}", lambda place=place, j=j: place.random_rises(random_radii, j))
        if with_worst:
            for r, radius in enumerate(worst_radii):
                finished(f"{number}/worst/{r}", lambda place=place, radius=radius: place.worst_rise(radius, starts))
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


class _Place:
    """The net's own weights under one attack: what is measured at them and around them."""

    def __init__(
        self,
        clean: Objective,
        attacked: Objective,
        attack: PGD,
        *,
        seed: int,
        probes: int,
        tol: float,
        batch_size: int | None,
    ) -> None:
        self._clean, self._objective, self._attack = clean, attacked, attack
        self._seed, self._probes, self._tol, self._batch_size = seed, probes, tol, batch_size

    @cached_property
    def frozen(self) -> Objective:
        """The objective with its adversarial images fixed at the weights: attacked once, when first asked for."""
        return self._objective.freeze()

    def curvature(self, with_trace: bool) -> dict[str, Any]:
        """Return loss, error, gradient and lambda_1 with its evidence; with the trace too."""
        frozen = self.frozen
        w0, n = frozen.w0, frozen.n
        outputs, losses = frozen.outputs(w0)
        if not bool(torch.isfinite(losses).all()):
            bad = int((~torch.isfinite(losses)).sum())
            raise LandscapeError(f"the loss is not finite on {bad} of {n} examples; no sharpness exists: check the net")
        H = HessianOperator(frozen, w0, batch_size=self._batch_size)
        generator = torch.Generator().manual_seed(stream_key(self._seed, "lanczos") >> 1)
        pairs = top_eigenpairs(H, 1, tol=self._tol, generator=generator, strict=False)
        found: dict[str, Any] = {}
        hvps = pairs.hvps + pairs.check_hvps
        if with_trace:
            density = spectral_density(
                H,
                pairs.values,
                pairs.vectors,
                pairs.residuals,
                probes=self._probes,
                generator=torch.Generator().manual_seed(stream_key(self._seed, "density") >> 1),
            )
            found = {
                "trace": density.trace.value,
                "trace_low": density.trace.low,
                "trace_high": density.trace.high,
            }
            hvps += density.hvps
        H.release()
        curvature, gauss_newton = directional_curvature(frozen, w0, pairs.vectors[0])
        return {
            "loss": float(losses.double().mean()),
            "loss_se": _standard_error(losses),
            "error_rate": _error_rate(outputs, frozen.labels),
            "gradient_norm": float(frozen.gradient(w0).double().norm()),
            "lambda_1": pairs.values[0],
            "lambda_1_residual": pairs.residuals[0],
            "lambda_1_se": _standard_error(curvature),
            "gauss_newton": float(gauss_newton.double().mean()),
            "pair_status": pairs.status[0] if pairs.guard_passed is not False else PairStatus.NOT_CONVERGED,
            "hvps": hvps,
            **found,
        }

    def random_rises(self, radii: Sequence[float], number: int) -> dict[str, Any]:
        """Return the rise of each example (R, n), the mean over +d and -d, along one random direction."""
        space, w0 = self.frozen.space, self.frozen.w0
        direction = random_direction(space, w0, number, seed=self._seed)
        rises = [
            (self._rises(w0 + radius * direction) + self._rises(w0 - radius * direction)) / 2 for radius in radii
        ]
        return {"rises": torch.stack(rises).numpy()}

    def worst_rise(self, radius: float, starts: int) -> dict[str, Any]:
        """Return the rise at the worst shift found, attacked anew and not, with its errors."""
        frozen = self.frozen
        space, w0 = frozen.space, frozen.w0
        more = [random_direction(space, w0, number, seed=self._seed) for number in range(starts - 1)]
        worst = worst_shift(frozen, RelativeBall(space, w0, radius), starts=(frozen.gradient(w0), *more))
        rises = self._rises(w0 + worst.shift)
        return {
            "worst_rise": float(rises.mean()),
            "worst_rise_se": _standard_error(rises),
            "worst_rise_frozen": worst.rise,
            "worst_rise_gap": worst.rise - min(worst.rises) if starts > 1 else math.nan,
        }

    def _rises(self, w: Tensor) -> Tensor:
        """Return how far the loss of each example (n,) lies above its own at the net, each attacked at its weights."""
        return self._attacked(w) - self._centre

    @cached_property
    def _centre(self) -> Tensor:
        return self._attacked(self.frozen.w0)

    @cached_property
    def _around(self) -> tuple[Ladder, Replica]:
        # From the same random starts everywhere, and from nothing else: with the images of the net in the pool, every
        # point but the net itself would be attacked twice, and a rise of no distance would not be 0.
        return Ladder(self._clean, [self._attack]), Replica(self._clean)

    def _attacked(self, w: Tensor) -> Tensor:
        ladder, replica = self._around
        return ladder.evaluate(replica.at(self.frozen.space.named(w))).losses[0]


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


def _standard_error(values: Tensor) -> float:
    return float(values.double().std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def _error_rate(outputs: Tensor, labels: Tensor) -> float:
    if outputs.dim() != 2 or labels.dim() != 1:
        return math.nan
    return float((outputs.argmax(1) != labels).double().mean())
