"""What stands behind an eigenvalue: its curvature example by example, and the part of it that the loss alone bends."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import jvp

from ..borrow import evaluating, full_precision, twice_differentiable
from ..losses import per_example
from ..objective import Batch, Objective

Expansion = Callable[[Objective, Tensor, Tensor, Tensor], tuple[Tensor, ...]]
_TRIED = 2  # examples on which the two modes are compared


class ExampleTerms(NamedTuple):
    """v'H_i v, v'G_i v and g_i'v of each example i along k vectors, (k, n) float64: the means are v'Hv, v'Gv, g'v."""

    curvature: np.ndarray
    gauss_newton: np.ndarray
    gradient: np.ndarray

    def leading(self, k: int) -> ExampleTerms:
        """Return the terms along the first k vectors."""
        return ExampleTerms(*(part[:k] for part in self))


def directional_curvature(objective: Objective, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return v'H_i v (n,), v'G_i v (n,) and g_i'v (n,) of each example i at w (P,) along v (P,).

    H_i and g_i are Hessian and gradient of the example's loss. Along w + t v the outputs f have a slope f' and a bend
    f''; the loss contributes f'' . dloss/df (the net's bending) and f'(d2loss/df2)f' (the Gauss-Newton part G_i). Slope
    and bend come by forward mode; by reverse mode for a net with an operation whose forward derivative is missing or
    wrong. A weight decay is a share of every example's H_i and g_i, and of no G_i.
    """
    w = w.to(objective.device, objective.dtype)
    v = v.to(objective.device, objective.dtype)
    curvature, gauss_newton, gradient = objective.by_example(_directional_curvature, w, v)
    decay = objective.weight_decay
    return curvature + decay * v.square().sum(), gauss_newton, gradient + decay * (w @ v)


def _directional_curvature(objective: Objective, w: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Return the terms (n,) of each example, without a weight decay's."""
    expand: Expansion | None = None

    def all_three(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        nonlocal expand
        expand = expand or _choose_mode(objective, w, v, batch.images[:_TRIED])
        outputs, slope, bend = expand(objective, w, v, batch.images)
        first, second = _loss_derivatives(objective, outputs, slope, batch.labels)
        gauss_newton = (second * slope).reshape(len(outputs), -1).sum(1)
        bending, gradient = ((first * part).reshape(len(outputs), -1).sum(1) for part in (bend, slope))
        return gauss_newton + bending, gauss_newton, gradient

    with evaluating(objective.model), full_precision(), twice_differentiable():
        # Twice as many at once: nothing is kept for a backward pass.
        parts = zip(*objective.over_batches(all_three, batches_at_once=2), strict=True)
        return tuple(torch.cat(part) for part in parts)


def curvature_by_example(
    objective: Objective, w: Tensor, vectors: Tensor, *, progress: Callable[[int, int], None] | None = None
) -> ExampleTerms:
    """Return the terms (k, n) of every example along each of the vectors (k, P) at w (P,)."""
    found = np.empty((3, len(vectors), objective.n))
    for number, vector in enumerate(vectors):
        found[:, number] = torch.stack(directional_curvature(objective, w, vector)).double().cpu().numpy()
        if progress is not None:
            progress(number + 1, len(vectors))
    return ExampleTerms(*found)


def _choose_mode(objective: Objective, w: Tensor, v: Tensor, images: Tensor) -> Expansion:
    """Return forward mode, which is several times faster, where it gives what reverse mode gives on these images."""
    right = _reverse_mode(objective, w, v, images)
    try:
        found = _forward_mode(objective, w, v, images)
    except (NotImplementedError, RuntimeError) as error:
        if not _no_forward_derivative(error):
            raise
        return _reverse_mode
    # Not in vain: the second forward derivative of LayerNorm is silently wrong in torch 2.13.
    rounding, slope = math.sqrt(torch.finfo(w.dtype).eps), right[1].norm()
    close = all((f - r).norm() <= rounding * (r.norm() + slope) for f, r in zip(found, right, strict=True))
    return _forward_mode if close else _reverse_mode


def _forward_mode(objective: Objective, w: Tensor, v: Tensor, images: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs at w, their slope and their bend along v, each (B, ...)."""

    def at(t: Tensor) -> Tensor:
        return objective.network(w + t * v)(images)

    def first(t: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = jvp(at, (t,), (one,))[:2]
        return value, slope

    zero, one = w.new_zeros(()), w.new_ones(())
    with torch.no_grad():
        (outputs, slope), (_, bend) = jvp(first, (zero,), (one,))[:2]
    return outputs, slope, bend


def _reverse_mode(objective: Objective, w: Tensor, v: Tensor, images: Tensor) -> tuple[Tensor, ...]:
    """Return what `_forward_mode` does, by differentiating with respect to a weight on each output."""
    leaves = tuple(piece.detach().requires_grad_() for piece in objective.space.split(w))
    directions = objective.space.split(v)
    with torch.enable_grad():
        outputs = objective.network_of(dict(zip(objective.space.names, leaves, strict=True)))(images)
        weights = torch.zeros_like(outputs, requires_grad=True)
        once = _along((weights * outputs).sum(), leaves, directions)
        twice = _along(once, leaves, directions)
        (slope,) = torch.autograd.grad(once, weights, retain_graph=True, materialize_grads=True)
        (bend,) = torch.autograd.grad(twice, weights, materialize_grads=True)
    return outputs.detach(), slope, bend


def _along(value: Tensor, leaves: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> Tensor:
    gradients = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
    return torch.stack([(g * v).sum() for g, v in zip(gradients, directions, strict=True)]).sum()


def _loss_derivatives(objective: Objective, outputs: Tensor, slope: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return dloss/df and (d2loss/df2) slope, each (B, ...), at the outputs f (B, ...)."""
    with torch.enable_grad():
        leaf = outputs.detach().requires_grad_()
        losses = per_example(objective.loss, leaf, labels)
        (first,) = torch.autograd.grad(losses.sum(), leaf, create_graph=True)
        if not first.requires_grad:  # a loss that is linear in the outputs
            return first, torch.zeros_like(first)
        (second,) = torch.autograd.grad((first * slope).sum(), leaf, materialize_grads=True)
    return first.detach(), second


def _no_forward_derivative(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, NotImplementedError) or "forward AD" in text or "forward-mode" in text or "jvp" in text
