"""One checkpoint's Hessian from options to file: found again, resumed, or computed; interrupted without loss."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from landscape.analyses.hessian import DEFAULT_TOP, KEEP_VECTORS, hessian
from landscape.analyses.reattack import STEPS, read_steps
from landscape.analyses.sizes import check_sizes

from .. import options
from ..attacks import PGD, make_ball, parse_attack
from ..curvature.density import PROBES
from ..data import select
from ..distributed import current, led
from ..errors import UsageError
from ..geometry import batchnorm_policy
from ..memory import keep_freed_memory, peak_bytes
from ..params import ParameterSpace, layers
from ..results import Result, command_line, default_path
from ..terminal import Report, progress, say
from .code import code_sha256
from .examples_table import COLUMNS as EXAMPLE_COLUMNS
from .hessian_table import ARRAYS, show
from .kinks_table import COLUMNS as KINK_COLUMNS
from .partial import Partial, compute_and_save
from .subject import Subject, Target, choose_budget, choose_decay, load_subject, threat_line
from .together import found_alike


@dataclass(frozen=True, kw_only=True)
class Request(Target):
    """What to measure, as it was typed; what is None follows from the checkpoint, the data or the method."""

    attack: str = options.DEFAULT_ATTACK
    top: int | None = None
    params: str | None = None
    weight_decay: float | str = 0.0
    method: str = "lanczos"
    which: str | None = None
    adversary: str = "frozen"
    along: int | None = None
    h: tuple[float, ...] | None = None
    tol: float = 1e-3
    guard: bool = True
    density: bool = False
    probes: int | None = None
    per_example: int | None = None
    sizes: tuple[int, ...] = ()
    max_products: int | None = None
    keep_vectors: int = KEEP_VECTORS  # MiB
    basis: str = "float64"


@dataclass(frozen=True, eq=False)
class Plan:
    """What is measured, with nothing left open: eps in pixel units, n examples."""

    request: Request
    subject: Subject
    eps: float
    norm: str
    attack: PGD
    n: int
    which: str
    weight_decay: float

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides the numbers: what a repeated command compares with the file that it finds."""
        request, subject = self.request, self.subject
        return {
            "checkpoint_sha256": subject.checkpoint.sha256,
            "model": subject.model_spec,
            "model_code_sha256": code_sha256(subject.model_spec),
            "data_sha256": subject.data.sha256,
            "split": request.split,
            "n_examples": self.n,
            "eps": self.eps,
            "norm": self.norm,
            "attack": str(self.attack) if self.eps else "none",
            "seed": request.seed,
            "top": self.top,
            "method": request.method,
            "which": self.which,
            "adversary": request.adversary,
            "tol": request.tol,
            "guard": request.guard,
            "max_products": request.max_products,
            "keep_vectors": request.keep_vectors,
            **subject.asked,
            **({"basis": request.basis} if request.basis != "float64" else {}),
            **({"params": request.params} if request.params is not None else {}),
            **({"weight_decay": self.weight_decay} if self.weight_decay else {}),
            **({"density_probes": self.probes} if request.density else {}),
            **({"per_example": self.per_example} if self.per_example else {}),
            **({"along": self.along, "h": list(self.h)} if self.reattacks else {}),
            **({"sizes": list(check_sizes(request.sizes, self.n))} if request.sizes else {}),
        }

    @cached_property
    def top(self) -> int:
        """How many eigenpairs: as many as were asked for, or 20, or all of a smaller block."""
        most = ParameterSpace(self.subject.model, self.request.params).n_parameters
        return self.request.top or min(DEFAULT_TOP, most)

    @property
    def per_example(self) -> int:
        """How many pairs keep their terms by example: at most as many as a small block has."""
        return min(self.request.per_example or 0, self.top)

    @property
    def reattacks(self) -> bool:
        """Whether the loss of an adversary that attacks anew is measured too."""
        return self.request.adversary == "reattack"

    @property
    def along(self) -> int:
        """Along how many eigenvectors the adversary attacks anew: at most as many as a small block has."""
        return min(self.request.along or 1, self.top)

    @property
    def h(self) -> tuple[float, ...]:
        """The steps of its differences."""
        return read_steps(self.request.h or STEPS)

    @property
    def columns(self) -> tuple[str, ...]:
        """The arrays that the tables on the terminal are made of."""
        return ARRAYS + (EXAMPLE_COLUMNS if self.per_example else ()) + (KINK_COLUMNS if self.reattacks else ())

    @property
    def probes(self) -> int:
        """Random starts of the density."""
        return self.request.probes or PROBES


