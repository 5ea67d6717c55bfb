"""The traces of a run's checkpoints from options to file: found again, resumed, or computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analyses.surface import read_ladder
from landscape.analyses.traces import traces

from .. import options
from ..attacks import PGD
from ..data import load_data, select
from ..errors import LandscapeError, UsageError
from ..files import check_writable
from ..geometry import batchnorm_policy
from ..memory import keep_freed_memory
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say
from ..training.batches import batch_bounds
from ..training.recipe import Recipe
from .code import code_sha256
from .finished import finished
from .measurement import stem_of
from .partial import Partial, compute_and_save
from .subject import Subject, Target, choose_budget, load_subject, threat_line
from .traces_table import show


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to measure, as it was typed; what is None follows from the checkpoints and the data."""

    checkpoints: tuple[str, ...]
    attack: str = options.DEFAULT_ATTACK


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured, with nothing left open: the checkpoints in the order of the run."""

    request: Request
    subjects: list[Subject]
    attacks: list[PGD]
    n: int
    steps: list[int] | None
    rates: list[float]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, first = self.request, self.subjects[0]
        return {
            "checkpoint_sha256": [subject.checkpoint.sha256 for subject in self.subjects],
            "model": first.model_spec,
            "model_code_sha256": code_sha256(first.model_spec),
            "data_sha256": first.data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": [attack.ball.eps for attack in self.attacks],
            "norm": self.attacks[0].ball.norm,
            "attack": str(self.attacks[-1]),
            "seed": request.seed,
            **first.asked,
        }


def follow(request: Request, *, out: Path | None, overwrite: bool, quiet: bool, verbose: bool) -> Path:
    """Measure, show the table, and return the file; a file of the same settings is read instead of made again."""
    keep_freed_memory()
    with progress(quiet=quiet, verbose=verbose) as report:
        plan = _plan(request, report)
    first, last = plan.subjects[0], plan.subjects[-1]
    more = f"+{len(plan.subjects) - 1}" if len(plan.subjects) > 1 else ""
    path = out or default_path(stem_of(first.source, first) + more, "traces", plan.identity)
    found = None if overwrite else finished(path, plan.identity)
    if not quiet:
        line = threat_line(
            last,
            eps=[attack.ball.eps for attack in plan.attacks],
            norm=plan.attacks[0].ball.norm,
            n=plan.n,
            attack=str(plan.attacks[-1]),
            batchnorm=batchnorm_policy(last.model),
            adversary="attacking each checkpoint anew",
        )
        say(f"{len(plan.subjects)} checkpoints, {first.checkpoint.name} to {line}")
    if found is None:
        check_writable(path)  # before the hours, not after them
        with progress(quiet=quiet, verbose=verbose) as report:
            result = _compute(plan, path, overwrite, report)
    else:
        result = found
    if not quiet:
        show(result, path, again=found is not None)
    return path


def _plan(request: Request, report: Report) -> Plan:
    subjects = [load_subject(source, request, report) for source in request.checkpoints]
    epochs = [_epoch(subject) for subject in subjects]
    if all(math.isfinite(epoch) for epoch in epochs):  # a shell puts NAME-epoch10 before NAME-epoch2
        subjects = [subjects[i] for i in sorted(range(len(subjects)), key=lambda i: epochs[i])]
    first, last = subjects[0], subjects[-1]
    for subject in subjects[1:]:
        if (subject.model_spec, subject.data.sha256) != (first.model_spec, first.data.sha256):
            raise UsageError(
                f"{first.source} is {first.model_spec} on {first.data.spec}, and {subject.source} is "
                f"{subject.model_spec} on {subject.data.spec}; give the checkpoints of one run"
            )
        seeds = [one.checkpoint.training.get("seed") for one in (first, subject)]
        if None not in seeds and seeds[0] != seeds[1]:
            raise UsageError(
                f"{first.source} was trained with seed {seeds[0]}, and {subject.source} with seed {seeds[1]}; "
                "give the checkpoints of one run"
            )
    if request.eps is None:
        eps, norm = choose_budget(last, None, request.norm)
        attacks = read_ladder(request.attack, norm, eps)
    else:
        attacks = read_ladder(request.attack, request.norm or last.train_norm or "linf", request.eps)
    n = len(select(first.data, request.n_examples, seed=request.seed))
    return Plan(request, subjects, attacks, n, _steps(subjects, request), [_rate(subject) for subject in subjects])


def _compute(plan: Plan, path: Path, overwrite: bool, report: Report) -> Result:
    request = plan.request
    provenance = [subject.provenance() for subject in plan.subjects]

    def compute(partial: Partial) -> Result:
        return traces(
            [subject.model for subject in plan.subjects],
            plan.subjects[0].data,
            eps=[attack.ball.eps for attack in plan.attacks],
            attack=plan.attacks[0],
            loss=plan.subjects[0].loss,
            steps=plan.steps,
            epochs=[_epoch(subject) for subject in plan.subjects],
            learning_rates=plan.rates,
            n_examples=plan.n,
            seed=request.seed,
            batch_size=request.batch_size,
            provenance_of={
                **{
                    key: [entry[key] for entry in provenance]
                    for key in ("checkpoint", "checkpoint_file", "checkpoint_sha256")
                },
                "training": provenance[-1]["training"],
                "train_eps": provenance[-1]["train_eps"],
                "model": provenance[-1]["model"],
                **plan.subjects[0].told,
                "command": command_line(),
                "settings": plan.identity,
            },
            progress=report,
            snapshot=partial,
        )

    return compute_and_save(path, plan.identity, compute, overwrite=overwrite)


def _epoch(subject: Subject) -> float:
    epoch = subject.checkpoint.training.get("epoch")
    return float(epoch) if isinstance(epoch, int | float) else math.nan


def _steps(subjects: list[Subject], request: Request) -> list[int] | None:
    """Return the updates of the weights before each checkpoint, as its recipe has them; None where one does not say."""
    steps = []
    for subject in subjects:
        training = subject.checkpoint.training
        size, held = training.get("batch_size"), training.get("holdout", 0)
        if math.isnan(_epoch(subject)) or not isinstance(size, int) or not isinstance(held, int):
            return None
        data = subject.data
        if data.split != "train":
            # Not what the checkpoint names: that may be code, which only the user's word runs.
            data = load_data(data.spec, split="train", data_dir=request.data_dir, targets=subject.targets)
        if size > len(data) - held:
            return None  # other data than it was trained on
        steps.append(round(_epoch(subject) * len(batch_bounds(len(data) - held, size))))
    return steps


def _rate(subject: Subject) -> float:
    """Return the learning rate that training takes from a checkpoint; NaN at its end, or where that is unknown."""
    try:
        recipe = Recipe.from_dict(subject.checkpoint.training)
    except (LandscapeError, TypeError, ValueError):
        return math.nan
    epoch = _epoch(subject)
    return recipe.at(epoch)[1] if epoch < recipe.epochs else math.nan
