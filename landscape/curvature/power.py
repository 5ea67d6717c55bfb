"""The paper's way to the top of the spectrum: deflated power iteration, by PyHessian on a copy of the net."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..borrow import full_precision, twice_differentiable
from ..errors import LandscapeError, UsageError
from ..losses import per_example
from .eigenpairs import Eigenpairs, check_pairs
from .operator import HessianOperator

MAX_ITERATIONS = 100  # for each eigenvalue: PyHessian's default


def power_eigenpairs(
    H: HessianOperator,
    k: int,
    *,
    tol: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Eigenpairs:
    """Return the k eigenpairs of largest magnitude that PyHessian's power iteration finds, each checked by a product.

    PyHessian stops where an eigenvalue has changed by less than `tol` of itself, which bounds no residual: most pairs
    of a net are not converged, and their `status` says so. Raises UsageError for more pairs than parameters, and
    LandscapeError where PyHessian cannot work on the net.
    """
    if not 1 <= k <= H.shape[0]:
        raise UsageError(f"top = {k} eigenpairs of a {H.shape[0]} x {H.shape[0]} Hessian; wanted 1 to {H.shape[0]}")
    from pyhessian import hessian  # imported where it is used: its import draws in all of its plotting

    objective = H.objective
    model = _at(objective.model, objective.space.named(H.w))
    passes = 0

    def mean_loss(outputs: Tensor, labels: Tensor) -> Tensor:
        nonlocal passes
        passes += 1
        if progress is not None:
            progress(passes // H.n_batches, k * MAX_ITERATIONS)
        mean = per_example(objective.loss, outputs, labels).mean()
        if not objective.weight_decay:
            return mean
        return mean + objective.weight_decay / 2 * sum(p.square().sum() for p in model.parameters() if p.requires_grad)

    loader = [(batch.images, batch.labels) for batch in objective.batches(H.batch_size)]
    devices = [H.device] if H.device.type == "cuda" else []
    default = torch.get_default_dtype()
    with (
        torch.random.fork_rng(devices=devices),
        warnings.catch_warnings(),
        full_precision(),
        twice_differentiable(),
        torch.enable_grad(),
    ):
        warnings.filterwarnings("ignore", message="Using backward\\(\\) with create_graph=True")
        torch.manual_seed(seed)  # PyHessian draws its starts from the global generator; forked, it is put back
        torch.set_default_dtype(H.dtype)  # and in the default dtype
        try:
            solver = hessian(model, mean_loss, dataloader=loader, cuda=H.device.type == "cuda")
            values, vectors = solver.eigenvalues(maxIter=MAX_ITERATIONS, tol=tol, top_n=k)
        except (AttributeError, AssertionError, RuntimeError, TypeError, ZeroDivisionError) as error:
            raise LandscapeError(
                f"PyHessian fails on this net ({type(error).__name__}: {error}); try --method lanczos"
            ) from error
        finally:
            torch.set_default_dtype(default)
            model.zero_grad(set_to_none=True)  # its gradients hold their graphs, in a cycle that is never collected
    order = np.argsort(-np.abs(values), kind="stable")
    found = torch.stack([torch.cat([piece.reshape(-1) for piece in vectors[i]]) for i in order]).to(torch.float64)
    if not torch.isfinite(found).all():
        raise LandscapeError("PyHessian returned vectors that are not finite; try --method lanczos")
    if not found.norm(dim=1).all():  # where Hv is zero it divides by no more than its 1e-6
        raise LandscapeError("PyHessian returned a vector of length zero, as where Hv = 0; try --method lanczos")
    return check_pairs(
        H,
        np.array(values, dtype=np.float64)[order],
        found.detach(),
        tol=tol,
        which="lm",
        hvps=-(-passes // H.n_batches),
    )


def _at(model: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.requires_grad_(name in weights)
            if name in weights:
                parameter.copy_(weights[name])
    return twin
