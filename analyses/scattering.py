"""How perturbations and gradients turn as the weights move along a direction, or along the way to another net."""

from __future__ import annotations

import copy
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.arguments import check_alike, check_model, check_outputs, read_attack, read_integer, read_positive
from landscape.attacks import PGD
from landscape.curvature import HessianOperator, standard_error, top_eigenpairs
from landscape.data import as_data, select
from landscape.errors import UsageError
from landscape.geometry import batchnorm_policy
from landscape.geometry.directions import random_direction
from landscape.losses import Loss, cross_entropy
from landscape.objective import Objective
from landscape.params import ParameterSpace, first_difference
from landscape.results import Result, Snapshot, provenance
from landscape.results.kinds.scattering import SCATTERING
from landscape.spec import nearest
from landscape.streams import stream_key
from landscape.surfaces.rising import radii_of_rises
from landscape.surfaces.scattering import Origin
from landscape.training.accuracy import constant_on

Progress = Callable[[str, int, int], None]
RADII = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # of ||w||
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the way to another net
SINGLE = 20  # examples whose gradients are taken one by one


def scattering(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str,
    direction: str | Tensor = "random",
    to: nn.Module | None = None,
    radii: Sequence[float] | None = None,
    rises: Sequence[float] | None = None,
    single: int = SINGLE,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    uphill: bool = False,
    name: str | None = None,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
) -> Result:
    """Return how perturbations and gradients turn between a net w0 and w0 + r ||w0|| d, for each radius r (R).

    d has length 1: a "random" filter-normalised direction (Li et al. 2018, section 4), "top1", the Hessian's first
    eigenvector, or any vector (P,); an eigenvector, and what comes with `uphill`, has the sign along which the loss
    rises. With `to`, another net of the same shape, w goes to it, and `radii` are shares of that way. `rises` (nats)
    take the place of `radii`: the nearest distances at which the loss, attacked anew, has risen by so much.

    The adversary attacks w0 and w from the same random starts, so that nothing turns at r = 0. The gradient's change is
    split into the part with the adversary frozen and that of its move, in both orders (`surfaces.parts`); for `single`
    examples, spread over all, one by one too. `name` says what a direction that comes as a vector is. The other
    settings are as in `hessian`.
    """
    began = time.perf_counter()
    check_model(model)
    single, seed = read_integer("single", single, least=0), read_integer("seed", seed, least=0)
    pgd = read_attack(attack, norm, eps)
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, n_examples, seed=seed)
    check_outputs(model, examples.images, classes=int(examples.labels.max()) + 1, loss=loss)
    clean = Objective(
        model,
        examples.images,
        examples.labels,
        loss=loss,
        batch_size=batch_size,
        seed=seed,
        indices=examples.indices,
    )
    attacked = pgd if pgd.ball.eps else None
    origin = Origin(clean, attacked, single=min(single, clean.n))
    length = float(origin.w0.double().norm())
    if not 0 < length < math.inf:
        raise UsageError("the net's weights are all zero, or not finite: no distance is relative to them")
    way = _way(origin, direction, to, uphill=uphill, name=name, examples=examples.images)
    asked, positions = _asked(radii, rises, share=to is not None)
    rows = _Rows(len(asked), clean.n, len(origin.places))
    if snapshot is not None and (state := snapshot.load()) is not None:
        rows.load(state)

    def told(unit: str, work: Callable[[], Mapping[str, Any]]) -> None:
        if progress is not None:
            progress("points", len(rows.finished), len(asked) + 1)
        if unit not in rows.finished:
            rows.put(unit, work())
            if snapshot is not None:
                snapshot.offer(rows.state)

    def first() -> dict[str, Any]:
        found: dict[str, Any] = dict(origin.baselines())
        if positions == "rise":
            ticks = itertools.count(1)

            def rise(r: float) -> float:
                if progress is not None:
                    progress("distances of these rises", next(ticks), 0)
                return origin.loss_at(model, way.at(r)) - float(origin.losses.mean())

            return {**found, "radius": radii_of_rises(rise, asked)}
        return {**found, "radius": np.array(asked) * (way.length / length if positions == "share" else 1.0)}

    told("start", first)
    for number, position in enumerate(asked):
        share = position if positions == "share" else None
        r = float(rows.held["radius"][number])
        told(f"point/{number}", lambda r=r, share=share: origin.point(way.net(share), way.at(r, share)))  # type: ignore[misc]
    if progress is not None:
        progress("points", len(asked) + 1, len(asked) + 1)
    start = origin.gradients.double().sum(dim=0) / clean.n
    policy = batchnorm_policy(model)
    return Result(
        "scattering",
        {
            **rows.arrays(),
            "position": np.array(asked),
            "example_index": examples.indices.numpy(),
            **({"single_index": examples.indices[origin.places].numpy()} if len(origin.places) else {}),
            "direction": way.direction.float().cpu().numpy(),
        },
        {
            **provenance(command="landscape.scattering", device=str(clean.device), torch_version=torch.__version__),
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
            "eps": pgd.ball.eps,
            "norm": pgd.ball.norm,
            "attack": str(pgd) if attacked else "none",
            "adversary": "reattacked" if attacked else "none",
            "batchnorm": "interpolated" if to is not None and policy != "none" else policy,
            **(provenance_of or {}),
            "status": "complete",
            "centre_loss": float(origin.losses.mean()),
            "centre_loss_se": float(standard_error(origin.losses.cpu().numpy())),
            "centre_gradient_norm": float(start.norm()),
            "weight_norm": length,
            "along": way.kind,
            "direction_name": way.name,
            "positions": positions,
            "groups": origin.groups,
            "classes": data.classes,
            "collapsed": constant_on(clean),
            "wall_seconds": time.perf_counter() - began,
        },
    )


