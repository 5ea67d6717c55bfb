"""One checkpoint's surface from options to file: found again, resumed point by point, or computed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from landscape.analyses.surface import AUDITED, GRID_TOL, prepare, surface

from .. import options
from ..arguments import read_ladder
from ..attacks import PGD
from ..data import ImageData, load_data, select
from ..distributed import current
from ..errors import UsageError
from ..geometry import batchnorm_policy
from ..memory import keep_freed_memory
from ..results import Result, command_line, default_path
from ..surfaces import Bounds, Forecast, Landmark, forecast, grid_shape, rise_radius
from ..surfaces.audit import EXAMPLES
from ..terminal import Report, progress, say
from . import directions
from .code import code_sha256
from .eigenvectors import eigenvectors
from .kept import KeptPoints, scanned
from .measurement import stem_of
from .subject import Subject, Target, choose_budget, load_subject, threat_line
from .together import found_alike

Range = str | float | tuple[Bounds, Bounds]


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to scan, as it was typed; what is None follows from the checkpoint, the data or the directions."""

    attack: str = options.DEFAULT_ATTACK
    dirs: str = "top2"
    perturb_1d: bool = False
    grid: tuple[int, int] | None = None
    range: Range = "auto"
    adversary: str = "reattack"
    batchnorm: str | None = None
    cap: float | None = None
    audit: int = AUDITED
    audit_examples: int = EXAMPLES
    adaptive: bool = False
    grid_tol: float = GRID_TOL
    mark: str | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """What is scanned, with nothing left open."""

    request: Request
    subject: Subject
    attacks: list[PGD]
    n: int
    chosen: directions.Chosen
    landmarks: list[Landmark] = field(default_factory=list)
    joined: bool = False

    @property
    def batchnorm(self) -> str:
        """The BatchNorm policy: between nets frozen statistics mean nothing, and are recalibrated by default."""
        asked = self.request.batchnorm
        if asked is None:
            between = directions.is_list_of_nets(self.request.dirs)
            asked = ("adv-recal" if self.attacks[-1].ball.eps else "clean-recal") if between else "frozen"
        policy = batchnorm_policy(self.subject.model, asked)
        return "frozen" if policy == "none" else policy

    @cached_property
    def shape(self) -> tuple[int, int]:
        """The grid (nx, ny)."""
        return grid_shape(self.request.grid, line=len(self.chosen.directions.names) == 1)

    @cached_property
    def extent(self) -> Range:
        """The range: between nets, a quarter of their distance beyond the outermost, unless another is given."""
        if self.request.range != "auto" or not directions.is_list_of_nets(self.request.dirs):
            return self.request.range
        from ..geometry import Plane
        from ..params import ParameterSpace

        space = ParameterSpace(self.subject.model)
        plane = Plane(space.point(self.subject.model), *self.chosen.directions.vectors)
        marks = np.array([plane.coordinates(space.point(mark.model)) for mark in self.chosen.landmarks])
        low, high = marks.min(axis=0), marks.max(axis=0)
        margin = 0.25 * max(float((high - low).max()), 1e-30)
        x, y = ((float(f"{low[i] - margin:.3g}"), float(f"{high[i] + margin:.3g}")) for i in (0, 1))
        return x, y

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, subject = self.request, self.subject
        vectors = self.chosen.directions.vectors.cpu().numpy()
        return {
            "checkpoint_sha256": subject.checkpoint.sha256,
            "model": subject.model_spec,
            "model_code_sha256": code_sha256(subject.model_spec),
            "data_sha256": subject.data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": [attack.ball.eps for attack in self.attacks],
            "norm": self.attacks[0].ball.norm,
            "attack": str(self.attacks[-1]) if self.attacks[-1].ball.eps else "none",
            "seed": request.seed,
            "directions_sha256": hashlib.sha256(np.ascontiguousarray(vectors).tobytes()).hexdigest(),
            "grid": list(self.shape),
            "range": [list(bound) for bound in self.extent] if isinstance(self.extent, tuple) else self.extent,
            "adversary": request.adversary,
            "batchnorm": self.batchnorm,
            "cap": request.cap,
            "audit": request.audit,
            "audit_examples": request.audit_examples,
            **subject.asked,
            **({"grid_tol": request.grid_tol} if request.adaptive else {}),
            **({"landmarks": [mark.name for mark in self.landmarks]} if self.landmarks else {}),
        }

    def settings(self, report: Report) -> dict[str, Any]:
        """Return what `analyses.surface.prepare` takes."""
        request = self.request
        return {
            "eps": [attack.ball.eps for attack in self.attacks],
            "directions": self.chosen.directions,
            "adversary": request.adversary,
            "batchnorm": self.batchnorm,
            "recalibrate_on": self._training_split(report) if self.batchnorm != "frozen" else None,
            "recalibration_eps": self._training_eps,
            "cap": request.cap,
            "loss": self.subject.loss,
            "attack": self.attacks[-1],
            "n_examples": self.n,
            "seed": request.seed,
            "batch_size": request.batch_size,
            "progress": report,
        }

    @property
    def _training_eps(self) -> float | None:
        # BatchNorm's statistics were of batches attacked at training's radius, whatever radius is looked at now.
        eps, norm = self.subject.train_eps, self.attacks[0].ball.norm
        return eps if eps > 0 and self.subject.train_norm in (None, norm) else None

    def _training_split(self, report: Report) -> ImageData:
        data = self.subject.data
        if data.split == "train":
            return data
        targets = self.subject.targets
        return load_data(data.spec, split="train", data_dir=self.request.data_dir, progress=report, targets=targets)


