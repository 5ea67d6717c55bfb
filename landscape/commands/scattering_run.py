"""One checkpoint's scattering from options to file: found again, resumed, or computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.analyses.scattering import RADII, SHARES, scattering

from .. import options
from ..attacks import PGD, make_ball, parse_attack
from ..checkpoint import Checkpoint, read_checkpoint
from ..data import select
from ..errors import UsageError
from ..files import check_writable
from ..geometry import batchnorm_policy
from ..memory import keep_freed_memory, peak_bytes
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say, warn
from . import directions
from .code import code_sha256
from .eigenvectors import eigenvectors
from .finished import finished
from .measurement import stem_of
from .partial import Partial, compute_and_save
from .scattering_table import show
from .subject import Subject, Target, choose_budget, load_subject, threat_line


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to measure, as it was typed; what is None follows from the checkpoint and the data."""

    attack: str = options.DEFAULT_ATTACK
    direction: str | None = None
    to: str | None = None
    radii: tuple[float, ...] | None = None
    rises: tuple[float, ...] | None = None
    single: int = 20


@dataclass(frozen=True, eq=False)
class Course:
    """Where the weights move: along a vector (P,), None for the random direction, or to another net."""

    words: str
    vector: Tensor | None = None
    uphill: bool = False
    to: nn.Module | None = None
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured, with nothing left open."""

    request: Request
    subject: Subject
    attack: PGD
    n: int
    course: Course

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, subject, course = self.request, self.subject, self.course
        asked = request.radii or (RADII if course.to is None else SHARES)
        return {
            "checkpoint_sha256": subject.checkpoint.sha256,
            "model": subject.model_spec,
            "model_code_sha256": code_sha256(subject.model_spec),
            "data_sha256": subject.data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": self.attack.ball.eps,
            "norm": self.attack.ball.norm,
            "attack": str(self.attack) if self.attack.ball.eps else "none",
            "seed": request.seed,
            "direction": "to" if course.to is not None else request.direction or "random",
            "direction_sha256": None if course.vector is None else _sha256(course.vector),
            "to_sha256": None if course.checkpoint is None else course.checkpoint.sha256,
            **({"radii": list(asked)} if request.rises is None else {"rises": list(request.rises)}),
            "single": min(request.single, self.n),
            **subject.asked,
        }


def measure(
    source: str, request: Request, *, out: Path | None, overwrite: bool, quiet: bool, verbose: bool
) -> tuple[Path, Result]:
    """Return one checkpoint's result and its file; a file of the same settings is read instead of made again."""
    keep_freed_memory()
    with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
        subject = load_subject(source, request, report)
        eps, norm = choose_budget(subject, request.eps, request.norm)
        attack = parse_attack(request.attack, make_ball(norm, eps))
        n = len(select(subject.data, request.n_examples, seed=request.seed))
    course = _course(source, subject, request, attack, n, quiet=quiet, verbose=verbose)
    plan = Plan(request, subject, attack, n, course)
    path = out or default_path(stem_of(source, subject), "scattering", plan.identity)
    found = None if overwrite else finished(path, plan.identity)
    if not quiet:
        say(
            threat_line(
                subject,
                eps=eps,
                norm=norm,
                n=n,
                attack=str(attack),
                batchnorm=batchnorm_policy(subject.model),
                adversary="anew at each point",
            )
        )
        directions.announce(course.words)
    if found is None:
        check_writable(path)  # before the hours, not after them
        with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
            result = _compute(plan, path, overwrite, report)
    else:
        result = found
    if not quiet:
        show(result, path, again=found is not None)
    if verbose and not quiet and found is None:
        say(
            f"{float(str(result.attrs['wall_seconds'])):.1f} s; "
            f"at most {peak_bytes(str(result.attrs['device'])) / 2**20:,.0f} MiB"
        )
    return path, result


def _course(
    source: str, subject: Subject, request: Request, attack: PGD, n: int, *, quiet: bool, verbose: bool
) -> Course:
    asked = request.direction
    if request.rises is not None and request.radii is not None:
        raise UsageError("--radii and --rise both say where to measure; give one of them")
    if request.to is not None:
        if asked is not None or request.rises is not None:
            other = f"--direction {asked}" if asked is not None else "--rise"
            raise UsageError(f"--to {request.to} and {other} were given, and the way to a net is a direction; give one")
        if request.radii is not None and request.radii[-1] > 1:
            raise UsageError(
                f"with --to, --radii are shares of the way, and {request.radii[-1]:g} came; give at most 1"
            )
        return _towards(request.to, subject, request)
    if asked in (None, "random"):
        return Course(f"random direction 0 (seed {request.seed}), filter-normalised, biases and BatchNorm held")
    if asked == "top1":
        chosen = eigenvectors(source, subject, request, attack, n, 1, quiet=quiet, verbose=verbose)
    elif asked is not None and Path(asked).suffix in (".h5", ".hdf5"):
        chosen = directions.from_file(Path(asked), subject)
    else:
        raise UsageError(f"--direction {asked} is unknown; give random, top1, or a FILE.h5 of a Hessian or a surface")
    uphill = chosen.directions.names[0].startswith("eigenvector")
    words = f"{chosen.directions.names[0]}, {chosen.words}" if asked != "top1" else chosen.words
    return Course(words + (", uphill" if uphill else ""), chosen.directions.vectors[0], uphill)


def _towards(other: str, subject: Subject, request: Request) -> Course:
    mark = directions.landmark(other, subject, request.model)
    checkpoint = read_checkpoint(other, key=subject.checkpoint.key)
    ours, theirs = (held.training.get("seed") for held in (subject.checkpoint, checkpoint))
    if ours != theirs:
        warn(f"caution: the nets are of training seeds {ours} and {theirs}: the way between them is no training")
    return Course(f"the way to {mark.name}", to=mark.model, checkpoint=checkpoint)


def _compute(plan: Plan, path: Path, overwrite: bool, report: Report) -> Result:
    request, course = plan.request, plan.course
    told: dict[str, Any] = {}
    if course.checkpoint is not None:
        training = {key: value for key, value in course.checkpoint.training.items() if key != "history"}
        told = {"to": course.checkpoint.name, "to_sha256": course.checkpoint.sha256, "to_training": training or None}

    def compute(partial: Partial) -> Result:
        return scattering(
            plan.subject.model,
            plan.subject.data,
            eps=plan.attack.ball.eps,
            attack=plan.attack,
            direction="random" if course.vector is None else course.vector,
            uphill=course.uphill,
            name=None if course.vector is None and course.to is None else course.words.partition(" of ")[0],
            to=course.to,
            radii=request.radii,
            rises=request.rises,
            single=request.single,
            loss=plan.subject.loss,
            n_examples=plan.n,
            seed=request.seed,
            batch_size=request.batch_size,
            provenance_of={**plan.subject.provenance(), **told, "command": command_line(), "settings": plan.identity},
            progress=report,
            snapshot=partial,
        )

    return compute_and_save(path, plan.identity, compute, overwrite=overwrite)


def _sha256(vector: Tensor) -> str:
    return hashlib.sha256(vector.to(torch.float32).cpu().numpy().tobytes()).hexdigest()
