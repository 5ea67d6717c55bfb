"""One checkpoint's sharpness from options to file: found again, resumed, or computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analyses.sharpness import sharpness

from .. import options
from ..arguments import read_ladder
from ..attacks import PGD
from ..checkpoint import read_checkpoint
from ..data import select
from ..errors import UsageError
from ..files import check_writable
from ..geometry import batchnorm_policy
from ..memory import keep_freed_memory, peak_bytes
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say
from .code import code_sha256
from .finished import finished
from .measurement import stem_of
from .partial import Partial, compute_and_save
from .sharpness_table import show
from .subject import Subject, Target, choose_budget, load_subject, threat_line


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to measure, as it was typed; what is None follows from the checkpoint and the data."""

    attack: str = options.DEFAULT_ATTACK
    measures: tuple[str, ...]
    random_radii: tuple[float, ...]
    worst_radii: tuple[float, ...]
    directions: int
    starts: int
    probes: int
    tol: float


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured, with nothing left open."""

    request: Request
    subject: Subject
    attacks: list[PGD]
    n: int

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, subject = self.request, self.subject
        with_random, with_worst = "random_rise" in request.measures, "worst_rise" in request.measures
        return {
            "checkpoint_sha256": subject.checkpoint.sha256,
            "model": subject.model_spec,
            "model_code_sha256": code_sha256(subject.model_spec),
            "data_sha256": subject.data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": [attack.ball.eps for attack in self.attacks],
            "norm": self.attacks[0].ball.norm,
            "attack": str(self.attacks[-1]),
            "seed": request.seed,
            "measures": list(request.measures),
            **({"random_radii": list(request.random_radii), "directions": request.directions} if with_random else {}),
            **({"worst_radii": list(request.worst_radii), "starts": request.starts} if with_worst else {}),
            **({"probes": request.probes} if "trace" in request.measures else {}),
            "tol": request.tol,
            **subject.asked,
        }


def measure(
    source: str,
    request: Request,
    *,
    out: Path | None,
    overwrite: bool,
    quiet: bool,
    verbose: bool,
) -> tuple[Path, Result]:
    """Return one checkpoint's result and its file; a file of the same settings is read instead of made again."""
    keep_freed_memory()
    with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
        plan = _plan(source, request, report)
    path = out or default_path(stem_of(source, plan.subject), "sharpness", plan.identity)
    found = None if overwrite else finished(path, plan.identity)
    if not quiet:
        say(
            threat_line(
                plan.subject,
                eps=[attack.ball.eps for attack in plan.attacks],
                norm=plan.attacks[0].ball.norm,
                n=plan.n,
                attack=str(plan.attacks[-1]),
                batchnorm=batchnorm_policy(plan.subject.model),
                adversary="frozen at the weights for curvature, attacking anew for rises",
            )
        )
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
            f"spent {result.attrs['hvps']} products; {float(str(result.attrs['wall_seconds'])):.1f} s; "
            f"at most {peak_bytes(str(result.attrs['device'])) / 2**20:,.0f} MiB"
        )
    return path, result


def check_one_study(sources: Sequence[str], request: Target) -> None:
    """Raise UsageError where the checkpoints name different data: their numbers would not compare."""
    if request.data is not None:
        return
    named = {source: read_checkpoint(source).data for source in sources}
    first = next(iter(named))
    for source, data in named.items():
        if data is not None and named[first] is not None and data != named[first]:
            raise UsageError(
                f"{first} was trained on {named[first]}, and {source} on {data}; one study measures all nets on the "
                "same examples: name nets of one data set, or give --data for all of them"
            )


def _plan(source: str, request: Request, report: Report) -> Plan:
    subject = load_subject(source, request, report)
    if request.eps is None:
        eps, norm = choose_budget(subject, None, request.norm)
        attacks = read_ladder(request.attack, norm, eps)
    else:
        attacks = read_ladder(request.attack, request.norm or subject.train_norm or "linf", request.eps)
    return Plan(request, subject, attacks, len(select(subject.data, request.n_examples, seed=request.seed)))


def _compute(plan: Plan, path: Path, overwrite: bool, report: Report) -> Result:
    request = plan.request

    def compute(partial: Partial) -> Result:
        return sharpness(
            plan.subject.model,
            plan.subject.data,
            eps=[attack.ball.eps for attack in plan.attacks],
            attack=plan.attacks[0],
            measures=request.measures,
            random_radii=request.random_radii,
            worst_radii=request.worst_radii,
            directions=request.directions,
            starts=request.starts,
            probes=request.probes,
            tol=request.tol,
            loss=plan.subject.loss,
            n_examples=plan.n,
            seed=request.seed,
            batch_size=request.batch_size,
            provenance_of={**plan.subject.provenance(), "command": command_line(), "settings": plan.identity},
            progress=report,
            snapshot=partial,
        )

    return compute_and_save(path, plan.identity, compute, overwrite=overwrite)