@dataclass(frozen=True, eq=False)
class _Way:
    """A ray from a net w0 (P,) along a direction (P,) of length 1; `to` is the net that it ends at, if it does."""

    model: nn.Module
    w0: Tensor
    direction: Tensor
    kind: str
    name: str
    length: float = math.nan
    to: nn.Module | None = None

    def at(self, r: float, share: float | None = None) -> Tensor:
        """Return the point (P,) at r times the length of w0, or at a share of the way: the other net itself at 1."""
        if share == 1 and self.to is not None:
            return ParameterSpace(self.to).point(self.to).to(self.w0)
        return self.w0 + (r * self.w0.double().norm() * self.direction.double()).to(self.w0)

    def net(self, share: float | None) -> nn.Module:
        """Return the net whose buffers hold there: on the way to another those of both in their shares."""
        if self.to is None or share is None or share == 0:
            return self.model
        if share == 1:
            return self.to
        theirs = dict(self.to.named_buffers())
        if all(torch.equal(own, theirs[name]) for name, own in self.model.named_buffers() if name in theirs):
            return self.model
        mixed = copy.deepcopy(self.model)
        with torch.no_grad():
            for name, own in mixed.named_buffers():
                if own.is_floating_point() and name in theirs:
                    own.copy_((1 - share) * own + share * theirs[name].to(own))
        return mixed


