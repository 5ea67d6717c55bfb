"""The loss and the error of a net on a line or a plane in weight space, clean and for a ladder of radii."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from landscape.analyses.hessian import hessian
from torch import Tensor, nn

from landscape.arguments import check_model, check_outputs, read_attack, read_integer, read_ladder
from landscape.attacks import PGD
from landscape.data import ImageData, as_data, select
from landscape.distributed import ALONE, Group
from landscape.errors import LandscapeError, UsageError
from landscape.geometry import Directions, Plane, random_directions, recalibration, unit_directions
from landscape.losses import Loss, cross_entropy
from landscape.objective import Objective
from landscape.results import Result, provenance
from landscape.spec import nearest
from landscape.surfaces import (
    Audit,
    Bounds,
    Count,
    Grid,
    Index,
    Keeper,
    Ladder,
    Landmark,
    Points,
    audit,
    axes,
    every,
    grid_shape,
    judge_landmarks,
    kept_by,
    quadratic,
    refine,
    scan,
)
from landscape.surfaces.audit import EXAMPLES
from landscape.surfaces.ladder import Found
from landscape.training.accuracy import constant_on

Progress = Callable[[str, int, int], None]

ADVERSARIES = {"reattack": "reattacked", "frozen": "frozen"}
AUDITED = 5  # points
GRID_TOL = 0.02  # share of the local loss
KEEP_EXAMPLES = 64  # MiB of losses of single examples that a result keeps, at most


def surface(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str | Sequence[float | str],
    directions: str | Directions | Tensor | np.ndarray = "top2",
    grid: tuple[int, int] | int | None = None,
    range: str | float | tuple[Bounds, Bounds] = "auto",
    adversary: str = "reattack",
    batchnorm: str = "frozen",
    recalibrate_on: Any = None,
    recalibration_eps: float | str | None = None,
    cap: float | None = None,
    audited: int = AUDITED,
    audit_examples: int = EXAMPLES,
    adaptive: bool = False,
    grid_tol: float = GRID_TOL,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    keep_examples: float = KEEP_EXAMPLES,
    landmarks: Sequence[Landmark] = (),
    joined: bool = False,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    keeper: Callable[[Grid, np.ndarray, np.ndarray, list[float]], Keeper] | None = None,
    group: Group = ALONE,
) -> Result:
    """Return loss and error at the points of a `grid` (nx, ny) of the plane through a net along two `directions`.

    `data` is (images, labels), a Dataset, a DataLoader or ImageData; `eps` a radius or several, in pixel units of
    [0, 1]: numbers or "4/255". `directions`: "top2" or "top1" (Hessian eigenvectors at the largest radius, found
    first), "random", Directions, or rows (1 or 2, P), scaled to length 1. `range` is half a width, (x, y) pairs of
    bounds, or "auto": the radius at which the loss has risen by one nat (`surfaces.rise_radius`). The adversary attacks
    anew at each point ("reattack": a lower bound of the worst loss, which `audited` points are checked for by stronger
    attacks) or stays as it is at the net ("frozen"). `batchnorm`: "frozen" statistics, or recalibrated at each point
    ("clean-recal", "adv-recal") on examples of `recalibrate_on` (left out: of `data`) attacked at `recalibration_eps`.
    Beyond a clean loss of `cap` no attack is run. `adaptive` evaluates a part of the points and interpolates the others
    to `grid_tol` of the local loss, as `status` says of each. `landmarks` are projected on the plane and judged as they
    are. Every point is the mean over the same examples from the same random starts. The processes of a `group` each
    make this call, and share the points; the first alone keeps them. See docs/method.md.
    """
    began = time.perf_counter()
    audited = read_integer("audited", audited, least=0)
    made = group.together(
        lambda: prepare(
            model,
            data,
            eps=eps,
            directions=directions,
            adversary=adversary,
            batchnorm=batchnorm,
            recalibrate_on=recalibrate_on,
            recalibration_eps=recalibration_eps,
            cap=cap,
            norm=norm,
            attack=attack,
            n_examples=n_examples,
            seed=seed,
            batch_size=batch_size,
            loss=loss,
            progress=progress,
        )
    )
    points, ladder, data = made.points, made.points.ladder, made.data
    objective, plane, statistics = ladder.objective, points.plane, points.statistics
    centre = group.together(lambda: _centre(points))
    slope, curvature = group.together(lambda: quadratic(points))
    shape = group.together(lambda: grid_shape(grid, line=plane.is_line))
    xs, ys, rule = group.from_first(lambda: axes(range, shape, points, tick=_ticking(progress, "range")))
    kept = keep_examples * 2**20 >= 4 * len(ladder.eps) * shape[0] * shape[1] * objective.n
    scanned = Grid(len(ladder.eps), len(ys), len(xs), objective.n, keep_examples=kept)
    own = kept_by(keeper, scanned, ys, xs, ladder.eps, group)
    report = Count(progress, "points", len(xs) * len(ys), group)

    def evaluate(wanted: Iterable[Index]) -> None:
        scan(points, scanned, ys, xs, wanted, keeper=own, report=report, tick=report.tick, group=group)

    interpolation_error = math.nan
    if adaptive:
        interpolation_error = refine(scanned, evaluate, tol=grid_tol)
    else:
        evaluate(every(ys, xs))
    status = scanned.arrays["status"]
    checked = (
        audit(
            points,
            status,
            ys,
            xs,
            count=audited,
            examples=audit_examples,
            progress=_staged(progress, "audit"),
            group=group,
        )
        if audited and ladder.moves
        else Audit(np.full(status.shape, np.nan), np.full(status.shape, np.nan), "", 0)
    )
    rows = np.full((2, objective.n_parameters), np.nan, dtype=np.float32)
    rows[: len(plane.directions)] = torch.stack(plane.directions).float().cpu().numpy()
    gram = np.full((2, 2), np.nan)
    gram[: len(plane.gram), : len(plane.gram)] = plane.gram
    has_attack = any(value > 0 for value in ladder.eps)
    return Result(
        "surface",
        {
            "x": xs,
            "y": ys,
            "eps": np.array(ladder.eps),
            **scanned.arrays,
            "attack_gap": checked.gap,
            "attack_gap_se": checked.errors,
            "directions": rows,
            "gram": gram,
            "centre_loss": centre.means.numpy(),
            "centre_loss_se": centre.errors.numpy(),
            "centre_error_rate": centre.error_rates.numpy(),
            "slope": _padded(slope, (len(ladder.eps), 2)),
            "curvature": _padded(curvature, (len(ladder.eps), 2, 2)),
            **judge_landmarks(landmarks, points),
            **({"example_index": objective.indices.numpy()} if kept else {}),
        },
        {
            **provenance(command="landscape.surface", device=str(objective.device), torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": type(model).__name__,
            "train_eps": math.nan,
            "seed": objective.seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": objective.n,
            "n_parameters": objective.n_parameters,
            "norm": ladder.attacks[0].ball.norm,
            "attack": str(ladder.attacks[-1]) if has_attack else "none",
            "adversary": ADVERSARIES[adversary] if has_attack else "none",
            "batchnorm": statistics.policy,
            **({"recalibration_examples": statistics.examples.n} if statistics.recalibrates else {}),
            **(provenance_of or {}),
            "status": "complete",
            "units": made.directions.units,
            "direction_names": list(made.directions.names),
            "range_rule": rule,
            "cap": math.nan if cap is None else float(cap),
            "adaptive": adaptive,
            **({"grid_tol": grid_tol, "interpolation_error": interpolation_error} if adaptive else {}),
            "audit_attack": checked.attacks or None,
            "audit_examples": checked.examples,
            **({"explained_variance": list(made.directions.explained)} if made.directions.explained else {}),
            **({"landmarks": [mark.name for mark in landmarks], "landmarks_joined": joined} if landmarks else {}),
            **({"failure": scanned.failure} if scanned.failure else {}),
            "classes": data.classes,
            "collapsed": constant_on(objective),
            "wall_seconds": time.perf_counter() - began,
        },
    )


def _centre(points: Points) -> Found:
    centre = points.ladder.evaluate(points.network(0, 0))
    if not bool(torch.isfinite(centre.means).all()):
        raise LandscapeError("the loss at the net's own weights is not finite; check the net before its surroundings")
    return centre


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a scan needs: the points with their adversary frozen at the origin, the directions, and the data."""

    points: Points
    directions: Directions
    data: ImageData


