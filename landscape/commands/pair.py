"""Two nets and all that is asked of the way between them, with nothing left open: what `landscape connect` does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analyses.connect import GRID_TOL, INTERIOR_POINTS, POINTS, line_between, start_of

from .. import options
from ..arguments import check_alike, read_ladder
from ..attacks import PGD
from ..data import ImageData, load_data, select
from ..errors import LandscapeError, UsageError
from ..geometry import Curve
from ..surfaces.along import policy_along
from ..surfaces.turning import places_along
from ..terminal import Report
from ..training.curve_run import curve_recipe
from ..training.recipe import Recipe
from ..units import parse_eps
from .code import code_sha256
from .subject import Subject, Target, choose_budget, load_subject


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to do, as it was typed; what is None follows from the checkpoints and the data."""

    attack: str = options.DEFAULT_ATTACK
    curve: str | None = None
    interior_points: int | None = None
    control_points: Path | None = None
    epochs: int | None = None
    train_eps: str | None = None
    eps_schedule: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    lr_schedule: str | None = None
    points: int | Sequence[float] = POINTS
    adaptive: bool = False
    grid_tol: float = GRID_TOL
    batchnorm: str | None = None
    gradient: bool = False
    lambda_1: bool = False


@dataclass(frozen=True, eq=False)
class Pair:
    """Two nets on the same data, the other split of it (None: there is none), and the attacks, the clean loss first."""

    request: Request
    first: Subject
    second: Subject
    other: ImageData | None
    attacks: list[PGD]

    @property
    def sha256(self) -> list[str]:
        """The hashes of the two checkpoints."""
        return [self.first.checkpoint.sha256, self.second.checkpoint.sha256]

    @property
    def training_split(self) -> ImageData:
        """The data to train a curve on."""
        data = self.first.data
        return data if data.split == "train" or self.other is None else self.other

    @property
    def kind(self) -> str:
        """The curve's kind."""
        return self.request.curve or "bezier"

    @property
    def train_eps(self) -> float:
        """The radius that both nets were trained at; NaN where they differ, or do not say."""
        one, other = self.first.train_eps, self.second.train_eps
        return one if one == other else math.nan

    @cached_property
    def n(self) -> int:
        """Examples of the split asked for."""
        return len(select(self.first.data, self.request.n_examples, seed=self.request.seed))

    @cached_property
    def start(self) -> Curve:
        """The curve before training."""
        asked = self.request.interior_points
        if self.kind == "line" and asked:
            raise UsageError(f"a line has no interior points, and {asked} were asked for; give --curve bezier")
        line = line_between(self.first.model, self.second.model)
        return start_of(line, self.kind, INTERIOR_POINTS if asked is None else asked)

    @cached_property
    def recipe(self) -> Recipe:
        """How the curve is trained: as the first net was, but for what was asked otherwise."""
        request, norm = self.request, self.attacks[-1].ball.norm
        if request.train_eps is not None:
            eps = parse_eps(request.train_eps, norm=norm)
        else:
            known = not math.isnan(self.train_eps) and self.first.train_norm in (None, norm)
            eps = self.train_eps if known else self.attacks[-1].ball.eps
        try:
            base = Recipe.from_dict(self.first.checkpoint.training)
        except (LandscapeError, TypeError, ValueError):  # another program's net, or a later version's recipe
            base = Recipe(eps=eps, norm=norm)
        schedule = request.eps_schedule or base.eps_schedule
        optimizer = request.optimizer or base.optimizer
        kept = base.lr if optimizer == base.optimizer else None  # left open: the default of the other optimiser
        return curve_recipe(
            base,
            epochs=max(base.epochs if request.epochs is None else request.epochs, 1),
            data_spec=self.training_split.spec,
            eps=eps,
            norm=norm,
            eps_schedule=schedule,
            eps_overshoot=base.eps_overshoot if (schedule, eps) == (base.eps_schedule, base.eps) else None,
            eps_start=base.eps_start if (schedule, eps) == (base.eps_schedule, base.eps) else 0.0,
            optimizer=optimizer,
            lr=request.lr if request.lr is not None else kept,
            lr_schedule=request.lr_schedule or base.lr_schedule,
            lr_warmup=0.0,
            seed=request.seed,
            batch_size=min(base.batch_size, len(self.training_split)),
        )

    @property
    def trains(self) -> bool:
        """Whether the curve has control points to learn, and epochs to learn them in."""
        return self.kind != "line" and self.request.epochs != 0

    @property
    def batchnorm(self) -> str:
        """The BatchNorm policy, as results state it."""
        asked = self.request.batchnorm or ("adv-recal" if self.recipe.eps else "clean-recal")
        return policy_along(self.first.model, asked)

    @cached_property
    def curve_settings(self) -> dict[str, Any]:
        """All that decides the control points: what a repeated command compares with the file that it finds."""
        recipe = self.recipe.to_dict() if self.trains else None
        return {
            "ends_sha256": self.sha256,
            "model": self.first.model_spec,
            "model_code_sha256": code_sha256(self.first.model_spec),
            "data_sha256": self.training_split.sha256,
            "curve": self.kind,
            "interior_points": self.start.interior,
            "recipe": recipe,
            **self.first.asked,
        }

    def identity(self, control_points_sha256: str | None) -> dict[str, Any]:
        """Return all that decides the numbers; the hash is of control points that were given, and not trained here."""
        request, attack = self.request, self.attacks[-1]
        given = {"control_points_sha256": control_points_sha256}
        return {
            "checkpoint_sha256": self.sha256,
            "data_sha256": self.first.data.sha256,
            "split": request.split,
            "other_sha256": None if self.other is None else self.other.sha256,
            "n_examples": self.n,
            "eps": [one.ball.eps for one in self.attacks],
            "norm": attack.ball.norm,
            "attack": str(attack) if attack.ball.eps else "none",
            "seed": request.seed,
            "batchnorm": self.batchnorm,
            "recalibration_eps": self.recipe.eps if self.batchnorm.endswith("recal") else None,
            "points": places_along(request.points).tolist(),
            "gradient": request.gradient,
            "lambda_1": request.lambda_1,
            **self.first.asked,
            **({"grid_tol": request.grid_tol} if request.adaptive else {}),
            **(self.curve_settings if control_points_sha256 is None else given),
            "data_sha256_of_training": self.training_split.sha256,
        }


