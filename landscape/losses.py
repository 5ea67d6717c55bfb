"""Losses per example, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from .errors import UsageError
from .spec import load_callable, nearest, parse_spec

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log softmax at the labels, (N,) in nats, for logits (N, K) and labels (N,)."""
    # The same numbers as F.cross_entropy, whose forward-mode derivative runs in Python, at several times the cost.
    return -F.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of (outputs - targets)^2 over each example's numbers, (N,), for targets (N,) or (N, D)."""
    if outputs[0].numel() != targets[0].numel():
        raise UsageError(
            f"the net gives {outputs[0].numel()} numbers for an image, and its target has {targets[0].numel()}; "
            "squared_error needs as many"
        )
    return (outputs.flatten(1) - targets.to(outputs).reshape(len(targets), -1)).square().mean(1)


NAMED: dict[str, Loss] = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def read_loss(spec: str | None) -> Loss:
    """Return the loss that a SPEC names: one of ours, `pkg.mod:callable`, `file.py:callable`; None is cross_entropy.

    It takes the net's outputs (N, ...) and the labels (N, ...), and returns one value for each example. Raises
    UsageError for an unknown name; `file.py:callable` runs the code that the user named.
    """
    if spec is None:
        return cross_entropy
    parsed = parse_spec(spec)
    if parsed.callable is not None:
        return load_callable(parsed)
    if parsed.settings or parsed.head not in NAMED:
        raise UsageError(f"{spec!r} is no loss; {nearest(parsed.head, NAMED)} (or give file.py:callable)")
    return NAMED[parsed.head]


def per_example(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the losses (N,) of outputs (N, ...); raise UsageError where the loss does not give one per example."""
    try:
        losses = loss(outputs, labels)
    except (IndexError, RuntimeError) as error:
        if "out of bounds" not in str(error) or loss is not cross_entropy:
            raise
        raise UsageError(
            f"the loss found no output for a label ({error}): outputs of shape {tuple(outputs.shape)} came with labels "
            f"up to {int(labels.max())}; are the net and the data of as many classes?"
        ) from error
    if losses.shape != labels.shape[:1]:
        raise UsageError(
            f"the loss returned shape {tuple(losses.shape)} for {len(labels)} examples; it must return one value per "
            "example (reduction='none')"
        )
    return losses


def are_scores(outputs: Tensor, labels: Tensor) -> bool:
    """Say whether outputs (n, K) are scores of classes that labels (n,) name: only then is there right and wrong.

    A single output is a number, whatever the type of its label.
    """
    return outputs.dim() == 2 and outputs.shape[1] > 1 and labels.dim() == 1 and not labels.is_floating_point()


def error_rate(outputs: Tensor, labels: Tensor) -> float:
    """Return the fraction of examples that logits (n, K) put into another class than labels (n,); NaN for others."""
    if not are_scores(outputs, labels):
        return math.nan
    return float((outputs.argmax(1).cpu() != labels.cpu()).double().mean())
