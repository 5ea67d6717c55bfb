"""What a net makes of examples, clean or attacked, and whether it has stopped telling them apart."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..attacks import PGD
from ..borrow import evaluating, full_precision
from ..data import ImageData, as_data, select, to_unit
from ..losses import Loss, are_scores, cross_entropy, per_example
from ..objective import Objective
from ..streams import example_streams

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Outcome:
    """A net's losses (n,) in nats, predicted classes (n,) and the labels (n,) of n examples, on the CPU.

    `predictions` is None where the labels are numbers, or the outputs no scores of classes.
    """

    losses: Tensor
    predictions: Tensor | None
    labels: Tensor

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""
        return self.losses.mean(dtype=torch.float64).item()

    @property
    def error(self) -> float:
        """Fraction of examples that are predicted wrongly; NaN where there are no predictions."""
        if self.predictions is None:
            return math.nan
        return (self.predictions != self.labels).double().mean().item()


def judge(
    model: nn.Module,
    data: ImageData,
    attack: PGD | None = None,
    *,
    n: int | None = None,
    seed: int = 0,
    batch_size: int = 500,
    device: str | torch.device = "cpu",
    loss: Loss = cross_entropy,
    progress: Progress | None = None,
) -> Outcome:
    """Return what a net makes of n examples (None: all), clean or under an attack on their `loss`, in eval mode.

    The examples are the seeded subset that every command takes; each random start follows from (seed, index, restart)
    alone, so the batch size changes memory and speed only. The net, already on `device`, is returned as it was.
    """
    examples = select(data, "all" if n is None else n, seed=seed)
    dtype = next(model.parameters()).dtype
    losses, predictions = [], []
    counts = True
    stage = "clean" if attack is None else "attacked"
    with evaluating(model), full_precision():
        for start in range(0, len(examples.labels), batch_size):
            part = slice(start, start + batch_size)
            x = to_unit(examples.images[part].to(device), device=device, dtype=dtype)
            y = examples.labels[part].to(device)
            if attack is not None:
                x = attack(model, x, y, noise=partial(_starts, seed, examples.indices[part].numpy()), loss=loss)
            with torch.no_grad():
                logits = model(x)
                losses.append(per_example(loss, logits, y))
            counts = counts and are_scores(logits, y)
            if counts:
                predictions.append(logits.argmax(1))
            if progress is not None:
                progress(f"{data.split} error, {stage}", start + len(y), len(examples.labels))
    return Outcome(torch.cat(losses).cpu(), torch.cat(predictions).cpu() if counts else None, examples.labels)


def evaluate_error(
    model: nn.Module, data: ImageData, attack: PGD | None = None, **settings: object
) -> tuple[float, float]:
    """Return the mean loss (nats) and the error (fraction) of a net; the settings are those of `judge`."""
    outcome = judge(model, data, attack, **settings)  # type: ignore[arg-type]  # passed on as they came
    return outcome.loss, outcome.error


def collapsed(outcome: Outcome, *, loss: Loss = cross_entropy, tolerance: float = 3e-3) -> bool:
    """Tell whether a net has become a constant classifier: it predicts one class, or its loss is the prior's entropy.

    The entropy (nats) is that of the labels at hand; `tolerance` is the distance from it that still counts, for the
    cross-entropy alone. Judge clean examples: an attack can bring the loss of a net that has learnt to any value.
    Labels of a single class tell nothing.
    """
    if outcome.predictions is None or len(outcome.labels.unique()) < 2:
        return False
    shares = torch.bincount(outcome.labels).double() / len(outcome.labels)
    entropy = -torch.special.xlogy(shares, shares).sum().item()
    near = loss is cross_entropy and abs(outcome.loss - entropy) <= tolerance
    return near or len(outcome.predictions.unique()) == 1


def constant_on(objective: Objective) -> bool | None:
    """Return whether the net of an objective is a constant classifier on its examples, unattacked.

    None where that has no meaning: outputs that are not (n, K) logits, labels that are no classes.
    """
    if objective.labels.dim() != 1 or objective.labels.is_floating_point():
        return None
    outputs, losses = objective.outputs()
    return collapsed_on(outputs, losses, objective.labels)


def collapsed_on(outputs: Tensor, losses: Tensor, labels: Tensor) -> bool | None:
    """Return `collapsed` of a net's outputs (n, K) and losses (n,) on clean examples; None where it has no meaning."""
    if not are_scores(outputs, labels):
        return None
    return collapsed(Outcome(losses.cpu(), outputs.argmax(1).cpu(), labels.cpu()))


def is_constant(model: nn.Module, data: Any, *, n: int | None = None, seed: int = 0) -> bool:
    """Tell whether a net is a constant classifier on n clean examples (None: all): the rule of `collapsed`.

    It is what adversarial training of a net ends in where eps is too large for its width: the one rule by which
    training, every result file and every figure judge. `data` is as for `landscape.hessian`. Labels of a single class
    tell nothing, and the answer is no. The linear model's own is `landscape.theory.is_constant`, of its weights.
    """
    return collapsed(judge(model, as_data(data), n=n, seed=seed, device=next(model.parameters()).device))


def _starts(seed: int, indices: np.ndarray, restart: int) -> list[np.random.Generator]:
    return example_streams(seed, f"evaluate/restart{restart}", indices)