def load_pair(sources: tuple[str, str], request: Request, report: Report) -> Pair:
    """Return two nets to connect; raise UsageError where they are one, of other data, or of other shapes."""
    first, second = (load_subject(source, request, report) for source in sources)
    if first.checkpoint.sha256 == second.checkpoint.sha256:
        what = "came twice" if sources[0] == sources[1] else f"and {sources[1]} are the same file"
        raise UsageError(f"{sources[0]} {what}, and no curve leads from a net to itself; give two nets")
    if first.data.sha256 != second.data.sha256:
        raise UsageError(
            f"{sources[0]} was trained on {first.data.spec} and {sources[1]} on {second.data.spec}; "
            f"give two nets of one data set, or --data to measure both on one"
        )
    line_between(first.model, second.model)
    check_alike(first.model, second.model, first.data.images)
    other = None
    try:
        unasked = "test" if request.split == "train" else "train"
        other = load_data(
            first.data.spec, split=unasked, data_dir=request.data_dir, progress=report, targets=first.targets
        )
    except UsageError:  # a user's own data may have one split alone; the other was read, so the spec is good
        pass
    return Pair(request, first, second, other, _attacks(first, second, request))


def _attacks(first: Subject, second: Subject, request: Request) -> list[PGD]:
    """Return the attack at each radius, the clean loss first."""
    if request.eps is None:
        radii = {choose_budget(subject, None, request.norm) for subject in (first, second)}
        if len(radii) > 1:
            shown = " and ".join(sorted(f"{eps:g}" for eps, _ in radii))
            raise UsageError(f"the nets were trained at eps {shown}; give --eps, such as --eps {max(radii)[0]:g}")
        ((eps, norm),) = radii
        attacks = read_ladder(request.attack, norm, eps)
    else:
        attacks = read_ladder(request.attack, request.norm or first.train_norm or "linf", request.eps)
    return attacks if attacks[0].ball.eps == 0 else [attacks[0].with_eps(0.0), *attacks]


def through_control_points(request: Request, kind: str, interior: int) -> Request:
    """Return the request for a curve that a file holds; raise UsageError where options ask for another one."""
    for word, given in (
        ("--curve", request.curve not in (None, kind)),
        ("--interior-points", request.interior_points not in (None, interior)),
        ("--epochs", request.epochs is not None),
    ):
        if given:
            raise UsageError(
                f"{request.control_points} holds a {kind} with {interior} interior points, trained; leave {word} out"
            )
    return replace(request, curve=kind, interior_points=interior)
