"""Is there a path of low (robust) loss between two nets? Loss and error along a curve and the line between them."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.arguments import check_alike, check_model, check_outputs, read_attack, read_integer, read_ladder
from landscape.attacks import PGD
from landscape.data import ImageData, as_data, select
from landscape.distributed import ALONE, Group
from landscape.errors import UsageError
from landscape.geometry import Curve, Line, make_curve, on_plane, recalibration, segment
from landscape.losses import Loss, cross_entropy
from landscape.objective import Objective
from landscape.params import ParameterSpace, first_difference
from landscape.results import Result, provenance
from landscape.results.barrier import measure_barrier
from landscape.surfaces import Count, Grid, Index, Keeper, Ladder, kept_by, scan
from landscape.surfaces.along import Along, Slopes, policy_along
from landscape.surfaces.turning import finer, places_along, turn
from landscape.training.accuracy import collapsed, judge
from landscape.training.curve_run import curve_recipe, train_curve
from landscape.training.recipe import Recipe

Progress = Callable[[str, int, int], None]
POINTS, INTERIOR_POINTS = 51, 3
GRID_TOL = 0.02  # share of the local loss
KEEP_EXAMPLES = 64  # MiB of losses of single examples that a result keeps, at most
# The arrays of a way, and those of a scan that they are.
_OF_WAY = {name: name for name in ("loss", "loss_se", "error_rate", "status")}


def connect(
    model_a: nn.Module,
    model_b: nn.Module,
    data: Any,
    *,
    eps: float | str | Sequence[float | str],
    curve: str = "bezier",
    interior_points: int = INTERIOR_POINTS,
    control_points: Tensor | np.ndarray | None = None,
    epochs: int | None = None,
    recipe: Recipe | None = None,
    train_on: Any = None,
    other: Any = None,
    points: int | Sequence[float] = POINTS,
    adaptive: bool = False,
    grid_tol: float = GRID_TOL,
    batchnorm: str | None = None,
    gradient: bool = False,
    lambda_1: bool = False,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    keep_examples: float = KEEP_EXAMPLES,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    keeper: Callable[[Grid, np.ndarray, np.ndarray, list[float]], Keeper] | None = None,
    group: Group = ALONE,
) -> Result:
    """Return loss and error along a curve between two nets and along the line, with the barriers that they meet.

    `data` is (images, labels), a Dataset, a DataLoader or ImageData; `other` a second split, measured beside it. `eps`
    is a radius or several in pixel units of [0, 1]; the clean loss (0) is always among them. The curve ("bezier",
    "polychain" or "line") begins with `interior_points` on the line; these are trained on `train_on` (left out: `data`)
    by `recipe` (left out: training's defaults at the largest eps), for `epochs` if given, 0 leaving them there; or they
    come as `control_points` (m, P). At every point both splits are attacked anew. `points` is how many t, or which;
    `adaptive` adds some where the loss turns by more than `grid_tol` of itself. `batchnorm`: "adv-recal" or
    "clean-recal" at each t on examples of `train_on` (the default, as the recipe's eps is over 0 or not), "frozen"
    (those of the first net), "interpolated". With `gradient` and `lambda_1` these are measured along the curve, at the
    largest eps. A barrier is taken among points of one policy; `deployed_loss` has each net with its own buffers. The
    processes of a `group` each make this call: they share each batch of the training and the points of the scan.
    """
    began = time.perf_counter()
    attacks = _ladder(attack, norm, eps)
    seed = read_integer("seed", seed, least=0)
    data = as_data(data, targets=loss is not cross_entropy)
    learnt = data if train_on is None else as_data(train_on, targets=loss is not cross_entropy)
    splits = [data] if other is None else [data, as_data(other, targets=loss is not cross_entropy)]
    t = places_along(points)
    line = line_between(model_a, model_b)
    for split, model in itertools.product(splits, (model_a, model_b)):
        check_outputs(model, split.images, classes=int(split.labels.max()) + 1, loss=loss)
    check_alike(model_a, model_b, data.images)
    if recipe is None:
        recipe = Recipe(eps=attacks[-1].ball.eps, norm=attacks[-1].ball.norm, seed=seed)
        recipe = replace(recipe, batch_size=min(recipe.batch_size, len(learnt)))
    recipe = curve_recipe(recipe, epochs=max(recipe.epochs if epochs is None else epochs, 1), data_spec=learnt.spec)
    way = start_of(line, curve, interior_points) if control_points is None else _through(line, curve, control_points)
    steps = trained = 0
    if control_points is None and way.interior and epochs != 0:
        done = train_curve(model_a, way, learnt, recipe, loss=loss, progress=progress, group=group)
        way, steps, trained = done.curve, done.steps, recipe.epochs
    along = lay_out(
        (model_a, model_b),
        [way, line] if way.interior else [line],
        splits,
        attacks,
        batchnorm=batchnorm or ("adv-recal" if recipe.eps else "clean-recal"),
        recalibrate_on=learnt,
        recalibration_eps=recipe.eps if recipe.norm == attacks[-1].ball.norm else attacks[-1].ball.eps,
        gradient=gradient,
        lambda_1=lambda_1,
        n_examples=n_examples,
        seed=seed,
        batch_size=batch_size,
        loss=loss,
    )
    objectives = [ladder.objective for ladder in along.ladders]
    own, statistics, policy = objectives[0], along.statistics, along.policy
    scanned = _scan(along, finer(t) if adaptive else t, adaptive, grid_tol, keeper, progress, group)
    ways = {"": 0, "line_": len(along.curves) - 1}
    arrays: dict[str, np.ndarray] = {"t": scanned.t, "eps": np.array(along.ladders[0].eps)}
    for number, objective in enumerate(objectives):
        folder = "" if number == 0 else "test/" if data.split != "test" else "train/"
        found = [scanned.row(ways[prefix] * len(splits) + number, objective.n) for prefix in ways]
        nets = scanned.row(len(along.curves) * len(splits) + number, objective.n)
        for prefix, row in zip(ways, found, strict=True):
            arrays |= {f"{folder}{prefix}{name}": array for name, array in _way(scanned.t, row, seed).items()}
        for name in ("loss", "loss_se", "error_rate"):
            arrays[f"{folder}deployed_{name}"] = nets[name][:, [0, -1]]
        kept = keep_examples * 2**20 >= 4 * 2 * found[0]["example_loss"].size
        if number == 0 and kept:
            arrays |= {f"{prefix}example_loss": row["example_loss"] for prefix, row in zip(ways, found, strict=True)}
            arrays["example_index"] = own.indices.numpy()
    if scanned.slopes is not None:
        names = ("gradient_norm", "lambda_1", "lambda_1_residual")[: 3 if lambda_1 else 1]
        arrays |= dict(zip(names, scanned.slopes, strict=False))
    if way.interior:
        arrays["plane_points"] = on_plane(way.points)
    attacked = attacks[-1].ball.eps > 0
    return Result(
        "connect",
        arrays,
        {
            **provenance(command="landscape.connect", device=str(own.device), torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": type(model_a).__name__,
            "train_eps": math.nan,
            "seed": seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": own.n,
            "n_parameters": own.n_parameters,
            "norm": attacks[0].ball.norm,
            "attack": str(attacks[-1]) if attacked else "none",
            "adversary": "reattacked" if attacked else "none",
            "batchnorm": policy,
            **({"recalibration_examples": statistics.examples.n} if statistics.recalibrates else {}),
            **({"other_examples": objectives[1].n} if len(objectives) > 1 else {}),
            "curve": way.name,
            "interior_points": way.interior,
            "epochs": trained,
            "steps": steps,
            "control_points": None,
            "control_points_sha256": None,
            **({"curve_training": recipe.to_dict()} if trained else {}),
            **(provenance_of or {}),
            "status": "complete",
            "curve_length": way.length,
            "line_length": line.length,
            "adaptive": adaptive,
            **({"curvature_eps": attacks[-1].ball.eps} if along.slopes else {}),
            **({"failure": scanned.failure} if scanned.failure else {}),
            "classes": data.classes,
            "collapsed": _collapsed(model_a, model_b, data, own.n, seed, loss),
            "wall_seconds": time.perf_counter() - began,
        },
    )


def lay_out(
    models: tuple[nn.Module, nn.Module],
    curves: Sequence[Curve],
    splits: Sequence[ImageData],
    attacks: Sequence[PGD],
    *,
    batchnorm: str,
    recalibrate_on: ImageData,
    recalibration_eps: float,
    n_examples: int | str | None,
    seed: int,
    batch_size: int | None,
    loss: Loss,
    gradient: bool = False,
    lambda_1: bool = False,
) -> Along:
    """Return the points of curves between two nets on each split: what `connect` scans, for the same settings."""
    ladders = []
    for number, split in enumerate(splits):
        examples = select(split, n_examples if number == 0 else _at_most(n_examples, len(split)), seed=seed)
        objective = Objective(
            models[0],
            examples.images,
            examples.labels,
            loss=loss,
            batch_size=batch_size,
            seed=seed,
            indices=examples.indices,
        )
        ladders.append(Ladder(objective, attacks))
    own = ladders[0].objective
    policy = policy_along(models[0], batchnorm)
    statistics = recalibration(
        own,
        policy if policy.endswith("recal") else "frozen",
        recalibrate_on,
        read_attack(attacks[-1], None, recalibration_eps),
    )
    slopes = Slopes(own, attacks[-1], lambda_1) if gradient or lambda_1 else None
    return Along(curves, ladders, statistics, policy, buffers_of(*models), slopes)


def line_between(model_a: nn.Module, model_b: nn.Module) -> Line:
    """Return the line between two nets; raise UsageError where they differ in shape, or do not differ at all."""
    for model in (model_a, model_b):
        check_model(model)
    one, other = ParameterSpace(model_a), ParameterSpace(model_b)
    if (told := first_difference(one, other)) is not None:
        raise UsageError(f"the nets have different shapes: {told}; give two nets of one --model")
    ends = torch.stack([one.point(model_a), other.point(model_b).to(one.point(model_a))])
    if bool((ends[0] == ends[1]).all()):
        raise UsageError("both nets hold the same weights, and no curve leads from a net to itself; give two nets")
    return Line(ends)


def start_of(line: Line, curve: str, interior_points: int) -> Curve:
    """Return the curve of a kind before training, its points on the line; raise UsageError for one without any."""
    if curve == line.name:
        return line
    if read_integer("interior_points", interior_points, least=0) == 0:
        raise UsageError(f"a {curve} without interior points is the line; give --interior-points 1, or --curve line")
    return make_curve(curve, segment(line.points[0], line.points[-1], interior_points))


def _through(line: Line, curve: str, control_points: Tensor | np.ndarray) -> Curve:
    inner = torch.as_tensor(control_points).to(line.points)
    if inner.dim() != 2 or inner.shape[1] != line.points.shape[1]:
        raise UsageError(
            f"control points of shape {tuple(inner.shape)} came for nets of {line.points.shape[1]} parameters; "
            f"wanted (m, {line.points.shape[1]}), ends left out"
        )
    return make_curve(curve, torch.cat([line.points[:1], inner, line.points[-1:]]))


def _ladder(attack: str | PGD, norm: str | None, eps: float | str | Sequence[float | str]) -> list[PGD]:
    """Return the attack at each radius, the clean loss first."""
    attacks = read_ladder(attack, norm, eps)
    return attacks if attacks[0].ball.eps == 0 else [attacks[0].with_eps(0.0), *attacks]


def _at_most(n_examples: int | str | None, total: int) -> int | str | None:
    return min(n_examples, total) if isinstance(n_examples, int) else n_examples


def buffers_of(model_a: nn.Module, model_b: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the buffers of two nets by name, as `Along` takes them."""
    first = dict(model_a.named_buffers())
    last = dict(model_b.named_buffers())
    return first, {name: last.get(name, value).to(value.device) for name, value in first.items()}


@dataclass(frozen=True, eq=False)
class _Scanned:
    """A finished scan: the places t that were evaluated, and the arrays of each row there."""

    t: np.ndarray
    arrays: dict[str, np.ndarray]
    failure: str

    def row(self, number: int, n: int) -> dict[str, np.ndarray]:
        """Return the arrays (E, T) and example_loss (E, T, n) of a row."""
        rows = {name: array[:, number] for name, array in self.arrays.items() if name != "slopes"}
        return {**rows, "example_loss": rows["example_loss"][..., :n]}

    @property
    def slopes(self) -> np.ndarray | None:
        """Gradient norm, lambda_1 and its residual (3, T) along the curve."""
        return self.arrays["slopes"][:, 0] if "slopes" in self.arrays else None


def _scan(
    along: Along,
    t: np.ndarray,
    adaptive: bool,
    grid_tol: float,
    keeper: Callable[[Grid, np.ndarray, np.ndarray, list[float]], Keeper] | None,
    progress: Progress | None,
    group: Group,
) -> _Scanned:
    """Evaluate every place (or those where the loss turns) on each row, the splits of a point one after the other."""
    rows, splits = along.rows, len(along.ladders)
    ys = np.arange(rows, dtype=np.float64)
    grid = along.grid(len(t))
    own = kept_by(keeper, grid, ys, t, along.ladders[0].eps, group)
    report = Count(progress, "points", 0 if adaptive else 2 * splits + (rows - splits) * len(t), group)

    def evaluate(columns: list[int]) -> np.ndarray:
        wanted: list[Index] = []
        for curve in range(len(along.curves)):
            # The ends first: the rows of the nets as they are deployed may share them.
            for column in sorted(columns, key=lambda column: (column not in (0, len(t) - 1), column)):
                wanted += [(curve * splits + split, column) for split in range(splits)]
        ends = [column for column in (0, len(t) - 1) if column in columns]
        wanted += [(rows - splits + split, column) for column in ends for split in range(splits)]
        scan(along, grid, ys, t, wanted, keeper=own, report=report, tick=report.tick, group=group)
        return np.concatenate([grid.arrays["loss"][:, row] for row in range(0, rows - splits, splits)])

    columns = turn(t, evaluate, tol=grid_tol) if adaptive else list(range(len(t)))
    if not adaptive:
        evaluate(columns)
    return _Scanned(t[columns], {name: array[:, :, columns] for name, array in grid.arrays.items()}, grid.failure)


def _way(t: np.ndarray, row: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Return what a result holds of one way on one split: its values and its barriers."""
    found = [measure_barrier(t, losses, seed=seed) for losses in row["example_loss"]]
    return {
        **{name: row[source] for name, source in _OF_WAY.items()},
        "barrier": np.array([one.value for one in found]),
        "barrier_low": np.array([one.low for one in found]),
        "barrier_high": np.array([one.high for one in found]),
        "barrier_over_ends": np.array([one.over_ends for one in found]),
        "barrier_t": np.array([one.at for one in found]),
    }


def _collapsed(model_a: nn.Module, model_b: nn.Module, data: ImageData, n: int, seed: int, loss: Loss) -> bool | None:
    if loss is not cross_entropy:
        return None
    device = next(model_a.parameters()).device
    return any(collapsed(judge(model, data, n=n, seed=seed, device=device)) for model in (model_a, model_b))