def measure(
    source: str,
    request: Request,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> tuple[Path, Result]:
    """Return one checkpoint's result and its file; a file of the same settings is read instead of made again."""
    with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
        plan = current().in_turn(lambda: _plan(source, request, report))
    path = out or default_path(stem_of(source, plan.subject), "hessian", plan.identity)
    found = found_alike(path, plan.identity, plan.subject.model, shares=plan.n, overwrite=overwrite, only=plan.columns)
    if not quiet:
        line = threat_line(
            plan.subject,
            eps=plan.eps,
            norm=plan.norm,
            n=plan.n,
            attack=str(plan.attack),
            batchnorm=batchnorm_policy(plan.subject.model),
        )
        if request.params is not None:
            line += f", block {request.params}"
        if plan.reattacks:
            line += f", attacking anew along {plan.along} of the eigenvectors"
        if plan.weight_decay:
            line += f", weight decay {plan.weight_decay:g} in the loss"
        say(line)
    if found is not None:
        result = found
    else:
        with progress(quiet=quiet, verbose=verbose, prefix=f"{source}: ") as report:
            made = led(current(), lambda: _compute(plan, path, overwrite, report))
        attrs = current().from_first(lambda: None if made is None else made.attrs)
        # The others have helped, and learn how it came out.
        result = Result._as_read("hessian", {}, attrs or {}) if made is None else made
    if not quiet:
        show(result, path, again=found is not None)
    if verbose and not quiet and found is None:
        _account(result)
    return path, result


def layer_requests(source: str, request: Request) -> dict[str, Request]:
    """Return what to measure of each layer, by its name: its own block, and no more eigenpairs than that has."""
    with progress(quiet=True, verbose=False, prefix="") as report:
        model = _plan(source, request, report).subject.model
    found = {}
    for layer, pattern in layers(model).items():
        top = request.top and min(request.top, ParameterSpace(model, pattern).n_parameters)
        found[layer] = replace(request, params=pattern, top=top)
    return found


def _plan(source: str, request: Request, report: Report) -> Plan:
    subject = load_subject(source, request, report)
    eps, norm = choose_budget(subject, request.eps, request.norm)
    attack = parse_attack(request.attack, make_ball(norm, eps))
    n = len(select(subject.data, request.n_examples, seed=request.seed))
    if request.adversary == "reattack" and not eps:
        raise UsageError(f"{source} at eps 0 has no adversary to attack anew; give --eps, or --adversary frozen")
    which = request.which or ("lm" if request.method == "power" else "la")
    return Plan(request, subject, eps, norm, attack, n, which, choose_decay(subject, request.weight_decay))


def _compute(plan: Plan, path: Path, overwrite: bool, report: Report) -> Result:
    request = plan.request
    keep_freed_memory()  # 14 % of the CPU time of a LeNet's eigenpairs

    def compute(partial: Partial | None) -> Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what did not converge is said by the table and exit code
            return hessian(
                plan.subject.model,
                plan.subject.data,
                eps=plan.eps,
                norm=plan.norm,
                attack=plan.attack,
                n_examples=plan.n,
                seed=request.seed,
                batch_size=request.batch_size,
                top=plan.top,
                params=request.params,
                weight_decay=plan.weight_decay,
                loss=plan.subject.loss,
                method=request.method,
                which=plan.which,
                tol=request.tol,
                guard=request.guard,
                max_products=request.max_products,
                density=request.density,
                probes=plan.probes,
                per_example=plan.per_example,
                sizes=request.sizes,
                adversary=request.adversary,
                along=plan.along,
                h=plan.h,
                keep_vectors=request.keep_vectors,
                basis=request.basis,
                provenance_of={**plan.subject.provenance(), "command": command_line(), "settings": plan.identity},
                progress=report,
                snapshot=partial,
                group=current(),
            )

    if not current().leads:
        return compute(None)
    return compute_and_save(path, plan.identity, compute, overwrite=overwrite, only=plan.columns)


def stem_of(source: str, subject: Subject) -> str:
    """Return how the default name of a checkpoint's results begins."""
    return Path(source).stem if Path(source).is_file() else subject.checkpoint.name


def _account(result: Result) -> None:
    attrs: dict[str, Any] = result.attrs
    density = f", {attrs['density_hvps']} for the density" if "density_hvps" in attrs else ""
    say(
        f"spent {attrs['hvps']} products ({attrs['guard_hvps']} of them on the guard), {attrs['check_hvps']} to check"
        f"{density}; "
        f"{attrs['wall_seconds']:.1f} s; at most {peak_bytes(str(attrs['device'])) / 2**20:,.0f} MiB"
    )
