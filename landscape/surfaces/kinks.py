"""Along a direction of weights, on both sides of a net: its loss where the adversary attacks anew at each place."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..attacks import PGD, Best
from ..attacks.twin import REFUSALS
from ..borrow import Network, evaluating, full_precision
from ..errors import LandscapeError, UsageError
from ..losses import per_example
from ..objective import Batch, Objective
from ..replica import Replica
from ..results.kinks import differences, judge

FINER = (1 / 2, 1 / 4, 1 / 8, 1 / 16)  # of the attack's step: the ascents that settle what it found
_STEPS = 3  # of each of these
_APART = 4  # finest steps that two perturbations have to lie apart for a kink


class Line:
    """The examples of an attacking objective at w + t v, for t among -h_H ... -h_1, 0, h_1 ... h_H, v (P,) of length 1.

    At each place the attack runs from the same random starts, and the best perturbation that is known there, of all
    places', is settled by ascents of ever finer steps. All that was found is tried at all places: the largest loss is
    that of a maximum over perturbations that are the same everywhere. Losses are taken in float64 by a copy of the net,
    for in float32 a second difference over a small h is rounding. Raises UsageError where there is no attack, or where
    no such copy can be made.
    """

    def __init__(self, objective: Objective, h: Sequence[float]) -> None:
        if objective.attack is None:
            raise UsageError("at eps 0 there is no adversary to attack anew; give --eps, or --adversary frozen")
        self._attack = objective.attack
        self._objective, self._exact = objective, _in_float64(objective)
        self._walker, self._judge = Replica(objective), Replica(self._exact)
        self.h = np.asarray(h, float)
        self._places = [*(-self.h[::-1]).tolist(), 0.0, *self.h.tolist()]

    @property
    def resolution(self) -> float:
        """How far apart two perturbations of one smooth maximiser may be found, in pixel units."""
        return _APART * FINER[-1] * self._attack.step_size

    def measure(self, v: Tensor, examples: slice) -> Mapping[str, np.ndarray]:
        """Return the arrays `reattack/...` (H, m) of m consecutive examples along v (P,) of length 1."""
        batches = torch.arange(self._objective.n)[examples]
        part = self._objective.part(batches)
        found = [self._of_batch(v, batch, part) for batch in part.batches()]
        return {name: np.concatenate([one[name] for one in found], axis=1) for name in found[0]}

    def _of_batch(self, v: Tensor, batch: Batch, part: Objective) -> dict[str, np.ndarray]:
        with evaluating(self._objective.model), full_precision():
            pool = torch.stack([part.adversarial(batch, self._network(v, t)).images for t in self._places])
            losses = self._losses(v, pool, batch.labels)
            best = losses.argmax(axis=1)
            settled = [self._settle(v, t, pool, best[place], batch) for place, t in enumerate(self._places)]
            more = torch.stack(settled)
            losses = np.concatenate([losses, self._losses(v, more, batch.labels)], axis=1)
        across = differences(losses, self.h)
        distance = _distances(torch.cat([pool, more]), across.best_behind, across.best_ahead, self._attack.ball.norm)
        return {
            "curvature": across.curvature,
            "frozen": across.frozen,
            "raw": across.raw,
            "jump": across.jump,
            "distance": distance,
            "own_jump": across.own_jump,
            "crosses": across.crosses.astype(np.uint8),
            "verdict": judge(across.jump, distance, self.h, resolution=self.resolution),
        }

    def _network(self, v: Tensor, t: float) -> Network:
        objective = self._objective
        return self._walker.at(objective.space.named((self._exact.w0 + t * v.to(self._exact.w0)).to(objective.dtype)))

    def _settle(self, v: Tensor, t: float, pool: Tensor, chosen: np.ndarray, batch: Batch) -> Tensor:
        """Return the images (m, ...) that finer ascents at one place reach from the chosen ones of the pool."""
        network, loss = self._network(v, t), self._objective.loss
        start = pool[torch.from_numpy(chosen).to(pool.device), torch.arange(len(batch.labels), device=pool.device)]
        best = Best(start, batch.labels)
        for share in FINER:
            attack: PGD = replace(self._attack, steps=_STEPS, step=share * self._attack.step_size)
            last = attack.climb(network, batch.images, batch.labels, best.images, loss=loss, visit=best.offer)
            best.judge(network, last, batch.labels, loss=loss)
        return best.images

    def _losses(self, v: Tensor, pool: Tensor, labels: Tensor) -> np.ndarray:
        """Return losses (places, K, m) of the pool's images (K, m, ...), in nats."""
        exact = self._exact
        found = torch.empty(len(self._places), *pool.shape[:2], dtype=torch.float64)
        with torch.no_grad():
            for place, t in enumerate(self._places):
                network = self._judge.at(exact.space.named(exact.w0 + t * v.to(exact.w0)))
                for number, images in enumerate(pool):
                    found[place, number] = per_example(exact.loss, network(images.double()), labels).cpu()
        if not bool(torch.isfinite(found).all()):
            raise LandscapeError("the loss is not finite at some place along the direction; give smaller --h")
        return found.numpy()


def unit_directions(directions: Tensor, n_parameters: int) -> Tensor:
    """Return directions (k, P) of length 1, float64; raise UsageError for another shape, or one of length 0."""
    rows = directions.detach().double()
    rows = rows[None] if rows.dim() == 1 else rows
    if rows.dim() != 2 or rows.shape[1] != n_parameters or not len(rows):
        raise UsageError(f"directions of shape {tuple(directions.shape)} came; wanted (k, {n_parameters})")
    lengths = rows.norm(dim=1)
    for number, length in enumerate(lengths.tolist()):
        if not 0 < length < float("inf"):
            raise UsageError(f"direction {number + 1} has length {length:g}; wanted a positive one: it points nowhere")
    return rows / lengths[:, None]


def _distances(pool: Tensor, first: np.ndarray, last: np.ndarray, norm: str) -> np.ndarray:
    """Return how far two of the pool's images (K, m, ...) lie apart, chosen for each step and example (H, m)."""
    order = torch.arange(pool.shape[1], device=pool.device)
    found = []
    for one, other in zip(first, last, strict=True):
        shift = (
            pool[torch.from_numpy(one).to(pool.device), order] - pool[torch.from_numpy(other).to(pool.device), order]
        )
        flat = shift.flatten(1).double()
        found.append((flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)).cpu().numpy())
    return np.stack(found)


def _in_float64(objective: Objective) -> Objective:
    try:
        model = copy.deepcopy(objective.model).double()
    except REFUSALS as error:
        raise UsageError(
            f"the net has no copy in float64 ({str(error).splitlines()[0]}), which differences of the loss need; "
            "leave --adversary reattack out"
        ) from error
    return Objective(
        model,
        objective.images,
        objective.labels,
        loss=objective.loss,
        batch_size=objective.batch_size,
        seed=objective.seed,
        indices=objective.indices,
        params=objective.params,
    )
