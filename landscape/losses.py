"""Losses per example, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from .errors import UsageError

Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log softmax at the labels, (N,) in nats, for logits (N, K) and labels (N,)."""
    # The same numbers as F.cross_entropy, whose forward-mode derivative runs in Python, at several times the cost.
    return -F.log_softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


def per_example(loss: Loss, outputs: Tensor, labels: Tensor) -> Tensor:
    """Return the losses (N,) of outputs (N, ...); raise UsageError where the loss does not give one per example."""
    try:
        losses = loss(outputs, labels)
    except (IndexError, RuntimeError) as error:
        if "out of bounds" not in str(error):
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


def error_rate(outputs: Tensor, labels: Tensor) -> float:
    """Return the fraction of examples that logits (n, K) put into another class than labels (n,); NaN for others."""
    if outputs.dim() != 2 or labels.dim() != 1:
        return math.nan
    return float((outputs.argmax(1).cpu() != labels.cpu()).double().mean())