def prepare(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str | Sequence[float | str],
    directions: str | Directions | Tensor | np.ndarray = "top2",
    adversary: str = "reattack",
    batchnorm: str = "frozen",
    recalibrate_on: Any = None,
    recalibration_eps: float | str | None = None,
    cap: float | None = None,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    progress: Progress | None = None,
) -> Prepared:
    """Return what `surface` scans, for the same settings."""
    check_model(model)
    seed = read_integer("seed", seed, least=0)
    attacks = read_ladder(attack, norm, eps)
    if adversary not in ADVERSARIES:
        raise UsageError(f"adversary {adversary!r} is unknown; {nearest(adversary, ADVERSARIES)}")
    if cap is not None and not cap > 0:
        raise UsageError(f"cap = {cap}; wanted a positive loss in nats, such as 10")
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, n_examples, seed=seed)
    check_outputs(model, examples.images, classes=int(examples.labels.max()) + 1, loss=loss)
    objective = Objective(
        model,
        examples.images,
        examples.labels,
        loss=loss,
        batch_size=batch_size,
        seed=seed,
        indices=examples.indices,
    )
    ladder = Ladder(objective, attacks, moves=adversary == "reattack")
    statistics = recalibration(
        objective,
        batchnorm,
        None if recalibrate_on is None else as_data(recalibrate_on, targets=loss is not cross_entropy),
        attacks[-1] if recalibration_eps is None else read_attack(attacks[-1], None, recalibration_eps),
    )
    found = _directions(directions, objective, data, attacks[-1], n_examples, seed, loss, progress)
    plane = Plane(objective.w0, *found.vectors.to(objective.w0))
    points = Points(ladder, plane, statistics, math.inf if cap is None else float(cap))
    ladder.freeze(points.network(0, 0), progress=_staged(progress, "attack at the origin"))
    return Prepared(points, found, data)


