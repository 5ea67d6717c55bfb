"""What stands behind an eigenvalue: its curvature example by example, and the part of it that the loss alone bends."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, jvp

from ..borrow import evaluating, full_precision
from ..losses import per_example
from ..objective import Batch, Objective


def directional_curvature(objective: Objective, w: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return v'H_i v (n,) and v'G_i v (n,) of each example i at w (P,) along v (P,).

    H_i is the Hessian of the example's loss, G_i its Gauss-Newton part J'(d2 loss / d outputs2) J. Both come from
    forward-mode derivatives along w + t v, or by reverse mode for a net whose operations have no forward derivative.
    """
    w = w.to(objective.device, objective.dtype)
    v = v.to(objective.device, objective.dtype)
    along: Callable[[Objective, Tensor, Tensor, Batch], tuple[Tensor, Tensor]] = _forward_mode
    curvatures, output_terms = [], []
    with evaluating(objective.model), full_precision():
        for batch in objective.batches():
            try:
                curvature, slope = along(objective, w, v, batch)
            except (NotImplementedError, RuntimeError) as error:
                if along is _reverse_mode or not _no_forward_derivative(error):
                    raise
                along = _reverse_mode
                curvature, slope = along(objective, w, v, batch)
            curvatures.append(curvature)
            output_terms.append(_bend_of_loss(objective, w, slope, batch))
    return torch.cat(curvatures), torch.cat(output_terms)


def _forward_mode(objective: Objective, w: Tensor, v: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    def at(t: Tensor) -> tuple[Tensor, Tensor]:
        outputs = functional_call(objective.model, dict(objective.space.named(w + t * v)), (batch.images,))
        return per_example(objective.loss, outputs, batch.labels), outputs

    zero, one = w.new_zeros(()), w.new_ones(())
    with torch.no_grad():
        first, second = jvp(lambda t: jvp(at, (t,), (one,)), (zero,), (one,))  # type: ignore[misc]  # has_aux's type
    (_, (_, slope)), (_, (curvature, _)) = first, second
    return curvature, slope


def _reverse_mode(objective: Objective, w: Tensor, v: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    # A weight on each example (or output) turns a sum's derivative into one value per example: differentiate by it.
    leaves = tuple(piece.detach().requires_grad_() for piece in objective.space.split(w))
    directions = objective.space.split(v)
    with torch.enable_grad():
        outputs = functional_call(
            objective.model, dict(zip(objective.space.names, leaves, strict=True)), (batch.images,)
        )
        losses = per_example(objective.loss, outputs, batch.labels)
        example_weights = torch.ones_like(losses, requires_grad=True)
        output_weights = torch.zeros_like(outputs, requires_grad=True)
        first = _along((example_weights * losses).sum(), leaves, directions)
        second = _along(first, leaves, directions)
        shift = _along((output_weights * outputs).sum(), leaves, directions)
        (curvature,) = torch.autograd.grad(second, example_weights, retain_graph=True, materialize_grads=True)
        (slope,) = torch.autograd.grad(shift, output_weights, materialize_grads=True)
    return curvature, slope


def _along(value: Tensor, leaves: tuple[Tensor, ...], directions: tuple[Tensor, ...]) -> Tensor:
    gradients = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
    return torch.stack([(g * v).sum() for g, v in zip(gradients, directions, strict=True)]).sum()


def _bend_of_loss(objective: Objective, w: Tensor, slope: Tensor, batch: Batch) -> Tensor:
    """Return d2 loss(outputs + t slope) / dt2 (B,) at t = 0: the Gauss-Newton part, the net held linear."""
    zero, one = w.new_zeros(()), w.new_ones(())
    with torch.no_grad():
        outputs = objective.network(w)(batch.images)

        def first(t: Tensor) -> Tensor:
            tangents = jvp(lambda s: per_example(objective.loss, outputs + s * slope, batch.labels), (t,), (one,))
            return tangents[1]

        second: Tensor = jvp(first, (zero,), (one,))[1]
    return second


def _no_forward_derivative(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, NotImplementedError) or "forward AD" in text or "forward-mode" in text or "jvp" in text