def _way(
    origin: Origin, direction: str | Tensor, to: nn.Module | None, *, uphill: bool, name: str | None, examples: Tensor
) -> _Way:
    model, w0, space = origin.objective.model, origin.w0, origin.objective.space
    if to is not None:
        if direction is not None and not (isinstance(direction, str) and direction == "random"):
            raise UsageError("a direction and another net came, and the way to a net is a direction; give one of them")
        check_model(to)
        if (told := first_difference(space, ParameterSpace(to))) is not None:
            raise UsageError(f"the way leads to a net of another shape: {told}")
        to = to.to(w0.device)
        check_alike(model, to, examples)
        shift = ParameterSpace(to).point(to).double().to(w0.device) - w0.double()
        length = float(shift.norm())
        if not 0 < length < math.inf:
            raise UsageError("both nets hold the same weights, and no way leads from one to the other; give another")
        return _Way(model, w0, (shift / length).to(w0), "to", name or "to the other net", length, to)
    kind = direction if isinstance(direction, str) else "given"
    if isinstance(direction, Tensor):
        if direction.shape != w0.shape:
            raise UsageError(
                f"a direction of shape {tuple(direction.shape)} came; wanted ({len(w0)},), one entry a parameter"
            )
        vector, words = direction.to(w0), "a given direction"
        kind = "top1" if uphill else "given"
    elif direction == "random":
        vector = random_direction(space, w0, 0, seed=origin.objective.seed)
        words = f"random direction 0 (seed {origin.objective.seed})"
    elif direction == "top1":
        frozen = origin.fixed(model, origin.images["perturbation"])
        generator = torch.Generator().manual_seed(stream_key(origin.objective.seed, "lanczos") >> 1)
        operator = HessianOperator(frozen, w0)
        vector = torch.as_tensor(top_eigenpairs(operator, 1, generator=generator).vectors[0]).to(w0)
        operator.release()
        words, uphill = "eigenvector 1", True
    else:
        raise UsageError(f"direction {direction!r} is unknown; {nearest(str(direction), ('top1', 'random'))}")
    long = float(vector.double().norm())
    if not 0 < long < math.inf:
        raise UsageError(f"{name or words} is zero or not finite; give a direction of positive, finite length")
    unit = vector.double() / long
    if uphill and float(origin.gradients.double().sum(dim=0) @ unit) < 0:
        unit = -unit
    return _Way(model, w0, unit.to(w0), kind, name or words)


def _asked(radii: Sequence[float] | None, rises: Sequence[float] | None, *, share: bool) -> tuple[list[float], str]:
    """Return what is asked for, in growing order, and what it counts: "radius", "rise" or "share"."""
    if rises is not None:
        if radii is not None or share:
            other = "radii" if radii is not None else "another net to go to"
            raise UsageError(f"rises came together with {other}; give one of them")
        return _growing("rises", rises, such_as="0.1"), "rise"
    if not share:
        return _growing("radii", RADII if radii is None else radii, such_as="0.05", zero=True), "radius"
    shares = _growing("radii", SHARES if radii is None else radii, such_as="0.5", zero=True)
    if shares[-1] > 1:
        raise UsageError(f"on the way to another net radii are shares of it, and {shares[-1]:g} came; give at most 1")
    return shares, "share"


def _growing(name: str, values: Sequence[float], *, such_as: str, zero: bool = False) -> list[float]:
    found = sorted(
        {0.0 if zero and not isinstance(value, bool) and value == 0 else read_positive(name, value, such_as=such_as)
         for value in values}
    )  # fmt: skip
    if not found:
        raise UsageError(f"{name} is empty; give one or more, such as {such_as}")
    return found


class _Rows:
    """What has been measured so far, as arrays that a snapshot can hold."""

    def __init__(self, points: int, n: int, single: int) -> None:
        sizes = {"radius": points, "n": n, "m": single}
        self.finished: set[str] = set()
        self.held = {
            name: np.full([sizes[dim] for dim in array.dims], np.nan)
            for name, array in SCATTERING.arrays.items()
            if set(array.dims) <= set(sizes) and array.dtype != "int64" and (single or "m" not in array.dims)
        }

    def put(self, unit: str, values: Mapping[str, Any]) -> None:
        """Take what one step gave: "start" or "point/NUMBER"."""
        _, _, number = unit.partition("/")
        for name, value in values.items():
            self.held[name][int(number) if number else ...] = value
        self.finished.add(unit)

    def state(self) -> dict[str, np.ndarray]:
        """Return all that `load` needs."""
        flat = {name.replace("/", "."): array for name, array in self.held.items()}  # a snapshot has no groups
        return {**flat, "finished": np.frombuffer("\n".join(sorted(self.finished)).encode(), dtype=np.uint8)}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from what `state` returned."""
        self.finished = set(bytes(state["finished"]).decode().split())
        for name in self.held:
            self.held[name] = np.array(state[name.replace("/", ".")])

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of a result."""
        return dict(self.held)