def plan_scan(source: str, request: Request, *, quiet: bool, verbose: bool, forecast_only: bool = False) -> Plan:
    """Return what to scan of one checkpoint; a Hessian that its directions need is measured first, and said so.

    With `forecast_only` nothing is measured: random directions, which cost the same, stand in for eigenvectors.
    """
    with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
        subject = current().in_turn(lambda: load_subject(source, request, report))
    attacks = _attacks(subject, request)
    n = len(select(subject.data, request.n_examples, seed=request.seed))
    if forecast_only and request.dirs in ("top1", "top2"):
        stand_in = directions.stand_in(subject, request.seed, int(request.dirs[-1]))
        return Plan(request, subject, attacks, n, stand_in)
    chosen = _choose(source, subject, request, attacks[-1], n, quiet=quiet, verbose=verbose)
    marks, joined = chosen.landmarks, chosen.joined
    if request.mark is not None:
        marks, joined = directions.marked(subject, request.mark, request.model)
    return Plan(request, subject, attacks, n, chosen, marks, joined)


def auto_radius(plan: Plan, *, quiet: bool, verbose: bool) -> float:
    """Return the radius of --range auto for one checkpoint."""
    with progress(quiet=quiet, verbose=verbose, prefix=f"{plan.subject.checkpoint.name}: ") as report:
        made = prepare(plan.subject.model, plan.subject.data, **plan.settings(report))
        return current().from_first(lambda: rise_radius(made.points, tick=lambda: report("range", 0, 0)))


def predict(plan: Plan, *, quiet: bool, verbose: bool) -> Forecast:
    """Return what the scan will take."""
    with progress(quiet=quiet, verbose=verbose, prefix=f"{plan.subject.checkpoint.name}: ") as report:
        return forecast(prepare(plan.subject.model, plan.subject.data, **plan.settings(report)).points, plan.shape)


def run_scan(
    source: str, plan: Plan, *, out: Path | None, overwrite: bool, quiet: bool, verbose: bool
) -> tuple[Path, Result, bool]:
    """Return one checkpoint's surface, its file, and whether it was there already."""
    path = out or default_path(stem_of(source, plan.subject), "surface", plan.identity)
    found = found_alike(
        path, plan.identity, plan.subject.model, shares=plan.shape[0] * plan.shape[1], overwrite=overwrite
    )
    if not quiet:
        say(describe(plan))
        directions.announce(plan.chosen.words)
    if found is not None:
        return path, found, True
    keep_freed_memory()

    def scan(keeper: Callable[..., KeptPoints] | None) -> Result:
        with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
            return surface(
                plan.subject.model,
                plan.subject.data,
                grid=plan.shape,
                range=plan.extent,
                audited=plan.request.audit,
                audit_examples=plan.request.audit_examples,
                adaptive=plan.request.adaptive,
                grid_tol=plan.request.grid_tol,
                landmarks=plan.landmarks,
                joined=plan.joined,
                keeper=keeper,
                group=current(),
                provenance_of={
                    **plan.subject.provenance(),
                    "command": command_line(),
                    "settings": plan.identity,
                },
                **plan.settings(report),
            )

    return path, scanned(path, plan.identity, scan, overwrite=overwrite), False


def describe(plan: Plan) -> str:
    """Return the line that states what is measured."""
    attacks = plan.attacks
    ladder = [attack.ball.eps for attack in attacks]
    return threat_line(
        plan.subject,
        eps=ladder if len(ladder) > 1 else ladder[0],
        norm=attacks[0].ball.norm,
        n=plan.n,
        attack=str(attacks[-1]),
        batchnorm=batchnorm_policy(plan.subject.model, plan.batchnorm),
        adversary="anew at each point" if plan.request.adversary == "reattack" else "frozen at the weights",
    )


def _attacks(subject: Subject, request: Request) -> list[PGD]:
    texts = [part.strip() for part in request.eps.split(",")] if request.eps is not None else [None]
    if not all(text is None or text for text in texts):
        raise UsageError(f"--eps {request.eps} holds an empty radius; write 0,2/255,4/255")
    budgets = [choose_budget(subject, text, request.norm) for text in texts]
    return read_ladder(request.attack, budgets[0][1], [eps for eps, _ in budgets])


def _choose(
    source: str, subject: Subject, request: Request, attack: PGD, n: int, *, quiet: bool, verbose: bool
) -> directions.Chosen:
    dirs = request.dirs
    if request.perturb_1d and dirs != "random":
        raise UsageError(f"--perturb-1d is for --dirs random, and --dirs {dirs} was given; leave it out")
    if dirs in ("top1", "top2"):
        return eigenvectors(source, subject, request, attack, n, int(dirs[-1]), quiet=quiet, verbose=verbose)
    if dirs == "random":
        return directions.random(subject, request.seed, request.perturb_1d)
    if dirs == "trajectory":
        return directions.trajectory(subject, request.model)
    if directions.is_list_of_nets(dirs):
        return directions.between(subject, directions.nets_of(dirs), request.model)
    if Path(dirs).suffix in (".h5", ".hdf5"):
        return directions.from_file(Path(dirs), subject)
    raise UsageError(
        f"--dirs {dirs} is unknown; give top2, top1, random, trajectory, A.pt,B.pt, A.pt,B.pt,C.pt, or a FILE.h5"
    )