def _directions(
    given: str | Directions | Tensor | np.ndarray,
    objective: Objective,
    data: ImageData,
    attack: PGD,
    n_examples: int | str | None,
    seed: int,
    loss: Loss,
    progress: Progress | None,
) -> Directions:
    if isinstance(given, Directions):
        return given
    if not isinstance(given, str):
        rows = torch.as_tensor(np.array(given) if not isinstance(given, Tensor) else given)
        rows = rows.unsqueeze(0) if rows.dim() == 1 else rows
        return unit_directions(rows, [f"direction {number}" for number, _ in enumerate(rows, 1)])
    if given == "random":
        return random_directions(objective.space, objective.w0, seed=seed)
    if given not in ("top1", "top2"):
        raise UsageError(f"directions {given!r} are unknown; {nearest(given, ('top1', 'top2', 'random'))}")
    count = int(given[-1])
    top = hessian(
        objective.model,
        data,
        eps=attack.ball.eps,
        top=count,
        attack=attack,
        n_examples=n_examples,
        seed=seed,
        loss=loss,
        progress=progress,
    )
    return eigenvector_directions(top, count)


def eigenvector_directions(result: Result, count: int) -> Directions:
    """Return the first eigenvectors of a Hessian result; raise UsageError where it holds fewer."""
    vectors = result.arrays["eigenvectors"]
    if len(vectors) < count:
        raise UsageError(
            f"the Hessian result holds {len(vectors)} eigenvector; top{count} needs {count}: give --top {count}"
        )
    return unit_directions(torch.from_numpy(vectors[:count]), [f"eigenvector {k}" for k in np.arange(1, count + 1)])


def _padded(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    padded = np.full(shape, np.nan)
    padded[tuple(slice(size) for size in array.shape)] = array
    return padded


def _ticking(progress: Progress | None, stage: str) -> Callable[[], None] | None:
    if progress is None:
        return None
    numbers = itertools.count(1)
    return lambda: progress(stage, next(numbers), 0)


def _staged(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
