"""An evaluation from options to file: found again, resumed, or computed; interrupted without loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analyses.evaluate import evaluate

from ..attacks import make_ball
from ..data import select
from ..distributed import current
from ..errors import UsageError
from ..evaluation import Suite, check_for_numbers, parse_suite
from ..evaluation.of_numbers import DEFAULT_ATTACKS
from ..memory import peak_bytes
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say
from ..units import format_eps
from .code import code_sha256
from .evaluate_table import show
from .measurement import stem_of
from .partial import Partial, compute_and_save
from .subject import Subject, Target, choose_budget, load_subject
from .together import found_alike


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to evaluate, as it was typed; what is None follows from the checkpoints and the data."""

    checkpoints: tuple[str, ...]
    split: str = "test"
    n_examples: int | str = "all"
    attacks: str | None = None
    preset: str = "default"
    cascade: bool = False
    ensemble: bool = False
    join: str = "softmax"
    curve: bool = False
    adequacy: bool = True


@dataclass(frozen=True, eq=False)
class Plan:
    """What is evaluated, with nothing left open."""

    request: Request
    subjects: list[Subject]
    eps: float
    norm: str
    suite: Suite
    n: int

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, data = self.request, self.subjects[0].data
        return {
            "checkpoint_sha256": [subject.checkpoint.sha256 for subject in self.subjects],
            "model": [subject.model_spec for subject in self.subjects],
            "model_code_sha256": [code_sha256(subject.model_spec) for subject in self.subjects],
            "data_sha256": data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": self.eps,
            "norm": self.norm,
            "attacks": list(self.suite.names),
            "attack": str(self.suite),
            "cascade": self.suite.cascade,
            "ensemble": request.join if request.ensemble else "none",
            "curve": request.curve,
            "adequacy": request.adequacy,
            "seed": request.seed,
            **self.subjects[0].asked,
        }


def examine(request: Request, *, out: Path | None, overwrite: bool, quiet: bool, verbose: bool) -> Path:
    """Evaluate, show the table, and return the file; a file of the same settings is read instead of made again."""
    with progress(quiet=quiet, verbose=verbose) as report:
        plan = current().in_turn(lambda: _plan(request, report))
    path = out or default_path(_stem(plan), "evaluate", plan.identity)
    found = found_alike(path, plan.identity, plan.subjects[0].model, shares=plan.n, overwrite=overwrite)
    if not quiet:
        say(_threat_line(plan))
    if found is None:
        with progress(quiet=quiet, verbose=verbose) as report:
            result = _compute(plan, path, overwrite, report)
    else:
        result = found
    if not quiet:
        show(result, path, again=found is not None)
    if verbose and not quiet and found is None:
        say(
            f"spent {float(str(result.attrs['wall_seconds'])):.1f} s; "
            f"at most {peak_bytes(str(result.attrs['device'])) / 2**20:,.0f} MiB"
        )
    return path


def _plan(request: Request, report: Report) -> Plan:
    subjects = [load_subject(source, request, report) for source in request.checkpoints]
    budgets = [choose_budget(subject, request.eps, request.norm) for subject in subjects]
    if len(set(budgets)) > 1:
        shown = ", ".join(f"{norm} {format_eps(eps)}" for eps, norm in dict.fromkeys(budgets))
        raise UsageError(f"the nets were trained at different radii ({shown}); give one --eps for all of them")
    data = subjects[0].data
    for subject in subjects[1:]:
        if subject.loss_spec != subjects[0].loss_spec:
            raise UsageError(
                f"{subjects[0].checkpoint.name} was trained by {subjects[0].loss_spec or 'cross_entropy'}, and "
                f"{subject.checkpoint.name} by {subject.loss_spec or 'cross_entropy'}; give one --loss for all of them"
            )
        if subject.data.sha256 != data.sha256:
            raise UsageError(
                f"{subjects[0].checkpoint.name} is evaluated on {data.spec}, and {subject.checkpoint.name} on "
                f"{subject.data.spec}; nets are compared on the same examples: give --data for all of them"
            )
    eps, norm = budgets[0]
    numbers = data.labels.is_floating_point()
    suite = parse_suite(
        DEFAULT_ATTACKS if numbers and request.attacks is None and request.preset == "default" else request.attacks,
        make_ball(norm, eps),
        preset=request.preset,
        channels=data.shape[0],
        cascade=request.cascade,
    )
    if numbers:
        check_for_numbers(suite, curve=request.curve, ensemble=request.join if request.ensemble else None)
    return Plan(request, subjects, eps, norm, suite, len(select(data, request.n_examples, seed=request.seed)))


def _compute(plan: Plan, path: Path, overwrite: bool, report: Report) -> Result:
    request = plan.request
    provenance = [subject.provenance() for subject in plan.subjects]
    radii = {subject.train_eps for subject in plan.subjects}

    def compute(partial: Partial | None) -> Result:
        return evaluate(
            [subject.model for subject in plan.subjects],
            plan.subjects[0].data,
            eps=plan.eps,
            norm=plan.norm,
            attacks=plan.suite.names,
            preset=request.preset,
            cascade=request.cascade,
            ensemble=request.join if request.ensemble else None,
            n_examples=plan.n,
            seed=request.seed,
            batch_size=request.batch_size,
            loss=plan.subjects[0].loss,
            curve=request.curve,
            adequacy=request.adequacy,
            names=[str(entry["checkpoint"]) for entry in provenance],
            provenance_of={
                **{
                    key: [entry[key] for entry in provenance]
                    for key in ("checkpoint", "checkpoint_file", "checkpoint_sha256", "training", "model")
                },
                **plan.subjects[0].told,
                "train_eps": radii.pop() if len(radii) == 1 else math.nan,
                "command": command_line(),
                "settings": plan.identity,
            },
            progress=report,
            snapshot=partial,
            group=current(),
        )

    if not current().leads:
        return compute(None)
    return compute_and_save(path, plan.identity, compute, overwrite=overwrite)


def _stem(plan: Plan) -> str:
    first = stem_of(plan.request.checkpoints[0], plan.subjects[0])
    more = len(plan.subjects) - 1
    return f"{first}-and-{more}-more" if more else first


def _threat_line(plan: Plan) -> str:
    data = plan.subjects[0].data
    who = ", ".join(dict.fromkeys(subject.checkpoint.name for subject in plan.subjects[:3]))
    more = len(plan.subjects) - 3
    if more > 0:
        who += f" and {more} more"
    joined = f", one ensemble by mean {plan.request.join}" if plan.request.ensemble else ""
    played = f"attacks {plan.suite}" if plan.eps else "no attack"
    cascade = ", each on what those before left standing" if plan.suite.cascade else ""
    return (
        f"{who}{joined}: {plan.norm} eps {format_eps(plan.eps)}, {plan.n:,} of {len(data):,} {data.split} examples of "
        f"{data.spec}, {played}{cascade}"
    )
