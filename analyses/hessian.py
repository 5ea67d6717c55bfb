"""The top of the Hessian of L_eps at a net's weights, each eigenpair with its evidence."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from landscape.analyses.density import density_beside
from landscape.analyses.examples import examples_beside
from landscape.analyses.reattack import STEPS, Stages, chosen_directions, read_steps, reattack_beside
from landscape.analyses.sizes import by_size, check_sizes
from torch import nn

from landscape.arguments import (
    check_model,
    check_outputs,
    check_twice_differentiable,
    read_attack,
    read_integer,
    read_positive,
)
from landscape.attacks import PGD
from landscape.curvature import (
    WHICH,
    curvature_by_example,
    power_eigenpairs,
    shortfall,
    standard_error,
    top_eigenpairs,
)
from landscape.curvature.basis import STORED
from landscape.curvature.density import PROBES
from landscape.data import as_data, select
from landscape.distributed import ALONE, Group
from landscape.errors import LandscapeError, NotConverged, UsageError
from landscape.geometry import batchnorm_policy
from landscape.losses import Loss, cross_entropy, error_rate
from landscape.objective import Objective
from landscape.results import Result, Snapshot, provenance
from landscape.shared import shared, whole
from landscape.spec import nearest
from landscape.streams import stream_key
from landscape.training.accuracy import collapsed_on

Progress = Callable[[str, int, int], None]
DEFAULT_TOP = 20  # or all of them, in a smaller block
METHODS = ("lanczos", "power")
ADVERSARIES = ("frozen", "reattack")
KEEP_VECTORS = 256  # MiB of eigenvectors that a result keeps, at most; never under two vectors


def hessian(
    model: nn.Module,
    data: Any,
    *,
    eps: float | str,
    top: int | None = None,
    method: str = "lanczos",
    which: str | None = None,
    tol: float = 1e-3,
    guard: bool = True,
    params: str | None = None,
    weight_decay: float = 0.0,
    norm: str | None = None,
    attack: str | PGD = "pgd:steps=10,rel_step=0.25,restarts=1",
    n_examples: int | str | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    loss: Loss = cross_entropy,
    density: bool = False,
    probes: int = PROBES,
    per_example: int = 0,
    sizes: Sequence[int] = (),
    adversary: str = "frozen",
    along: Any = 1,
    h: Sequence[float] = STEPS,
    keep_vectors: float = KEEP_VECTORS,
    basis: str = "float64",
    max_products: int | None = None,
    strict: bool = False,
    provenance_of: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    snapshot: Snapshot | None = None,
    group: Group = ALONE,
) -> Result:
    """Return the `top` (20) eigenpairs of the Hessian of the mean loss over `n_examples`, the adversary frozen at w0.

    `data` is (images, labels), a Dataset, a DataLoader or ImageData; `eps` is in pixel units of [0, 1], a number or
    "4/255"; `norm` ("linf", "l2") is that of the attack's ball, l-inf where the attack is a text. Beside each
    eigenvalue stand its residual (the solver's error), its standard error over examples (the data's), its Gauss-Newton
    part v'Gv, and the gradient's projection g'v. `method` "power" is PyHessian's and finds by magnitude ("lm").
    `params` ("layer4.*,fc.weight") takes the diagonal block of the parameters whose names match, the rest held.
    `weight_decay` adds an optimiser's L2 term to the loss.
    Eigenvectors are kept up to `keep_vectors` MiB, two at least.
    With `per_example` = K the terms v'H_i v of every example are kept for the first K pairs (`examples/...`).
    With `density` the spectral density, the trace and the Frobenius norm are estimated too, by `probes` random starts.
    With `sizes` the first few eigenvalues are taken of so many of the examples too, nested subsets of them.
    With `adversary` "reattack" the curvature of the loss whose adversary attacks anew is taken along the first `along`
    eigenvectors, or along directions (d, P) given there, by central differences over the steps `h` (`reattack/...`);
    the eigenpairs are still those of the frozen Hessian, in which no kink can be seen.
    The solver's basis takes most of the memory; `basis` "float32" halves it.
    An unconverged result warns, or raises NotConverged under `strict`. The processes of a `group` each make this call
    within `distributed.led`: from a line on, the first runs it and the others help with their share of the examples.
    See docs/method.md; Liu et al. 2020, section 4.
    """
    began = time.perf_counter()
    check_model(model)
    which = _resolve_which(method, which)
    if density and method != "lanczos":
        raise UsageError(f"a density needs the orthonormal pairs of --method lanczos; got --method {method} --density")
    if group.world > 1 and method != "lanczos":
        raise UsageError(f"--method {method} runs in one process; start it without torchrun, or take --method lanczos")
    if sizes and method != "lanczos":
        raise UsageError(f"--sizes are for --method lanczos; got --method {method}")
    if density:
        probes = read_integer("probes", probes, least=2)  # an interval is over several
    if basis not in STORED:
        raise UsageError(f"basis {basis!r} is unknown; {nearest(basis, tuple(STORED))}")
    tol = read_positive("tol", tol, such_as="1e-3")
    seed = read_integer("seed", seed, least=0)
    pgd = read_attack(attack, norm, eps)
    eps = pgd.ball.eps
    if adversary not in ADVERSARIES:
        raise UsageError(f"adversary {adversary!r} is unknown; {nearest(adversary, ADVERSARIES)}")
    reattacks = adversary == "reattack"
    if reattacks and eps == 0:
        raise UsageError("at eps 0 there is no adversary to attack anew; give --eps, or --adversary frozen")
    h = read_steps(h) if reattacks else ()
    data = as_data(data, targets=loss is not cross_entropy)
    examples = select(data, n_examples, seed=seed)
    sizes = check_sizes(sizes, len(examples))
    check_outputs(model, examples.images, classes=int(examples.labels.max()) + 1, loss=loss)
    objective = Objective(
        model,
        examples.images,
        examples.labels,
        attack=pgd,
        loss=loss,
        batch_size=batch_size,
        seed=seed,
        indices=examples.indices,
        params=params,
        weight_decay=weight_decay,
    )
    top = min(DEFAULT_TOP, objective.n_parameters) if top is None else read_integer("top", top, least=1)
    if top > objective.n_parameters:
        size, most = objective.n_parameters, f"1 to {objective.n_parameters}" if objective.n_parameters > 1 else "1"
        raise UsageError(f"top = {top} of a Hessian that is {size} x {size}; give --top {most}")
    if read_integer("per_example", per_example, least=0) > top:
        raise UsageError(f"per_example = {per_example} is more than the {top} eigenpairs asked for; give a larger top")
    check_twice_differentiable(objective)
    if reattacks:  # before the pairs: what cannot be meant is not found out after them
        chosen_directions(along, torch.ones(top, objective.n_parameters))
    objective = shared(objective, group)  # the other processes stay in this line until the first is done
    stages = Stages(snapshot) if reattacks and snapshot is not None else None
    frozen = objective.freeze(progress=_staged(progress, "attack"))
    w0 = frozen.w0
    outputs, losses = frozen.outputs(w0)
    clean, clean_losses = objective.unattacked().outputs()
    if not bool(torch.isfinite(losses).all()):
        bad = int((~torch.isfinite(losses)).sum())
        raise LandscapeError(
            f"the loss is not finite on {bad} of {len(losses)} examples; no curvature exists there: check the net"
        )
    gradient = frozen.gradient(w0).double()
    H = frozen.hessian(w0, batch_size=batch_size)
    if method == "power":
        pairs = power_eigenpairs(
            H, top, tol=tol, seed=stream_key(seed, "power") >> 1, progress=_staged(progress, "power")
        )
    else:
        pairs = top_eigenpairs(
            H,
            top,
            tol=tol,
            which=which,
            guard=guard,
            max_products=max_products,
            generator=torch.Generator().manual_seed(stream_key(seed, "lanczos") >> 1),
            strict=False,
            progress=_staged(progress, "eigenpairs"),
            snapshot=stages or snapshot,
            stored=basis,
        )
    arrays, numbers = density_beside(H, pairs, probes, seed, _staged(progress, "density")) if density else ({}, {})
    H.release()
    terms = curvature_by_example(frozen, w0, pairs.vectors, progress=_staged(progress, "evidence"))
    if per_example:
        arrays |= examples_beside(frozen, terms.leading(per_example), outputs, losses, clean_losses)
    errors = standard_error(terms.curvature)
    if sizes:
        arrays |= by_size(
            frozen,
            data,
            examples,
            sizes,
            pairs,
            errors,
            seed=seed,
            progress=_staged(progress, "sizes"),
            which=which,
            tol=tol,
            guard=guard,
            max_products=max_products,
        )
    if reattacks:
        directions, pair_numbers = chosen_directions(along, pairs.vectors)
        arrays |= reattack_beside(
            whole(objective), directions, h, numbers=pair_numbers, progress=_staged(progress, "reattack"), stages=stages
        )
    kept = min(top, max(2, int(keep_vectors * 2**20) // (4 * objective.n_parameters)))
    result = Result(
        "hessian",
        {
            "eigenvalues": pairs.values,
            "residuals": pairs.residuals,
            "eigenvalue_se": errors,
            "gauss_newton": terms.gauss_newton.mean(axis=1),
            "gradient_projection": (pairs.vectors @ gradient.to(pairs.vectors.device)).cpu().numpy(),
            "pair_status": pairs.status,
            "eigenvectors": pairs.vectors[:kept].float().cpu().numpy(),
            **arrays,
        },
        {
            **provenance(command="landscape.hessian", device=str(objective.device), torch_version=torch.__version__),
            "checkpoint": None,
            "checkpoint_sha256": None,
            "training": None,
            "model": type(model).__name__,
            "train_eps": math.nan,
            "seed": seed,
            "data": data.spec,
            "data_sha256": data.sha256,
            "split": data.split,
            "n_examples": frozen.n,
            "n_parameters": frozen.n_parameters,
            "norm": pgd.ball.norm,
            "attack": str(pgd) if eps > 0 else "none",
            "adversary": "none" if eps == 0 else "reattacked" if reattacks else "frozen",
            "batchnorm": batchnorm_policy(model),
            **(provenance_of or {}),
            "status": "complete" if pairs.converged else "not-converged",
            "eps": eps,
            **({} if params is None else {"params": params}),
            **({} if not weight_decay else {"weight_decay": weight_decay, "penalty": frozen.penalty(w0)}),
            "method": method,
            "which": which,
            "tol": tol,
            "loss": float(losses.double().mean()),
            "loss_se": float(standard_error(losses.double().cpu().numpy())),
            "error_rate": error_rate(outputs, examples.labels),
            "gradient_norm": float(gradient.norm()),
            "hvps": pairs.hvps,
            "guard_hvps": pairs.guard_hvps,
            "check_hvps": pairs.check_hvps,
            "guard_passed": pairs.guard_passed,
            "guard_bound": pairs.guard_bound,
            "orthogonality": pairs.orthogonality,
            "precision": pairs.precision,
            "classes": data.classes,
            "clean_loss": float(clean_losses.double().mean()),
            "clean_error_rate": error_rate(clean, examples.labels),
            "collapsed": collapsed_on(clean, clean_losses, examples.labels),
            **numbers,
            "wall_seconds": time.perf_counter() - began,
        },
    )
    if not pairs.converged:
        if strict:
            raise NotConverged(shortfall(pairs), result)
        warnings.warn(shortfall(pairs), RuntimeWarning, stacklevel=2)
    return result


def _resolve_which(method: str, which: str | None) -> str:
    if method not in METHODS:
        raise UsageError(f"method {method!r} is unknown; there are {' and '.join(METHODS)}")
    which = which or ("lm" if method == "power" else "la")
    if which not in WHICH:
        raise UsageError(f"which = {which!r} is unknown; {nearest(which, WHICH)}")
    if method == "power" and which != "lm":
        raise UsageError(
            f"the power method finds by magnitude; give --which lm with it, or --method lanczos for {which}"
        )
    return which


def _staged(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(stage, done, total)
